//! What a search leaves out, because of its filter, the archive or an exclusion, neither hides what it finds nor decides how
//! its words are read.

use session_store::upkeep::{ArchiveRule, archive};
use session_store::{Candidates, SearchAnswer, SearchFilter, SearchMode, SearchRequest};

use crate::world::{World, at, command, end, event, start};

on_every_store!(
    archived_events_crowd_no_live_ones_out,
    words_of_the_archive_are_not_read_into_a_query,
    words_of_another_time_are_not_read_into_a_query,
    a_word_that_a_long_session_holds_is_read_as_it_is_written,
    words_of_other_sessions_do_not_decide_what_a_session_is_asked_for,
    a_word_that_is_held_where_something_is_excluded_is_not_lost,
    an_archived_session_that_is_asked_for_is_told_of,
    sessions_whose_start_is_not_there_are_found_as_unknown,
    what_most_texts_lose_in_the_end_does_not_keep_a_search_busy,
    a_session_too_long_to_be_read_whole_says_so,
);

fn put(world: &World, session: &str, seconds: f64, texts: &[String]) {
    world.put(session, vec![event(&format!("{session}.start"), "session_start", seconds, start())]);
    for (chunk, some) in texts.chunks(1_000).enumerate() {
        let number = |n: usize| chunk * 1_000 + n;
        let events =
            some.iter().enumerate().map(|(n, text)| command(&format!("{session}.{}", number(n)), seconds, text));
        assert!(world.put(session, events.collect()).rejected.is_empty());
    }
}

fn put_away(world: &World, session: &str) {
    world.put(session, vec![end(&format!("{session}.end"), 5.0, "ended", 5.0)]);
    archive(&*world.store, &ArchiveRule { before: at(50.0), project: None }, &mut |_, _| {}).unwrap();
}

fn times(text: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{text} {n}")).collect()
}

fn ask(world: &World, query: &str, filter: &SearchFilter) -> SearchAnswer {
    world.search_in(query, filter)
}

fn ids(answer: &SearchAnswer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.event_id.as_str()).collect()
}

fn learn_all(world: &World) {
    while world.store.learn_words().unwrap() > 0 {}
}

fn within(session: &str) -> SearchFilter {
    SearchFilter { session: Some(session.into()), ..SearchFilter::default() }
}

fn archived_events_crowd_no_live_ones_out(world: &World) {
    put(world, "live", 0.0, &times("zebra report", 5));
    put(world, "away", 0.0, &times("zebra stripe", 1_680));
    put_away(world, "away");
    for (query, found) in [("zebra", 5), ("report zebra", 5), ("zebar", 5), ("ebra", 5), ("stripe", 0)] {
        let answer = ask(world, query, &SearchFilter::default());
        assert_eq!(answer.hits.len(), found, "{query}: {:?}", answer.note);
        assert!(ids(&answer).iter().all(|id| id.starts_with("live")), "{query}");
        assert_eq!(answer.candidates, Candidates::Exact { count: found as u64 }, "{query}");
    }
    let both = SearchFilter { archived: true, ..SearchFilter::default() };
    let answer = ask(world, "zebra", &both);
    assert!(matches!(answer.candidates, Candidates::Newest { ranked: 1_500, about } if about > 1_600));
    let answer = ask(world, "stripe", &both);
    assert_eq!(answer.hits.len(), 10);
}

fn words_of_the_archive_are_not_read_into_a_query(world: &World) {
    put(world, "live", 0.0, &times("a cart", 1));
    put(world, "away", 0.0, &[times("a card", 4), times("the changa chimichangaville", 1)].concat());
    put(world, "new", 0.0, &times("changa", 1));
    let read = |query: &str, filter: &SearchFilter| {
        let answer = ask(world, query, filter);
        (ids(&answer).into_iter().map(str::to_owned).collect::<Vec<_>>(), answer.note.unwrap_or_default())
    };
    let (_, note) = read("carf", &SearchFilter::default());
    assert_eq!(note, "\"carf\" read as \"card\"");
    put_away(world, "away");
    for _ in 0..2 {
        let (found, note) = read("carf", &SearchFilter::default());
        assert_eq!((found, note.as_str()), (vec!["live.0".to_owned()], "\"carf\" read as \"cart\""));
        let (found, note) = read("anga", &SearchFilter::default());
        assert_eq!((found, note.as_str()), (vec!["new.0".to_owned()], "\"anga\" read as \"changa\""));
        let both = SearchFilter { archived: true, ..SearchFilter::default() };
        assert_eq!(read("carf", &both).1, "\"carf\" read as \"card\"");
        learn_all(world);
    }
}

