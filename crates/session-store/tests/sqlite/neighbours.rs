use std::sync::Barrier;

use rusqlite::TransactionBehavior;
use session_store::{Page, SessionFilter, Store};

use crate::room::{Room, command, options, put};

#[test]
fn eight_stores_on_one_file_lose_nothing_and_see_no_lock() {
    let room = Room::new();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (room, barrier) = (&room, &barrier);
            scope.spawn(move || {
                barrier.wait();
                // Each one opens, and so creates, the file by itself.
                let store = room.try_open(options()).unwrap();
                for round in 0..20 {
                    let events =
                        vec![command(&format!("{writer}-{round}"), "x"), command(&format!("shared-{round}"), "y")];
                    let receipt = put(&store, "s", events).unwrap();
                    assert_eq!(receipt.accepted + receipt.duplicates, 2);
                    assert!(!store.sessions(&SessionFilter::default(), Page::first(5)).unwrap().is_empty());
                }
            });
        }
    });
    let store = room.open();
    assert_eq!(store.session("s").unwrap().command_count, 8 * 20 + 20);
    assert_eq!(store.counts().unwrap().events_total(), 8 * 20 + 20);
}

#[test]
fn a_neighbour_that_holds_the_lock_is_waited_for() {
    let room = Room::new();
    let store = room.open();
    put(&store, "s", vec![command("e0", "x")]).unwrap();
    let mut raw = room.raw();
    let transaction = raw.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    transaction.execute("UPDATE sessions SET hostname = 'x'", []).unwrap();
    let before = session_store::sqlite::busy_waits();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&store, "s", vec![command("e1", "x")]));
        while session_store::sqlite::busy_waits() == before {
            std::thread::yield_now();
        }
        // Reading goes on meanwhile.
        assert_eq!(store.session("s").unwrap().command_count, 1);
        transaction.commit().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().accepted, 1);
    });
    assert_eq!(store.session("s").unwrap().command_count, 2);
}

#[test]
fn calls_that_wait_together_share_commits() {
    let room = Room::new();
    let store = room.open();
    put(&store, "s", vec![command("first", "x")]).unwrap();
    let before = store.commits();
    let mut raw = room.raw();
    let transaction = raw.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    transaction.execute("UPDATE sessions SET hostname = 'x'", []).unwrap();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|n| {
                let store = &store;
                scope.spawn(move || put(store, "s", vec![command(&format!("e{n}"), "x")]))
            })
            .collect();
        while store.queue_depth() < 12 {
            std::thread::yield_now();
        }
        transaction.commit().unwrap();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap().accepted, 1);
        }
    });
    // One commit for the call that was being written, one for all that waited.
    assert!(store.commits() - before <= 2, "{} commits", store.commits() - before);
    assert_eq!(store.queue_depth(), 0);
    assert_eq!(store.session("s").unwrap().event_count, 13);
}
