//! The shell while Session-Buddy is down, slow or hanging: it works, it is as fast, and the session appears later.

use std::time::Duration;

use testkit::peers::{Foreign, Silent, Slow};
use testkit::{Finished, Server, TestHome, ports, soon};

use crate::sample::{commands, id, types};

/// A shell that waits for the network takes longer than this; one that does not needs a small part of it.
const GENEROUS: Duration = Duration::from_secs(3);

fn expect_quick(done: &Finished) {
    done.expect_success().expect_no_internals();
    assert!(done.took < GENEROUS, "the shell waited: {done}");
}

fn expect_once(home: &TestHome, sessions: usize) {
    let found = home.sessions(&[]);
    assert_eq!(found.len(), sessions);
    for session in &found {
        assert_eq!(types(&home.events(&id(session))), ["session_start", "command", "session_end"], "{session}");
    }
}

#[test]
fn with_session_buddy_down_the_session_appears_when_it_is_up() {
    let home = TestHome::new();
    for _ in 0..3 {
        let done = home.mahavishnu(["shell", "-c", "ps()"]).run();
        expect_quick(&done);
    }
    assert_eq!(home.waiting_spools().len(), 3);
    let server = Server::start(&home);
    server.expect_all_delivered(&home);
    expect_once(&home, 3);
}

#[test]
fn a_session_buddy_that_hangs_holds_nobody_up() {
    let home = TestHome::new();
    let silent = Silent::on(home.port());
    for _ in 0..2 {
        let done = home.mahavishnu(["shell", "-c", "ps()"]).run();
        expect_quick(&done);
    }
    assert!(silent.connections() > 0, "the shell did not even try this listener, so the test says nothing");
    assert_eq!(home.waiting_spools().len(), 2);
    drop(silent);
    let server = Server::start(&home);
    server.expect_all_delivered(&home);
    expect_once(&home, 2);
}

#[test]
fn a_session_buddy_that_is_slow_holds_nobody_up_and_nothing_is_stored_twice() {
    let mut home = TestHome::new();
    let front = home.port();
    let behind = ports::free();
    home.set_var("SESSION_BUDDY_PORT", behind.to_string());
    let elsewhere = TestHome::new();
    // The shell has a home of its own, and no run file that would show it the way around the slow listener.
    let mut process = home.session_buddy(["start"]).spawn_without_input();
    soon("the server", || testkit::http::get(behind, "/health").is_some_and(|answer| answer.status == 200));
    let slow = Slow::on(front, behind, Duration::from_secs(1));
    let shell = home
        .mahavishnu(["shell", "-c", "ps()"])
        .var("SESSION_BUDDY_HOME", elsewhere.session_buddy_home().to_string_lossy())
        .var("SESSION_BUDDY_PORT", front.to_string());
    for _ in 0..2 {
        expect_quick(&shell.run());
    }
    soon("both sessions to be delivered", || home.waiting_spools().is_empty());
    expect_once(&home, 2);
    drop(slow);
    process.kill();
}

#[test]
fn commands_of_a_long_session_do_not_wait_for_a_hanging_server() {
    let home = TestHome::new();
    let silent = Silent::on(home.port());
    let mut input: String = (0..500).map(|number| format!("print({number})\n")).collect();
    input.push_str("exit\n");
    let done = home.mahavishnu(["shell"]).stdin(input).run();
    expect_quick(&done);
    drop(silent);
    let server = Server::start(&home);
    server.expect_all_delivered(&home);
    let events = home.events(&id(&home.sessions(&[])[0]));
    assert_eq!(commands(&events).len(), 500);
}

#[test]
fn sync_tells_what_waits_and_why_and_does_not_fail_the_shell() {
    let home = TestHome::new();
    let done = home.mahavishnu(["shell", "-c", "sync()"]).run();
    done.expect_success().expect_no_internals();
    assert!(done.everything().contains("refused") || done.everything().contains("session-buddy mcp start"), "{done}");
}

#[test]
fn a_stranger_on_the_port_is_no_receiver() {
    let home = TestHome::new();
    let _stranger = Foreign::on(home.port());
    let done = home.mahavishnu(["shell", "-c", "ps()"]).run();
    expect_quick(&done);
    assert_eq!(home.waiting_spools().len(), 1, "a foreign answer acknowledged events");
    home.session_buddy(["health"]).run().expect_code(1);
}

#[test]
fn with_tracking_off_nothing_is_recorded_and_the_shell_works() {
    let home = TestHome::new();
    let server = Server::start(&home);
    for (name, value) in [("MAHAVISHNU_SESSION_ENABLED", "false"), ("ONEIRIC_EVENT_BUFFER_ENABLED", "false")] {
        let done = home.mahavishnu(["shell", "-c", "print(6 * 7)"]).var(name, value).run();
        assert!(done.expect_success().stdout.contains("42"), "{done}");
    }
    assert!(home.sessions(&[]).is_empty());
    assert!(home.waiting_spools().is_empty());
    server.stop();
}
