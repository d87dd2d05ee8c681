//! The search index made anew.

use std::collections::BTreeSet;

use session_store::sqlite::checkup::rebuild_index;
use session_store::{SearchRequest, Store};

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
