//! Lines of the guide that stand apart from its way from installation to verification: section 6.1, issue 5, and the morning
//! checks of section 8.1.

use testkit::{Orchestrator, Server, TestHome, model, ports};

#[test]
fn issue_5_semantic_search_is_diagnosed_and_mended_as_printed() {
    let home = TestHome::patient().with_var("SESSION_BUDDY_EMBEDDING_MODEL", "tiny");
    let server = Server::start(&home);
    home.session_buddy(["add-message", "--session", "notes", "workflow orchestration at night"]).run().expect_success();
    let told = home.session_buddy(["health"]).run();
    assert!(told.expect_success().stdout.contains("models pull"), "health says what mends it: {told}");
    let shown = home.sh("session-buddy config | grep semantic").run();
    assert!(shown.expect_success().stdout.contains("semantic_search_enabled"), "{shown}");
    // In the place of the download, which needs the hub.
    let made = model::folder(&home.work(), "made", 0, 1).to_string_lossy().into_owned();
    home.session_buddy(["models", "import", "--name", "tiny", "--accept-digest", &made]).run().expect_success();
    let listed = home.sh("ls -lh ~/.session-buddy/models/").run();
    assert!(listed.expect_success().stdout.contains("tiny"), "{listed}");
    let script =
        "export SESSION_BUDDY_SEMANTIC_SEARCH=true\nsession-buddy search \"workflow orchestration\" --search-type text";
    let found = home.sh(script).run();
    assert!(found.expect_success().stdout.contains("workflow orchestration at night"), "{found}");
    assert!(found.stderr.is_empty(), "{found}");
    let found = home.sh("session-buddy search \"workflow orchestration\"").run();
    assert!(found.expect_success().stdout.contains("workflow orchestration at night"), "{found}");
    let off = home
        .sh("export SESSION_BUDDY_SEMANTIC_SEARCH=false\nsession-buddy config | grep semantic_search.enabled")
        .run();
    assert!(off.expect_success().stdout.contains("false"), "{off}");
    server.stop();
}

#[test]
fn the_morning_checks_of_section_8_1_run_to_the_letter() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let _own = Orchestrator::start(&home);
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    server.expect_all_delivered(&home);
    // One that is still open.
    home.session_buddy(["add-message", "--session", "notes", "since yesterday"]).run().expect_success();
    let script = "set -e\n\
        # Check service health\nmahavishnu mcp health\nsession-buddy health\n\n\
        # Check active sessions\nsession-buddy list-sessions --status active\n\n\
        # Check error rate\nmahavishnu logs --level ERROR --since 24h\n\n\
        # Check disk space\ndf -h ~/.session-buddy/\n";
    let done = home.sh(script).run();
    done.expect_success().expect_no_internals();
    for line in [
        "✓ Mahavishnu MCP server: healthy",
        "✓ Session-Buddy MCP server: healthy",
        "✓ Database: connected",
        "Session ID",
        "Filesystem",
    ] {
        assert!(done.stdout.contains(line), "'{line}' is missing: {done}");
    }
    server.stop();
}

#[test]
fn the_failure_rate_of_sessions_is_told_as_the_guides_incident_asks() {
    let home = TestHome::patient();
    let line = "mahavishnu metrics --metric session_failure_rate";
    let down = home.sh(line).run();
    down.expect_code(6).expect_no_internals();
    assert!(down.stderr.contains("session-buddy mcp start"), "{down}");
    let server = Server::start(&home);
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    home.mahavishnu(["shell", "-c", "fail('on purpose')"]).run().expect_code(1);
    server.expect_all_delivered(&home);
    let told = home.sh(line).run();
    assert!(told.expect_success().stdout.contains("50.0 %"), "{told}");
    let json = home.sh(&format!("{line} --format json")).run().expect_success().json();
    assert_eq!((&json[0]["metric"], json[0]["value"].as_f64()), (&"session_failure_rate".into(), Some(0.5)), "{json}");
    let all = home.sh("mahavishnu metrics --range 7d").run();
    assert!(all.expect_success().stdout.contains("session_seconds"), "{all}");
    let none = home.sh("mahavishnu metrics --metric session --range 0d --format json").run().expect_success().json();
    assert_eq!((none[0]["value"].as_f64(), none.as_array().map(Vec::len)), (Some(0.0), Some(2)), "{none}");
    let part = home.sh("mahavishnu metrics --metric session_failure --range 90m --format json").run();
    assert_eq!(part.expect_success().json()[0]["value"].as_f64(), Some(0.5), "{part}");
    server.stop();
}

#[test]
fn the_lines_about_mahavishnu_itself_run_as_printed() {
    let home = TestHome::patient().with_var("MAHAVISHNU_PORT", ports::free().to_string());
    let server = Server::start(&home);
    let script = r#"set -e
        trap 'mahavishnu mcp stop >/dev/null 2>&1 || true' EXIT
        mahavishnu --version
        mahavishnu mcp restart
        mahavishnu mcp health
        mahavishnu health
        mahavishnu shell -c "exit"
        mahavishnu shell -c "ps(); top(); sync()" && echo "✓ E2E test passed"
        mahavishnu sessions
        mahavishnu mcp call-tool list_sessions
        mahavishnu mcp call-tool list_sessions '{"limit": 5, "session_type": "admin_shell"}'
        mahavishnu config | grep session
        mahavishnu config | grep auth_enabled
        mahavishnu logs --level ERROR --limit 10
        mahavishnu logs --grep "ConnectionRefusedError" --since 1h
        mahavishnu logs --grep "TimeoutError" --since 1h
        mahavishnu metrics --range 7d
        mahavishnu report --range 30d --output report.html
        mahavishnu mcp restart
        mahavishnu mcp stop
        echo "all lines ran""#;
    let done = home.sh(script).limit(std::time::Duration::from_secs(120)).run();
    done.expect_success().expect_no_internals();
    for line in ["✓ Mahavishnu MCP server: healthy", "✓ E2E test passed", "admin_shell", "report.html", "all lines ran"]
    {
        assert!(done.stdout.contains(line), "'{line}' is missing: {done}");
    }
    let page = std::fs::read_to_string(home.work().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"), "{page}");
    server.stop();
}
