//! `kill -9` of either side at any moment: what the shell acknowledged is stored exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oneiric::spool::{Line, decode};
use serde_json::Value;
use testkit::{Chance, Server, TestHome, disk, scan, soon};

use crate::sample::{command_of, id, types};

/// Kills in all.
const KILLS: usize = 200;
/// Statements that a shell gets before it is killed, if it comes so far.
const STATEMENTS: usize = 400;

/// The statement that prints `token`, without holding it. It is long enough that a session outgrows the size at which a
/// spool file is emptied.
fn statement(token: &str) -> String {
    let (head, tail) = token.split_at(3);
    format!("print(\"{head}\" + \"{tail}\", \"{}\")", "p".repeat(400))
}

/// Runs a shell that prints tokens and kills it after `life`. Gives the tokens that were seen, in order.
fn killed_shell(home: &TestHome, round: usize, life: Duration) -> Vec<String> {
    let mut shell = home.mahavishnu(["shell"]).spawn();
    let mut stdin = shell.take_stdin();
    let feeder = std::thread::spawn(move || {
        for number in 0..STATEMENTS {
            // Ends with the shell: a broken pipe.
            if writeln!(stdin, "{}", statement(&format!("ack-{round}-{number}"))).is_err() {
                break;
            }
        }
        // The input stays open until the kill: the shell must not end by itself.
        stdin
    });
    // The moment of the kill is the test's input, not a wait for something.
    std::thread::sleep(life);
    shell.kill();
    drop(feeder.join().unwrap());
    let (rest, _) = shell.rest();
    let prefix = format!("ack-{round}-");
    let token = |line: &str| {
        let token = &line[line.find(&prefix)?..];
        // A line that was cut off is not seen whole.
        Some(token.split_once(' ')?.0.to_owned())
    };
    rest.lines().filter_map(token).collect()
}

/// Every stored command of the home, with its outcome.
fn stored_commands(server: &Server, sessions: &[Value]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for session in sessions {
        let mut offset = 0;
        loop {
            let page = server
                .tool("list_events", serde_json::json!({ "session_id": id(session), "limit": 500, "offset": offset }));
            let events = events_of(&page);
            if events.is_empty() {
                break;
            }
            offset += events.len();
            let command = |event: &Value| {
                let outcome = event["data"]["outcome"].as_str().unwrap_or_default();
                (command_of(event).to_owned(), outcome.to_owned())
            };
            all.extend(events.iter().filter(|event| event["event_type"] == "command").map(command));
        }
    }
    all
}

/// The events in a tool's result.
pub(crate) fn events_of(result: &Value) -> Vec<Value> {
    assert_ne!(result["isError"], true, "{result}");
    let content = &result["structuredContent"];
    let list = content.as_array().or_else(|| content.as_object()?.values().find_map(Value::as_array));
    list.unwrap_or_else(|| panic!("no list: {content}")).clone()
}

