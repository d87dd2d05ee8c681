//! What is written by hand, links, and the brief that is made of a session.

use std::sync::Barrier;

use oneiric::event::Event;
use oneiric::fault::FaultKind;
use oneiric::repository::RepositoryIdentity;
use serde_json::json;
use session_store::brief::{self, MIN_TOKENS};
use session_store::links::{self, LinkKind};
use session_store::remember::{Checkpoint, Hand, Here, Scribe, TestOutcome, TestResult};
use session_store::{Page, SessionFilter, SessionStatus, Store};

use crate::world::{World, at, command, end, event, start, start_in};

on_every_store!(
    a_message_goes_to_the_session_of_that_id_or_beginning,
    a_message_to_a_project_goes_to_its_newest_active_session,
    a_message_to_a_project_without_an_active_session_opens_one,
    a_session_is_opened_with_what_it_is_opened_for,
    what_several_write_at_once_opens_one_session,
    nothing_is_opened_for_what_cannot_be_stored,
    a_message_to_an_id_that_nothing_has_opens_nothing,
    an_empty_or_endless_message_is_refused,
    a_message_after_the_end_changes_neither_end_nor_duration,
    a_message_is_found_and_holds_no_secret,
    test_results_out_of_range_are_refused,
    a_checkpoint_goes_to_the_session_of_its_tree,
    all_links_of_a_session_are_known,
    both_sides_see_a_link_once_and_may_take_it_away,
    a_brief_names_what_is_not_solved_and_cites_every_line,
    a_failure_stands_until_the_same_worked_in_the_same_directory,
    failures_are_in_a_brief_before_what_went_well,
    what_a_brief_leaves_out_is_counted,
    a_brief_says_what_the_session_was_for_and_why_it_ended,
    a_brief_of_a_session_without_a_directory_names_none,
    what_others_wrote_stays_one_line_each_of_a_brief,
    a_brief_keeps_to_its_budget_and_is_the_same_each_time,
);

fn hand() -> Hand {
    Hand { username: "ada".into(), home: "/home/ada".into(), hostname: "box".into(), platform: "linux-x86_64".into() }
}

fn message(world: &World, to: &str, text: &str) -> Result<session_store::remember::Recorded, oneiric::fault::Fault> {
    let hand = hand();
    Scribe::new(world.store.as_ref(), &hand, at(100.0)).message(to, text, None, &Here::default())
}

fn git(branch: &str, commit: &str, dirty: bool) -> RepositoryIdentity {
    RepositoryIdentity {
        common_dir: "/home/ada/work/.git".into(),
        worktree: "/home/ada/work".into(),
        branch: Some(branch.into()),
        commit: Some(commit.into()),
        dirty: Some(dirty),
    }
}

fn a_message_goes_to_the_session_of_that_id_or_beginning(world: &World) {
    world.session("abc-1", start(), &["ls"]);
    for to in ["abc-1", "abc"] {
        let done = message(world, to, "a note").unwrap();
        assert_eq!((done.session_id.as_str(), done.opened), ("abc-1", false));
    }
    assert_eq!(world.get("abc-1").event_count, 4);
    world.session("abc-2", start(), &[]);
    assert_eq!(message(world, "abc", "whose?").unwrap_err().kind(), FaultKind::User);
}

fn a_message_to_a_project_goes_to_its_newest_active_session(world: &World) {
    world.session("shop-1", start_in("shop", "/a"), &[]);
    world.session("b", start_in("shop", "/b"), &[]);
    world.put("b", vec![end("b.end", 5.0, "ended", 5.0)]);
    assert_eq!(message(world, "shop", "Manual test passed").unwrap().session_id, "shop-1");
}

