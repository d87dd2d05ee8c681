//! Words that nothing holds, or hardly anything: taken for a part of other words, or for slips of the pen.
//!
//! One slip in plain letters is tried on the search index itself; other slips, and parts, are looked up in the list of
//! words ([`super::vocabulary`]). What is found counts only as far as the index says that events of the search's own
//! filter hold it, so a word of another project is neither used nor told. Only a query that would find little pays.

use std::collections::HashSet;

use rusqlite::Connection;

use super::expression;
use super::frequency::{Frequencies, Probe};
use super::vocabulary::{self, Read};
use crate::analysis::stem;
use crate::model::{Pool, SearchFilter};
use crate::search::dates;
use crate::search::query::{Also, Query, Term};
use crate::search::spelling::{MIN_PART_CHARS, distance, forgiven, slips, swaps};
use crate::search::stop::is_stop;
use crate::sqlite::failure::Failure;

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
/// Words that a note names.
const NAMED: usize = 3;

/// What was read differently.
pub(super) struct Mended {
    /// For the word at this place of [`Query::terms`]: what it was read as.
    pub(super) notes: Vec<(usize, String)>,
    /// Whether words of older events are not known yet.
    pub(super) behind: bool,
}

struct Mender<'m> {
    connection: &'m Connection,
    query: &'m Query,
    filter: &'m SearchFilter,
    only: Option<&'m str>,
    read: Option<Read>,
    /// Slips that one word is forgiven at most, and whether the first letter may be one of them: in a sentence, a word that
    /// is not held is more often another word than a slip.
    most: usize,
    first: bool,
    /// The newest event that counts.
    through: i64,
}

/// A word that events of the filter hold, and in about how many.
type Counted = (String, i64);

