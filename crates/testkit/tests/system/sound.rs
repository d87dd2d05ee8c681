//! What is called sound is: databases in which nothing can be stored, backups that cannot be restored, and files that only look
//! like them.

use std::fs;

use testkit::TestHome;
use testkit::disk::{SmallDisk, inside_mount_namespace};

use crate::operation::{home_with_sessions, sql};
use crate::sample::id;

const VECTORS: &str = include_str!("../../../session-store/migrations/vectors.sql");

fn message(home: &TestHome) -> testkit::Finished {
    home.session_buddy(["add-message", "--session", "notes", "a note"]).run()
}

#[test]
fn pruning_keeps_the_newest_backup_that_can_be_restored() {
    let home = TestHome::patient();
    message(&home).expect_success();
    home.session_buddy(["backup", "create"]).run().expect_success();
    home.sh("cd ~/.session-buddy/backups && mv sessions-*.db.gz sessions-1.db.gz && touch -d '40 days ago' sessions-1.db.gz")
        .run()
        .expect_success();
    for newer in [": > sessions-2.db.gz", "head -c -20 sessions-1.db.gz > sessions-2.db.gz"] {
        home.sh(&format!("cd ~/.session-buddy/backups && {newer}")).run().expect_success();
        let listed = home.session_buddy(["backup", "list"]).run();
        assert_eq!(listed.expect_success().stdout.matches("incomplete").count(), 1, "{listed}");
        let doctor = home.session_buddy(["doctor"]).run();
        assert!(doctor.stdout.contains("! Backups: the newest, sessions-2.db.gz, is incomplete"), "{doctor}");
        let done = home.session_buddy(["backup", "prune"]).run();
        assert!(done.expect_success().stdout.contains("Deleted 0 backups"), "{done}");
        home.session_buddy(["backup", "verify", "sessions-1.db.gz"]).run().expect_success();
    }
    home.sh("cd ~/.session-buddy/backups && cp sessions-2.db.gz sessions-1.db.gz && touch -d '40 days ago' *.gz")
        .run()
        .expect_success();
    let refused = home.session_buddy(["backup", "prune"]).run();
    refused.expect_code(6).expect_one_clear_line(&["none was deleted", "backup create"]);
    assert_eq!(fs::read_dir(home.session_buddy_home().join("backups")).unwrap().count(), 2);
    let made = home.session_buddy(["backup", "create", "--prune"]).run();
    made.expect_success();
    assert_eq!(fs::read_dir(home.session_buddy_home().join("backups")).unwrap().count(), 1, "{made}");
}

#[test]
fn a_database_in_which_nothing_can_be_stored_is_not_sound() {
    for (change, part) in [
        ("DROP TABLE event_blocks", "no table event_blocks"),
        ("ALTER TABLE sessions DROP COLUMN hostname", "no column hostname"),
    ] {
        let home = TestHome::patient();
        message(&home).expect_success();
        home.session_buddy(["backup", "create"]).run().expect_success();
        sql(&home, change);
        let doctor = home.session_buddy(["doctor", "--deep"]).run();
        doctor.expect_code(1);
        assert!(doctor.stdout.contains(part) && doctor.stdout.contains("backup restore latest"), "{doctor}");
        home.session_buddy(["backup", "create"]).run().expect_code(6).expect_one_clear_line(&[part]);
        home.sh("cp ~/.session-buddy/sessions.db ~/other.db").run().expect_success();
        home.session_buddy(["backup", "verify", "../user/other.db"])
            .run()
            .expect_code(6)
            .expect_one_clear_line(&[part]);
        home.session_buddy(["backup", "restore", "latest"]).run().expect_success();
        message(&home).expect_success();
        home.session_buddy(["backup", "restore", "../user/other.db"]).run().expect_code(6);
        message(&home).expect_success();
    }
}

#[test]
fn a_backup_with_a_trigger_is_refused_and_doctor_says_how_to_drop_one() {
    let home = TestHome::patient();
    message(&home).expect_success();
    home.sh("cp ~/.session-buddy/sessions.db ~/other.db").run().expect_success();
    let trigger = "CREATE TRIGGER more AFTER INSERT ON session_events BEGIN DELETE FROM session_events; END";
    home.sh(&format!("sqlite3 ~/other.db '{trigger}'; gzip -k ~/other.db")).run().expect_success();
    for name in ["../user/other.db", "../user/other.db.gz"] {
        let refused = home.session_buddy(["backup", "restore", name]).run();
        refused.expect_code(6).expect_one_clear_line(&["trigger 'more'", "DROP TRIGGER"]);
    }
    sql(&home, trigger);
    let doctor = home.session_buddy(["doctor"]).run();
    doctor.expect_code(1);
    let drop = doctor.stdout.lines().find_map(|line| line.split_once("remove it: ")).unwrap().1;
    home.sh(drop).run().expect_success();
    let sound = home.session_buddy(["doctor"]).run();
    assert!(sound.expect_success().stdout.contains("sessions.db is sound"), "{sound}");
}

