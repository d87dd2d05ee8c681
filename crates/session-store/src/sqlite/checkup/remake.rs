//! Makes the search index and the list of words anew from the sessions and events.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use oneiric::fault::Result;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{is_derived, place};
use crate::sqlite::cell::{self, borrowed, text, text_or_none, whole};
use crate::sqlite::connection::Place;
use crate::sqlite::failure::Failure;
use crate::sqlite::prepare::Terms;
use crate::sqlite::session_row::{SCOPE_COMPONENT, SCOPE_EVENT_TYPE, SCOPE_PROJECT, SCOPE_SESSION_TYPE, scope};
use crate::sqlite::{compact, stray, words};
use crate::upkeep::{Progress, REST};

/// Events that one transaction of rebuilding the index takes: some 20 milliseconds, for which capture waits.
const BATCH: usize = 2_000;
/// Parts of one size that the index may have before they are put together, a few pages with each transaction: while it is
/// made, and afterwards. Putting many together writes everything fewer times; what is left apart then is merged while
/// nothing arrives.
const PARTS_MADE: i64 = 16;
const PARTS_LEFT: i64 = 4;
/// Parts of one size that a single transaction puts together, however long that takes: never so many.
const PARTS_AT_ONCE: i64 = 256;
const ALL_EVENTS: &str = "(SELECT seq, session_id, event_type, data FROM session_events
    UNION ALL SELECT seq, session_id, event_type, data FROM archived_events)";

/// Makes the search index and the list of words anew, whatever state they are in. How many events the index holds. Ended at
/// any point, it is made whole by another call; words are learnt afterwards, as always.
///
/// # Errors
/// What the store says: the file is damaged beyond them. Events can be stored all the same, if they could be before.
pub fn remake_derived(path: &Path, progress: Progress<'_>) -> Result<u64> {
    let place = place(path);
    let made = (|| {
        let mut connection = place.writer(None)?;
        if !free_pages_are_known(&connection) {
            // New tables would be put on pages that are none, or that others use.
            compact::room(path)?;
            connection.execute_batch("VACUUM")?;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        forget_derived(&transaction)?;
        transaction.execute_batch(&format!(
            "{} {} DELETE FROM counters WHERE name LIKE 'words\\_%' ESCAPE '\\';",
            words::tables(),
            search_table("event_search"),
        ))?;
        stray::advance(&transaction)?;
        transaction.commit()?;
        Ok(())
    })();
    made.map_err(|failure: Failure| failure.tell(&place))?;
    let indexed = rebuild_index(path, progress)?;
    free_pages(path);
    Ok(indexed)
}

/// Whether the list of free pages is sound. It is the first that SQLite looks at, if it can look at all.
fn free_pages_are_known(connection: &Connection) -> bool {
    let said = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    !said.is_ok_and(|said| said.lines().any(|line| line.starts_with("Freelist")))
}

/// Has SQLite know nothing of the derived tables any more. Dropping them would read their pages, which may be what is
/// damaged; so these stay in the file, used by nothing, until [`free_pages`].
fn forget_derived(connection: &Connection) -> Result<(), Failure> {
    let names = connection
        .prepare("SELECT DISTINCT tbl_name FROM sqlite_schema")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    let forgotten = names
        .iter()
        .filter(|name| is_derived(&name.to_lowercase()))
        .try_for_each(|name| connection.execute("DELETE FROM sqlite_schema WHERE tbl_name = ?1", [name]).map(drop));
    // Whether that worked or not: what is in effect is what the table says.
    connection.execute_batch("PRAGMA writable_schema = RESET")?;
    Ok(forgotten?)
}

/// Gives back the pages that nothing uses. Where there is no room for that, or others are at work, they do no harm but to
/// be told by the next checkup, which has them given back, too.
fn free_pages(path: &Path) {
    let done = (|| {
        compact::room(path)?;
        let connection = place(path).writer(None)?;
        connection.execute_batch("VACUUM")?;
        stray::advance(&connection)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok::<_, Failure>(())
    })();
    if let Err(error) = done {
        tracing::warn!(%error, "pages of the former search index stay in the database");
    }
}

fn search_table(name: &str) -> String {
    format!(
        "CREATE VIRTUAL TABLE {name} USING fts5(
            terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
         );"
    )
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
                configure(&transaction, "automerge", PARTS_LEFT)?;
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
        let (session, event_type) = (cell::id(row, 1)?, cell::event_type(row, 2)?);
        let data = borrowed(row, 3)?;
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
            .query_row([session], |row| Ok((text(row, 0)?, text(row, 1)?, text_or_none(row, 2)?)))
            .optional()?;
        if let Some((component, kind, project)) = found {
            let project = project.map(|project| format!(" {}", scope(SCOPE_PROJECT, &project))).unwrap_or_default();
            return Ok(format!("{} {}{project}", scope(SCOPE_COMPONENT, &component), scope(SCOPE_SESSION_TYPE, &kind)));
        }
    }
    Ok(String::new())
}
