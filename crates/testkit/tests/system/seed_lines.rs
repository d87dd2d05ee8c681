//! The lines of the deployment guide, run by `/bin/sh` as they are printed there.

use std::fs;

use serde_json::Value;
use testkit::{Server, TestHome, git, soon};

use crate::sample::{commands, id, types};

/// A home whose shell knows one repository, and whose working directory is that repository.
fn home_with_repository() -> (TestHome, std::path::PathBuf) {
    let home = TestHome::patient();
    let repository = git::repository(&home, "billing");
    fs::create_dir_all(home.mahavishnu_home()).unwrap();
    let manifest = format!(
        "roles:\n  - name: service\nrepos:\n  - name: billing\n    path: {}\n    role: service\n    tags: [backend]\n",
        repository.display()
    );
    fs::write(home.mahavishnu_home().join("repos.yaml"), manifest).unwrap();
    (home, repository)
}

#[test]
fn step_3_the_command_line_answers_and_the_server_prints_its_three_lines_and_is_healthy() {
    let home = TestHome::patient();
    assert!(home.sh("session-buddy --help").run().expect_success().stdout.contains("mcp"));
    let version = home.sh("session-buddy --version").run();
    assert!(version.expect_success().stdout.contains("0."), "{version}");
    let server = Server::start_with(&home, &["mcp", "start"]);
    let answer = home.sh(&format!("curl -s http://127.0.0.1:{}/health", home.port())).run().expect_success().json();
    assert_eq!(answer["status"], "healthy");
    assert!(answer["version"].as_str().is_some_and(|version| version.starts_with("0.")), "{answer}");
    let (stdout, stderr) = server.kill_and_read();
    let said = format!("{stdout}{stderr}");
    let first: Vec<&str> = said.lines().take(3).collect();
    let starting = format!("[INFO] Starting Session-Buddy MCP server on 127.0.0.1:{}", home.port());
    assert_eq!(first, [starting.as_str(), "[INFO] Session tracking enabled", "[INFO] Ready to accept connections"]);
}

#[test]
fn step_3_4_a_server_that_nohup_started_outlives_its_shell_and_is_found_by_its_pid() {
    let home = TestHome::patient();
    let log = home.work().join("session-buddy.log");
    let pid = home.work().join("session-buddy.pid");
    let script = format!(
        "nohup session-buddy mcp start > {} 2>&1 &\necho $! > {}",
        log.to_string_lossy(),
        pid.to_string_lossy()
    );
    home.sh(&script).run().expect_success();
    soon("the server to answer", || {
        testkit::http::get(home.port(), "/health").is_some_and(|answer| answer.status == 200)
    });
    let written = fs::read_to_string(&pid).unwrap();
    let line = home.sh(&format!("ps -p {} -o args=", written.trim())).run();
    assert!(line.expect_success().stdout.contains("session-buddy"), "{line}");
    home.sh("session-buddy mcp stop").run().expect_success();
    assert!(testkit::http::get(home.port(), "/health").is_none(), "it was stopped");
}

#[test]
fn step_4_what_is_done_in_the_shell_is_found_listed_and_shown() {
    let (home, repository) = home_with_repository();
    let _server = Server::start(&home);
    let input = "ps()  # Show workflows (if any)\n%repos  # List repositories\nexit  # Exit shell\n";
    let shell = home.mahavishnu(["shell"]).cwd(&repository).stdin(input).run();
    assert!(shell.expect_success().stdout.contains("billing"), "{shell}");
    let table = home.sh("session-buddy list-sessions --type admin_shell --limit 5").run();
    for word in ["Session ID", "Component", "Duration", "Events", "mahavishnu", "┌", "└"] {
        assert!(table.expect_success().stdout.contains(word), "'{word}' is missing: {table}");
    }
    let sessions = home.sessions(&["--type", "admin_shell"]);
    assert_eq!(sessions.len(), 1);
    let session = id(&sessions[0]);
    // The table shows an id that the next commands take.
    let row = table.stdout.lines().find(|line| line.contains("mahavishnu")).unwrap();
    let shown = row.split('│').map(str::trim).find(|cell| !cell.is_empty()).unwrap().trim_end_matches('…');
    assert!(session.starts_with(shown), "{shown} is no beginning of {session}");
    for given in [session.as_str(), shown] {
        let details = home.sh(&format!("session-buddy get-session {given}")).run();
        assert!(details.expect_success().stdout.contains(&session), "{details}");
        let events = home.sh(&format!("session-buddy list-events --session-id {given}")).run();
        assert!(events.expect_success().stdout.contains("%repos"), "{events}");
    }
    assert_eq!(types(&home.events(&session)), ["session_start", "command", "command", "session_end"]);
}

