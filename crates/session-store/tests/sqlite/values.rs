//! A value that is not what its column holds costs itself alone, is named, and is set right as far as it can be read.

use std::time::Duration;

use oneiric::clock::{SystemClock, Timestamp};
use oneiric::id::SessionId;
use oneiric::process::Liveness;
use serde_json::json;
use session_store::analytics::Range;
use session_store::backup::Backups;
use session_store::retention::{RetentionRules, apply};
use session_store::sqlite::SqliteStore;
use session_store::sqlite::checkup::{look, mend_values, rebuild_index};
use session_store::transfer::{Line, Selection};
use session_store::upkeep::{ArchiveRule, RestoreRule, archive, restore};
use session_store::{EventFilter, Page, Scope, SearchRequest, SessionFilter, Store, Upkeep};

use crate::room::{Room, command, event, put, start};

/// Two finished sessions of three events each, one after the other damaged by a statement.
fn room(damage: &str) -> Room {
    let room = Room::new();
    let store = room.open();
    for session in ["one", "two"] {
        let begin = event(&format!("{session}-0"), "session_start", 0, start("shell", "admin", "engine"));
        let end = event(&format!("{session}-2"), "session_end", 9, json!({ "status": "ended" }));
        put(&store, session, vec![begin, command(&format!("{session}-1"), "needle in hay"), end]).unwrap();
    }
    room.raw().execute_batch(damage).unwrap();
    room
}

/// `{"command":"\xff","kind":"needle"}`
const TEXT: &str = "UPDATE session_events SET data = cast(x'7b22636f6d6d616e64223a22ff222c226b696e64223a226e6565646c65227d' AS TEXT) \
    WHERE event_id = 'one-1'";

/// All that reads rows.
fn used(store: &SqliteStore) {
    let page = Page::first(1000);
    assert_eq!(store.sessions(&SessionFilter::default(), page).unwrap().len(), 2);
    let events = store.events(&EventFilter::default(), page).unwrap();
    assert_eq!(events.len(), 6);
    let mut lines = 0;
    let mut show = |line: Line| {
        lines += 1;
        assert!(Line::parse(&line.text().unwrap()).is_ok());
        Ok(())
    };
    store.export(&Selection::default(), &mut show).unwrap();
    assert_eq!(lines, 9);
    let hits = store.search(&SearchRequest::text("needle"), None).unwrap().hits;
    assert!(hits.iter().any(|hit| hit.session_id == "two"), "{hits:?}");
    let mut seen = 0;
    let mut visit = |_| {
        seen += 1;
        true
    };
    store.walk_back(&SessionId::parse("two").unwrap(), 10, &mut visit).unwrap();
    assert!(seen > 0);
    let later = Timestamp::parse("2027-01-01T00:00:00Z").unwrap();
    store.analytics(&Range { errors: true, ..Range::last(365, later).unwrap() }).unwrap();
    store.texts_after(0, 100, 100_000).unwrap();
    store.mark_stale(&|_, _| Liveness::Gone, later).unwrap();
    while store.learn_words().unwrap() > 0 {}
}

#[test]
fn a_value_that_cannot_be_read_hides_no_other_and_stops_no_upkeep() {
    for damage in [
        TEXT,
        "UPDATE session_events SET data = x'00ff', event_type = cast(x'636f6dff' AS TEXT) WHERE event_id = 'one-1'",
        "UPDATE session_events SET event_id = cast(x'6f6eff' AS TEXT), sequence = 'many' WHERE event_id = 'one-1'",
        "UPDATE session_events SET event_id = 'on%-1', event_type = 'COMMAND' WHERE event_id = 'one-1'",
        "UPDATE session_events SET timestamp = x'ff', received_at = 7 WHERE event_id = 'one-1'",
        "UPDATE sessions SET start_time = x'ff', hostname = cast(x'ff' AS TEXT), pid = 'none' WHERE session_id = 'one'",
        "UPDATE sessions SET component = x'ff', project = 7, event_count = 'x', duration_seconds = x'00', metadata = x'01' \
         WHERE session_id = 'one'",
    ] {
        let room = room(damage);
        let store = room.open();
        used(&store);
        assert_eq!(rebuild_index(&room.path(), &mut |_, _| {}).unwrap(), 6, "{damage}");
        used(&store);
        let later = Timestamp::parse("2027-01-01T00:00:00Z").unwrap();
        archive(&store, &ArchiveRule { before: later, project: None }, &mut |_, _| {}).unwrap();
        restore(&store, &RestoreRule::default(), &mut |_, _| {}).unwrap();
        let rules = RetentionRules::parse(1, &[], &[]).unwrap();
        apply(&store, &rules, later.plus(Duration::from_secs(9 * 86_400)), &mut |_, _| {}).unwrap();
        assert!(store.session("two").is_err(), "{damage}");
    }
}

