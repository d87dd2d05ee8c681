//! What SQLite itself does with the same rows: prepared statements over the store's own schema, with its tables,
//! indexes, search index and durability, on rows that are analysed already.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::Result;

/// A row of `session_events` with its search terms.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    session_id: String,
    event_id: String,
    event_type: String,
    timestamp: String,
    data: String,
    sequence: Option<i64>,
    received_at: String,
    terms: String,
}

/// The rows that ingestion made of some events, read back from `donor` in the order in which they were stored.
pub(crate) fn rows(donor: &Path) -> Result<Vec<Row>> {
    let connection = Connection::open(donor)?;
    connection.execute_batch("CREATE VIRTUAL TABLE temp.held USING fts5vocab('main', 'event_search', 'instance')")?;
    let mut terms: BTreeMap<i64, String> = BTreeMap::new();
    let mut select = connection.prepare("SELECT doc, term FROM temp.held")?;
    let mut held = select.query([])?;
    while let Some(row) = held.next()? {
        let line = terms.entry(row.get(0)?).or_default();
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(row.get_ref(1)?.as_str()?);
    }
    let mut select = connection.prepare(
        "SELECT seq, session_id, event_id, event_type, timestamp, data, sequence, received_at FROM session_events
         WHERE event_type <> 'session_start' ORDER BY seq",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Row {
            terms: terms.remove(&row.get(0)?).unwrap_or_default(),
            session_id: row.get(1)?,
            event_id: row.get(2)?,
            event_type: row.get(3)?,
            timestamp: row.get(4)?,
            data: row.get(5)?,
            sequence: row.get(6)?,
            received_at: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<Vec<Row>>>()?)
}

/// A database that is written without anything between.
pub(crate) struct Raw {
    connection: Connection,
    next_seq: i64,
}

impl Raw {
    /// Opens a database that the store made, with the settings of the store's writer.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
             PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864;",
        )?;
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("the store uses journal mode {mode}: adapt this comparison").into());
        }
        connection.set_prepared_statement_cache_capacity(32);
        let next_seq =
            connection.query_row("SELECT coalesce(max(seq), 0) + 1 FROM session_events", [], |row| row.get(0))?;
        Ok(Self { connection, next_seq })
    }

    /// Stores rows, `batch` in a transaction.
    pub(crate) fn insert(&mut self, rows: &[Row], batch: usize) -> Result {
        for rows in rows.chunks(batch) {
            self.transaction(rows)?;
        }
        Ok(())
    }

    fn transaction(&mut self, rows: &[Row]) -> Result {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let db = &self.connection;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let first_seq = self.next_seq;
        let mut insert = db.prepare_cached(
            "INSERT INTO session_events (seq, event_id, session_id, event_type, timestamp, data, sequence, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (event_id) DO NOTHING",
        )?;
        let mut index = db.prepare_cached("INSERT INTO event_search (rowid, terms) VALUES (?1, ?2)")?;
        for row in rows {
            insert.execute((
                self.next_seq,
                &row.event_id,
                &row.session_id,
                &row.event_type,
                &row.timestamp,
                &row.data,
                row.sequence,
                &row.received_at,
            ))?;
            index.execute((self.next_seq, &row.terms))?;
            self.next_seq += 1;
        }
        let count = rows.len() as f64;
        db.prepare_cached(
            "UPDATE sessions SET command_count = command_count + ?2, event_count = event_count + ?2, last_event_time = ?3,
             updated_at = ?4 WHERE session_id = ?1",
        )?
        .execute((&first.session_id, rows.len() as i64, &last.timestamp, &last.received_at))?;
        let mut block = db.prepare_cached(
            "INSERT INTO event_blocks (block, first_time, last_time) VALUES (?1, ?2, ?3)
             ON CONFLICT (block) DO UPDATE SET
                first_time = min(first_time, excluded.first_time), last_time = max(last_time, excluded.last_time)",
        )?;
        for number in first_seq >> 12..=(self.next_seq - 1) >> 12 {
            block.execute((number, &first.timestamp, &last.timestamp))?;
        }
        let mut count_up = db.prepare_cached(
            "INSERT INTO counters (name, component, label, value) VALUES (?1, '', ?2, ?3)
             ON CONFLICT (name, component, label) DO UPDATE SET value = value + excluded.value",
        )?;
        for (name, label) in [("raw_events", first.event_type.as_str()), ("raw_words", ""), ("raw_last", "")] {
            count_up.execute((name, label, count))?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bench::corpus::{Corpus, id};
    use crate::bench::ingest::{begin, store};
    use oneiric::id::SessionId;

    #[test]
    fn raw_rows_hold_what_ingestion_stores() {
        let folder = std::env::temp_dir().join(format!("xtask-raw-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (donor, copy) = (folder.join("donor.db"), folder.join("copy.db"));
        let session = SessionId::parse(id(7, 0)).unwrap();
        let start = begin(&session, 7).unwrap();
        let batch = Corpus::new().commands(&session, 0, 60).unwrap();
        store(&donor, &[start.clone(), batch]).unwrap();
        store(&copy, &[start]).unwrap();
        let read = rows(&donor).unwrap();
        assert_eq!(read.len(), 60);
        Raw::open(&copy).unwrap().insert(&read, 25).unwrap();
        let copied = rows(&copy).unwrap();
        for (a, b) in read.iter().zip(&copied) {
            assert_eq!((&a.event_id, &a.data, &a.terms), (&b.event_id, &b.data, &b.terms));
            assert!(a.terms.split(' ').count() > 6, "{}", a.terms);
        }
        let count: i64 = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT event_count FROM sessions", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 61);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
