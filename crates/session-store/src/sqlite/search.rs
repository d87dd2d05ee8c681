//! Search over the inverted index: which events may match is asked of FTS5, newest first and bounded ([`gather`]); how
//! well they match is decided from their texts ([`read`]), their sessions and their meaning ([`evidence`]).
//!
//! FTS5's own ranking would visit every match of every word. Here a common word costs what the bound costs.

mod blocks;
mod evidence;
mod expression;
mod frequency;
mod gather;
mod mend;
mod naming;
mod reach;
mod read;
pub(super) mod scope;
mod vocabulary;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use oneiric::count::counted;
use rusqlite::Connection;

use super::archive;
use super::counters;
use super::failure::Failure;
use super::sessions;
use crate::model::{Candidates, Granularity, Page, Pool, SearchAnswer, SearchFilter, SearchMode, SearchRequest};
use crate::search::meaning::{Meaning, Near, Seen};
use crate::search::query::Query;
use crate::search::rank::{Collection, Ranker};
use evidence::Worth;
#[cfg(test)]
pub(super) use expression::NEWEST;
use gather::Scopes;
use mend::{Asked, Mended};
use reach::Reach;
use read::{Candidate, Known};

/// Cosine below which two texts have nothing to do with each other: what is found by meaning alone must be nearer.
const UNRELATED: f32 = 0.15;
/// Events found by words whose nearness is asked for, for each hit that is wanted, and at least and at most.
const NEARNESS_PER_HIT: usize = 25;
const NEARNESS: RangeInclusive<usize> = 250..=500;

/// Events that hold all words up to which those that hold some are looked for, too. The same for every page and length of
/// pages: how much is found does not depend on how it is read.
const FEW: usize = 100;

/// Events without vectors from which a search that words answer, too, says so: the latest few wait for a second or two.
const MANY_WAIT: i64 = 1_000;
/// What is said where there is no model to ask.
const NOT_SET_UP: &str = "search by meaning is not set up; text search answered";

/// One search.
struct Search<'s> {
    connection: &'s Connection,
    query: &'s Query,
    filter: &'s SearchFilter,
    /// The one session that is searched.
    only: Option<&'s str>,
    /// Whether meaning counts beside words.
    by_meaning: bool,
    ranker: Ranker<'s>,
    /// The newest event that counts, and totals.
    pool: Pool,
    /// Whether the pool is of an earlier answer.
    later: bool,
    frequencies: Vec<f64>,
    /// Prefixes that so many events hold that the index is no help.
    common: Vec<bool>,
    reach: &'s Reach<'s>,
    scopes: Scopes,
    /// Terms that may stand in events of the filter that were not looked at, and those that stand in one that was, also
    /// where it holds what the query excludes.
    unseen: Vec<bool>,
    held: Vec<bool>,
    /// How many events of the one session were read, when these were not all.
    within: Option<usize>,
    /// Sessions of candidates, and where each id stands among them.
    sessions: Vec<Known>,
    places: HashMap<String, usize>,
    bytes: usize,
}

/// An answer, and whether words of older events that it would have needed are not learnt yet.
pub(super) struct Outcome {
    pub(super) answer: SearchAnswer,
    pub(super) behind: bool,
}

