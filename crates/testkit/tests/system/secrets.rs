//! Secrets that people type, print and send reach no file.

use std::fs;
use std::time::Duration;

use serde_json::json;
use testkit::{Chance, Server, TestHome, git, scan};

use crate::sample::{at, session_start};

const LETTERS: &str = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &str = "0123456789abcdef";

/// A secret: how it is written where people put it, and the part that nobody may find.
struct Planted {
    kind: &'static str,
    text: String,
    needle: String,
}

/// One of each kind, different in each run and each place. Put together here, so that no file of the project holds one.
fn planted(chance: &mut Chance) -> Vec<Planted> {
    let mut all = Vec::new();
    let mut add = |kind, before: &str, secret: String, after: &str| {
        all.push(Planted { kind, text: format!("{before}{secret}{after}"), needle: secret });
    };
    add("AWS access key", "", format!("AK{}{}", "IA", chance.text(UPPER, 16)), "");
    add("AWS secret key", "aws_secret_access_key=", chance.text(LETTERS, 40), "");
    add("GitHub token", "", format!("gh{}_{}", 'p', chance.text(LETTERS, 36)), "");
    add(
        "GitHub fine-grained token",
        "",
        format!("github_{}_{}_{}", "pat", chance.text(LETTERS, 22), chance.text(LETTERS, 59)),
        "",
    );
    add("GitLab token", "", format!("gl{}-{}", "pat", chance.text(LETTERS, 20)), "");
    add("Slack token", "", format!("xo{}-{}-{}", "xb", "123456789012", chance.text(LETTERS, 24)), "");
    add("Stripe key", "", format!("sk_{}_{}", "live", chance.text(LETTERS, 24)), "");
    add("OpenAI key", "", format!("sk-{}-{}", "proj", chance.text(LETTERS, 48)), "");
    add("Anthropic key", "", format!("sk-{}-api03-{}", "ant", chance.text(LETTERS, 90)), "");
    add("Google key", "", format!("AI{}{}", "zaSy", chance.text(LETTERS, 33)), "");
    add("npm token", "", format!("npm{}{}", '_', chance.text(LETTERS, 36)), "");
    let part = |chance: &mut Chance| chance.text(LETTERS, 43);
    add("JSON web token", "", format!("eyJ{}.eyJ{}.{}", "hbGciOiJIUzI1NiJ9", part(chance), part(chance)), "");
    add("password in a URL", "postgres://ada:", chance.text(LETTERS, 14), "@db.example.org:5432/sales");
    add("password assignment", "PGPASSWORD=", chance.text(LETTERS, 16), "");
    add("password option", "mysql --password=", chance.text(LETTERS, 16), " -u ada");
    add("bearer header", "curl -H 'Authorization: Bearer ", chance.text(HEX, 40), "' http://127.0.0.1");
    add("basic header", "Authorization: Basic ", chance.text(LETTERS, 30), "==");
    add("key by its name", "api_key: ", chance.text(HEX, 32), "");
    add("client secret", "client_secret=", chance.text(LETTERS, 32), "");
    all
}

/// A private key as a file holds it; each line of its body is a needle.
fn private_key(chance: &mut Chance) -> (String, Vec<String>) {
    let lines: Vec<String> = (0..6).map(|_| chance.text(LETTERS, 64)).collect();
    let kind = format!("{} {}", "PRIVATE", "KEY");
    (format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----", lines.join("\n")), lines)
}

/// Single-quoted for Starlark and for `sh`: the planted texts hold no backslash.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'"))
}

/// Makes a statement of the shell out of a planted text.
type Statement = fn(&str) -> String;

struct Needles(Vec<(String, String)>);

impl Needles {
    fn plant(&mut self, place: &str, secret: &Planted) {
        self.0.push((format!("{} in {place}", secret.kind), secret.needle.clone()));
    }

    fn expect_nowhere(&self, home: &TestHome) {
        let mut found = Vec::new();
        for (what, needle) in &self.0 {
            for (file, around) in scan::files_with(&home.user(), needle) {
                found.push(format!("{what}: {}: …{around}…", file.strip_prefix(home.root()).unwrap().display()));
            }
        }
        assert!(found.is_empty(), "secrets on disk:\n{}", found.join("\n"));
    }
}

