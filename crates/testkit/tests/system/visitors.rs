//! Sessions of MCP clients that open and end by themselves.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::mcp::{self, Revision, StdioClient};
use testkit::{Finished, Program, Server, TestHome, eventually, git, ports};

const END: Duration = Duration::from_secs(5);
/// Exit code of `curl` that cannot call from the address it is to call from.
const ADDRESS_TAKEN: i32 = 45;

/// A server as a client starts it, inside a repository of the home.
fn server(home: &TestHome) -> Program {
    let made = home.sh("mkdir -p \"$HOME/billing\" && cd \"$HOME/billing\" && git init -q . && \
         git -c user.name=ada -c user.email=ada@example.org commit -q --allow-empty -m start");
    made.run().expect_success();
    home.session_buddy(["start", "--mode=standard", "--mcp"]).cwd(home.user().join("billing"))
}

fn visits(home: &TestHome) -> Vec<Value> {
    home.sessions(&["--component", "*", "--type", "mcp_client"])
}

/// Connects and waits until an answer names the session that was opened for this client.
fn connected(program: &Program, revision: Revision) -> (StdioClient, String) {
    let mut client = StdioClient::start(program);
    if revision == Revision::V2025_11_25 {
        client.handshake();
    }
    let named = eventually(END, "the client's session in its answers", || {
        let answer = client.tool(revision, "health_check", json!({}));
        answer["_meta"]["session-buddy/session_id"].as_str().map(str::to_owned)
    });
    (client, named)
}

#[test]
fn a_client_in_a_repository_has_a_session_for_as_long_as_it_stays() {
    for revision in Revision::ALL {
        let home = TestHome::new();
        let (mut client, named) = connected(&server(&home), revision);
        client.process.close_stdin();
        client.process.wait(END);
        let sessions = visits(&home);
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!((&sessions[0]["session_id"], &sessions[0]["status"]), (&json!(named), &json!("ended")));
        assert_eq!(sessions[0]["project"], "billing");
    }
}

#[test]
fn a_client_that_goes_at_once_has_been_there() {
    let home = TestHome::new();
    let mut client = StdioClient::start(&server(&home));
    client.handshake();
    client.process.close_stdin();
    client.process.wait(END);
    let sessions = visits(&home);
    assert_eq!((sessions.len(), &sessions[0]["status"]), (1, &json!("ended")), "{sessions:?}");
}

#[test]
fn a_client_whose_server_is_killed_leaves_a_stale_session() {
    let home = TestHome::new();
    let (mut client, named) = connected(&server(&home), Revision::V2025_11_25);
    client.process.signal(Signal::KILL);
    client.process.wait(END);
    let sessions = visits(&home);
    assert_eq!((&sessions[0]["session_id"], &sessions[0]["status"]), (&json!(named), &json!("stale")));
}

#[test]
fn no_session_is_opened_outside_a_repository_or_when_that_is_switched_off() {
    let home = TestHome::new();
    let outside = home.session_buddy(["start", "--mode=standard", "--mcp"]);
    let off = server(&home).var("SESSION_BUDDY_SESSION_TRACKING__AUTO_INIT", "false");
    for program in [outside, off] {
        let mut client = StdioClient::start(&program);
        client.handshake();
        let health = client.tool(Revision::V2025_11_25, "health_check", json!({}));
        assert_eq!(health["structuredContent"]["status"], "healthy", "{health}");
        client.process.close_stdin();
        client.process.wait(END);
    }
    assert_eq!(visits(&home), Vec::<Value>::new());
}

/// A server whose clients without a connection have gone after a second of silence.
fn impatient() -> TestHome {
    TestHome::new().with_var("SESSION_BUDDY_SESSION_TRACKING__IDLE_TIMEOUT", "1")
}

/// Calls a tool as a program that works in `folder` and ends with its answer.
fn passing(home: &TestHome, server: &Server, folder: &str, client: &str, tool: &str, arguments: Value) -> Value {
    let answer = passing_with(home, server, folder, client, tool, arguments, &[]);
    answer.expect_success().json()["result"].clone()
}

