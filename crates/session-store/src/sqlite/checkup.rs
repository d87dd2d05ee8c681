//! Looks whether a database is sound beyond being readable, and mends what can be made anew from its rows.

mod counts;

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use oneiric::clock::Timestamp;
use oneiric::fault::Result;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::connection::{Access, Place};
use super::counters;
use super::failure::Failure;
use super::prepare::Terms;
use super::schema::{self, Foreign};
use super::session_row::{SCOPE_COMPONENT, SCOPE_EVENT_TYPE, SCOPE_PROJECT, SCOPE_SESSION_TYPE, scope, time, whole};
use super::{migrations, stray, words};
use crate::upkeep::{Progress, REST};

/// The search index.
const SEARCH: &str = "event_search";
/// The list of words.
pub(super) const TABLE_OF_WORDS: &str = "words";
/// Tables that are made of the others, and how the names of their own parts begin.
const DERIVED: [&str; 3] = [SEARCH, TABLE_OF_WORDS, "word_letters"];
/// Events that are looked for in the index, of the live ones and of the archived: the newest, and as many from everywhere.
const SAMPLE: i64 = 100;
/// Events that one transaction of rebuilding the index takes: some 20 milliseconds, for which capture waits.
const BATCH: usize = 2_000;
/// Parts of one size that the index may have before they are put together, a few pages with each transaction: while it is
/// made, and afterwards. Putting many together writes everything fewer times; what is left apart then is merged while
/// nothing arrives.
const PARTS_MADE: i64 = 16;
const PARTS: i64 = 4;
/// Parts of one size that a single transaction puts together, however long that takes: never so many.
const PARTS_AT_ONCE: i64 = 256;
const ALL_EVENTS: &str = "(SELECT seq, session_id, event_type, data FROM session_events
    UNION ALL SELECT seq, session_id, event_type, data FROM archived_events)";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// What SQLite says of the file's structure, when it is not sound; or what is not there that this program makes.
    pub damage: Option<String>,
    /// Somebody else's trigger or view, when that is the damage.
    pub foreign: Option<Foreign>,
    /// What is wrong with the search index or the list of words, when the rows that these are made of are sound.
    pub derived: Option<String>,
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
        let check = if deep { "PRAGMA integrity_check(1)" } else { "PRAGMA quick_check(1)" };
        let damage = match connection.query_row(check, [], |row| row.get::<_, String>(0)) {
            Ok(answer) if answer == "ok" => match first_difference(&connection)? {
                Some(found) if !found.derived => {
                    return Ok(Checkup { damage: Some(found.what), foreign: found.foreign, ..Checkup::default() });
                }
                found => found.map(|found| found.what),
            },
            Ok(answer) => answer.lines().find(|line| !line.starts_with("***")).map(str::to_owned).or(Some(answer)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(damage) = damage {
            let (damage, derived) =
                if rows_are_sound(&connection) { (None, Some(damage)) } else { (Some(damage), None) };
            return Ok(Checkup { damage, derived, ..Checkup::default() });
        }
        let snapshot = connection.unchecked_transaction()?;
        let (sampled, unindexed) = sample(&snapshot)?;
        let latest = "SELECT max(last_event_time) FROM sessions";
        let latest = snapshot.query_row(latest, [], |row| time(row, 0))?;
        let (miscounted, miscounted_sessions) = (miscounted(&snapshot)?, counts::wrong(&snapshot)?);
        Ok(Checkup { miscounted, miscounted_sessions, sampled, unindexed, latest, ..Checkup::default() })
    })();
    looked.map_err(|failure: Failure| failure.tell(&place))
}

/// Whether a table is one of those that can be made anew, or a part of one.
pub(super) fn is_derived(table: &str) -> bool {
    DERIVED.iter().any(|derived| table.starts_with(derived))
}

