//! Pages of a search: together they are one answer, whatever is stored meanwhile.

use session_store::{Granularity, SearchAnswer, SearchFilter, SearchRequest};

use crate::world::{World, at, command, event, start, start_in};

on_every_store!(
    pages_are_one_answer_while_events_are_added,
    pages_of_sessions_and_of_one_session_are_one_answer,
    a_pool_from_outside_is_bounded,
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
fn pages(world: &World, request: &SearchRequest, limit: usize, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut ids = Vec::new();
    let mut request = SearchRequest { limit, ..request.clone() };
    for page in 0..1_000 {
        let answer = world.store.search(&request, None).unwrap();
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

fn a_pool_from_outside_is_bounded(world: &World) {
    filled(world);
    let pool = session_store::Pool { depth: usize::MAX, through: i64::MAX, events: -5.0, words: -1.0, sessions: 0.0 };
    let after = Some((usize::MAX, pool));
    let answer = world.store.search(&SearchRequest { after, ..SearchRequest::text("deploy") }, None).unwrap();
    assert!(answer.hits.is_empty() && !answer.more);
    let pool = session_store::Pool { through: i64::MIN, ..pool };
    let answer = world.store.search(&SearchRequest { after: Some((0, pool)), ..SearchRequest::text("deploy") }, None);
    assert!(answer.unwrap().hits.is_empty());
}