/// Reads words that nothing holds as words that are held.
pub(super) fn mend(
    connection: &Connection,
    query: &mut Query,
    (filter, only): (&SearchFilter, Option<&str>),
    frequencies: &mut Frequencies,
    pool: &Pool,
) -> Result<Mended, Failure> {
    let few = query.clauses.len() <= FEW_WORDS;
    let held = |term: usize| frequencies.events[term];
    // What a session's day answers is no slip.
    let dates: Vec<usize> = dates::parts(query).into_iter().map(|(term, _)| term).collect();
    let lost = query.clauses.iter().filter(|clause| clause.parts.iter().all(|&part| held(part) == 0.0)).count();
    let mut changes: Vec<(usize, Term)> = Vec::new();
    let asked = query.clone();
    let most = if asked.clauses.len() <= TWO_SLIPS_WORDS || lost * 2 > asked.clauses.len() { 2 } else { 1 };
    let mut mender =
        Mender { connection, query: &asked, filter, only, read: None, most, first: few, through: pool.through };
    let open = |clause: &&crate::search::query::Clause| !clause.phrase;
    let mut left = MENDED;
    for clause in asked.clauses.iter().filter(open) {
        if let (Some(whole), true) = (clause.whole, few)
            && held(whole) == 0.0
            && clause.parts.iter().any(|&part| held(part) == 0.0)
            && left > 0
        {
            // A part of an identifier that is cut within a word.
            let found = mender.inside(&asked.terms[whole].surface)?;
            if !found.is_empty() {
                left -= 1;
                changes.push((whole, read_as(found)));
                continue;
            }
        }
        for &part in &clause.parts {
            let term = &asked.terms[part];
            let single = clause.parts.len() == 1;
            let rare = held(part) <= HARDLY && pool.events >= MANY && single && few && only.is_none();
            if term.prefix || dates.contains(&part) || left == 0 || (held(part) > 0.0 && !rare) {
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
    let missing = asked.clauses.iter().flat_map(|clause| &clause.parts).any(|&part| held(part) == 0.0);
    let behind = missing && mender.read.as_ref().is_some_and(|read| !read.all) && only.is_none();
    let mut notes = Vec::new();
    if !changes.is_empty() {
        let probe = Probe::new(connection, pool)?;
        for (part, new) in changes {
            notes.push((part, note(&query.terms[part], &new, frequencies.events[part] > 0.0)));
            frequencies.events[part] = probe.events(connection, &new)?;
            query.terms[part] = new;
        }
    }
    Ok(Mended { notes, behind })
}

/// What is said of it; `held` when the word stands somewhere as it was written, too.
fn note(written: &Term, new: &Term, held: bool) -> String {
    let mut words: Vec<String> = new.also.iter().map(|one| format!("\"{}\"", one.surface)).collect();
    if new.surface != written.surface || new.prefix {
        words.insert(0, format!("\"{}{}\"", new.surface, if new.prefix { "*" } else { "" }));
    }
    let more = words.len().saturating_sub(NAMED);
    words.truncate(NAMED);
    let words = words.join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("\"{}\" {}read as {words}{more}", written.surface, if held { "also " } else { "" })
}

fn as_term(word: &str) -> Term {
    let mut buffer = String::new();
    Term { term: stem(word, &mut buffer).to_owned(), surface: word.to_owned(), prefix: false, also: Vec::new() }
}

/// One term for several words, the first of which names it.
fn read_as(words: Vec<Counted>) -> Term {
    let mut words = words.into_iter();
    let first = words.next().map(|(word, _)| as_term(&word)).unwrap_or_else(|| as_term(""));
    Term { also: words.map(|one| also(one, false)).collect(), ..first }
}

fn also((word, _): Counted, half: bool) -> Also {
    let one = as_term(&word);
    Also { term: one.term, surface: one.surface, half }
}

impl Mender<'_> {
    /// What a word that nothing holds may have meant. A guess counts half.
    fn instead(&mut self, written: &Term, parts: bool) -> Result<Option<Term>, Failure> {
        let found = if parts { self.inside(&written.surface)? } else { Vec::new() };
        let all: i64 = found.iter().map(|(_, count)| count).sum();
        // Who writes a part of a common word hardly meant another.
        let slip = if all < COUNTED { self.slip(&written.surface)?.filter(|(_, count)| *count > all) } else { None };
        if !found.is_empty() {
            let mut new = read_as(found);
            new.also.extend(slip.map(|slip| also(slip, true)));
            return Ok(Some(new));
        }
        if let Some(slip) = slip {
            return Ok(Some(Term { also: vec![also(slip, true)], ..written.clone() }));
        }
        let beginning = Term { prefix: true, ..written.clone() };
        let begins = parts && self.only.is_none() && written.surface.chars().count() > MIN_PART_CHARS;
        Ok((begins && self.count(&beginning)? > 0).then_some(beginning))
    }

    /// A word that hardly anything holds, with what it may be a part of or a slip for.
    fn beside(&mut self, term: &Term, held: f64) -> Result<Option<Term>, Failure> {
        let mut found = self.inside(&term.surface)?;
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
        Ok((self.count(&new)? > self.count(term)?).then_some(new))
    }

    /// Words that hold `part`, the commonest first; among equals the shortest.
    fn inside(&mut self, part: &str) -> Result<Vec<Counted>, Failure> {
        if part.chars().count() < MIN_PART_CHARS {
            return Ok(Vec::new());
        }
        let mut words = if self.only.is_none() { vocabulary::containing(self.connection, part)? } else { Vec::new() };
        let read = &self.read()?.words;
        words.extend(read.keys().filter(|word| word.len() > part.len() && word.contains(part)).cloned());
        // A prefix stands for all words that only end otherwise.
        words.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
        let mut found = self.counted(words.into_iter(), TRIED)?;
        found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.len().cmp(&b.0.len())).then(a.0.cmp(&b.0)));
        found.truncate(TAKEN);
        Ok(found)
    }

    /// The commonest of the words at the fewest slips from `written`.
    fn slip(&mut self, written: &str) -> Result<Option<Counted>, Failure> {
        let most = forgiven(written).min(self.most);
        if most == 0 {
            return Ok(None);
        }
        if self.only.is_none() {
            let likely = self.likely(written);
            let single = self.counted(slips(written).into_iter().filter(|word| likely(word)), usize::MAX)?;
            if let Some(best) = commonest(single) {
                return Ok(Some(best));
            }
            if most == 1 && written.is_ascii() {
                return Ok(None);
            }
        }
        let mut near = if self.only.is_none() { vocabulary::near(self.connection, written, most)? } else { Vec::new() };
        let read = self.read()?.words.keys();
        near.extend(read.filter_map(|word| Some((word.clone(), distance(written, word, most)?))));
        for (slips, word) in swaps(written).into_iter().filter_map(|word| Some((distance(written, &word, most)?, word)))
        {
            near.push((word, slips));
        }
        for slips in 1..=most {
            let likely = self.likely(written);
            let so_far = near.iter().filter(|(word, far)| *far == slips && likely(word)).map(|(word, _)| word.clone());
            if let Some(best) = commonest(self.counted(so_far, usize::MAX)?) {
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

    /// Those of `words`, at most `most`, that events of the filter hold. Words of one stem are counted once.
    fn counted(&mut self, words: impl Iterator<Item = String>, most: usize) -> Result<Vec<Counted>, Failure> {
        let mut stems = HashSet::new();
        let mut found = Vec::new();
        for word in words {
            let term = as_term(&word);
            if stems.len() >= most {
                break;
            }
            if !stems.insert(term.term.clone()) {
                continue;
            }
            let count = match self.only {
                Some(_) => self.read()?.words.get(&word).map_or(0, |count| i64::from(*count)),
                None => self.count(&term)?,
            };
            if count > 0 {
                found.push((word, count));
            }
        }
        Ok(found)
    }

    /// Events of the filter that hold `term`, as far as they are counted.
    fn count(&self, term: &Term) -> Result<i64, Failure> {
        let mut probe = self.connection.prepare_cached(expression::NEWEST)?;
        let matching = expression::any(term, self.query, &expression::scopes(self.filter));
        let mut rows = probe.query((matching, i64::MIN, self.through, COUNTED))?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Words that have to be read: those that are not learnt yet, or those of the one session.
    fn read(&mut self) -> Result<&Read, Failure> {
        let read = match self.read.take() {
            Some(read) => read,
            None => match self.only {
                Some(session) => Read::session(self.connection, session)?,
                None => Read::unlearnt(self.connection)?,
            },
        };
        Ok(self.read.insert(read))
    }
}

/// Of those before, the first of the commonest.
fn commonest(found: Vec<Counted>) -> Option<Counted> {
    found.into_iter().reduce(|best, one| if one.1 > best.1 { one } else { best })
}
