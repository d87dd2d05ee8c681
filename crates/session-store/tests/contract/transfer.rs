//! Export and import: what goes out comes back the same, and hostile lines cost nothing but themselves.

use std::io::BufReader;

use oneiric::fault::{Fault, FaultKind};
use oneiric::process::Liveness;
use serde_json::json;
use session_store::SessionStatus;
use session_store::transfer::{Import, Report, Selection, Trouble, check_headers};

use crate::world::{World, at, command, end, event, start, start_in, start_with_process};

on_every_store!(
    what_is_exported_and_imported_is_exported_the_same,
    archived_sessions_are_archived_again_where_they_come_to,
    what_was_captured_here_is_not_archived_by_an_import,
    an_import_that_is_repeated_adds_nothing,
    an_import_that_was_cut_short_is_made_whole_by_another,
    an_import_of_more_than_its_first_line_promises_is_whole,
    foreign_and_hostile_lines_are_told_and_the_others_stored,
    a_file_of_something_else_is_refused_by_one_line_and_nothing_of_it_is_stored,
    exports_in_one_file_with_marks_and_line_ends_of_others_are_imported,
    an_event_cannot_slip_into_a_session_that_its_export_does_not_hold,
    a_newer_export_is_refused_whole,
    a_start_that_lacks_something_is_told_in_plain_words,
    an_import_holds_no_secret,
    only_what_is_selected_is_exported,
);

fn export(world: &World, selection: &Selection) -> String {
    let mut text = String::new();
    let mut show = |line: session_store::transfer::Line| {
        text.push_str(&line.text().unwrap());
        text.push('\n');
        Ok(())
    };
    world.store.export(selection, &mut show).unwrap();
    text
}

fn everything() -> Selection {
    Selection { archived: true, ..Selection::default() }
}

fn try_import(world: &World, text: &[u8]) -> Result<(Report, Vec<Trouble>), Fault> {
    let mut troubles = Vec::new();
    let mut told = |trouble| troubles.push(trouble);
    // A small buffer, so that lines come in pieces.
    let mut input = BufReader::with_capacity(61, text);
    let report = Import::new(world.store.as_ref(), &mut told).run(&mut input, &mut |_| {})?;
    Ok((report, troubles))
}

fn import(world: &World, text: &str) -> (Report, Vec<Trouble>) {
    try_import(world, text.as_bytes()).unwrap()
}

/// Sessions of every kind: running, ended twice, failed, stale with a late word, without a start, started late, archived.
fn varied(world: &World) {
    world.session("running", start(), &["ls", "grep -r 'ä\u{1f600}\u{2028}' \"quoted\" \\ back"]);
    world.session("ended", start_in("shop", "/shop"), &["make"]);
    world.put("ended", vec![end("end-1", 30.0, "ended", 29.5), end("end-0", 20.0, "failed", 1.0)]);
    world.session("stale", start_with_process(7), &["sleep 100"]);
    world.store.mark_stale(&|_, _| Liveness::Gone, at(40.0)).unwrap();
    world.put(
        "stale",
        vec![command("late", 3.5, "late"), event("note", "message", 99.0, json!({ "message": "x", "aside": true }))],
    );
    world.put("orphan", vec![command("o1", 5.0, "no start"), event("o2", "custom_kind", 5.0, json!({}))]);
    world.put("late-start", vec![command("l1", 6.0, "first")]);
    world.put("late-start", vec![command("l2", 7.0, "second"), event("l0", "session_start", 6.0, start())]);
    world.put(
        "late-start",
        vec![event("n", "error", 8.0, json!({ "numbers": [1, -2, 1.5, 1e300, 0.1], "null": null }))],
    );
}

