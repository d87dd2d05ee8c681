//! Looks words up in the list of words: those that hold a part, and those a slip or two away.
//!
//! What a look costs is bounded, whatever the list holds: first come the words that were learnt first, which are the
//! commonest, and the texts of events that are not learnt yet are read up to a bound.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use crate::analysis::{self, Analyser};
use crate::search::spelling::{distance, letters, letters_inside};
use crate::sqlite::cell;
use crate::sqlite::failure::Failure;
use crate::sqlite::words;

/// Words with a part that are looked at.
const CONTAINING: usize = 2_000;
/// Words that share three letters in a row with another, each counted as often as it does, that are looked at for slips.
const SHARING: i64 = 20_000;
/// Words with the same three letters by which it is told how rare these are.
const SAMPLE: i64 = 64;
/// Of all three letters in a row, those that one slip and two slips change at most: three at one letter more, less or
/// other, four at two swapped.
const LOST_LETTERS: [usize; 3] = [0, 4, 7];
/// Words with the most letters in common that are compared.
const COMPARED: usize = 1_000;
/// Words with one beginning that are looked at for one stem.
const BEGINNING: usize = 32;
/// Newest events whose words are read where the list does not know them yet, and bytes of them.
const READ_EVENTS: usize = 4_000;
const READ_BYTES: usize = 2 * 1024 * 1024;

/// Words that hold `part` and more, and whether there may be others.
pub(super) fn containing(connection: &Connection, part: &str) -> Result<(Vec<String>, bool), Failure> {
    let asked: Vec<String> = letters_inside(part).iter().map(|three| format!("\"{three}\"")).collect();
    let mut select = connection.prepare_cached(
        "SELECT words.word FROM word_letters JOIN words ON words.id = word_letters.rowid
         WHERE word_letters MATCH ?1 ORDER BY word_letters.rowid LIMIT ?2",
    )?;
    let mut rows = select.query((asked.join(" AND "), CONTAINING as i64))?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        looked += 1;
        let word = cell::text(row, 0)?;
        if word.len() > part.len() && word.contains(part) {
            found.push(word);
        }
    }
    Ok((found, looked == CONTAINING))
}

/// Which of some stems a word of the list has, with the first such word, and those for which too many words begin alike to
/// tell, with an empty one.
///
/// A stem that is a word itself ([`words::is_word`]) and is not among them stands in no event that the list knows.
pub(super) fn having(connection: &Connection, stems: &HashSet<String>) -> Result<HashMap<String, String>, Failure> {
    // Words begin as their stem does, but for a `y` that became an `i`.
    let mut asked: Vec<(&str, &str)> =
        stems.iter().map(|stem| (stem.strip_suffix('i').unwrap_or(stem), stem.as_str())).collect();
    asked.sort_unstable();
    let mut select = connection.prepare_cached("SELECT word FROM words WHERE word >= ?1 ORDER BY word LIMIT ?2")?;
    let (mut found, mut buffer) = (HashMap::new(), String::new());
    let mut next = 0;
    while let Some(&(beginning, stem)) = asked.get(next) {
        next += 1;
        let mut rows = select.query((beginning, BEGINNING as i64))?;
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            let word = cell::text(row, 0)?;
            let word = word.as_str();
            if looked == 0 {
                // Nothing stands between what was asked for and this word.
                let passed = |&&(other, _): &&(&str, &str)| other < word && !word.starts_with(other);
                next += asked[next..].iter().take_while(passed).count();
            }
            if !word.starts_with(beginning) {
                break;
            }
            looked += 1;
            if analysis::stem(word, &mut buffer) == stem {
                found.insert(stem.to_owned(), word.to_owned());
                break;
            }
            if looked == BEGINNING {
                found.insert(stem.to_owned(), String::new());
            }
        }
    }
    Ok(found)
}

/// Words at most `most` slips away from `word`, with their distance. Two swaps of neighbours ([`swaps`]) may leave no
/// letters in a row to find a word by.
///
/// [`swaps`]: crate::search::spelling::swaps
pub(super) fn near(connection: &Connection, word: &str, most: usize) -> Result<Vec<(String, usize)>, Failure> {
    let mut text = connection.prepare_cached("SELECT word FROM words WHERE id = ?1")?;
    let mut found = Vec::new();
    for id in sharing(connection, word, LOST_LETTERS[most.min(2)])? {
        let mut rows = text.query([id])?;
        let Some(row) = rows.next()? else { continue };
        let other = cell::text(row, 0)?;
        if let Some(slips) = distance(word, &other, most).filter(|slips| *slips > 0) {
            found.push((other, slips));
        }
    }
    Ok(found)
}