/// Pages that go on where the one before ended hold each event once, whatever is wrong with the last one of a page.
#[test]
fn pages_go_on_behind_a_value_that_cannot_be_read() {
    let times = "UPDATE session_events SET timestamp = replace(substr(timestamp, 1, 19), 'T', ' ')";
    let mut damages = vec![times.to_owned()];
    for number in 0..3 {
        for set in [
            "timestamp = substr(timestamp, 1, 22) || 'z' || substr(timestamp, 24)",
            "timestamp = '2026m' || substr(timestamp, 6)",
            "timestamp = NULL",
            "timestamp = x'ff'",
            "event_id = cast(x'6f6eff' AS TEXT)",
            "sequence = 'many'",
        ] {
            damages.push(format!("UPDATE OR IGNORE session_events SET {set} WHERE event_id = 'one-{number}'"));
        }
    }
    for damage in damages {
        let room = room(&damage);
        let store = room.open();
        for session in [Some("one".to_owned()), None] {
            let mut filter = EventFilter { session, ..EventFilter::default() };
            let all = store.events(&filter, Page::first(100)).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 20 {
                let (events, place) = store.events_that_fit(&filter, Page::first(1), &mut |_| true).unwrap();
                seen.extend(events);
                filter.after = place;
                if place.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "{damage}");
        }
    }
}

#[test]
fn what_is_wrong_is_named_and_what_can_be_read_of_it_is_stored() {
    let room = room(TEXT);
    let found = look(&room.path(), false).unwrap().values.unwrap();
    assert_eq!(found.to_string(), "a value is damaged: data of the event one-1 is no text (UTF-8)");
    assert_eq!(mend_values(&room.path()).unwrap(), (1, None));
    assert_eq!(look(&room.path(), true).unwrap().values, None);
    let stored: String =
        room.raw().query_row("SELECT data FROM session_events WHERE event_id = 'one-1'", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, "{\"command\":\"\u{fffd}\",\"kind\":\"needle\"}");

    room.raw()
        .execute_batch(
            "UPDATE sessions SET hostname = cast(x'6162ff' AS TEXT), start_time = x'ff' WHERE session_id = 'two';
             UPDATE session_events SET event_id = cast(x'6f6eff' AS TEXT) WHERE event_id = 'one-1'",
        )
        .unwrap();
    let (mended, left) = mend_values(&room.path()).unwrap();
    let left = left.unwrap();
    assert_eq!((mended, left.named), (2, vec!["start_time of the session two is no text".to_owned()]));
    assert_eq!(look(&room.path(), true).unwrap().values.unwrap().count, 1);
    assert_eq!(room.open().session("two").unwrap().hostname.as_deref(), Some("ab\u{fffd}"));
    let events = room.open().events(&EventFilter::default(), Page::first(10)).unwrap();
    assert!(events.iter().any(|event| event.event_id == "onx"), "{events:?}");
    room.raw().execute_batch("UPDATE session_events SET event_id = 'o%x' WHERE event_id = 'onx'").unwrap();
    let found = look(&room.path(), false).unwrap().values.unwrap();
    assert_eq!(found.named[1], "event_id of the event oxx has characters that none has");
}

#[test]
fn a_backup_of_what_is_not_sound_in_single_values_or_the_index_is_made_and_restored_with_a_warning() {
    for (damage, said) in [
        (TEXT, "data of the event one-1"),
        ("DELETE FROM event_search_data WHERE id > 10", "the search index is damaged"),
        ("DROP TABLE words", "the search index is damaged"),
    ] {
        let room = room(damage);
        let backups = Backups::in_folder(room.path().with_file_name("backups"));
        let entry = backups.create(&room.path(), &SystemClock, &mut |_, _| {}).unwrap();
        let file = backups.folder().join(&entry.name);
        let content = backups.verify(&file).unwrap();
        assert_eq!(content.remarks, entry.warnings);
        assert!(content.remarks.len() == 1 && content.remarks[0].contains(said), "{damage}: {content:?}");
        let (content, _) = backups.restore(&file, &room.path(), &SystemClock, &mut || {}).unwrap();
        assert_eq!((content.events, content.remarks), (6, entry.warnings));
        assert_eq!(room.open().events(&EventFilter::default(), Page::first(10)).unwrap().len(), 6);
    }
}