#[test]
fn step_4_1_every_health_check_prints_the_guides_lines() {
    let home = TestHome::patient();
    let _server = Server::start(&home);
    let health = home.sh("session-buddy health").run();
    let expected = [
        "Status: healthy",
        "MCP Server",
        "✓ Session-Buddy MCP server: healthy",
        "✓ Database: connected",
        "✓ Session tracking: enabled",
    ];
    for line in expected {
        assert!(health.expect_success().stdout.contains(line), "'{line}' is missing: {health}");
    }
    // The second document's own line.
    home.sh("session-buddy health | grep \"MCP Server\"").run().expect_success();
    let json = home.sh("session-buddy health --json").run().expect_success().json();
    assert_eq!(json["status"], "healthy");
    let tracking = home.sh("mahavishnu test-session-tracking").run();
    let expected = ["✓ Session-Buddy MCP: connected", "✓ Session tracking: operational", "✓ Event capture: working"];
    for line in expected {
        assert!(tracking.expect_success().stdout.contains(line), "'{line}' is missing: {tracking}");
    }
}

#[test]
fn step_4_1_health_checks_of_a_server_that_is_down_fail_and_say_how_to_start_it() {
    let home = TestHome::patient();
    for line in ["session-buddy health", "mahavishnu test-session-tracking"] {
        let done = home.sh(line).run();
        assert!(done.code.is_some_and(|code| code != 0), "{done}");
        assert!(done.everything().contains("session-buddy mcp start"), "what to do is missing: {done}");
        done.expect_no_internals();
    }
}

#[test]
fn step_4_2_a_session_is_created_and_its_commands_are_five_events() {
    let (home, repository) = home_with_repository();
    let _server = Server::start(&home);
    let creation =
        "printf '%%repos\\nexit\\n' | mahavishnu shell && session-buddy list-sessions --type admin_shell --limit 1";
    assert!(home.sh(creation).cwd(&repository).run().expect_success().stdout.contains("mahavishnu"));
    let capture = "printf 'ps()\\ntop()\\nerrors(5)\\nexit\\n' | mahavishnu shell > /dev/null\n\
        SESSION_ID=$(session-buddy list-sessions --type admin_shell --limit 1 --format json | jq -r '.[0].session_id')\n\
        session-buddy list-events --session-id $SESSION_ID --format json";
    let has_jq = home.sh("command -v jq").run().code == Some(0);
    let events: Vec<Value> = if has_jq {
        serde_json::from_value(home.sh(capture).cwd(&repository).run().expect_success().json()).unwrap()
    } else {
        home.sh("printf 'ps()\\ntop()\\nerrors(5)\\nexit\\n' | mahavishnu shell")
            .cwd(&repository)
            .run()
            .expect_success();
        home.events(&id(&home.sessions(&["--limit", "1"])[0]))
    };
    assert_eq!(types(&events), ["session_start", "command", "command", "command", "session_end"]);
    assert_eq!(commands(&events), ["ps()", "top()", "errors(5)"]);
    for event in events.iter().filter(|event| event["event_type"] == "command") {
        assert_eq!(event["data"]["outcome"], "completed", "{event}");
        assert_eq!(event["data"]["exit_code"], 0, "{event}");
        assert!(event["data"]["duration_ms"].as_f64().is_some_and(|time| time >= 0.0), "{event}");
    }
}

