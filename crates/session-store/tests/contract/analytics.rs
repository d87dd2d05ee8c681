//! Figures over ranges.

use oneiric::process::Liveness;
use oneiric::zone::Zone;
use serde_json::json;
use session_store::SessionStatus;
use session_store::analytics::{Analytics, MAX_DAYS, Range};

use crate::world::{World, at, command, end, event, start, start_of, start_with_process};

on_every_store!(
    sessions_are_counted_by_status_component_and_day,
    durations_are_those_of_sessions_and_their_percentiles_were_seen,
    failures_are_put_together_by_command,
    only_what_the_range_the_component_and_the_project_allow_is_counted,
    a_range_of_hours_begins_at_its_hour_and_cuts_its_first_day,
    days_and_hours_are_those_of_the_zone,
    an_empty_range_has_figures_too,
);

const DAY: f64 = 86_400.0;

fn figures(world: &World, change: impl Fn(&mut Range)) -> Analytics {
    let mut range = Range::last(7, at(6.0 * DAY)).unwrap();
    change(&mut range);
    world.store.analytics(&range).unwrap()
}

fn begun(world: &World, id: &str, seconds: f64, component: &str) {
    world.put(id, vec![event(&format!("{id}.start"), "session_start", seconds, start_of(component, "admin_shell"))]);
}

fn sessions_are_counted_by_status_component_and_day(world: &World) {
    for (id, day, status) in [("a", 0.0, "ended"), ("b", 0.0, "failed"), ("c", 2.0, "ended")] {
        begun(world, id, day * DAY, "mahavishnu");
        world.put(
            id,
            vec![
                command(&format!("{id}.c"), day * DAY + 1.0, "ls"),
                end(&format!("{id}.e"), day * DAY + 9.0, status, 9.0),
            ],
        );
    }
    begun(world, "d", 3.0 * DAY, "akosha");
    world.session("e", start_with_process(7), &[]);
    world.store.mark_stale(&|_, _| Liveness::Gone, at(DAY)).unwrap();
    let found = figures(world, |_| {});
    let totals = found.totals;
    assert_eq!((totals.sessions, totals.ended, totals.failed, totals.stale, totals.active), (5, 2, 1, 1, 1));
    assert_eq!((totals.commands, found.active_now, found.failure_rate), (3, 1, 0.25));
    let components: Vec<_> =
        found.by_component.iter().map(|one| (one.component.as_str(), one.totals.sessions)).collect();
    assert_eq!(components, [("mahavishnu", 4), ("akosha", 1)]);
    let days: Vec<_> = found.by_day.iter().map(|one| (one.day.as_str(), one.totals.sessions)).collect();
    assert_eq!(days[1], ("2026-11-22", 3));
    assert_eq!(days[2..5], [("2026-11-23", 0), ("2026-11-24", 1), ("2026-11-25", 1)]);
    assert_eq!(days.len(), 8);
    assert_eq!((found.by_hour.iter().sum::<u64>(), found.timezone.as_str()), (5, "UTC"));
    assert_eq!(world.get("d").status, SessionStatus::Active);
}

fn durations_are_those_of_sessions_and_their_percentiles_were_seen(world: &World) {
    for number in 1..=100 {
        let id = format!("s{number}");
        begun(world, &id, f64::from(number), "mahavishnu");
        world.put(&id, vec![end(&format!("{id}.e"), 500.0, "ended", f64::from(number))]);
    }
    begun(world, "running", 1.0, "mahavishnu");
    let durations = figures(world, |_| {}).durations;
    assert_eq!((durations.count, durations.avg, durations.max), (100, 50.5, 100.0));
    assert_eq!((durations.p50, durations.p95), (50.0, 95.0));
    assert_eq!(durations.buckets[..5], [1, 4, 10, 45, 40]);
    assert_eq!(durations.buckets.iter().sum::<u64>(), 100);
}

