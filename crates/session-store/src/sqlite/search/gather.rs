//! Which events may answer: asked of the index, newest first and bounded.

use std::collections::HashSet;

use rusqlite::Connection;

use super::frequency::Probe;
use super::reach::Gathered;
use super::read::Candidate;
use super::{Search, expression};
use crate::model::{Candidates, Pool, SearchFilter};
use crate::sqlite::failure::Failure;

/// Matches of all words that are ranked; of more, the newest.
const RANKED: usize = 1_500;
/// Matches of the rarest words, about, from which on the other words are looked for in the texts: reading so few texts
/// costs less than walking through all places of a common word.
const FEW: f64 = 300.0;
/// Matches of single words that are ranked to fill an answer up: beside events that hold all words, and without any.
const FILLED_BESIDE: usize = 300;
const FILLED: usize = 1_000;
/// Matches that are looked at, when most of them lie outside the filter's time or in the archive.
const VISITED: usize = 30_000;
/// Share of events from which a field of the filter is left to their rows.
const MOST: f64 = 0.5;
/// Events of a session that a search within it reads.
const SESSION_EVENTS: usize = 20_000;

/// Which fields of the filter the index is asked for.
pub(super) struct Scopes {
    asked: Vec<String>,
    /// Share of the newest events, about, that pass what it is not asked for.
    share: f64,
    /// Whether there are others to ask it for.
    more: bool,
}

impl Scopes {
    /// All but those that most events are of: the index would walk through all of these, which takes longer than reading
    /// the few that do not pass.
    pub(super) fn choose(connection: &Connection, filter: &SearchFilter, pool: &Pool) -> Result<Self, Failure> {
        let mut scopes = Self { asked: Vec::new(), share: 1.0, more: false };
        for scope in expression::scopes(filter) {
            let share = Probe::new(connection, pool)?.share(connection, &scope)?;
            if share < MOST {
                scopes.asked.push(scope);
            } else {
                scopes.share *= share;
                scopes.more = true;
            }
        }
        Ok(scopes)
    }

    /// How many are to be gathered before the rest of the filter, so that about `wanted` are left.
    fn before(&self, wanted: usize) -> usize {
        (wanted as f64 / self.share).ceil() as usize
    }
}

