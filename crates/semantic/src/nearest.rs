//! The events nearest to a query that a filter lets pass.
//!
//! A narrow filter names its events, and only their vectors are looked at. A broad one is asked about the nearest, in
//! growing batches. Either way an event is only given when the store says that it passes and that it is still the event
//! whose vector this is.

use std::collections::{HashMap, HashSet};

use oneiric::fault::Result;
use session_store::search::meaning::{Near, Seen};
use session_store::vectors::Vectors;
use session_store::{SearchFilter, Store};

use crate::held::Held;
use crate::index::Query;
use crate::text_hash::mark;

/// Events up to which a filter counts as narrow.
const NARROW: usize = 20_000;
/// Vectors that are taken from the codes for each event that is wanted: texts may be cut into pieces.
const TAKEN: usize = 2;
const TAKEN_LEAST: usize = 150;
/// Vectors whose exact cosine is looked at beyond those that are wanted, since codes err.
const SLACK: usize = 150;
/// Vectors that a broad filter is asked about at most.
const ASKED: usize = 20_000;
/// Events of one text that are asked about: the newest. Thousands may share the text of a common command.
const SHARING: usize = 64;

/// One query over one generation.
pub(crate) struct Question<'q> {
    pub(crate) held: &'q Held,
    pub(crate) vectors: &'q dyn Vectors,
    pub(crate) store: &'q dyn Store,
    pub(crate) filter: &'q SearchFilter,
    pub(crate) query: &'q Query,
}

impl Question<'_> {
    /// The nearest events up to `through`, at most `limit`, the nearest first.
    ///
    /// Later ones are left out before anything is counted: which events are near does not change as others arrive.
    pub(crate) fn nearest(&self, limit: usize, through: i64) -> Result<Vec<Near>> {
        let first = self.held.first(through);
        if first == 0 || limit == 0 {
            return Ok(Vec::new());
        }
        match self.store.seqs(self.filter, NARROW)? {
            Some(seqs) => self.among(&seqs[..seqs.partition_point(|seq| *seq <= through)], limit),
            None => self.broadly(first, limit, through),
        }
    }

    /// How near these events are.
    pub(crate) fn of(&self, events: &[Seen<'_>]) -> Result<Vec<Near>> {
        let events: Vec<(i64, &[u32])> = events
            .iter()
            .filter(|one| self.held.mark(one.seq) == Some(mark(one.event_id)))
            .map(|one| (one.seq, self.held.places(one.seq)))
            .collect();
        let mut places: Vec<u32> = events.iter().flat_map(|(_, places)| *places).copied().collect();
        places.sort_unstable();
        places.dedup();
        let cosines: HashMap<u32, f32> = self.held.exact(self.vectors, self.query, &places)?.into_iter().collect();
        let best = |places: &[u32]| places.iter().filter_map(|place| cosines.get(place)).copied().reduce(f32::max);
        Ok(events.iter().filter_map(|&(seq, places)| Some(Near { seq, cosine: best(places)? })).collect())
    }

    fn among(&self, seqs: &[i64], limit: usize) -> Result<Vec<Near>> {
        let mut owners: HashMap<u32, Vec<i64>> = HashMap::new();
        for &seq in seqs {
            for &place in self.held.places(seq) {
                owners.entry(place).or_default().push(seq);
            }
        }
        let places: Vec<u32> = owners.keys().copied().collect();
        let ordered: Vec<u32> = self.held.ordered(self.query, &places).iter().map(|one| one.place).collect();
        let mut found = Vec::new();
        // The filter was asked for before; what it said may be older than the hit.
        self.look_at(&ordered, limit, &mut found, |place| owners.get(&place).into_iter().flatten().copied())?;
        found.truncate(limit);
        Ok(found)
    }

    /// Among the `first` vectors.
    fn broadly(&self, first: usize, limit: usize, through: i64) -> Result<Vec<Near>> {
        let most = first.min(ASKED.max(limit));
        let mut wanted = (limit * TAKEN).max(TAKEN_LEAST).min(most);
        let mut looked_at: HashSet<u32> = HashSet::new();
        let mut found: Vec<Near> = Vec::new();
        loop {
            let nearest = self.held.nearest(self.query, first, wanted);
            let places: Vec<u32> =
                nearest.into_iter().map(|one| one.place).filter(|place| looked_at.insert(*place)).collect();
            self.look_at(&places, limit, &mut found, |place| self.held.owners(place, through).take(SHARING))?;
            if found.len() >= limit || wanted >= most {
                found.truncate(limit);
                return Ok(found);
            }
            wanted = (wanted * 5).min(most);
        }
    }

    /// Adds the events of these vectors, exactly compared, until `limit` are found: first those that seem nearest.
    fn look_at<O: Iterator<Item = i64>>(
        &self,
        places: &[u32],
        limit: usize,
        found: &mut Vec<Near>,
        owners: impl Fn(u32) -> O,
    ) -> Result<()> {
        for places in places.chunks(limit + SLACK) {
            if found.len() >= limit {
                break;
            }
            let mut near = Vec::new();
            for (place, cosine) in self.held.exact(self.vectors, self.query, places)? {
                near.extend(owners(place).map(|seq| Near { seq, cosine }));
            }
            found.extend(self.first_true(best_of_each(near), limit)?);
            *found = best_of_each(std::mem::take(found));
        }
        Ok(())
    }

    /// The first `limit` that the filter lets pass and that are still themselves.
    fn first_true(&self, near: Vec<Near>, limit: usize) -> Result<Vec<Near>> {
        let mut found: Vec<Near> = Vec::new();
        for some in near.chunks(limit.max(64)) {
            let seqs: Vec<i64> = some.iter().map(|one| one.seq).collect();
            let admitted = self.store.admitted(self.filter, &seqs)?;
            found.extend(
                some.iter().zip(admitted).filter(|(one, id)| self.is_itself(one, id.as_deref())).map(|(one, _)| *one),
            );
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    /// Whether the event with this id is the one that the vector was made of.
    fn is_itself(&self, near: &Near, id: Option<&str>) -> bool {
        id.is_some_and(|id| self.held.mark(near.seq) == Some(mark(id)))
    }
}

/// Each event once, by its best piece, the nearest first; among equals the newest.
fn best_of_each(mut near: Vec<Near>) -> Vec<Near> {
    near.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(b.seq.cmp(&a.seq)));
    let mut seen = HashSet::with_capacity(near.len());
    near.retain(|one| seen.insert(one.seq));
    near
}