fn what_is_exported_and_imported_is_exported_the_same(world: &World) {
    varied(world);
    let first = export(world, &everything());
    assert!(
        first.starts_with("{\"kind\":\"header\",\"format\":\"session-buddy-export\",\"version\":1,\"sessions\":5,"),
        "{first}"
    );
    let other = World::sqlite_memory();
    let (report, troubles) = import(&other, &first);
    assert_eq!((troubles.as_slice(), report.sessions, report.duplicates), (&[][..], 5, 0));
    assert!(report.complete());
    assert_eq!(export(&other, &everything()), first);
    for id in ["running", "ended", "stale", "orphan", "late-start"] {
        let (a, b) = (world.get(id), other.get(id));
        assert_eq!((a.status, a.end_time, a.duration_seconds), (b.status, b.end_time, b.duration_seconds), "{id}");
        assert_eq!((a.component, a.metadata, a.error_count), (b.component, b.metadata, b.error_count), "{id}");
        assert_eq!(world.event_ids(id), other.event_ids(id));
    }
    assert_eq!(other.get("stale").status, SessionStatus::Stale);
}

fn archived_sessions_are_archived_again_where_they_come_to(world: &World) {
    varied(world);
    world.store.archive(&["ended".to_owned(), "stale".to_owned()], &rule(1e6)).unwrap();
    world.session("after", start(), &["x"]);
    let text = export(world, &everything());
    let other = World::sqlite_memory();
    import(&other, &text);
    assert_eq!(export(&other, &everything()), text);
    for id in ["ended", "stale"] {
        assert_eq!(other.get(id).archived_at, world.get(id).archived_at, "{id}");
        assert_eq!(other.get(id).status, world.get(id).status, "{id}");
    }
    let counts = other.store.counts().unwrap();
    assert_eq!((counts.archived_sessions, counts.archived_events), (2, world.store.counts().unwrap().archived_events));
    // One that went on here is not taken away from those who work with it.
    let third = World::sqlite_memory();
    third.put("ended", vec![command("here", 9.0, "only here")]);
    import(&third, &text);
    assert_eq!(third.get("ended").archived_at, None);
    import(&other, &text);
    assert_eq!(export(&other, &everything()), text);
}

fn what_was_captured_here_is_not_archived_by_an_import(world: &World) {
    varied(world);
    let live = export(world, &everything());
    for archived_at in [at(1e6), at(50.0), at(-1e6)] {
        // Somebody else's file says so; the session is known, and nothing of it is new.
        let text = with_archived_at(&live, &format!("\"archived_at\":\"{archived_at}\""));
        let (report, troubles) = import(world, &text);
        assert_eq!((report.sessions, report.stored, troubles.len()), (5, 0, 0));
        assert_eq!(world.store.counts().unwrap().archived_sessions, 0, "{archived_at}");
    }
    // An import that ended before it archived what it had brought is made whole by another.
    world.clock.advance(std::time::Duration::from_secs(3_600));
    world.store.archive(&["ended".to_owned()], &rule(1e6)).unwrap();
    let text = export(world, &everything());
    let other = World::sqlite_memory();
    other.clock.advance(std::time::Duration::from_secs(86_400));
    import(&other, &text);
    other.store.restore(&["ended".to_owned()]).unwrap();
    import(&other, &text);
    assert_eq!(export(&other, &everything()), text);
}