pub(super) fn search(
    connection: &Connection,
    request: &SearchRequest,
    meaning: Option<&dyn Meaning>,
) -> Result<Outcome, Failure> {
    let filter = &request.filter;
    let query = Query::parse(&request.query)?;
    let session = filter.session.as_deref().map(|wanted| sessions::resolve(connection, wanted)).transpose()?;
    let later = request.after.is_some();
    let newest = scope::newest(connection)?;
    let mut meaning = meaning.filter(|_| request.mode != SearchMode::Text);
    let known = meaning.map_or(0, |meaning| meaning.through());
    let generation = meaning.map_or(0, |meaning| meaning.generation());
    let pool = match request.after {
        // It came from outside.
        Some((_, pool)) => Pool {
            depth: request.depth(),
            through: pool.through.clamp(0, newest),
            meaning: pool.meaning.clamp(0, known.max(0)),
            generation,
            events: pool.events.max(1.0),
            sessions: pool.sessions.max(1.0),
            ..pool
        },
        None => Pool {
            depth: request.depth(),
            through: newest,
            meaning: known,
            generation,
            events: counters::value(connection, counters::EVENTS)?.max(1.0),
            words: counters::value(connection, counters::WORDS)?,
            sessions: counters::value(connection, counters::SESSIONS)?.max(1.0),
        },
    };
    let only = session.as_ref().map(|id| id.as_str());
    let estimated = frequency::estimate(connection, &query, &pool)?;
    let by_meaning = meaning.is_some();
    let reach = &Reach::of(connection, &request.filter, pool.through)?;
    let frame = Frame { connection, filter: &request.filter, only, by_meaning, pool, later, reach };
    let mut notes = Vec::new();
    if meaning.is_none() && request.mode != SearchMode::Text {
        notes.push(NOT_SET_UP.to_owned());
    }
    if let Some(id) = only.filter(|_| !filter.archived)
        && archive::holds(connection, id)?
    {
        notes.push(format!("session {id} is in the archive, which is searched only when it is asked for (archived)"));
    }
    if let Some(asked) = meaning.take_if(|_| request.mode == SearchMode::Semantic) {
        let plain = Mended::not(&query, &estimated);
        let mut search = frame.search(&plain)?;
        if let Some(near) = search.nearest(request, asked, &mut notes) {
            return Ok(Outcome { answer: search.by_meaning_alone(request, &near, notes)?, behind: false });
        }
    }
    let read = |lost: &[bool]| {
        let asked = Asked { query: &query, filter: &request.filter, only, pool: &pool, reach, lost };
        mend::mend(connection, &asked, &estimated)
    };
    // What a session holds is known once it was read.
    let first = if only.is_some() { Mended::not(&query, &estimated) } else { read(&[])? };
    let again;
    let mut mended = &first;
    let mut search = frame.search(mended)?;
    let mut words = search.by_words(request.by)?;
    let lost = search.lost(&words.0);
    if lost.iter().zip(&first.held).any(|(lost, held)| *lost && *held) {
        again = read(&lost)?;
        if again.query != first.query {
            mended = &again;
            search = frame.search(mended)?;
            words = search.by_words(request.by)?;
        }
    }
    Ok(Outcome { answer: search.answer(request, meaning, mended, words, notes)?, behind: mended.behind })
}

/// What searches of one question have in common, however its words are read.
#[derive(Clone, Copy)]
struct Frame<'s> {
    connection: &'s Connection,
    filter: &'s SearchFilter,
    only: Option<&'s str>,
    by_meaning: bool,
    pool: Pool,
    later: bool,
    reach: &'s Reach<'s>,
}

impl<'s> Frame<'s> {
    fn search(&self, mended: &'s Mended) -> Result<Search<'s>, Failure> {
        let Self { connection, filter, only, by_meaning, pool, later, reach } = *self;
        let Mended { query, frequencies, .. } = mended;
        let collection = Collection {
            documents: pool.events,
            average_length: pool.words / pool.events,
            frequencies: frequencies.events.clone(),
        };
        Ok(Search {
            connection,
            query,
            filter,
            only,
            by_meaning,
            ranker: Ranker::new(query, &collection),
            pool,
            later,
            frequencies: frequencies.events.clone(),
            common: frequencies.common.clone(),
            reach,
            scopes: Scopes::choose(connection, filter, &pool)?,
            unseen: vec![true; query.terms.len()],
            held: vec![false; query.terms.len()],
            within: None,
            sessions: Vec::new(),
            places: HashMap::new(),
            bytes: 0,
        })
    }
}

impl Search<'_> {
    /// By words, and by meaning where that is given.
    fn answer(
        &mut self,
        request: &SearchRequest,
        meaning: Option<&dyn Meaning>,
        mended: &Mended,
        (mut found, mut candidates): (Vec<Candidate>, Candidates),
        mut notes: Vec<String>,
    ) -> Result<SearchAnswer, Failure> {
        let mut mode = SearchMode::Text;
        if let Some(meaning) = meaning {
            // How near they are is known before the nearest of all are found.
            let known = nearness(meaning, &mut found, &self.pool);
            if let Some(near) = self.nearest(request, meaning, &mut notes) {
                mode = SearchMode::Hybrid;
                let known = known.unwrap_or_else(|fault| {
                    notes.push(format!("the nearness of some hits is not known: {fault}"));
                    Vec::new()
                });
                self.by_meaning(&near, &known, &mut found)?;
                if self.pool.through.saturating_sub(self.pool.meaning) >= MANY_WAIT {
                    notes.push("the newest events have no vectors yet, so only their words count".to_owned());
                }
            }
        }
        let mut read_as = Vec::new();
        for noted in &mended.notes {
            read_as.extend(self.note(noted, &found)?);
        }
        notes.splice(0..0, read_as);
        if mended.behind {
            notes.push("words of older events are still being learnt, so parts of these are not found yet".to_owned());
        }
        if let (Candidates::Exact { count }, true) = (candidates, mended.cut && !found.is_empty()) {
            candidates = Candidates::AtLeast { count };
        }
        self.finish(request, mode, candidates, found, notes)
    }

