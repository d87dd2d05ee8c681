//! Looks words up in the list of words: those that hold a part, and those a slip or two away.
//!
//! What a look costs is bounded, whatever the list holds: first come the words that were learnt first, which are the
//! commonest, and the texts of events that are not learnt yet are read up to a bound.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use crate::analysis::Analyser;
use crate::search::spelling::{distance, letters, letters_inside};
use crate::sqlite::failure::Failure;
use crate::sqlite::words;

/// Words with a part that are looked at.
const CONTAINING: usize = 2_000;
/// Words that hold the same three letters, and all of these together, that are looked at for slips.
const SHARING: i64 = 20_000;
const SHARING_ALL: usize = 100_000;
/// Words with the most letters in common that are compared.
const COMPARED: usize = 1_000;
/// Newest events whose words are read where the list does not know them yet, and bytes of them.
const READ_EVENTS: usize = 4_000;
const READ_BYTES: usize = 2 * 1024 * 1024;

/// Words that hold `part` and more.
pub(super) fn containing(connection: &Connection, part: &str) -> Result<Vec<String>, Failure> {
    let asked: Vec<String> = letters_inside(part).iter().map(|three| format!("\"{three}\"")).collect();
    let mut select = connection.prepare_cached(
        "SELECT words.word FROM word_letters JOIN words ON words.id = word_letters.rowid
         WHERE word_letters MATCH ?1 ORDER BY word_letters.rowid LIMIT ?2",
    )?;
    let mut rows = select.query((asked.join(" AND "), CONTAINING as i64))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let word = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if word.len() > part.len() && word.contains(part) {
            found.push(word.to_owned());
        }
    }
    Ok(found)
}

/// Words at most `most` slips away from `word`, with their distance.
pub(super) fn near(connection: &Connection, word: &str, most: usize) -> Result<Vec<(String, usize)>, Failure> {
    let mut shared: HashMap<i64, usize> = HashMap::new();
    let mut select = connection
        .prepare_cached("SELECT rowid FROM word_letters WHERE word_letters MATCH ?1 ORDER BY rowid LIMIT ?2")?;
    let mut visited = 0;
    for three in letters(word) {
        let mut rows = select.query((format!("\"{three}\""), SHARING))?;
        while visited < SHARING_ALL
            && let Some(row) = rows.next()?
        {
            visited += 1;
            *shared.entry(row.get(0)?).or_default() += 1;
        }
    }
    let mut shared: Vec<(i64, usize)> = shared.into_iter().collect();
    shared.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut text = connection.prepare_cached("SELECT word FROM words WHERE id = ?1")?;
    let mut found = Vec::new();
    for (id, _) in shared.into_iter().take(COMPARED) {
        let mut rows = text.query([id])?;
        let Some(row) = rows.next()? else { continue };
        let other = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if let Some(slips) = distance(word, other, most).filter(|slips| *slips > 0) {
            found.push((other.to_owned(), slips));
        }
    }
    Ok(found)
}

/// Words that were read from texts, and how many of these hold each.
#[derive(Default)]
pub(super) struct Read {
    pub(super) words: HashMap<String, u32>,
    /// Whether all texts that were meant were read.
    pub(super) all: bool,
}

impl Read {
    /// Words of the events that the list does not know yet, the newest first.
    pub(super) fn unlearnt(connection: &Connection) -> Result<Self, Failure> {
        let mut select = connection.prepare_cached(
            "SELECT * FROM (SELECT seq, data FROM session_events WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2)
             UNION ALL SELECT * FROM (SELECT seq, data FROM archived_events WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2)
             ORDER BY 1 DESC LIMIT ?2",
        )?;
        Self::rows(select.query((words::through(connection)?, READ_EVENTS as i64 + 1))?)
    }

    /// Words of one session's newest events.
    pub(super) fn session(connection: &Connection, session: &str) -> Result<Self, Failure> {
        let mut select = connection.prepare_cached(
            "SELECT * FROM (SELECT seq, data FROM session_events WHERE session_id = ?1
                UNION ALL SELECT seq, data FROM archived_events WHERE session_id = ?1) ORDER BY 1 DESC LIMIT ?2",
        )?;
        Self::rows(select.query((session, READ_EVENTS as i64 + 1))?)
    }

    fn rows(mut rows: rusqlite::Rows<'_>) -> Result<Self, Failure> {
        let mut read = Self { all: true, ..Self::default() };
        let mut analyser = Analyser::default();
        let (mut events, mut bytes) = (0, 0);
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(row) = rows.next()? {
            let data = row.get_ref(1)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
            events += 1;
            bytes += data.len();
            if events > READ_EVENTS || bytes > READ_BYTES {
                read.all = false;
                break;
            }
            words::each_word(&mut analyser, data, &mut |word| {
                if !seen.contains(word) {
                    seen.insert(word.to_owned());
                }
            });
            for word in seen.drain() {
                *read.words.entry(word).or_default() += 1;
            }
        }
        Ok(read)
    }
}
