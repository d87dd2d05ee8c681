//! Puts together what small commits left apart in the full-text indexes: a search opens every part for every word.

use rusqlite::{Connection, OptionalExtension};

/// Pages that one step writes beside a server: about ten milliseconds, for which what is captured meanwhile waits.
const STEP_PAGES: i64 = 32;
/// Parts of one size from which on they are put together. SQLite's own 4 leaves three of each size, which makes searches
/// a fifth slower than two do.
const PARTS: i64 = 2;
/// Pages that one merge of everything writes: short transactions, so that capture gets its turn.
const ALL_PAGES: i64 = 500;
/// Merges at most; each one halves what there is to do, about.
const MOST: u64 = 10_000;

/// Merges some; whether there was anything to merge. Costs in all what the index's size is times the logarithm of the
/// number of commits, however often it is called.
pub(super) fn step(connection: &Connection) -> rusqlite::Result<bool> {
    for index in indexes(connection)? {
        let quoted = index.replace('"', "\"\"");
        let known: Option<i64> = connection
            .query_row(&format!("SELECT v FROM \"{quoted}_config\" WHERE k = 'usermerge'"), [], |row| row.get(0))
            .optional()?;
        if known != Some(PARTS) {
            let sql = format!("INSERT INTO \"{quoted}\"(\"{quoted}\", rank) VALUES ('usermerge', ?1)");
            connection.execute(&sql, [PARTS])?;
        }
        if merge(connection, &quoted, STEP_PAGES)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Merges all parts of every index into one, whatever their sizes.
pub(super) fn all(connection: &Connection, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<()> {
    for index in indexes(connection)? {
        let quoted = index.replace('"', "\"\"");
        // A negative number begins with all parts of the index.
        let mut pages = -ALL_PAGES;
        for round in 0..MOST {
            let merged = merge(connection, &quoted, pages)?;
            progress(round, MOST);
            if !merged {
                break;
            }
            pages = ALL_PAGES;
        }
    }
    Ok(())
}

/// Merges until about so many pages are written; whether there was anything to merge.
fn merge(connection: &Connection, quoted: &str, pages: i64) -> rusqlite::Result<bool> {
    let before = connection.total_changes();
    let sql = format!("INSERT INTO \"{quoted}\"(\"{quoted}\", rank) VALUES ('merge', ?1)");
    connection.prepare_cached(&sql)?.execute([pages])?;
    // The statement itself counts as one change.
    Ok(connection.total_changes() - before >= 2)
}

fn indexes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'";
    connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
}