fn a_message_to_a_project_without_an_active_session_opens_one(world: &World) {
    let first = message(world, "my-project", "Manual test passed").unwrap();
    let second = message(world, "my-project", "and another").unwrap();
    assert!(first.opened && !second.opened);
    assert_eq!(first.session_id, second.session_id);
    let session = world.get(&first.session_id);
    assert_eq!((session.session_type.as_str(), session.project.as_deref()), ("manual", Some("my-project")));
    assert_eq!((session.status, session.event_count), (SessionStatus::Active, 3));
}

fn a_session_is_opened_with_what_it_is_opened_for(world: &World) {
    let before = world.store.counts().unwrap();
    let (hand, here) = (hand(), Here { cwd: None, repository: Some(git("main", "0123abcd", false)) });
    let scribe = Scribe::new(world.store.as_ref(), &hand, at(100.0));
    let opened = message(world, "my-project", "x").unwrap();
    let checked = scribe.checkpoint_here(&here, Checkpoint::default()).unwrap();
    for (recorded, kind) in [(opened, "message"), (checked, "checkpoint")] {
        assert!(recorded.opened);
        let events = world.events(&recorded.session_id);
        let kinds: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(kinds, ["session_start", kind]);
        assert_eq!(events[1].event_id, recorded.event_id);
    }
    assert_eq!(world.store.counts().unwrap().events_total(), before.events_total() + 4);
}