fn with_archived_at(text: &str, said: &str) -> String {
    let marked = |line: &str| match line.strip_prefix("{\"kind\":\"session\",") {
        Some(rest) => format!("{{\"kind\":\"session\",{said},{rest}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(marked).collect()
}

fn rule(seconds: f64) -> session_store::upkeep::ArchiveRule {
    session_store::upkeep::ArchiveRule { before: at(seconds), project: None }
}

fn an_import_that_is_repeated_adds_nothing(world: &World) {
    varied(world);
    let text = export(world, &everything());
    let (report, troubles) = import(world, &text);
    assert_eq!((report.stored, troubles.len()), (0, 0));
    assert_eq!(export(world, &everything()), text);
}

fn an_import_that_was_cut_short_is_made_whole_by_another(world: &World) {
    varied(world);
    let text = export(world, &everything());
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(97).collect();
    for cut in bounds {
        let other = World::sqlite_memory();
        // Of a part of the first line nobody can say what it is of.
        if let Ok((report, _)) = try_import(&other, &text.as_bytes()[..cut]) {
            assert!(report.header.is_none() || !report.complete(), "a part of {cut} bytes counts as whole");
        }
        import(&other, &text);
        assert_eq!(export(&other, &everything()), text, "after a cut at {cut}");
    }
}

fn an_import_of_more_than_its_first_line_promises_is_whole(world: &World) {
    world.session("one", start(), &["ls"]);
    world.session("two", start(), &["make"]);
    let text = export(world, &everything());
    let (first, rest) = text.split_once('\n').unwrap();
    for (sessions, complete) in [(1, true), (2, true), (3, false)] {
        let mut header: serde_json::Value = serde_json::from_str(first).unwrap();
        header["sessions"] = sessions.into();
        let (report, troubles) = import(world, &format!("{header}\n{rest}"));
        assert_eq!((report.sessions, report.complete(), troubles), (2, complete, Vec::new()), "{sessions} promised");
    }
}

fn foreign_and_hostile_lines_are_told_and_the_others_stored(world: &World) {
    varied(world);
    let text = export(world, &everything());
    let lines: Vec<&str> = text.lines().collect();
    let deep = format!("{{\"kind\":\"event\",\"data\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!("{{\"kind\":\"event\",\"data\":{{\"x\":\"{}\"}}}}", "y".repeat(3 << 20));
    let hostile: Vec<&[u8]> = vec![
        b"hello",
        b"{}",
        b"[1,2,3]",
        b"{\"kind\":\"event\"}",
        b"{\"kind\":\"session\",\"session_id\":\"../../etc\"}",
        b"{\"kind\":\"drop table\"}",
        b"\xff\xfe\x00bytes",
        b"\x00\x00\x00",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    let mut mixed: Vec<u8> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        mixed.extend_from_slice(line.as_bytes());
        mixed.push(b'\n');
        mixed.extend_from_slice(hostile[index % hostile.len()]);
        mixed.extend_from_slice(b"\r\n");
    }
    let other = World::sqlite_memory();
    let (report, troubles) = try_import(&other, &mixed).unwrap();
    assert_eq!(report.rejected as usize, lines.len(), "{troubles:?}");
    assert!(troubles.iter().enumerate().all(|(index, trouble)| trouble.line as usize == index * 2 + 2), "{troubles:?}");
    assert!(troubles.iter().all(|trouble| trouble.reason.len() < 300), "{troubles:?}");
    assert_eq!(export(&other, &everything()), text);
}

fn a_file_of_something_else_is_refused_by_one_line_and_nothing_of_it_is_stored(world: &World) {
    varied(world);
    let text = export(world, &everything());
    let rest = text.split_once('\n').unwrap().1;
    let other = World::sqlite_memory();
    let full = r#"{"kind":"header","format":"other","version":1,"sessions":0,"events":0}"#;
    for head in [full, r#"{"kind":"header","format":"other"}"#, r#"{"format":"other","since":7}"#] {
        let file = format!("{head}\n{rest}");
        let fault = try_import(&other, file.as_bytes()).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::User);
        assert!(fault.to_string().contains("line 1 says format 'other'"), "{fault}");
    }
    // Behind one of ours, too: it begins what is none of ours.
    let file = format!("{text}{full}\n{rest}");
    let fault = try_import(&other, file.as_bytes()).unwrap_err();
    assert!(fault.to_string().contains(&format!("line {} says", text.lines().count() + 1)), "{fault}");
    let fault = check_headers(&mut file.as_bytes()).unwrap_err();
    assert!(fault.to_string().contains("nothing was imported"), "{fault}");
    assert!(check_headers(&mut format!("\u{feff}{text}{text}").as_bytes()).is_ok());
    for foreign in ["id,name\n1,x\n".repeat(500), "\u{1}binary".to_owned(), "[\n{\"a\":1}\n]".to_owned()] {
        let fault = try_import(&other, foreign.as_bytes()).unwrap_err();
        assert!(fault.to_string().contains("no export of Session-Buddy: line 1: "), "{fault}");
    }
    assert_eq!(other.store.counts().unwrap().sessions_total(None), 0);
}

fn exports_in_one_file_with_marks_and_line_ends_of_others_are_imported(world: &World) {
    varied(world);
    let (mut shop, mut rest) = (Selection::default(), everything());
    shop.filter.project = Some("shop".into());
    rest.sessions = ["running", "stale", "orphan", "late-start"].map(str::to_owned).to_vec();
    let both = format!("\u{feff}{}\r\n\u{feff}{}", export(world, &shop).replace('\n', "\r\n"), export(world, &rest));
    let other = World::sqlite_memory();
    let (report, troubles) = import(&other, &both);
    assert_eq!((troubles, report.complete(), report.sessions), (Vec::new(), true, 5));
    assert_eq!(export(&other, &everything()), export(world, &everything()));
}

fn an_event_cannot_slip_into_a_session_that_its_export_does_not_hold(world: &World) {
    world.session("mine", start(), &["ls"]);
    let slipped = r#"{"kind":"event","session_id":"mine","event_id":"x","event_type":"command","timestamp":"2026-11-22T18:00:00Z","data":{}}"#;
    let (report, troubles) = import(world, slipped);
    assert_eq!((report.stored, report.rejected), (0, 1));
    assert!(troubles[0].reason.contains("whose line does not stand before it"), "{troubles:?}");
    // The id of another session's event is not taken over either.
    let stolen = [
        r#"{"kind":"session","session_id":"theirs","status":"active","start_time":"2026-11-22T18:00:00Z","events":1}"#,
        r#"{"kind":"event","session_id":"theirs","event_id":"mine.0","event_type":"command","timestamp":"2026-11-22T18:00:00Z","data":{}}"#,
    ];
    let (report, troubles) = import(world, &stolen.join("\n"));
    assert_eq!((report.stored, troubles[0].line), (0, 2), "{troubles:?}");
    assert_eq!(world.get("mine").event_count, 2);
}

fn a_newer_export_is_refused_whole(world: &World) {
    let header = r#"{"kind":"header","format":"session-buddy-export","version":2,"sessions":0,"events":0}"#;
    let fault = try_import(world, header.as_bytes()).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Config);
    assert!(fault.to_string().contains("version 2"), "{fault}");
}

fn an_import_holds_no_secret(world: &World) {
    world.session("s1", start(), &["deploy"]);
    let text = export(world, &everything())
        .replace("deploy", "curl -H 'Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345' x");
    let other = World::sqlite_memory();
    import(&other, &text);
    let stored = export(&other, &everything());
    assert!(stored.contains("[redacted") && !stored.contains("ghp_0123"), "{stored}");
}

fn only_what_is_selected_is_exported(world: &World) {
    varied(world);
    let ids = |selection: &Selection| -> Vec<String> {
        let text = export(world, selection);
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter(|line| line["kind"] == "session")
            .map(|line| line["session_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut shop = Selection::default();
    shop.filter.project = Some("shop".into());
    assert_eq!(ids(&shop), ["ended"]);
    assert_eq!(
        ids(&Selection { sessions: vec!["late".into(), "orp".into()], ..Selection::default() }),
        ["orphan", "late-start"]
    );
    let mut late = Selection::default();
    late.filter.since = Some(at(5.5));
    assert_eq!(ids(&late), ["late-start"]);
    let missing = Selection { sessions: vec!["nobody".into()], ..Selection::default() };
    let fault = world.store.export(&missing, &mut |_| Ok(())).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound);
}

fn a_start_that_lacks_something_is_told_in_plain_words(world: &World) {
    world.session("s1", start(), &["ls"]);
    let text = export(world, &everything());
    for (change, to, said) in [
        ("\"session_type\":", "\"other\":", "it has no \"session_type\""),
        ("\"hostname\":\"", "\"hostname\":7,\"other\":\"", "there is a number where a string belongs"),
    ] {
        assert!(text.contains(change), "{text}");
        let (report, troubles) = import(&World::sqlite_memory(), &text.replacen(change, to, 1));
        assert_eq!(report.rejected, 1);
        assert!(troubles[0].line == 3 && troubles[0].reason.ends_with(said), "{troubles:?}");
    }
}
