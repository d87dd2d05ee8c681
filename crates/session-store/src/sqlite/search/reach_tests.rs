//! Which events count, and how many rows are looked at to know.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use serde_json::json;

use super::Reach;
use crate::SearchFilter;
use crate::sqlite::SqliteStore;
use crate::sqlite::room::{Room, command, event, put, start};
use crate::upkeep::{ArchiveRule, archive};

const ZEBRAS: usize = 40;

/// A session of zebras, numbered from `first` on.
fn zebras(store: &SqliteStore, session: &str) {
    let mut events = vec![event(&format!("{session}.s"), "session_start", 0, start("c", "t", "p"))];
    events.extend((0..ZEBRAS).map(|n| command(&format!("{session}.{n}"), "zebra")));
    put(store, session, events).unwrap();
}

fn put_away(store: &SqliteStore, session: &str) {
    put(store, session, vec![event(&format!("{session}.e"), "session_end", 2, json!({ "status": "ended" }))]).unwrap();
    let before = oneiric::clock::Timestamp::parse("2026-11-23T18:00:00Z").unwrap();
    assert_eq!(archive(store, &ArchiveRule { before, project: None }, &mut |_, _| {}).unwrap().sessions, 1);
}

#[test]
fn rows_are_looked_at_only_where_the_index_alone_does_not_tell_and_so_many_at_most() {
    let room = Room::new();
    let store = room.open();
    zebras(&store, "old");
    put_away(&store, "old");
    zebras(&store, "live");
    let raw = room.raw();
    let any = SearchFilter::default;
    let timed = SearchFilter { since: oneiric::clock::Timestamp::parse("2026-11-22T00:00:00Z"), ..any() };
    let unknown = SearchFilter { component: Some("unknown".to_owned()), ..any() };
    let both = SearchFilter { archived: true, ..any() };
    let looks = |filter: &SearchFilter| Reach::of(&raw, filter, i64::MAX).unwrap().looks();
    let found = |filter: &SearchFilter, wanted, visits| {
        let reach = Reach::of(&raw, filter, i64::MAX).unwrap();
        let found = reach.newest(&raw, Some("\"zebra\""), wanted, visits, &HashSet::new()).unwrap();
        (found.seqs.len(), found.visited, found.bounded)
    };
    // All of the archive is older.
    assert_eq!([&any(), &both, &timed, &unknown].map(looks), [false, false, true, true]);
    assert_eq!(found(&any(), usize::MAX, usize::MAX), (ZEBRAS, ZEBRAS, false));
    assert_eq!(found(&both, usize::MAX, usize::MAX), (2 * ZEBRAS, 2 * ZEBRAS, false));

    zebras(&store, "later");
    put_away(&store, "later");
    assert_eq!([&any(), &both].map(looks), [false, false], "all of it is older or newer");
    put(&store, "live", vec![command("last", "heron")]).unwrap();
    assert_eq!([&any(), &both, &timed, &unknown].map(looks), [true, false, true, true]);
    assert_eq!(found(&any(), usize::MAX, usize::MAX), (ZEBRAS, 2 * ZEBRAS, false));
    assert_eq!(found(&any(), 5, usize::MAX), (5, ZEBRAS + 6, true), "no further than is wanted");
    assert_eq!(found(&any(), 5, 10), (0, 11, true), "no further than is allowed");
    assert_eq!(found(&both, 5, 10), (5, 6, true));
    assert_eq!(found(&unknown, 5, 10), (0, 11, true));
}