#[test]
fn step_4_2_a_session_carries_its_metadata() {
    let (home, repository) = home_with_repository();
    let _server = Server::start(&home);
    home.sh("printf 'ps()\\ntop()\\nerrors(5)\\nexit\\n' | mahavishnu shell").cwd(&repository).run().expect_success();
    let session = id(&home.sessions(&["--type", "admin_shell"])[0]);
    let shown = home.sh(&format!("session-buddy get-session {session} --format json")).run().expect_success().json();
    assert_eq!(shown["component"], "mahavishnu");
    assert_eq!(shown["session_type"], "admin_shell");
    assert_eq!(shown["command_count"], 3);
    let time = |name: &str| {
        let text = shown[name].as_str().unwrap_or_else(|| panic!("{name} is missing: {shown}"));
        oneiric::clock::Timestamp::parse(text).unwrap_or_else(|| panic!("{name} is no time: {text}"))
    };
    assert!(time("start_time") <= time("end_time"));
    assert!(shown["metadata"]["env"].is_object(), "{shown}");
    assert_eq!(shown["metadata"]["git_branch"], "main");
    let commit = git::git(&home, &repository, &["rev-parse", "HEAD"]);
    assert!(shown.to_string().contains(&commit), "the commit is missing: {shown}");
}

#[test]
fn step_4_3_and_6_1_the_search_lines_find_what_was_typed() {
    let home = TestHome::patient();
    let _server = Server::start(&home);
    home.mahavishnu(["shell", "-c", "print(\"workflow orchestration\")"]).run().expect_success();
    // Without a model the words answer, and the note says how to get one.
    for (line, note) in [
        ("search \"workflow orchestration\"", "session-buddy models pull"),
        ("search \"workflow orchestration\" --search-type text", ""),
    ] {
        let done = home.sh(&format!("session-buddy {line}")).run();
        assert!(done.expect_success().stdout.contains("print("), "{done}");
        assert_eq!((done.stderr.is_empty(), done.stderr.contains(note)), (note.is_empty(), true), "{done}");
        let json = home.sh(&format!("session-buddy {line} --format json")).run().expect_success().json();
        assert_eq!(json["hits"].as_array().map(Vec::len), Some(1), "{json}");
    }
}

#[test]
fn step_4_4_the_end_to_end_line_passes() {
    let home = TestHome::patient();
    let _server = Server::start(&home);
    let line = "mahavishnu shell -c \"ps(); top(); sync()\" && \\\n\
        session-buddy list-sessions --type admin_shell --limit 1 && \\\n\
        echo \"✓ E2E test passed\"";
    let done = home.sh(line).run();
    assert!(done.expect_success().stdout.ends_with("✓ E2E test passed\n"), "{done}");
    let events = home.events(&id(&home.sessions(&[])[0]));
    assert_eq!(commands(&events), ["ps()", "top()", "sync()"]);
}

#[test]
fn step_9_3_the_guides_sql_works_on_the_database_file() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    home.mahavishnu(["shell", "-c", "ps(); exit"]).run().expect_success();
    server.stop();
    let session = id(&home.sessions(&[])[0]);
    if home.sh("command -v sqlite3").run().code != Some(0) {
        assert!(std::env::var_os("CI").is_none(), "sqlite3 is missing: scripts/test installs it");
        return;
    }
    let database = home.database();
    let query =
        |sql: &str| home.program("sqlite3", [database.to_str().unwrap(), sql]).run().expect_success().stdout.clone();
    assert!(query(".tables").contains("session_events"));
    assert!(query("SELECT * FROM sessions ORDER BY start_time DESC LIMIT 5;").contains(&session));
    let rows = query(&format!("SELECT * FROM session_events WHERE session_id = '{session}';"));
    assert_eq!(rows.lines().count(), 3, "{rows}");
    assert!(query(".indices").contains("idx_session_events_session_id"));
    query("VACUUM; REINDEX;");
    assert_eq!(types(&home.events(&session)), ["session_start", "command", "session_end"]);
    let columns = "session_id, component, session_type, start_time, end_time, duration_seconds, command_count, metadata, created_at";
    assert!(query(&format!("SELECT {columns} FROM sessions;")).contains("admin_shell"));
    assert!(query("SELECT event_id, session_id, event_type, timestamp, data FROM session_events;").contains("command"));
}