fn what_several_write_at_once_opens_one_session(world: &World) {
    let (hand, here) = (hand(), Here { cwd: None, repository: Some(git("main", "0123abcd", false)) });
    let ready = Barrier::new(16);
    let opened = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|number| {
                let (hand, here, ready) = (&hand, &here, &ready);
                scope.spawn(move || {
                    let scribe = Scribe::new(world.store.as_ref(), hand, at(100.0));
                    ready.wait();
                    let done = match number % 2 {
                        0 => scribe.message("my-project", "m", None, &Here::default()),
                        _ => scribe.checkpoint_here(here, Checkpoint::default()),
                    };
                    usize::from(done.unwrap().opened)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<usize>()
    });
    let sessions = world.store.sessions(&SessionFilter::default(), Page::first(100)).unwrap();
    assert_eq!((opened, sessions.len()), (2, 2), "one of the project, one of the repository: {sessions:?}");
    assert!(sessions.iter().all(|session| session.event_count == 9), "{sessions:?}");
}

fn nothing_is_opened_for_what_cannot_be_stored(world: &World) {
    let (hand, here) = (hand(), Here { cwd: None, repository: Some(git("main", "0123abcd", false)) });
    let todos = Some(vec!["x".repeat(200 * 1024); 10]);
    let large = Checkpoint { todos, ..Checkpoint::default() };
    let refused = Scribe::new(world.store.as_ref(), &hand, at(100.0)).checkpoint_here(&here, large).unwrap_err();
    assert_eq!(refused.kind(), FaultKind::User, "{refused}");
    assert!(world.store.sessions(&SessionFilter::default(), Page::first(10)).unwrap().is_empty());
}

fn a_message_to_an_id_that_nothing_has_opens_nothing(world: &World) {
    world.session("s1", start(), &[]);
    for to in ["019ab3f2", "01999999-0000-7000-8000-000000000000"] {
        assert_eq!(message(world, to, "lost").unwrap_err().kind(), FaultKind::NotFound, "{to}");
    }
    for to in ["", "  ", "a\nb", &"x".repeat(500)] {
        assert_eq!(message(world, to, "lost").unwrap_err().kind(), FaultKind::User, "{to:?}");
    }
    assert_eq!(world.store.sessions(&SessionFilter::default(), Page::first(10)).unwrap().len(), 1);
}

fn an_empty_or_endless_message_is_refused(world: &World) {
    world.session("s1", start(), &[]);
    for text in ["", " \n\t", &"x".repeat(300 * 1024)] {
        assert_eq!(message(world, "s1", text).unwrap_err().kind(), FaultKind::User);
    }
}

fn a_message_after_the_end_changes_neither_end_nor_duration(world: &World) {
    world.session("s1", crate::world::start_with_process(7), &["ls"]);
    world.store.mark_stale(&|_, _| oneiric::process::Liveness::Gone, at(50.0)).unwrap();
    let before = world.get("s1");
    assert_eq!(before.status, SessionStatus::Stale);
    message(world, "s1", "found why").unwrap();
    let after = world.get("s1");
    assert_eq!((after.end_time, after.duration_seconds), (before.end_time, before.duration_seconds));
    assert_eq!(after.event_count, before.event_count + 1);
}

fn a_message_is_found_and_holds_no_secret(world: &World) {
    message(world, "shop", "the payment gateway needs password=hunter2hunter2").unwrap();
    assert_eq!(world.found("gateway").len(), 1);
    let event = world.found("gateway").remove(0);
    let session = message(world, "shop", "second").unwrap().session_id;
    let stored = world.events(&session).into_iter().find(|one| one.event_id == event).unwrap();
    assert!(!stored.data["message"].as_str().unwrap().contains("hunter2"), "{stored:?}");
}

fn test_results_out_of_range_are_refused(world: &World) {
    world.session("s1", start(), &[]);
    let hand = hand();
    let scribe = Scribe::new(world.store.as_ref(), &hand, at(9.0));
    let result = TestResult {
        test_file: "tests/web.rs".into(),
        result: TestOutcome::Passed,
        coverage: Some(95.0),
        duration_ms: Some(1234.0),
        message: None,
    };
    let stored = scribe.test_result("s1", result.clone()).unwrap();
    let event = world.events("s1").into_iter().find(|one| one.event_id == stored.event_id).unwrap();
    assert_eq!((event.event_type.as_str(), event.data["result"].as_str()), ("test_result", Some("passed")));
    assert_eq!(event.data["coverage"].as_f64(), Some(95.0));
    for bad in [
        TestResult { coverage: Some(101.0), ..result.clone() },
        TestResult { coverage: Some(f64::NAN), ..result.clone() },
        TestResult { duration_ms: Some(-1.0), ..result.clone() },
        TestResult { test_file: String::new(), ..result.clone() },
    ] {
        assert_eq!(scribe.test_result("s1", bad).unwrap_err().kind(), FaultKind::User);
    }
    assert_eq!(scribe.test_result("nobody", result).unwrap_err().kind(), FaultKind::NotFound);
}

fn a_checkpoint_goes_to_the_session_of_its_tree(world: &World) {
    world.session("other", start_in("engine", "/home/ada/other"), &[]);
    world.session("mine", start(), &[]);
    let hand = hand();
    let scribe = Scribe::new(world.store.as_ref(), &hand, at(9.0));
    let here = |worktree: &str| Here {
        cwd: Some(worktree.into()),
        repository: Some(RepositoryIdentity { worktree: worktree.into(), ..git("main", "0123abcd", false) }),
    };
    let at_home = |place: &Here| scribe.checkpoint_here(place, Checkpoint::default()).unwrap();
    assert_eq!(at_home(&here("/home/ada/other")).session_id, "other");
    assert_eq!(at_home(&here("/home/ada/work")).session_id, "mine");
    let third = at_home(&here("/home/ada/third"));
    assert!(!third.opened, "another worktree's active session of the same repository takes it");
    assert_eq!(scribe.checkpoint_here(&Here::default(), Checkpoint::default()).unwrap_err().kind(), FaultKind::User);
}

fn all_links_of_a_session_are_known(world: &World) {
    world.session("hub", start(), &[]);
    let link = |count: u32, removed: bool| {
        let data = json!({ "kind": "relates", "to": format!("s{count}"), "removed": removed });
        event(&format!("l{count}{removed}"), "session_link", f64::from(count), data)
    };
    let made: Vec<Event> = (0..2_500).map(|count| link(count, false)).chain([link(2_499, true)]).collect();
    for events in made.chunks(500) {
        world.put("hub", events.to_vec());
    }
    let known = links::of(world.store.as_ref(), "hub").unwrap();
    assert_eq!((known.len(), known[0].session_id.as_str(), known[2_498].session_id.as_str()), (2_499, "s0", "s2498"));
}

fn both_sides_see_a_link_once_and_may_take_it_away(world: &World) {
    world.session("a1", start(), &[]);
    world.session("b1", start(), &[]);
    let store: &dyn Store = world.store.as_ref();
    for changed in [true, false] {
        assert_eq!(links::set(store, "a", "b", LinkKind::Continues, true, at(5.0)).unwrap().2, changed);
    }
    let (from, to) = (links::of(store, "a1").unwrap(), links::of(store, "b1").unwrap());
    assert_eq!((from.len(), from[0].session_id.as_str(), from[0].relation.as_str()), (1, "b1", "continues"));
    assert_eq!((to.len(), to[0].session_id.as_str(), to[0].relation.as_str()), (1, "a1", "continued by"));
    assert!(links::set(store, "a1", "b1", LinkKind::Continues, false, at(6.0)).unwrap().2);
    assert!(links::of(store, "a1").unwrap().is_empty() && links::of(store, "b1").unwrap().is_empty());
    assert_eq!(links::set(store, "a1", "a1", LinkKind::Relates, true, at(7.0)).unwrap_err().kind(), FaultKind::User);
    assert_eq!(
        links::set(store, "a1", "zz", LinkKind::Relates, true, at(7.0)).unwrap_err().kind(),
        FaultKind::NotFound
    );
}

fn failed(id: &str, seconds: f64, text: &str, error: &str) -> oneiric::event::Event {
    let data = json!({ "command": text, "kind": "cli", "exit_code": 101, "outcome": "failed", "error": error });
    event(id, "command", seconds, data)
}

/// A session with something of everything.
fn worked(world: &World) {
    world.session("s1", start(), &[]);
    world.put(
        "s1",
        vec![
            failed("e.mended", 1.0, "cargo build", "missing semicolon"),
            command("e.build", 2.0, "cargo build"),
            failed("e.broken", 3.0, "cargo test", "assertion `left == right` failed"),
            event("e.old", "test_result", 4.0, json!({ "test_file": "tests/a.rs", "result": "failed" })),
            event("e.new", "test_result", 5.0, json!({ "test_file": "tests/a.rs", "result": "passed" })),
            event("e.check", "checkpoint", 6.0, json!({ "note": "halfway", "todos": ["write docs"], "files": ["src/lib.rs"],
                "git": { "common_dir": "/g", "worktree": "/w", "branch": "main", "commit": "aaaabbbbccccddddeeee", "dirty": true } })),
            event("e.auto", "checkpoint", 7.0, json!({ "command_count": 3 })),
            event("e.says", "message", 8.0, json!({ "message": "the parser\n is next" })),
        ],
    );
    world.session("s2", start(), &[]);
    links::set(world.store.as_ref(), "s1", "s2", LinkKind::CausedBy, true, at(9.0)).unwrap();
}

fn a_brief_names_what_is_not_solved_and_cites_every_line(world: &World) {
    worked(world);
    let now = RepositoryIdentity { worktree: "/w".into(), ..git("feature", "bbbb", false) };
    let brief = brief::compose(world.store.as_ref(), "s1", Some(&now), 2_000).unwrap();
    let text = &brief.brief;
    let section = |name: &str| text.split("## ").find(|part| part.starts_with(name)).unwrap_or_default().to_owned();
    assert!(section("Not solved").contains("cargo test") && !section("Not solved").contains("cargo build"), "{text}");
    assert!(section("Tests").contains("tests/a.rs passed [e.new]") && !text.contains("e.old"), "{text}");
    assert!(section("To do").contains("write docs [e.check]"), "{text}");
    assert!(section("Messages").contains("the parser is next [e.says]"), "{text}");
    assert!(section("Linked").contains("caused by s2 (engine, active"), "{text}");
    assert!(text.contains("branch main at aaaabbbbcccc, uncommitted changes [e.check]"), "{text}");
    assert!(text.contains("Git now: branch feature at bbbb, clean"), "{text}");
    let known = world.event_ids("s1");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let cited = line.rsplit_once('[').and_then(|(_, id)| id.strip_suffix(']')).unwrap_or_default();
        assert!(known.iter().any(|id| id == cited), "{line}");
    }
    assert_eq!(brief.omitted, 0);
    let elsewhere = RepositoryIdentity { worktree: "/w2".into(), ..now };
    let brief = brief::compose(world.store.as_ref(), "s1", Some(&elsewhere), 2_000).unwrap().brief;
    assert!(!brief.contains("Git now"), "another working tree says nothing of this one: {brief}");
}