fn words_of_another_time_are_not_read_into_a_query(world: &World) {
    put(world, "before", 0.0, &[times("a card", 4), times("the changa chimichangaville", 1)].concat());
    put(world, "now", 100.0, &[times("a cart", 1), times("changa", 1)].concat());
    put(world, "after", 200.0, &times("a carp", 6));
    let since = SearchFilter { since: Some(at(50.0)), until: Some(at(150.0)), ..SearchFilter::default() };
    for learnt in [false, true] {
        if learnt {
            learn_all(world);
        }
        for (query, found, read) in [("carf", "now.0", "\"cart\""), ("anga", "now.1", "\"changa\"")] {
            let answer = ask(world, query, &since);
            assert_eq!(ids(&answer), [found], "{query}: {:?}", answer.note);
            assert_eq!(answer.note.unwrap(), format!("\"{query}\" read as {read}"));
        }
        // Beside it, everything is as it was.
        assert_eq!(ask(world, "carf", &SearchFilter::default()).note.unwrap(), "\"carf\" read as \"carp\"");
    }
}

fn a_word_that_a_long_session_holds_is_read_as_it_is_written(world: &World) {
    let long = "filler ".repeat(900_000 / 7);
    let texts = ["cart here".to_owned(), long.clone(), long.clone(), long, "the cartridge".to_owned()];
    put(world, "long", 0.0, &texts);
    let texts = [times("a wagon", 1), times("routine", 4_100), times("the wagonette", 1)].concat();
    put(world, "many", 0.0, &texts);
    for (session, query, found) in [("long", "cart", "long.0"), ("many", "wagon", "many.0")] {
        let answer = ask(world, query, &within(session));
        assert_eq!(ids(&answer), [found], "{query}: {:?}", answer.note);
        assert_eq!(answer.note, None);
    }
    // What it does not hold is mended.
    for (session, query, found) in [("long", "cartridg", "long.4"), ("many", "wagonnette", "many.4101")] {
        assert_eq!(ids(&ask(world, query, &within(session))), [found], "{query}");
    }
}

fn words_of_other_sessions_do_not_decide_what_a_session_is_asked_for(world: &World) {
    put(world, "mine", 0.0, &["the scarlet box".to_owned(), "redeployed the site".to_owned()]);
    let answers = || -> Vec<(Vec<String>, Option<String>)> {
        let asked = ["car", "deploy", "car box", "site", "deploy the car"].into_iter();
        asked
            .map(|query| ask(world, query, &within("mine")))
            .map(|answer| (ids(&answer).into_iter().map(str::to_owned).collect(), answer.note))
            .collect()
    };
    let alone = answers();
    let found: Vec<&str> = alone.iter().map(|(ids, _)| ids.first().map_or("", String::as_str)).collect();
    assert_eq!(found, ["mine.0", "mine.1", "mine.0", "mine.1", "mine.1"]);
    put(world, "theirs", 0.0, &[times("a car", 1), times("deploy", 2_100)].concat());
    assert_eq!(answers(), alone, "not learnt yet");
    learn_all(world);
    assert_eq!(answers(), alone);
}

fn a_word_that_is_held_where_something_is_excluded_is_not_lost(world: &World) {
    let texts = ["deploy nightly build", "deploy nightly again", "the redeployment went well", "other"];
    put(world, "s", 0.0, &texts.map(str::to_owned));
    let scoped = SearchFilter { component: Some("mahavishnu".into()), ..SearchFilter::default() };
    let timed = SearchFilter { since: Some(at(-1.0)), ..SearchFilter::default() };
    for filter in [SearchFilter::default(), scoped, timed, within("s")] {
        for query in ["deploy -nightly", "deploy -night*", "deploy -\"deploy nightly\""] {
            let answer = ask(world, query, &filter);
            assert!(answer.hits.is_empty(), "{query}: {:?} {filter:?}", answer.note);
            assert_eq!(answer.note, None, "{query}");
        }
        // A slip is read as words that stand where nothing is excluded.
        let answer = ask(world, "redeploymnet -nightly", &filter);
        assert_eq!(ids(&answer), ["s.2"]);
        assert!(ask(world, "agian -nightly", &filter).hits.is_empty());
    }
}