/// The same with more options of `curl`.
fn passing_with(
    home: &TestHome,
    server: &Server,
    folder: &str,
    client: &str,
    tool: &str,
    arguments: Value,
    more: &[&str],
) -> Finished {
    let mut call = mcp::tool_call(Revision::V2026_07_28, 1, tool, arguments);
    call["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": client, "version": "3" });
    let mut args = vec!["-sS".to_owned(), "--data-binary".into(), "@-".into()];
    args.extend(more.iter().map(|option| (*option).to_owned()));
    for (name, value) in mcp::headers(Revision::V2026_07_28, &call) {
        args.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    args.push(format!("http://127.0.0.1:{}/mcp", server.port()));
    home.program("curl", &args).cwd(home.work().join(folder)).stdin(call.to_string()).run()
}

#[test]
fn a_client_whose_folder_is_not_known_has_no_git_state() {
    let home = TestHome::new();
    // The server works in a repository, the client in none.
    let _ = git::repository(&home, ".");
    let server = Server::start(&home);
    let user = home.user().to_string_lossy().into_owned();
    let call = |tool: &str, arguments: Value| passing(&home, &server, &user, "agent", tool, arguments);
    let made = call("checkpoint", json!({ "note": "far away" }));
    let facts = &made["structuredContent"];
    assert!(facts["event_id"].is_string() && facts["git"].is_null(), "{made}");
    let told = call("resume_context", json!({ "session_id": facts["session_id"] }));
    let brief = told["structuredContent"]["brief"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    assert!(brief.contains("far away") && !brief.contains("Git") && !brief.contains("Directory"), "{brief}");
    let made = call("checkpoint", json!({ "session_id": facts["session_id"], "cwd": "." }));
    assert!(made["structuredContent"]["git"].is_null(), "a part of a path is no place: {made}");
    call("add_message", json!({ "session_id": "other", "text": "x", "cwd": "" }));
    assert!(home.sessions(&["--project", "other"])[0]["worktree"].is_null());
    server.stop();
}

#[test]
fn a_client_without_a_connection_has_a_session_for_as_long_as_it_calls() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    let _ = git::repository(&home, "mill");
    let told = passing(&home, &server, "shop", "agent", "add_message", json!({ "text": "first" }));
    let own = told["structuredContent"]["session_id"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    assert_eq!(told["_meta"]["session-buddy/session_id"], json!(own), "{told}");
    let event = json!({ "event_id": "e1", "event_type": "command", "timestamp": "2026-11-22T10:00:00Z", "data": { "command": "make" } });
    let stored = passing(&home, &server, "shop", "agent", "track_events", json!({ "events": [event] }));
    assert_eq!(stored["structuredContent"]["accepted"], 1, "{stored}");
    passing(&home, &server, "shop", "agent", "checkpoint", json!({ "note": "half way" }));
    let seen = passing(&home, &server, "shop", "agent", "get_session", json!({}));
    let facts = &seen["structuredContent"];
    assert_eq!(
        (&facts["session_id"], &facts["project"], &facts["status"]),
        (&json!(own), &json!("shop"), &json!("active"))
    );
    // Another folder, and another program in the same one, are others.
    for (folder, client) in [("mill", "agent"), ("shop", "other")] {
        let other = passing(&home, &server, folder, client, "add_message", json!({ "text": "hello" }));
        assert_ne!(other["structuredContent"]["session_id"], json!(own), "{other}");
    }
    assert_eq!(visits(&home).len(), 3);
    server.stop();
    let ended = visits(&home);
    assert!(ended.iter().all(|session| session["status"] == "ended"), "{ended:?}");
    let events = home.events(&own);
    assert_eq!(crate::sample::types(&events), ["command", "session_start", "message", "checkpoint", "session_end"]);
    let end = &events.last().unwrap()["data"];
    assert_eq!(
        end["tool_calls"],
        json!({ "add_message": 1, "checkpoint": 1, "get_session": 1, "track_events": 1 }),
        "{end}"
    );
}

#[test]
fn an_address_that_comes_again_is_no_client_that_comes_again() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    let _ = git::repository(&home, "mill");
    let said = |folder: &str, port: u16| {
        // The server closes, so that the address is free at once; unless the client was the first to close.
        let options = ["--local-port", &port.to_string(), "-H", "Connection: close"];
        let told = passing_with(&home, &server, folder, "agent", "add_message", json!({ "text": folder }), &options);
        if told.code == Some(ADDRESS_TAKEN) {
            return None;
        }
        let told = told.expect_success().json()["result"].clone();
        Some(told["structuredContent"]["session_id"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned())
    };
    let (shop, mill) = eventually(END, "the same address twice", || {
        let port = ports::free();
        Some((said("shop", port)?, said("mill", port)?))
    });
    assert_ne!(shop, mill);
    for (id, project) in [(shop, "shop"), (mill, "mill")] {
        assert!(home.events(&id).iter().any(|event| event["data"]["message"] == project), "{project}");
    }
    server.stop();
}

#[test]
fn a_client_without_a_connection_that_falls_silent_ends_at_its_last_call() {
    let home = impatient();
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    let told = passing(&home, &server, "shop", "agent", "add_message", json!({ "text": "only" }));
    let own = told["structuredContent"]["session_id"].as_str().unwrap().to_owned();
    let end = eventually(END, "the end of the silent client's session", || {
        home.events(&own).into_iter().find(|event| event["event_type"] == "session_end")
    });
    assert!(["idle", "client gone"].contains(&end["data"]["reason"].as_str().unwrap()), "{end}");
    let message = home.events(&own).into_iter().find(|event| event["event_type"] == "message").unwrap();
    let late = end["timestamp"].as_str() > message["timestamp"].as_str();
    assert!(!late, "the session ended when it was heard of last: {message} {end}");
    let again = passing(&home, &server, "shop", "agent", "add_message", json!({ "text": "back" }));
    assert_ne!(again["structuredContent"]["session_id"], json!(own), "who comes back later comes anew");
    server.stop();
}

#[test]
fn elsewhere_a_session_is_opened_when_something_is_recorded() {
    let home = TestHome::new();
    let server = Server::start(&home);
    std::fs::create_dir_all(home.work().join("plain")).unwrap();
    passing(&home, &server, "plain", "agent", "search", json!({ "query": "anything" }));
    let none = passing(&home, &server, "plain", "agent", "get_session", json!({}));
    assert_eq!(none["structuredContent"]["field"], "session_id", "{none}");
    assert_eq!(visits(&home), Vec::<Value>::new());
    passing(&home, &server, "plain", "agent", "add_message", json!({ "text": "kept" }));
    let sessions = visits(&home);
    assert_eq!((sessions.len(), &sessions[0]["project"]), (1, &Value::Null), "{sessions:?}");
    server.stop();
    // The same on standard input, by both revisions.
    for revision in Revision::ALL {
        let mut client = StdioClient::start(&home.session_buddy(["start", "--mode=standard", "--mcp"]));
        if revision == Revision::V2025_11_25 {
            client.handshake();
        }
        let first = client.tool(revision, "add_message", json!({ "text": "one" }));
        let second = client.tool(revision, "store_test_result", json!({ "test_file": "a", "result": "passed" }));
        assert!(first["structuredContent"]["session_id"].is_string(), "{first}");
        assert_eq!(first["structuredContent"]["session_id"], second["structuredContent"]["session_id"], "{second}");
        client.process.close_stdin();
        client.process.wait(END);
    }
    assert_eq!(visits(&home).len(), 3);
}

#[test]
fn where_clients_get_no_sessions_a_call_has_to_name_one() {
    let home = TestHome::new().with_var("SESSION_BUDDY_SESSION_TRACKING__AUTO_INIT", "false");
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    for tool in ["add_message", "track_events"] {
        let arguments = if tool == "add_message" { json!({ "text": "x" }) } else { json!({ "events": [] }) };
        let refused = passing(&home, &server, "shop", "agent", tool, arguments);
        let error = &refused["structuredContent"];
        assert_eq!(
            (refused["isError"].as_bool(), error["field"].as_str()),
            (Some(true), Some("session_id")),
            "{refused}"
        );
        assert!(error["hint"].is_string(), "{error}");
    }
    assert_eq!(visits(&home), Vec::<Value>::new());
    server.stop();
}
