//! Archive, backups and upkeep over the real programs: the guide's lines to the letter, the right way, and what happens
//! when a process is killed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Chance, Server, TestHome};

use crate::sample::id;

/// A home with `old` sessions of long ago and one of today.
pub(crate) fn home_with_sessions(old: usize) -> TestHome {
    let home = TestHome::patient();
    filled_with_sessions(&home, old);
    home
}

/// The same in a home that is there.
pub(crate) fn filled_with_sessions(home: &TestHome, old: usize) {
    home.session_buddy(["list-sessions"]).run().expect_success();
    let script: String = (0..old)
        .map(|number| {
            let session = format!("old-{number:04}");
            let data = json!({ "event_version": "1.0", "component_name": "mahavishnu", "session_type": "admin_shell",
                "shell_type": "x", "pid": 1, "user": { "username": "ada", "home": "/home/ada" }, "hostname": "box",
                "environment": { "platform": "linux", "cwd": "/w" }, "project": "engine" });
            let event = |name: &str, second: usize, data: &Value| {
                format!(
                    "INSERT INTO session_events (event_id, session_id, event_type, timestamp, data, sequence) VALUES \
                     ('{session}.{name}.{second}', '{session}', '{name}', '2025-01-05T10:00:{second:02}.000000Z', '{data}', {second});\n"
                )
            };
            let mut text = format!(
                "INSERT INTO sessions (session_id, component, session_type, start_time, end_time, status, event_count, \
                 command_count, last_event_time, project) VALUES ('{session}', 'mahavishnu', 'admin_shell', \
                 '2025-01-05T10:00:00.000000Z', '2025-01-05T10:00:09.000000Z', 'ended', 4, 2, '2025-01-05T10:00:09.000000Z', 'engine');\n"
            );
            text.push_str(&event("session_start", 0, &data));
            text.push_str(&event("command", 1, &json!({ "command": format!("cargo build {number}") })));
            text.push_str(&event("command", 2, &json!({ "command": format!("cargo test {number}") })));
            text.push_str(&event("session_end", 9, &json!({ "status": "ended" })));
            text
        })
        .collect();
    let script = format!("BEGIN;\n{script}COMMIT;\n");
    home.program("sqlite3", [home.database().to_string_lossy()]).stdin(script).run().expect_success();
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), old + 1);
}

pub(crate) fn sql(home: &TestHome, statement: &str) -> String {
    let database = home.database();
    let done = home.program("sqlite3", [database.to_string_lossy().as_ref(), statement]).run();
    done.expect_success().stdout.trim().to_owned()
}

fn backups(home: &TestHome) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.session_buddy_home().join("backups")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn weekly_maintenance_of_the_guide_archives_old_sessions_and_vacuums() {
    let home = home_with_sessions(3);
    let dry = home.sh("session-buddy archive-sessions --days 30 --dry-run").run();
    assert!(dry.expect_success().stdout.contains("Would archive 3 sessions with 12 events"), "{dry}");
    let done = home.sh("session-buddy archive-sessions --days 30").run();
    assert!(done.expect_success().stdout.contains("Archived 3 sessions with 12 events older than 30 days"), "{done}");
    home.sh("sqlite3 ~/.session-buddy/sessions.db \"VACUUM;\"").run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 1);
    let archived = home.sessions(&["--archived"]);
    assert_eq!(archived.len(), 3);
    let details = home.session_buddy(["get-session", "old-0001"]).run();
    assert!(details.expect_success().stdout.contains("Archived:"), "{details}");
    assert_eq!(home.events("old-0001").len(), 4);
    let compact = home.session_buddy(["vacuum"]).run();
    assert!(compact.expect_success().stdout.contains("bytes), "), "{compact}");
    let back = home.session_buddy(["restore-sessions", "old-0001"]).run();
    assert!(back.expect_success().stdout.contains("Restored 1 session with 4 events"), "{back}");
    let all = home.session_buddy(["restore-sessions", "--all"]).run();
    assert!(all.expect_success().stdout.contains("Restored 2 sessions"), "{all}");
    assert_eq!(home.sessions(&[]).len(), 4);
    home.session_buddy(["restore-sessions"]).run().expect_code(2).expect_one_clear_line(&["--all"]);
    home.session_buddy(["restore-sessions", "nobody"])
        .run()
        .expect_code(4)
        .expect_one_clear_line(&["Invalid session ID"]);
    home.session_buddy(["archive-sessions", "--days", "-3"]).run().expect_code(2);
}

