//! Words that nothing holds: taken for a slip of the pen, or for a part of a word.
//!
//! Slips are tried on the index itself, so nothing has to be kept for them; parts are looked for in the words of the
//! newest events. Only a query that would find nothing for a word pays for it.

use std::collections::HashMap;

use rusqlite::Connection;

use super::expression;
use super::frequency::Frequencies;
use crate::analysis::{Analyser, stem};
use crate::search::query::{Query, Term};
use crate::search::spelling::{MIN_PART_CHARS, slips};
use crate::search::text::each_text;
use crate::sqlite::failure::Failure;

/// Words of one query that are mended.
const MENDED: usize = 3;
/// Words of a query up to which one that nothing holds is worth looking for as a part of others: of more words, the
/// others answer.
const FEW_WORDS: usize = 2;
/// Matches of a slip that are counted, to choose the commonest.
const COUNTED: i64 = 64;
/// Newest events whose words are looked into, and bytes of them.
const LOOKED_INTO: usize = 4_000;
const LOOKED_INTO_BYTES: usize = 2 * 1024 * 1024;

/// Replaces words that nothing holds; says what was read as what.
pub(super) fn mend(
    connection: &Connection,
    query: &mut Query,
    frequencies: &mut Frequencies,
) -> Result<Vec<String>, Failure> {
    let lost: Vec<usize> = query
        .clauses
        .iter()
        .filter(|clause| clause.parts.len() == 1 && !clause.phrase)
        .map(|clause| clause.parts[0])
        .filter(|&part| !query.terms[part].prefix && frequencies.events[part] == 0.0)
        .take(MENDED)
        .collect();
    let few = query.clauses.len() <= FEW_WORDS;
    let mut notes = Vec::new();
    let mut words = None;
    for part in lost {
        let written = query.terms[part].surface.clone();
        let mut meant = by_slip(connection, &written)?;
        if meant.is_none() && few && written.chars().count() >= MIN_PART_CHARS {
            if words.is_none() {
                words = Some(newest_words(connection)?);
            }
            meant = words.as_ref().and_then(|words| by_part(words, &written));
        }
        if let Some((word, events)) = meant {
            notes.push(format!("\"{written}\" read as \"{word}\""));
            query.terms[part] = as_term(&word);
            frequencies.events[part] = events;
        }
    }
    Ok(notes)
}

fn as_term(word: &str) -> Term {
    let mut buffer = String::new();
    Term { term: stem(word, &mut buffer).to_owned(), surface: word.to_owned(), prefix: false }
}

/// The commonest word at one slip from `written`; among equals the likelier slip.
fn by_slip(connection: &Connection, written: &str) -> Result<Option<(String, f64)>, Failure> {
    let mut probe = connection.prepare_cached(expression::NEWEST)?;
    let mut best: Option<(String, i64)> = None;
    let mut tried: HashMap<String, i64> = HashMap::new();
    for word in slips(written) {
        let term = as_term(&word);
        if tried.contains_key(&term.term) {
            continue;
        }
        let mut rows = probe.query((expression::term(&term), i64::MIN, i64::MAX, COUNTED))?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        tried.insert(term.term, count);
        if count > best.as_ref().map_or(0, |(_, most)| *most) {
            best = Some((word, count));
        }
    }
    Ok(best.map(|(word, count)| (word, count as f64)))
}

/// Words of the newest events and how many of these hold each.
fn newest_words(connection: &Connection) -> Result<HashMap<String, u32>, Failure> {
    let mut select = connection.prepare_cached("SELECT data FROM session_events ORDER BY seq DESC LIMIT ?1")?;
    let mut rows = select.query([LOOKED_INTO as i64])?;
    let mut words: HashMap<String, u32> = HashMap::new();
    let mut analyser = Analyser::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
        bytes += data.len();
        if bytes > LOOKED_INTO_BYTES {
            break;
        }
        each_text(data, &mut |text| {
            analyser.analyse(text, |token| {
                match words.get_mut(token.surface) {
                    Some(count) => *count += 1,
                    None => {
                        words.insert(token.surface.to_owned(), 1);
                    }
                }
                true
            });
        });
    }
    Ok(words)
}

/// The commonest word that holds `part`; among equals the shortest.
fn by_part(words: &HashMap<String, u32>, part: &str) -> Option<(String, f64)> {
    words
        .iter()
        .filter(|(word, _)| word.len() > part.len() && word.contains(part))
        .max_by(|(a, many), (b, more)| many.cmp(more).then(b.len().cmp(&a.len())).then(b.cmp(a)))
        .map(|(word, count)| (word.clone(), f64::from(*count)))
}
