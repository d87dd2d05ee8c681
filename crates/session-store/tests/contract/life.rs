use oneiric::process::Liveness;
use serde_json::json;
use session_store::SessionStatus;

use crate::world::{World, at, command, end, event, start, start_with_process};

on_every_store!(
    an_end_closes_the_session_with_the_senders_duration,
    an_end_before_its_start_also_closes,
    a_second_end_changes_nothing,
    an_event_after_the_end_is_stored,
    a_clock_that_goes_back_gives_no_negative_duration,
    no_session_ends_before_it_starts,
    errors_and_failed_commands_are_counted,
    a_session_whose_process_is_gone_becomes_stale_and_no_other,
    what_a_stale_session_still_had_to_say_sets_it_right,
    a_bad_end_is_rejected,
);

fn an_end_closes_the_session_with_the_senders_duration(world: &World) {
    world.session("s1", start(), &["ls", "ps"]);
    world.put("s1", vec![end("end", 10.0, "ended", 9.25)]);
    let session = world.get("s1");
    assert_eq!((session.status, session.end_time), (SessionStatus::Ended, Some(at(10.0))));
    assert_eq!((session.duration_seconds, session.command_count), (Some(9.25), 2));
    world.session("s2", start(), &[]);
    world.put("s2", vec![end("end2", 10.0, "failed", 1.0)]);
    assert_eq!(world.get("s2").status, SessionStatus::Failed);
    world.session("s3", start(), &[]);
    world.put("s3", vec![event("end3", "session_end", 4.5, json!({}))]);
    assert_eq!((world.get("s3").status, world.get("s3").duration_seconds), (SessionStatus::Ended, Some(4.5)));
}

fn an_end_before_its_start_also_closes(world: &World) {
    world.put("s1", vec![event("end", "session_end", 8.0, json!({ "status": "ended" }))]);
    assert_eq!(world.get("s1").status, SessionStatus::Ended);
    world.put("s1", vec![event("start", "session_start", 2.0, start()), command("c", 3.0, "ls")]);
    let session = world.get("s1");
    assert_eq!((session.status, session.component.as_str()), (SessionStatus::Ended, "mahavishnu"));
    assert_eq!((session.start_time, session.end_time, session.duration_seconds), (at(2.0), Some(at(8.0)), Some(6.0)));
    assert_eq!(session.command_count, 1);
}

fn a_second_end_changes_nothing(world: &World) {
    world.session("s1", start(), &[]);
    world.put("s1", vec![end("end", 10.0, "ended", 9.0)]);
    let before = world.get("s1");
    assert_eq!(world.put("s1", vec![end("end", 10.0, "ended", 9.0)]).duplicates, 1);
    assert_eq!(world.get("s1"), before);
    world.put("s1", vec![end("another", 20.0, "failed", 30.0)]);
    let after = world.get("s1");
    assert_eq!(
        (after.status, after.end_time, after.duration_seconds),
        (before.status, before.end_time, before.duration_seconds)
    );
    assert_eq!(after.event_count, before.event_count + 1, "the event itself is kept");
}

fn an_event_after_the_end_is_stored(world: &World) {
    world.session("s1", start(), &["ls"]);
    world.put("s1", vec![end("end", 10.0, "ended", 9.0)]);
    world.put("s1", vec![command("late", 11.0, "late")]);
    let session = world.get("s1");
    assert_eq!((session.status, session.command_count, session.end_time), (SessionStatus::Ended, 2, Some(at(10.0))));
}

fn a_clock_that_goes_back_gives_no_negative_duration(world: &World) {
    world.session("s1", start(), &[]);
    world.put("s1", vec![event("end", "session_end", -100.0, json!({}))]);
    assert_eq!(world.get("s1").duration_seconds, Some(0.0));
    world.session("s2", start(), &[]);
    world.put("s2", vec![end("end2", -100.0, "ended", 7.0)]);
    assert_eq!(world.get("s2").duration_seconds, Some(7.0));
    world.session("s3", start(), &[]);
    world.put("s3", vec![end("end3", 5.0, "ended", -7.0)]);
    assert_eq!(world.get("s3").duration_seconds, Some(5.0), "a negative measurement is not believed");
}

