//! The list of words that events hold. It is learnt after the events are stored, so that capture pays nothing for it: read
//! and taken apart beside the writer, which only gets what is new, a few words at a time.

use std::collections::HashSet;

use oneiric::fault::Result;
use rusqlite::Connection;

use super::cell::borrowed;
use super::failure::Failure;
use super::writer::Door;
use super::{SqliteStore, counters};
use crate::analysis::{Analyser, Kind, MAX_TERMS};
use crate::search::spelling::{MIN_PART_CHARS, letters};
use crate::search::text::each_text;

/// Of the way words are made; another number has the list learnt again.
const SHAPE: f64 = 3.0;
/// Words that the list may have. Later ones are found as a whole only.
pub(super) const MOST: i64 = 1_000_000;
/// Longest word in letters that is taken apart; what is longer is no word that anybody writes in part.
const MAX_CHARS: usize = 40;
/// Words that one transaction adds, so that what is captured meanwhile waits a moment only.
const AT_ONCE: usize = 250;
/// Events, and bytes of them, that one step reads.
const STEP_EVENTS: usize = 1_000;
const STEP_BYTES: usize = 2 * 1024 * 1024;

/// Events after `?1`, live and archived.
const AFTER: &str = "SELECT * FROM (SELECT seq, data FROM session_events WHERE seq > ?1 ORDER BY seq LIMIT ?2)
     UNION ALL SELECT * FROM (SELECT seq, data FROM archived_events WHERE seq > ?1 ORDER BY seq LIMIT ?2)
     ORDER BY 1 LIMIT ?2";

/// What one step reads.
struct Step {
    from: i64,
    through: i64,
    /// Those that the list does not have.
    new: Vec<String>,
    events: usize,
    /// How many events had been deleted when they were read.
    deleted: f64,
}

/// Makes the list, and the index of its letters.
pub(super) fn tables() -> &'static str {
    let made = include_str!("../../migrations/0003_words.sql");
    made.split("INSERT INTO retention").next().unwrap_or_default()
}

/// Up to which event the words are known.
pub(super) fn through(connection: &Connection) -> Result<i64, Failure> {
    Ok(counters::value(connection, counters::WORDS_THROUGH)? as i64)
}

/// Whether the list misses no word of the events that it knows.
pub(super) fn complete(connection: &Connection) -> Result<bool, Failure> {
    let shaped = through(connection)? == 0 || counters::value(connection, counters::WORDS_SHAPE)? == SHAPE;
    Ok(shaped && !full(connection)?)
}

/// Whether the list has as many words as it may have, so that later ones are missing.
fn full(connection: &Connection) -> Result<bool, Failure> {
    let mut select = connection.prepare_cached("SELECT coalesce(max(id), 0) >= ?1 FROM words")?;
    Ok(select.query_row([MOST], |row| row.get(0))?)
}

/// Whether the list holds words that may stand nowhere any more, or was made in another way.
fn outdated(connection: &Connection) -> Result<bool, Failure> {
    if through(connection)? == 0 {
        // One that was begun only is of this way, and of events that were there then.
        let words = connection.prepare_cached("SELECT 1 FROM words LIMIT 1")?.exists([])?;
        return Ok(words && begun_before_a_deletion(connection)?);
    }
    Ok(counters::value(connection, counters::WORDS_SHAPE)? != SHAPE || begun_before_a_deletion(connection)?)
}

fn begun_before_a_deletion(connection: &Connection) -> Result<bool, Failure> {
    Ok(counters::value(connection, counters::DELETED_EVENTS)? > counters::value(connection, counters::WORDS_DELETED)?)
}

/// Empties the list when it is outdated, so that no word outlives its events for long.
pub(super) fn forget_outdated(connection: &Connection) -> Result<bool, Failure> {
    if !outdated(connection)? {
        return Ok(false);
    }
    connection.execute_batch(
        "DELETE FROM words; INSERT INTO word_letters (word_letters) VALUES ('delete-all');
         DELETE FROM counters WHERE name LIKE 'words\\_%' ESCAPE '\\';",
    )?;
    Ok(true)
}

/// Learns the words of the next events; how many events were read. 0 when there are no more.
pub(super) fn learn(store: &SqliteStore) -> Result<usize> {
    if store.read(outdated)? {
        store.write(|door| door.run(|connection, _| forget_outdated(connection)))?;
    }
    let step = store.read(next)?;
    if step.events == 0 {
        return Ok(0);
    }
    store.write(|door| keep(step, door))
}

