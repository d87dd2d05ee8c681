//! From events to the nearest ones, over real stores and a model that hashes words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod leakage;
mod world;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use oneiric::fault::FaultKind;
use semantic::Step;
use session_store::search::meaning::{Meaning, Seen};
use session_store::sqlite::SqliteVectors;
use session_store::{Pool, SearchFilter, SearchMode, SearchRequest, Store, Vectors};
use world::{Hashing, World, put, store};

fn anywhere() -> SearchFilter {
    SearchFilter::default()
}

fn within(project: &str) -> SearchFilter {
    SearchFilter { project: Some(project.into()), ..SearchFilter::default() }
}

#[test]
fn the_nearest_event_comes_first_and_long_texts_count_by_their_best_piece() {
    let world = World::new();
    let long = format!("{} the database migration failed with a timeout", "filler words of no matter ".repeat(20));
    world.session("one", "p", &["green apples and pears"]);
    world.session("two", "p", &[&long]);
    world.session("three", "p", &["a walk along the river"]);
    assert_eq!(world.near("apples", &anywhere(), 3).unwrap_err().kind(), FaultKind::Unavailable, "nothing is made yet");
    world.index();
    assert_eq!(world.ids("pears and green apples", &anywhere(), 1), ["one.0"]);
    assert_eq!(world.ids("database migration failed timeout", &anywhere(), 1), ["two.0"]);
    let all = world.near("river", &anywhere(), 10).unwrap();
    assert_eq!(all.len(), 3, "each event once: {all:?}");
    assert!(all.windows(2).all(|pair| pair[0].cosine >= pair[1].cosine));
}

#[test]
fn events_that_come_later_are_found_without_reading_all_again() {
    let world = World::new();
    world.session("one", "p", &["green apples"]);
    world.index();
    assert_eq!(world.ids("blue whales", &anywhere(), 1), ["one.0"]);
    world.session("two", "p", &["blue whales"]);
    assert_eq!(world.index(), 1);
    assert_eq!(world.ids("blue whales", &anywhere(), 1), ["two.0"]);
}

#[test]
fn a_question_meets_the_model_once_for_all_its_pages_and_filters_and_again_when_it_was_long_ago() {
    let world = World::new();
    world.session("one", "p", &["green apples"]);
    world.session("two", "q", &["green pears"]);
    world.index();
    let seen = || world.model.seen.load(Ordering::Relaxed);
    let before = seen();
    assert_eq!(world.ids("apples", &anywhere(), 1), ["one.0"]);
    assert_eq!(world.ids("apples", &within("q"), 1), ["two.0"]);
    assert_eq!(world.ids("apples", &anywhere(), 2).len(), 2);
    assert_eq!(seen(), before + 1);
    for other in 0..100 {
        world.near(&format!("other {other}"), &anywhere(), 1).unwrap();
    }
    world.near("apples", &anywhere(), 1).unwrap();
    assert_eq!(seen(), before + 102);
}

#[test]
fn equal_texts_meet_the_model_once_and_all_their_events_are_found() {
    let world = World::new();
    for index in 0..30 {
        world.session(&format!("s{index}"), "p", &["run the whole test suite"]);
    }
    assert_eq!(world.index(), 1);
    assert_eq!(world.ids("run the whole test suite", &anywhere(), 30).len(), 30);
    assert_eq!(world.ids("run the whole test suite", &anywhere(), 2), ["s29.0", "s28.0"], "the newest first");
}

#[test]
fn a_text_that_the_model_refuses_is_passed_over_once_and_counted() {
    let world = World::new();
    for (id, text) in [("one", "green apples"), ("two", "unspeakable things"), ("three", "late trains")] {
        world.session(id, "p", &[text]);
    }
    assert_eq!(world.index(), 3);
    assert_eq!(world.ids("late trains", &anywhere(), 3), ["three.0", "one.0"]);
    world.session("four", "p", &["unspeakable things"]);
    world.session("five", "p", &["blue whales"]);
    assert_eq!(world.index(), 1, "what was refused is not asked again");
    assert_eq!(world.ids("blue whales", &anywhere(), 1), ["five.0"]);
    let progress = world.indexer().progress().unwrap();
    assert_eq!((progress.refused, progress.vectors), (1, 3));
    assert_eq!(progress.watermark, progress.newest);
}

