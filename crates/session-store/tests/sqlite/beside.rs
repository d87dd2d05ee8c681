//! What lies beside a database: its log, and where a link to it leads.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use oneiric::clock::SystemClock;
use session_store::Store;
use session_store::backup::Backups;
use session_store::sqlite::stray;

use crate::room::{Room, command, options, put};

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

/// Files as a killed process leaves them: a database with `taken_in` events, and a log with one more.
fn left_by_a_kill(room: &Room, to: &Path) {
    let store = room.open();
    put(&store, "s", vec![command("one", "x")]).unwrap();
    room.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    put(&store, "s", vec![command("two", "y")]).unwrap();
    fs::copy(room.path(), to).unwrap();
    fs::copy(log_of(&room.path()), log_of(to)).unwrap();
    assert!(fs::metadata(log_of(to)).unwrap().len() > 0);
}

#[test]
fn a_copy_with_a_log_beside_it_is_restored_with_what_the_log_holds() {
    let room = Room::new();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    fs::create_dir_all(backups.folder()).unwrap();
    let copy = backups.folder().join("sessions-20250205-020000.db");
    left_by_a_kill(&room, &copy);
    let (bytes, log) = (fs::read(&copy).unwrap(), fs::read(log_of(&copy)).unwrap());
    assert_eq!(backups.verify(&copy).unwrap().events, 2);
    let elsewhere = Room::new();
    assert_eq!(backups.restore(&copy, &elsewhere.path(), &SystemClock, &mut || {}).unwrap().0.events, 2);
    assert_eq!(elsewhere.open().session("s").unwrap().event_count, 2);
    assert_eq!((fs::read(&copy).unwrap(), fs::read(log_of(&copy)).unwrap()), (bytes, log), "the copy is as it was");
    // A link to it is the same copy.
    let link = elsewhere.path().with_file_name("link.db");
    symlink(&copy, &link).unwrap();
    assert_eq!(backups.verify(&link).unwrap().events, 2);
}

#[test]
fn a_log_of_another_database_beside_a_copy_is_not_mixed_with_it() {
    let room = Room::new();
    let copy = room.path().with_file_name("copy.db");
    left_by_a_kill(&room, &copy);
    let other = Room::new();
    put(&other.open(), "other", vec![command("three", "z")]).unwrap();
    other.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    fs::copy(other.path(), &copy).unwrap();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    let content = backups.verify(&copy).unwrap();
    assert_eq!((content.sessions, content.events), (1, 1));
    // An empty one says nothing.
    fs::write(log_of(&copy), b"").unwrap();
    assert_eq!(backups.verify(&copy).unwrap().events, 1);
}

#[test]
fn a_stray_log_beside_the_file_that_a_link_leads_to_is_set_aside() {
    let room = Room::new();
    let real = room.folder.path().join("real");
    fs::create_dir(&real).unwrap();
    let file = real.join("s.db");
    left_by_a_kill(&room, &file);
    let link = room.folder.path().join("link.db");
    symlink(&file, &link).unwrap();
    // A backup of another moment goes over it, by way of the link.
    let other = Room::new();
    put(&other.open(), "other", vec![command("three", "z")]).unwrap();
    other.raw().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    fs::write(&link, fs::read(other.path()).unwrap()).unwrap();
    let aside = stray::set_aside(&link).unwrap().unwrap();
    assert!(!log_of(&file).exists() && aside.kept.starts_with(fs::canonicalize(&real).unwrap()), "{aside}");
    let store = session_store::sqlite::SqliteStore::open(&link, options()).unwrap();
    assert!(store.session("other").is_ok() && store.session("s").is_err());
    // By whatever name it is asked again, one look is all.
    fs::write(log_of(&file), b"").unwrap();
    assert_eq!(stray::set_aside(&file).unwrap(), None);
    assert_eq!(stray::set_aside(&link).unwrap(), None);
}

#[test]
fn a_damaged_database_behind_a_link_is_replaced_where_it_lies_and_kept() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    let entry = backups.create(&room.path(), &SystemClock, &mut |_, _| {}).unwrap();
    let good = backups.folder().join(entry.name);
    let real = room.folder.path().join("real");
    fs::create_dir(&real).unwrap();
    let (file, link) = (real.join("s.db"), room.folder.path().join("link.db"));
    symlink("real/s.db", &link).unwrap();
    for damaged in [true, false] {
        if damaged {
            fs::write(&file, b"this was a database once").unwrap();
        }
        let (_, kept) = backups.restore(&good, &link, &SystemClock, &mut || {}).unwrap();
        let kept = fs::symlink_metadata(kept.unwrap()).unwrap();
        assert!(kept.is_file(), "the copy of what was replaced is no link");
        assert_eq!(kept.len() == 24, damaged);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link is still there");
        assert!(fs::symlink_metadata(&file).unwrap().is_file());
        let store = session_store::sqlite::SqliteStore::open(&link, options()).unwrap();
        assert_eq!(store.session("s").unwrap().event_count, 1);
    }
}

#[test]
fn a_log_and_its_index_that_were_made_read_only_do_not_outlive_the_databases_being_so() {
    let room = Room::new();
    let store = room.open();
    put(&store, "s", vec![command("one", "x")]).unwrap();
    let parts = ["-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", room.path().display())));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    parts.iter().for_each(|part| set(part, 0o400));
    drop(room.open());
    assert_eq!(parts.each_ref().map(|part| mode(part)), [0o600, 0o600]);
    // Of a database that is read-only, nothing is changed.
    parts.iter().for_each(|part| set(part, 0o400));
    set(&room.path(), 0o400);
    drop(room.try_open(options()));
    assert_eq!(parts.each_ref().map(|part| mode(part)), [0o400, 0o400]);
}
