//! Starting, finding, stopping: ports, run files, second starts.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use oneiric::process::{Liveness, ProcessIdentity};
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::peers::Silent;
use testkit::{Server, TestHome, http, ports, scan, soon};

use crate::sample::session_start;

#[test]
fn a_taken_port_is_a_conflict_that_names_the_port_and_the_way_out() {
    let home = TestHome::patient();
    let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, home.port())).unwrap();
    let port = home.port().to_string();
    for args in [vec!["start"], vec!["mcp", "start"], vec!["start", "--mode=lite"], vec!["start", "--detach"]] {
        let done = home.session_buddy(args).run();
        done.expect_code(5).expect_no_internals();
        let complaint: Vec<&str> =
            done.stderr.lines().filter(|line| line.contains(&port) && line.contains("--port")).collect();
        assert_eq!(complaint.len(), 1, "one line names the port and what to do: {done}");
    }
}

#[test]
fn a_second_start_is_a_conflict_that_names_the_first_and_leaves_it_alone() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    let same = home.session_buddy(["start"]).run();
    same.expect_code(5).expect_no_internals();
    assert!(same.stderr.contains(&server.id().to_string()), "it names the process: {same}");
    assert!(same.stderr.contains(&home.port().to_string()), "it names the port: {same}");
    let other_port = ports::free().to_string();
    let other = home.session_buddy(["start", "--port", &other_port]).run();
    other.expect_code(5).expect_one_clear_line(&[&server.id().to_string(), "mcp stop"]);
    server.expect_healthy("two more starts");
}

#[test]
fn many_starts_at_once_leave_one_server() {
    let home = TestHome::patient();
    let mut starts: Vec<_> = (0..6).map(|_| home.session_buddy(["start"]).spawn_without_input()).collect();
    soon("all but one to end", || {
        starts.iter_mut().filter_map(|start| (!start.has_ended()).then_some(())).count() == 1
    });
    soon("the one to answer", || http::get(home.port(), "/health").is_some_and(|answer| answer.status == 200));
    for start in &mut starts {
        if start.has_ended() {
            assert_eq!(start.wait(Duration::from_secs(1)).code(), Some(5));
        }
    }
}

/// A run file that a dead server left behind: it names a living stranger and a listener that never answers.
fn leave_stale_run_file(home: &TestHome, stranger: u32, port: u16) {
    let run = home.session_buddy_home().join("run");
    fs::create_dir_all(&run).unwrap();
    let info = json!({
        "product": "session-buddy", "pid": stranger, "process": ProcessIdentity::of(stranger),
        "address": format!("127.0.0.1:{port}"), "transport": "http", "mode": "standard", "version": "0.0.1",
        "database": "sessions.db", "arguments": [], "started_at": "2026-01-01T00:00:00.000000Z",
    });
    fs::write(run.join("session-buddy.json"), info.to_string()).unwrap();
    fs::write(run.join("session-buddy.lock"), "").unwrap();
    fs::write(run.join("session-buddy.pid"), format!("{stranger}\n")).unwrap();
}

#[test]
fn a_stale_run_file_is_believed_by_nobody() {
    let home = TestHome::patient();
    let silent = Silent::on(ports::free());
    let mut stranger = home.program("sleep", ["60"]).spawn_without_input();
    // The file names the silent listener's port by way of another home's port: nobody may even connect there.
    let trap = ports::free();
    let listener = Silent::on(trap);
    leave_stale_run_file(&home, stranger.id(), trap);
    assert!(home.sessions(&[]).is_empty(), "the database answers, not the dead server");
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    let stop = home.session_buddy(["mcp", "stop"]).run();
    assert!(stop.everything().contains("does not run"), "{stop}");
    assert!(!stranger.has_ended(), "a stranger was stopped");
    let health = home.session_buddy(["health"]).run();
    assert!(health.code.is_some_and(|code| code != 0), "{health}");
    assert_eq!(listener.connections() + silent.connections(), 0, "somebody believed the run file");
    Server::start(&home).stop();
    assert!(!stranger.has_ended());
}

