//! The events nearest to a query that a filter lets pass.
//!
//! A narrow filter names its events, and only their vectors are looked at. A broad one is asked about the nearest, in
//! growing batches. Either way an event is only given when the store says that it passes and that it is still the event
//! whose vector this is.

use std::collections::{HashMap, HashSet};

use oneiric::fault::Result;
use session_store::search::meaning::Near;
use session_store::vectors::Vectors;
use session_store::{SearchFilter, Store};

use crate::held::Held;
use crate::index::Query;
use crate::text_hash::mark;

/// Events up to which a filter counts as narrow.
const NARROW: usize = 20_000;
/// Vectors whose exact cosine is looked at for each event that is wanted: texts may be cut into pieces, and codes err.
const LOOKED_AT: usize = 3;
const LOOKED_AT_LEAST: usize = 150;
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
    /// The nearest events, at most `limit`, the nearest first.
    pub(crate) fn nearest(&self, limit: usize) -> Result<Vec<Near>> {
        if self.held.len() == 0 || limit == 0 {
            return Ok(Vec::new());
        }
        match self.store.seqs(self.filter, NARROW)? {
            Some(seqs) => self.among(&seqs, limit),
            None => self.broadly(limit),
        }
    }

    /// How near these events are.
    pub(crate) fn of(&self, seqs: &[i64]) -> Result<Vec<Near>> {
        let mut places: Vec<u32> = seqs.iter().flat_map(|seq| self.held.places(*seq)).copied().collect();
        places.sort_unstable();
        places.dedup();
        let cosines: HashMap<u32, f32> = self.held.exact(self.vectors, self.query, &places)?.into_iter().collect();
        let mut near = Vec::with_capacity(seqs.len());
        for &seq in seqs {
            let best = self.held.places(seq).iter().filter_map(|place| cosines.get(place)).copied().reduce(f32::max);
            near.extend(best.map(|cosine| Near { seq, cosine }));
        }
        self.true_ones(near)
    }

    fn among(&self, seqs: &[i64], limit: usize) -> Result<Vec<Near>> {
        let mut owners: HashMap<u32, Vec<i64>> = HashMap::new();
        for &seq in seqs {
            for &place in self.held.places(seq) {
                owners.entry(place).or_default().push(seq);
            }
        }
        let places: Vec<u32> = owners.keys().copied().collect();
        let wanted = (limit * LOOKED_AT).max(LOOKED_AT_LEAST);
        let ordered = self.held.ordered(self.query, &places);
        let places: Vec<u32> = ordered.iter().take(wanted).map(|one| one.place).collect();
        let mut near = Vec::new();
        for (place, cosine) in self.held.exact(self.vectors, self.query, &places)? {
            near.extend(owners.get(&place).into_iter().flatten().map(|&seq| Near { seq, cosine }));
        }
        // The filter was asked for before; what it said may be older than the hit.
        self.first_true(best_of_each(near), limit)
    }

    fn broadly(&self, limit: usize) -> Result<Vec<Near>> {
        let most = self.held.len().min(ASKED.max(limit));
        let mut wanted = (limit * LOOKED_AT).max(LOOKED_AT_LEAST).min(most);
        let mut looked_at: HashSet<u32> = HashSet::new();
        let mut found: Vec<Near> = Vec::new();
        loop {
            let places: Vec<u32> = self
                .held
                .nearest(self.query, wanted)
                .into_iter()
                .map(|one| one.place)
                .filter(|place| looked_at.insert(*place))
                .collect();
            let mut near = Vec::new();
            for (place, cosine) in self.held.exact(self.vectors, self.query, &places)? {
                near.extend(self.held.owners(place).take(SHARING).map(|seq| Near { seq, cosine }));
            }
            found.extend(self.first_true(best_of_each(near), limit)?);
            found = best_of_each(found);
            if found.len() >= limit || wanted >= most {
                found.truncate(limit);
                return Ok(found);
            }
            wanted = (wanted * 5).min(most);
        }
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

    /// Those whose events are the ones that the vectors were made of.
    fn true_ones(&self, near: Vec<Near>) -> Result<Vec<Near>> {
        let seqs: Vec<i64> = near.iter().map(|one| one.seq).collect();
        let ids = self.store.event_ids(&seqs)?;
        Ok(near
            .into_iter()
            .zip(ids)
            .filter(|(one, id)| self.is_itself(one, id.as_deref()))
            .map(|(one, _)| one)
            .collect())
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
