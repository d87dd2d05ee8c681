//! Mahavishnu's own server as its commands see it: exit codes of health, calls of tools, what a start says.

use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::secret::Secret;
use oneiric::token::{Claims, Scope, mint};
use rustix::process::Signal;
use testkit::{Orchestrator, Server, TestHome, ports};

const SECRET: &str = "wK3nX8vQ2pZr5tYc7mLd9sHf1bGj4aUe6o";

/// A home with auth, and tokens of one scope each.
fn guarded() -> (TestHome, impl Fn(Scope) -> String) {
    let home = Orchestrator::home(&["core"])
        .with_var("MAHAVISHNU_AUTH_SECRET", SECRET)
        .with_var("MAHAVISHNU_AUTH_ENABLED", "true");
    let token = |scope: Scope| {
        let claims = Claims::new("rita", "mahavishnu", "mahavishnu", &[scope]);
        mint(&Secret::new(SECRET), &claims, SystemClock.now(), Duration::from_secs(600)).unwrap()
    };
    (home, token)
}

fn audit(home: &TestHome) -> String {
    std::fs::read_to_string(home.mahavishnu_home().join("logs/audit.log")).unwrap_or_default()
}

#[test]
fn health_of_a_server_that_is_down_fails_and_says_how_to_start_it() {
    let home = TestHome::patient().with_var("MAHAVISHNU_PORT", ports::free().to_string());
    let buddy = Server::start(&home);
    for words in [["mcp", "health"].as_slice(), &["health"]] {
        let down = home.mahavishnu(words).run();
        down.expect_code(1).expect_no_internals();
        let line = "✗ Mahavishnu MCP server: not running";
        assert!(down.stdout.contains(line) && down.stdout.contains("mahavishnu mcp start"), "{down}");
    }
    let json = home.mahavishnu(["health", "--json"]).run();
    assert_eq!(json.expect_code(1).json()["failing"][0], "Mahavishnu MCP server");
    let inside = home.mahavishnu(["shell", "-c", "mcp health"]).run();
    inside.expect_code(1);
    let server = Orchestrator::start(&home);
    for words in [["mcp", "health"].as_slice(), &["health"]] {
        let up = home.mahavishnu(words).run();
        assert!(up.expect_success().stdout.contains("✓ Mahavishnu MCP server: healthy"), "{up}");
    }
    drop(server);
    home.mahavishnu(["mcp", "health"]).run().expect_code(1);
    buddy.stop();
}

#[test]
fn a_server_that_hangs_is_not_called_healthy() {
    let home = TestHome::new();
    let server = Orchestrator::start(&home);
    let health = testkit::http::get(server.port(), "/health").unwrap().json();
    let parts = health["parts"].as_array().unwrap();
    let peer = parts.iter().find(|part| part["name"] == "Session-Buddy").unwrap();
    assert_eq!((peer["state"].as_str(), peer["word"].as_str()), (Some("off"), Some("not connected")), "{health}");
    server.signal(Signal::STOP);
    let hangs = home.mahavishnu(["mcp", "health"]).limit(Duration::from_secs(60)).run();
    server.signal(Signal::CONT);
    assert!(hangs.expect_code(1).stdout.contains("✗ Mahavishnu MCP server: does not answer"), "{hangs}");
}

#[test]
fn adapters_and_authentication_are_told_as_the_server_has_them_not_as_the_caller_would() {
    let mut home = TestHome::new().with_var("MAHAVISHNU_AUTH_SECRET", SECRET);
    let server = Orchestrator::start(&home);
    home.clear_var("MAHAVISHNU_AUTH_SECRET");
    // The caller's own settings know another engine.
    let asked = home
        .mahavishnu(["mcp", "health"])
        .var("MAHAVISHNU_AUTH_SECRET", SECRET)
        .var("MAHAVISHNU_ADAPTERS__AGNO_ENABLED", "true")
        .var("MAHAVISHNU_ADAPTERS__AGNO_URL", "http://127.0.0.1:1")
        .run();
    let told = &asked.expect_success().stdout;
    assert!(told.contains("✓ Authentication: enabled") && told.contains("agno (disabled)"), "{asked}");
    let denied = home.mahavishnu(["mcp", "health"]).run();
    assert!(denied.expect_code(1).stdout.contains("- Adapters: not known"), "{denied}");
    // A peer that is down does not make the server unhealthy.
    let health = testkit::http::get(server.port(), "/health").unwrap();
    assert_eq!(health.json()["status"], "healthy");
    let answer =
        home.mahavishnu(["health", "--json"]).var("MAHAVISHNU_AUTH_SECRET", SECRET).run().expect_code(1).json();
    assert!(answer["failing"].to_string().contains("Session-Buddy"), "{answer}");
}

#[test]
fn a_tool_of_a_server_that_is_down_is_not_asked_of_somebody_else() {
    let home = TestHome::patient();
    let down = home.mahavishnu(["mcp", "call-tool", "list_repos"]).run();
    down.expect_code(6).expect_no_internals();
    assert!(down.stderr.contains("mahavishnu mcp start") && !down.stderr.contains("session-buddy"), "{down}");
}

