//! Search over the inverted index: which events may match is asked of FTS5, newest first and bounded; how well they
//! match is decided by [`crate::search::rank`] from their texts.
//!
//! FTS5's own ranking would visit every match of every word. Here a common word costs what the bound costs.

mod blocks;
mod expression;
mod frequency;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use oneiric::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::counters;
use super::failure::Failure;
use super::session_row::time;
use super::sessions;
use crate::model::{Candidates, Granularity, Page, SearchAnswer, SearchFilter, SearchHit, SearchMode, SearchRequest};
use crate::search::excerpt::excerpt;
use crate::search::meaning::Meaning;
use crate::search::query::Query;
use crate::search::rank::{Collection, Ranker, Scored};
use blocks::Range;
#[cfg(test)]
pub(super) use expression::NEWEST;

/// Matches of all words that are ranked; of more, the newest.
pub(super) const RANKED: usize = 1_500;
/// Matches of the rarest words, about, from which on the other words are looked for in the texts: reading so few texts
/// costs less than walking through all places of a common word.
const FEW: f64 = 300.0;
/// Matches of single words that are ranked to fill an answer up: beside events that hold all words, and without any.
const FILLED_BESIDE: usize = 300;
const FILLED: usize = 1_000;
/// Text of all candidates together, so that long outputs do not make a search slow.
const RANKED_BYTES: usize = 4 * 1024 * 1024;
/// Matches that are looked at, when most of them lie outside the filter's time.
const VISITED: usize = 30_000;
/// Events of a session that a search within it reads.
const SESSION_EVENTS: usize = 20_000;

/// One search.
struct Search<'s> {
    connection: &'s Connection,
    query: &'s Query,
    filter: &'s SearchFilter,
    ranker: Ranker<'s>,
    /// Events in all.
    documents: f64,
    frequencies: Vec<f64>,
    /// Prefixes that so many events hold that the index is no help.
    common: Vec<bool>,
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

/// Candidates, newest first.
#[derive(Default)]
struct Gathered {
    seqs: Vec<i64>,
    /// Whether there are more.
    bounded: bool,
    /// Rows that were looked at.
    visited: usize,
    /// Events, matching or not, from the newest to where gathering ended.
    passed: i64,
}

struct Ranked {
    seq: i64,
    scored: Scored,
}

