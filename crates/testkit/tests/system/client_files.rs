//! `mcp config` over the real program: entries in the files of all clients, and what a client then starts by them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::mcp::{self, Revision, StdioClient};
use testkit::{Finished, Server, TestHome, http};

const END: Duration = Duration::from_secs(5);

/// Clients with their files below the user's home, and the key of their servers.
const CLIENTS: [(&str, &str, &str); 9] = [
    ("claude-code", ".claude.json", "mcpServers"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"),
    ("codex", ".codex/config.toml", "mcp_servers"),
    ("cursor", ".cursor/mcp.json", "mcpServers"),
    ("vscode", ".config/Code/User/mcp.json", "servers"),
    ("windsurf", ".codeium/windsurf/mcp_config.json", "mcpServers"),
    ("zed", ".config/zed/settings.json", "context_servers"),
    ("gemini", ".gemini/settings.json", "mcpServers"),
    ("opencode", ".config/opencode/opencode.json", "mcp"),
];

fn home() -> TestHome {
    let mut home = TestHome::new();
    for name in ["XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR"] {
        home.clear_var(name);
    }
    home
}

fn configure(home: &TestHome, client: &str, more: &[&str]) -> Finished {
    home.session_buddy([&["mcp", "config", "--client", client], more].concat()).run()
}

fn file(home: &TestHome, path: &str) -> PathBuf {
    home.user().join(path)
}

/// Starts what an entry of a client says, as the client does, and calls a tool.
fn works(home: &TestHome, entry: &Value) {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let line = match &entry["command"] {
        Value::String(program) => [vec![program.clone()], words(&entry["args"])].concat(),
        line => words(line),
    };
    let mut program = home.program(&line[0], &line[1..]);
    for key in ["env", "environment"] {
        for (name, value) in entry[key].as_object().into_iter().flatten() {
            program = program.var(name, value.as_str().unwrap());
        }
    }
    let mut client = StdioClient::start(&program);
    client.handshake();
    let health = client.tool(Revision::V2025_11_25, "health_check", json!({}));
    assert_eq!(health["structuredContent"]["status"], "healthy", "{line:?}: {health}");
    client.process.close_stdin();
    client.process.wait(END);
}

/// Clients with a file for a project, and that file.
const OF_A_PROJECT: [(&str, &str); 7] = [
    ("claude-code", ".mcp.json"),
    ("codex", ".codex/config.toml"),
    ("cursor", ".cursor/mcp.json"),
    ("vscode", ".vscode/mcp.json"),
    ("zed", ".zed/settings.json"),
    ("gemini", ".gemini/settings.json"),
    ("opencode", "opencode.json"),
];

const SECRET: &str = "tV3nQ8xLw5Zr2KdYc9Hb6Mf1Gs4Jp7Ue0Xa";

fn key_of(client: &str) -> &'static str {
    CLIENTS.iter().find(|(name, ..)| *name == client).map(|(_, _, key)| *key).unwrap()
}

/// The address that an entry over HTTP names, and the header for its token.
fn address_and_token(client: &str, entry: &Value) -> (String, Option<String>) {
    let address = ["url", "serverUrl", "httpUrl"].iter().find_map(|key| entry[*key].as_str());
    let token = match client {
        "codex" => entry["bearer_token_env_var"].as_str(),
        _ => entry["headers"]["Authorization"].as_str(),
    };
    (address.unwrap_or_else(|| panic!("{client}: {entry}")).to_owned(), token.map(str::to_owned))
}

/// The entry that a client reads in its file, whatever else stands there.
fn entry(text: &str, client: &str, key: &str) -> Value {
    if client != "codex" {
        let plain: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let read: Value = serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{client}: {error}: {text}"));
        return read[key]["session-buddy"].clone();
    }
    // Values of one line each, as TOML and JSON write them alike.
    let table = text.split("[mcp_servers.session-buddy]").nth(1).unwrap_or_else(|| panic!("no table: {text}"));
    let values = table.lines().map_while(|line| (!line.starts_with('[')).then(|| line.split_once(" = "))).flatten();
    let value = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|_| {
            // { NAME = "value" }
            let inner = text.trim_matches(|c| matches!(c, '{' | '}' | ' '));
            let pairs = inner.split(", ").filter_map(|pair| pair.split_once(" = "));
            pairs.map(|(name, value)| (name.to_owned(), serde_json::from_str::<Value>(value).unwrap())).collect()
        })
    };
    values.map(|(name, text)| (name.to_owned(), value(text))).collect()
}