    /// By meaning alone: events that are `near`.
    fn by_meaning_alone(
        &mut self,
        request: &SearchRequest,
        near: &[Near],
        mut notes: Vec<String>,
    ) -> Result<SearchAnswer, Failure> {
        let mut found = Vec::new();
        self.by_meaning(near, &[], &mut found)?;
        if self.pool.through > self.pool.meaning {
            notes.push("the newest events have no vectors yet, so they are not found by meaning".to_owned());
        }
        let candidates = Candidates::Nearest { ranked: found.len() as u64 };
        self.finish(request, SearchMode::Semantic, candidates, found, notes)
    }

    /// The nearest events; `None` when meaning cannot be had, of which a note tells.
    fn nearest(&self, request: &SearchRequest, meaning: &dyn Meaning, notes: &mut Vec<String>) -> Option<Vec<Near>> {
        let through = self.pool.through.min(self.pool.meaning);
        match meaning.nearest(request.nearest(), through) {
            Ok(mut near) => {
                let least = request.least.unwrap_or(UNRELATED);
                let nearest = near.first().map(|one| one.cosine);
                near.retain(|one| one.cosine >= least && one.seq <= through);
                if let (true, Some(nearest), Some(least)) = (near.is_empty(), nearest, request.least) {
                    notes.push(format!(
                        "nothing is as near as {least}, which is asked for; the nearest is {nearest:.2}"
                    ));
                }
                Some(near)
            }
            Err(fault) => {
                notes.push(format!("text search answered, because search by meaning cannot: {fault}"));
                None
            }
        }
    }

    /// The page that is asked for, of the best of `found`.
    fn finish(
        &mut self,
        request: &SearchRequest,
        mode: SearchMode,
        candidates: Candidates,
        found: Vec<Candidate>,
        mut notes: Vec<String>,
    ) -> Result<SearchAnswer, Failure> {
        let best = self.best(found, request.by, mode, self.pool.depth)?;
        let skipped = request.after.map_or(0, |(skipped, _)| skipped).min(best.len());
        let wanted = request.limit.min(Page::MAX_LIMIT);
        let more = best.len() - skipped > wanted;
        let best = &best[skipped..best.len().min(skipped.saturating_add(wanted))];
        let hits = self.hits(best.iter())?;
        let complete = hits.iter().filter(|hit| hit.complete).count();
        if complete < hits.len() && mode == SearchMode::Text && request.by == Granularity::Event {
            notes.push(format!(
                "{complete} of {} {} all of the words",
                counted(hits.len(), "hit", "hits"),
                if complete == 1 { "holds" } else { "hold" }
            ));
        }
        if let Candidates::Newest { ranked, about } = candidates {
            notes.push(format!("ranked the newest {ranked} of about {about} matches"));
        }
        if let Some(read) = self.within {
            notes.push(format!("the newest {} of the session were searched", counted(read, "event", "events")));
        }
        if self.query.shortened {
            notes.push("the query was shortened to its first words".to_owned());
        }
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(SearchAnswer { mode, by: request.by, candidates, hits, note, next_cursor: None, pool: self.pool, more })
    }