#[test]
fn issue_4_slow_queries_are_mended_as_the_guide_says() {
    let home = home_with_sessions(2);
    let _server = Server::start(&home);
    home.sh("ls -lh ~/.session-buddy/sessions.db").run().expect_success();
    home.sh("printf 'VACUUM;\\nREINDEX;\\n.quit\\n' | sqlite3 ~/.session-buddy/sessions.db").run().expect_success();
    home.sh("export SESSION_BUDDY_CACHE_SIZE=10000\nsession-buddy list-sessions --limit 100").run().expect_success();
    let shown = home.sh("export SESSION_BUDDY_CACHE_SIZE=10000\nsession-buddy config | grep cache_size").run();
    assert!(shown.expect_success().stdout.contains("10000"), "{shown}");
    home.sh("session-buddy archive-sessions --days 30").run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 1, "a running server sees it at once");
    assert_eq!(home.sessions(&["--archived"]).len(), 2);
}

#[test]
fn section_7_3_and_7_4_backups_by_hand_are_restored_as_printed() {
    let home = home_with_sessions(1);
    let script = "#!/bin/bash\n# Backup Session-Buddy database\n\nBACKUP_DIR=\"$HOME/.session-buddy/backups\"\n\
        DB_PATH=\"$HOME/.session-buddy/sessions.db\"\nTIMESTAMP=$(date +%Y%m%d-%H%M%S)\n\nmkdir -p \"$BACKUP_DIR\"\n\
        cp \"$DB_PATH\" \"$BACKUP_DIR/sessions-$TIMESTAMP.db\"\ngzip \"$BACKUP_DIR/sessions-$TIMESTAMP.db\"\n\n\
        # Keep last 30 days of backups\nfind \"$BACKUP_DIR\" -name \"sessions-*.db.gz\" -mtime +30 -delete\n\n\
        echo \"Backup created: sessions-$TIMESTAMP.db.gz\"\n";
    let path = home.work().join("backup-sessions.sh");
    fs::write(&path, script).unwrap();
    let done = home.program("bash", [path.to_string_lossy()]).run();
    assert!(done.expect_success().stdout.contains("Backup created: sessions-"), "{done}");
    let file = backups(&home).remove(0);
    home.session_buddy(["backup", "verify"]).run().expect_success();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let unpacked = name.trim_end_matches(".gz");
    home.mahavishnu(["shell", "-c", "top()"]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 3);
    let server = Server::start(&home);
    let script = format!(
        "session-buddy mcp stop\ngunzip ~/.session-buddy/backups/{name}\n\
         cp ~/.session-buddy/backups/{unpacked} ~/.session-buddy/sessions.db"
    );
    home.sh(&script).run().expect_success();
    drop(server);
    let _server = Server::start(&home);
    let listed = home.sh("session-buddy list-sessions --limit 5 --format json").run().expect_success().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_backup_is_made_listed_verified_and_restored_and_a_damaged_one_is_refused() {
    let home = home_with_sessions(2);
    let server = Server::start(&home);
    let made = home.session_buddy(["backup", "create"]).run();
    assert!(made.expect_success().stdout.starts_with("Backup created: sessions-"), "{made}");
    let list = home.session_buddy(["backup", "list", "--format", "json"]).run().expect_success().json();
    assert_eq!((&list[0]["label"]["sessions"], list.as_array().map(Vec::len)), (&json!(3), Some(1)));
    let name = list[0]["name"].as_str().unwrap().to_owned();
    home.sh(&format!("gunzip -t ~/.session-buddy/backups/{name}")).run().expect_success();
    let refused = home.session_buddy(["backup", "restore", "latest"]).run();
    refused.expect_code(5).expect_one_clear_line(&["runs", "mcp stop"]);
    home.session_buddy(["mcp", "stop"]).run().expect_success();
    drop(server);

    home.session_buddy(["archive-sessions"]).run().expect_success();
    let before = sql(&home, "SELECT count(*) FROM sessions");
    let file = home.session_buddy_home().join("backups").join(&name);
    let good = fs::read(&file).unwrap();
    let bad = home.work().join("bad.db.gz");
    fs::write(&bad, &good[..good.len() - 40]).unwrap();
    let refused = home.session_buddy(["backup", "restore", &bad.to_string_lossy()]).run();
    refused.expect_code(6).expect_one_clear_line(&["damaged"]);
    assert_eq!(sql(&home, "SELECT count(*) FROM sessions"), before);
    home.session_buddy(["backup", "restore", "nothing-like-it"])
        .run()
        .expect_code(4)
        .expect_one_clear_line(&["backup list"]);

    let done = home.session_buddy(["backup", "restore", &name]).run();
    assert!(done.expect_success().stdout.contains("Restored 3 sessions"), "{done}");
    assert!(done.stderr.contains("before-restore.db"), "{done}");
    assert_eq!((home.sessions(&[]).len(), home.sessions(&["--archived"]).len()), (3, 0));
    home.session_buddy(["backup", "verify", "--all"]).run().expect_success();
    home.sh(&format!("touch -d '40 days ago' ~/.session-buddy/backups/{name}")).run().expect_success();
    let kept = home.session_buddy(["backup", "prune"]).run();
    assert!(kept.expect_success().stdout.contains("Deleted 0 backups"), "the only backup is kept: {kept}");
    home.session_buddy(["backup", "create"]).run().expect_success();
    let pruned = home.session_buddy(["backup", "prune"]).run();
    assert!(pruned.expect_success().stdout.contains("Deleted 1 backup older than 30 days"), "{pruned}");
}

#[test]
fn a_kill_while_archiving_loses_and_doubles_nothing() {
    let home = home_with_sessions(400);
    let mut chance = Chance::printed("kills of upkeep");
    let total = "SELECT (SELECT count(*) FROM session_events) + (SELECT count(*) FROM archived_events)";
    let before = sql(&home, total);
    for round in 0..12 {
        let args: &[&str] = if round % 2 == 0 { &["archive-sessions"] } else { &["restore-sessions", "--all"] };
        let mut command = home.session_buddy(args.iter().copied()).spawn_without_input();
        std::thread::sleep(Duration::from_millis(chance.below(120)));
        command.kill();
        assert_eq!(sql(&home, total), before);
        let parted = "SELECT count(*) FROM sessions s JOIN archived_sessions a USING (session_id)";
        assert_eq!(sql(&home, parted), "0");
        let orphans =
            "SELECT count(*) FROM archived_events WHERE session_id NOT IN (SELECT session_id FROM archived_sessions)";
        assert_eq!(sql(&home, orphans), "0");
    }
    home.session_buddy(["restore-sessions", "--all"]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 401);
    assert_eq!(sql(&home, "SELECT sum(value) FROM counters WHERE name = 'archived_events'"), "0.0");
}

#[test]
fn a_kill_while_a_backup_is_made_or_restored_leaves_nothing_half() {
    let home = home_with_sessions(300);
    home.session_buddy(["backup", "create"]).run().expect_success();
    let mut chance = Chance::printed("kills of upkeep");
    for round in 0..12 {
        let args: &[&str] = if round % 2 == 0 { &["backup", "create"] } else { &["backup", "restore", "latest"] };
        let mut command = home.session_buddy(args.iter().copied()).spawn_without_input();
        std::thread::sleep(Duration::from_millis(chance.below(150)));
        command.kill();
        assert_eq!(sql(&home, "PRAGMA quick_check"), "ok");
        assert_eq!(home.sessions(&[]).len(), 301);
    }
    home.session_buddy(["backup", "verify", "--all"]).run().expect_success();
    home.session_buddy(["backup", "create"]).run().expect_success();
    for folder in [home.session_buddy_home(), home.session_buddy_home().join("backups")] {
        let names = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".partial")).collect();
        assert!(left.is_empty() || folder == home.session_buddy_home(), "{left:?}");
    }
}