/// Ids of the words that share most of all three letters in a row with `word`, and of these all but `lost`; in the order
/// in which they were learnt, the commonest first.
fn sharing(connection: &Connection, word: &str, lost: usize) -> Result<Vec<i64>, Failure> {
    let mut select = connection
        .prepare_cached("SELECT rowid FROM word_letters WHERE word_letters MATCH ?1 ORDER BY rowid LIMIT ?2")?;
    let mut threes = Vec::new();
    for three in letters(word) {
        let asked = format!("\"{three}\"");
        let mut rows = select.query((&asked, SAMPLE))?;
        let (mut count, mut last) = (0, 0);
        while let Some(row) = rows.next()? {
            count += 1;
            last = row.get(0)?;
        }
        // A few are all there are; of more, the last tells how densely they stand.
        threes.push((if count < SAMPLE { i64::MAX - count } else { last }, asked));
    }
    // The rarest tell most and cost least.
    threes.sort_unstable_by(|a, b| b.cmp(a));
    let newest: i64 =
        connection.prepare_cached("SELECT coalesce(max(id), 0) FROM words")?.query_row([], |row| row.get(0))?;
    let mut shared = vec![0_u8; newest.clamp(0, 2 * words::MOST) as usize + 1];
    let mut ids: Vec<i64> = Vec::new();
    let (mut left, mut read) = (SHARING, 0_usize);
    for (_, asked) in &threes {
        let mut rows = select.query((asked, left))?;
        while let Some(row) = rows.next()? {
            left -= 1;
            let id: i64 = row.get(0)?;
            let Some(count) = shared.get_mut(id as usize) else { continue };
            if *count == 0 {
                ids.push(id);
            }
            *count += 1;
        }
        if left == 0 {
            break;
        }
        read += 1;
    }
    let count = |id: &i64| usize::from(shared[*id as usize]);
    ids.retain(|id| count(id) + lost >= read);
    if ids.len() > COMPARED {
        ids.select_nth_unstable_by_key(COMPARED, |id| (Reverse(count(id)), *id));
        ids.truncate(COMPARED);
    }
    ids.sort_unstable();
    Ok(ids)
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
            let data = cell::borrowed(row, 1)?.unwrap_or_default();
            events += 1;
            bytes += data.len();
            if events > READ_EVENTS || bytes > READ_BYTES {
                read.all = false;
                break;
            }
            words::each_word(&mut analyser, &data, &mut |word| {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use proptest::collection::{hash_set, vec};
    use rusqlite::Connection;

    use super::*;
    use crate::search::spelling::{slips, swaps};

    /// A list of words alone.
    fn list<'w>(words: impl IntoIterator<Item = &'w String>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(words::tables()).unwrap();
        words::add(&connection, &words.into_iter().cloned().collect::<Vec<_>>()).unwrap();
        connection
    }

    fn stem(word: &str) -> String {
        analysis::stem(word, &mut String::new()).to_owned()
    }

    #[test]
    fn stems_are_had_by_inflected_words_and_by_no_others() {
        let words = ["queries", "stopping", "hiking", "backups", "größe", "backup2"].map(str::to_owned);
        let connection = list(&words);
        let asked = ["queri", "stop", "hik", "backup", "größe", "quer", "stopp", "hike", "back", "größ", "zebra", "a"];
        let having = having(&connection, &asked.map(str::to_owned).into()).unwrap();
        let expected =
            [("queri", "queries"), ("stop", "stopping"), ("hik", "hiking"), ("backup", "backups"), ("größe", "größe")];
        assert_eq!(having, expected.map(|(stem, word)| (stem.to_owned(), word.to_owned())).into());
    }

    #[test]
    fn of_many_words_that_begin_alike_none_is_ruled_out() {
        let words: Vec<String> = (0..2 * BEGINNING).map(|number| format!("aaaab{number}")).collect();
        let having = having(&list(&words), &["aaaa".to_owned()].into()).unwrap();
        assert_eq!(having, [("aaaa".to_owned(), String::new())].into());
    }

    proptest::proptest! {
        #[test]
        fn no_stem_that_a_word_has_is_missed(
            words in hash_set("[ab]{2}[absiy]{2,4}(ing|s|ed|ies|y)?", 1..60), asked in vec("[ab]{2}[absiy]{2,4}", 1..60),
        ) {
            let stems: HashSet<String> = asked.iter().chain(&words).map(|word| stem(word)).collect();
            let having = having(&list(&words), &stems).unwrap();
            let really: HashSet<String> = words.iter().map(|word| stem(word)).collect();
            for stem in &stems {
                let begin = words.iter().filter(|word| word.starts_with(stem.trim_end_matches('i'))).count();
                assert!(having.contains_key(stem) == really.contains(stem) || begin >= BEGINNING, "{stem}");
            }
        }

        #[test]
        fn every_word_at_one_slip_is_near_and_at_two_but_for_two_swaps(
            word in "[a-e]{8,12}", first in 0_usize..4_000, second in 0_usize..4_000,
        ) {
            let once = slips(&word);
            let once = &once[first % once.len()];
            let twice = slips(once);
            let twice = &twice[second % twice.len()];
            let connection = list([once, twice]);
            let found = near(&connection, &word, 2).unwrap();
            let is_near = |other: &String| found.iter().any(|(found, slips)| found == other && (1..=2).contains(slips));
            assert!(is_near(once), "{word} {once}");
            // A letter put between two that were swapped is three slips.
            let far = distance(&word, twice, 2).is_none_or(|slips| slips == 0);
            assert!(far || is_near(twice) || swaps(&word).contains(twice), "{word} {twice}");
        }
    }
}