fn failures_are_put_together_by_command(world: &World) {
    world.session("s1", start(), &["works"]);
    world.session("s2", start(), &[]);
    let failed = |id: &str, seconds: f64, error: &str| {
        event(id, "command", seconds, json!({ "command": "cargo test\n --all", "outcome": "failed", "error": error }))
    };
    world.put("s1", vec![failed("f1", 5.0, "first"), failed("f2", 7.0, "latest\nmore")]);
    world.put("s2", vec![failed("f3", 6.0, "between"), event("e1", "error", 8.0, json!({ "error": "disk full" }))]);
    assert!(figures(world, |_| {}).errors.is_empty());
    let found = figures(world, |range| range.errors = true);
    assert_eq!(found.errors.len(), 2);
    let first = &found.errors[0];
    assert_eq!((first.what.as_str(), first.count, first.sessions), ("cargo test", 3, 2));
    assert_eq!((first.error.as_deref(), first.event_id.as_str(), first.last), (Some("latest"), "f2", at(7.0)));
    assert_eq!((found.errors[1].what.as_str(), found.errors_bounded), ("disk full", false));
}

fn only_what_the_range_the_component_and_the_project_allow_is_counted(world: &World) {
    begun(world, "old", -8.0 * DAY, "mahavishnu");
    begun(world, "new", 0.0, "mahavishnu");
    begun(world, "other", 0.0, "akosha");
    begun(world, "future", 9.0 * DAY, "mahavishnu");
    assert_eq!(figures(world, |_| {}).totals.sessions, 2);
    assert_eq!(figures(world, |range| range.component = Some("akosha".into())).totals.sessions, 1);
    assert_eq!(figures(world, |range| range.project = Some("engine".into())).totals.sessions, 2);
    assert_eq!(figures(world, |range| range.project = Some("nothing".into())).totals.sessions, 0);
    for days in [0, u64::from(MAX_DAYS) + 1, u64::MAX] {
        assert!(Range::last(days, at(0.0)).is_err());
    }
}

fn a_range_of_hours_begins_at_its_hour_and_cuts_its_first_day(world: &World) {
    for (id, minutes) in [("early", -90.0), ("late", -30.0), ("next", 5.0)] {
        begun(world, id, minutes * 60.0, "mahavishnu");
    }
    let hour = Range::since(at(-3_600.0), at(0.0)).unwrap();
    let found = world.store.analytics(&hour).unwrap();
    assert_eq!((found.since, found.totals.sessions), (at(-3_600.0), 1));
    assert_eq!(found.by_day.iter().map(|day| day.totals.sessions).sum::<u64>(), 1);
    let two = world.store.analytics(&Range::since(at(-7_200.0), at(0.0)).unwrap()).unwrap();
    assert_eq!(two.totals.sessions, 2);
    assert!(Range::since(at(1.0), at(0.0)).is_err());
    assert!(Range::since(at(-DAY * (f64::from(MAX_DAYS) + 1.0)), at(0.0)).is_err());
}

fn days_and_hours_are_those_of_the_zone(world: &World) {
    begun(world, "a", 0.0, "mahavishnu");
    let utc = figures(world, |_| {});
    // A rule without summer time, 14 hours ahead, so that the day is another one whenever the test's day begins.
    let there = figures(world, |range| range.zone = Zone::parse("XXX-14").unwrap());
    let busy = |found: &Analytics| found.by_hour.iter().position(|count| *count == 1).unwrap();
    let day = |found: &Analytics| found.by_day.iter().find(|one| one.totals.sessions == 1).unwrap().day.clone();
    assert_eq!(busy(&there), (busy(&utc) + 14) % 24);
    assert_eq!(day(&there) != day(&utc), busy(&utc) >= 10, "{} {}", day(&utc), day(&there));
}

fn an_empty_range_has_figures_too(world: &World) {
    let found = figures(world, |range| range.errors = true);
    assert_eq!((found.totals.sessions, found.failure_rate, found.durations.avg), (0, 0.0, 0.0));
    assert_eq!(found.by_day.len(), 8);
}