#[test]
fn kills_of_upkeep_while_a_server_writes_lose_nothing() {
    let home = home_with_sessions(150);
    home.session_buddy(["backup", "create"]).run().expect_success();
    let whole = home.session_buddy(["export", "--archived"]).run().expect_success().stdout.clone();
    fs::write(home.work().join("all.jsonl"), &whole).unwrap();
    let file = home.work().join("all.jsonl").to_string_lossy().into_owned();
    let mut chance = Chance::printed("kills of upkeep while a server writes");
    let mut told = 0;
    for round in 0..15 {
        let server = Server::start(&home);
        let lines: [&[&str]; 5] = [
            &["vacuum"],
            &["archive-sessions"],
            &["import", &file],
            &["backup", "create"],
            &["restore-sessions", "--all"],
        ];
        let line = lines[usize::try_from(chance.below(5)).unwrap()];
        let mut command = home.session_buddy(line.iter().copied()).spawn_without_input();
        let until = chance.below(8);
        for _ in 0..until {
            let told_now = server.tool("add_message", json!({ "session_id": "notes", "text": format!("note {told}") }));
            assert_ne!(told_now["isError"], true, "{told_now}");
            told += 1;
        }
        command.kill();
        if round % 2 == 0 {
            server.kill();
        } else {
            server.stop();
        }
        assert_eq!(sql(&home, "PRAGMA integrity_check"), "ok", "after {line:?}");
    }
    let all =
        "SELECT count(*) FROM (SELECT event_id FROM session_events UNION ALL SELECT event_id FROM archived_events)";
    let notes = sql(&home, "SELECT count(*) FROM session_events WHERE data LIKE '%note %'");
    assert_eq!(notes, told.to_string(), "every note that was acknowledged is there once");
    assert_eq!(sql(&home, all), sql(&home, &all.replace("count(*)", "count(DISTINCT event_id)")));
    home.session_buddy(["import", &file]).run().expect_success();
    let now =
        home.session_buddy(["export", "--archived", "--session", "old-0042"]).run().expect_success().stdout.clone();
    let was = whole.lines().filter(|line| line.contains("\"old-0042\"") && line.contains("\"event\"")).count();
    assert_eq!(now.lines().filter(|line| line.contains("\"event\"")).count(), was);
    home.session_buddy(["doctor", "--deep"]).run().expect_no_internals();
}

