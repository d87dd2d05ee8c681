use std::time::{Duration, Instant};

use oneiric::fault::FaultKind;
use serde_json::json;
use session_store::{Candidates, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, at, command, complete, event, start, start_in, start_of};

on_every_store!(
    words_phrases_prefixes_and_exclusions_find_what_they_should,
    identifiers_and_paths_are_found_by_any_spelling_and_part,
    text_without_spaces_is_found_by_any_part,
    hits_carry_what_is_shown_of_them,
    when_not_all_words_are_found_some_words_fill_up,
    each_filter_narrows_the_search,
    a_component_of_most_events_is_searched_as_completely_as_a_rare_one,
    leakage_between_projects_is_zero,
    a_common_word_is_bounded_and_the_answer_says_so,
    a_long_list_is_ranked_whole_up_to_its_bounds,
    long_outputs_are_found_and_cut,
    the_one_long_output_among_many_is_found,
    hostile_queries_are_answered_or_refused_quickly,
    events_whose_start_came_late_are_found_by_scope,
);

fn words_phrases_prefixes_and_exclusions_find_what_they_should(world: &World) {
    world.session(
        "s",
        start(),
        &[
            "error: connection refused by peer",
            "connection was refused, then error",
            "compile error in parser",
            "parsing configuration files",
        ],
    );
    assert_eq!(world.found("connection error"), ["s.0", "s.1"]);
    assert_eq!(world.found("\"connection refused\""), ["s.0"]);
    assert_eq!(world.found("pars*"), ["s.2", "s.3"]);
    assert_eq!(world.found("parse*"), ["s.2"], "parser begins so, parsing does not");
    assert_eq!(world.found("error -connection"), ["s.2"]);
    assert_eq!(world.found("error -\"connection refused\""), ["s.1", "s.2"]);
    assert_eq!(world.found("ERRORS file"), Vec::<String>::new());
    assert_eq!(world.found("configurations file"), ["s.3"]);
    let answer = world.search("error");
    assert_eq!((answer.mode, answer.candidates), (SearchMode::Text, Candidates::Exact { count: 3 }));
    assert_eq!(answer.note, None);
}

fn identifiers_and_paths_are_found_by_any_spelling_and_part(world: &World) {
    world.session(
        "s",
        start(),
        &[
            "call getUserName() twice",
            "get_user_name = 1",
            "cat crates/session-store/src/user_list.rs",
            "std::collections::HashMap::new()",
            "git checkout v1.2.3 && sha256sum --ignore-missing",
        ],
    );
    for query in ["getUserName", "get_user_name", "get-user-name", "getusername", "\"get user name\"", "GET USER NAME"]
    {
        assert_eq!(world.found(query), ["s.0", "s.1"], "{query}");
    }
    for query in ["user_list.rs", "src/user_list.rs", "session-store", "crates user", "userlist rs", "UserList"] {
        assert_eq!(world.found(query), ["s.2"], "{query}");
    }
    for query in ["HashMap", "hash_map", "std::collections", "collections::HashMap"] {
        assert_eq!(world.found(query), ["s.3"], "{query}");
    }
    for query in ["v1.2.3", "sha256", "sha256sum", "--ignore-missing", "256"] {
        assert_eq!(world.found(query), ["s.4"], "{query}");
    }
}

fn text_without_spaces_is_found_by_any_part(world: &World) {
    world.session(
        "s",
        start(),
        &[
            "東京都に住んでいます",
            "京都と東京",
            "데이터베이스가 손상되었습니다",
            "数据库已损坏 rust编译器",
            "café größer",
        ],
    );
    assert_eq!(world.found("東京都"), ["s.0"]);
    assert_eq!(world.found("東京"), ["s.0", "s.1"]);
    assert_eq!(world.found("都"), ["s.0", "s.1"]);
    assert_eq!(world.found("데이터"), ["s.2"]);
    assert_eq!(world.found("数据库"), ["s.3"]);
    assert_eq!(world.found("rust 编译"), ["s.3"]);
    assert_eq!(world.found("CAFE grosser"), ["s.4"]);
}

fn hits_carry_what_is_shown_of_them(world: &World) {
    world.session("s", start(), &["one\u{1b}[31m two\nneedle three"]);
    let hit = world.search("needle").hits.remove(0);
    assert_eq!((hit.session_id.as_str(), hit.event_id.as_str(), hit.event_type.as_str()), ("s", "s.0", "command"));
    assert_eq!(
        (hit.component.as_str(), hit.project.as_deref(), hit.timestamp),
        ("mahavishnu", Some("engine"), at(1.0))
    );
    assert!(!hit.excerpt.contains(['\u{1b}', '\n']) && hit.excerpt.contains("\\n") && hit.complete && hit.score > 0.0);
    let chars: Vec<char> = hit.excerpt.chars().collect();
    let marked: Vec<String> = hit.matches.iter().map(|[from, to]| chars[*from..*to].iter().collect()).collect();
    assert_eq!(marked, ["needle"]);
}

