//! Search over the inverted index: which events may match is asked of FTS5, newest first and bounded; how well they
//! match is decided by [`crate::search::rank`] from their texts.
//!
//! FTS5's own ranking would visit every match of every word. Here a common word costs what the bound costs.

mod blocks;
mod expression;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use oneiric::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::counters;
use super::failure::Failure;
use super::session_row::time;
use super::sessions;
use crate::model::{Candidates, Page, SearchAnswer, SearchFilter, SearchHit, SearchMode};
use crate::search::excerpt::excerpt;
use crate::search::query::Query;
use crate::search::rank::{Collection, Ranker, Scored};
use blocks::Range;

/// Matches of all words that are ranked; of more, the newest.
pub(super) const RANKED: usize = 3_000;
/// Matches of single words that are ranked to fill an answer up.
const FILLED: usize = 2_000;
/// Text of all candidates together, so that long outputs do not make a search slow.
const RANKED_BYTES: usize = 4 * 1024 * 1024;
/// Newest matches of a word from which its frequency is estimated.
const PROBE: usize = 256;
/// Events of a session that a search within it reads.
const SESSION_EVENTS: usize = 20_000;

/// One search.
struct Search<'s> {
    connection: &'s Connection,
    query: &'s Query,
    filter: &'s SearchFilter,
    ranker: Ranker<'s>,
    frequencies: Vec<f64>,
    ranges: Vec<Range>,
    known: HashMap<String, Option<Owner>>,
    bytes: usize,
}

/// What a hit shows of its session.
#[derive(Clone)]
struct Owner {
    component: String,
    session_type: String,
    project: Option<String>,
}

struct Ranked {
    seq: i64,
    scored: Scored,
}

pub(super) fn search(
    connection: &Connection,
    text: &str,
    filter: &SearchFilter,
    limit: usize,
) -> Result<SearchAnswer, Failure> {
    let query = Query::parse(text)?;
    let session = filter.session.as_deref().map(|wanted| sessions::resolve(connection, wanted)).transpose()?;
    let (oldest, newest): (Option<i64>, Option<i64>) = (
        connection.prepare_cached("SELECT min(seq) FROM session_events")?.query_row([], |row| row.get(0))?,
        connection.prepare_cached("SELECT max(seq) FROM session_events")?.query_row([], |row| row.get(0))?,
    );
    let span = newest.zip(oldest).map_or(0.0, |(newest, oldest)| (newest - oldest + 1) as f64);
    let frequencies = frequencies(connection, &query, newest.unwrap_or(0), span)?;
    let documents = counters::value(connection, counters::EVENTS)?.max(1.0);
    let average_length = counters::value(connection, counters::WORDS)? / documents;
    let collection = Collection { documents, average_length, frequencies: frequencies.clone() };
    let mut search = Search {
        connection,
        query: &query,
        filter,
        ranker: Ranker::new(&query, &collection),
        frequencies,
        ranges: blocks::ranges(connection, filter.since, filter.until)?,
        known: HashMap::new(),
        bytes: 0,
    };
    search.answer(session.as_ref().map(|id| id.as_str()), limit.min(Page::MAX_LIMIT))
}

/// About how many events hold each term, from how densely the newest of them stand.
fn frequencies(connection: &Connection, query: &Query, newest: i64, span: f64) -> Result<Vec<f64>, Failure> {
    let mut probe = connection.prepare_cached(expression::NEWEST)?;
    let mut found = Vec::with_capacity(query.terms.len());
    for term in &query.terms {
        let mut rows = probe.query((expression::term(term), i64::MIN, i64::MAX, PROBE as i64))?;
        let mut count = 0_usize;
        let mut last = newest;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            count += 1;
        }
        found.push(extrapolate(count, PROBE, newest - last + 1, span));
    }
    Ok(found)
}

/// `count` matches among the newest `seen` events, of `span` in all; exact when the bound was not reached.
fn extrapolate(count: usize, bound: usize, seen: i64, span: f64) -> f64 {
    let count_f = count as f64;
    if count < bound { count_f } else { (count_f / (seen.max(1) as f64) * span).max(count_f) }
}