#[test]
fn an_indexer_that_is_stopped_at_any_point_leaves_nothing_half_and_another_goes_on() {
    let whole = World::new();
    let broken = World::new();
    for world in [&whole, &broken] {
        for session in 0..40 {
            let texts: Vec<String> =
                (0..20).map(|event| format!("text {session} about {event} {}", session * event)).collect();
            world.session(&format!("s{session}"), "p", &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    whole.index();
    let mut stopped = 0;
    for patience in 0_u32.. {
        // Each one gets a little further before it is told to stop.
        let left = Cell::new(patience);
        let stop = || left.replace(left.get().saturating_sub(1)) == 0;
        let mut indexer = broken.indexer();
        let ended = loop {
            match indexer.step(&stop).unwrap() {
                Step::Worked { .. } => {}
                ended => break ended,
            }
        };
        if ended == Step::Idle {
            break;
        }
        stopped += 1;
    }
    assert!(stopped > 3, "{stopped}");
    let entries = |world: &World| {
        let mut found = Vec::new();
        let generation = world.vectors.generations().unwrap().remove(0);
        world.vectors.entries(generation.id, 0, &mut |entry| found.push(entry.seq)).unwrap();
        (found, generation.vectors)
    };
    assert_eq!(entries(&whole), entries(&broken));
}

#[test]
fn a_new_model_takes_over_when_it_has_seen_everything_and_the_old_one_answers_until_then() {
    let world = World::new();
    for session in 0..30 {
        let texts: Vec<String> = (0..20).map(|event| format!("text {session} about {event}")).collect();
        world.session(&format!("s{session}"), "p", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
    world.session("goal", "p", &["purple submarines below the ice"]);
    world.index();
    let other = Hashing::new("other", 99);
    *world.models.chosen.lock().unwrap() = Some(other.clone());
    assert_eq!(
        world.near("submarines", &anywhere(), 1).unwrap_err().kind(),
        FaultKind::NotFound,
        "without the old model its vectors are of no use, and are never compared with another's"
    );
    world.models.others.lock().unwrap().push(world.model.clone());
    let mut indexer = world.indexer();
    let mut steps = 0;
    while let Step::Worked { .. } = indexer.step(&|| false).unwrap() {
        steps += 1;
        assert_eq!(world.ids("purple submarines below the ice", &anywhere(), 1), ["goal.0"], "after {steps} steps");
    }
    assert!(steps > 4);
    world.models.others.lock().unwrap().clear();
    assert_eq!(world.ids("purple submarines below the ice", &anywhere(), 1), ["goal.0"]);
    let left = world.vectors.generations().unwrap();
    assert_eq!(left.iter().map(|one| one.model.name.as_str()).collect::<Vec<_>>(), ["other"]);
    assert!(other.seen.load(Ordering::Relaxed) > 600);
}

#[test]
fn a_restored_database_never_gives_an_event_the_vector_of_another() {
    let vectors = Arc::new(SqliteVectors::in_memory().unwrap());
    let before = World::over(store(), vectors.clone());
    before.session("kept", "p", &["green apples"]);
    before.session("lost", "p", &["purple submarines", "silver bicycles", "late trains"]);
    before.index();
    let restored = store();
    put(&restored, "kept", "p", &["green apples"]);
    put(&restored, "new", "p", &["warm bread", "old maps"]);
    let after = World::over(restored, vectors);
    let found = after.ids("purple submarines", &anywhere(), 10);
    assert_eq!(found, ["kept.0"], "what is not the same event is left out at once");
    after.index();
    let found = after.ids("warm bread", &anywhere(), 10);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "new.0");
    put(&after.store, "later", "p", &["yellow umbrellas"]);
    after.index();
    assert_eq!(after.ids("yellow umbrellas", &anywhere(), 1), ["later.0"]);
}

#[test]
fn how_near_given_events_are_is_known_for_those_that_have_vectors() {
    let world = World::new();
    world.session("one", "p", &["green apples"]);
    world.session("two", "q", &["late trains"]);
    world.index();
    world.session("three", "p", &["green apples too"]);
    let meaning =
        world.searcher.meaning(world.store.clone(), &SearchRequest::text("green apples").within(within("p"))).unwrap();
    let seen = |seq, event_id| Seen { seq, event_id };
    let near = meaning.of(&[seen(2, "one.0"), seen(4, "two.0"), seen(6, "three.0"), seen(77, "no.0")]).unwrap();
    assert_eq!(near.iter().map(|one| one.seq).collect::<Vec<_>>(), [2, 4]);
    assert!(near[0].cosine > 0.9 && near[1].cosine < near[0].cosine);
    assert_eq!(meaning.of(&[seen(2, "another.0")]).unwrap(), [], "a vector of an event that had this seq before");
}

#[test]
fn the_nearest_up_to_an_event_are_the_same_whatever_came_later() {
    let world = World::new();
    let texts: Vec<String> = (0..900).map(|n| format!("green apples {} {}", n % 300, n % 7)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    world.session("one", "p", &texts);
    world.session("other", "q", &["green apples"]);
    world.index();
    let of_mine = within("p");
    let first = |filter: &SearchFilter| {
        let request = SearchRequest { mode: SearchMode::Semantic, ..SearchRequest::text("green apples 5") };
        world.store.search(&request.within(filter.clone()).limit(3), Some(&*meaning(&world, filter, None))).unwrap()
    };
    let known: Vec<_> = [anywhere(), of_mine]
        .into_iter()
        .map(|filter| {
            let pool = first(&filter).pool;
            let near = meaning(&world, &filter, Some(pool)).nearest(200, i64::MAX).unwrap();
            assert_eq!(near.len(), 200);
            (filter, pool, near)
        })
        .collect();
    for (id, project) in [("two", "p"), ("three", "q")] {
        world.session(id, project, &["green apples 5"; 300]);
        world.session(&format!("{id}.also"), project, &texts);
        world.index();
    }
    for (filter, pool, near) in known {
        assert_eq!(meaning(&world, &filter, Some(pool)).nearest(200, i64::MAX).unwrap(), near);
        assert_eq!(meaning(&world, &filter, None).nearest(200, pool.meaning).unwrap(), near);
        assert_ne!(meaning(&world, &filter, None).nearest(200, i64::MAX).unwrap(), near);
    }
}

/// The meaning of a question, or of its later page.
fn meaning(world: &World, filter: &SearchFilter, pool: Option<Pool>) -> Box<dyn Meaning> {
    let request = SearchRequest {
        mode: SearchMode::Semantic,
        after: pool.map(|pool| (3, pool)),
        ..SearchRequest::text("green apples 5").within(filter.clone())
    };
    world.searcher.meaning(world.store.clone(), &request).unwrap()
}