    /// The words that no event of the filter holds though the index knows them, when nothing holds all words: others hold
    /// them, or the archive, or another time. By term of the query.
    fn lost(&self, found: &[Candidate]) -> Vec<bool> {
        let none = found.iter().any(|one| one.scored.complete);
        let nowhere = |term: usize| self.frequencies[term] == 0.0 || !self.unseen[term];
        (0..self.query.terms.len()).map(|term| !none && !self.held[term] && nowhere(term)).collect()
    }

    /// Events that hold all words, and when these are too few, those that hold some.
    fn by_words(&mut self, by: Granularity) -> Result<(Vec<Candidate>, Candidates), Failure> {
        if let Some(session) = self.only {
            return self.within(session);
        }
        let (mut found, candidates) = self.all_words()?;
        let complete = found.iter().filter(|one| one.scored.complete).count();
        let several = self.query.clauses.len() > 1 || self.query.clauses.iter().any(|one| one.parts.len() > 1);
        if several && (by == Granularity::Session || complete < FEW) {
            let many = by == Granularity::Session || complete == 0;
            let some = self.any_word(&found, many)?;
            found.extend(some);
        }
        Ok((found, candidates))
    }

    /// Adds the events whose meaning is near, and the nearness of those that were found by their words.
    fn by_meaning(&mut self, near: &[Near], known: &[Near], found: &mut Vec<Candidate>) -> Result<(), Failure> {
        let cosines: HashMap<i64, f32> = near.iter().chain(known).map(|one| (one.seq, one.cosine)).collect();
        let read: HashSet<i64> = found.iter().map(|one| one.seq).collect();
        let new: Vec<i64> = near.iter().map(|one| one.seq).filter(|seq| !read.contains(seq)).collect();
        // Long texts that were found by words leave no less room for those found by meaning.
        self.bytes = 0;
        found.extend(self.read(&new, true)?.0);
        // What has no vector yet is taken to be as far as the farthest that is known.
        let floor = cosines.values().copied().fold(f32::INFINITY, f32::min);
        for one in found {
            one.cosine = Some(cosines.get(&one.seq).copied().unwrap_or(floor)).filter(|cosine| cosine.is_finite());
        }
        Ok(())
    }

    /// The best of `found`, one a session when sessions are wanted.
    fn best(
        &mut self,
        mut found: Vec<Candidate>,
        by: Granularity,
        mode: SearchMode,
        limit: usize,
    ) -> Result<Vec<Candidate>, Failure> {
        if mode == SearchMode::Semantic {
            found.iter_mut().for_each(|one| one.rank = f64::from(one.cosine.unwrap_or(-1.0)));
            found.sort_unstable_by(by_rank);
            if by == Granularity::Session {
                one_a_session(&mut found);
            }
        } else {
            let Worth(worth) = self.fuse(&mut found, limit)?;
            match by {
                Granularity::Event => {
                    found.sort_unstable_by(|a, b| b.scored.complete.cmp(&a.scored.complete).then(by_rank(a, b)));
                }
                Granularity::Session => {
                    found.sort_unstable_by(by_rank);
                    one_a_session(&mut found);
                    found.iter_mut().for_each(|one| one.rank = worth[one.session]);
                    found.sort_unstable_by(by_rank);
                }
            }
        }
        Ok(found)
    }
}

/// How near the best of `found` are, as far as their meaning counts.
fn nearness(meaning: &dyn Meaning, found: &mut [Candidate], pool: &Pool) -> oneiric::fault::Result<Vec<Near>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    found.sort_by(|a, b| b.scored.score.total_cmp(&a.scored.score));
    let most = pool.depth.saturating_mul(NEARNESS_PER_HIT).clamp(*NEARNESS.start(), *NEARNESS.end());
    let counting = found.iter().filter(|one| one.seq <= pool.meaning);
    let asked: Vec<Seen<'_>> = counting.take(most).map(|one| Seen { seq: one.seq, event_id: &one.event_id }).collect();
    meaning.of(&asked)
}

/// Best first; among equals the newest.
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.rank.total_cmp(&a.rank).then(b.seq.cmp(&a.seq))
}

/// Keeps the first of each session.
fn one_a_session(found: &mut Vec<Candidate>) {
    let mut seen = HashSet::new();
    found.retain(|one| seen.insert(one.session));
}