impl Search<'_> {
    /// Events that hold all words, as the index says.
    pub(super) fn all_words(&mut self) -> Result<(Vec<Candidate>, Candidates), Failure> {
        let mut asked = self.asked(FEW);
        let mut gathered = self.holding(&asked)?;
        let (mut ranked, mut read) = self.read(&gathered.seqs, false)?;
        if self.thinner_than_expected(&gathered, ranked.len()) {
            self.ask_all_scopes();
            gathered = self.holding(&asked)?;
            self.bytes = 0;
            (ranked, read) = self.read(&gathered.seqs, false)?;
        }
        let most = self.asked(f64::NEG_INFINITY);
        if asked != most && (gathered.bounded || read < gathered.seqs.len()) {
            // The words are less evenly spread than was expected, or the texts are long.
            asked = most;
            gathered = self.holding(&asked)?;
            self.bytes = 0;
            (ranked, read) = self.read(&gathered.seqs, false)?;
        }
        self.unseen = vec![gathered.bounded || read < gathered.seqs.len(); self.query.terms.len()];
        let complete = ranked.iter().filter(|one| one.scored.complete).count();
        if !gathered.bounded && read == gathered.seqs.len() {
            return Ok((ranked, Candidates::Exact { count: complete as u64 }));
        }
        // Where the index could not decide, count what the texts decided.
        let decided = self.scopes.share == 1.0;
        let counted = if decided && !asked.contains(&false) { gathered.seqs.len() } else { complete };
        let read = if decided { read } else { ranked.len() };
        let about = counted as f64 / gathered.passed.max(1) as f64 * self.reach.length() as f64;
        let about = (about.round() as u64).max(counted as u64);
        Ok((ranked, Candidates::Newest { ranked: read as u64, about }))
    }

    /// The newest events that hold the clauses that are `asked` for.
    fn holding(&self, asked: &[bool]) -> Result<Gathered, Failure> {
        let matching = expression::all(self.query, &self.scopes.asked, asked);
        self.newest(matching.as_deref(), self.scopes.before(RANKED), &HashSet::new())
    }

    /// Which clauses the index is asked for: the rarest first, until about `few` events are left. Never common prefixes:
    /// the index would gather all their matches before it gives the first.
    fn asked(&self, few: f64) -> Vec<bool> {
        let clauses = &self.query.clauses;
        let events = |index: usize| {
            let parts =
                clauses[index].parts.iter().map(|&part| self.frequencies[part]).fold(self.pool.events, f64::min);
            parts + clauses[index].whole.map_or(0.0, |whole| self.frequencies[whole])
        };
        let mut order: Vec<usize> = (0..clauses.len()).collect();
        order.sort_by(|a, b| events(*a).total_cmp(&events(*b)));
        let mut asked = vec![false; clauses.len()];
        let mut expected = self.pool.events;
        for index in order {
            if expected > few && !clauses[index].parts.iter().any(|&part| self.common[part]) {
                asked[index] = true;
                expected *= events(index) / self.pool.events;
            }
        }
        asked
    }

    /// Events that hold some of the words: the rarest words first, because they say most. Those that are `known`
    /// already are left out.
    pub(super) fn any_word(&mut self, known: &[Candidate], many: bool) -> Result<Vec<Candidate>, Failure> {
        let mut words: Vec<usize> = self.query.clauses.iter().flat_map(|clause| clause.parts.iter().copied()).collect();
        words.sort_unstable();
        words.dedup();
        words.retain(|word| !self.common[*word]);
        words.sort_by(|a, b| self.frequencies[*a].total_cmp(&self.frequencies[*b]));
        let wanted = if many { FILLED } else { FILLED_BESIDE };
        let bytes = self.bytes;
        loop {
            let mut all = Gathered::default();
            self.unseen = vec![true; self.query.terms.len()];
            let mut taken: HashSet<i64> = known.iter().map(|one| one.seq).collect();
            let wanted = self.scopes.before(wanted);
            for (index, word) in words.iter().enumerate() {
                // Each word gets its share, and what the words before it left.
                let room = wanted.saturating_sub(all.seqs.len()) / (words.len() - index);
                let (query, scopes) = (self.query, &self.scopes.asked);
                let matching = expression::any(&query.terms[*word], query, scopes, &query.excluded);
                let gathered = self.newest(matching.as_deref(), room, &taken)?;
                taken.extend(&gathered.seqs);
                all.seqs.extend(gathered.seqs);
                all.bounded |= gathered.bounded;
                self.unseen[*word] = gathered.bounded;
            }
            // Near rows share pages.
            all.seqs.sort_unstable_by(|a, b| b.cmp(a));
            let (found, read) = self.read(&all.seqs, false)?;
            if read < all.seqs.len() {
                self.unseen.fill(true);
            }
            if !self.thinner_than_expected(&all, found.len()) {
                return Ok(found);
            }
            self.ask_all_scopes();
            self.bytes = bytes;
        }
    }

    /// Whether far fewer events passed the filter than did among the newest, so that there are more to be found.
    fn thinner_than_expected(&self, gathered: &Gathered, passed: usize) -> bool {
        self.scopes.more && gathered.bounded && (passed as f64) < gathered.seqs.len() as f64 * self.scopes.share / 2.0
    }

    fn ask_all_scopes(&mut self) {
        self.scopes = Scopes { asked: expression::scopes(self.filter), share: 1.0, more: false };
    }

    /// The newest events that match and lie in the filter's time, but for those that are `known`.
    fn newest(&self, matching: Option<&str>, wanted: usize, known: &HashSet<i64>) -> Result<Gathered, Failure> {
        self.reach.newest(self.connection, matching, wanted, VISITED, known)
    }

    /// Events of one session: they are few, and read as they are.
    pub(super) fn within(&mut self, session: &str) -> Result<(Vec<Candidate>, Candidates), Failure> {
        let mut seqs = self.order(session, SESSION_EVENTS + 1)?;
        seqs.reverse();
        let bounded = seqs.len() > SESSION_EVENTS;
        let (ranked, read) = self.read(&seqs[..seqs.len().min(SESSION_EVENTS)], false)?;
        let complete = ranked.iter().filter(|one| one.scored.complete).count() as u64;
        let more = bounded || read < seqs.len();
        self.within = more.then_some(read);
        self.unseen = vec![more; self.query.terms.len()];
        let count = complete;
        Ok((ranked, if more { Candidates::AtLeast { count } } else { Candidates::Exact { count } }))
    }
}