#[test]
fn every_clients_file_gets_an_entry_that_works_and_keeps_all_else() {
    let home = home();
    for (client, path, key) in CLIENTS {
        let path = file(&home, path);
        let before = match client {
            "codex" => "# mine\nmodel = \"m\" # kept\n\n[mcp_servers.other]\ncommand = \"o\"\n".to_owned(),
            _ => format!(
                "{{\n  // mine\n  \"theme\": \"dark\",\n  \"{key}\": {{\n    \"other\": {{ \"command\": \"o\" }}\n  }}\n}}\n"
            ),
        };
        assert!(!path.exists(), "{client}");
        let dry = configure(&home, client, &["--install", "--dry-run"]);
        assert!(!path.exists() && dry.expect_success().stdout.contains("session-buddy"), "{client}");
        // Into nothing, where not even the folder is.
        configure(&home, client, &["--install"]).expect_success();
        works(&home, &entry(&fs::read_to_string(&path).unwrap(), client, key));
        // Beside what is there.
        fs::write(&path, &before).unwrap();
        configure(&home, client, &["--install"]).expect_success();
        let after = fs::read_to_string(&path).unwrap();
        for line in before.lines().filter(|line| line.len() > 4) {
            let line = line.trim_end_matches(['{', '}', ',', ' ']);
            assert!(after.contains(line), "{client} lost {line:?}: {after}");
        }
        works(&home, &entry(&after, client, key));
        let again = configure(&home, client, &["--install"]);
        assert!(again.expect_success().stdout.contains("already"), "{client}: {}", again.stdout);
        assert_eq!(fs::read_to_string(&path).unwrap(), after, "{client}");
        let shown = configure(&home, client, &["--install", "--dry-run"]);
        assert_eq!(shown.expect_success().stdout.trim_end(), after.trim_end(), "{client}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let home = home();
    for (client, path, key) in CLIENTS {
        let path = file(&home, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for broken in [format!("{{ \"{key}\": "), "[unclosed".into(), format!("{key} = 7\n{{"), "\u{1}".into()] {
            fs::write(&path, &broken).unwrap();
            let refused = configure(&home, client, &["--install"]);
            refused.expect_code(3).expect_one_clear_line(&["left as it is"]);
            assert_eq!(fs::read_to_string(&path).unwrap(), broken, "{client}");
        }
        fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        configure(&home, client, &["--install"]).expect_code(3);
    }
}

#[test]
fn a_link_stays_a_link_and_what_was_is_kept_beside_its_target() {
    let home = home();
    let real = home.user().join("dotfiles/claude.json");
    fs::create_dir_all(real.parent().unwrap()).unwrap();
    fs::write(&real, "{\"theme\":\"dark\"}").unwrap();
    let link = file(&home, ".claude.json");
    symlink(&real, &link).unwrap();
    configure(&home, "claude-code", &["--install"]).expect_success();
    assert!(link.is_symlink());
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&real).unwrap()).unwrap()["theme"], "dark");
    let kept = fs::read_dir(real.parent().unwrap()).unwrap().flatten();
    assert_eq!(kept.filter(|one| one.file_name().to_string_lossy().contains(".before-")).count(), 1);
}

#[test]
fn both_forms_of_the_guides_project_file_start_a_server_that_answers() {
    let home = home();
    let printed = [
        json!({ "command": "session-buddy", "args": ["start", "--mode=standard", "--mcp"], "env": {
            "SESSION_BUDDY_AUTH_ENABLED": "false" } }),
        json!({ "command": "session-buddy", "args": ["start", "--mode=standard", "--mcp", "--port", "8679"] }),
    ];
    for entry in printed {
        works(&home, &entry);
    }
}

