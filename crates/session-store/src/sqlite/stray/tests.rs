#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::*;
use crate::sqlite::{Options, SqliteStore, compact};
use crate::store::{Store, Unknown};
use oneiric::event::EventBatch;
use oneiric::id::SessionId;
use serde_json::json;

/// A database whose files are copied at any moment, as a killed process would leave them.
struct Live {
    folder: tempfile::TempDir,
    store: SqliteStore,
    stored: usize,
}

impl Live {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("live.db"), Options::new(Arc::new(SystemClock))).unwrap();
        let mut live = Self { folder, store, stored: 0 };
        live.work(1);
        live
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("live.db")
    }

    fn work(&mut self, transactions: usize) {
        for _ in 0..transactions {
            self.stored += 1;
            let event = json!({ "event_id": format!("e{}", self.stored), "event_type": "command",
                "timestamp": "2026-11-22T10:00:00Z", "data": { "command": "x".repeat(3_000) } });
            let events = vec![serde_json::from_value(event).unwrap()];
            let batch = EventBatch { session_id: SessionId::parse("s").unwrap(), events };
            self.store.ingest(&[batch], Unknown::Open).unwrap();
        }
    }

    fn sql(&self, text: &str) {
        Connection::open(self.path()).unwrap().execute_batch(text).unwrap();
    }

    fn checkpoint(&self, kind: &str) {
        let connection = Connection::open(self.path()).unwrap();
        connection.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |_| Ok(())).unwrap();
    }

    fn main(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What a killed process leaves now, with `main` in the place of its database: whether the log is set aside, and what
    /// SQLite says of the rest.
    fn killed_with(&self, main: &[u8]) -> (bool, String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("left.db");
        fs::write(&path, main).unwrap();
        fs::copy(beside(&self.path(), "-wal"), beside(&path, "-wal")).unwrap();
        let aside = look(&path).unwrap();
        let gone = aside.is_some();
        if let Some(aside) = aside {
            assert!(aside.kept.exists() && !aside.log.exists(), "{aside}");
        }
        let connection = Connection::open(&path).unwrap();
        let check = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).unwrap();
        let count = "SELECT count(*) FROM session_events";
        let events: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
        (gone, check, usize::try_from(events).unwrap())
    }

    fn expect_own(&self) {
        assert_eq!(self.killed_with(&self.main()), (false, "ok".to_owned(), self.stored));
    }
}

#[test]
fn the_log_of_a_killed_process_stays_with_its_own_database_at_any_moment() {
    let mut live = Live::new();
    for round in 0..6 {
        live.expect_own();
        live.work(3);
        live.expect_own();
        live.checkpoint(["PASSIVE", "FULL", "RESTART", "TRUNCATE"][round % 4]);
        live.work(1);
        live.expect_own();
        // Other programs write too, and change tables.
        live.sql(&format!("CREATE TABLE other{round} (x); INSERT INTO other{round} VALUES (1);"));
        live.expect_own();
        live.checkpoint("TRUNCATE");
        live.sql("VACUUM");
        live.work(1);
        live.expect_own();
        compact::compact(&live.path(), &mut |_, _| {}).unwrap();
        live.work(1);
        live.expect_own();
    }
}

#[test]
fn an_older_copy_of_the_same_database_is_not_mixed_with_the_log_of_a_later_one() {
    let mut live = Live::new();
    live.work(5);
    live.checkpoint("TRUNCATE");
    let (older, then) = (live.main(), live.stored);
    live.work(1);
    live.checkpoint("TRUNCATE");
    live.work(1);
    assert_eq!(live.killed_with(&older), (true, "ok".to_owned(), then));
    live.expect_own();
    // Also when all that came between was a vacuum by another program.
    live.checkpoint("TRUNCATE");
    let (older, then) = (live.main(), live.stored);
    live.sql("VACUUM");
    live.checkpoint("TRUNCATE");
    live.work(1);
    assert_eq!(live.killed_with(&older), (true, "ok".to_owned(), then));
}

#[test]
fn another_database_is_not_mixed_with_the_log() {
    let mut live = Live::new();
    live.work(20);
    let mut other = Live::new();
    other.work(3);
    other.checkpoint("TRUNCATE");
    assert_eq!(live.killed_with(&other.main()), (true, "ok".to_owned(), other.stored));
    // A backup is a file without a log, and says so on its first page.
    let copy = live.folder.path().join("copy.db");
    let then = live.stored;
    crate::sqlite::snapshot::copy(&live.path(), &copy, &mut |_, _| {}).unwrap();
    live.work(2);
    assert_eq!(live.killed_with(&fs::read(&copy).unwrap()), (true, "ok".to_owned(), then));
}

#[test]
fn a_restore_that_was_killed_after_its_commit_keeps_its_log() {
    let mut live = Live::new();
    let copy = live.folder.path().join("copy.db");
    crate::sqlite::snapshot::copy(&live.path(), &copy, &mut |_, _| {}).unwrap();
    let then = live.stored;
    live.work(4);
    live.checkpoint("TRUNCATE");
    let before = live.main();
    // Somebody reads, so that the log is not taken into the file.
    let reader = Connection::open(live.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sessions;").unwrap();
    let safety = live.folder.path().join("safety.db");
    crate::sqlite::snapshot::replace(&live.path(), &copy, &safety, &mut |_| Ok(()), &mut || {}).unwrap();
    assert_eq!(live.killed_with(&before), (false, "ok".to_owned(), then));
}

#[test]
fn a_log_in_use_is_left_alone() {
    let mut live = Live::new();
    live.work(2);
    fs::write(live.folder.path().join("note"), b"").unwrap();
    let python = "import sys, fcntl; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_SH, 1, 128); print('held', flush=True); sys.stdin.read()";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left.db");
    fs::copy(beside(&live.path(), "-wal"), beside(&path, "-wal")).unwrap();
    fs::write(beside(&path, "-shm"), [0; 64]).unwrap();
    let mut holder = std::process::Command::new("python3")
        .args(["-c", python])
        .arg(beside(&path, "-shm"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line.trim(), "held");
    assert_eq!(look(&path).unwrap(), None);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert!(look(&path).unwrap().is_some());
}
