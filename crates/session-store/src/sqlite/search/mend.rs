//! Words that nothing holds, or hardly anything: taken for a part of other words, or for slips of the pen.
//!
//! Slips and parts are looked up in the list of words ([`super::vocabulary`]); while the list is not complete, one slip in
//! plain letters is tried on the search index itself. What is found counts only as far as the index says that events of the
//! search's own filter hold it, so a word of another project is neither used nor told. That a word is lost in a filter, though
//! others hold it, is known once the search found it nowhere ([`Asked::lost`]). Only a query that would find little pays.

use std::collections::HashSet;

use rusqlite::Connection;

use super::expression;
use super::frequency::{Frequencies, Probe};
use super::naming::Noted;
use super::reach::Reach;
use super::vocabulary::{self, Read};
use crate::analysis::stem;
use crate::model::{Pool, SearchFilter};
use crate::search::dates;
use crate::search::query::{Also, Clause, Query, Term};
use crate::search::spelling::{MIN_PART_CHARS, distance, forgiven, slips, swaps};
use crate::search::stop::is_stop;
use crate::sqlite::failure::Failure;
use crate::sqlite::words;

/// Words of one query that are mended.
const MENDED: usize = 3;
/// Words of a query up to which one is worth looking for as a part of others: of more words, the others answer.
const FEW_WORDS: usize = 2;
/// Words of a query up to which two slips are looked for in one of them: of more, half must be lost.
const TWO_SLIPS_WORDS: usize = 3;
/// Events up to which a word is hardly held, where there are many events.
const HARDLY: f64 = 3.0;
const MANY: f64 = 1_000.0;
/// How much commoner the right word must be than a slip that stands in texts itself.
const COMMONER: i64 = 20;
/// Matches of a word that are counted, to choose the commonest.
const COUNTED: i64 = 64;
/// Words with the part that are counted, and of these the ones that are looked for.
const TRIED: usize = 300;
const TAKEN: usize = 32;
/// Events of all up to which it is counted at once how many of them are of the filter: of more it would take long, and only
/// a search that finds none has to know.
const LOOKED_AT: f64 = 2_000.0;
/// Rows that are looked at where only these tell whether an event counts: for one word, and for all of a query.
const VISITED: usize = 2_000;
const VISITED_IN_ALL: usize = 10_000;

/// What is to be read.
pub(super) struct Asked<'a> {
    pub(super) query: &'a Query,
    pub(super) filter: &'a SearchFilter,
    /// The one session that is searched.
    pub(super) only: Option<&'a str>,
    pub(super) pool: &'a Pool,
    pub(super) reach: &'a Reach<'a>,
    /// Terms that no event of the filter holds, as a search has shown.
    pub(super) lost: &'a [bool],
}

/// A query as it was read.
pub(super) struct Mended {
    pub(super) query: Query,
    pub(super) frequencies: Frequencies,
    /// By term: whether events of the filter were taken to hold it as it was written.
    pub(super) held: Vec<bool>,
    /// Words that were read anew.
    pub(super) notes: Vec<Noted>,
    /// Whether a part stands in more words than are looked for.
    pub(super) cut: bool,
    /// Whether words of older events are not known yet.
    pub(super) behind: bool,
}

impl Mended {
    /// As it was written.
    pub(super) fn not(query: &Query, estimated: &Frequencies) -> Self {
        let (query, frequencies) = (query.clone(), estimated.clone());
        let held = vec![true; query.terms.len()];
        Self { query, frequencies, held, notes: Vec::new(), cut: false, behind: false }
    }
}

struct Mender<'m> {
    connection: &'m Connection,
    asked: &'m Asked<'m>,
    read: Option<Read>,
    /// Rows that may still be looked at.
    visits: usize,
    /// Slips that one word is forgiven at most, and whether the first letter may be one of them: in a sentence, a word that
    /// is not held is more often another word than a slip.
    most: usize,
    first: bool,
}

/// A word that events of the filter hold, and in about how many.
type Counted = (String, i64);

