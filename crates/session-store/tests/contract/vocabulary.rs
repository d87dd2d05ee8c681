//! Parts of words and slips of the pen, over the whole store and within each filter.

use serde_json::json;
use session_store::{Candidates, SearchAnswer, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, command, event, start, start_in};

on_every_store!(
    parts_and_slips_are_found_however_many_events_came_since,
    two_slips_are_forgiven_in_a_long_word_and_one_in_a_short_one,
    a_part_stands_for_all_words_that_hold_it,
    parts_and_slips_within_identifiers_are_found,
    other_scripts_are_mended_and_found_by_parts_too,
    a_rare_slip_is_found_first_and_what_it_stands_for_behind_it,
    no_word_of_another_project_or_session_is_used_or_told,
    words_of_another_project_or_session_do_not_change_what_is_read,
    a_word_that_many_events_elsewhere_hold_is_lost_where_none_does,
    a_part_of_more_words_than_are_looked_for_says_so,
    a_short_name_of_a_month_alone_is_a_part_of_words,
    a_stem_without_its_last_letter_is_no_word,
    words_of_deleted_events_are_forgotten,
    a_word_is_named_as_texts_hold_it,
    slips_are_read_alike_before_and_after_their_words_are_learnt,
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

fn words_of_another_project_or_session_do_not_change_what_is_read(world: &World) {
    world.session("mine", start_in("mine", "/m"), &["an invoice of ours", "the customer"]);
    fill(world, "later", 300);
    let within = |project: bool| {
        let only = Some("mine".to_owned());
        match project {
            true => SearchFilter { project: only, ..SearchFilter::default() },
            false => SearchFilter { session: only, ..SearchFilter::default() },
        }
    };
    let answers = |world: &World| -> Vec<(Vec<String>, Option<String>)> {
        let asked = ["invoyce", "ustom", "invoyce ours", "customers"];
        let asked = asked.into_iter().flat_map(|query| [(query, true), (query, false)]);
        let answer = |(query, project)| {
            let answer = world.store.search(&SearchRequest::text(query).within(within(project)), None).unwrap();
            (ids(&answer).into_iter().map(str::to_owned).collect(), answer.note)
        };
        asked.map(answer).collect()
    };
    let alone = answers(world);
    let found: Vec<&str> = alone.iter().map(|(ids, _)| ids.first().map_or("", String::as_str)).collect();
    assert_eq!(found, ["mine.0", "mine.0", "mine.1", "mine.1", "mine.0", "mine.0", "mine.1", "mine.1"]);
    let theirs: Vec<String> = (0..6).map(|n| format!("invoyce ustom {n}")).collect();
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    world.session("theirs", start_in("theirs", "/t"), &theirs);
    assert_eq!(answers(world), alone, "not learnt yet");
    learn_all(world);
    assert_eq!(answers(world), alone);
}

fn a_word_that_many_events_elsewhere_hold_is_lost_where_none_does(world: &World) {
    world.session("mine", start_in("mine", "/m"), &["redeployed the site", "the archive of logs"]);
    let theirs: Vec<String> = (0..2_500).map(|n| format!("deploy and archve number {n}")).collect();
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    world.session("theirs", start_in("theirs", "/t"), &theirs);
    let filter = SearchFilter { project: Some("mine".into()), ..SearchFilter::default() };
    let later = SearchFilter { since: Some(crate::world::at(86_400.0)), ..SearchFilter::default() };
    world.put("mine", vec![command("mine.later", 90_000.0, "the timetable of next week")]);
    for learnt in [false, true] {
        if learnt {
            learn_all(world);
        }
        for (filter, query, found, note) in [
            (&filter, "deploy", "mine.0", "\"deploy\" read as \"redeployed\""),
            (&filter, "archve", "mine.1", "\"archve\" read as \"archive\""),
            (&filter, "archve logs", "mine.1", "\"archve\" read as \"archive\""),
            (&filter, "-number deploy", "mine.0", "\"deploy\" read as \"redeployed\""),
            (&later, "table", "mine.later", "\"table\" read as \"timetable\""),
            (&later, "deploy", "", ""),
        ] {
            let answer = world.store.search(&SearchRequest::text(query).within(filter.clone()), None).unwrap();
            assert_eq!(ids(&answer).first().copied().unwrap_or_default(), found, "{query}: {:?}", answer.note);
            assert_eq!(answer.note.unwrap_or_default(), note, "{query}");
        }
    }
}

fn a_part_of_more_words_than_are_looked_for_says_so(world: &World) {
    let letters = |n: usize| format!("{}{}", char::from(b'a' + (n / 26) as u8), char::from(b'a' + (n % 26) as u8));
    let texts: Vec<String> = (0..40).map(|n| format!("the qu{}zorkel", letters(n))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    world.session("old", start(), &texts[..20]);
    let answer = text(world, "zorke");
    assert_eq!(answer.candidates, Candidates::Exact { count: 20 });
    assert!(!answer.note.unwrap().contains("left out"));
    world.session("new", start(), &texts[20..]);
    let answer = text(world, "zorke");
    assert_eq!(answer.candidates, Candidates::AtLeast { count: 32 });
    let note = answer.note.unwrap();
    assert!(note.ends_with("and 29 more; rarer words with it are left out"), "{note}");
}

fn a_short_name_of_a_month_alone_is_a_part_of_words(world: &World) {
    world.session("old", start(), &["fn decode(bytes)", "a separator", "walk in May", "the octopus"]);
    for (query, found) in [("dec", "old.0"), ("sep", "old.1"), ("oct", "old.3"), ("may", "old.2")] {
        assert_eq!(ids(&text(world, query)), [found], "{query}");
    }
}

fn a_stem_without_its_last_letter_is_no_word(world: &World) {
    world.session("old", start(), &["clear the cache", "hiking boots", "make backups", "read the file"]);
    for learnt in [false, true] {
        if learnt {
            learn_all(world);
        }
        for query in ["coach", "fail"] {
            let answer = text(world, query);
            assert!(answer.hits.is_empty(), "{query}: {:?}", answer.note);
        }
        assert_eq!(ids(&text(world, "fiel")), ["old.3"]);
        assert_eq!(ids(&text(world, "cahce")), ["old.0"]);
        assert_eq!(ids(&text(world, "hkie")), ["old.1"]);
        assert_eq!(ids(&text(world, "bakcup")), ["old.2"]);
    }
}

fn a_word_is_named_as_texts_hold_it(world: &World) {
    world.session("old", start(), &["the plan is done", "a carting trip", "the fox", "a wagon", "he walked"]);
    world.session("mine", start_in("mine", "/m"), &["walking home"]);
    fill(world, "later", 300);
    for learnt in [false, true] {
        if learnt {
            learn_all(world);
        }
        for (query, found, note) in [
            // Nobody looks for `done`, by whose stem the index knows `don`.
            ("dont", "", ""),
            ("carto", "old.1", "\"carto\" read as \"carting\""),
            ("foxss", "old.2", "\"foxss\" read as \"fox\""),
            ("wagno", "old.3", "\"wagno\" read as \"wagon\""),
        ] {
            let answer = text(world, query);
            assert_eq!(ids(&answer).first().copied().unwrap_or_default(), found, "{query} {learnt}: {:?}", answer.note);
            assert_eq!(answer.note.unwrap_or_default(), note, "{query} {learnt}");
        }
        // A word with the same stem that only others hold is not told.
        let filter = SearchFilter { project: Some("mine".into()), ..SearchFilter::default() };
        let answer = world.store.search(&SearchRequest::text("walko").within(filter), None).unwrap();
        assert_eq!(ids(&answer), ["mine.0"]);
        assert_eq!(answer.note.unwrap(), "\"walko\" read as \"walking\"");
    }
    world.session(
        "paths",
        start_in("paths", "/p"),
        &["edited a/b/zanzibarproject/c.rs", "on condition", "conditioned air"],
    );
    world.session("air", start_in("air", "/q"), &["conditioned air"]);
    learn_all(world);
    for (project, query, note) in [
        ("paths", "zanzibar", "\"zanzibar\" read as \"zanzibarproject\""),
        ("air", "conditionl", "\"conditionl\" read as \"conditioned\""),
    ] {
        let filter = SearchFilter { project: Some(project.into()), ..SearchFilter::default() };
        let answer = world.store.search(&SearchRequest::text(query).within(filter), None).unwrap();
        assert_eq!(answer.note.as_deref(), Some(note));
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

fn slips_are_read_alike_before_and_after_their_words_are_learnt(world: &World) {
    // So many words that only the first of them are searched, each of an identifier that counts as a whole beside.
    let long = format!("{}archipelago {}labyrinthine", "left_right ".repeat(2_040), "more ".repeat(100));
    world.session("old", start(), &["the queries hurry", "he stopped and runs", "two dogs", &long]);
    fill(world, "later", 300);
    let asked =
        ["querise", "qurey", "hurries", "stpoping", "rnus", "dgos", "dosg", "archipelgao", "labyrinthnie", "zzzzz"];
    let answers = |world: &World| -> Vec<(Vec<String>, Option<String>)> {
        let answers = asked.iter().map(|query| text(world, query));
        answers.map(|answer| (ids(&answer).into_iter().map(str::to_owned).collect(), answer.note)).collect()
    };
    let before = answers(world);
    let found: Vec<&str> = before.iter().map(|(ids, _)| ids.first().map_or("", String::as_str)).collect();
    assert_eq!(found, ["old.0", "old.0", "old.0", "old.1", "old.1", "old.2", "old.2", "old.3", "", ""]);
    learn_all(world);
    assert_eq!(answers(world), before);
    world.session("new", start(), &["a dromedary"]);
    assert_eq!(ids(&text(world, "dromedray")), ["new.0"]);
    assert_eq!(answers(world), before);
}
