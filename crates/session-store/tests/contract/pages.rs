//! Pages of a search: together they are one answer, whatever is stored meanwhile.

use std::sync::Mutex;

use oneiric::fault::Result;
use session_store::search::meaning::{Meaning, Near, Seen};
use session_store::{Granularity, SearchAnswer, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, at, command, event, start, start_in};

on_every_store!(
    pages_are_one_answer_while_events_are_added,
    pages_of_sessions_and_of_one_session_are_one_answer,
    pages_of_any_length_hold_the_same,
    a_pool_from_outside_is_bounded,
    pages_by_meaning_are_one_answer_while_vectors_are_made,
);

fn filled(world: &World) {
    for session in 0..12 {
        let texts: Vec<String> = (0..9)
            .map(|n| match n % 3 {
                0 => format!("deploy engine number {session}{n}"),
                1 => format!("deploy {}", "again ".repeat(n + session)),
                _ => format!("engine room {n}"),
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        world.session(&format!("s{session}"), start_in("engine", "/e"), &texts);
    }
}

/// All pages of `limit`; `between` happens after each.
fn pages(world: &World, request: &SearchRequest, limit: usize, between: impl FnMut(usize)) -> Vec<String> {
    pages_of(world, request, limit, None, between)
}

fn pages_of(
    world: &World,
    request: &SearchRequest,
    limit: usize,
    meaning: Option<&dyn Meaning>,
    mut between: impl FnMut(usize),
) -> Vec<String> {
    let mut ids = Vec::new();
    let mut request = SearchRequest { limit, ..request.clone() };
    for page in 0..1_000 {
        let answer = world.store.search(&request, meaning).unwrap();
        assert!(answer.hits.len() <= limit);
        ids.extend(names(&answer, request.by));
        if !answer.more {
            return ids;
        }
        request.after = Some((ids.len(), answer.pool));
        between(page);
    }
    panic!("the pages do not end");
}

fn names(answer: &SearchAnswer, by: Granularity) -> Vec<String> {
    let name = |hit: &session_store::SearchHit| match by {
        Granularity::Event => hit.event_id.clone(),
        Granularity::Session => hit.session_id.clone(),
    };
    answer.hits.iter().map(name).collect()
}

fn pages_are_one_answer_while_events_are_added(world: &World) {
    filled(world);
    for query in ["deploy", "deploy engine", "engine -number", "depl*"] {
        let request = SearchRequest::text(query);
        let quiet = pages(world, &request, 7, |_| {});
        let mut distinct = quiet.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), quiet.len(), "{query}: no hit twice");
        assert!(quiet.len() > 20, "{query}");
        let busy = pages(world, &request, 7, |page| {
            // Also in sessions that are found, and rare words that become common.
            let id = format!("{}-{page}", query.replace(|c: char| !c.is_alphanumeric(), "_"));
            let events = (0..4).map(|n| command(&format!("late.{id}.{n}"), 50.0, "deploy deploy engine engine number"));
            world.put("s3", events.collect());
            world.session(&format!("new.{id}"), start(), &["deploy engine", "number number"]);
        });
        assert_eq!(busy, quiet, "{query}");
    }
}

fn pages_of_sessions_and_of_one_session_are_one_answer(world: &World) {
    filled(world);
    let by_session = SearchRequest { by: Granularity::Session, ..SearchRequest::text("deploy engine") };
    let whole = names(&world.store.search(&by_session.clone().limit(5), None).unwrap(), Granularity::Session);
    let all = pages(world, &by_session, 5, |page| {
        world.put("s1", vec![event(&format!("late.{page}"), "error", 60.0, serde_json::json!({ "error": "deploy" }))]);
    });
    assert_eq!((all.len(), &all[..5]), (12, &whole[..]));
    let filter = SearchFilter { session: Some("s1".into()), until: Some(at(1e6)), ..SearchFilter::default() };
    let within = pages(world, &SearchRequest::text("deploy").within(filter), 2, |_| {});
    assert_eq!(within.iter().filter(|id| id.starts_with("s1.")).count(), 6, "{within:?}");
}

