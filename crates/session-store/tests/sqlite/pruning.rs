//! Old backups are deleted, and what can be restored is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::FaultKind;
use session_store::backup::Backups;

use crate::room::{Room, command, put};

const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A folder with one good backup; `age` its days.
fn with_backup(room: &Room, age: u32) -> (Backups, PathBuf) {
    put(&room.open(), "s", vec![command("one", &"words ".repeat(500))]).unwrap();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    let entry = backups.create(&room.path(), &SystemClock, &mut |_, _| {}).unwrap();
    let path = backups.folder().join(entry.name);
    grow_old(&path, age);
    (backups, path)
}

fn grow_old(path: &Path, days: u32) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let now = Duration::from_micros(u64::try_from(SystemClock.now().as_micros()).unwrap());
    file.set_modified(SystemTime::UNIX_EPOCH + now - DAY * days).unwrap();
}

fn names(backups: &Backups) -> Vec<String> {
    let mut names: Vec<String> = backups.list().unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn the_newest_that_can_be_restored_is_kept_whatever_else_is_newer() {
    let room = Room::new();
    let (backups, good) = with_backup(&room, 40);
    let bytes = fs::read(&good).unwrap();
    let foreign = room.path().with_file_name("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE songs (title)").unwrap();
    let newer = backups.folder().join("sessions-29990101-000000.db.gz");
    for (what, broken) in [
        ("empty", Vec::new()),
        ("cut off", bytes[..bytes.len() - 30].to_vec()),
        ("its header alone", bytes[..200].to_vec()),
        ("text", b"no database".to_vec()),
        ("foreign", fs::read(&foreign).unwrap()),
    ] {
        fs::write(&newer, broken).unwrap();
        for dry_run in [true, false] {
            let gone = backups.prune(MONTH, SystemClock.now(), dry_run).unwrap();
            assert!(gone.is_empty() && good.exists(), "{what}: {gone:?}");
        }
        // Old ones that are broken go, of whatever age the good one is.
        grow_old(&newer, 35);
        let gone = backups.prune(MONTH, SystemClock.now(), false).unwrap();
        assert!(gone.len() == 1 && good.exists() && !newer.exists(), "{what}: {gone:?}");
    }
    // A newer one that is whole lets the old one go.
    fs::write(&newer, &bytes).unwrap();
    backups.prune(MONTH, SystemClock.now(), false).unwrap();
    assert_eq!(names(&backups), ["sessions-29990101-000000.db.gz"]);
}

#[test]
fn none_is_deleted_while_none_can_be_restored_and_that_is_said() {
    let room = Room::new();
    let (backups, file) = with_backup(&room, 40);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    grow_old(&file, 40);
    let other = backups.folder().join("sessions-20200101-000000.db");
    fs::write(&other, b"").unwrap();
    grow_old(&other, 400);
    let refused = backups.prune(MONTH, SystemClock.now(), false).unwrap_err();
    assert_eq!(refused.kind(), FaultKind::Unavailable);
    assert!(refused.message().contains("none was deleted"), "{refused}");
    assert!(file.exists() && other.exists());
    // Without an old one there is nothing to ask.
    assert_eq!(backups.prune(DAY * 500, SystemClock.now(), false).unwrap(), []);
}

#[test]
fn a_backup_that_was_cut_off_is_listed_as_incomplete() {
    let room = Room::new();
    let (backups, file) = with_backup(&room, 0);
    assert!(!backups.list().unwrap()[0].incomplete);
    let bytes = fs::read(&file).unwrap();
    for length in [bytes.len() - 1, bytes.len() - 8, bytes.len() / 2, 0] {
        fs::write(&file, &bytes[..length]).unwrap();
        assert!(backups.list().unwrap()[0].incomplete, "{length} of {} bytes", bytes.len());
    }
}

#[test]
fn the_log_of_a_damaged_database_that_was_kept_goes_with_it() {
    let room = Room::new();
    let (backups, file) = with_backup(&room, 0);
    fs::write(room.path(), b"this was a database once").unwrap();
    let (_, kept) = backups.restore(&file, &room.path(), &SystemClock, &mut || {}).unwrap();
    let kept = kept.unwrap();
    let log = PathBuf::from(format!("{}-wal", kept.display()));
    fs::write(&log, b"and its log").unwrap();
    grow_old(&kept, 40);
    backups.prune(MONTH, SystemClock.now(), false).unwrap();
    assert!(file.exists() && !kept.exists() && !log.exists());
}
