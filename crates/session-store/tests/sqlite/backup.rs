use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::FaultKind;
use session_store::Store;
use session_store::backup::Backups;

use crate::room::{Room, command, options, put};

fn backups(room: &Room) -> (Backups, PathBuf) {
    let database = room.path();
    (Backups::in_folder(database.parent().unwrap().join("backups")), database)
}

fn create(room: &Room) -> PathBuf {
    let (backups, database) = backups(room);
    let entry = backups.create(&database, &SystemClock, &mut |_, _| {}).unwrap();
    backups.folder().join(entry.name)
}

/// As `gzip` packs it.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_backup_is_made_while_others_write_and_holds_a_whole_moment() {
    let room = Room::new();
    let store = room.open();
    for round in 0..200 {
        put(&store, "s", vec![command(&format!("first-{round}"), &"x".repeat(2000))]).unwrap();
    }
    let (backups, database) = backups(&room);
    let done = AtomicBool::new(false);
    let entry = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                put(&store, "t", vec![command(&format!("second-{round}"), "y")]).unwrap();
                round += 1;
            }
        });
        let entry = backups.create(&database, &SystemClock, &mut |_, _| {}).unwrap();
        done.store(true, Ordering::Relaxed);
        entry
    });
    let label = entry.label.unwrap();
    assert!(label.events >= 200, "{label:?}");
    let file = backups.folder().join(&entry.name);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(entry.name.starts_with("sessions-") && entry.name.ends_with(".db.gz"), "{}", entry.name);
    assert_eq!(backups.verify(&file).unwrap().events, label.events);
    let left: Vec<_> = fs::read_dir(backups.folder()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "nothing but the backup: {left:?}");
}

#[test]
fn a_restore_brings_the_old_content_back_and_keeps_the_replaced_one() {
    let room = Room::new();
    let store = room.open();
    put(&store, "s", vec![command("one", "x")]).unwrap();
    let file = create(&room);
    put(&store, "t", vec![command("two", "y")]).unwrap();
    let (backups, database) = backups(&room);
    let (content, kept) = backups.restore(&file, &database, &SystemClock, &mut || {}).unwrap();
    assert_eq!((content.sessions, content.events), (1, 1));
    // A store that has it open goes on with what is there now.
    assert!(store.session("t").is_err());
    assert_eq!(store.session("s").unwrap().event_count, 1);
    put(&store, "u", vec![command("three", "z")]).unwrap();
    let kept = kept.unwrap();
    assert_eq!(backups.verify(&kept).unwrap().events, 2, "what was replaced is whole");
    backups.restore(&kept, &database, &SystemClock, &mut || {}).unwrap();
    assert!(store.session("t").is_ok());
    assert!(store.session("u").is_err());
}

#[test]
fn what_is_damaged_cut_off_foreign_or_newer_is_refused_and_nothing_changes() {
    let room = Room::new();
    let store = room.open();
    for number in 0..50 {
        put(&store, "s", vec![command(&format!("e{number}"), &format!("{number} words to pack"))]).unwrap();
    }
    let file = create(&room);
    let (backups, database) = backups(&room);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let mut newer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let plain = {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(good.as_slice()), &mut plain).unwrap();
        plain
    };
    // The user version stands at byte 60 of a database.
    let mut future = plain.clone();
    future[60..64].copy_from_slice(&999_u32.to_be_bytes());
    newer.write_all(&future).unwrap();
    let mut half = plain.clone();
    half.truncate(plain.len() / 2);
    let foreign = {
        let path = database.with_file_name("foreign.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs (title)").unwrap();
        fs::read(path).unwrap()
    };
    let before = store.counts().unwrap();
    for (name, bytes, kind) in [
        ("flipped.gz", flipped, FaultKind::Unavailable),
        ("cut.gz", good[..good.len() / 2].to_vec(), FaultKind::Unavailable),
        ("header.gz", good[..20].to_vec(), FaultKind::Unavailable),
        ("half.db", half, FaultKind::Unavailable),
        ("text.db", b"no database at all".to_vec(), FaultKind::Unavailable),
        ("empty.db", Vec::new(), FaultKind::Unavailable),
        ("empty.db.gz", packed(&[]), FaultKind::Unavailable),
        ("newer.db.gz", newer.finish().unwrap(), FaultKind::Config),
        ("foreign.db", foreign, FaultKind::Config),
    ] {
        let path = database.with_file_name(name);
        fs::write(&path, bytes).unwrap();
        let refused = backups.restore(&path, &database, &SystemClock, &mut || {}).unwrap_err();
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
        assert!(refused.advice().is_some(), "{name}: {refused}");
        assert_eq!(store.counts().unwrap().sessions, before.sessions, "{name}");
    }
    assert_eq!(backups.list().unwrap().len(), 1, "no safety copy of what was not replaced");
    let left: Vec<_> = fs::read_dir(database.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".partial")), "{left:?}");
}