/// Events that were counted, and whether some that may count were not looked at.
#[derive(Default)]
struct Tally {
    events: i64,
    cut: bool,
}

/// Words with a part.
#[derive(Default)]
struct Inside {
    /// Those that are looked for.
    words: Vec<Counted>,
    /// Whether there are more.
    more: bool,
}

/// Reads words that nothing holds as words that are held.
pub(super) fn mend(connection: &Connection, asked: &Asked<'_>, estimated: &Frequencies) -> Result<Mended, Failure> {
    let Asked { query, only, pool, .. } = *asked;
    let few = query.clauses.len() <= FEW_WORDS;
    let mut mender = Mender { connection, asked, read: None, visits: VISITED_IN_ALL, most: 2, first: few };
    let events = mender.held(estimated)?;
    let held = |term: usize| events[term];
    // What a session's day answers is no slip.
    let dates: Vec<usize> = dates::parts(query).into_iter().map(|(term, _)| term).collect();
    let lost = query.clauses.iter().filter(|clause| clause.parts.iter().all(|&part| held(part) == 0.0)).count();
    let mut changes: Vec<(usize, New)> = Vec::new();
    mender.most = if query.clauses.len() <= TWO_SLIPS_WORDS || lost * 2 > query.clauses.len() { 2 } else { 1 };
    let open = |clause: &&Clause| !clause.phrase;
    let mut left = MENDED;
    for clause in query.clauses.iter().filter(open) {
        if let (Some(whole), true) = (clause.whole, few)
            && held(whole) == 0.0
            && clause.parts.iter().any(|&part| held(part) == 0.0)
            && left > 0
        {
            // A part of an identifier that is cut within a word.
            let found = mender.inside(&query.terms[whole].surface)?;
            if !found.words.is_empty() {
                left -= 1;
                changes.push((whole, read_as(found)));
                continue;
            }
        }
        for &part in &clause.parts {
            let term = &query.terms[part];
            let single = clause.parts.len() == 1;
            // Of all events: within a narrow filter most words are rare.
            let rare = estimated.events[part] <= HARDLY && pool.events >= MANY && single && few && only.is_none();
            // Alone, `dec` is more likely a part of `decode` than the twelfth month, which no text names.
            let date = dates.contains(&part) && (query.clauses.len() > 1 || dates::is_whole(&term.surface));
            if term.prefix || date || left == 0 || (held(part) > 0.0 && !rare) {
                continue;
            }
            left -= 1;
            let new = if held(part) > 0.0 {
                mender.beside(term, held(part))?
            } else {
                mender.instead(term, single && few)?
            };
            changes.extend(new.map(|new| (part, new)));
        }
    }
    // A word that is held answers by itself.
    let missing = query.clauses.iter().flat_map(|clause| &clause.parts).any(|&part| held(part) == 0.0);
    let behind = missing && mender.read.as_ref().is_some_and(|read| !read.all) && only.is_none();
    let cut = changes.iter().any(|(_, new)| new.more);
    let held_at_all = events.iter().map(|events| *events > 0.0).collect();
    let mut mended = Mended { held: held_at_all, cut, behind, ..Mended::not(query, estimated) };
    if !changes.is_empty() {
        let probe = Probe::new(connection, pool)?;
        for (part, new) in changes {
            let written = query.terms[part].surface.clone();
            mended.notes.push(Noted { term: part, written, held: held(part) > 0.0, more: new.more });
            mended.frequencies.events[part] = probe.events(connection, &new.term)?;
            mended.query.terms[part] = new.term;
        }
    }
    Ok(mended)
}

fn as_term(word: &str) -> Term {
    let mut buffer = String::new();
    Term { term: stem(word, &mut buffer).to_owned(), surface: word.to_owned(), prefix: false, also: Vec::new() }
}

/// What a word is read as.
struct New {
    term: Term,
    /// Whether it is a part of more words than these.
    more: bool,
}

impl From<Term> for New {
    fn from(term: Term) -> Self {
        Self { term, more: false }
    }
}

