//! A backup copied over the database of a killed server, whose log is still there: the copy is what counts, undamaged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::{Server, TestHome};

use crate::operation::sql;
use crate::sample::{commands, id, session_start};

fn remember(server: &Server, session: &str, text: &str) {
    let answer = server.tool("add_message", json!({ "session_id": session, "text": text }));
    assert_ne!(answer["isError"], true, "{answer}");
}

/// Everything that is stored, as lines.
fn content(home: &TestHome) -> String {
    home.session_buddy(["export", "--archived"]).run().expect_success().stdout.clone()
}

/// The log, which lies beside the file itself.
fn log(home: &TestHome) -> PathBuf {
    let database = fs::canonicalize(home.database()).unwrap();
    PathBuf::from(format!("{}-wal", database.display()))
}

fn set_aside(home: &TestHome) -> usize {
    let log = log(home);
    let begin = format!("{}.aside-", log.file_name().unwrap().to_string_lossy());
    let names = fs::read_dir(log.parent().unwrap()).unwrap().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with(&begin)).count()
}

fn log_bytes(home: &TestHome) -> u64 {
    fs::metadata(log(home)).map_or(0, |meta| meta.len())
}

/// A server with some work, a backup by `backup`, more work, `kill -9`; then the copy at `copied` goes over the database.
fn killed_and_restored(home: &TestHome, backup: &str, unpack: &str) -> String {
    let server = Server::start(home);
    let _ = server.tool("track_session_start", session_start("start", 0));
    let session = id(&home.sessions(&[])[0]);
    for number in 0..30 {
        remember(&server, &session, &format!("before {number} {}", "x".repeat(900)));
    }
    home.sh(backup).run().expect_success();
    let then = content(home);
    for number in 0..40 {
        remember(&server, &session, &format!("after {number} {}", "y".repeat(2_000)));
        if number == 20 {
            sql(home, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
    server.kill();
    assert!(log_bytes(home) > 0, "the killed server left its log");
    home.sh(unpack).run().expect_success();
    then
}

#[test]
fn a_backup_of_this_program_copied_over_a_killed_servers_database_is_not_mixed_with_its_log() {
    let home = TestHome::patient();
    let then = killed_and_restored(
        &home,
        "session-buddy backup create",
        "gunzip ~/.session-buddy/backups/sessions-*.db.gz && cp ~/.session-buddy/backups/sessions-*.db ~/.session-buddy/sessions.db",
    );
    let server = Server::start(&home);
    assert_eq!(content(&home), then);
    assert_eq!(sql(&home, "PRAGMA integrity_check"), "ok");
    assert_eq!(set_aside(&home), 1);
    let log = home.session_buddy(["logs", "--tail", "50"]).run();
    assert!(log.everything().contains("set aside as sessions.db-wal.aside-"), "{log}");
    server.stop();
}

#[test]
fn the_same_holds_for_a_database_behind_a_link() {
    let home = TestHome::patient();
    home.session_buddy(["list-sessions"]).run().expect_success();
    let linked =
        "mkdir ~/real && mv ~/.session-buddy/sessions.db ~/real/s.db && ln -s ~/real/s.db ~/.session-buddy/sessions.db";
    home.sh(linked).run().expect_success();
    let then = killed_and_restored(
        &home,
        "session-buddy backup create",
        "gunzip ~/.session-buddy/backups/sessions-*.db.gz && cp ~/.session-buddy/backups/sessions-*.db ~/.session-buddy/sessions.db",
    );
    let listed = home.session_buddy(["list-sessions"]).run();
    listed.expect_success().expect_one_clear_line(&["real/s.db-wal set aside as", "another database"]);
    assert_eq!(content(&home), then);
    assert_eq!(sql(&home, "PRAGMA integrity_check"), "ok");
    assert_eq!(set_aside(&home), 1);
    // What is damaged is replaced behind the link.
    home.sh("gzip ~/.session-buddy/backups/sessions-*.db; echo nothing > ~/.session-buddy/sessions.db")
        .run()
        .expect_success();
    home.session_buddy(["backup", "restore", "latest"]).run().expect_success();
    assert!(fs::symlink_metadata(home.database()).unwrap().is_symlink(), "the link is still there");
    assert_eq!(content(&home), then);
    home.sh("grep -q nothing ~/.session-buddy/backups/*.before-restore.db").run().expect_success();
}

#[test]
fn a_plain_copy_made_earlier_is_not_mixed_with_the_log_either_and_a_command_says_so_in_one_line() {
    let home = TestHome::patient();
    let then = killed_and_restored(
        &home,
        "sqlite3 ~/.session-buddy/sessions.db 'PRAGMA wal_checkpoint(TRUNCATE)' && cp ~/.session-buddy/sessions.db ~/copy.db",
        "cp ~/copy.db ~/.session-buddy/sessions.db",
    );
    let listed = home.session_buddy(["list-sessions"]).run();
    listed.expect_success().expect_one_clear_line(&["sessions.db-wal set aside as", "another database"]);
    assert_eq!(content(&home), then);
    assert_eq!(sql(&home, "PRAGMA integrity_check"), "ok");
    assert_eq!(set_aside(&home), 1);
}

#[test]
fn a_killed_servers_log_stays_when_nothing_was_copied_and_an_orderly_end_leaves_none() {
    let home = TestHome::patient();
    for round in 0..4 {
        let server = Server::start(&home);
        let started = server.tool("track_session_start", session_start(&format!("start-{round}"), 0));
        let session = started["structuredContent"]["session_id"].as_str().unwrap().to_owned();
        remember(&server, &session, "kept");
        if round == 2 {
            sql(&home, "PRAGMA wal_checkpoint(PASSIVE)");
            remember(&server, &session, "kept too");
        }
        server.kill();
        assert!(log_bytes(&home) > 0);
    }
    assert_eq!(home.sessions(&[]).len(), 4);
    assert_eq!(set_aside(&home), 0);
    Server::start(&home).stop();
    assert!(!Path::new(&home.session_buddy_home().join("sessions.db-wal")).exists(), "an orderly end leaves no log");
    assert!(commands(&home.events(&id(&home.sessions(&[])[0]))).is_empty());
}