#[test]
fn two_hundred_kills_of_shell_and_server_lose_nothing_and_double_nothing() {
    let mut chance = Chance::printed("kills");
    let home = TestHome::new();
    let kills = AtomicUsize::new(0);
    let of_server = AtomicUsize::new(0);
    let rounds = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let acknowledged: Mutex<BTreeMap<usize, Vec<String>>> = Mutex::default();
    std::thread::scope(|scope| {
        let (home, kills, rounds, done, acknowledged) = (&home, &kills, &rounds, &done, &acknowledged);
        let of_server = &of_server;
        let killer_seed = chance.number();
        let killer = scope.spawn(move || {
            let mut chance = Chance::from_seed(killer_seed);
            while !done.load(Ordering::SeqCst) {
                let server = Server::start(home);
                std::thread::sleep(Duration::from_millis(chance.below(300)));
                server.kill();
                of_server.fetch_add(1, Ordering::SeqCst);
                kills.fetch_add(1, Ordering::SeqCst);
                // With the server gone, a command takes what waits; it may be killed at it as well.
                let mut command = home.session_buddy(["list-sessions"]).spawn_without_input();
                std::thread::sleep(Duration::from_millis(chance.below(60)));
                command.kill();
            }
        });
        let lanes: Vec<_> = (0..2)
            .map(|_| {
                let seed = chance.number();
                scope.spawn(move || {
                    let mut chance = Chance::from_seed(seed);
                    // A busy machine starts servers slowly, and some of the kills have to be theirs.
                    while kills.load(Ordering::SeqCst) < KILLS || of_server.load(Ordering::SeqCst) < 20 {
                        let round = rounds.fetch_add(1, Ordering::SeqCst);
                        let seen = killed_shell(home, round, Duration::from_millis(chance.below(250)));
                        kills.fetch_add(1, Ordering::SeqCst);
                        acknowledged.lock().unwrap().insert(round, seen);
                    }
                })
            })
            .collect();
        for lane in lanes {
            lane.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        killer.join().unwrap();
    });
    let server_kills = of_server.into_inner();
    assert!(kills.load(Ordering::SeqCst) >= KILLS && server_kills >= 20, "{server_kills} kills of the server");

    let server = Server::start(&home);
    server.expect_all_delivered(&home);
    let sessions = home.sessions(&[]);
    let stored = stored_commands(&server, &sessions);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for (command, _) in &stored {
        *times.entry(command).or_default() += 1;
    }
    let doubled: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "stored more than once: {doubled:?}");
    let completed: BTreeSet<&str> =
        stored.iter().filter(|(_, outcome)| outcome == "completed").map(|(command, _)| command.as_str()).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    let seen: usize = acknowledged.values().map(Vec::len).sum();
    eprintln!(
        "{} shells and {server_kills} servers were killed; {seen} commands were acknowledged",
        acknowledged.len()
    );
    assert!(seen > KILLS, "the shells acknowledged too little ({seen}) for this to say anything");
    for (round, tokens) in &acknowledged {
        for (place, token) in tokens.iter().enumerate() {
            let command = statement(token);
            assert!(times.contains_key(command.as_str()), "round {round}: acknowledged and not stored: {token}");
            // Only the last may have been under way: the next one began after it had ended.
            let over = place + 1 < tokens.len();
            assert!(
                !over || completed.contains(command.as_str()),
                "round {round}: {token} ended and is stored as if not"
            );
        }
    }
    soon("the killed sessions to be told from living ones", || home.sessions(&["--status", "active"]).is_empty());
    assert!(sessions.len() <= acknowledged.len(), "more sessions than shells: {}", sessions.len());
    // Where the file system knows files without a name, a kill leaves nothing that nobody will ever look at.
    if disk::knows_nameless_files(home.root()) {
        // A line that the kill cut off was not acknowledged by anybody, and is kept aside.
        let known = |path: &&std::path::PathBuf| {
            path.ends_with(".receiver-slow") || path.starts_with(home.spool().join("quarantine"))
        };
        let left: Vec<_> = scan::tree(&home.spool()).into_iter().filter(|path| !known(&path)).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// A shell that was killed with these commands on its spool, while no server ran.
fn killed_with(home: &TestHome, tokens: &[&str]) {
    let mut shell = home.mahavishnu(["shell"]).spawn();
    for token in tokens {
        shell.send(&statement(token)).unwrap();
    }
    let last = tokens.last().unwrap();
    while !shell.next_line(Duration::from_secs(20)).expect("the shell runs").contains(last) {}
    shell.kill();
    assert_eq!(home.waiting_spools().len(), 1, "what was acknowledged waits");
}

fn expect_stored_once(home: &TestHome, tokens: &[&str]) {
    let sessions = home.sessions(&[]);
    let commands: Vec<String> = sessions
        .iter()
        .flat_map(|session| home.events(&id(session)))
        .filter(|event| event["event_type"] == "command")
        .map(|event| command_of(&event).to_owned())
        .collect();
    for token in tokens {
        let wanted = statement(token);
        assert_eq!(commands.iter().filter(|command| **command == wanted).count(), 1, "{token}: {commands:?}");
    }
}

#[test]
fn what_a_killed_shell_left_is_delivered_by_a_server_that_starts() {
    let home = TestHome::new();
    killed_with(&home, &["ack-1", "ack-2"]);
    let server = Server::start(&home);
    server.expect_all_delivered(&home);
    expect_stored_once(&home, &["ack-1", "ack-2"]);
}

#[test]
fn what_a_killed_shell_left_is_delivered_by_a_running_server_of_its_own_accord() {
    let home = TestHome::new();
    let server = Server::start(&home);
    killed_with(&home, &["ack-1", "ack-2"]);
    server.expect_all_delivered(&home);
    expect_stored_once(&home, &["ack-1", "ack-2"]);
}

#[test]
fn what_a_killed_shell_left_is_delivered_by_a_command_that_opens_the_database() {
    let home = TestHome::new();
    killed_with(&home, &["ack-1", "ack-2"]);
    expect_stored_once(&home, &["ack-1", "ack-2"]);
    assert_eq!(home.waiting_spools().len(), 0);
}

#[test]
fn what_a_killed_shell_left_is_delivered_by_the_next_shell_that_syncs() {
    // A server that looks at no spool by itself, so that it cannot be faster than the shell.
    let home = TestHome::new().with_var("SESSION_BUDDY_CAPTURE__SPOOLS", "/nowhere");
    killed_with(&home, &["ack-1", "ack-2"]);
    let _server = Server::start(&home);
    home.mahavishnu(["shell", "-c", "sync()"]).run().expect_success();
    soon("the killed shell's spool to be delivered", || home.waiting_spools().is_empty());
    expect_stored_once(&home, &["ack-1", "ack-2"]);
}

#[test]
fn a_command_whose_shell_was_killed_under_way_is_known_and_its_outcome_is_not() {
    let home = TestHome::new();
    let mut shell = home.mahavishnu(["shell"]).spawn();
    shell.send("!sleep 60").unwrap();
    soon("the command's beginning to be on the spool", || {
        home.waiting_spools()
            .first()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .is_some_and(|text| text.contains("sleep 60"))
    });
    let spool = std::fs::read(&home.waiting_spools()[0]).unwrap();
    for line in spool.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(matches!(decode(line), Line::Entry(_)), "{}", String::from_utf8_lossy(line));
    }
    drop(shell);
    let events = home.events(&id(&home.sessions(&[])[0]));
    assert_eq!(types(&events), ["session_start", "command"]);
    assert_eq!((command_of(&events[1]), &events[1]["data"]["outcome"]), ("!sleep 60", &Value::from("unknown")));
}