#[test]
fn a_projects_file_names_the_program_by_its_name_and_starts_it() {
    let home = home();
    for (client, path) in OF_A_PROJECT {
        let path = home.work().join(path);
        configure(&home, client, &["--scope", "project", "--install"]).expect_success();
        let entry = entry(&fs::read_to_string(&path).unwrap(), client, key_of(client));
        // The file goes to other people's machines.
        let program = entry["command"].as_str().or_else(|| entry["command"][0].as_str());
        assert_eq!(program, Some("session-buddy"), "{client}: {entry}");
        works(&home, &entry);
        let again = configure(&home, client, &["--scope", "project", "--install"]);
        assert!(again.expect_success().stdout.contains("already"), "{client}: {}", again.stdout);
    }
    for client in ["claude-desktop", "windsurf"] {
        let refused = configure(&home, client, &["--scope", "project", "--install"]);
        refused.expect_code(2).expect_one_clear_line(&["no file for a project", "--scope"]);
    }
    let written = CLIENTS.iter().filter(|(_, path, _)| file(&home, path).exists()).count();
    assert_eq!(written, 0, "the user's own files are left alone");
}

#[test]
fn an_entry_over_http_reaches_the_running_server_and_holds_no_token() {
    for secret in [None, Some(SECRET)] {
        let mut home = home();
        if let Some(secret) = secret {
            home.set_var("SESSION_BUDDY_SECRET", secret);
        }
        let server = Server::start(&home);
        let token =
            secret.map(|_| home.session_buddy(["generate-token"]).run().expect_success().stdout.trim().to_owned());
        for (client, path, key) in CLIENTS {
            let done = configure(&home, client, &["--http", "--install"]);
            if client == "claude-desktop" {
                done.expect_code(2).expect_one_clear_line(&["no servers over HTTP", "--http"]);
                assert!(!file(&home, path).exists());
                continue;
            }
            done.expect_success();
            let text = fs::read_to_string(file(&home, path)).unwrap();
            assert!(!text.contains(SECRET) && !text.contains("eyJ"), "{client}: {text}");
            let (address, header) = address_and_token(client, &entry(&text, client, key));
            assert_eq!(address, format!("http://127.0.0.1:{}/mcp", server.port()), "{client}");
            assert_eq!(header.is_some(), secret.is_some(), "{client}: {text}");
            assert!(header.is_none_or(|header| header.contains("SESSION_BUDDY_TOKEN")), "{client}: {text}");
        }
        // What stands there is what a client then calls, with the token in place of the variable's name.
        let call = mcp::tool_call(Revision::V2025_11_25, 1, "list_sessions", json!({}));
        let mut headers = mcp::headers(Revision::V2025_11_25, &call);
        headers.extend(token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = http::post(server.port(), "/mcp", &headers, call.to_string().as_bytes()).unwrap();
        assert!(answer.message()["result"]["structuredContent"]["sessions"].is_array(), "{answer:?}");
        server.stop();
    }
}

#[test]
fn the_guides_line_with_a_secret_works_filled_in_and_says_so_when_the_client_did_not() {
    let home = home();
    let printed = |secret: &str| {
        json!({ "command": "session-buddy", "args": ["start", "--mode=standard", "--mcp"], "env": {
            "SESSION_BUDDY_AUTH_ENABLED": "true", "SESSION_BUDDY_AUTH_SECRET": secret } })
    };
    works(&home, &printed(SECRET));
    // Clients that replace no variables hand the line on as it is printed; those that do, and have none, hand on nothing.
    for (secret, told) in [("${SESSION_BUDDY_AUTH_SECRET}", "placeholder"), ("", "no secret")] {
        let entry = printed(secret);
        let mut program = home.program("session-buddy", ["start", "--mode=standard", "--mcp"]).stdin("");
        for (name, value) in entry["env"].as_object().unwrap() {
            program = program.var(name, value.as_str().unwrap());
        }
        program.run().expect_code(3).expect_one_clear_line(&[told, "SECRET"]);
    }
}

#[test]
fn what_somebody_set_in_the_entry_stays_and_every_earlier_file_is_kept() {
    let home = TestHome::patient();
    let path = file(&home, ".cursor/mcp.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        &path,
        r#"{"mcpServers":{"session-buddy":{"command":"mine","args":["start","--port","8679"],"env":{"A":"keep"},"timeout":60}}}"#,
    )
    .unwrap();
    for (more, kept) in [(&["--install"][..], Some("keep")), (&["--install", "--http"], None), (&["--install"], None)] {
        configure(&home, "cursor", more).expect_success();
        let found = entry(&fs::read_to_string(&path).unwrap(), "cursor", "mcpServers");
        assert_eq!(found["env"]["A"].as_str(), kept, "variables go with the program that they are for: {found}");
        assert_eq!(found["timeout"], 60, "{more:?}: {found}");
        assert_eq!(found.get("url").is_some(), more.contains(&"--http"), "{found}");
    }
    let copies = fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    let copies: Vec<String> = copies.map(|copy| fs::read_to_string(copy.path()).unwrap()).collect();
    assert_eq!(copies.len(), 4, "the file and what it was before each change");
    assert!(copies.iter().any(|copy| copy.contains("\"mine\"") && copy.contains("8679")));
}

/// Codex refuses its whole file when an entry mixes a program and an address.
#[test]
fn an_entry_of_codex_never_holds_what_belongs_to_the_other_way() {
    let home = home();
    let path = file(&home, ".codex/config.toml");
    let more = |more: &str| {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.trim_end().to_owned() + "\n" + more).unwrap();
    };
    let members = || -> Vec<String> {
        let found = entry(&fs::read_to_string(&path).unwrap(), "codex", "mcp_servers");
        found.as_object().unwrap().keys().cloned().collect()
    };
    configure(&home, "codex", &["--install"]).expect_success();
    more("cwd = \"/work\"\nstartup_timeout_sec = 20\n");
    assert_eq!(members(), ["args", "command", "cwd", "env", "startup_timeout_sec"]);
    configure(&home, "codex", &["--install", "--http"]).expect_success();
    assert_eq!(members(), ["startup_timeout_sec", "url"]);
    more("http_headers = { X = \"y\" }\n");
    configure(&home, "codex", &["--install", "--http"]).expect_success();
    assert_eq!(members(), ["http_headers", "startup_timeout_sec", "url"]);
    configure(&home, "codex", &["--install"]).expect_success();
    assert_eq!(members(), ["args", "command", "env", "startup_timeout_sec"]);
    works(&home, &entry(&fs::read_to_string(&path).unwrap(), "codex", "mcp_servers"));
}

