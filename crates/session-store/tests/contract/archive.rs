use session_store::upkeep::{Amount, ArchiveRule, RestoreRule, archive, restore};
use session_store::{EventFilter, Page, SessionFilter, SessionStatus, Unknown};

use crate::world::{World, at, command, end, start, start_in};

fn before(seconds: f64) -> ArchiveRule {
    ArchiveRule { before: at(seconds), project: None }
}

fn put_away(world: &World, rule: &ArchiveRule) -> Amount {
    archive(&*world.store, rule, &mut |_, _| {}).unwrap()
}

fn bring_back(world: &World, ids: &[&str]) -> Amount {
    let rule = RestoreRule { ids: ids.iter().map(ToString::to_string).collect(), ..RestoreRule::default() };
    restore(&*world.store, &rule, &mut |_, _| {}).unwrap()
}

fn sessions_that_are_named_twice_come_back_and_count_once(world: &World) {
    finished(world, "old-1", 10.0);
    put_away(world, &before(50.0));
    let ids = ["old-1", "old", "old-1"].map(str::to_owned).to_vec();
    let rule = RestoreRule { ids, ..RestoreRule::default() };
    let found = world.store.restorable(&rule).unwrap();
    assert_eq!((found.len(), found[0].events), (1, 4));
    assert_eq!(bring_back(world, &["old-1", "old"]), Amount { sessions: 1, events: 4 });
}

fn listed(world: &World, archived: bool) -> Vec<String> {
    let filter = SessionFilter { archived, ..SessionFilter::default() };
    let sessions = world.store.sessions(&filter, Page::first(100)).unwrap();
    sessions.into_iter().map(|session| session.session_id).collect()
}

fn finished(world: &World, id: &str, seconds: f64) {
    world.session(id, start(), &["cargo build", "cargo test"]);
    world.put(id, vec![end(&format!("{id}.end"), seconds, "ended", seconds)]);
}

fn a_finished_session_moves_whole_and_stays_readable(world: &World) {
    finished(world, "old", 10.0);
    finished(world, "newer", 100.0);
    world.session("running", start(), &["sleep"]);
    let (was, events) = (world.get("old"), world.events("old"));
    let totals = world.store.counts().unwrap();

    assert_eq!(put_away(world, &before(50.0)), Amount { sessions: 1, events: 4 });
    assert_eq!(put_away(world, &before(50.0)), Amount::default(), "nothing is moved twice");
    assert_eq!(listed(world, true), ["old"]);
    assert_eq!(listed(world, false).len(), 2);
    let now = world.get("old");
    assert_eq!(now.archived_at, Some(world.now()));
    assert_eq!(session_store::Session { archived_at: None, ..now }, was);
    assert_eq!(world.events("old"), events, "its events are read as before");
    assert_eq!(world.store.resolve("ol").unwrap().as_str(), "old");

    let counts = world.store.counts().unwrap();
    assert_eq!((counts.archived_sessions, counts.archived_events), (1, 4));
    assert_eq!((counts.sessions.clone(), counts.events_total()), (totals.sessions.clone(), totals.events_total()));

    assert_eq!(bring_back(world, &["ol"]), Amount { sessions: 1, events: 4 });
    assert_eq!((world.get("old"), world.events("old")), (was, events));
    assert_eq!(
        world.store.counts().unwrap(),
        session_store::Counts { database_bytes: world.store.counts().unwrap().database_bytes, ..totals }
    );
}

fn an_active_session_is_never_archived_however_old(world: &World) {
    world.session("running", start(), &["sleep"]);
    assert_eq!(put_away(world, &before(1e9)), Amount::default());
    assert_eq!(world.get("running").status, SessionStatus::Active);
}

fn a_session_is_as_old_as_its_last_event(world: &World) {
    finished(world, "s", 10.0);
    world.put("s", vec![command("late", 200.0, "after its end")]);
    assert_eq!(put_away(world, &before(50.0)), Amount::default());
    assert_eq!(put_away(world, &before(201.0)).sessions, 1);
}

