//! Ranking by session, by meaning, and of words that nothing holds.

use std::collections::HashMap;

use oneiric::fault::{Fault, Result};
use session_store::search::meaning::{Meaning, Near, Seen};
use session_store::upkeep::{ArchiveRule, archive};
use session_store::{Candidates, Granularity, SearchAnswer, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, at, end, start, start_in};

on_every_store!(
    a_session_is_found_by_words_that_stand_in_different_events,
    of_events_that_say_the_same_the_one_in_the_right_session_comes_first,
    the_words_of_a_question_are_not_what_is_looked_for,
    a_named_day_finds_the_session_of_that_day,
    meaning_finds_what_words_do_not_and_words_keep_what_they_find,
    events_without_vectors_are_told_of,
    what_a_word_was_read_as_is_not_told_where_words_do_not_count,
    meaning_that_fails_leaves_the_words_and_says_so,
    hits_by_meaning_are_never_outside_the_filter,
    slips_and_parts_of_words_are_read_as_words_that_exist,
    a_word_that_is_there_is_never_read_as_another,
    archived_events_are_found_when_they_are_asked_for,
);

fn ask(world: &World, request: &SearchRequest) -> SearchAnswer {
    world.store.search(request, None).unwrap()
}

fn by_session(query: &str) -> SearchRequest {
    SearchRequest { by: Granularity::Session, ..SearchRequest::text(query) }
}

fn sessions(answer: &SearchAnswer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.session_id.as_str()).collect()
}

fn events(answer: &SearchAnswer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.event_id.as_str()).collect()
}

fn a_session_is_found_by_words_that_stand_in_different_events(world: &World) {
    world.session("one", start(), &["the kiln is warm", "glaze the blue bowl", "fire it tomorrow"]);
    world.session("two", start(), &["the kiln broke", "call the shop"]);
    world.session("three", start(), &["a blue car", "wash it"]);
    let answer = ask(world, &by_session("kiln blue fire"));
    assert_eq!(answer.by, Granularity::Session);
    assert_eq!(sessions(&answer)[0], "one");
    assert_eq!(answer.hits.len(), 3, "each session once");
    assert_eq!(ask(world, &SearchRequest { limit: 1, ..by_session("kiln blue fire") }).hits.len(), 1);
}

fn of_events_that_say_the_same_the_one_in_the_right_session_comes_first(world: &World) {
    world.session("one", start(), &["deploy the website", "it failed with a timeout", "restart done"]);
    world.session("two", start(), &["paint the fence", "it failed with a timeout", "bake bread"]);
    let answer = ask(world, &SearchRequest::text("website timeout"));
    let place = |id: &str| events(&answer).iter().position(|event| *event == id).unwrap();
    assert!(place("one.1") < place("two.1"), "{:?}", events(&answer));
}

fn the_words_of_a_question_are_not_what_is_looked_for(world: &World) {
    world.session("s", start(), &["what did you do there", "the backup runs at night"]);
    let answer = ask(world, &SearchRequest::text("When does the backup run?"));
    assert_eq!(events(&answer), ["s.1"]);
    assert!(answer.hits[0].complete);
    assert_eq!(events(&ask(world, &SearchRequest::text("what did you do"))), ["s.0"], "unless there are no others");
}

fn a_named_day_finds_the_session_of_that_day(world: &World) {
    // Sessions of this world begin on 22 November 2026.
    world.session("one", start(), &["deploy the website"]);
    let answer = ask(world, &by_session("deploy in November"));
    assert_eq!(sessions(&answer), ["one"]);
}

/// Knows how near each event is, by its id.
struct Told {
    near: Vec<Near>,
    fails: bool,
    through: i64,
}

impl Meaning for Told {
    fn nearest(&self, limit: usize, through: i64) -> Result<Vec<Near>> {
        if self.fails {
            return Err(Fault::unavailable("the model is away").hint("session-buddy models pull"));
        }
        Ok(self.near.iter().copied().filter(|one| one.seq <= through).take(limit).collect())
    }