#[test]
fn sync_says_that_it_is_off_and_by_which_setting() {
    let home = TestHome::patient();
    let status = home.sh("session-buddy sync-status").run();
    assert!(status.expect_success().stdout.contains("akosha_enabled = false"), "{status}");
    home.sh("session-buddy sync-now").run().expect_code(3).expect_one_clear_line(&["disabled", "akosha_enabled"]);
}

#[test]
fn manual_pages_are_printed_and_written_for_every_command() {
    let home = TestHome::patient();
    for program in ["session-buddy", "mahavishnu"] {
        let page = home.sh(&format!("{program} man")).run();
        assert!(page.expect_success().stdout.contains(".TH"), "{page}");
        home.sh(&format!("{program} man --dir ~/man/man1")).run().expect_success();
        assert!(home.user().join(format!("man/man1/{program}.1")).is_file());
    }
    assert!(home.user().join("man/man1/session-buddy-archive-sessions.1").is_file());
}

#[test]
fn a_server_with_its_sessions_in_memory_archives_them_and_has_no_file_to_back_up() {
    let home = TestHome::patient();
    let server = Server::start_with(&home, &["start", "--mode=lite"]);
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    server.expect_all_delivered(&home);
    let session = id(&home.sessions(&[])[0]);
    let done = home.session_buddy(["archive-sessions", "--days", "0"]).run();
    assert!(done.expect_success().stdout.contains("Archived 1 session"), "{done}");
    assert_eq!(home.sessions(&["--archived"]).len(), 1);
    home.session_buddy(["restore-sessions", &session]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 1);
    home.session_buddy(["backup", "create"]).run().expect_code(5).expect_one_clear_line(&["memory"]);
}

