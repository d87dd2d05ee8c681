//! Parts of words and slips of the pen, over the whole store and within each filter.

use serde_json::json;
use session_store::{SearchAnswer, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, command, event, start, start_in};

on_every_store!(
    parts_and_slips_are_found_however_many_events_came_since,
    two_slips_are_forgiven_in_a_long_word_and_one_in_a_short_one,
    a_part_stands_for_all_words_that_hold_it,
    parts_and_slips_within_identifiers_are_found,
    other_scripts_are_mended_and_found_by_parts_too,
    a_rare_slip_is_found_first_and_what_it_stands_for_behind_it,
    no_word_of_another_project_or_session_is_used_or_told,
    words_of_deleted_events_are_forgotten,
);

/// So many events that the newest do not tell of the first ones.
const MANY: usize = 6_000;

fn fill(world: &World, session: &str, count: usize) {
    let texts: Vec<String> = (0..count).map(|n| format!("routine entry {n} of the log")).collect();
    for (chunk, texts) in texts.chunks(1_000).enumerate() {
        let events = texts.iter().enumerate().map(|(n, text)| command(&format!("{session}.{chunk}.{n}"), 1.0, text));
        let mut events: Vec<_> = events.collect();
        if chunk == 0 {
            events.insert(0, event(&format!("{session}.start"), "session_start", 0.0, start()));
        }
        world.put(session, events);
    }
}

fn text(world: &World, query: &str) -> SearchAnswer {
    world.store.search(&SearchRequest::text(query), None).unwrap()
}

fn ids(answer: &SearchAnswer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.event_id.as_str()).collect()
}

fn learn_all(world: &World) {
    while world.store.learn_words().unwrap() > 0 {}
}

fn parts_and_slips_are_found_however_many_events_came_since(world: &World) {
    world.session("old", start(), &["restore the backup of yesterday", "call performHandoffNow()"]);
    fill(world, "later", MANY);
    // Nothing was learnt before the first question.
    for (query, found, note) in [
        ("ackup", "old.0", "\"ackup\" read as \"backup\""),
        ("bakcup", "old.0", "\"bakcup\" read as \"backup\""),
        ("handoff", "old.1", ""),
        ("handoffno", "old.1", "\"handoffno\" read as \"performhandoffnow\""),
        ("esterd", "old.0", "\"esterd\" read as \"yesterday\""),
    ] {
        let answer = text(world, query);
        assert_eq!(ids(&answer), [found], "{query}: {:?}", answer.note);
        assert_eq!(answer.note.unwrap_or_default(), note, "{query}");
    }
}

fn two_slips_are_forgiven_in_a_long_word_and_one_in_a_short_one(world: &World) {
    world.session("old", start(), &["the database", "kubernetes scheduler", "restart"]);
    fill(world, "later", 300);
    learn_all(world);
    for (query, found) in [
        ("dtaabsae", "old.0"),
        ("datebasse", "old.0"),
        ("kuberntese", "old.1"),
        ("schedulre", "old.1"),
        ("shcedulr", "old.1"),
        ("restrat", "old.2"),
    ] {
        assert_eq!(ids(&text(world, query)), [found], "{query}");
    }
    for query in ["rsetrat", "dtbse", "kbrntes"] {
        assert!(text(world, query).hits.is_empty(), "{query}");
    }
}

fn a_part_stands_for_all_words_that_hold_it(world: &World) {
    world.session("old", start(), &["make backups", "run backupctl", "the backup", "backup again", "nothing"]);
    let answer = text(world, "ackup");
    let mut found = ids(&answer);
    found.sort_unstable();
    assert_eq!(found, ["old.0", "old.1", "old.2", "old.3"]);
    assert!(answer.hits.iter().all(|hit| hit.complete && !hit.matches.is_empty()));
    assert_eq!(answer.note.as_deref(), Some("\"ackup\" read as \"backup\", \"backupctl\""));
}

