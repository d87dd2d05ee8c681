use std::fs;
use std::os::unix::fs::PermissionsExt;

use oneiric::fault::FaultKind;
use serde_json::json;
use session_store::{EventFilter, Page, SearchRequest, SessionFilter, Store};

use crate::room::{Room, command, event, options, put, start};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_database_and_its_companions_are_private() {
    let room = Room::new();
    let store = room.open();
    put(&store, "s", vec![command("e", "ls")]).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(room.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 3, "the database, its log and the log's index");
    drop(store);
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = room.open();
    assert_eq!(mode(&room.path()), 0o600, "a copy that was made readable is made private again");
}

#[test]
fn a_missing_folder_is_made_and_a_folder_is_no_database() {
    let room = Room::new();
    let below = room.folder.path().join("a/b/sessions.db");
    drop(session_store::sqlite::SqliteStore::open(&below, options()).unwrap());
    assert_eq!(mode(below.parent().unwrap()), 0o700);
    let fault = session_store::sqlite::SqliteStore::open(room.folder.path(), options()).err().unwrap();
    assert_eq!(fault.kind(), FaultKind::Config);
}

#[test]
fn the_guides_sql_works_for_any_sqlite() {
    let room = Room::new();
    let store = room.open();
    put(
        &store,
        "abc123",
        vec![event("e0", "session_start", 0, start("mahavishnu", "admin_shell", "p")), command("e1", "ls")],
    )
    .unwrap();
    let raw = room.raw();
    let row: (String, String, i64, i64) = raw
        .query_row(
            "SELECT session_id, component, command_count, strftime('%s', start_time) - strftime('%s', '2026-11-22 18:00:00')
             FROM sessions ORDER BY start_time DESC LIMIT 5",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!(row, ("abc123".into(), "mahavishnu".into(), 1, 0));
    let count = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM session_events WHERE session_id = 'abc123'"), 2);
    assert_eq!(count("SELECT count(*) FROM session_events WHERE json_extract(data, '$.command') = 'ls'"), 1);
    assert_eq!(
        count("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = 'idx_session_events_session_id'"),
        1
    );
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let insert = "INSERT INTO session_events (event_id, session_id, event_type, timestamp) VALUES ('x', 'nobody', 'command', 'now')";
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    assert!(raw.execute(insert, []).is_err(), "the foreign key is kept");
}

#[test]
fn vacuum_reindex_and_rows_written_or_deleted_by_hand_do_no_harm() {
    let room = Room::new();
    let store = room.open();
    for n in 0..50 {
        put(&store, &format!("s{n}"), vec![command(&format!("e{n}"), &format!("needle number{n}"))]).unwrap();
    }
    let raw = room.raw();
    raw.execute("DELETE FROM session_events WHERE event_id IN ('e3', 'e49')", []).unwrap();
    raw.execute("DELETE FROM sessions WHERE session_id IN ('s3', 's49')", []).unwrap();
    raw.execute_batch("VACUUM; REINDEX;").unwrap();
    let hits = |query: &str| {
        let mut hits = store.search(&SearchRequest::text(query).limit(100), None).unwrap().hits;
        hits.retain(|hit| hit.complete);
        hits
    };
    assert_eq!(hits("number7")[0].event_id, "e7", "the search index still points at the same events");
    assert!(hits("number3").is_empty() && hits("needle").len() == 48);
    put(&store, "s50", vec![command("e50", "needle number50")]).unwrap();
    assert!(hits("number49").is_empty(), "a new event takes no deleted one's place in the index");
    assert_eq!(hits("number50")[0].event_id, "e50");
    raw.execute_batch(
        "INSERT INTO sessions (session_id, component, session_type, start_time) VALUES ('hand', 'x', 'manual', CURRENT_TIMESTAMP);
         INSERT INTO session_events (event_id, session_id, event_type, timestamp, data)
         VALUES ('h1', 'hand', 'message', CURRENT_TIMESTAMP, 'no json');",
    )
    .unwrap();
    let filter = EventFilter { session: Some("hand".into()), ..EventFilter::default() };
    assert_eq!(store.events(&filter, Page::first(5)).unwrap()[0].data["text"], "no json");
    put(&store, "hand", vec![command("h2", "needle by hand")]).unwrap();
    assert_eq!(store.session("hand").unwrap().command_count, 1);
}

#[test]
fn a_newer_schema_and_a_foreign_database_are_refused_with_advice() {
    let room = Room::new();
    drop(room.open());
    room.raw().pragma_update(None, "user_version", 99).unwrap();
    for read_only in [false, true] {
        let fault = room.try_open(session_store::sqlite::Options { read_only, ..options() }).err().unwrap();
        assert_eq!(fault.kind(), FaultKind::Config);
        assert!(fault.message().contains("schema 99") && fault.advice().unwrap().contains("version"), "{fault}");
    }
    let other = Room::new();
    other.raw().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let fault = other.try_open(options()).err().unwrap();
    assert!(fault.message().contains("something else") && fault.message().contains("sessions.db"), "{fault}");
    assert_eq!(other.raw().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn every_table_has_a_retention_rule() {
    let room = Room::new();
    drop(room.open());
    let without: Vec<String> = room
        .raw()
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'event_search_%' AND name NOT LIKE 'word_letters_%'
             AND name NOT IN (SELECT table_name FROM retention)",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn a_file_that_is_opened_for_reading_answers_and_takes_nothing() {
    let room = Room::new();
    put(&room.open(), "s", vec![command("e", "needle")]).unwrap();
    let reading = session_store::sqlite::Options { read_only: true, ..options() };
    let store = room.try_open(reading.clone()).unwrap();
    assert_eq!(store.sessions(&SessionFilter::default(), Page::first(5)).unwrap().len(), 1);
    assert_eq!(store.search(&SearchRequest::text("needle").limit(5), None).unwrap().hits.len(), 1);
    let fault = put(&store, "s", vec![command("e2", "x")]).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.message().contains("read but not written") && fault.message().contains("sessions.db"), "{fault}");
    assert!(!store.info().unwrap().writable);
    let missing = Room::new();
    assert_eq!(missing.try_open(reading).err().unwrap().kind(), FaultKind::NotFound);
}

#[test]
fn what_was_stored_is_there_after_opening_again() {
    let room = Room::new();
    {
        let store = room.open();
        put(&store, "s", vec![event("e", "message", 0, json!({ "text": "needle" }))]).unwrap();
    }
    let store = room.open();
    assert_eq!(store.counts().unwrap().events_total(), 1);
    assert_eq!(put(&store, "s", vec![event("e", "message", 0, json!({ "text": "needle" }))]).unwrap().duplicates, 1);
}

#[test]
fn the_archives_tables_have_the_columns_of_the_live_ones() {
    let room = Room::new();
    drop(room.open());
    let raw = room.raw();
    let columns = |table: &str| -> Vec<String> {
        let mut select = raw.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
        select.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let mut sessions = columns("sessions");
    sessions.push("archived_at".into());
    assert_eq!(columns("archived_sessions"), sessions);
    assert_eq!(columns("archived_events"), columns("session_events"));
}
