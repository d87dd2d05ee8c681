//! Clocks that go backwards, stand still, or are of another world.

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventType};
use oneiric::id::EventId;
use oneiric::spool::{Entry, EntryKind, encode};
use serde_json::{Value, json};
use testkit::{Server, TestHome};

use crate::kills::events_of;
use crate::sample::{at, command, command_of, commands, id, session_start, types};

#[test]
fn a_clock_that_goes_back_within_a_session_costs_no_event_and_no_negative_time() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let start = server.tool("track_session_start", session_start("start", 3600));
    let session = start["structuredContent"]["session_id"].as_str().unwrap().to_owned();
    let events =
        [command("e1", 3610, "first()"), command("e2", 10, "an_hour_earlier()"), command("e3", 3620, "third()")];
    let receipt = server.tool("track_events", json!({ "session_id": session, "events": events }));
    assert_eq!(receipt["structuredContent"]["accepted"], 3, "{receipt}");
    let end = server
        .tool("track_session_end", json!({ "session_id": session, "timestamp": at(0), "event_type": "session_end" }));
    assert_eq!(end["structuredContent"]["status"], "ended", "{end}");
    let stored = events_of(&server.tool("list_events", json!({ "session_id": session })));
    assert_eq!(stored.len(), 5, "{stored:?}");
    let shown = home.session_buddy(["get-session", &session, "--format", "json"]).run().expect_success().json();
    assert!(shown["duration_seconds"].as_f64().is_some_and(|time| time >= 0.0), "{shown}");
    assert_eq!(shown["command_count"], 3);
    let table = home.session_buddy(["list-sessions"]).run();
    assert!(!table.expect_success().stdout.contains("-1:") && !table.stdout.contains(" -"), "{table}");
}

#[test]
fn order_is_by_time_then_by_sequence_however_the_batches_came() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let start = server.tool("track_session_start", session_start("start", 0));
    let session = start["structuredContent"]["session_id"].as_str().unwrap().to_owned();
    let event = |event_id: &str, second: u64, sequence: u64, text: &str| {
        let mut event = command(event_id, second, text);
        event["sequence"] = json!(sequence);
        event
    };
    let late = [event("e5", 20, 5, "fifth()"), event("e4", 10, 4, "fourth()")];
    let early = [event("e3", 10, 3, "third()"), event("e1", 5, 1, "first()"), event("e2", 10, 2, "second()")];
    for batch in [&late[..], &early[..]] {
        let receipt = server.tool("track_events", json!({ "session_id": session, "events": batch }));
        assert_eq!(receipt["structuredContent"]["rejected"], json!([]), "{receipt}");
    }
    assert_eq!(commands(&home.events(&session)), ["first()", "second()", "third()", "fourth()", "fifth()"]);
}

#[test]
fn a_spool_from_before_1970_and_one_from_the_far_future_are_stored_as_they_are() {
    let home = TestHome::new();
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    // A real spool file, with one more event at each end of time.
    let spool = home.waiting_spools().remove(0);
    let mut text = std::fs::read(&spool).unwrap();
    for (event_id, time) in [("past", "1969-07-20T20:17:40Z"), ("future", "9998-01-01T00:00:00Z")] {
        let data = json!({ "text": event_id }).as_object().unwrap().clone();
        let event = Event {
            event_id: EventId::parse(event_id).unwrap(),
            event_type: EventType::known(EventType::MESSAGE),
            timestamp: Timestamp::parse(time).unwrap(),
            sequence: None,
            data,
        };
        text.extend_from_slice(&encode(&Entry { kind: EntryKind::Event, event }).unwrap());
    }
    std::fs::write(&spool, text).unwrap();
    let session = id(&home.sessions(&[])[0]);
    let events = home.events(&session);
    assert_eq!(types(&events), ["message", "session_start", "command", "session_end", "message"]);
    for format in ["table", "json", "csv"] {
        home.session_buddy(["list-events", "--session-id", &session, "--format", format]).run().expect_success();
        home.session_buddy(["list-sessions", "--format", format]).run().expect_success();
    }
    assert_eq!(home.waiting_spools().len(), 0);
}

#[test]
fn times_that_are_none_are_refused_and_those_with_an_offset_are_understood() {
    let home = TestHome::new();
    let server = Server::start(&home);
    for wrong in ["yesterday", "2026-13-40T00:00:00Z", "", "2026-11-20", "12345"] {
        let mut start = session_start("start", 0);
        start["timestamp"] = json!(wrong);
        let result = server.tool("track_session_start", start);
        let refused = result["isError"] == true || result["structuredContent"]["status"] == "error";
        assert!(refused && result.to_string().contains("timestamp"), "{wrong}: {result}");
    }
    let mut start = session_start("start", 0);
    start["timestamp"] = json!("2026-11-20T14:00:00+02:00");
    let result = server.tool("track_session_start", start);
    let session = result["structuredContent"]["session_id"].as_str().unwrap().to_owned();
    let shown: Value = home.session_buddy(["get-session", &session, "--format", "json"]).run().expect_success().json();
    assert!(shown["start_time"].as_str().unwrap().starts_with("2026-11-20T12:00:00"), "{shown}");
    assert_eq!(command_of(&json!({})), "");
}