    fn of(&self, events: &[Seen<'_>]) -> Result<Vec<Near>> {
        Ok(self.near.iter().copied().filter(|near| events.iter().any(|event| event.seq == near.seq)).collect())
    }

    fn through(&self) -> i64 {
        self.through
    }
}

/// Nearness by text, for events in the order in which they were stored.
fn told(world: &World, near: &[(&str, f32)]) -> Told {
    let near: HashMap<&str, f32> = near.iter().copied().collect();
    let texts = world.store.texts_after(0, 1000, 1 << 20).unwrap().texts;
    let mut near: Vec<Near> =
        texts.iter().filter_map(|one| Some(Near { seq: one.seq, cosine: *near.get(one.event_id.as_str())? })).collect();
    near.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    Told { near, fails: false, through: i64::MAX }
}

fn meaning_finds_what_words_do_not_and_words_keep_what_they_find(world: &World) {
    world.session("s", start(), &["the vehicle would not start", "buy milk", "car wash opening hours"]);
    let told = told(world, &[("s.0", 0.8), ("s.1", 0.05), ("s.2", 0.3)]);
    let hybrid = SearchRequest { mode: SearchMode::Hybrid, ..SearchRequest::text("car trouble") };
    let answer = world.store.search(&hybrid, Some(&told)).unwrap();
    assert_eq!(answer.mode, SearchMode::Hybrid);
    assert!(events(&answer)[..2].contains(&"s.0") && events(&answer)[..2].contains(&"s.2"), "{:?}", events(&answer));
    let semantic = SearchRequest { mode: SearchMode::Semantic, ..hybrid };
    let answer = world.store.search(&semantic, Some(&told)).unwrap();
    // "buy milk" has nothing to do with it.
    assert_eq!((answer.mode, events(&answer)), (SearchMode::Semantic, vec!["s.0", "s.2"]));
    let answer = world.store.search(&SearchRequest { by: Granularity::Session, ..semantic }, Some(&told)).unwrap();
    assert_eq!((sessions(&answer), events(&answer)), (vec!["s"], vec!["s.0"]));
}

fn events_without_vectors_are_told_of(world: &World) {
    let texts: Vec<String> = (0..1_200).map(|n| format!("routine entry {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    world.session("s", start(), &texts);
    let mut told = told(world, &[("s.0", 0.8), ("s.1", 0.7)]);
    let newest = world.store.newest_seq().unwrap();
    for (mode, through, note) in [
        (SearchMode::Semantic, newest, None),
        (
            SearchMode::Semantic,
            newest - 1,
            Some("the newest events have no vectors yet, so they are not found by meaning"),
        ),
        (SearchMode::Hybrid, newest - 1, None),
        (SearchMode::Hybrid, newest - 1_000, Some("the newest events have no vectors yet, so only their words count")),
    ] {
        told.through = through;
        let answer =
            world.store.search(&SearchRequest { mode, ..SearchRequest::text("routine") }, Some(&told)).unwrap();
        assert_eq!((answer.mode, answer.note.as_deref()), (mode, note), "{through} of {newest}");
        assert_eq!(answer.candidates == Candidates::Nearest { ranked: 2 }, mode == SearchMode::Semantic);
    }
}

fn what_a_word_was_read_as_is_not_told_where_words_do_not_count(world: &World) {
    world.session("s", start(), &["search the database"]);
    let told = told(world, &[("s.0", 0.8)]);
    for (mode, note) in [(SearchMode::Semantic, None), (SearchMode::Hybrid, Some("\"serch\" read as \"search\""))] {
        let answer = world.store.search(&SearchRequest { mode, ..SearchRequest::text("serch") }, Some(&told)).unwrap();
        assert_eq!((events(&answer), answer.note.as_deref()), (vec!["s.0"], note));
    }
}

fn meaning_that_fails_leaves_the_words_and_says_so(world: &World) {
    world.session("s", start(), &["buy milk"]);
    let hybrid = SearchRequest { mode: SearchMode::Hybrid, ..SearchRequest::text("milk") };
    let told = Told { near: Vec::new(), fails: true, through: i64::MAX };
    for meaning in [Some(&told as &dyn Meaning), None] {
        let answer = world.store.search(&hybrid, meaning).unwrap();
        assert_eq!((answer.mode, events(&answer)), (SearchMode::Text, vec!["s.0"]));
        let note = answer.note.unwrap();
        assert!(note.contains("text search answered"), "{note}");
        assert_eq!(note.contains("session-buddy models pull"), meaning.is_some(), "{note}");
    }
}

fn hits_by_meaning_are_never_outside_the_filter(world: &World) {
    world.session("mine", start_in("mine", "/m"), &["a secret plan"]);
    world.session("other", start_in("other", "/o"), &["a secret plan"]);
    // A meaning that does not keep to the filter is not believed.
    let told = told(world, &[("mine.0", 0.5), ("other.0", 0.9)]);
    for mode in [SearchMode::Hybrid, SearchMode::Semantic] {
        let filter = SearchFilter { project: Some("mine".into()), ..SearchFilter::default() };
        let request = SearchRequest { mode, ..SearchRequest::text("plan").within(filter) };
        assert_eq!(events(&world.store.search(&request, Some(&told)).unwrap()), ["mine.0"]);
        let one = SearchFilter { session: Some("mine".into()), ..SearchFilter::default() };
        let request = SearchRequest { mode, ..SearchRequest::text("plan").within(one) };
        assert_eq!(events(&world.store.search(&request, Some(&told)).unwrap()), ["mine.0"]);
    }
}

fn slips_and_parts_of_words_are_read_as_words_that_exist(world: &World) {
    world.session("s", start(), &["search the database", "restart postgresql"]);
    for (query, read, found) in [
        ("serch", "\"serch\" read as \"search\"", "s.0"),
        ("seacrh", "\"seacrh\" read as \"search\"", "s.0"),
        ("tabase", "\"tabase\" read as \"database\"", "s.0"),
        ("gresql", "\"gresql\" read as \"postgresql\"", "s.1"),
    ] {
        let answer = ask(world, &SearchRequest::text(query));
        assert_eq!(events(&answer), [found], "{query}");
        assert_eq!(answer.note.as_deref(), Some(read));
    }
    let answer = ask(world, &SearchRequest::text("serch database"));
    assert!(answer.hits[0].complete && answer.note.unwrap().contains("search"));
}

fn a_word_that_is_there_is_never_read_as_another(world: &World) {
    world.session("s", start(), &["form a line", "from here", "from there"]);
    let answer = ask(world, &SearchRequest::text("form"));
    assert_eq!(events(&answer), ["s.0"]);
    assert_eq!(answer.note, None);
    assert!(ask(world, &SearchRequest::text("\"serch\"")).hits.is_empty());
    assert!(ask(world, &SearchRequest::text("zzzz")).hits.is_empty());
}

fn archived_events_are_found_when_they_are_asked_for(world: &World) {
    world.session("old", start(), &["needle in hay"]);
    world.put("old", vec![end("old.end", 5.0, "ended", 5.0)]);
    world.session("new", start(), &["needle and thread"]);
    archive(&*world.store, &ArchiveRule { before: at(50.0), project: None }, &mut |_, _| {}).unwrap();
    assert_eq!(events(&ask(world, &SearchRequest::text("needle"))), ["new.0"]);
    let filter = SearchFilter { archived: true, ..SearchFilter::default() };
    let mut found = ask(world, &SearchRequest::text("needle").within(filter.clone()));
    found.hits.sort_by(|a, b| a.event_id.cmp(&b.event_id));
    assert_eq!(events(&found), ["new.0", "old.0"]);
    let narrow = SearchFilter { project: Some("engine".into()), session: Some("old".into()), ..filter };
    assert_eq!(events(&ask(world, &SearchRequest::text("needle").within(narrow))), ["old.0"]);
}