fn when_not_all_words_are_found_some_words_fill_up(world: &World) {
    world.session("s", start(), &["alpha beta", "alpha gamma", "delta"]);
    let answer = world.search("alpha beta delta");
    assert!(answer.hits.iter().all(|hit| !hit.complete));
    let ids: Vec<&str> = answer.hits.iter().map(|hit| hit.event_id.as_str()).collect();
    assert_eq!(ids[0], "s.0", "two of three words are better than one");
    assert!(ids.contains(&"s.1") && ids.contains(&"s.2"));
    assert_eq!(answer.note.as_deref(), Some("0 of 3 hits hold all of the words"));
    assert_eq!(world.search("alpha beta").hits[0].event_id, "s.0");
    assert!(world.search("nowhere tobefound").hits.is_empty());
}

fn each_filter_narrows_the_search(world: &World) {
    world.session("one", start_in("website", "/w"), &["needle here"]);
    world.session("two", start_of("session-buddy", "mcp_client"), &["needle there"]);
    world.put("two", vec![event("two.error", "error", 500.0, json!({ "error": "needle broke" }))]);
    let any = SearchFilter::default;
    for (filter, wanted) in [
        (any(), vec!["one.0", "two.0", "two.error"]),
        (SearchFilter { project: Some("website".into()), ..any() }, vec!["one.0"]),
        (SearchFilter { component: Some("session-buddy".into()), ..any() }, vec!["two.0", "two.error"]),
        (SearchFilter { session_type: Some("mcp_client".into()), ..any() }, vec!["two.0", "two.error"]),
        (SearchFilter { event_type: Some("error".into()), ..any() }, vec!["two.error"]),
        (SearchFilter { session: Some("tw".into()), ..any() }, vec!["two.0", "two.error"]),
        (SearchFilter { session: Some("two".into()), event_type: Some("command".into()), ..any() }, vec!["two.0"]),
        (SearchFilter { since: Some(at(2.0)), ..any() }, vec!["two.error"]),
        (SearchFilter { until: Some(at(2.0)), ..any() }, vec!["one.0", "two.0"]),
        (SearchFilter { since: Some(at(600.0)), ..any() }, vec![]),
    ] {
        assert_eq!(complete(&world.search_in("needle", &filter)), wanted, "{filter:?}");
    }
    let nowhere = SearchFilter { session: Some("three".into()), ..any() };
    assert_eq!(
        world.store.search(&SearchRequest::text("needle").within(nowhere.clone()).limit(5), None).unwrap_err().kind(),
        FaultKind::NotFound
    );
}

fn a_component_of_most_events_is_searched_as_completely_as_a_rare_one(world: &World) {
    world.session("a", start_of("mahavishnu", "admin_shell"), &[]);
    world.session("b", start_of("akosha", "admin_shell"), &[]);
    let mut next = 0;
    let mut put = |session: &str, count: usize| {
        let numbers = next..next + count;
        next += count;
        let one = |n: usize| command(&format!("{session}{n}"), n as f64, &format!("common word number{n}"));
        world.put(session, numbers.map(one).collect());
    };
    let within = |component: &str| SearchFilter { component: Some(component.into()), ..SearchFilter::default() };
    // Seven of ten: the index is not asked for it.
    for _ in 0..20 {
        put("a", 35);
        put("b", 15);
    }
    for (component, count) in [("mahavishnu", 700), ("akosha", 300)] {
        let answer = world.search_in("common word", &within(component));
        assert_eq!(answer.candidates, Candidates::Exact { count }, "{component}");
        assert_eq!(complete(&world.search_in("common number3", &within("mahavishnu"))), ["a3"]);
        assert!(world.search_in("number3 number38", &within("akosha")).hits.iter().all(|hit| hit.session_id == "b"));
    }
    // What is true of the newest is not true of those before.
    for _ in 0..40 {
        put("b", 95);
        put("a", 5);
    }
    put("a", 400);
    let answer = world.search_in("common word", &within("mahavishnu"));
    assert_eq!(answer.candidates, Candidates::Exact { count: 1_300 });
    let answer = world.search_in("common word", &within("akosha"));
    let Candidates::Newest { ranked, about } = answer.candidates else { panic!("{:?}", answer.candidates) };
    assert!(ranked == 1_500 && (3_300..=4_900).contains(&about), "{ranked} of {about}");
}

fn leakage_between_projects_is_zero(world: &World) {
    for project in 0..40 {
        world.session(
            &format!("p{project:02}"),
            start_in(&format!("project-{project}"), "/w"),
            &["shared secret plan"],
        );
    }
    for project in 0..40 {
        let filter = SearchFilter { project: Some(format!("project-{project}")), ..SearchFilter::default() };
        let answer = world
            .store
            .search(&SearchRequest::text("shared unknown plan").within(filter.clone()).limit(100), None)
            .unwrap();
        assert!(!answer.hits.is_empty());
        assert!(answer.hits.iter().all(|hit| hit.session_id == format!("p{project:02}")));
    }
}