/// The worst of what is not as this program makes it. Opening says what is wrong with other versions.
fn first_difference(connection: &Connection) -> Result<Option<schema::Difference>, Failure> {
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

/// Makes the search index and the list of words anew, whatever state they are in. How many events the index holds. Ended at
/// any point, it is made whole by another call; words are learnt afterwards, as always.
///
/// # Errors
/// What the store says: the file is damaged beyond them.
pub fn remake_derived(path: &Path, progress: Progress<'_>) -> Result<u64> {
    let place = place(path);
    let made = (|| {
        let connection = place.writer(None)?;
        for name in [SEARCH, "event_search_fresh", "word_letters"] {
            drop_index(&connection, name)?;
        }
        connection.execute_batch(&format!(
            "DROP TABLE IF EXISTS words; {} {}
             DELETE FROM counters WHERE name LIKE 'words\\_%' ESCAPE '\\';",
            words::tables(),
            search_table(SEARCH),
        ))?;
        Ok(())
    })();
    made.map_err(|failure: Failure| failure.tell(&place))?;
    rebuild_index(path, progress)
}

/// Drops a full-text index that may be too damaged to be opened, and parts that one left behind.
fn drop_index(connection: &Connection, name: &str) -> Result<(), Failure> {
    if connection.execute_batch(&format!("DROP TABLE IF EXISTS {name}")).is_err() {
        connection.execute_batch("PRAGMA writable_schema = ON")?;
        let forgotten = connection.execute("DELETE FROM sqlite_schema WHERE type = 'table' AND name = ?1", [name]);
        connection.execute_batch("PRAGMA writable_schema = RESET")?;
        forgotten?;
    }
    for part in ["data", "idx", "content", "docsize", "config"] {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {name}_{part}"))?;
    }
    Ok(())
}

fn search_table(name: &str) -> String {
    format!(
        "CREATE VIRTUAL TABLE {name} USING fts5(
            terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
         );"
    )
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
        let (seq, event_type): (i64, String) = (row.get(0)?, row.get(1)?);
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

/// Makes the search index anew beside the old one, in short transactions, and puts it in the old one's place at once.
/// How many events it holds.
///
/// # Errors
/// What the store says; the old index is as it was then.
pub fn rebuild_index(path: &Path, progress: Progress<'_>) -> Result<u64> {
    let place = place(path);
    let done = (|| {
        let mut connection = place.writer(None)?;
        let fresh = search_table("event_search_fresh");
        connection.execute_batch(&format!("DROP TABLE IF EXISTS event_search_fresh; {fresh}"))?;
        configure(&connection, "crisismerge", PARTS_AT_ONCE)?;
        configure(&connection, "automerge", PARTS_MADE)?;
        let all = connection.query_row(&format!("SELECT count(*) FROM {ALL_EVENTS}"), [], |row| whole(row, 0))?;
        let (mut last, mut total) = (0, 0);
        // Texts are taken apart beside the writing, and while nobody is kept from writing.
        std::thread::scope(|scope| {
            let (hand, ready) = sync_channel(1);
            let place = &place;
            scope.spawn(move || hand_lines(place, &hand));
            for lines in ready {
                let lines: Vec<(i64, String)> = lines?;
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                insert(&transaction, &lines)?;
                transaction.commit()?;
                std::thread::sleep(REST);
                last = lines.last().map_or(last, |line| line.0);
                total += lines.len() as u64;
                progress(total, all.max(total));
            }
            Ok::<_, Failure>(())
        })?;
        let (mut terms, mut scopes) = (Terms::default(), HashMap::new());
        loop {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let lines = lines(&transaction, last, &mut terms, &mut scopes)?;
            insert(&transaction, &lines)?;
            total += lines.len() as u64;
            if lines.len() < BATCH {
                // Nothing is behind it, and nothing can come before this ends.
                configure(&transaction, "automerge", PARTS)?;
                transaction
                    .execute_batch("DROP TABLE event_search; ALTER TABLE event_search_fresh RENAME TO event_search;")?;
                transaction.commit()?;
                return Ok(total);
            }
            transaction.commit()?;
            last = lines.last().map_or(last, |line| line.0);
        }
    })();
    done.map_err(|failure: Failure| failure.tell(&place))
}

/// Sets an option of the index that is being made; it stays with it.
fn configure(connection: &Connection, option: &str, value: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO event_search_fresh (event_search_fresh, rank) VALUES (?1, ?2)";
    connection.execute(sql, (option, value))?;
    Ok(())
}

/// Hands the index's lines over, [`BATCH`] at a time, for as long as there are so many and somebody takes them.
fn hand_lines(place: &Place, hand: &SyncSender<Result<Vec<(i64, String)>, Failure>>) {
    let made = (|| {
        let connection = place.reader()?;
        let (mut terms, mut scopes) = (Terms::default(), HashMap::new());
        let mut last = 0;
        loop {
            let lines = lines(&connection, last, &mut terms, &mut scopes)?;
            if lines.len() < BATCH {
                return Ok(());
            }
            last = lines.last().map_or(last, |line| line.0);
            if hand.send(Ok(lines)).is_err() {
                return Ok(());
            }
        }
    })();
    if let Err(failure) = made {
        let _ = hand.send(Err(failure));
    }
}

/// The next events after `after`, each with its line in the index.
fn lines(
    connection: &Connection,
    after: i64,
    terms: &mut Terms,
    scopes: &mut HashMap<String, String>,
) -> Result<Vec<(i64, String)>, Failure> {
    let sql =
        format!("SELECT seq, session_id, event_type, data FROM {ALL_EVENTS} WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query((after, BATCH as i64))?;
    let mut lines = Vec::with_capacity(BATCH);
    while let Some(row) = rows.next()? {
        let (session, event_type): (String, String) = (row.get(1)?, row.get(2)?);
        let data: Option<String> = row.get(3)?;
        if !scopes.contains_key(&session) {
            let terms = scope_of(connection, &session)?;
            scopes.insert(session.clone(), terms);
        }
        let of_session = scopes.get(&session).map(String::as_str).unwrap_or_default();
        let line = format!(
            "{} {} {of_session}",
            terms.of(data.as_deref().unwrap_or_default()).0,
            scope(SCOPE_EVENT_TYPE, &event_type)
        );
        lines.push((row.get(0)?, line));
    }
    Ok(lines)
}

fn insert(connection: &Connection, lines: &[(i64, String)]) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached("INSERT INTO event_search_fresh (rowid, terms) VALUES (?1, ?2)")?;
    for line in lines {
        insert.execute((line.0, &line.1))?;
    }
    Ok(())
}

fn scope_of(connection: &Connection, session: &str) -> Result<String, Failure> {
    for table in ["sessions", "archived_sessions"] {
        let sql = format!("SELECT component, session_type, project FROM {table} WHERE session_id = ?1");
        let found: Option<(String, String, Option<String>)> = connection
            .prepare_cached(&sql)?
            .query_row([session], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((component, kind, project)) = found {
            let project = project.map(|project| format!(" {}", scope(SCOPE_PROJECT, &project))).unwrap_or_default();
            return Ok(format!("{} {}{project}", scope(SCOPE_COMPONENT, &component), scope(SCOPE_SESSION_TYPE, &kind)));
        }
    }
    Ok(String::new())
}
