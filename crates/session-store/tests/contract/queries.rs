use oneiric::event::Event;
use oneiric::fault::FaultKind;
use oneiric::id::SessionId;
use serde_json::json;
use session_store::{EventFilter, Page, SessionFilter, SessionPlace, SessionStatus};

use crate::world::{World, at, command, end, event, start, start_in, start_of};

on_every_store!(
    sessions_come_newest_first_and_page_by_page,
    each_filter_and_all_together_narrow_the_list,
    an_id_or_its_beginning_names_a_session,
    an_unknown_id_is_answered_with_the_nearest,
    events_of_a_session_come_by_time_then_sequence_then_arrival,
    events_of_all_sessions_come_newest_first_also_of_one_type,
    a_list_goes_on_behind_a_place_whatever_arrives_meanwhile,
    odd_pages_are_answered,
);

fn ids(world: &World, filter: &SessionFilter, page: Page) -> Vec<String> {
    world.store.sessions(filter, page).unwrap().into_iter().map(|session| session.session_id).collect()
}

fn begun(world: &World, id: &str, seconds: f64, start: serde_json::Value) {
    world.put(id, vec![event(&format!("{id}.start"), "session_start", seconds, start)]);
}

fn sessions_come_newest_first_and_page_by_page(world: &World) {
    for (id, seconds) in [("b", 2.0), ("d", 4.0), ("a", 1.0), ("c", 3.0)] {
        begun(world, id, seconds, start());
    }
    let all = SessionFilter::default();
    assert_eq!(ids(world, &all, Page::first(10)), ["d", "c", "b", "a"]);
    assert_eq!(ids(world, &all, Page { limit: 2, offset: 1 }), ["c", "b"]);
    assert!(ids(world, &all, Page { limit: 2, offset: 9 }).is_empty());
}

fn each_filter_and_all_together_narrow_the_list(world: &World) {
    begun(world, "a", 1.0, start_of("mahavishnu", "admin_shell"));
    begun(world, "b", 2.0, start_of("session-buddy", "mcp_client"));
    begun(world, "c", 3.0, start_in("website", "/home/ada/site"));
    world.put("c", vec![end("c.end", 9.0, "failed", 6.0)]);
    let any = SessionFilter::default;
    for (filter, wanted) in [
        (SessionFilter { session_type: Some("mcp_client".into()), ..any() }, vec!["b"]),
        (SessionFilter { component: Some("mahavishnu".into()), ..any() }, vec!["c", "a"]),
        (SessionFilter { status: Some(SessionStatus::Active), ..any() }, vec!["b", "a"]),
        (SessionFilter { status: Some(SessionStatus::Failed), ..any() }, vec!["c"]),
        (SessionFilter { project: Some("website".into()), ..any() }, vec!["c"]),
        (SessionFilter { repository: Some("/home/ada/work/.git".into()), ..any() }, vec!["c", "b", "a"]),
        (SessionFilter { worktree: Some("/home/ada/work".into()), ..any() }, vec!["b", "a"]),
        (SessionFilter { since: Some(at(2.0)), ..any() }, vec!["c", "b"]),
        (SessionFilter { until: Some(at(2.0)), ..any() }, vec!["a"]),
        (SessionFilter { project: Some("' OR 1=1 --".into()), ..any() }, vec![]),
        (
            SessionFilter {
                session_type: Some("admin_shell".into()),
                component: Some("mahavishnu".into()),
                status: Some(SessionStatus::Failed),
                project: Some("website".into()),
                repository: Some("/home/ada/work/.git".into()),
                worktree: Some("/home/ada/site".into()),
                since: Some(at(0.0)),
                until: Some(at(10.0)),
                ..any()
            },
            vec!["c"],
        ),
    ] {
        assert_eq!(ids(world, &filter, Page::first(10)), wanted, "{filter:?}");
    }
}

fn an_id_or_its_beginning_names_a_session(world: &World) {
    for id in ["abc-1", "abc-2", "abd-1", "abc"] {
        begun(world, id, 1.0, start());
    }
    assert_eq!(world.get("abd").session_id, "abd-1");
    assert_eq!(world.get("abc").session_id, "abc", "an exact id is no beginning");
    let fault = world.store.session("abc-").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::User);
    assert!(fault.message().contains("abc-1, abc-2"), "{fault}");
    assert!(world.store.session_exists(&SessionId::parse("abc-1").unwrap()).unwrap());
    assert!(!world.store.session_exists(&SessionId::parse("abc-").unwrap()).unwrap());
    assert_eq!(world.store.resolve("abd-").unwrap().as_str(), "abd-1");
}

fn an_unknown_id_is_answered_with_the_nearest(world: &World) {
    let fault = world.store.session("xyz").unwrap_err();
    assert_eq!((fault.kind(), fault.message()), (FaultKind::NotFound, "Invalid session ID 'xyz'"));
    assert!(fault.advice().unwrap().contains("no sessions"));
    for id in ["0190-aaaa", "0190-aabb", "0190-ffff", "zebra", "0777-aaaa"] {
        begun(world, id, 1.0, start());
    }
    let fault = world.store.session("0190-aaab").unwrap_err();
    assert_eq!(fault.advice().unwrap(), "the nearest are: 0190-aaaa, 0190-aabb, 0190-ffff");
    for wanted in ["", " ", "%", "a b", "\u{1b}[31m", &"x".repeat(5000), "0190*", "東京"] {
        let fault = world.store.session(wanted).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::NotFound, "{wanted:?}");
        assert!(!fault.to_string().contains('\u{1b}'));
    }
}