/// One term for several words, the first of which names it.
fn read_as(Inside { words, more }: Inside) -> New {
    let mut words = words.into_iter();
    let first = words.next().map(|(word, _)| as_term(&word)).unwrap_or_else(|| as_term(""));
    New { term: Term { also: words.map(|one| also(one, false)).collect(), ..first }, more }
}

fn also((word, _): Counted, half: bool) -> Also {
    let one = as_term(&word);
    Also { term: one.term, surface: one.surface, half }
}

impl Mender<'_> {
    /// In about how many events of the filter each term of the query stands. Where and when others wrote a word must not
    /// matter to a search that is not to find it there.
    fn held(&mut self, estimated: &Frequencies) -> Result<Vec<f64>, Failure> {
        let mut events = estimated.events.clone();
        let Asked { query, only, lost, .. } = *self.asked;
        let narrow = self.narrow();
        for (number, term) in query.terms.iter().enumerate() {
            if only.is_some() {
                // All of the session was read, but for what is not known to be lost.
                events[number] = if lost.get(number) == Some(&true) { 0.0 } else { events[number].max(1.0) };
                continue;
            }
            if lost.get(number) == Some(&true) {
                // The index does not give what holds a word that the query excludes.
                let counted = if query.excluded.is_empty() { Tally::default() } else { self.tally(term, 1, &[])? };
                events[number] = if counted.cut { events[number] } else { counted.events as f64 };
                continue;
            }
            let looked_at = 0.0 < events[number] && events[number] <= LOOKED_AT;
            if looked_at && !estimated.common[number] && narrow {
                let counted = self.tally(term, HARDLY as i64 + 1, &[])?;
                if counted.events > 0 || !counted.cut {
                    events[number] = counted.events as f64;
                }
            }
        }
        Ok(events)
    }

    /// Whether events are outside the filter.
    fn narrow(&self) -> bool {
        self.asked.reach.looks() || !expression::scopes(self.asked.filter).is_empty()
    }

    /// What a word that nothing holds may have meant. A guess counts half.
    fn instead(&mut self, written: &Term, parts: bool) -> Result<Option<New>, Failure> {
        let found = if parts { self.inside(&written.surface)? } else { Inside::default() };
        let all: i64 = found.words.iter().map(|(_, count)| count).sum();
        // Who writes a part of a common word hardly meant another.
        let slip = if all < COUNTED { self.slip(&written.surface)?.filter(|(_, count)| *count > all) } else { None };
        if !found.words.is_empty() {
            let mut new = read_as(found);
            new.term.also.extend(slip.map(|slip| also(slip, true)));
            return Ok(Some(new));
        }
        if let Some(slip) = slip {
            return Ok(Some(Term { also: vec![also(slip, true)], ..written.clone() }.into()));
        }
        let beginning = Term { prefix: true, also: Vec::new(), ..written.clone() };
        let begins = parts && self.asked.only.is_none() && written.surface.chars().count() > MIN_PART_CHARS;
        Ok((begins && self.count(&beginning, COUNTED)? > 0).then(|| beginning.into()))
    }

    /// A word that hardly anything holds, with what it may be a part of or a slip for.
    fn beside(&mut self, term: &Term, held: f64) -> Result<Option<New>, Failure> {
        let Inside { words: mut found, more } = self.inside(&term.surface)?;
        if found.is_empty() {
            found.extend(self.slip(&term.surface)?.filter(|(_, count)| *count as f64 >= held * COMMONER as f64));
        }
        found.retain(|(word, _)| as_term(word).term != term.term);
        if found.is_empty() {
            return Ok(None);
        }
        let also = found.into_iter().map(|one| also(one, true)).collect();
        let new = Term { also, ..term.clone() };
        // An identifier that holds the word as one of its own parts is found already.
        Ok((self.count(&new, COUNTED)? > self.count(term, COUNTED)?).then_some(New { term: new, more }))
    }

    /// Words that hold `part`, the commonest first; among equals the shortest.
    fn inside(&mut self, part: &str) -> Result<Inside, Failure> {
        if part.chars().count() < MIN_PART_CHARS {
            return Ok(Inside::default());
        }
        let (mut words, mut more) = match self.asked.only {
            Some(_) => (Vec::new(), false),
            None => vocabulary::containing(self.connection, part)?,
        };
        let read = &self.read()?.words;
        words.extend(read.keys().filter(|word| word.len() > part.len() && word.contains(part)).cloned());
        // A prefix stands for all words that only end otherwise.
        words.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
        let (mut found, all) = self.counted(words.into_iter(), TRIED)?;
        found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.len().cmp(&b.0.len())).then(a.0.cmp(&b.0)));
        more |= !all || found.len() > TAKEN;
        found.truncate(TAKEN);
        Ok(Inside { words: found, more })
    }

    /// The commonest of the words at the fewest slips from `written`.
    fn slip(&mut self, written: &str) -> Result<Option<Counted>, Failure> {
        let most = forgiven(written).min(self.most);
        if most == 0 {
            return Ok(None);
        }
        if self.asked.only.is_none() {
            let likely = self.likely(written);
            let single = self.heard(slips(written).into_iter().filter(|word| likely(word)).collect())?;
            let (single, _) = self.counted(single.into_iter(), usize::MAX)?;
            if let Some(best) = self.commonest(single)? {
                return Ok(Some(best));
            }
            if most == 1 && written.is_ascii() {
                return Ok(None);
            }
        }
        let mut near =
            if self.asked.only.is_none() { vocabulary::near(self.connection, written, most)? } else { Vec::new() };
        let read = self.read()?.words.keys();
        near.extend(read.filter_map(|word| Some((word.clone(), distance(written, word, most)?))));
        let swaps = if self.asked.only.is_none() { self.heard(swaps(written))? } else { swaps(written) };
        near.extend(
            swaps
                .into_iter()
                .filter_map(|word| Some((distance(written, &word, most)?, word)))
                .map(|(slips, word)| (word, slips)),
        );
        for slips in 1..=most {
            let likely = self.likely(written);
            let so_far = near.iter().filter(|(word, far)| *far == slips && likely(word)).map(|(word, _)| word.clone());
            let counted = self.counted(so_far, usize::MAX)?.0;
            if let Some(best) = self.commonest(counted)? {
                return Ok(Some(best));
            }
        }
        Ok(None)
    }

    /// Whether somebody who wrote `written` may have meant a word. Nobody looks for words that every text holds.
    fn likely<'w>(&self, written: &'w str) -> impl Fn(&str) -> bool + use<'w> {
        let first = self.first;
        move |word| !is_stop(word) && (first || word.chars().next() == written.chars().next())
    }

    /// Those of `words`, of which `most` are counted, that events of the filter hold, and whether these were all. Words of
    /// one stem are counted once.
    fn counted(&mut self, words: impl Iterator<Item = String>, most: usize) -> Result<(Vec<Counted>, bool), Failure> {
        let mut stems = HashSet::new();
        let mut found = Vec::new();
        for word in words {
            let term = as_term(&word);
            if stems.contains(&term.term) {
                continue;
            }
            if stems.len() >= most {
                return Ok((found, false));
            }
            stems.insert(term.term.clone());
            let count = match self.asked.only {
                Some(_) => self.read()?.words.get(&word).map_or(0, |count| i64::from(*count)),
                None => self.count(&term, COUNTED)?,
            };
            if count > 0 {
                found.push((word, count));
            }
        }
        Ok((found, true))
    }

    /// Those of `words` that events may hold, in their order: what is neither in the list nor read need not be asked of the
    /// index. A stem that lost its last `e` is no word: nobody who wrote `coach` meant `cach`, though `cache` is held, nor
    /// `fil` with `fail`, though `file` is; the list has no words of three letters.
    fn heard(&mut self, mut words: Vec<String>) -> Result<Vec<String>, Failure> {
        if !words::complete(self.connection)? || !self.read()?.all {
            return Ok(words);
        }
        let connection = self.connection;
        let read = self.read()?;
        let stems = words.iter().map(|word| as_term(word).term).filter(|stem| words::is_word(stem)).collect();
        let mut having = vocabulary::having(connection, &stems)?;
        let mut short: HashSet<String> = HashSet::new();
        for word in words.iter().filter(|word| word.chars().count() == MIN_PART_CHARS) {
            let with_e = format!("{word}e");
            if read.words.contains_key(&with_e) || words::knows(connection, &with_e)? {
                short.insert(word.clone());
            }
        }
        for word in read.words.keys() {
            let stem = as_term(word).term;
            if stems.contains(&stem) {
                let first = having.entry(stem).or_insert_with(|| word.clone());
                if word < first {
                    first.clone_from(word);
                }
            }
        }
        words.retain(|word| {
            let stem = as_term(word).term;
            if short.contains(word) {
                return false;
            }
            !stems.contains(&stem)
                || having.get(&stem).is_some_and(|first| first.strip_prefix(word.as_str()) != Some("e"))
        });
        Ok(words)
    }

    /// The first of the commonest, as texts hold it.
    fn commonest(&mut self, mut found: Vec<Counted>) -> Result<Option<Counted>, Failure> {
        while let Some(most) = found.iter().map(|(_, count)| *count).max() {
            let at = found.iter().position(|(_, count)| *count == most).unwrap_or(0);
            let (word, count) = found.remove(at);
            if let Some(held) = self.bearer(word)? {
                return Ok(Some((held, count)));
            }
        }
        Ok(None)
    }

    /// The word that texts hold for a spelling that the index may know by another word's stem; `None` for one that nobody
    /// looks for.
    fn bearer(&mut self, word: String) -> Result<Option<String>, Failure> {
        let connection = self.connection;
        if self.read()?.words.contains_key(&word) || words::knows(connection, &word)? {
            return Ok(Some(word));
        }
        let stem = as_term(&word).term;
        let listed = vocabulary::having(connection, &HashSet::from([stem.clone()]))?.remove(&stem);
        let read = self.read()?.words.keys().filter(|one| as_term(one).term == stem).min().cloned();
        Ok(match listed.or(read) {
            // Too many begin alike.
            Some(held) if held.is_empty() => Some(word),
            Some(held) if is_stop(&held) => None,
            // Whether the filter's events hold this one, too, is not known.
            Some(held) => Some(if self.narrow() { word } else { held }),
            // The list has no words of three letters.
            None if words::is_word(&word) && as_term(&stem).term == stem => Some(stem),
            None => Some(word),
        })
    }

    /// Events of the filter that hold `term` and nothing that the query excludes, counted up to `most`.
    fn count(&mut self, term: &Term, most: i64) -> Result<i64, Failure> {
        Ok(self.tally(term, most, &self.asked.query.excluded)?.events)
    }

    /// Events of the filter that hold `term` and nothing that is `excluded`, counted up to `most`.
    fn tally(&mut self, term: &Term, most: i64, excluded: &[Clause]) -> Result<Tally, Failure> {
        let Asked { query, filter, reach, .. } = *self.asked;
        let visits = if reach.looks() { VISITED.min(self.visits) } else { usize::MAX };
        let matching = expression::any(term, query, &expression::scopes(filter), excluded);
        let most = usize::try_from(most).unwrap_or(0);
        let found = reach.newest(self.connection, matching.as_deref(), most, visits, &HashSet::new())?;
        if reach.looks() {
            self.visits = self.visits.saturating_sub(found.visited);
        }
        Ok(Tally { events: found.seqs.len() as i64, cut: found.bounded && found.seqs.len() < most })
    }

    /// Words that have to be read: those that are not learnt yet, or those of the one session.
    fn read(&mut self) -> Result<&Read, Failure> {
        let read = match self.read.take() {
            Some(read) => read,
            None => match self.asked.only {
                Some(session) => Read::session(self.connection, session)?,
                None => Read::unlearnt(self.connection)?,
            },
        };
        Ok(self.read.insert(read))
    }
}