#[test]
fn doctor_finds_what_is_wrong_and_mends_what_is_safe() {
    let home = home_with_sessions(3);
    // Rows that were added by hand are in no index and no total.
    let found = home.session_buddy(["doctor"]).run();
    found.expect_code(1);
    for part in ["✗ Search index", "! Totals", "! Backups: there is none", "doctor --fix"] {
        assert!(found.stdout.contains(part), "'{part}' is missing: {found}");
    }
    home.sh("chmod 755 ~/.session-buddy").run().expect_success();
    let mended = home.session_buddy(["doctor", "--fix", "--deep"]).run();
    mended.expect_success();
    for part in ["mended: Home", "mended: Search index", "mended: Totals"] {
        assert!(mended.stdout.contains(part), "'{part}' is missing: {mended}");
    }
    home.session_buddy(["backup", "create"]).run().expect_success();
    let report = home.session_buddy(["doctor", "--json"]).run().expect_success().json();
    let worse: Vec<_> = report.as_array().unwrap().iter().filter(|finding| finding["state"] != "ok").collect();
    // This home has no model, which is told and is no failure.
    assert_eq!(
        worse.iter().map(|finding| finding["check"].clone()).collect::<Vec<_>>(),
        ["Semantic search"],
        "{report}"
    );
    let hits = home.session_buddy(["search", "cargo", "--format", "json"]).run().expect_success().json().to_string();
    assert!(hits.contains("old-0002"), "what was added by hand is found now: {hits}");
    fs::write(home.database(), b"no database any more").unwrap();
    let broken = home.session_buddy(["doctor"]).run();
    broken.expect_code(1);
    assert!(broken.stdout.contains("✗ Database") && broken.stdout.contains("damaged"), "{broken}");
    home.session_buddy(["backup", "restore", "latest"]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 4);
}

#[test]
fn retention_previews_and_deletes_by_the_rules_of_the_settings_only() {
    let mut home = home_with_sessions(3);
    home.session_buddy(["retention", "apply"])
        .run()
        .expect_code(3)
        .expect_one_clear_line(&["no rule", "retention.days"]);
    home.set_var("SESSION_BUDDY_RETENTION__PROJECTS", "engine=30");
    let preview = home.session_buddy(["retention", "preview", "--format", "json"]).run().expect_success().json();
    assert_eq!(preview, json!([{ "rule": "retention.projects engine=30", "sessions": 3, "events": 12 }]));
    assert_eq!(home.sessions(&[]).len(), 4);
    let done = home.session_buddy(["retention", "apply"]).run();
    assert!(done.expect_success().stdout.contains("Deleted 3 sessions and 12 events"), "{done}");
    assert_eq!(home.sessions(&[]).len(), 1);
    home.set_var("SESSION_BUDDY_RETENTION__PROJECTS", "engine");
    home.session_buddy(["retention", "preview"]).run().expect_code(3).expect_one_clear_line(&["engine", "name=days"]);
}

#[test]
fn retention_in_memory_goes_by_the_rules_of_the_server() {
    let mut home = TestHome::patient().with_var("SESSION_BUDDY_RETENTION__PROJECTS", "engine=30");
    let server = Server::start_with(&home, &["start", "--mode=lite"]);
    let lines = {
        let source = home_with_sessions(3);
        source.session_buddy(["export", "--project", "engine"]).run().expect_success().stdout.clone()
    };
    home.session_buddy(["import", "-"]).stdin(lines).run().expect_success();
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    server.expect_all_delivered(&home);
    let preview = home.session_buddy(["retention", "preview", "--format", "json"]).run().expect_success().json();
    assert_eq!(preview, json!([{ "rule": "retention.projects engine=30", "sessions": 3, "events": 12 }]));
    assert_eq!(home.sessions(&[]).len(), 4, "a preview deletes nothing");
    // What this process would be told counts for nothing: the sessions are the server's.
    home.set_var("SESSION_BUDDY_RETENTION__PROJECTS", "");
    let done = home.session_buddy(["retention", "apply"]).run();
    assert!(done.expect_success().stdout.contains("Deleted 3 sessions and 12 events"), "{done}");
    assert_eq!(home.sessions(&[]).len(), 1);
    server.stop();
    let server = Server::start_with(&home, &["start", "--mode=lite"]);
    for command in ["preview", "apply"] {
        let none = home.session_buddy(["retention", command]).run();
        none.expect_code(3).expect_one_clear_line(&["no rule", "retention.days"]);
    }
    server.stop();
}