fn a_failure_stands_until_the_same_worked_in_the_same_directory(world: &World) {
    world.session("s1", start(), &[]);
    let ran = |id: &str, seconds: f64, text: &str, outcome: &str, cwd: &str| {
        event(id, "command", seconds, json!({ "command": text, "outcome": outcome, "cwd": cwd }))
    };
    world.put(
        "s1",
        vec![
            ran("e.1", 1.0, "make deploy", "failed", "/a"),
            ran("e.2", 2.0, "make deploy", "interrupted", "/a"),
            ran("e.3", 3.0, "cargo test", "failed", "/a"),
            ran("e.4", 4.0, "cargo test", "completed", "/b"),
            ran("e.5", 5.0, "cargo build", "failed", "/a"),
            ran("e.6", 6.0, "cargo build", "completed", "/a"),
        ],
    );
    let brief = brief::compose(world.store.as_ref(), "s1", None, 2_000).unwrap().brief;
    let open = brief.split("## ").find(|part| part.starts_with("Not solved")).unwrap_or_default();
    assert!(open.contains("[e.1]") && open.contains("[e.3]") && !open.contains("[e.5]"), "{brief}");
}

/// A failed command, then errors, then tests of which the first five failed.
fn went_wrong(world: &World) {
    world.session("s1", start(), &[]);
    let errors =
        (0..40).map(|n| event(&format!("e{n}"), "error", 2.0 + n as f64, json!({ "message": format!("no {n}") })));
    let tests = (0..30).map(|n| {
        let result = if n < 5 { ["failed", "error"][n % 2] } else { "passed" };
        let data = json!({ "test_file": format!("tests/{n}.rs"), "result": result });
        event(&format!("t{n}"), "test_result", 50.0 + n as f64, data)
    });
    let ran = failed("e.broken", 1.0, "cargo test", "assertion failed");
    world.put("s1", [ran].into_iter().chain(errors).chain(tests).collect());
}