#[test]
fn tools_called_by_command_take_the_token_that_they_take_elsewhere() {
    let (home, token) = guarded();
    let _server = Orchestrator::start(&home);
    let (reader, writer) = (token(Scope::Read), token(Scope::Write));
    let call = |words: &[&str]| home.mahavishnu(["mcp", "call-tool"].iter().chain(words)).run();
    let sweep = r#"{"command": ["touch", "made"], "repos": ["core"], "wait": 9}"#;
    for words in [["sweep", sweep], ["decide_workflow", r#"{"workflow_id": "x"}"#], ["list_repos", "{}"]] {
        let refused = call(&words);
        refused.expect_code(1).expect_no_internals();
        assert!(refused.stderr.contains("401 Unauthorized"), "{refused}");
        let line = format!("door=cli from=local who=- what={}", words[0]);
        assert!(audit(&home).lines().any(|known| known.contains("outcome=denied") && known.contains(&line)), "{line}");
    }
    let lacks = call(&["sweep", sweep, "--token", &reader]);
    assert!(lacks.expect_code(1).stderr.contains("403 Forbidden"), "{lacks}");
    let lacks = call(&["decide_workflow", r#"{"workflow_id": "x"}"#, "--token", &writer]);
    assert!(lacks.expect_code(1).stderr.contains("'admin'"), "{lacks}");
    assert!(!home.work().join("core/made").exists());
    call(&["list_repos", "--token", &reader]).expect_success();
    // What Session-Buddy would be asked with this program's own rights.
    call(&["get_session", r#"{"session_id": "x"}"#]).expect_code(1);
    call(&["sweep", sweep, "--token", &writer]).expect_success();
    assert!(home.work().join("core/made").exists());
}

#[test]
fn whatever_shows_what_is_kept_takes_a_token() {
    let (home, token) = guarded();
    let reader = token(Scope::Read);
    let report = "report --output page.html";
    for words in ["list-repos", "workflow list", "pool tasks", "adapters list", "sessions", "logs", "metrics", report] {
        let asked = || home.mahavishnu(words.split(' '));
        let refused = asked().run();
        assert!(refused.expect_code(1).stderr.contains("401 Unauthorized"), "{refused}");
        asked().var("MAHAVISHNU_TOKEN", &reader).run().expect_no_internals().expect_success();
    }
}

#[test]
fn the_shell_takes_a_token_and_its_commands_may_what_that_may() {
    let (home, token) = guarded();
    let (reader, writer) = (token(Scope::Read), token(Scope::Write));
    let shell = |words: &[&str]| home.mahavishnu(["shell"].iter().chain(words)).run();
    let sweep = "sweep --repo core -- touch made";
    let closed = shell(&["-c", sweep]);
    closed.expect_code(1).expect_no_internals();
    assert!(closed.stderr.contains("401 Unauthorized") && closed.stderr.contains("generate-token"), "{closed}");
    home.mahavishnu(["shell"]).stdin("list-repos\n").run().expect_code(1);
    assert!(home.waiting_spools().is_empty(), "no session was opened");
    let read = shell(&["-c", "list-repos", "--token", &reader]);
    assert!(read.expect_success().stdout.contains("core"), "{read}");
    let lacks = shell(&["-c", sweep, "--token", &reader]);
    assert!(lacks.expect_code(1).everything().contains("403 Forbidden"), "{lacks}");
    assert!(!home.work().join("core/made").exists());
    shell(&["-c", sweep, "--token", &writer]).expect_success();
    assert!(home.work().join("core/made").exists());
    home.mahavishnu(["shell", "-c", "list-repos"]).var("MAHAVISHNU_TOKEN", &reader).run().expect_success();
    let lines = audit(&home);
    for parts in [
        ["outcome=denied", "door=cli", "who=-", "what=shell"],
        ["outcome=denied", "door=shell", "who=rita", "what=sweep"],
        ["outcome=done", "door=shell", "who=rita", "what=sweep"],
    ] {
        assert!(lines.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?} in {lines}");
    }
}

#[test]
fn whoever_asks_for_metrics_on_a_port_of_their_own_is_told_where_they_are() {
    let home = TestHome::new();
    let mut server = home
        .mahavishnu(["mcp", "start", "--metrics-enabled", "--port", "0", "--transport", "http"])
        .var("PROMETHEUS_METRICS_PORT", "9191")
        .spawn_without_input();
    while !server.next_line(Duration::from_secs(30)).expect("the server serves").contains("Ready") {}
    server.signal(Signal::TERM);
    server.wait(Duration::from_secs(20));
    let said = server.rest().1;
    assert!(said.contains("[WARN]") && said.contains("9191") && said.contains("/metrics"), "{said}");
    let port = ports::free().to_string();
    let detached =
        home.mahavishnu(["mcp", "start", "--detach", "--port", &port]).var("PROMETHEUS_METRICS_ENABLED", "true").run();
    assert!(detached.expect_success().stderr.contains("warning: metrics have no port"), "{detached}");
    home.mahavishnu(["mcp", "stop"]).run().expect_success();
}