fn no_session_ends_before_it_starts(world: &World) {
    world.session("s1", start(), &[]);
    world.put("s1", vec![event("end", "session_end", -100.0, json!({}))]);
    assert_eq!((world.get("s1").start_time, world.get("s1").end_time), (at(0.0), Some(at(0.0))));
    assert_eq!(world.events("s1")[0].timestamp, at(-100.0), "the event stays as it was sent");
    world.put("s2", vec![event("end2", "session_end", -100.0, json!({}))]);
    world.put("s2", vec![event("start2", "session_start", 0.0, start())]);
    assert_eq!((world.get("s2").start_time, world.get("s2").end_time), (at(0.0), Some(at(0.0))));
    world.session("s3", start_with_process(1), &[]);
    world.store.mark_stale(&|_, _| Liveness::Gone, at(-100.0)).unwrap();
    assert_eq!((world.get("s3").status, world.get("s3").end_time), (SessionStatus::Stale, Some(at(0.0))));
}

fn errors_and_failed_commands_are_counted(world: &World) {
    world.session("s1", start(), &["works"]);
    let failed = |id: &str, data| event(id, "command", 2.0, data);
    world.put(
        "s1",
        vec![
            failed("f1", json!({ "command": "x", "outcome": "failed" })),
            failed("f2", json!({ "command": "x", "exit_code": 3 })),
            failed("f3", json!({ "command": "x", "outcome": "interrupted", "exit_code": 130 })),
            event("e1", "error", 3.0, json!({ "error": "boom" })),
        ],
    );
    let session = world.get("s1");
    assert_eq!((session.command_count, session.error_count, session.event_count), (4, 3, 6));
}

fn a_session_whose_process_is_gone_becomes_stale_and_no_other(world: &World) {
    world.session("gone", start_with_process(1), &["ls"]);
    world.session("alive", start_with_process(2), &["ls"]);
    world.session("elsewhere", start_with_process(3), &["ls"]);
    world.session("nobody-knows", start(), &["ls"]);
    world.session("ended", start_with_process(1), &[]);
    world.put("ended", vec![end("end", 3.0, "ended", 3.0)]);
    let judge = |process: &oneiric::process::ProcessIdentity, hostname: &str| {
        assert_eq!(hostname, "box");
        match process.pid {
            1 => Liveness::Gone,
            2 => Liveness::Alive,
            _ => Liveness::Unknown,
        }
    };
    world.clock.set_wall(at(3600.0));
    let changed = world.store.mark_stale(&judge, world.now()).unwrap();
    assert_eq!(changed.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["gone"]);
    let session = world.get("gone");
    assert_eq!(
        (session.status, session.end_time, session.duration_seconds),
        (SessionStatus::Stale, Some(at(1.0)), Some(1.0))
    );
    for (id, status) in [("alive", "active"), ("elsewhere", "active"), ("nobody-knows", "active"), ("ended", "ended")] {
        assert_eq!(world.get(id).status.as_str(), status, "{id}");
    }
    assert!(world.store.mark_stale(&judge, world.now()).unwrap().is_empty());
}

fn what_a_stale_session_still_had_to_say_sets_it_right(world: &World) {
    world.session("s1", start_with_process(1), &["ls"]);
    world.clock.set_wall(at(3600.0));
    world.store.mark_stale(&|_, _| Liveness::Gone, world.now()).unwrap();
    world.put("s1", vec![command("later", 30.0, "make")]);
    let session = world.get("s1");
    assert_eq!(
        (session.status, session.end_time, session.duration_seconds),
        (SessionStatus::Stale, Some(at(30.0)), Some(30.0))
    );
    world.put("s1", vec![end("end", 40.0, "ended", 39.5)]);
    let session = world.get("s1");
    assert_eq!(
        (session.status, session.end_time, session.duration_seconds),
        (SessionStatus::Ended, Some(at(40.0)), Some(39.5))
    );
    let counts = world.store.counts().unwrap();
    assert_eq!(
        (counts.sessions_total(Some(SessionStatus::Stale)), counts.sessions_total(Some(SessionStatus::Ended))),
        (0, 1)
    );
    assert_eq!((counts.durations[0].count(), counts.durations[0].sum_seconds), (1, 39.5));
}

fn a_bad_end_is_rejected(world: &World) {
    world.session("s1", start(), &[]);
    for data in [json!({ "status": "sleeping" }), json!({ "status": "active" }), json!({ "duration_seconds": "long" })]
    {
        let receipt = world.put("s1", vec![event("end", "session_end", 1.0, data)]);
        assert_eq!(receipt.rejected.len(), 1, "{receipt:?}");
    }
    assert_eq!(world.get("s1").status, SessionStatus::Active);
}
