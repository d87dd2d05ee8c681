//! Mahavishnu's own server as its commands see it: exit codes of health, calls of tools, what a start says.

use std::time::Duration;

use rustix::process::Signal;
use testkit::{Orchestrator, Server, TestHome, ports};

const SECRET: &str = "wK3nX8vQ2pZr5tYc7mLd9sHf1bGj4aUe6o";

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