/// A session that plants every kind in every place where a shell hears of one.
fn shell_session(home: &TestHome, chance: &mut Chance, needles: &mut Needles) {
    let mut input = String::new();
    let places: [(&str, Statement); 6] = [
        ("a command", |text| format!("len({})", quoted(text))),
        ("printed output", |text| {
            let (head, tail) = text.split_at(text.len() / 2);
            format!("print({} + {})", quoted(head), quoted(tail))
        }),
        ("a system command", |text| format!("!echo {} > /dev/null", quoted(text))),
        ("a system command's output", |text| format!("!printf '%s\\n' {}", quoted(text))),
        ("an error's text", |text| format!("fail({})", quoted(text))),
        ("a variable", |text| format!("kept = {}\nkept", quoted(text))),
    ];
    for (place, statement) in places {
        // The halves of a printed secret stand in the command's text; only the whole is a secret there.
        for secret in planted(chance) {
            input.push_str(&statement(&secret.text));
            input.push('\n');
            needles.plant(place, &secret);
        }
    }
    let (key, lines) = private_key(chance);
    let file = home.work().join(format!("id-{}", chance.below(1 << 30)));
    fs::write(&file, &key).unwrap();
    input.push_str(&format!("!cat {}\n", file.display()));
    for line in lines {
        needles.0.push(("private key in output".into(), line));
    }
    input.push_str("exit\n");
    let mut shell = home.mahavishnu(["shell"]).stdin(input).limit(Duration::from_secs(60));
    for (name, secret) in [
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DATABASE_URL",
        "PS1",
        "EDITOR",
        "VIRTUAL_ENV",
        "TERM_PROGRAM",
        "SHELL",
    ]
    .iter()
    .zip(planted(chance).into_iter().skip(2))
    {
        shell = shell.var(name, secret.text.clone());
        needles.plant(&format!("variable {name}"), &secret);
    }
    let _ = shell.run();
}

#[test]
fn secrets_reach_no_file_with_the_server_up() {
    let mut chance = Chance::printed("secrets, server up");
    let server_secret = chance.text(LETTERS, 43);
    let home = TestHome::new()
        .with_var("SESSION_BUDDY_SECRET", server_secret.clone())
        .with_var("SESSION_BUDDY_LOG_LEVEL", "DEBUG")
        .with_var("MAHAVISHNU_LOG_LEVEL", "DEBUG")
        .with_var("MAHAVISHNU_TRACE_SESSIONS", "true");
    let mut needles = Needles(vec![("the server's own secret".into(), server_secret)]);
    let server = Server::start(&home);
    shell_session(&home, &mut chance, &mut needles);
    server.expect_all_delivered(&home);
    assert_eq!(home.sessions(&[]).len(), 1);
    needles.expect_nowhere(&home);
    server.stop();
    needles.expect_nowhere(&home);
}

#[test]
fn secrets_reach_no_file_with_the_server_down() {
    let mut chance = Chance::printed("secrets, server down");
    let home = TestHome::new();
    let mut needles = Needles(vec![]);
    shell_session(&home, &mut chance, &mut needles);
    assert_eq!(home.waiting_spools().len(), 1);
    needles.expect_nowhere(&home);
    assert_eq!(home.sessions(&[]).len(), 1);
    needles.expect_nowhere(&home);
}

