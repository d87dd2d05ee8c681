//! The search index made anew, and its parts merged.

use std::collections::BTreeSet;

use oneiric::clock::Timestamp;
use session_store::sqlite::checkup::{look, rebuild_index, recount_sessions, remake_derived};
use session_store::upkeep::ArchiveRule;
use session_store::{SearchRequest, Store, Upkeep};

use super::room::{Room, command, event, put, start};

const EVENTS: usize = 2_300;

fn found(store: &impl Store, query: &str) -> BTreeSet<String> {
    let answer = store.search(&SearchRequest::text(query).limit(100), None).unwrap();
    answer.hits.into_iter().filter(|hit| hit.complete).map(|hit| hit.event_id).collect()
}

#[test]
fn an_index_made_anew_holds_every_event_and_what_was_stored_meanwhile() {
    let room = Room::new();
    let store = room.open();
    for first in (0..EVENTS).step_by(500) {
        let some = first..(first + 500).min(EVENTS);
        let events = some.map(|n| command(&format!("c{n}"), &format!("marker{} common", n % 50))).collect();
        put(&store, "session-1", events).unwrap();
    }
    let before = found(&store, "marker7");
    assert_eq!(before.len(), EVENTS / 50);
    room.raw().execute_batch("INSERT INTO event_search (event_search) VALUES ('delete-all')").unwrap();
    assert!(found(&store, "marker7").is_empty());

    let mut late = 0;
    let indexed = rebuild_index(&room.path(), &mut |_, _| {
        // Between two transactions, as another process would.
        put(&store, "session-2", vec![command(&format!("late{late}"), "latecomer")]).unwrap();
        late += 1;
    })
    .unwrap();
    assert!(late > 0);
    assert_eq!(indexed as usize, EVENTS + late);
    assert_eq!(found(&store, "marker7"), before);
    assert_eq!(found(&store, "latecomer").len(), late);
    put(&store, "session-2", vec![command("after", "afterwards")]).unwrap();
    assert_eq!(found(&store, "afterwards").len(), 1);
}