/// A byte of the text that no text holds.
const DAMAGED_TEXT: &str = "UPDATE session_events SET data = cast(x'7b226d657373616765223a2261ff6f7465227d' AS TEXT) \
    WHERE event_type = 'message'";

#[test]
fn a_damaged_character_is_told_by_all_that_check_and_stops_nothing() {
    let home = TestHome::patient();
    message(&home).expect_success();
    home.session_buddy(["add-message", "--session", "notes", "another note"]).run().expect_success();
    sql(&home, &format!("{DAMAGED_TEXT} AND data LIKE '%a note%'"));
    let doctor = home.session_buddy(["doctor"]).run();
    doctor.expect_code(1);
    assert!(doctor.stdout.contains("✗ Values: a value is damaged: data of the event "), "{doctor}");
    let session = id(&home.sessions(&["--component", "*"])[0]);
    for args in [
        &["export", "--output", "/dev/null"][..],
        &["search", "note"],
        &["list-events"],
        &["list-sessions"],
        &["resume", &session],
        &["backup", "create"],
        &["backup", "verify"],
        &["backup", "restore", "latest"],
    ] {
        let done = home.session_buddy(args.iter().copied()).run();
        done.expect_success().expect_no_internals();
        assert_eq!(done.stderr.contains("Warning: a value is damaged"), args[0] == "backup", "{done}");
    }
    home.session_buddy(["doctor", "--fix"]).run().expect_success();
    let sound = home.session_buddy(["doctor", "--deep"]).run();
    assert!(!sound.expect_success().stdout.contains("Values"), "{sound}");
}

#[test]
fn a_search_index_with_a_lost_page_is_mended_and_does_not_keep_backups_from_being_made() {
    let home = TestHome::patient();
    message(&home).expect_success();
    let script = "cd ~/.session-buddy && sqlite3 sessions.db 'PRAGMA wal_checkpoint(TRUNCATE)' && \
        page=$(sqlite3 sessions.db \"SELECT rootpage FROM sqlite_schema WHERE name = 'event_search_data'\") && \
        dd if=/dev/zero of=sessions.db bs=4096 seek=$((page - 1)) count=1 conv=notrunc";
    home.sh(script).run().expect_success();
    message(&home).expect_code(6);
    let made = home.session_buddy(["backup", "create"]).run();
    assert!(made.expect_success().stderr.contains("Warning: the search index is damaged"), "{made}");
    // Another one that mends has its turn.
    let busy = home.sh("flock ~/.session-buddy/sessions.lock session-buddy doctor --fix").run();
    assert!(busy.expect_code(1).stdout.contains("! Database: another command mends the database"), "{busy}");
    let mended = home.session_buddy(["doctor", "--fix"]).run();
    assert!(mended.expect_success().stdout.contains("✓ mended: Search index"), "{mended}");
    message(&home).expect_success();
    let found = home.session_buddy(["search", "note", "--format", "json"]).run();
    assert!(found.expect_success().stdout.contains("a note"), "{found}");
    let whole = home.program("sqlite3", [home.database().to_string_lossy().as_ref(), "PRAGMA integrity_check"]).run();
    assert_eq!(whole.expect_success().stdout.trim(), "ok");
}

#[test]
fn a_view_of_the_operators_own_is_no_damage() {
    let home = TestHome::patient();
    message(&home).expect_success();
    sql(&home, "CREATE VIEW recent AS SELECT session_id, project FROM sessions");
    for args in [&["backup", "create"][..], &["backup", "restore", "latest"], &["doctor", "--deep"]] {
        home.session_buddy(args.iter().copied()).run().expect_success();
    }
}

#[test]
fn tables_that_are_gone_and_rows_that_do_not_fit_together_are_damage_and_no_defect() {
    let home = home_with_sessions(2);
    sql(&home, "DROP TABLE archived_events");
    for args in [&["archive-sessions"][..], &["list-events", "--archived"], &["search", "x"]] {
        home.session_buddy(args.iter().copied()).run().expect_code(6).expect_one_clear_line(&["is damaged", "doctor"]);
    }
    let home = home_with_sessions(2);
    // Rows of the archive that are live ones, too.
    sql(&home, "INSERT INTO archived_events SELECT * FROM session_events");
    home.session_buddy(["archive-sessions"]).run().expect_code(6).expect_one_clear_line(&["is damaged", "doctor"]);
}

#[test]
fn doctor_finds_archived_events_that_the_index_does_not_know_and_makes_it_anew() {
    let home = home_with_sessions(3);
    home.session_buddy(["doctor", "--fix"]).run().expect_success();
    home.session_buddy(["archive-sessions"]).run().expect_success();
    home.session_buddy(["doctor"]).run().expect_success();
    sql(&home, "UPDATE archived_events SET seq = seq + 5000");
    let found = home.session_buddy(["doctor"]).run();
    assert!(found.expect_code(1).stdout.contains("✗ Search index: does not know 12 of "), "{found}");
    home.session_buddy(["doctor", "--fix"]).run().expect_success();
    home.session_buddy(["doctor"]).run().expect_success();
}