fn parts_and_slips_within_identifiers_are_found(world: &World) {
    world.session("old", start(), &["fn performHandoffNow(state)", "src/server/http_listener.rs"]);
    for (query, found) in
        [("rmHandoff", "old.0"), ("performHandofNow", "old.0"), ("istener", "old.1"), ("http_lisetner", "old.1")]
    {
        assert_eq!(ids(&text(world, query)), [found], "{query}");
    }
}

fn other_scripts_are_mended_and_found_by_parts_too(world: &World) {
    world.session(
        "old",
        start(),
        &["резервное копирование", "größere Änderungen", "データベースの復元", "גיבוי נתונים"],
    );
    fill(world, "later", MANY);
    learn_all(world);
    for (query, found) in [
        ("резрвное", "old.0"),
        ("пирован", "old.0"),
        ("нзта", ""),
        ("ändrungen", "old.1"),
        ("ベース", "old.2"),
        ("復元", "old.2"),
        ("תונים", "old.3"),
    ] {
        let answer = text(world, query);
        assert_eq!(ids(&answer).first().copied().unwrap_or_default(), found, "{query}");
    }
}

fn a_rare_slip_is_found_first_and_what_it_stands_for_behind_it(world: &World) {
    let commits: Vec<String> = (0..60).map(|n| format!("git commit number {n}")).collect();
    let commits: Vec<&str> = commits.iter().map(String::as_str).collect();
    world.session("right", start(), &commits);
    world.session("slip", start(), &["git comit by hand"]);
    fill(world, "later", 1_000);
    let answer = text(world, "comit");
    assert_eq!(ids(&answer)[0], "slip.0");
    assert_eq!(answer.hits.len(), 10);
    assert_eq!(answer.note.as_deref(), Some("\"comit\" also read as \"commit\""));
}

fn no_word_of_another_project_or_session_is_used_or_told(world: &World) {
    world.session("theirs", start_in("theirs", "/t"), &["the project falcon", "chimichanga"]);
    world.session("mine", start_in("mine", "/m"), &["the project heron", "more of mine"]);
    fill(world, "later", 300);
    learn_all(world);
    let scopes = [
        SearchFilter { project: Some("mine".into()), ..SearchFilter::default() },
        SearchFilter { session: Some("mine".into()), ..SearchFilter::default() },
    ];
    for filter in scopes {
        for query in ["falcno", "alcon", "chimichnaga", "imichan", "chim*", "falcon"] {
            for mode in [SearchMode::Text, SearchMode::Hybrid] {
                let request = SearchRequest { mode, ..SearchRequest::text(query).within(filter.clone()) };
                let answer = world.store.search(&request, None).unwrap();
                assert!(answer.hits.is_empty(), "{query}");
                let note = answer.note.unwrap_or_default();
                assert!(!note.contains("falcon\"") && !note.contains("chimichanga"), "{query}: {note}");
            }
        }
        for query in ["heorn", "eron"] {
            let answer = world.store.search(&SearchRequest::text(query).within(filter.clone()), None).unwrap();
            assert_eq!(ids(&answer), ["mine.0"], "{query}");
        }
    }
}

fn words_of_deleted_events_are_forgotten(world: &World) {
    world.session("old", start(), &["the word chimichanga"]);
    world.put("old", vec![event("old.end", "session_end", 2.0, json!({ "status": "ended" }))]);
    fill(world, "later", 300);
    learn_all(world);
    assert_eq!(ids(&text(world, "imichan")), ["old.0"]);
    delete_old(world);
    assert!(text(world, "imichan").hits.is_empty());
    learn_all(world);
    assert_eq!(ids(&text(world, "outin")).len(), 10);
}

fn delete_old(world: &World) {
    use session_store::retention::{RetentionRules, apply};
    let rules = RetentionRules { sessions: Some(1), ..RetentionRules::default() };
    world.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    apply(&*world.store, &rules, world.now(), &mut |_, _| {}).unwrap();
}