fn events_of_a_session_come_by_time_then_sequence_then_arrival(world: &World) {
    let with = |id: &str, seconds: f64, sequence: Option<u64>| Event { sequence, ..command(id, seconds, "x") };
    world.put("s", vec![with("f", 2.0, None), with("d", 1.0, Some(10)), with("c", 1.0, Some(9)), with("a", 1.0, None)]);
    world.put("s", vec![with("b", 1.0, None), with("e", 1.0, Some(11))]);
    assert_eq!(world.event_ids("s"), ["a", "b", "c", "d", "e", "f"]);
    let filter = EventFilter { session: Some("s".into()), ..EventFilter::default() };
    let page: Vec<String> =
        world.store.events(&filter, Page { limit: 2, offset: 3 }).unwrap().into_iter().map(|e| e.event_id).collect();
    assert_eq!(page, ["d", "e"]);
    let row = &world.events("s")[2];
    assert_eq!((row.sequence, row.data["command"].as_str(), row.session_id.as_str()), (Some(9), Some("x"), "s"));
    assert!(row.received_at >= at(0.0));
}

fn events_of_all_sessions_come_newest_first_also_of_one_type(world: &World) {
    world.put("s1", vec![command("a", 5.0, "x"), event("b", "error", 1.0, json!({}))]);
    world.put(
        "s2",
        vec![command("c", 2.0, "x"), event("d", "checkpoint", 3.0, json!({})), event("e", "error", 0.0, json!({}))],
    );
    let list = |event_type: Option<&str>, session: Option<&str>| {
        let filter = EventFilter {
            session: session.map(Into::into),
            event_type: event_type.map(Into::into),
            ..EventFilter::default()
        };
        let rows = world.store.events(&filter, Page::first(10)).unwrap();
        rows.into_iter().map(|row| row.event_id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None), ["e", "d", "c", "b", "a"]);
    assert_eq!(list(Some("error"), None), ["e", "b"]);
    assert_eq!(list(Some("error"), Some("s1")), ["b"]);
    assert!(list(Some("nonsense"), None).is_empty());
    assert!(list(Some("\" OR \""), None).is_empty());
    let missing = EventFilter { session: Some("nope".into()), ..EventFilter::default() };
    assert!(world.store.events(&missing, Page::first(1)).unwrap_err().message().starts_with("Invalid session ID"));
}

fn a_list_goes_on_behind_a_place_whatever_arrives_meanwhile(world: &World) {
    for (id, second) in [("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 2.0), ("e", 3.0)] {
        begun(world, id, second, start());
    }
    let mut filter = SessionFilter::default();
    let mut seen = Vec::new();
    while let [session] = world.store.sessions(&filter, Page::first(1)).unwrap().as_slice() {
        seen.push(session.session_id.clone());
        filter.after = Some(SessionPlace { start_time: session.start_time, session_id: session.session_id.clone() });
        // Newer than every place, so it belongs to no later page.
        begun(world, &format!("new-{}", seen.len()), 10.0 + seen.len() as f64, start());
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    let gone = SessionPlace { start_time: at(2.0), session_id: "gone".into() };
    assert_eq!(
        ids(world, &SessionFilter { after: Some(gone), ..SessionFilter::default() }, Page::first(9)),
        ["d", "c", "b", "a"]
    );

    let unordered = |id: &str, second: f64| oneiric::event::Event { sequence: None, ..command(id, second, "x") };
    world.put("e", vec![unordered("e1", 5.0), unordered("e2", 5.0), command("e3", 5.0, "x"), command("e0", 4.0, "x")]);
    for (session, wanted) in
        [(Some("e"), vec!["e.start", "e0", "e1", "e2", "e3"]), (None, vec!["e0", "e3", "e2", "e1"])]
    {
        for event_type in [None, Some("command")] {
            let mut filter = EventFilter {
                session: session.map(Into::into),
                event_type: event_type.map(Into::into),
                ..EventFilter::default()
            };
            let mut seen = Vec::new();
            let read =
                |filter: &EventFilter| world.store.events_that_fit(filter, Page::first(1), &mut |_| true).unwrap();
            loop {
                let (events, place) = read(&filter);
                seen.push(events[0].event_id.clone());
                filter.after = place;
                if place.is_none() {
                    break;
                }
                let number = seen.len();
                world.put(
                    "other",
                    vec![command(&format!("more-{}-{}-{number}", session.is_some(), event_type.is_some()), 1.0, "x")],
                );
            }
            let wanted: Vec<&str> =
                wanted.iter().copied().filter(|id| event_type.is_none() || !id.ends_with("start")).collect();
            let ours: Vec<&String> = seen.iter().filter(|id| id.starts_with('e')).collect();
            assert_eq!(ours[..wanted.len()], wanted, "{session:?} {event_type:?}");
            let mut once = seen.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), seen.len(), "nothing comes twice: {seen:?}");
        }
    }
}

fn odd_pages_are_answered(world: &World) {
    begun(world, "a", 1.0, start());
    for page in [Page::first(0), Page { limit: usize::MAX, offset: usize::MAX }, Page { limit: 1, offset: usize::MAX }]
    {
        assert!(ids(world, &SessionFilter::default(), page).is_empty());
        assert!(world.store.events(&EventFilter::default(), page).unwrap().is_empty());
    }
    assert_eq!(ids(world, &SessionFilter::default(), Page::first(usize::MAX)).len(), 1);
}