fn keep(step: Step, door: &Door) -> Result<usize> {
    let mut new = step.new.as_slice();
    let (from, through, deleted) = (step.from, step.through, step.deleted);
    // Another process may have come further meanwhile, or deleted what was read: its words are not to come back.
    let stands = move |connection: &Connection| -> Result<bool, Failure> {
        Ok(self::through(connection)? == from && counters::value(connection, counters::DELETED_EVENTS)? == deleted)
    };
    while new.len() > AT_ONCE {
        let (some, rest) = new.split_at(AT_ONCE);
        let some = some.to_vec();
        let added = door.run(move |connection, _| {
            let stands = stands(connection)?;
            if stands {
                begin(connection, from, deleted)?;
                add(connection, &some)?;
            }
            Ok(stands)
        })?;
        if !added {
            return Ok(step.events);
        }
        new = rest;
    }
    let rest = new.to_vec();
    door.run(move |connection, _| {
        if stands(connection)? {
            begin(connection, from, deleted)?;
            add(connection, &rest)?;
            counters::set(connection, counters::WORDS_THROUGH, through as f64)?;
        }
        Ok(())
    })?;
    Ok(step.events)
}

/// Notes what a list that begins is of.
fn begin(connection: &Connection, from: i64, deleted: f64) -> Result<(), Failure> {
    if from == 0 {
        counters::set(connection, counters::WORDS_SHAPE, SHAPE)?;
        counters::set(connection, counters::WORDS_DELETED, deleted)?;
    }
    Ok(())
}

/// Whether the list holds `word`.
pub(super) fn knows(connection: &Connection, word: &str) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM words WHERE word = ?1")?.exists([word])?)
}

fn next(connection: &Connection) -> Result<Step, Failure> {
    let from = through(connection)?;
    let deleted = counters::value(connection, counters::DELETED_EVENTS)?;
    let mut step = Step { from, through: from, new: Vec::new(), events: 0, deleted };
    let full = full(connection)?;
    let mut known = connection.prepare_cached("SELECT 1 FROM words WHERE word = ?1")?;
    let mut select = connection.prepare_cached(AFTER)?;
    let mut rows = select.query((from, STEP_EVENTS as i64))?;
    let mut seen: HashSet<String> = HashSet::new();
    let mut analyser = Analyser::default();
    let mut bytes = 0;
    while bytes < STEP_BYTES
        && let Some(row) = rows.next()?
    {
        step.through = row.get(0)?;
        step.events += 1;
        let data = borrowed(row, 1)?.unwrap_or_default();
        bytes += data.len();
        if !full {
            each_word(&mut analyser, &data, &mut |word| {
                if !seen.contains(word) {
                    seen.insert(word.to_owned());
                }
            });
        }
    }
    for word in seen {
        if !known.exists([&word])? {
            step.new.push(word);
        }
    }
    Ok(step)
}

pub(super) fn add(connection: &Connection, words: &[String]) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached("INSERT INTO words (word) VALUES (?1) ON CONFLICT (word) DO NOTHING")?;
    let mut index = connection.prepare_cached("INSERT INTO word_letters (rowid, letters) VALUES (?1, ?2)")?;
    for word in words {
        if insert.execute([word])? == 1 {
            index.execute((connection.last_insert_rowid(), letters(word).join(" ")))?;
        }
    }
    Ok(())
}

/// Calls `take` with each word and identifier of a JSON document's strings that somebody may write in part.
pub(super) fn each_word(analyser: &mut Analyser, json: &str, take: &mut dyn FnMut(&str)) {
    let mut length = 0;
    analyser.reset();
    each_text(json, &mut |text| {
        if length >= MAX_TERMS {
            return;
        }
        analyser.analyse(text, |token| {
            // As far as the search index goes: the list misses no word that the index holds.
            length += usize::from(token.kind != Kind::Whole);
            if matches!(token.kind, Kind::Part | Kind::Whole) && is_word(token.surface) {
                take(token.surface);
            }
            length < MAX_TERMS
        });
    });
}

/// Not a number, a checksum or an id: these are many, each stands once, and they are found by their beginning.
///
/// When a stem is a word, so is every word that has it: nothing but letters was taken off.
pub(super) fn is_word(word: &str) -> bool {
    let (mut chars, mut letters, mut changes) = (0, 0, 0);
    let mut digit = None;
    for c in word.chars() {
        chars += 1;
        let is_digit = c.is_numeric();
        letters += usize::from(!is_digit);
        changes += usize::from(digit.is_some_and(|was| was != is_digit));
        digit = Some(is_digit);
    }
    chars > MIN_PART_CHARS && chars <= MAX_CHARS && changes <= 4 && letters * 2 > chars
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