#[test]
fn doctor_makes_no_database_and_leaves_the_vectors_alone_when_there_is_none() {
    let home = TestHome::patient();
    fs::create_dir_all(home.session_buddy_home()).unwrap();
    let vectors = home.session_buddy_home().join("vectors.db");
    let script = format!(
        "{VECTORS}
         PRAGMA user_version = 1; PRAGMA application_id = {};
         INSERT INTO generations (id, model, digest, dimensions, shape, state) VALUES (1, 'm', 'd', 4, 1, 'active');
         INSERT INTO entries (id, generation, seq, piece, mark, place) VALUES (1, 1, 1, 0, 0, 1);",
        0x5b_76_65_63
    );
    home.program("sqlite3", [vectors.to_string_lossy()]).stdin(script).run().expect_success();
    for args in [&["doctor"][..], &["doctor", "--fix"]] {
        let done = home.session_buddy(args.iter().copied()).run();
        assert!(done.stdout.contains("sessions.db is not there yet"), "{done}");
        assert!(!done.stdout.contains("that is gone"), "{done}");
        assert!(!home.database().exists(), "{done}");
    }
    let left = home.program("sqlite3", [vectors.to_string_lossy().as_ref(), "SELECT count(*) FROM entries"]).run();
    assert_eq!(left.expect_success().stdout.trim(), "1");
    // With a database that does not hold the event, its vector is gone.
    home.session_buddy(["list-sessions"]).run().expect_success();
    let found = home.session_buddy(["doctor"]).run();
    assert!(found.stdout.contains("that is gone"), "{found}");
}

#[test]
fn doctor_says_when_the_database_can_only_be_read() {
    if !inside_mount_namespace("sound::doctor_says_when_the_database_can_only_be_read") {
        return;
    }
    let home = TestHome::new();
    fs::create_dir_all(home.session_buddy_home()).unwrap();
    // Enough that its space is not what is wrong.
    let disk = SmallDisk::mount(&home.session_buddy_home(), 512 * 1024);
    message(&home).expect_success();
    let sound = home.session_buddy(["doctor"]).run();
    assert!(sound.stdout.contains("✓ Database: "), "{sound}");
    disk.set_read_only(true);
    let found = home.session_buddy(["doctor"]).run();
    found.expect_code(1);
    assert!(found.stdout.contains("✗ Database: ") && found.stdout.contains("can only be read"), "{found}");
    disk.set_read_only(false);
    home.session_buddy(["doctor"]).run().expect_success();
}

#[test]
fn doctor_names_a_backup_and_not_itself_for_what_it_cannot_mend() {
    let home = TestHome::patient();
    message(&home).expect_success();
    for damage in ["truncate -s 3000 sessions.db", "truncate -s 20000 sessions.db", "echo text > sessions.db"] {
        home.sh(&format!("cd ~/.session-buddy && rm -f sessions.db-*; {damage}")).run().expect_success();
        let found = home.session_buddy(["doctor"]).run();
        let line = found.expect_code(1).stdout.lines().find(|line| line.starts_with("✗ Database")).unwrap();
        assert!(line.contains("backup restore latest") && !line.contains("session-buddy doctor"), "{damage}: {line}");
    }
}

#[test]
fn an_empty_file_is_a_damaged_backup() {
    let home = TestHome::patient();
    message(&home).expect_success();
    home.sh(": > ~/e.db; gzip -k ~/e.db").run().expect_success();
    for name in ["../user/e.db", "../user/e.db.gz"] {
        home.session_buddy(["backup", "verify", name]).run().expect_code(6).expect_one_clear_line(&["empty"]);
    }
}

#[test]
fn an_export_goes_to_files_and_devices_and_touches_nothing_else() {
    let home = TestHome::patient();
    message(&home).expect_success();
    home.sh("mkfifo fifo; echo old > real; ln -s real link; ln -s nowhere dangling").run().expect_success();
    for (name, part) in [("fifo", "no regular file"), ("dangling", "link"), (".", "folder"), ("/dev", "folder")] {
        for force in [&[][..], &["--force"]] {
            let args = ["export", "--output", name].into_iter().chain(force.iter().copied());
            home.session_buddy(args).run().expect_code(2).expect_one_clear_line(&[part]);
        }
    }
    home.sh("test -p fifo && test -L dangling && test ! -e nowhere").run().expect_success();
    home.session_buddy(["export", "--output", "link"]).run().expect_code(5).expect_one_clear_line(&["exists"]);
    home.session_buddy(["export", "--output", "link", "--force"]).run().expect_success();
    home.sh("test -L link && grep -q header real").run().expect_success();
    home.session_buddy(["export", "--output", "/dev/null"]).run().expect_success();
    home.sh("test -c /dev/null").run().expect_success();
}