#[test]
fn secrets_that_clients_send_to_the_server_reach_no_file() {
    let mut chance = Chance::printed("secrets, clients");
    let home = TestHome::new().with_var("SESSION_BUDDY_LOG_LEVEL", "DEBUG");
    let mut needles = Needles(vec![]);
    let server = Server::start(&home);
    let mut start = session_start("start", 0);
    let mut metadata = serde_json::Map::new();
    for secret in planted(&mut chance) {
        metadata.insert(format!("note {}", secret.kind), json!(secret.text));
        needles.plant("session metadata", &secret);
    }
    let named = chance.text(LETTERS, 20);
    metadata.insert("env".into(), json!({ "DB_PASSWORD": named }));
    needles.0.push(("a value under a telling name".into(), named));
    start["metadata"] = json!(metadata);
    let result = server.tool("track_session_start", start);
    let session = result["structuredContent"]["session_id"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
    let mut events = Vec::new();
    for (number, secret) in planted(&mut chance).into_iter().enumerate() {
        let data =
            json!({ "command": secret.text, "nested": [{ "deep": { "text": format!("see {}", secret.text) } }] });
        events.push(
            json!({ "event_id": format!("c-{number}"), "event_type": "command", "timestamp": at(1), "data": data }),
        );
        needles.plant("an event's data", &secret);
    }
    for (number, secret) in planted(&mut chance).into_iter().enumerate() {
        let data = json!({ secret.text.clone(): 1 });
        events.push(
            json!({ "event_id": format!("k-{number}"), "event_type": "message", "timestamp": at(2), "data": data }),
        );
        needles.plant("a key of an event's data", &secret);
    }
    for (number, name) in ["password", "token", "apiKey", "client_secret", "AUTH_TOKEN"].iter().enumerate() {
        let value = chance.text(LETTERS, 12);
        let data = json!({ "settings": { *name: value } });
        events.push(
            json!({ "event_id": format!("n-{number}"), "event_type": "message", "timestamp": at(3), "data": data }),
        );
        needles.0.push((format!("a value named {name}"), value));
    }
    let count = events.len();
    let receipt = server.tool("track_events", json!({ "session_id": session, "events": events }));
    assert_eq!(receipt["structuredContent"]["accepted"], count, "{receipt}");
    // Also what is refused, searched for or misspelt may be logged.
    for secret in planted(&mut chance) {
        let _ = server.tool("search", json!({ "query": secret.text }));
        let _ = server.tool("get_session", json!({ "session_id": secret.text }));
        let _ = testkit::http::get(server.port(), &format!("/health?token={}", secret.needle));
        needles.plant("a request", &secret);
    }
    let end = json!({ "session_id": session, "timestamp": at(9), "event_type": "session_end", "metadata": { "note": format!("gh{}_{}", 'p', chance.text(LETTERS, 36)) } });
    needles.0.push(("the end's metadata".into(), end["metadata"]["note"].as_str().unwrap().to_owned()));
    let _ = server.tool("track_session_end", end);
    needles.expect_nowhere(&home);
    server.stop();
    needles.expect_nowhere(&home);
}

#[test]
fn a_history_file_holds_no_secret_and_a_remotes_password_is_not_kept() {
    let mut chance = Chance::printed("secrets, history");
    let home = TestHome::new();
    let repository = git::repository(&home, "billing");
    let password = chance.text(LETTERS, 18);
    git::git(
        &home,
        &repository,
        &["remote", "add", "origin", &format!("https://ada:{password}@git.example.org/billing.git")],
    );
    let server = Server::start(&home);
    let secrets = planted(&mut chance);
    let mut needles = Needles(vec![("the remote's password".into(), password)]);
    let terminal = Terminal::start(&home, &repository);
    terminal.expect("mahavishnu");
    for (number, secret) in secrets.iter().enumerate() {
        // The sum comes back by itself: what is typed does not hold it.
        terminal.line(&format!("len({}) and {number} + 100000", quoted(&secret.text)));
        terminal.expect(&format!("{}", number + 100_000));
        needles.plant("the history", secret);
    }
    needles.expect_nowhere(&home);
    terminal.line("exit");
    terminal.expect_end();
    let history = fs::read_to_string(home.mahavishnu_home().join("shell_history")).expect("a history");
    assert!(history.contains("and 1 + 100000"), "the history is kept: {history}");
    needles.expect_nowhere(&home);
    server.stop();
    needles.expect_nowhere(&home);
}

/// The shell in a terminal of its own, by `tmux`: only an interactive shell keeps a history.
struct Terminal<'a> {
    home: &'a TestHome,
    socket: String,
}

impl<'a> Terminal<'a> {
    fn start(home: &'a TestHome, cwd: &std::path::Path) -> Self {
        let there = home.sh("command -v tmux").run().code == Some(0);
        assert!(there, "tmux is missing: scripts/test installs it");
        let terminal = Self { home, socket: home.work().join("tmux").to_string_lossy().into_owned() };
        let shell = format!("exec {} shell", testkit::binaries::path("mahavishnu").display());
        let started = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "160",
            "-y",
            "50",
            "-c",
            &cwd.to_string_lossy(),
            &shell,
        ]);
        started.expect_success();
        terminal
    }

    fn tmux(&self, args: &[&str]) -> testkit::Finished {
        // Not the user's own shell, which may be none at all.
        self.home.program("tmux", ["-S", self.socket.as_str()].iter().chain(args)).var("SHELL", "/bin/sh").run()
    }

    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]).expect_success();
        self.tmux(&["send-keys", "Enter"]).expect_success();
    }

    /// Waits until the screen shows `text`.
    fn expect(&self, text: &str) {
        testkit::soon(&format!("'{text}' on the screen"), || self.tmux(&["capture-pane", "-p"]).stdout.contains(text));
    }

    fn expect_end(&self) {
        testkit::soon("the shell's end", || self.tmux(&["has-session"]).code != Some(0));
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
