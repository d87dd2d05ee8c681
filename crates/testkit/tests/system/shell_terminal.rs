//! The admin shell before a person: keys, what they stop, and what is left behind.

use rustix::process::Signal;
use testkit::git::repository;
use testkit::scan::runs;
use testkit::{Seat, TestHome, soon};

const SIZE: (u16, u16) = (100, 30);
/// How a terminal is told that text may be pasted, which the shell does once before it waits for an entry.
const READY: &str = "\x1b[?2004h";

fn shell(home: &TestHome) -> Seat {
    let mut seat = home.mahavishnu(["shell"]).var("PAGER", "cat").at_terminal(SIZE);
    seat.sees("exit");
    at_prompt(&mut seat);
    seat
}

/// Waits until the shell waits for an entry: it says so before it asks where the cursor is, and shows the prompt after.
fn at_prompt(seat: &mut Seat) {
    seat.sees(READY);
    seat.sees("mahavishnu> ");
}

/// Types an entry and waits for what it prints.
fn enter(seat: &mut Seat, entry: &str, shown: &str) {
    seat.keys(entry);
    seat.keys("\r");
    seat.sees(shown);
    at_prompt(seat);
}

#[test]
fn ctrl_c_ends_what_runs_and_not_the_shell() {
    let home = TestHome::new();
    repository(&home, "shop");
    home.mahavishnu(["repos", "add", "shop"]).run().expect_success();
    let mut seat = shell(&home);
    // A loop without end.
    enter(&mut seat, "def spin():\r    print('be' + 'gun')\r    for i in range(2000000000):\r        pass\r", "pass");
    seat.keys("spin()\r");
    seat.sees("begun");
    seat.keys("\x03");
    seat.sees("interrupted");
    at_prompt(&mut seat);
    // A line that is given up, then a block.
    seat.keys("print('never'\x03");
    at_prompt(&mut seat);
    seat.keys("def f():\r");
    seat.sees("...");
    seat.keys("\x03");
    at_prompt(&mut seat);
    // A command of the system, which is ended with all that it started.
    seat.keys("!sleep 73151 | sleep 73152\r");
    soon("it runs", || runs("sleep 73152"));
    seat.keys("\x03");
    at_prompt(&mut seat);
    soon("it is gone", || !runs("sleep 7315"));
    // One that is stopped would never be heard of again.
    seat.keys("!sleep 73153\r");
    soon("it runs", || runs("sleep 73153"));
    seat.keys("\x1a");
    seat.sees("cannot be continued");
    at_prompt(&mut seat);
    // A picture that is drawn as long as something runs.
    home.mahavishnu(["sweep", "--detach", "--", "sleep 73154"]).run().expect_success();
    soon("it runs", || runs("sleep 73154"));
    seat.keys("top()\r");
    seat.sees("1 step running");
    seat.keys("\x03");
    at_prompt(&mut seat);
    seat.keys("top()\r");
    seat.sees("q ends");
    seat.keys("q");
    at_prompt(&mut seat);
    // A sweep in the shell, which is cancelled: what it runs has stopped before the prompt comes back.
    seat.keys("sweep --no-lock -- sleep 73155\r");
    soon("it runs", || runs("sleep 73155"));
    seat.keys("\x03");
    seat.sees("cancelled");
    at_prompt(&mut seat);
    assert!(!runs("sleep 73155"), "cancelled means stopped");
    enter(&mut seat, "6 * 7", "42");
    seat.keys("exit\r");
    assert_eq!(seat.end().code(), Some(0));
    assert!(!seat.shown().contains("panicked"), "{}", seat.shown());
    let id = home.mahavishnu(["workflow", "list", "--active", "--format", "json"]).run().json();
    for workflow in id.as_array().unwrap() {
        home.mahavishnu(["workflow", "cancel", workflow["id"].as_str().unwrap()]).run().expect_success();
    }
    soon("nothing is left", || !runs("sleep 7315"));
}

#[test]
fn what_is_pasted_runs_as_one_entry_and_the_end_of_input_ends_the_session() {
    let home = TestHome::new();
    let mut seat = shell(&home);
    seat.keys("\x1b[200~def f(a):\r\n    b = a + 1\r\n\r\n    return b * 2\r\n\x1b[201~\r");
    at_prompt(&mut seat);
    enter(&mut seat, "f(20)", "42");
    // A bell, an escape sequence and a character that turns the line, inside of a text.
    enter(&mut seat, "print('a' + chr(7) + 'b')", "chr");
    enter(&mut seat, "x = = 1", "^");
    seat.keys("\x04");
    assert_eq!(seat.end().code(), Some(0));
}

#[test]
fn a_signal_that_ends_the_shell_ends_what_it_runs_and_closes_the_session() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::TERM, 143)] {
        let home = TestHome::new();
        let mut seat = shell(&home);
        seat.keys("!sleep 73141\r");
        soon("it runs", || runs("sleep 73141"));
        seat.signal(signal);
        assert_eq!(seat.end().code(), Some(code));
        soon("it is gone", || !runs("sleep 73141"));
        let sessions = home.sessions(&[]);
        assert_eq!((sessions.len(), &sessions[0]["status"]), (1, &"ended".into()), "{sessions:?}");
    }
}

#[test]
fn the_history_holds_no_secret_and_comes_back() {
    let home = TestHome::new();
    let mut seat = shell(&home);
    enter(&mut seat, "remembered = 6 * 7", "remembered");
    enter(&mut seat, "token = 'ghp_0123456789abcdefghijABCDEFGHIJ012345'", "ghp_");
    seat.keys("exit\r");
    seat.end();
    for folder in [home.mahavishnu_home(), home.session_buddy_home()] {
        let kept = testkit::scan::files_with(&folder, "IJ012345");
        assert!(kept.is_empty(), "{kept:?}");
    }
    let mut seat = shell(&home);
    enter(&mut seat, "%history -g remembered", "remembered = 6 * 7");
    seat.keys("exit\r");
    seat.end();
}