fn pages_of_any_length_hold_the_same(world: &World) {
    filled(world);
    for query in ["deploy engine", "deploy number", "again room"] {
        let of_length = |limit: usize| {
            let mut ids = pages(world, &SearchRequest::text(query), limit, |_| {});
            ids.sort();
            ids
        };
        let all = of_length(1);
        assert!(all.len() > 60, "{query}: {}", all.len());
        for limit in [3, 10, 40, 200, 1_000] {
            assert_eq!(of_length(limit), all, "{query}, {limit} a page");
        }
    }
}

fn a_pool_from_outside_is_bounded(world: &World) {
    filled(world);
    let pool = session_store::Pool {
        depth: usize::MAX,
        through: i64::MAX,
        meaning: i64::MAX,
        generation: i64::MAX,
        events: -5.0,
        words: -1.0,
        sessions: 0.0,
    };
    let after = Some((usize::MAX, pool));
    let answer = world.store.search(&SearchRequest { after, ..SearchRequest::text("deploy") }, None).unwrap();
    assert!(answer.hits.is_empty() && !answer.more);
    let pool = session_store::Pool { through: i64::MIN, ..pool };
    let answer = world.store.search(&SearchRequest { after: Some((0, pool)), ..SearchRequest::text("deploy") }, None);
    assert!(answer.unwrap().hits.is_empty());
    // Of a store without events, too.
    for through in [i64::MAX, i64::MIN] {
        let after = Some((0, session_store::Pool { through, ..pool }));
        let request = SearchRequest { after, ..SearchRequest::text("deploy") };
        assert!(World::sqlite_memory().store.search(&request, None).unwrap().hits.is_empty());
    }
}

/// The nearness of events by their words, and how far it is known by now.
struct Growing {
    near: Mutex<Vec<Near>>,
    through: Mutex<i64>,
}

impl Growing {
    /// Learns all events but the newest `waiting`.
    fn learn(&self, world: &World, waiting: usize) {
        let mut texts = world.store.texts_after(0, 10_000, 1 << 24).unwrap().texts;
        texts.truncate(texts.len() - waiting);
        *self.through.lock().unwrap() = texts.last().unwrap().seq;
        let cosine = |seq: i64, text: &str| match (text.contains("vehicle"), text.contains("nearer")) {
            (_, true) => 0.9,
            (true, _) => 0.3 + (seq * 37 % 101) as f32 / 400.0,
            _ => 0.05,
        };
        let mut near: Vec<Near> =
            texts.iter().map(|one| Near { seq: one.seq, cosine: cosine(one.seq, &one.text) }).collect();
        near.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(b.seq.cmp(&a.seq)));
        *self.near.lock().unwrap() = near;
    }
}

impl Meaning for Growing {
    fn nearest(&self, limit: usize, through: i64) -> Result<Vec<Near>> {
        let near = self.near.lock().unwrap();
        Ok(near.iter().filter(|one| one.seq <= through).copied().take(limit).collect())
    }

    fn of(&self, events: &[Seen<'_>]) -> Result<Vec<Near>> {
        let near = self.near.lock().unwrap();
        Ok(near.iter().filter(|one| events.iter().any(|event| event.seq == one.seq)).copied().collect())
    }

    fn through(&self) -> i64 {
        *self.through.lock().unwrap()
    }
}

fn pages_by_meaning_are_one_answer_while_vectors_are_made(world: &World) {
    filled(world);
    let texts: Vec<String> = (0..250).map(|n| format!("vehicle {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    world.session("far", start(), &texts);
    let meaning = Growing { near: Mutex::default(), through: Mutex::default() };
    let mut late = 0;
    for mode in [SearchMode::Semantic, SearchMode::Hybrid] {
        for waiting in [0, 3, 40] {
            let request = SearchRequest { mode, ..SearchRequest::text("deploy vehicle") };
            meaning.learn(world, waiting);
            let quiet = pages_of(world, &request, 30, Some(&meaning), |_| {});
            let mut distinct = quiet.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), quiet.len(), "{mode:?} {waiting}: no hit twice");
            assert!(quiet.len() >= 200, "{mode:?} {waiting}: {}", quiet.len());
            let busy = pages_of(world, &request, 30, Some(&meaning), |_| {
                late += 1;
                world.session(&format!("late.{late}"), start(), &["a nearer one", "deploy vehicle", "a nearer one"]);
                meaning.learn(world, 0);
            });
            assert_eq!(busy, quiet, "{mode:?} {waiting}");
        }
    }
}
