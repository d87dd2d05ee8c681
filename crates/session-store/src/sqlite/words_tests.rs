//! The list of words: what is in it, and how it goes.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{AT_ONCE, keep, knows, learn, next, through};
use crate::retention::{RetentionRules, apply};
use crate::sqlite::room::{Room, command, event, put, start};

/// Deletes what is older than a day, three days later.
fn delete_old(store: &super::SqliteStore) {
    let rules = RetentionRules { sessions: Some(1), ..RetentionRules::default() };
    let now = oneiric::clock::Timestamp::parse("2026-11-25T18:00:00Z").unwrap();
    assert_eq!(apply(store, &rules, now, &mut |_, _| {}).unwrap().sessions, 1);
}

fn put_old(store: &super::SqliteStore, words: usize) {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let word = |n: usize| format!("chimichanga{}{}{}", letter(n / 676), letter(n / 26), letter(n));
    let mut events = vec![event("s", "session_start", 0, start("c", "t", "p"))];
    events.extend((0..words).map(|n| command(&format!("c{n}"), &word(n))));
    events.push(event("e", "session_end", 2, json!({ "status": "ended" })));
    put(store, "old", events).unwrap();
    put(store, "new", vec![command("n", "remaining")]).unwrap();
}

#[test]
fn words_go_with_the_events_that_hold_them_though_nobody_learns_them_anew() {
    let room = Room::new();
    let store = room.open();
    put_old(&store, 3);
    while learn(&store).unwrap() > 0 {}
    assert!(store.read(|connection| knows(connection, "chimichangaaac")).unwrap());
    delete_old(&store);
    let left = |sql: &str| room.raw().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(left("SELECT count(*) FROM words"), 0);
    assert_eq!(left("SELECT count(*) FROM word_letters WHERE word_letters MATCH '\"him\"'"), 0);
    while learn(&store).unwrap() > 0 {}
    assert!(store.read(|connection| knows(connection, "remaining")).unwrap());
    assert!(!store.read(|connection| knows(connection, "chimichangaaac")).unwrap());
}

#[test]
fn words_that_were_read_before_their_events_were_deleted_do_not_come_back() {
    for words in [3, 2 * AT_ONCE] {
        let room = Room::new();
        let (store, other) = (room.open(), room.open());
        put_old(&store, words);
        let step = store.read(next).unwrap();
        assert!(step.new.len() >= words);
        delete_old(&other);
        store.write(|door| keep(step, door)).unwrap();
        assert!(!store.read(|connection| knows(connection, "chimichangaaac")).unwrap());
        assert_eq!(store.read(through).unwrap(), 0, "they are read again");
        while learn(&store).unwrap() > 0 {}
        assert!(store.read(|connection| knows(connection, "remaining")).unwrap());
    }
}

#[test]
fn words_and_identifiers_are_kept_and_ids_and_numbers_are_not() {
    for word in ["backup", "performhandoffnow", "sha256sum", "größe", "utf8", "v2beta1"] {
        assert!(super::is_word(word), "{word}");
    }
    for id in ["12345", "b206b43f0c", "a1b2c3d4e5f6", "abc", "x1"] {
        assert!(!super::is_word(id), "{id}");
    }
}