fn an_archived_session_that_is_asked_for_is_told_of(world: &World) {
    put(world, "away", 0.0, &times("a card", 4));
    put(world, "live", 0.0, &times("a card", 1));
    let note = |query: &str, filter: SearchFilter, mode: SearchMode| {
        let request = SearchRequest { mode, ..SearchRequest::text(query).within(filter) };
        let answer = world.store.search(&request, None).unwrap();
        (answer.hits.len(), answer.note.unwrap_or_default())
    };
    assert_eq!(note("card", within("away"), SearchMode::Text), (4, String::new()));
    put_away(world, "away");
    for query in ["card", "carf"] {
        let (hits, said) = note(query, within("away"), SearchMode::Text);
        assert_eq!(
            (hits, said.as_str()),
            (0, "session away is in the archive, which is searched only when it is asked for (archived)"),
            "{query}"
        );
    }
    assert_eq!(note("card", within("live"), SearchMode::Text), (1, String::new()));
    let both = SearchFilter { archived: true, ..within("away") };
    assert_eq!(note("card", both, SearchMode::Text), (4, String::new()));
}

fn sessions_whose_start_is_not_there_are_found_as_unknown(world: &World) {
    world.put("lost", vec![command("lost.0", 1.0, "needle in hay"), command("lost.1", 2.0, "the haystack")]);
    put(world, "known", 0.0, &times("needle", 1_700));
    let unknown = || Some("unknown".to_owned());
    let any = SearchFilter::default;
    let component = SearchFilter { component: unknown(), ..any() };
    for filter in [
        component.clone(),
        SearchFilter { session_type: unknown(), ..any() },
        SearchFilter { session_type: unknown(), since: Some(at(0.5)), ..component.clone() },
    ] {
        for (query, found) in [("needle", "lost.0"), ("hay needle", "lost.0"), ("haystakc", "lost.1")] {
            let answer = ask(world, query, &filter);
            assert_eq!(ids(&answer).first(), Some(&found), "{query} {filter:?}: {:?}", answer.note);
            assert!(ids(&answer).iter().all(|id| id.starts_with("lost")), "{query}");
        }
    }
    for filter in [
        SearchFilter { project: unknown(), ..any() },
        SearchFilter { event_type: unknown(), ..any() },
        SearchFilter { component: Some("mahavishnu".into()), session_type: unknown(), ..any() },
    ] {
        assert!(ask(world, "needle", &filter).hits.is_empty(), "{filter:?}");
    }
    // Once the start has come, it is of what that says.
    world.put("lost", vec![event("lost.start", "session_start", 0.0, start())]);
    assert!(ask(world, "needle", &component).hits.is_empty());
    let session = within("lost");
    assert_eq!(ids(&ask(world, "needle", &session)), ["lost.0"]);
}

fn what_most_texts_lose_in_the_end_does_not_keep_a_search_busy(world: &World) {
    // The index finds more than are ranked; a phrase that all hold is excluded by the texts alone.
    put(world, "s", 0.0, &times("deploy the nightly build", 2_000));
    let answer = ask(world, "deploy zebra -\"nightly build\"", &SearchFilter::default());
    assert!(answer.hits.is_empty());
    let scoped = SearchFilter { component: Some("mahavishnu".into()), ..SearchFilter::default() };
    assert!(ask(world, "deploy zebra -\"nightly build\"", &scoped).hits.is_empty());
}

fn a_session_too_long_to_be_read_whole_says_so(world: &World) {
    let long = "filler ".repeat(900_000 / 7);
    let texts: Vec<String> = (0..7).map(|n| format!("needle {n} {long}")).collect();
    put(world, "long", 0.0, &texts);
    let answer = ask(world, "needle", &within("long"));
    let Candidates::AtLeast { count } = answer.candidates else { panic!("{:?}", answer.candidates) };
    assert!((4..7).contains(&count) && answer.hits.len() as u64 == count);
    assert_eq!(answer.note.unwrap(), format!("the newest {count} events of the session were searched"));
}