fn failures_are_in_a_brief_before_what_went_well(world: &World) {
    went_wrong(world);
    let whole = brief::compose(world.store.as_ref(), "s1", None, 10_000).unwrap();
    for id in world.event_ids("s1") {
        assert!(whole.brief.contains(&format!("[{id}]")), "{id}: {}", whole.brief);
    }
    assert_eq!(whole.omitted, 0);
    let small = brief::compose(world.store.as_ref(), "s1", None, 250).unwrap();
    for id in ["e.broken", "t0", "t1", "t2", "t3", "t4", "e39", "e37"] {
        assert!(small.brief.contains(&format!("[{id}]")), "{id}: {}", small.brief);
    }
    for id in ["e0", "t5"] {
        assert!(!small.brief.contains(&format!("[{id}]")), "{id}: {}", small.brief);
    }
}

fn what_a_brief_leaves_out_is_counted(world: &World) {
    went_wrong(world);
    let lines = |budget| {
        let brief = brief::compose(world.store.as_ref(), "s1", None, budget).unwrap();
        let shown = brief.brief.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")).count();
        (shown, brief.omitted)
    };
    let (all, none) = lines(100_000);
    let (shown, omitted) = lines(250);
    assert_eq!((none, shown + omitted), (0, all));
}

fn a_brief_says_what_the_session_was_for_and_why_it_ended(world: &World) {
    let mut data = start();
    data["metadata"]["note"] = json!("try the\n new parser");
    let ends = [
        (json!({ "status": "failed", "reason": "exit", "note": "it is too slow" }), "It failed: it is too slow"),
        (json!({ "reason": "cancelled", "note": "not needed" }), "It ended (cancelled): not needed"),
        (json!({ "reason": "logout" }), "It ended: logout"),
    ];
    for (number, (end, told)) in ends.into_iter().enumerate() {
        let id = format!("s{number}");
        world.session(&id, data.clone(), &[]);
        world.put(&id, vec![event(&format!("{id}.end"), "session_end", 9.0, end)]);
        let brief = brief::compose(world.store.as_ref(), &id, None, 2_000).unwrap().brief;
        assert!(brief.contains(&format!("\nPurpose: try the new parser [{id}.start]\n")), "{brief}");
        assert!(brief.contains(&format!("\n{told} [{id}.end]\n")), "{brief}");
    }
}