impl Search<'_> {
    fn answer(&mut self, session: Option<&str>, limit: usize) -> Result<SearchAnswer, Failure> {
        let (mut ranked, candidates) = match session {
            Some(id) => self.within(id)?,
            None => self.all_words()?,
        };
        ranked.sort_unstable_by(better);
        let mut hits = self.hits(ranked.iter().filter(|one| one.scored.complete), limit)?;
        let complete = hits.len();
        if hits.len() < limit
            && (self.query.clauses.len() > 1 || self.query.clauses.iter().any(|one| one.parts.len() > 1))
        {
            let shown: HashSet<i64> = ranked.iter().filter(|one| one.scored.complete).map(|one| one.seq).collect();
            let mut partial = match session {
                Some(_) => ranked,
                None => self.any_word(&shown)?,
            };
            partial.retain(|one| !one.scored.complete);
            partial.sort_unstable_by(better);
            hits.extend(self.hits(partial.iter(), limit - complete)?);
        }
        let mut notes: Vec<String> = Vec::new();
        if hits.len() > complete {
            notes.push(format!("{} of {} hits hold all of the words", complete, hits.len()));
        }
        if let Candidates::Newest { ranked, about } = candidates {
            notes.push(format!("ranked the newest {ranked} of about {about} matches"));
        }
        if self.query.shortened {
            notes.push("the query was shortened to its first words".to_owned());
        }
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(SearchAnswer { mode: SearchMode::Text, candidates, hits, note })
    }

    /// Events that hold all words, as the index says.
    fn all_words(&mut self) -> Result<(Vec<Ranked>, Candidates), Failure> {
        let matching = expression::all(self.query, self.filter);
        let mut select = self.connection.prepare_cached(expression::NEWEST)?;
        let mut seqs: Vec<i64> = Vec::new();
        let mut seen = 0_i64;
        let mut bounded = false;
        for range in self.ranges.clone() {
            let room = RANKED - seqs.len();
            let before = seqs.len();
            let mut rows = select.query((&matching, range.first, range.last, room as i64 + 1))?;
            while let Some(row) = rows.next()? {
                seqs.push(row.get(0)?);
            }
            bounded = seqs.len() > RANKED;
            if bounded {
                seqs.truncate(RANKED);
                seen += range.last - seqs.last().copied().unwrap_or(range.first) + 1;
                break;
            }
            seen += range.length();
            debug_assert!(before <= seqs.len());
        }
        let total: i64 = self.ranges.iter().map(Range::length).sum();
        let (ranked, read) = self.rank(&seqs)?;
        let candidates = if bounded || read < seqs.len() {
            let about = seqs.len() as f64 / seen.max(1) as f64 * total as f64;
            Candidates::Newest { ranked: read as u64, about: (about.round() as u64).max(seqs.len() as u64) }
        } else {
            Candidates::Exact { count: ranked.iter().filter(|one| one.scored.complete).count() as u64 }
        };
        Ok((ranked, candidates))
    }

    /// Events that hold some of the words: the rarest words first, because they say most.
    fn any_word(&mut self, known: &HashSet<i64>) -> Result<Vec<Ranked>, Failure> {
        let mut words: Vec<usize> = self.query.clauses.iter().flat_map(|clause| clause.parts.iter().copied()).collect();
        words.sort_unstable();
        words.dedup();
        words.sort_by(|a, b| self.frequencies[*a].total_cmp(&self.frequencies[*b]));
        let mut select = self.connection.prepare_cached(expression::NEWEST)?;
        let mut seqs: Vec<i64> = Vec::new();
        let mut taken = known.clone();
        let mut left = words.len();
        for word in words {
            // Each word gets its share, and what the words before it left.
            let room = (FILLED - seqs.len()) / left.max(1);
            left -= 1;
            let matching = expression::any(&self.query.terms[word], self.query, self.filter);
            let end = seqs.len() + room;
            for range in self.ranges.clone() {
                if seqs.len() >= end {
                    break;
                }
                let mut rows = select.query((&matching, range.first, range.last, (end - seqs.len()) as i64))?;
                while let Some(row) = rows.next()? {
                    let seq = row.get(0)?;
                    if taken.insert(seq) {
                        seqs.push(seq);
                    }
                }
            }
        }
        // Near rows share pages.
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(self.rank(&seqs)?.0)
    }

    /// Events of one session: they are few, and read as they are.
    fn within(&mut self, session: &str) -> Result<(Vec<Ranked>, Candidates), Failure> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq FROM session_events WHERE session_id = ?1 ORDER BY timestamp DESC, sequence DESC, seq DESC LIMIT ?2",
        )?;
        let seqs = select
            .query_map((session, SESSION_EVENTS as i64 + 1), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let bounded = seqs.len() > SESSION_EVENTS;
        let (ranked, read) = self.rank(&seqs[..seqs.len().min(SESSION_EVENTS)])?;
        let complete = ranked.iter().filter(|one| one.scored.complete).count() as u64;
        let all = bounded || read < seqs.len();
        let candidates = if all {
            Candidates::Newest { ranked: complete, about: complete }
        } else {
            Candidates::Exact { count: complete }
        };
        Ok((ranked, candidates))
    }

    /// Scores events by their texts; says how many were read before the bound on bytes.
    fn rank(&mut self, seqs: &[i64]) -> Result<(Vec<Ranked>, usize), Failure> {
        let mut select = self
            .connection
            .prepare_cached("SELECT data, timestamp, session_id, event_type FROM session_events WHERE seq = ?1")?;
        let narrowed = *self.filter != SearchFilter::default();
        let mut ranked = Vec::with_capacity(seqs.len());
        for (read, &seq) in seqs.iter().enumerate() {
            let mut rows = select.query([seq])?;
            // An event that was deleted by other means is still in the index.
            let Some(row) = rows.next()? else { continue };
            if narrowed {
                let at = time(row, 1)?;
                let session = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
                let event_type = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
                if !self.admits(at, session, event_type)? {
                    continue;
                }
            }
            let Some(data) = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)? else { continue };
            if self.bytes > RANKED_BYTES {
                return Ok((ranked, read));
            }
            self.bytes += data.len();
            let scored = self.ranker.score(data);
            if scored.matches {
                ranked.push(Ranked { seq, scored });
            }
        }
        Ok((ranked, seqs.len()))
    }

    /// Whether the filter lets an event pass; the index knows it only nearly.
    fn admits(&mut self, at: Option<Timestamp>, session: &str, event_type: &str) -> Result<bool, Failure> {
        let filter = self.filter;
        let in_time = filter.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && filter.until.is_none_or(|until| at.is_some_and(|at| at < until));
        if !in_time || filter.event_type.as_deref().is_some_and(|wanted| wanted != event_type) {
            return Ok(false);
        }
        if filter.project.is_none() && filter.component.is_none() && filter.session_type.is_none() {
            return Ok(true);
        }
        let Some(owner) = self.owner(session)? else { return Ok(false) };
        Ok(filter.component.as_ref().is_none_or(|wanted| *wanted == owner.component)
            && filter.session_type.as_ref().is_none_or(|wanted| *wanted == owner.session_type)
            && filter.project.is_none_or_equals(owner.project.as_deref()))
    }

    fn owner(&mut self, session: &str) -> Result<Option<Owner>, Failure> {
        if let Some(known) = self.known.get(session) {
            return Ok(known.clone());
        }
        let found = self
            .connection
            .prepare_cached("SELECT component, session_type, project FROM sessions WHERE session_id = ?1")?
            .query_row([session], |row| {
                Ok(Owner { component: row.get(0)?, session_type: row.get(1)?, project: row.get(2)? })
            })
            .optional()?;
        self.known.insert(session.to_owned(), found.clone());
        Ok(found)
    }

    /// Reads what is shown of the best.
    fn hits<'r>(&mut self, ranked: impl Iterator<Item = &'r Ranked>, limit: usize) -> Result<Vec<SearchHit>, Failure> {
        let mut select = self.connection.prepare_cached(
            "SELECT session_id, event_id, event_type, timestamp, data FROM session_events WHERE seq = ?1",
        )?;
        let mut hits = Vec::new();
        for one in ranked.take(limit) {
            let mut rows = select.query([one.seq])?;
            let Some(row) = rows.next()? else { continue };
            let session_id: String = row.get(0)?;
            let owner = self.owner(&session_id)?;
            let data: String = row.get(4)?;
            let excerpt = excerpt(&mut self.ranker, &data);
            hits.push(SearchHit {
                event_id: row.get(1)?,
                event_type: row.get(2)?,
                timestamp: time(row, 3)?.unwrap_or(Timestamp::from_micros(0)),
                component: owner.as_ref().map_or_else(String::new, |owner| owner.component.clone()),
                project: owner.and_then(|owner| owner.project),
                excerpt: excerpt.text,
                matches: excerpt.matches,
                score: (one.scored.score * 1000.0).round() / 1000.0,
                complete: one.scored.complete,
                session_id,
            });
        }
        Ok(hits)
    }
}

trait WantedOrAny {
    /// Whether nothing is wanted, or exactly this.
    fn is_none_or_equals(&self, value: Option<&str>) -> bool;
}

impl WantedOrAny for Option<String> {
    fn is_none_or_equals(&self, value: Option<&str>) -> bool {
        self.as_deref().is_none_or(|wanted| Some(wanted) == value)
    }
}

/// Best first; among equals the newest.
fn better(a: &Ranked, b: &Ranked) -> Ordering {
    b.scored.score.total_cmp(&a.scored.score).then(b.seq.cmp(&a.seq))
}