#[test]
fn a_server_that_was_killed_is_no_obstacle_to_the_next() {
    let home = TestHome::patient();
    Server::start(&home).kill();
    assert!(home.session_buddy_home().join("run/session-buddy.json").exists(), "kill -9 leaves the file");
    let server = Server::start(&home);
    server.stop();
    assert!(!home.session_buddy_home().join("run/session-buddy.json").exists(), "a clean end removes it");
}

#[test]
fn stop_waits_for_the_end_and_restart_really_starts_again() {
    let home = TestHome::patient();
    home.session_buddy(["start", "--detach"]).run().expect_success();
    let read = || -> Value {
        let text = fs::read(home.session_buddy_home().join("run/session-buddy.json")).expect("a run file");
        serde_json::from_slice(&text).expect("of JSON")
    };
    let first: ProcessIdentity = serde_json::from_value(read()["process"].clone()).unwrap();
    assert_eq!(first.liveness(true), Liveness::Alive);
    home.session_buddy(["mcp", "restart"]).run().expect_success();
    assert_eq!(first.liveness(true), Liveness::Gone);
    let second: ProcessIdentity = serde_json::from_value(read()["process"].clone()).unwrap();
    assert_eq!(second.liveness(true), Liveness::Alive);
    assert_eq!(http::get(home.port(), "/health").unwrap().status, 200);
    home.session_buddy(["mcp", "stop"]).run().expect_success();
    assert_eq!(second.liveness(true), Liveness::Gone, "stop returns when it is over");
    assert!(http::get(home.port(), "/health").is_none());
}

#[test]
fn every_signal_that_ends_a_server_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = TestHome::patient();
        let mut process = home.session_buddy(["start"]).spawn_without_input();
        soon("the server", || http::get(home.port(), "/health").is_some());
        process.signal(signal);
        let status = process.wait(Duration::from_secs(10));
        assert!(status.code().is_some_and(|code| code == 0 || code == 130), "{status}");
        assert!(!home.session_buddy_home().join("run/session-buddy.json").exists());
    }
}

#[test]
fn lite_mode_keeps_everything_in_memory_and_its_commands_ask_the_server() {
    let home = TestHome::patient();
    let server = Server::start_with(&home, &["start", "--mode=lite", "--no-auth"]);
    let started = server.tool("track_session_start", session_start("start", 0));
    assert_eq!(started["structuredContent"]["status"], "tracked", "{started}");
    assert_eq!(home.sessions(&[]).len(), 1);
    let below = |path: &std::path::PathBuf| {
        let inside = path.strip_prefix(home.session_buddy_home()).unwrap();
        !(inside.starts_with("run") || inside.starts_with("logs"))
    };
    let written: Vec<_> = scan::tree(&home.session_buddy_home()).into_iter().filter(below).collect();
    assert!(written.is_empty(), "lite mode wrote {written:?}");
}

#[test]
fn port_0_takes_a_free_port_and_everybody_finds_it() {
    let mut home = TestHome::patient();
    // As it stands in an environment file that both programs read.
    home.set_var("SESSION_BUDDY_PORT", "0");
    home.session_buddy(["start", "--detach"]).run().expect_success();
    let done = home.mahavishnu(["shell", "-c", "ps()"]).run();
    done.expect_success();
    let health = home.session_buddy(["health"]).run();
    health.expect_success();
    assert_eq!(home.sessions(&[]).len(), 1);
    assert!(home.waiting_spools().is_empty(), "the shell found the server: {done}");
    home.session_buddy(["mcp", "stop"]).run().expect_success();
}

#[test]
fn an_address_that_is_not_loopback_needs_auth() {
    let home = TestHome::patient();
    let done = home.session_buddy(["start", "--host", "0.0.0.0"]).run();
    done.expect_code(3).expect_one_clear_line(&["0.0.0.0", "auth"]);
}

#[test]
fn a_weak_secret_is_refused_without_being_told() {
    let home = TestHome::patient();
    for weak in ["change-me-in-production", "short-secret-Q7", "<your-32-char-secret>"] {
        let done = home.session_buddy(["start"]).var("SESSION_BUDDY_SECRET", weak).run();
        done.expect_code(3).expect_no_internals();
        assert!(done.stderr.contains("SECRET") && !done.everything().contains(weak), "{done}");
    }
}