fn only_the_named_projects_sessions_move(world: &World) {
    finished(world, "s", 10.0);
    world.session("w", start_in("website", "/w"), &["x"]);
    world.put("w", vec![end("w.end", 5.0, "failed", 5.0)]);
    let rule = ArchiveRule { before: at(1e6), project: Some("website".into()) };
    assert_eq!(put_away(world, &rule).sessions, 1);
    assert_eq!(listed(world, true), ["w"]);
    let rule = RestoreRule { project: Some("other".into()), ..RestoreRule::default() };
    assert_eq!(restore(&*world.store, &rule, &mut |_, _| {}).unwrap(), Amount::default());
}

fn a_late_event_brings_its_session_back_and_a_repeated_one_does_not(world: &World) {
    finished(world, "s", 10.0);
    put_away(world, &before(50.0));
    let again = world.put("s", vec![command("s.0", 1.0, "cargo build")]);
    assert_eq!((again.duplicates, again.accepted), (1, 0));
    assert_eq!(listed(world, true), ["s"], "nothing new, so it stays");

    let late =
        world.try_put("s", vec![command("s.0", 1.0, "cargo build"), command("late", 9.0, "git push")], Unknown::Refuse);
    let late = late.unwrap();
    assert_eq!((late.duplicates, late.accepted), (1, 1));
    assert_eq!(listed(world, true), Vec::<String>::new());
    assert_eq!(world.get("s").event_count, 5);
    assert_eq!(world.store.counts().unwrap().archived_events, 0);
    assert_eq!(world.found("push"), ["late"]);
}

fn an_event_id_of_the_archive_is_not_stored_with_another_session(world: &World) {
    finished(world, "s", 10.0);
    put_away(world, &before(50.0));
    let receipt = world.put("other", vec![command("s.0", 1.0, "stolen"), command("own", 2.0, "x")]);
    assert_eq!((receipt.accepted, receipt.rejected.len()), (1, 1), "{receipt:?}");
}

fn numbers_of_events_are_not_given_again_after_archiving(world: &World) {
    finished(world, "s", 10.0);
    put_away(world, &before(50.0));
    world.session("t", start(), &["kubectl apply"]);
    bring_back(world, &["s"]);
    assert_eq!(world.found("kubectl"), ["t.0"]);
    assert_eq!(world.found("build"), ["s.0"]);
}

fn a_restored_session_is_found_again_and_unknown_ones_are_refused(world: &World) {
    finished(world, "s", 10.0);
    put_away(world, &before(50.0));
    bring_back(world, &["s"]);
    assert_eq!(world.found("cargo").len(), 2);
    let of = |id: &str| RestoreRule { ids: vec![id.into()], ..RestoreRule::default() };
    let refused = restore(&*world.store, &of("s"), &mut |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("not in the archive"), "{refused}");
    let refused = restore(&*world.store, &of("nobody"), &mut |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("Invalid session ID"), "{refused}");
}

fn many_sessions_move_in_batches_and_progress_is_told(world: &World) {
    for number in 0..450 {
        world.put(
            &format!("s{number}"),
            vec![
                crate::world::event(&format!("{number}.start"), "session_start", 0.0, start()),
                end(&format!("{number}.end"), 1.0, "ended", 1.0),
            ],
        );
    }
    let mut told = Vec::new();
    let moved = archive(&*world.store, &before(50.0), &mut |done, all| told.push((done, all))).unwrap();
    assert_eq!(moved, Amount { sessions: 450, events: 900 });
    assert_eq!(told, [(200, 450), (400, 450), (450, 450)]);
    let all = EventFilter { archived: true, ..EventFilter::default() };
    assert_eq!(world.store.events(&all, Page::first(10_000)).unwrap().len(), 900);
}

on_every_store!(
    a_finished_session_moves_whole_and_stays_readable,
    an_active_session_is_never_archived_however_old,
    a_session_is_as_old_as_its_last_event,
    only_the_named_projects_sessions_move,
    sessions_that_are_named_twice_come_back_and_count_once,
    a_late_event_brings_its_session_back_and_a_repeated_one_does_not,
    an_event_id_of_the_archive_is_not_stored_with_another_session,
    numbers_of_events_are_not_given_again_after_archiving,
    a_restored_session_is_found_again_and_unknown_ones_are_refused,
    many_sessions_move_in_batches_and_progress_is_told,
);