#[test]
fn a_damaged_database_is_replaced_and_a_missing_one_is_put_there() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let file = create(&room);
    let (backups, database) = backups(&room);
    fs::write(&database, b"this was a database once").unwrap();
    let (_, kept) = backups.restore(&file, &database, &SystemClock, &mut || {}).unwrap();
    assert_eq!(fs::read(kept.unwrap()).unwrap(), b"this was a database once");
    assert_eq!(room.open().session("s").unwrap().event_count, 1);
    fs::remove_file(&database).unwrap();
    assert_eq!(backups.restore(&file, &database, &SystemClock, &mut || {}).unwrap().1, None);
    assert_eq!(room.open().session("s").unwrap().event_count, 1);
}

#[test]
fn a_backup_without_one_of_its_tables_is_refused() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let (backups, database) = backups(&room);
    let copy = room.path().with_file_name("copy.db");
    for (table, sound) in [("words", true), ("counters", false)] {
        let _ = fs::remove_file(&copy);
        room.raw().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(&format!("DROP TABLE {table}")).unwrap();
        assert_eq!(backups.verify(&copy).is_ok(), sound, "{table}");
    }
    let refused = backups.restore(&copy, &database, &SystemClock, &mut || {}).unwrap_err();
    assert!(refused.message().contains("counters"), "{refused}");
    assert_eq!(room.open().session("s").unwrap().event_count, 1);
}

#[test]
fn copies_of_the_guides_making_are_listed_verified_and_restored() {
    let room = Room::new();
    let store = room.try_open(options()).unwrap();
    put(&store, "s", vec![command("one", "x")]).unwrap();
    drop(store);
    let (backups, database) = backups(&room);
    fs::create_dir_all(backups.folder()).unwrap();
    let copy = backups.folder().join("sessions-20250205-020000.db");
    fs::copy(&database, &copy).unwrap();
    assert_eq!(backups.list().unwrap()[0].label, None);
    assert_eq!(backups.find("sessions-20250205-020000.db", room.path().parent().unwrap()).unwrap(), copy);
    assert_eq!(backups.find("latest", room.path().parent().unwrap()).unwrap(), copy);
    assert_eq!(backups.verify(&copy).unwrap().events, 1);
    backups.restore(&copy, &database, &SystemClock, &mut || {}).unwrap();
}

#[test]
fn what_a_restore_replaced_is_no_backup_that_lets_the_others_go() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let (backups, database) = backups(&room);
    let good = create(&room);
    backups.restore(&good, &database, &SystemClock, &mut || {}).unwrap();
    assert_eq!(backups.list().unwrap().len(), 2);
    let good = good.file_name().unwrap().to_str().unwrap();
    assert_eq!(backups.newest().unwrap().unwrap().name, good);
    let much_later = SystemClock.now().plus(Duration::from_secs(40 * 86_400));
    backups.prune(Duration::from_secs(30 * 86_400), much_later, false).unwrap();
    let left: Vec<String> = backups.list().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, [good]);
}

#[test]
fn old_backups_are_pruned_and_the_newest_is_kept() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let (backups, _) = backups(&room);
    let (first, second) = (create(&room), create(&room));
    assert_ne!(first, second, "two in one second have two names");
    let much_later = SystemClock.now().plus(Duration::from_secs(40 * 86_400));
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(backups.prune(month, SystemClock.now(), false).unwrap(), []);
    assert_eq!(backups.prune(month, much_later, true).unwrap().len(), 1);
    assert_eq!(backups.list().unwrap().len(), 2);
    assert_eq!(backups.prune(month, much_later, false).unwrap().len(), 1);
    assert_eq!(backups.list().unwrap().len(), 1);
    // What a killed process left is nobody's any more.
    fs::create_dir(backups.folder().join(".partial-1-0")).unwrap();
    assert_eq!(Backups::leftovers(backups.folder()), 1);
    create(&room);
    assert_eq!(Backups::leftovers(backups.folder()), 0);
}

#[test]
fn a_restore_that_waits_for_a_writer_says_so_once_and_then_has_its_turn() {
    let room = Room::new();
    put(&room.open(), "session-1", vec![command("one", "x")]).unwrap();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    let entry = backups.create(&room.path(), &SystemClock, &mut |_, _| {}).unwrap();
    put(&room.open(), "session-1", vec![command("two", "x")]).unwrap();
    let writer = room.raw();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut told = 0;
    let file = backups.folder().join(entry.name);
    let mut waiting = || {
        told += 1;
        writer.execute_batch("COMMIT").unwrap();
    };
    let (content, _) = backups.restore(&file, &room.path(), &SystemClock, &mut waiting).unwrap();
    assert_eq!((content.events, told), (1, 1));
    assert_eq!(room.open().counts().unwrap().events_total(), 1);
}
