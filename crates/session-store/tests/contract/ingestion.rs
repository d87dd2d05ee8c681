use std::sync::Arc;

use oneiric::event::{EventBatch, MAX_BATCH_EVENTS};
use oneiric::fault::FaultKind;
use oneiric::id::SessionId;
use oneiric::spool::EventSink;
use serde_json::{Value, json};
use session_store::{Store, StoreSink, Unknown};

use crate::world::{World, at, command, event, start};

on_every_store!(
    an_event_that_is_sent_twice_is_stored_once,
    an_event_id_of_another_session_is_rejected_with_the_reason,
    a_start_creates_the_session_with_all_that_it_says,
    events_before_their_start_are_kept_and_the_session_is_completed_later,
    an_unknown_session_is_refused_whole_when_asked_to,
    one_call_carries_many_batches,
    a_bad_start_is_rejected_and_leaves_no_session,
    a_second_start_of_a_session_is_rejected,
    too_large_too_deep_and_too_many_are_refused_and_the_rest_is_stored,
    many_writers_at_once_lose_nothing,
    an_empty_call_and_an_empty_batch_are_no_work,
    a_sink_delivers_and_opens_sessions,
);

fn an_event_that_is_sent_twice_is_stored_once(world: &World) {
    let events = vec![event("e0", "session_start", 0.0, start()), command("e1", 1.0, "ls"), command("e1", 1.0, "ls")];
    let first = world.put("s1", events.clone());
    assert_eq!((first.accepted, first.duplicates, first.rejected.len()), (2, 1, 0));
    let again = world.put("s1", events);
    assert_eq!((again.accepted, again.duplicates, again.rejected.len()), (0, 3, 0));
    let session = world.get("s1");
    assert_eq!((session.command_count, session.event_count), (1, 2));
    assert_eq!(world.event_ids("s1"), ["e0", "e1"]);
}

fn an_event_id_of_another_session_is_rejected_with_the_reason(world: &World) {
    world.put("s1", vec![command("e1", 1.0, "ls")]);
    let receipt = world.put("s2", vec![command("e1", 2.0, "ls"), command("e2", 2.0, "ls")]);
    assert_eq!((receipt.accepted, receipt.duplicates), (1, 0));
    assert_eq!(receipt.rejected[0].event_id, "e1");
    assert!(receipt.rejected[0].reason.contains("another session"), "{receipt:?}");
    assert_eq!(world.get("s1").command_count, 1);
    assert_eq!(world.get("s2").command_count, 1);
    // Nothing but foreign events: no session is left behind.
    world.put("s3", vec![command("e1", 2.0, "ls")]);
    assert!(world.store.session("s3").is_err());
}

fn a_start_creates_the_session_with_all_that_it_says(world: &World) {
    world.session("s1", start(), &["ls"]);
    let session = world.get("s1");
    assert_eq!((session.component.as_str(), session.session_type.as_str()), ("mahavishnu", "admin_shell"));
    assert_eq!(session.status.as_str(), "active");
    assert_eq!((session.start_time, session.last_event_time), (at(0.0), Some(at(1.0))));
    assert_eq!((session.end_time, session.duration_seconds), (None, None));
    assert_eq!(session.project.as_deref(), Some("engine"));
    assert_eq!(session.repository.as_deref(), Some("/home/ada/work/.git"));
    assert_eq!(session.worktree.as_deref(), Some("/home/ada/work"));
    assert_eq!((session.branch.as_deref(), session.commit.as_deref()), (Some("main"), Some("0123abcd")));
    assert_eq!((session.dirty, session.pid), (Some(true), Some(4242)));
    assert_eq!((session.hostname.as_deref(), session.username.as_deref()), (Some("box"), Some("ada")));
    assert_eq!(
        (session.cwd.as_deref(), session.shell_type.as_deref()),
        (Some("/home/ada/work"), Some("MahavishnuShell"))
    );
    assert_eq!(session.metadata["env"]["LANG"], "C");
    assert_eq!(session.metadata["git_branch"], "main");
    let text = serde_json::to_string(&session).unwrap();
    assert_eq!(serde_json::from_str::<session_store::Session>(&text).unwrap(), session);
}

fn events_before_their_start_are_kept_and_the_session_is_completed_later(world: &World) {
    world.put("s1", vec![command("e2", 2.0, "second"), command("e1", 1.0, "first")]);
    let early = world.get("s1");
    assert_eq!((early.component.as_str(), early.session_type.as_str()), ("unknown", "unknown"));
    assert_eq!(early.start_time, at(1.0));
    world.put("s1", vec![event("e0", "session_start", 0.5, start())]);
    let session = world.get("s1");
    assert_eq!((session.component.as_str(), session.start_time), ("mahavishnu", at(0.5)));
    assert_eq!((session.command_count, session.event_count), (2, 3));
    assert_eq!(world.event_ids("s1"), ["e0", "e1", "e2"]);
    let filter = session_store::SearchFilter { project: Some("engine".into()), ..Default::default() };
    assert_eq!(world.search_in("first", &filter).hits.len(), 1, "earlier events belong to the project too");
}