#[test]
fn an_entry_in_zeds_older_form_keeps_its_variables_and_its_port() {
    let home = home();
    let path = file(&home, ".config/zed/settings.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let older = r#"{"context_servers":{"session-buddy":{"source":"custom","command":{"path":"old","args":["start","--mcp","--port","0"],"env":{"A":"b"}},"settings":{}}}}"#;
    fs::write(&path, older).unwrap();
    configure(&home, "zed", &["--install"]).expect_success();
    let found = entry(&fs::read_to_string(&path).unwrap(), "zed", "context_servers");
    assert!(found["command"].is_string() && found["env"]["A"] == "b", "{found}");
    assert_eq!(found["args"], json!(["start", "--mcp", "--port", "0"]), "{found}");
    works(&home, &found);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let home = TestHome::patient();
    let path = file(&home, ".cursor/mcp.json");
    home.sh("mkdir -p ~/.cursor && mkfifo ~/.cursor/mcp.json").run().expect_success();
    configure(&home, "cursor", &["--install"]).expect_code(3).expect_one_clear_line(&["regular file"]);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(file(&home, "nowhere/mcp.json"), &path).unwrap();
    configure(&home, "cursor", &["--install"]).expect_code(3).expect_one_clear_line(&["link", "does not exist"]);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
}