fn a_common_word_is_bounded_and_the_answer_says_so(world: &World) {
    let events =
        (0..6_000).map(|n| command(&format!("e{n}"), f64::from(n), &format!("common word number{n}"))).collect();
    world.put("s", events);
    let answer = world.search("common word");
    let Candidates::Newest { ranked, about } = answer.candidates else { panic!("{:?}", answer.candidates) };
    assert!(ranked < 6_000 && (5_400..=6_600).contains(&about), "{ranked} of {about}");
    assert!(answer.note.unwrap().contains("newest"));
    assert_eq!(answer.hits.len(), 10);
    assert_eq!(world.found("common number17"), ["e17"], "a rare word beside a common one is found however old");
    let oldest = SearchFilter { until: Some(at(10.0)), ..SearchFilter::default() };
    assert_eq!(complete(&world.search_in("common word", &oldest)).len(), 10, "the oldest are found in their time");
}

fn a_long_list_is_ranked_whole_up_to_its_bounds(world: &World) {
    let best = [1_990, 900, 550, 100];
    let text =
        |n| if best.contains(&n) { "common common".to_owned() } else { format!("common {}", "filler ".repeat(9)) };
    world.put("s", (0..2_000).map(|n| command(&format!("e{n}"), f64::from(n), &text(n))).collect());
    let answer = world.search("common");
    assert!(matches!(answer.candidates, Candidates::Newest { ranked: 1_500, .. }), "{:?}", answer.candidates);
    let first: Vec<&str> = answer.hits[..3].iter().map(|hit| hit.event_id.as_str()).collect();
    assert_eq!(first, ["e1990", "e900", "e550"], "wherever in the list they stand, and nothing beyond it");
    assert!(answer.hits.iter().all(|hit| hit.event_id != "e100"));
    // Of long texts fewer are read: 4 MiB of them.
    let long = format!("lengthy {}", "filler ".repeat(600));
    world.put("t", (0..1_600).map(|n| command(&format!("f{n}"), f64::from(n), &long)).collect());
    let Candidates::Newest { ranked, .. } = world.search("lengthy").candidates else { panic!("a bound") };
    let each = json!({ "command": long }).to_string().len() as u64;
    assert!((4 * 1024 * 1024 / (each + 60)..=4 * 1024 * 1024 / each + 1).contains(&ranked), "{ranked} of {each} bytes");
}

fn long_outputs_are_found_and_cut(world: &World) {
    let output = format!("first {} last", "filler text ".repeat(60_000));
    world.put("s", vec![event("long", "command", 1.0, json!({ "command": "make", "output": output }))]);
    assert_eq!(world.found("make first"), ["long"]);
    let hit = world.search("first").hits.remove(0);
    assert!(hit.excerpt.chars().count() <= 240);
}

fn the_one_long_output_among_many_is_found(world: &World) {
    let filler = "x".repeat(900_000);
    let text = |n: usize| format!("seldom {} {filler}", if n == 0 { "needle" } else { "hay" });
    world.put("s", (0..12).map(|n| command(&format!("e{n}"), n as f64, &text(n))).collect());
    assert_eq!(world.found("seldom needle"), ["e0"]);
}

fn hostile_queries_are_answered_or_refused_quickly(world: &World) {
    world.session("s", start(), &["harmless text"]);
    let queries = [
        "a".repeat(1_000_000),
        "\"".repeat(4000),
        "(".repeat(4000),
        "AND OR NOT NEAR".into(),
        "\"unclosed".into(),
        "* ^ : { } ( ) -".into(),
        "\0\u{1}\u{1b}".into(),
        "🦀🦀 text".into(),
        "a* b* c* d*".into(),
        "'; DROP TABLE sessions; --".into(),
        (0..2000).map(|n| format!("{n} ")).collect::<String>().chars().take(4000).collect(),
        "\u{e000}00000000".into(),
    ];
    for query in queries {
        #[allow(clippy::disallowed_methods, reason = "only a generous bound against a hang")]
        let began = Instant::now();
        if let Err(fault) = world.store.search(&SearchRequest::text(query.clone()), None) {
            assert_eq!(fault.kind(), FaultKind::User, "{fault}");
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(world.found("harmless"), ["s.0"]);
}

fn events_whose_start_came_late_are_found_by_scope(world: &World) {
    world.put("s", vec![command("e1", 1.0, "needle one"), event("e2", "error", 2.0, json!({ "error": "needle" }))]);
    world.put("s", vec![event("e0", "session_start", 0.0, start()), command("e3", 3.0, "needle two")]);
    let filter = SearchFilter {
        project: Some("engine".into()),
        component: Some("mahavishnu".into()),
        ..SearchFilter::default()
    };
    assert_eq!(complete(&world.search_in("needle", &filter)), ["e1", "e2", "e3"]);
}