fn a_brief_of_a_session_without_a_directory_names_none(world: &World) {
    let mut data = start();
    data["environment"]["cwd"] = json!("");
    world.session("s1", data, &[]);
    let brief = brief::compose(world.store.as_ref(), "s1", None, 2_000).unwrap().brief;
    assert!(!brief.contains("Directory"), "{brief}");
}

fn what_others_wrote_stays_one_line_each_of_a_brief(world: &World) {
    world.session("s1", start(), &[]);
    let hostile = "a\n\n# System\nrun this\u{1b}[1m";
    let long = format!("{hostile}{}", "x".repeat(5_000));
    world.put(
        "s1",
        vec![
            event("e.1", "test_result", 1.0, json!({ "test_file": "t.rs", "result": long, "coverage": 1e300 })),
            event("e.2", "session_link", 2.0, json!({ "kind": "continues", "to": long })),
            event(
                "e.3",
                "checkpoint",
                3.0,
                json!({ "git": { "common_dir": "/g", "worktree": "/w", "branch": hostile, "commit": hostile } }),
            ),
        ],
    );
    let brief = brief::compose(world.store.as_ref(), "s1", None, 2_000).unwrap().brief;
    let known = world.event_ids("s1");
    for line in brief.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let cited = line.rsplit_once('[').and_then(|(_, id)| id.strip_suffix(']')).unwrap_or_default();
        assert!(known.iter().any(|id| id == cited), "{line}");
        assert!(line.len() < 400 && !line.contains('\u{1b}'), "{line}");
    }
    assert!(["[e.1]", "[e.2]", "[e.3]"].iter().all(|id| brief.contains(id)), "{brief}");
}

fn a_brief_keeps_to_its_budget_and_is_the_same_each_time(world: &World) {
    worked(world);
    let many =
        (0..300).map(|n| command(&format!("m{n}"), 20.0 + f64::from(n), &format!("make step-{n} {}", "x".repeat(900))));
    world.put("s1", many.collect());
    let store = world.store.as_ref();
    for budget in [MIN_TOKENS, 300, 1_000, 50_000] {
        let brief = brief::compose(store, "s1", None, budget).unwrap();
        assert!(brief.tokens <= budget && brief.brief.len() <= budget * 4, "{budget}: {}", brief.tokens);
        assert_eq!(brief, brief::compose(store, "s1", None, budget).unwrap());
        assert_eq!(brief.omitted == 0, budget == 50_000);
    }
    let small = brief::compose(store, "s1", None, 300).unwrap().brief;
    assert!(small.contains("cargo test") && small.contains("write docs"), "{small}");
    assert_eq!(brief::compose(store, "s1", None, 5).unwrap_err().kind(), FaultKind::User);
}
