//! Export and import over the real program: round trips, `kill -9`, hostile files.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{Server, TestHome, git, soon};

use crate::sample::{id, types};

/// An export that was written by hand: many sessions with a start, commands and an end.
fn written(sessions: usize, events: usize) -> String {
    let mut text = format!(
        r#"{{"kind":"header","format":"session-buddy-export","version":1,"sessions":{sessions},"events":{}}}"#,
        sessions * (events + 2)
    );
    text.push('\n');
    for session in 0..sessions {
        let time = |second: usize| {
            format!(
                "2026-11-{:02}T{:02}:{:02}:{:02}Z",
                1 + session % 20,
                session / 20 % 24,
                second / 60 % 60,
                second % 60
            )
        };
        let mut line = |event: &str, kind: &str, at: usize, data: &str| {
            writeln!(text, r#"{{"kind":"event","session_id":"s{session:05}","event_id":"{event}","event_type":"{kind}","timestamp":"{}","data":{data}}}"#, time(at)).unwrap();
        };
        let start = r#"{"event_version":"1.0","component_name":"mahavishnu","session_type":"admin_shell","pid":1,"user":{"username":"ada","home":"/h"},"hostname":"elsewhere","environment":{"platform":"linux","cwd":"/w"},"project":"p"}"#;
        line(&format!("s{session}.start"), "session_start", 0, start);
        for number in 0..events {
            let data =
                format!(r#"{{"command":"make step-{number} of {session}","exit_code":0,"outcome":"completed"}}"#);
            line(&format!("s{session}.{number}"), "command", number + 1, &data);
        }
        line(&format!("s{session}.end"), "session_end", events + 1, r#"{"status":"ended"}"#);
    }
    with_session_lines(&text, events + 2)
}

/// Puts the line of each session in front of its first event.
fn with_session_lines(text: &str, events: usize) -> String {
    let mut whole = String::with_capacity(text.len());
    for line in text.lines() {
        if line.contains("session_start") {
            let session = &line[line.find("\"session_id\":\"").unwrap() + 14..][..6];
            let at = &line[line.find("\"timestamp\":\"").unwrap() + 13..][..20];
            writeln!(whole, r#"{{"kind":"session","session_id":"{session}","status":"ended","start_time":"{at}","events":{events}}}"#).unwrap();
        }
        whole.push_str(line);
        whole.push('\n');
    }
    whole
}

fn export(home: &TestHome) -> String {
    home.session_buddy(["export", "--archived"]).run().expect_success().stdout.clone()
}

fn file(home: &TestHome, name: &str, text: &str) -> PathBuf {
    let path = home.work().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn import(home: &TestHome, path: &Path) -> testkit::Finished {
    home.session_buddy(["import", &path.to_string_lossy()]).run()
}

#[test]
fn what_a_shell_did_goes_to_another_home_and_back_the_same() {
    let home = TestHome::new();
    let _ = home.mahavishnu(["shell", "-c", "ps(); print('ä 你好'); nosuch()"]).run();
    home.session_buddy(["add-message", "--session", "other", "a note"]).run().expect_success();
    let path = home.work().join("all.jsonl");
    let name = path.to_string_lossy().into_owned();
    home.session_buddy(["export", "--output", &name]).run().expect_success();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    home.session_buddy(["export", "--output", &name])
        .run()
        .expect_code(5)
        .expect_one_clear_line(&["exists", "--force"]);
    let other = TestHome::new();
    import(&other, &path).expect_success();
    assert_eq!(export(&other), fs::read_to_string(&path).unwrap());
    let again = import(&other, &path);
    assert!(again.expect_success().stdout.contains(" 0 events stored"), "{again}");
    assert_eq!(export(&other), fs::read_to_string(&path).unwrap());
    // A pipe from one home to the other does the same.
    let third = TestHome::new();
    third.session_buddy(["import", "-"]).stdin(fs::read(&path).unwrap()).run().expect_success();
    assert_eq!(export(&third), export(&home));
}

#[test]
fn an_import_that_was_killed_is_made_whole_by_running_it_again() {
    let source = TestHome::new();
    let path = file(&source, "many.jsonl", &written(300, 100));
    import(&source, &path).expect_success();
    let whole = export(&source);
    let home = TestHome::new();
    let log = home.session_buddy_home().join("sessions.db-wal");
    let mut seen = 0;
    for _ in 0..3 {
        let mut running = home.session_buddy(["import", &path.to_string_lossy()]).spawn_without_input();
        // The log grows when a part was stored: then it dies.
        soon("a part of the import", || {
            let size = fs::metadata(&log).map_or(0, |meta| meta.len());
            let grown = size > seen + 100_000 || running.has_ended();
            if grown {
                seen = size;
            }
            grown
        });
        running.kill();
    }
    let done = import(&home, &path);
    assert!(done.expect_success().stdout.contains("300 sessions"), "{done}");
    assert_eq!(export(&home), whole);
}

#[test]
fn hostile_lines_are_told_by_number_and_the_good_ones_stored() {
    let home = TestHome::new();
    let good = written(2, 3);
    let mut mixed = String::new();
    for line in good.lines() {
        mixed.push_str(line);
        mixed.push_str("\n{\"kind\":\"event\",\u{1b}[31m\n");
    }
    let done = import(&home, &file(&home, "mixed.jsonl", &mixed));
    done.expect_code(2).expect_no_internals();
    assert!(done.stderr.contains("line 2: ") && done.stderr.contains("the others are stored"), "{done}");
    assert!(!done.stderr.contains('\u{1b}'), "{done}");
    assert!(done.stdout.contains("2 sessions, 10 events stored, 0 known already, 13 lines rejected"), "{done}");
    for (name, text) in [
        ("empty.jsonl", String::new()),
        ("foreign.csv", "a,b\n1,2\n".to_owned()),
        ("bytes.bin", "\u{0}\u{1}\n".repeat(200)),
    ] {
        let done = import(&home, &file(&home, name, &text));
        done.expect_code(2).expect_no_internals();
        assert!(done.stderr.lines().count() < 60, "{done}");
    }
    import(&home, &home.work().join("missing.jsonl")).expect_code(4).expect_one_clear_line(&["missing.jsonl"]);
    import(&home, &home.work()).expect_code(2).expect_one_clear_line(&["is a folder"]);
    let cut = &good[..good.len() * 2 / 3];
    let cut = &cut[..=cut.rfind('\n').unwrap()];
    let other = TestHome::new();
    let done = import(&other, &file(&other, "cut.jsonl", cut));
    assert!(done.expect_code(2).stderr.contains("ends before all"), "{done}");
}

#[test]
fn sessions_in_the_memory_of_a_server_go_out_and_come_in_through_it() {
    let home = TestHome::patient();
    let server = Server::start_with(&home, &["start", "--mode=lite"]);
    let file = file(&home, "some.jsonl", &written(3, 20));
    let done = import(&home, &file);
    assert!(done.expect_success().stdout.contains("3 sessions, 66 events stored, 0 known already, 0 lines"), "{done}");
    let done = import(&home, &file);
    assert!(done.expect_success().stdout.contains("0 events stored, 66 known already"), "{done}");
    home.session_buddy(["archive-sessions", "--days", "0", "--project", "p"]).run().expect_success();
    let whole = export(&home);
    let name = home.work().join("out.jsonl").to_string_lossy().into_owned();
    let told = home.session_buddy(["export", "--archived", "--output", &name]).run();
    assert!(told.expect_success().stderr.contains("Exported 3 sessions with 66 events"), "{told}");
    assert_eq!(fs::read_to_string(&name).unwrap(), whole);
    let other = TestHome::new();
    import(&other, Path::new(&name)).expect_success();
    assert_eq!(export(&other), whole);
    // What is wrong is told as without a server.
    let cut = whole.lines().take(10).collect::<Vec<_>>().join("\n");
    let done = import(&home, &crate::transfer::file(&home, "cut.jsonl", &cut));
    assert!(done.expect_code(2).stderr.contains("ends before all"), "{done}");
    let done = import(&home, &crate::transfer::file(&home, "mixed.jsonl", &format!("{whole}nonsense\n")));
    assert!(done.expect_code(2).stderr.contains("line 71: "), "{done}");
    let nobody = home.session_buddy(["export", "--session", "nobody"]).run();
    nobody.expect_code(4).expect_one_clear_line(&["Invalid session ID"]);
    assert!(!home.database().exists(), "nothing was written to disk");
    server.stop();
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = TestHome::new();
    import(&home, &file(&home, "many.jsonl", &written(20, 200))).expect_success();
    let done = home.sh("session-buddy export | head -1").run();
    assert!(done.expect_success().stdout.contains("\"kind\":\"header\""), "{done}");
    assert!(done.stderr.is_empty(), "{done}");
}

#[test]
fn what_was_kept_by_hand_comes_through_archive_export_and_import_the_same() {
    let home = TestHome::new();
    let tree = git::repository(&home, "shop");
    let run = |args: &[&str]| home.session_buddy(args).cwd(&tree).run().expect_success().clone();
    let [first, second] = ["one", "two"].map(|note| id(&run(&["session", "start", "--note", note, "--json"]).json()));
    for session in [&first, &second] {
        run(&["add-message", "--session", session, "half done: ä 你好 \u{1f980} \"quoted\" \\ back"]);
        run(&["checkpoint", "--session", session, "--note", "parser", "--todo", "docs", "--file", "src/a.rs"]);
        let result = ["store-test-result", "--session", session, "--result", "failed", "--message", "left != right"];
        run(&[&result[..], &["--coverage", "87.5", "--duration-ms", "1234.25", "tests/a.rs"]].concat());
    }
    run(&["session", "link", &second, &first, "--kind", "continues"]);
    for session in [&first, &second] {
        run(&["session", "end", session, "--note", "done"]);
    }
    // One goes into the archive, the other stays.
    let looks = |home: &TestHome| -> Vec<String> {
        let mut shown = vec![export(home)];
        for session in [&first, &second] {
            for command in [
                &["session", "links", session.as_str(), "--format", "json"][..],
                &["list-events", "--session-id", session, "--archived", "--format", "json"],
                &["resume", session, "--json"],
            ] {
                shown.push(home.session_buddy(command).run().expect_success().stdout.clone());
            }
        }
        shown
    };
    let before = looks(&home);
    for kind in ["message", "checkpoint", "test_result"] {
        assert!(types(&home.events(&first)).contains(&kind), "{kind}");
    }
    assert!(before[1].contains(&second) && before[4].contains("continues"), "{before:?}");
    run(&["archive-sessions", "--days", "0"]);
    assert!(home.sessions(&[]).is_empty());
    run(&["restore-sessions", &second]);
    let archived = looks(&home);
    assert_eq!(archived[1..], before[1..], "nothing of it changed on the way into the archive");
    let path = file(&home, "all.jsonl", &archived[0]);
    let other = TestHome::new();
    import(&other, &path).expect_success();
    assert_eq!(export(&other), archived[0]);
    assert_eq!(id(&other.sessions(&[])[0]), second, "the other is in the archive there too");
    let there = looks(&other);
    for (here, there) in archived.iter().zip(&there) {
        assert_eq!(without_receipt(here), without_receipt(there));
    }
    other.session_buddy(["restore-sessions", &first]).run().expect_success();
    run(&["restore-sessions", &first]);
    assert_eq!(export(&other), export(&home));
}

/// When a store received an event, and when it wrote a session's row, is its own affair.
fn without_receipt(shown: &str) -> String {
    shown.lines().filter(|line| !line.contains("\"received_at\"")).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_import_that_ends_half_way_says_how_far_it_came_and_goes_on() {
    let home = TestHome::patient();
    let mut lines = vec![
        r#"{"kind":"session","session_id":"long","status":"ended","start_time":"2026-01-05T10:00:00Z","events":12000}"#
            .to_owned(),
    ];
    for number in 0..12_000 {
        lines.push(format!(
            r#"{{"kind":"event","session_id":"long","event_id":"e.{number}","event_type":"command","timestamp":"2026-01-05T10:00:05Z","data":{{"command":"{number} {}"}}}}"#,
            "m".repeat(500)
        ));
    }
    std::fs::write(home.user().join("long.jsonl"), lines.join("\n")).unwrap();
    // In blocks of 512 bytes.
    let cut = home.sh("ulimit -f 8000; exec session-buddy import ~/long.jsonl").run();
    cut.expect_code(6);
    assert!(cut.stderr.contains(" of it are in the database") && cut.stderr.contains("it adds the rest"), "{cut}");
    assert!(!cut.stderr.contains("half stored"), "{cut}");
    home.sh("session-buddy import ~/long.jsonl").run().expect_success();
    assert_eq!(home.sessions(&[])[0]["session_id"], "long");
    assert_eq!(home.session_buddy(["export"]).run().expect_success().stdout.matches("\"e.").count(), 12_000);
}
