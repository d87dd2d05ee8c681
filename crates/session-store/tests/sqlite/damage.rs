use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek, SeekFrom, Write};

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, FaultKind};
use session_store::remember::{Hand, Here, Scribe};
use session_store::sqlite::Options;
use session_store::sqlite::checkup::{look, rebuild_index, remake_derived};
use session_store::{EventFilter, Page, SearchRequest, SessionFilter, Store, Upkeep};

use crate::room::{Room, command, options, put};

fn assert_says_damaged(fault: &Fault) {
    assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault}");
    let text = fault.to_string();
    assert!(text.contains("damaged") && text.contains("sessions.db") && text.contains("move it away"), "{text}");
    assert!(!text.contains('\n'));
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    for content in [vec![0xa5_u8; 10_000], b"#!/bin/sh\necho hello\n".to_vec()] {
        let room = Room::new();
        fs::write(room.path(), &content).unwrap();
        assert_says_damaged(&room.try_open(options()).err().unwrap());
        assert_eq!(fs::read(room.path()).unwrap(), content);
    }
}

#[test]
fn random_bytes_in_the_middle_are_told_and_never_crash() {
    let room = Room::new();
    {
        let store = room.open();
        for n in 0..200 {
            let events = (0..20).map(|m| command(&format!("e{n}-{m}"), &format!("needle number{n} text{m}"))).collect();
            put(&store, &format!("s{n:03}"), events).unwrap();
        }
    }
    let good = fs::read(room.path()).unwrap();
    let mut told = 0;
    for place in 1..40 {
        let at = good.len() / 40 * place;
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(room.path()).unwrap();
        file.write_all(&good).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        let noise: Vec<u8> = (0..6000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        file.write_all(&noise).unwrap();
        drop(file);
        let store = match room.try_open(options()) {
            Ok(store) => store,
            Err(fault) => {
                assert_says_damaged(&fault);
                told += 1;
                continue;
            }
        };
        let answers = [
            store.sessions(&SessionFilter::default(), Page::first(1000)).map(drop),
            store.events(&EventFilter::default(), Page::first(10_000)).map(drop),
            store.search(&SearchRequest::text("needle number7"), None).map(drop),
            put(&store, "s000", vec![command(&format!("new{place}"), "needle")]).map(drop),
        ];
        for fault in answers.into_iter().filter_map(Result::err) {
            assert_says_damaged(&fault);
            told += 1;
        }
    }
    assert!(told > 20, "only {told} answers noticed");
}

#[test]
fn a_page_of_the_search_index_or_of_words_that_is_lost_is_mended_and_any_other_one_is_left_alone() {
    let room = Room::new();
    {
        let store = room.open();
        for n in 0..60 {
            let events = (0..4).map(|m| command(&format!("e{n}-{m}"), &format!("needle number{n} text{m}"))).collect();
            put(&store, &format!("s{n:03}"), events).unwrap();
        }
        while store.learn_words().unwrap() > 0 {}
        // Leaves free pages, too.
        rebuild_index(&room.path(), &mut |_, _| {}).unwrap();
    }
    let roots = "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0 AND (tbl_name = 'words' OR tbl_name LIKE '%\\_letters\\_%' \
        ESCAPE '\\' OR tbl_name LIKE 'event\\_search\\_%' ESCAPE '\\')";
    let roots: BTreeSet<u32> =
        room.raw().prepare(roots).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    room.raw().execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let good = fs::read(room.path()).unwrap();
    let sound = look(&room.path(), true).unwrap();
    let found = |text: &str| room.open().search(&SearchRequest::text(text), None).unwrap().hits.len();
    let before = found("number7");
    let (mut mended, mut told) = (BTreeSet::new(), 0);
    for page in 2..=u32::try_from(good.len() / 4096).unwrap() {
        let mut bad = good.clone();
        bad[(page as usize - 1) * 4096..page as usize * 4096].fill(0);
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", room.path().display()));
        }
        fs::write(room.path(), &bad).unwrap();
        let Some(damage) = look(&room.path(), false).ok().and_then(|found| found.derived) else {
            told += 1;
            assert!(fs::read(room.path()).unwrap() == bad, "page {page} was written to");
            continue;
        };
        mended.insert(page);
        assert_eq!(remake_derived(&room.path(), &mut |_, _| {}).unwrap(), 240, "page {page}: {damage}");
        let said: String = room.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok", "page {page}: {damage}");
        assert_eq!(look(&room.path(), true).unwrap(), sound, "page {page}: {damage}");
        assert_eq!(found("number7"), before, "page {page}: {damage}");
        assert_eq!(put(&room.open(), "s000", vec![command("new", "latecomer")]).unwrap().accepted, 1);
        assert_eq!(found("latecomer"), 1, "page {page}: {damage}");
    }
    assert!(roots.len() == 8 && roots.is_subset(&mended), "{roots:?}: {mended:?}");
    assert!(told > 10, "{told} told");
}

#[test]
fn a_session_is_opened_with_the_message_that_it_is_opened_for_or_not_at_all() {
    let room = Room::new();
    let limited = room.try_open(Options { max_bytes: Some(2 * 1024 * 1024), ..options() }).unwrap();
    let hand = Hand { username: "ada".into(), home: "/h".into(), hostname: "box".into(), platform: "linux".into() };
    let now = Timestamp::parse("2026-11-22T18:00:00Z").unwrap();
    let message = |number: usize| {
        let text = "some words to fill pages ".repeat(8_000);
        Scribe::new(&limited, &hand, now).message(&format!("project-{number}"), &text, None, &Here::default())
    };
    let stored = (0..100).take_while(|number| message(*number).is_ok()).count();
    assert!((2..100).contains(&stored), "{stored} messages");
    let sessions = limited.sessions(&SessionFilter::default(), Page::first(1000)).unwrap();
    assert_eq!(sessions.len(), stored, "the one that did not fit opened none");
    assert!(sessions.iter().all(|session| session.event_count == 2));
    assert_eq!(limited.commits(), stored as u64, "one transaction for each");
}

#[test]
fn a_full_database_stores_nothing_by_half_and_goes_on_when_there_is_room() {
    let room = Room::new();
    let limited = room.try_open(Options { max_bytes: Some(400 * 1024), ..options() }).unwrap();
    let batch =
        |n: usize| (0..200).map(|m| command(&format!("e{n}-{m}"), &"some words to fill pages ".repeat(8))).collect();
    let mut stored = 0;
    let fault = loop {
        match put(&limited, "s", batch(stored)) {
            Ok(receipt) => {
                assert_eq!(receipt.accepted, 200);
                stored += 1;
            }
            Err(fault) => break fault,
        }
        assert!(stored < 100, "never full");
    };
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.message().contains("no space left") && fault.message().contains("sessions.db"), "{fault}");
    assert!(fault.advice().unwrap().contains("free some space"));
    assert_eq!(limited.session("s").unwrap().command_count, 200 * stored as u64);
    assert_eq!(limited.counts().unwrap().events_total(), 200 * stored as u64);
    // Room is made by hand; the same store takes events again.
    let raw = room.raw();
    raw.execute("DELETE FROM session_events", []).unwrap();
    raw.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    assert_eq!(put(&limited, "s", vec![command("after", "x")]).unwrap().accepted, 1);
}
