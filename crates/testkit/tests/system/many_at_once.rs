//! Several processes on one database are normal.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::mcp::{Revision, StdioClient};
use testkit::server::call_tool;
use testkit::{Finished, Server, TestHome, git};

use crate::kills::events_of;
use crate::sample::{at, command, command_of, id, session_start};

const SHELLS: usize = 8;
const COMMANDS: usize = 50;

fn expect_no_lock_told(done: &Finished) {
    assert!(!done.everything().to_lowercase().contains("locked"), "{done}");
}

/// Eight shells at the same time, each with its own commands.
fn eight_shells(home: &TestHome) -> Vec<Finished> {
    let runs: Vec<_> = (0..SHELLS)
        .map(|shell| {
            let mut input: String = (0..COMMANDS).map(|number| format!("print({shell}, {number})\n")).collect();
            input.push_str("exit\n");
            let program = home.mahavishnu(["shell"]).stdin(input);
            std::thread::spawn(move || program.run())
        })
        .collect();
    runs.into_iter().map(|run| run.join().unwrap()).collect()
}

fn expect_all_stored(home: &TestHome) {
    let sessions = home.sessions(&["--type", "admin_shell"]);
    assert_eq!(sessions.len(), SHELLS);
    let mut seen = BTreeSet::new();
    for session in &sessions {
        let events = home.events(&id(session));
        assert_eq!(events.len(), COMMANDS + 2, "{session}");
        for event in events.iter().filter(|event| event["event_type"] == "command") {
            assert!(seen.insert(command_of(event).to_owned()), "twice: {event}");
        }
    }
    assert_eq!(seen.len(), SHELLS * COMMANDS);
}

#[test]
fn eight_shells_with_one_server_lose_nothing_and_nobody_sees_a_lock() {
    let home = TestHome::new();
    let server = Server::start(&home);
    for done in eight_shells(&home) {
        done.expect_success();
        expect_no_lock_told(&done);
    }
    server.expect_all_delivered(&home);
    expect_all_stored(&home);
    let (stdout, stderr) = server.kill_and_read();
    assert!(!format!("{stdout}{stderr}").contains("locked"), "{stdout}{stderr}");
}

#[test]
fn eight_shells_without_a_server_are_stored_by_eight_commands_that_race_for_them() {
    let home = TestHome::new();
    for done in eight_shells(&home) {
        done.expect_success();
    }
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let program = home.session_buddy(["list-sessions", "--format", "json"]);
            std::thread::spawn(move || program.run())
        })
        .collect();
    for racer in racers {
        let done = racer.join().unwrap();
        done.expect_success();
        expect_no_lock_told(&done);
    }
    expect_all_stored(&home);
    assert!(home.waiting_spools().is_empty());
}

#[test]
fn eight_stdio_servers_on_one_file_store_everything_that_they_accept() {
    let home = TestHome::new();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let program = home.session_buddy(["start", "--mode=standard", "--mcp"]);
            std::thread::spawn(move || {
                let mut client = StdioClient::start(&program);
                let start = client.tool(
                    Revision::V2026_07_28,
                    "track_session_start",
                    session_start(&format!("start-{writer}"), 0),
                );
                let session =
                    start["structuredContent"]["session_id"].as_str().unwrap_or_else(|| panic!("{start}")).to_owned();
                for batch in 0..20_u64 {
                    let events: Vec<_> = (0..10_u64)
                        .map(|number| {
                            command(
                                &format!("e-{writer}-{batch}-{number}"),
                                batch,
                                &format!("step({writer}, {batch}, {number})"),
                            )
                        })
                        .collect();
                    let receipt = client.tool(
                        Revision::V2026_07_28,
                        "track_events",
                        json!({ "session_id": session, "events": events }),
                    );
                    assert_eq!(receipt["structuredContent"]["accepted"], 10, "{receipt}");
                }
                let end = json!({ "session_id": session, "timestamp": at(60), "event_type": "session_end" });
                let end = client.tool(Revision::V2026_07_28, "track_session_end", end);
                assert_eq!(end["structuredContent"]["status"], "ended", "{end}");
                client.process.close_stdin();
                client.process.wait(std::time::Duration::from_secs(10));
                let (_, stderr) = client.process.rest();
                assert!(!stderr.contains("locked"), "{stderr}");
                session
            })
        })
        .collect();
    let sessions: Vec<String> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let mut seen = BTreeSet::new();
    for session in &sessions {
        for event in home.events(session).iter().filter(|event| event["event_type"] == "command") {
            assert!(seen.insert(command_of(event).to_owned()), "twice: {event}");
        }
    }
    assert_eq!(seen.len(), 8 * 20 * 10);
}

#[test]
fn a_batch_that_is_sent_twice_at_the_same_time_is_stored_once() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let start = server.tool("track_session_start", session_start("start", 0));
    let session = start["structuredContent"]["session_id"].as_str().unwrap().to_owned();
    let events: Vec<_> =
        (0..100).map(|number| command(&format!("e-{number}"), number, &format!("step({number})"))).collect();
    let batch = json!({ "session_id": session, "events": events });
    let port = server.port();
    let totals = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| call_tool(port, "track_events", batch.clone()))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).fold((0, 0), |(accepted, duplicates), result| {
            let count = |name: &str| result["structuredContent"][name].as_u64().unwrap_or_else(|| panic!("{result}"));
            (accepted + count("accepted"), duplicates + count("duplicates"))
        })
    });
    assert_eq!(totals, (100, 300));
    let listed = events_of(&server.tool("list_events", json!({ "session_id": session, "limit": 1000 })));
    assert_eq!(listed.len(), 101);
}

#[test]
fn what_many_commands_write_by_hand_at_once_goes_to_one_session_each() {
    let home = TestHome::new();
    let tree = git::repository(&home, "shop");
    let writers: Vec<_> = (0..12)
        .flat_map(|number| {
            let message = home.session_buddy(["add-message", "--session", "race", &format!("m {number}")]);
            let checkpoint = home.session_buddy(["checkpoint", "--note", &format!("c {number}")]).cwd(&tree);
            [message, checkpoint]
        })
        .map(|program| std::thread::spawn(move || program.run()))
        .collect();
    for writer in writers {
        let done = writer.join().unwrap();
        done.expect_success();
        expect_no_lock_told(&done);
    }
    for (project, kind) in [("race", "message"), ("shop", "checkpoint")] {
        let sessions = home.sessions(&["--project", project]);
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        let events = home.events(&id(&sessions[0]));
        let of_kind = events.iter().filter(|event| event["event_type"] == kind).count();
        assert_eq!((events.len(), of_kind), (13, 12), "{events:?}");
        assert_eq!(events[0]["event_type"], "session_start", "nothing is written before the session began");
    }
}