pub(super) fn search(
    connection: &Connection,
    request: &SearchRequest,
    _meaning: Option<&dyn Meaning>,
) -> Result<SearchAnswer, Failure> {
    let SearchRequest { query: text, filter, by, limit, .. } = request;
    let query = Query::parse(text)?;
    let session = filter.session.as_deref().map(|wanted| sessions::resolve(connection, wanted)).transpose()?;
    let documents = counters::value(connection, counters::EVENTS)?.max(1.0);
    let frequency::Frequencies { events: frequencies, common } = frequency::estimate(connection, &query, documents)?;
    let average_length = counters::value(connection, counters::WORDS)? / documents;
    let collection = Collection { documents, average_length, frequencies: frequencies.clone() };
    let mut search = Search {
        connection,
        query: &query,
        filter,
        ranker: Ranker::new(&query, &collection),
        documents,
        frequencies,
        common,
        ranges: blocks::ranges(connection, filter.since, filter.until)?,
        known: HashMap::new(),
        bytes: 0,
    };
    let limit = (*limit).min(Page::MAX_LIMIT);
    let session = session.as_ref().map(|id| id.as_str());
    let mut answer = match by {
        Granularity::Event => search.answer(session, limit)?,
        Granularity::Session => {
            let mut answer = search.answer(session, Page::MAX_LIMIT)?;
            let mut seen = HashSet::new();
            answer.hits.retain(|hit| seen.insert(hit.session_id.clone()));
            answer.hits.truncate(limit);
            answer
        }
    };
    answer.by = *by;
    if request.mode != SearchMode::Text {
        let said = "search by meaning is not part of this version; text search answered";
        answer.note = Some(answer.note.map_or_else(|| said.to_owned(), |note| format!("{note}; {said}")));
    }
    Ok(answer)
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
        Ok(SearchAnswer { mode: SearchMode::Text, by: Granularity::Event, candidates, hits, note })
    }

    /// Events that hold all words, as the index says.
    fn all_words(&mut self) -> Result<(Vec<Ranked>, Candidates), Failure> {
        let mut asked = self.asked(FEW);
        let mut gathered = self.holding(&asked)?;
        let (mut ranked, mut read) = self.rank(&gathered.seqs)?;
        let most = self.asked(f64::NEG_INFINITY);
        if asked != most && (gathered.bounded || read < gathered.seqs.len()) {
            // The words are less evenly spread than was expected, or the texts are long.
            asked = most;
            gathered = self.holding(&asked)?;
            self.bytes = 0;
            (ranked, read) = self.rank(&gathered.seqs)?;
        }
        let complete = ranked.iter().filter(|one| one.scored.complete).count();
        if !gathered.bounded && read == gathered.seqs.len() {
            return Ok((ranked, Candidates::Exact { count: complete as u64 }));
        }
        // Where the index could not decide, count what the texts decided.
        let counted = if asked.contains(&false) { complete } else { gathered.seqs.len() };
        let total: i64 = self.ranges.iter().map(Range::length).sum();
        let about = counted as f64 / gathered.passed.max(1) as f64 * total as f64;
        let about = (about.round() as u64).max(counted as u64);
        Ok((ranked, Candidates::Newest { ranked: read as u64, about }))
    }

    /// The newest events that hold the clauses that are `asked` for.
    fn holding(&self, asked: &[bool]) -> Result<Gathered, Failure> {
        let matching = expression::all(self.query, self.filter, asked);
        self.newest(matching.as_deref(), RANKED, &HashSet::new())
    }

    /// Which clauses the index is asked for: the rarest first, until about `few` events are left. Never common prefixes:
    /// the index would gather all their matches before it gives the first.
    fn asked(&self, few: f64) -> Vec<bool> {
        let clauses = &self.query.clauses;
        let events = |index: usize| {
            let parts = clauses[index].parts.iter().map(|&part| self.frequencies[part]).fold(self.documents, f64::min);
            parts + clauses[index].whole.map_or(0.0, |whole| self.frequencies[whole])
        };
        let mut order: Vec<usize> = (0..clauses.len()).collect();
        order.sort_by(|a, b| events(*a).total_cmp(&events(*b)));
        let mut asked = vec![false; clauses.len()];
        let mut expected = self.documents;
        for index in order {
            if expected > few && !clauses[index].parts.iter().any(|&part| self.common[part]) {
                asked[index] = true;
                expected *= events(index) / self.documents;
            }
        }
        asked
    }

    /// Events that hold some of the words: the rarest words first, because they say most.
    fn any_word(&mut self, known: &HashSet<i64>) -> Result<Vec<Ranked>, Failure> {
        let mut words: Vec<usize> = self.query.clauses.iter().flat_map(|clause| clause.parts.iter().copied()).collect();
        words.sort_unstable();
        words.dedup();
        words.retain(|word| !self.common[*word]);
        words.sort_by(|a, b| self.frequencies[*a].total_cmp(&self.frequencies[*b]));
        let wanted = if known.is_empty() { FILLED } else { FILLED_BESIDE };
        let mut seqs: Vec<i64> = Vec::new();
        let mut taken = known.clone();
        for (index, word) in words.iter().enumerate() {
            // Each word gets its share, and what the words before it left.
            let room = (wanted - seqs.len()) / (words.len() - index);
            let matching = expression::any(&self.query.terms[*word], self.query, self.filter);
            let gathered = self.newest(matching.as_deref(), room, &taken)?;
            taken.extend(&gathered.seqs);
            seqs.extend(gathered.seqs);
        }
        // Near rows share pages.
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(self.rank(&seqs)?.0)
    }

    /// The newest events that match and lie in the filter's time, but for those that are `known`.
    fn newest(&self, matching: Option<&str>, wanted: usize, known: &HashSet<i64>) -> Result<Gathered, Failure> {
        let sql = if matching.is_some() { expression::NEWEST } else { expression::NEWEST_OF_ALL };
        let mut select = self.connection.prepare_cached(sql)?;
        let mut time_of = self.connection.prepare_cached("SELECT timestamp FROM session_events WHERE seq = ?1")?;
        let timed = self.filter.since.is_some() || self.filter.until.is_some();
        let mut gathered = Gathered::default();
        for range in &self.ranges {
            let mut rows = select.query((matching, range.first, range.last, i64::MAX))?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                gathered.visited += 1;
                if gathered.seqs.len() == wanted || gathered.visited > VISITED {
                    gathered.bounded = true;
                    gathered.passed += range.last - seq;
                    return Ok(gathered);
                }
                let admitted = !known.contains(&seq)
                    && (!timed
                        || time_of.query_row([seq], |row| Ok(in_time(self.filter, time(row, 0)?))).optional()?
                            == Some(true));
                if admitted {
                    gathered.seqs.push(seq);
                }
            }
            gathered.passed += range.length();
        }
        Ok(gathered)
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
        if !in_time(filter, at) || filter.event_type.as_deref().is_some_and(|wanted| wanted != event_type) {
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

fn in_time(filter: &SearchFilter, at: Option<Timestamp>) -> bool {
    filter.since.is_none_or(|since| at.is_some_and(|at| at >= since))
        && filter.until.is_none_or(|until| at.is_some_and(|at| at < until))
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
