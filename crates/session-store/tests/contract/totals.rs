use oneiric::event::EventType;
use serde_json::json;
use session_store::SessionStatus;

use crate::world::{World, command, end, event, start, start_of};

on_every_store!(totals_follow_every_change, secrets_are_replaced_before_they_are_stored, a_store_says_what_it_is);

fn totals_follow_every_change(world: &World) {
    world.put("early", vec![command("x", 1.0, "ls")]);
    let counts = world.store.counts().unwrap();
    assert_eq!((counts.sessions[0].component.as_str(), counts.sessions[0].count), ("unknown", 1));
    world.put("early", vec![event("x0", EventType::SESSION_START, 0.0, start())]);
    world.session("two", start_of("session-buddy", "mcp_client"), &["ls", "ls"]);
    world.put("two", vec![end("two.end", 100.0, "failed", 100.0)]);
    world.put("two", vec![end("two.end", 100.0, "failed", 100.0)]);
    let counts = world.store.counts().unwrap();
    assert_eq!(counts.sessions_total(None), 2);
    assert_eq!(counts.sessions_total(Some(SessionStatus::Active)), 1);
    assert_eq!(counts.sessions_total(Some(SessionStatus::Failed)), 1);
    let of = |component: &str| {
        counts.sessions.iter().filter(|row| row.component == component).map(|row| row.count).sum::<u64>()
    };
    assert_eq!((of("mahavishnu"), of("session-buddy"), of("unknown")), (1, 1, 0));
    assert_eq!(counts.events_total(), 6);
    assert_eq!(counts.events.iter().find(|row| row.event_type == "command").unwrap().count, 3);
    assert_eq!(counts.durations.len(), 1);
    let histogram = &counts.durations[0];
    assert_eq!((histogram.component.as_str(), histogram.count(), histogram.sum_seconds), ("session-buddy", 1, 100.0));
    assert_eq!(histogram.buckets[4], 1, "100 s lies between 60 s and 300 s");
    assert!(counts.database_bytes > 0);
}

fn secrets_are_replaced_before_they_are_stored(world: &World) {
    // Put together here, so that no scanner takes this file for a leak.
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    world.session("s", start(), &[&format!("curl -H 'Authorization: Bearer {secret}' https://example.org")]);
    let events = serde_json::to_string(&world.events("s")).unwrap();
    assert!(!events.contains(&secret) && events.contains("[redacted"), "{events}");
    assert!(world.store.counts().unwrap().redactions >= 1);
    assert!(world.search(&secret).hits.iter().all(|hit| !hit.complete));
    world.put("s", vec![event("p", "message", 9.0, json!({ "password": "correct horse battery" }))]);
    assert!(!serde_json::to_string(&world.events("s")).unwrap().contains("correct horse"));
}

fn a_store_says_what_it_is(world: &World) {
    let info = world.store.info().unwrap();
    assert_eq!(info.backend, "sqlite");
    assert!(
        info.writable
            && info.schema_version == session_store::sqlite::SCHEMA_VERSION
            && info.database_bytes > 0
            && !info.location.is_empty()
    );
}
