use std::time::Duration;

use oneiric::clock::Timestamp;
use session_store::Counts;
use session_store::retention::{RetentionRules, RuleEffect, apply};
use session_store::upkeep::{Amount, ArchiveRule, archive};

use crate::world::{World, at, command, end, event, start, start_in};

const DAY: u64 = 86_400;

fn days_later(days: u64) -> Timestamp {
    at(0.0).plus(Duration::from_secs(days * DAY))
}

fn rules(days: u32, projects: &[&str], events: &[&str]) -> RetentionRules {
    let text = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    RetentionRules::parse(days, &text(projects), &text(events)).unwrap()
}

fn run(world: &World, rules: &RetentionRules, days: u64) -> Amount {
    apply(&*world.store, rules, days_later(days), &mut |_, _| {}).unwrap()
}

fn filled(world: &World) {
    world.session("engine", start(), &["cargo build", "cargo test"]);
    world.put("engine", vec![event("engine.x", "error", 5.0, serde_json::json!({ "error": "linker crashed" }))]);
    world.put("engine", vec![end("engine.end", 10.0, "ended", 10.0)]);
    world.session("scratch", start_in("scratch", "/s"), &["kubectl delete"]);
    world.put("scratch", vec![end("scratch.end", 10.0, "failed", 10.0)]);
    world.session("running", start_in("scratch", "/s"), &["kubectl get"]);
}

fn stored(counts: &Counts, event_type: &str) -> u64 {
    counts.events.iter().filter(|row| row.event_type == event_type).map(|row| row.count).sum()
}

fn without_rules_nothing_is_deleted_and_a_preview_deletes_nothing(world: &World) {
    filled(world);
    let before = world.store.counts().unwrap().events_total();
    assert_eq!(run(world, &rules(0, &["engine=keep"], &[]), 10_000), Amount::default());
    let preview = world.store.retention_preview(&rules(30, &["scratch=7"], &["error=3"]), days_later(40)).unwrap();
    let told: Vec<_> = preview.iter().map(|one| (one.rule.as_str(), one.sessions, one.events)).collect();
    assert_eq!(
        told,
        [("retention.projects scratch=7", 1, 3), ("retention.days 30", 1, 5), ("retention.events error=3", 0, 0)]
    );
    assert_eq!(world.store.counts().unwrap().events_total(), before);
}

fn old_sessions_of_a_project_go_whole_also_from_the_archive(world: &World) {
    filled(world);
    archive(&*world.store, &ArchiveRule { before: at(50.0), project: None }, &mut |_, _| {}).unwrap();
    assert_eq!(run(world, &rules(0, &["scratch=7"], &[]), 6), Amount::default(), "not old enough");
    assert_eq!(run(world, &rules(0, &["scratch=7"], &[]), 8), Amount { sessions: 1, events: 3 });
    assert!(world.store.session("scratch").is_err());
    assert_eq!(world.get("running").event_count, 2, "active sessions stay");
    assert_eq!(world.get("engine").event_count, 5);
    assert_eq!(world.found("kubectl"), ["running.0"]);
    let counts = world.store.counts().unwrap();
    assert_eq!((counts.archived_sessions, counts.archived_events, counts.sessions_total(None)), (1, 5, 2));
    assert_eq!((stored(&counts, "command"), counts.deleted_sessions.len()), (3, 1));
}

fn single_events_go_by_type_and_their_sessions_counts_follow(world: &World) {
    filled(world);
    assert_eq!(
        run(world, &rules(0, &["scratch=keep"], &["command=30", "error=90"]), 40),
        Amount { sessions: 0, events: 2 }
    );
    let engine = world.get("engine");
    assert_eq!((engine.event_count, engine.command_count, engine.error_count), (3, 0, 1));
    assert_eq!(world.get("scratch").command_count, 1, "a project that is kept keeps its events");
    assert_eq!(world.found("cargo"), Vec::<String>::new());
    assert_eq!(world.found("linker"), ["engine.x"]);
    let counts = world.store.counts().unwrap();
    assert_eq!((stored(&counts, "command"), counts.deleted_events[0].count), (2, 2));
    let again = run(world, &rules(0, &[], &["error=30"]), 40);
    assert_eq!(again, Amount { sessions: 0, events: 1 });
    assert_eq!(world.get("engine").error_count, 0);
}

fn a_preview_tells_what_is_deleted_also_where_rules_overlap(world: &World) {
    let sum = |effects: &[RuleEffect]| {
        effects.iter().fold(Amount::default(), |mut sum, one| {
            sum += Amount { sessions: one.sessions, events: one.events };
            sum
        })
    };
    let mut left = 0;
    for (round, (days, projects, events)) in [
        (0, &["scratch=7"][..], &["command=3", "error=3"][..]),
        (30, &[], &["command=3"]),
        (30, &["scratch=keep"], &["command=3", "session_note=1"]),
        (0, &["scratch=50", "ledger=7", "x=keep"], &["command=3"]),
        (9, &["scratch=20"], &["command=15", "error=2"]),
    ]
    .into_iter()
    .enumerate()
    {
        for project in ["scratch", "ledger", "x"] {
            let id = format!("{project}-{round}");
            world.session(&id, start_in(project, "/p"), &["one", "two"]);
            world.put(&id, vec![end(&format!("{id}.end"), 10.0, "ended", 10.0)]);
        }
        let id = format!("none-{round}");
        world.session(&id, start(), &["one"]);
        world.put(&id, vec![event(&format!("{id}.x"), "error", 5.0, serde_json::json!({ "error": "boom" }))]);
        world.put(&id, vec![end(&format!("{id}.end"), 10.0, "ended", 10.0)]);
        if round % 2 == 1 {
            let rule = ArchiveRule { before: at(50.0), project: Some("scratch".to_owned()) };
            archive(&*world.store, &rule, &mut |_, _| {}).unwrap();
        }
        let rules = rules(days, projects, events);
        let preview = world.store.retention_preview(&rules, days_later(10)).unwrap();
        let gone = run(world, &rules, 10);
        assert_eq!(sum(&preview), gone, "{rules:?}: {preview:?}");
        assert!(gone.events > 0, "{rules:?}");
        left = world.store.counts().unwrap().events_total();
    }
    assert!(left > 0);
}

fn many_go_in_batches_and_numbers_are_not_given_again(world: &World) {
    for session in 0..3 {
        let id = format!("s{session}");
        let events = (0..900).map(|at| command(&format!("{id}.{at}"), f64::from(at), "word")).collect();
        world.put(&id, events);
        world.put(&id, vec![end(&format!("{id}.end"), 1000.0, "ended", 1.0)]);
    }
    let mut told = Vec::new();
    let rules = rules(7, &[], &[]);
    let gone = apply(&*world.store, &rules, days_later(8), &mut |done, all| told.push((done, all))).unwrap();
    assert_eq!(gone, Amount { sessions: 3, events: 2703 });
    assert!(told.len() >= 3 && told.iter().all(|(_, all)| *all == 2703), "{told:?}");
    assert_eq!(world.store.counts().unwrap().events_total(), 0);
    world.session("new", start(), &["word"]);
    assert_eq!(world.found("word"), ["new.0"]);
}

on_every_store!(
    without_rules_nothing_is_deleted_and_a_preview_deletes_nothing,
    old_sessions_of_a_project_go_whole_also_from_the_archive,
    single_events_go_by_type_and_their_sessions_counts_follow,
    a_preview_tells_what_is_deleted_also_where_rules_overlap,
    many_go_in_batches_and_numbers_are_not_given_again,
);
