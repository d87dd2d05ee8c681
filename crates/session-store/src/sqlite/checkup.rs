//! Looks whether a database is sound beyond being readable, and mends what can be made anew from its rows.

mod counts;
mod remake;
pub(super) mod values;

use std::path::Path;

use oneiric::clock::Timestamp;
use oneiric::fault::Result;
use rusqlite::{Connection, TransactionBehavior};

use super::cell::{self, time, whole};
use super::connection::{Access, Place};
use super::counters;
use super::failure::Failure;
use super::schema::{self, Difference, Foreign};
use super::session_row::{SCOPE_EVENT_TYPE, scope};
use super::{migrations, stray};

/// The list of words.
pub(super) const TABLE_OF_WORDS: &str = "words";
/// Full-text indexes that are made of the other tables. The second one is there while the first is made anew.
const INDEXES: [&str; 3] = ["event_search", "event_search_fresh", "word_letters"];
/// What the names of the tables end in that SQLite keeps a full-text index in.
const PARTS: [&str; 5] = ["_data", "_idx", "_content", "_docsize", "_config"];
/// Events that are looked for in the index, of the live ones and of the archived: the newest, and as many from everywhere.
const SAMPLE: i64 = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// What SQLite says of the file's structure, when it is not sound; or what is not there that this program makes.
    pub damage: Option<String>,
    /// Somebody else's trigger, when that is the damage.
    pub foreign: Option<Foreign>,
    /// What is wrong with the search index or the list of words, when the rows that these are made of are sound.
    pub derived: Option<String>,
    /// Values of sessions and events that are not what their columns hold.
    pub values: Option<WrongValues>,
    /// Totals that differ from what they count: name, kept, counted.
    pub miscounted: Vec<(String, u64, u64)>,
    /// Sessions whose number of events is not that of the events there are.
    pub miscounted_sessions: u64,
    /// Events that were looked for in the search index, and those that it does not know.
    pub sampled: u64,
    /// Those of `sampled` that the index does not know.
    pub unindexed: u64,
    /// The latest time of any session's event.
    pub latest: Option<Timestamp>,
}

pub use counts::recount_sessions;
pub use remake::{rebuild_index, remake_derived};
pub use values::{WrongValues, mend_values};

fn place(path: &Path) -> Place {
    Place::File { path: path.to_path_buf(), access: Access::ReadWrite }
}

/// Examines the database at `path`, with every index entry when `deep`.
///
/// # Errors
/// `Unavailable` when it cannot be read.
pub fn look(path: &Path, deep: bool) -> Result<Checkup> {
    let place = place(path);
    let looked = (|| {
        let connection = place.reader()?;
        let found = match damage(&connection, deep) {
            Ok(None) => first_difference(&connection)?,
            Ok(found) => found,
            Err(error) => Some(Difference { what: error.to_string(), derived: false, foreign: None }),
        };
        if let Some(Difference { what, derived, foreign }) = found {
            let (damage, derived) = if derived { (None, Some(what)) } else { (Some(what), None) };
            return Ok(Checkup { damage, derived, foreign, ..Checkup::default() });
        }
        let snapshot = connection.unchecked_transaction()?;
        let (sampled, unindexed) = sample(&snapshot)?;
        let latest = "SELECT max(last_event_time) FROM sessions";
        let latest = snapshot.query_row(latest, [], |row| time(row, 0))?;
        let (miscounted, miscounted_sessions) = (miscounted(&snapshot)?, counts::wrong(&snapshot)?);
        let values = values::wrong(&snapshot)?;
        Ok(Checkup { values, miscounted, miscounted_sessions, sampled, unindexed, latest, ..Checkup::default() })
    })();
    looked.map_err(|failure: Failure| failure.tell(&place))
}

/// Whether a table is one of those that can be made anew, or a part of one.
pub(super) fn is_derived(table: &str) -> bool {
    table == TABLE_OF_WORDS
        || INDEXES
            .iter()
            .any(|index| table.strip_prefix(index).is_some_and(|part| part.is_empty() || PARTS.contains(&part)))
}

/// What SQLite says of the file's structure when it is not sound, with every index entry when `deep`.
///
/// # Errors
/// What kept SQLite from looking, unless that is damage of what can be made anew.
pub(super) fn damage(connection: &Connection, deep: bool) -> rusqlite::Result<Option<Difference>> {
    let check = if deep { "PRAGMA integrity_check(1)" } else { "PRAGMA quick_check(1)" };
    let said = connection.query_row(check, [], |row| row.get::<_, String>(0));
    if said.as_ref().is_ok_and(|said| said == "ok") {
        return Ok(None);
    }
    let derived = rows_are_sound(connection);
    let what = match said {
        Ok(said) => said.lines().find(|line| !line.starts_with("***")).unwrap_or(&said).to_owned(),
        Err(error) if derived => error.to_string(),
        Err(error) => return Err(error),
    };
    Ok(Some(Difference { what, derived, foreign: None }))
}