fn an_unknown_session_is_refused_whole_when_asked_to(world: &World) {
    world.session("s1-known", start(), &[]);
    let fault = world.try_put("s1-knwon", vec![command("e1", 1.0, "ls")], Unknown::Refuse).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound);
    assert_eq!(fault.message(), "Invalid session ID 's1-knwon'");
    assert!(fault.advice().unwrap().contains("s1-known"), "{fault}");
    let known =
        EventBatch { session_id: SessionId::parse("s1-known").unwrap(), events: vec![command("e2", 1.0, "ls")] };
    let unknown = EventBatch { session_id: SessionId::parse("zz").unwrap(), events: vec![command("e3", 1.0, "ls")] };
    assert!(world.store.ingest(&[known, unknown], Unknown::Refuse).is_err());
    assert_eq!(world.get("s1-known").command_count, 0, "nothing of a refused call is stored");
    let receipt = world.try_put("s2", vec![event("e9", "session_start", 0.0, start())], Unknown::Refuse).unwrap();
    assert_eq!(receipt.accepted, 1, "a batch that starts its session needs no session");
}

fn one_call_carries_many_batches(world: &World) {
    let batches: Vec<EventBatch> = (0..30)
        .map(|n| EventBatch {
            session_id: SessionId::parse(format!("s{n:02}")).unwrap(),
            events: vec![
                event(&format!("b{n}"), "session_start", f64::from(n), start()),
                command(&format!("c{n}"), 50.0, "x"),
            ],
        })
        .collect();
    let receipts = world.store.ingest(&batches, Unknown::Refuse).unwrap();
    assert_eq!(receipts.len(), 30);
    assert!(receipts.iter().all(|receipt| receipt.accepted == 2));
}

fn a_bad_start_is_rejected_and_leaves_no_session(world: &World) {
    let broken = |field: &str, value: Value| {
        let mut data = start();
        data[field] = value;
        data
    };
    for (field, value, reason) in [
        ("component_name", json!("a b"), "component_name"),
        ("event_version", json!("9.9"), "event_version"),
        ("pid", json!("many"), "session start"),
        ("session_type", json!(""), "session_type"),
    ] {
        let receipt = world.put("s1", vec![event("e0", "session_start", 0.0, broken(field, value))]);
        assert_eq!(receipt.accepted, 0);
        assert!(receipt.rejected[0].reason.contains(reason), "{receipt:?}");
    }
    // Ids stay as they are, so none may be a secret.
    let token = ["gh", "p_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    for (session, id) in [("s1", token.as_str()), (token.as_str(), "e0")] {
        let receipt = world.put(session, vec![event(id, "session_start", 0.0, start())]);
        assert_eq!(receipt.accepted, 0);
        let reason = &receipt.rejected[0].reason;
        assert!(reason.contains("looks like a secret") && !reason.contains(&token), "{reason}");
        assert!(world.store.session(session).is_err());
    }
    assert!(world.store.session("s1").is_err());
}

fn a_second_start_of_a_session_is_rejected(world: &World) {
    world.session("s1", start(), &[]);
    let receipt = world.put("s1", vec![event("other", "session_start", 5.0, start())]);
    assert!(receipt.rejected[0].reason.contains("started already"), "{receipt:?}");
    assert_eq!(world.get("s1").start_time, at(0.0));
}

fn too_large_too_deep_and_too_many_are_refused_and_the_rest_is_stored(world: &World) {
    let mut deep = json!("bottom");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let receipt = world.put(
        "s1",
        vec![
            event("large", "message", 1.0, json!({ "text": "word ".repeat(300_000) })),
            event("deep", "message", 1.0, json!({ "nested": deep })),
            event("fits", "message", 1.0, json!({ "text": "word ".repeat(200_000) })),
        ],
    );
    assert_eq!(receipt.accepted, 1);
    let reasons: Vec<&str> = receipt.rejected.iter().map(|one| one.reason.as_str()).collect();
    assert!(reasons[0].contains("1048576") && reasons[1].contains("nested"), "{reasons:?}");
    let many = (0..=MAX_BATCH_EVENTS).map(|n| command(&format!("m{n}"), 1.0, "x")).collect();
    let fault = world.try_put("s2", many, Unknown::Open).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::User);
    assert!(world.store.session("s2").is_err());
}

fn many_writers_at_once_lose_nothing(world: &World) {
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for round in 0..25 {
                    // Every second event is sent by two writers.
                    let shared = format!("shared-{}-{round}", writer / 2);
                    let own = format!("own-{writer}-{round}");
                    world.put(&format!("s{}", writer / 2), vec![command(&shared, 1.0, "x"), command(&own, 2.0, "y")]);
                }
            });
        }
    });
    for session in 0..4 {
        assert_eq!(world.get(&format!("s{session}")).command_count, 75);
    }
    assert_eq!(world.store.counts().unwrap().events_total(), 300);
}

fn an_empty_call_and_an_empty_batch_are_no_work(world: &World) {
    assert!(world.store.ingest(&[], Unknown::Open).unwrap().is_empty());
    let receipt = world.put("s1", Vec::new());
    assert_eq!((receipt.accepted, receipt.duplicates), (0, 0));
    assert!(world.store.session("s1").is_err());
}

fn a_sink_delivers_and_opens_sessions(_: &World) {
    let store: Arc<dyn Store> = Arc::new(
        session_store::sqlite::SqliteStore::in_memory(session_store::sqlite::Options::new(Arc::new(
            oneiric::clock::ManualClock::at(at(0.0)),
        )))
        .unwrap(),
    );
    let sink = StoreSink::new(Arc::clone(&store));
    let batch = EventBatch { session_id: SessionId::parse("s1").unwrap(), events: vec![command("e1", 1.0, "ls")] };
    assert_eq!(sink.deliver(&batch, std::time::Duration::from_secs(1)).unwrap().accepted, 1);
    assert_eq!(sink.deliver(&batch, std::time::Duration::from_secs(1)).unwrap().duplicates, 1);
    assert_eq!(store.session("s1").unwrap().command_count, 1);
}
