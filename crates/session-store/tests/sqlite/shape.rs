//! A database is held to what this program makes: its tables, their columns, and nothing that runs by itself.

use std::path::{Path, PathBuf};

use oneiric::clock::SystemClock;
use session_store::Store;
use session_store::backup::Backups;
use session_store::sqlite::checkup::look;

use crate::room::{Room, command, put};

/// A copy of the room's database with something done to it.
fn changed(room: &Room, sql: &str) -> PathBuf {
    let copy = room.path().with_file_name("copy.db");
    let _ = std::fs::remove_file(&copy);
    room.raw().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    rusqlite::Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
    copy
}

fn room() -> (Room, Backups) {
    let room = Room::new();
    put(&room.open(), "s", vec![command("one", "x")]).unwrap();
    let backups = Backups::in_folder(room.path().with_file_name("backups"));
    (room, backups)
}

/// What the checkup says, and what a restore says.
fn told(copy: &Path, room: &Room, backups: &Backups) -> (Option<String>, Option<String>) {
    let found = look(copy, true).unwrap();
    let refused = backups.verify(copy).err().map(|fault| fault.message().to_owned());
    let restored = backups.restore(copy, &room.path(), &SystemClock, &mut || {}).err();
    assert_eq!(restored.map(|fault| fault.message().to_owned()), refused);
    (found.damage, refused)
}

#[test]
fn what_is_missing_of_the_tables_is_damage_for_doctor_and_restore_alike() {
    let (room, backups) = room();
    for (sql, part) in [
        ("DROP TABLE event_blocks", "no table event_blocks"),
        ("DROP TABLE counters", "no table counters"),
        ("ALTER TABLE sessions DROP COLUMN hostname", "no column hostname"),
        ("ALTER TABLE sessions RENAME COLUMN cwd TO folder", "no column cwd"),
        ("DROP TABLE counters; CREATE TABLE counters (name, component, label, value)", "counters"),
        (
            "ALTER TABLE sessions ADD COLUMN more TEXT NOT NULL DEFAULT 'x'; CREATE UNIQUE INDEX m ON sessions(more)",
            "more",
        ),
        (
            "CREATE TABLE other AS SELECT * FROM session_events; DROP TABLE session_events; \
             CREATE TABLE session_events (seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL, session_id TEXT NOT NULL, \
             event_type TEXT NOT NULL, timestamp TIMESTAMP NOT NULL, data TEXT, sequence INTEGER, \
             received_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
            "lets event_id be there twice",
        ),
        (
            "ALTER TABLE sessions ADD COLUMN mine TEXT CHECK (mine IS NULL)",
            "refuses rows by a rule that is not this program's: CHECK ( mine is null )",
        ),
        ("ALTER TABLE sessions ADD COLUMN mine TEXT REFERENCES notes(id)", "REFERENCES notes (mine)"),
    ] {
        let copy = changed(&room, sql);
        let (damage, refused) = told(&copy, &room, &backups);
        assert!(damage.as_ref().is_some_and(|damage| damage.contains(part)), "{sql}: {damage:?}");
        assert!(refused.as_ref().is_some_and(|refused| refused.contains(part)), "{sql}: {refused:?}");
        assert_eq!(room.open().session("s").unwrap().event_count, 1);
    }
}

#[test]
fn triggers_of_somebody_else_are_refused() {
    let (room, backups) = room();
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON session_events BEGIN DELETE FROM sessions; END",
        "CREATE TRIGGER t BEFORE DELETE ON session_events BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE VIEW v AS SELECT 1 AS one; CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN DELETE FROM sessions; END",
    ] {
        let copy = changed(&room, sql);
        let foreign = look(&copy, false).unwrap().foreign.unwrap();
        let (damage, refused) = told(&copy, &room, &backups);
        let damage = damage.unwrap();
        assert_eq!(damage, format!("there is a trigger '{}' that is not this program's", foreign.name));
        assert!(refused.unwrap().contains(&damage), "{sql}");
        // As doctor says.
        rusqlite::Connection::open(&copy).unwrap().execute_batch(&foreign.drop_statement()).unwrap();
        assert!(backups.verify(&copy).is_ok(), "{sql}");
    }
}

#[test]
fn what_others_add_beside_and_older_versions_are_sound() {
    let (room, backups) = room();
    for sql in [
        "",
        "VACUUM; REINDEX; ANALYZE",
        "CREATE VIEW recent AS SELECT session_id, project FROM sessions",
        "CREATE TABLE notes (text NOT NULL UNIQUE); CREATE INDEX n ON notes(text)",
        "CREATE INDEX mine ON sessions(username, hostname)",
        "DROP INDEX idx_sessions_start_time",
        "ALTER TABLE sessions ADD COLUMN mine TEXT; ALTER TABLE sessions RENAME TO s; ALTER TABLE s RENAME TO sessions",
        "ALTER TABLE sessions ADD COLUMN also_mine TEXT NOT NULL DEFAULT ''",
        "CREATE VIRTUAL TABLE event_search_fresh USING fts5(terms)",
    ] {
        let copy = changed(&room, sql);
        assert_eq!(told(&copy, &room, &backups), (None, None), "{sql}");
        put(&room.open(), "t", vec![command("two", "y")]).unwrap();
    }
    // What the first and second version of the schema had.
    for (version, sql) in [
        (2, "DROP TABLE words; DROP TABLE word_letters; PRAGMA user_version = 2"),
        (
            1,
            "DROP TABLE words; DROP TABLE word_letters; DROP TABLE archived_events; DROP TABLE archived_sessions; \
             DELETE FROM retention WHERE table_name LIKE 'archived%'; PRAGMA user_version = 1",
        ),
    ] {
        let sql = format!(
            "{sql}; DELETE FROM schema_migrations WHERE version > {version}; \
            DELETE FROM retention WHERE table_name IN ('words', 'word_letters')"
        );
        // What the next version makes is there in another way.
        let copy = changed(&room, &format!("{sql}; DROP TABLE IF EXISTS words; CREATE TABLE words (other)"));
        let refused = backups.verify(&copy).unwrap_err();
        assert!(refused.message().contains("cannot be brought to schema 3: table words already exists"), "{refused}");
        assert_eq!(backups.restore(&copy, &room.path(), &SystemClock, &mut || {}).unwrap_err(), refused);
        let copy = changed(&room, &sql);
        assert_eq!(backups.verify(&copy).unwrap().schema, version);
        backups.restore(&copy, &room.path(), &SystemClock, &mut || {}).unwrap();
        assert_eq!(look(&room.path(), true).unwrap().damage, None);
    }
}

#[test]
fn a_search_index_made_anew_is_as_the_first_one_was() {
    let (room, backups) = room();
    session_store::sqlite::checkup::remake_derived(&room.path(), &mut |_, _| {}).unwrap();
    let found = look(&room.path(), true).unwrap();
    assert_eq!((found.damage, found.derived), (None, None));
    let entry = backups.create(&room.path(), &SystemClock, &mut |_, _| {}).unwrap();
    assert!(backups.verify(&backups.folder().join(entry.name)).is_ok());
}