/// The worst of what is not as this program makes it. Opening says what is wrong with other versions.
pub(super) fn first_difference(connection: &Connection) -> Result<Option<Difference>, Failure> {
    match migrations::version(connection)? {
        version @ 1..=migrations::SCHEMA_VERSION => Ok(schema::differences(connection, version)?.into_iter().next()),
        _ => Ok(None),
    }
}

/// Whether every table that cannot be made anew is sound, with its indexes.
fn rows_are_sound(connection: &Connection) -> bool {
    let sound = || {
        let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")?;
        let names = tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        for name in names.iter().filter(|name| !is_derived(name)) {
            let check = format!("PRAGMA quick_check(\"{}\")", name.replace('"', "\"\""));
            if connection.query_row(&check, [], |row| row.get::<_, String>(0))? != "ok" {
                return Ok(false);
            }
        }
        Ok::<_, rusqlite::Error>(names.iter().any(|name| name == "session_events"))
    };
    sound().unwrap_or(false)
}

fn miscounted(connection: &Connection) -> Result<Vec<(String, u64, u64)>, Failure> {
    let mut wrong = Vec::new();
    for (name, what, tables) in [
        (counters::SESSIONS, "sessions", &["sessions", "archived_sessions"][..]),
        (counters::EVENTS, "events", &["session_events", "archived_events"]),
        (counters::ARCHIVED_SESSIONS, "archived sessions", &["archived_sessions"]),
        (counters::ARCHIVED_EVENTS, "archived events", &["archived_events"]),
    ] {
        let kept = counters::value(connection, name)?.max(0.0) as u64;
        let mut counted = 0;
        for table in tables {
            counted += connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| whole(row, 0))?;
        }
        if kept != counted {
            wrong.push((what.to_owned(), kept, counted));
        }
    }
    Ok(wrong)
}

/// How many of some events the index does not know.
fn sample(connection: &Connection) -> Result<(u64, u64), Failure> {
    let of = |table: &str| {
        format!(
            "SELECT seq, event_type FROM (SELECT seq, event_type FROM {table} ORDER BY seq DESC LIMIT ?1)
             UNION SELECT seq, event_type FROM (SELECT seq, event_type FROM {table}
                WHERE seq % max(1, (SELECT count(*) / ?1 FROM {table})) = 0 LIMIT ?1)"
        )
    };
    let mut select = connection.prepare(&format!("{} UNION {}", of("session_events"), of("archived_events")))?;
    let mut known = connection.prepare("SELECT 1 FROM event_search WHERE event_search MATCH ?1 AND rowid = ?2")?;
    let (mut sampled, mut unknown) = (0, 0);
    let mut rows = select.query([SAMPLE])?;
    while let Some(row) = rows.next()? {
        let (seq, event_type): (i64, String) = (row.get(0)?, cell::event_type(row, 1)?);
        sampled += 1;
        unknown += u64::from(!known.exists((format!("\"{}\"", scope(SCOPE_EVENT_TYPE, &event_type)), seq))?);
    }
    Ok((sampled, unknown))
}

/// Counts sessions and events again.
///
/// # Errors
/// What the store says.
pub fn recount(path: &Path) -> Result<()> {
    let place = place(path);
    let done = (|| {
        let mut connection = place.writer(None)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(
            "DELETE FROM counters WHERE name IN ('sessions', 'events', 'archived_sessions', 'archived_events');
             INSERT INTO counters (name, component, label, value)
                SELECT 'sessions', component, status, count(*) FROM
                    (SELECT component, status FROM sessions UNION ALL SELECT component, status FROM archived_sessions)
                GROUP BY component, status;
             INSERT INTO counters (name, component, label, value)
                SELECT 'events', '', event_type, count(*) FROM
                    (SELECT event_type FROM session_events UNION ALL SELECT event_type FROM archived_events)
                GROUP BY event_type;
             INSERT INTO counters (name, component, label, value)
                SELECT 'archived_sessions', '', '', count(*) FROM archived_sessions
                UNION ALL SELECT 'archived_events', '', '', count(*) FROM archived_events;",
        )?;
        stray::advance(&transaction)?;
        transaction.commit()?;
        Ok(())
    })();
    done.map_err(|failure: Failure| failure.tell(&place))
}
