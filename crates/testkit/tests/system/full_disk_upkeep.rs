//! Upkeep, transfer and notes on a full disk: refused with the documented code and one line that says what is true, nothing
//! half done, and all of it possible once there is room.

use std::fs;

use testkit::disk::{SmallDisk, inside_mount_namespace};
use testkit::{Server, TestHome};

use crate::operation::{filled_with_sessions, sql};

/// Room for the home with everything that the tests make.
const KIB: u32 = 24 * 1024;
/// Sessions of long ago.
const OLD: usize = 40;

fn home_on_small_disk() -> (TestHome, SmallDisk) {
    let home = TestHome::patient();
    fs::create_dir_all(home.session_buddy_home()).unwrap();
    let disk = SmallDisk::mount(&home.session_buddy_home(), KIB);
    filled_with_sessions(&home, OLD);
    (home, disk)
}

/// Everything that is stored.
fn content(home: &TestHome) -> String {
    home.session_buddy(["export", "--archived"]).run().expect_success().stdout.clone()
}

/// Fills the disk, expects every one of `lines` to be refused for want of space with nothing changed; with room again, each
/// succeeds in its turn.
fn expect_refused_then_done(home: &TestHome, disk: &SmallDisk, lines: &[&str]) {
    for line in lines {
        let before = content(home);
        let files = || testkit::scan::tree(&home.session_buddy_home()).len();
        let files_before = files();
        let ballast = disk.fill();
        let refused = home.sh(line).run();
        refused.expect_code(6).expect_no_internals();
        let told = refused.stderr.to_lowercase();
        assert!(told.contains("space") || told.contains("are free"), "{line}: {refused}");
        assert!(!told.contains("can be read but not written"), "{line}: {refused}");
        assert_eq!(home.sessions(&[]).len() + home.sessions(&["--archived"]).len(), OLD + 1, "{line}: still readable");
        drop(ballast);
        assert_eq!(content(home), before, "{line}: nothing half done");
        assert!(files() <= files_before + 2, "{line}: something was left behind");
        home.sh(line).run().expect_success();
        assert_eq!(sql(home, "PRAGMA integrity_check"), "ok", "{line}");
    }
}

/// Each changes something that the one before it left.
const LINES: [&str; 9] = [
    "session-buddy archive-sessions --days 30",
    "session-buddy restore-sessions --all",
    "session-buddy add-message --session old-0001 \"$(head -c 60000 /dev/zero | tr '\\0' x)\"",
    "session-buddy checkpoint --session old-0002 --note \"$(head -c 60000 /dev/zero | tr '\\0' y)\"",
    "session-buddy store-test-result --session old-0003 --result failed --message \"$(head -c 60000 /dev/zero | tr '\\0' z)\" tests/a.py",
    "session-buddy backup create",
    "session-buddy export --archived --output ~/.session-buddy/all.jsonl",
    "session-buddy import ~/more.jsonl",
    "session-buddy vacuum",
];

/// An export whose events are new here, and whose session is known.
fn more_to_import(home: &TestHome) {
    let mut lines = vec![
        r#"{"kind":"session","session_id":"old-0000","status":"ended","start_time":"2025-01-05T10:00:00Z","events":4}"#
            .to_owned(),
    ];
    for number in 0..200 {
        lines.push(format!(
            r#"{{"kind":"event","session_id":"old-0000","event_id":"more.{number}","event_type":"command","timestamp":"2025-01-05T10:00:05Z","data":{{"command":"{}"}}}}"#,
            "m".repeat(1_000)
        ));
    }
    fs::write(home.user().join("more.jsonl"), lines.join("\n")).unwrap();
}

#[test]
fn upkeep_and_notes_on_a_full_disk_are_refused_whole_and_possible_again_with_room() {
    if !inside_mount_namespace(
        "full_disk_upkeep::upkeep_and_notes_on_a_full_disk_are_refused_whole_and_possible_again_with_room",
    ) {
        return;
    }
    let (home, disk) = home_on_small_disk();
    more_to_import(&home);
    expect_refused_then_done(&home, &disk, &LINES);
}

#[test]
fn the_same_while_a_server_runs_which_goes_on() {
    if !inside_mount_namespace("full_disk_upkeep::the_same_while_a_server_runs_which_goes_on") {
        return;
    }
    let (home, disk) = home_on_small_disk();
    more_to_import(&home);
    let mut server = Server::start(&home);
    expect_refused_then_done(&home, &disk, &LINES);
    server.expect_healthy("a full disk");
    server.stop();
}

#[test]
fn a_backup_is_not_restored_onto_a_full_disk_and_the_database_stays() {
    if !inside_mount_namespace("full_disk_upkeep::a_backup_is_not_restored_onto_a_full_disk_and_the_database_stays") {
        return;
    }
    let (home, disk) = home_on_small_disk();
    home.session_buddy(["backup", "create"]).run().expect_success();
    home.session_buddy(["add-message", "--session", "old-0001", "later"]).run().expect_success();
    let before = content(&home);
    let ballast = disk.fill();
    let refused = home.session_buddy(["backup", "restore", "latest"]).run();
    refused.expect_code(6).expect_no_internals();
    assert!(refused.stderr.contains("space"), "{refused}");
    drop(ballast);
    assert_eq!(content(&home), before);
    home.session_buddy(["backup", "restore", "latest"]).run().expect_success();
    assert!(!content(&home).contains("later"));
    assert_eq!(sql(&home, "PRAGMA integrity_check"), "ok");
}

#[test]
fn retention_on_a_full_disk_deletes_nothing_by_halves() {
    if !inside_mount_namespace("full_disk_upkeep::retention_on_a_full_disk_deletes_nothing_by_halves") {
        return;
    }
    let (mut home, disk) = home_on_small_disk();
    home.set_var("SESSION_BUDDY_RETENTION__PROJECTS", "engine=30");
    let before = content(&home);
    let ballast = disk.fill();
    let refused = home.session_buddy(["retention", "apply"]).run();
    refused.expect_code(6).expect_one_clear_line(&["space"]);
    drop(ballast);
    assert_eq!(content(&home), before);
    home.session_buddy(["retention", "apply"]).run().expect_success();
    assert_eq!(home.sessions(&[]).len(), 1);
}