/// Parts that every search opens.
fn parts(room: &Room) -> i64 {
    let sql = "SELECT count(DISTINCT segid) FROM event_search_idx";
    room.raw().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_small_commits_left_apart_is_merged_in_small_steps_and_nothing_is_lost_of_it() {
    let room = Room::new();
    let store = room.open();
    for n in 0..300 {
        put(&store, "session-1", vec![command(&format!("c{n}"), &format!("marker{} common word{n}", n % 50))]).unwrap();
    }
    let (before, left) = (found(&store, "marker7"), parts(&room));
    assert!(left > 8, "{left} parts");
    let reader = room.open();
    let mut steps = 0;
    while store.merge_index().unwrap() {
        steps += 1;
        assert!(steps < 100, "merging ends");
        assert_eq!(found(&reader, "marker7"), before);
    }
    // One of each size at most, and the sizes double.
    assert!(steps > 0 && parts(&room) <= 4, "{} parts after {steps} steps", parts(&room));
    assert!(!store.merge_index().unwrap(), "there is nothing left");
    assert_eq!(found(&store, "marker7"), before);
    put(&store, "session-1", vec![command("late", "marker7 latecomer")]).unwrap();
    assert_eq!(found(&store, "marker7").len(), before.len() + 1);
}

#[test]
fn a_damaged_index_or_list_of_words_is_told_from_damaged_rows_and_made_anew() {
    for damage in [
        "DELETE FROM event_search_data WHERE id = 10",
        "DELETE FROM event_search_data WHERE id > 10",
        "DELETE FROM word_letters_data WHERE id > 10",
        "DELETE FROM word_letters_data; DELETE FROM word_letters_config",
        "DROP TABLE words",
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'event_search'",
    ] {
        let room = Room::new();
        let store = room.open();
        let events = (0..EVENTS).map(|n| command(&format!("c{n}"), &format!("marker{} common", n % 50))).collect();
        put(&store, "session-1", events).unwrap();
        while store.learn_words().unwrap() > 0 {}
        let before = found(&store, "marker7");
        drop(store);
        room.raw().execute_batch(damage).unwrap();
        let wrong = look(&room.path(), false).unwrap();
        assert!(wrong.derived.is_some() && wrong.damage.is_none(), "{damage}: {wrong:?}");

        assert_eq!(remake_derived(&room.path(), &mut |_, _| {}).unwrap() as usize, EVENTS, "{damage}");
        let right = look(&room.path(), true).unwrap();
        assert!(right.derived.is_none() && right.damage.is_none() && right.unindexed == 0, "{damage}: {right:?}");
        let store = room.open();
        assert_eq!(found(&store, "marker7"), before, "{damage}");
        put(&store, "session-1", vec![command("late", "latecomer")]).unwrap();
        assert_eq!(found(&store, "latecomer").len(), 1, "{damage}");
        while store.learn_words().unwrap() > 0 {}
        assert_eq!(found(&store, "latecoemr").len(), 1, "{damage}");
    }
}

#[test]
fn damage_of_the_index_is_remembered_from_what_met_it_until_it_is_made_anew() {
    for (damage, writing) in [
        ("DELETE FROM event_search_data WHERE id = 10", true),
        ("DELETE FROM event_search_data WHERE id > 10", false),
        ("DROP TABLE event_search", true),
    ] {
        let room = Room::new();
        let store = room.open();
        let events = (0..EVENTS).map(|n| command(&format!("c{n}"), &format!("marker{} common", n % 50))).collect();
        put(&store, "session-1", events).unwrap();
        assert_eq!(store.info().unwrap().damage, None);
        room.raw().execute_batch(damage).unwrap();
        assert_eq!(store.info().unwrap().damage, None, "nothing met it yet");
        if writing {
            put(&store, "session-1", vec![command("late", "x")]).unwrap_err();
        }
        store.search(&SearchRequest::text("marker7"), None).unwrap_err();
        let found = store.info().unwrap().damage.unwrap();
        assert_eq!((found.derived, found.writing), (true, writing), "{damage}: {found:?}");
        remake_derived(&room.path(), &mut |_, _| {}).unwrap();
        assert_eq!(store.info().unwrap().damage, None, "{damage}");
        put(&store, "session-1", vec![command("late", "x")]).unwrap();
    }
}

#[test]
fn sessions_that_count_their_events_wrong_are_found_and_set_right() {
    let room = Room::new();
    let store = room.open();
    for session in ["one", "two", "three"] {
        let events = (0..5).map(|n| command(&format!("{session}-{n}"), "x")).collect();
        put(&store, session, events).unwrap();
    }
    assert_eq!(look(&room.path(), false).unwrap().miscounted_sessions, 0);
    let raw = room.raw();
    raw.execute_batch(
        "UPDATE sessions SET event_count = 99 WHERE session_id = 'one'; DELETE FROM session_events WHERE event_id = 'two-3';",
    )
    .unwrap();
    assert_eq!(look(&room.path(), false).unwrap().miscounted_sessions, 2);
    assert_eq!(recount_sessions(&room.path()).unwrap(), 2);
    assert_eq!(look(&room.path(), false).unwrap().miscounted_sessions, 0);
    let counts = ["one", "two", "three"].map(|id| store.session(id).unwrap().event_count);
    assert_eq!(counts, [5, 4, 5]);
    let plan: Vec<String> = raw
        .prepare("EXPLAIN QUERY PLAN SELECT session_id, count(*) FROM session_events GROUP BY session_id")
        .unwrap()
        .query_map([], |row| row.get(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(plan.iter().all(|line| line.contains("COVERING INDEX")), "{plan:?}");
}

#[test]
fn archived_events_that_the_index_does_not_know_are_found_as_live_ones_are() {
    let room = Room::new();
    let store = room.open();
    for session in ["one", "two", "three"] {
        let start = event(&format!("{session}-start"), "session_start", 0, start("c", "t", "p"));
        let end = event(&format!("{session}-end"), "session_end", 2, serde_json::json!({ "status": "ended" }));
        put(&store, session, vec![start, command(&format!("{session}-c"), "marker7"), end]).unwrap();
    }
    let rule = ArchiveRule { before: Timestamp::parse("2027-01-01T00:00:00Z").unwrap(), project: None };
    assert_eq!(store.archive(&["one".to_owned(), "two".to_owned()], &rule).unwrap().events, 6);
    let sound = look(&room.path(), false).unwrap();
    assert_eq!((sound.sampled, sound.unindexed), (9, 0));
    for (table, unindexed) in [("archived_events", 6), ("session_events", 3)] {
        room.raw().execute_batch("INSERT INTO event_search (event_search) VALUES ('delete-all')").unwrap();
        rebuild_index(&room.path(), &mut |_, _| {}).unwrap();
        // As if what stands in the table had been forgotten.
        room.raw().execute_batch(&format!("UPDATE {table} SET seq = seq + 1000")).unwrap();
        assert_eq!(look(&room.path(), false).unwrap().unindexed, unindexed, "{table}");
    }
}

#[test]
fn damaged_rows_are_not_taken_for_a_damaged_index() {
    let room = Room::new();
    put(&room.open(), "session-1", vec![command("one", "x")]).unwrap();
    let raw = room.raw();
    let page: i64 =
        raw.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'sessions'", [], |row| row.get(0)).unwrap();
    let size: i64 = raw.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(raw);
    let mut bytes = std::fs::read(room.path()).unwrap();
    let start = usize::try_from((page - 1) * size).unwrap();
    bytes[start..start + 16].fill(b'Z');
    std::fs::write(room.path(), bytes).unwrap();
    let found = look(&room.path(), false).unwrap();
    assert!(found.damage.is_some() && found.derived.is_none(), "{found:?}");
}

#[test]
fn what_an_earlier_version_put_into_the_index_is_found_as_it_was() {
    let room = Room::new();
    let store = room.open();
    let texts = ["η οδός μου", "أحمد هنا", "ﾃﾞｰﾀ ok", "an ordinary file"];
    put(&store, "s", texts.iter().enumerate().map(|(n, text)| command(&format!("c{n}"), text)).collect()).unwrap();
    let asked = [("οδός", "c0"), ("أحمد", "c1"), ("ﾃﾞｰﾀ", "c2"), ("file", "c3")];
    let check = |asked: &[(&str, &str)]| {
        for (query, id) in asked {
            assert_eq!(found(&store, query), BTreeSet::from([(*id).to_owned()]), "{query}");
        }
    };
    check(&asked);
    check(&[("ΟΔΟΣ", "c0"), ("احمد", "c1"), ("データ", "c2")]);
    let raw = room.raw();
    raw.execute_batch("INSERT INTO event_search (event_search) VALUES ('delete-all')").unwrap();
    let lines = ["η οδος μου", "أحمد هنا", "ﾃﾞ ﾞｰ ｰﾀ ﾀ ok", "an ordinary file"];
    for (n, line) in (0_i64..).zip(lines) {
        let sql = "INSERT INTO event_search (rowid, terms) SELECT seq, ?2 FROM session_events WHERE event_id = ?1";
        assert_eq!(raw.execute(sql, (format!("c{n}"), line)).unwrap(), 1);
    }
    check(&asked);
    // Made anew, it holds what this version makes of them.
    rebuild_index(&room.path(), &mut |_, _| {}).unwrap();
    check(&asked);
    check(&[("ΟΔΟΣ", "c0"), ("احمد", "c1"), ("データ", "c2")]);
}
