//! The search index made anew, and its parts merged.

use std::collections::BTreeSet;

use session_store::sqlite::checkup::rebuild_index;
use session_store::{SearchRequest, Store, Upkeep};

use super::room::{Room, command, put};

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
