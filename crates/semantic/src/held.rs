//! One generation's vectors in memory: their codes, and which events they belong to.

use std::collections::HashMap;
use std::ops::Range;

use oneiric::fault::Result;
use session_store::vectors::{Generation, Vectors};

use crate::index::{Code, Codes, Encoder, Query, Scored, cosine};

/// Version of what is stored: of codes, stored vectors and the texts that are made of events.
pub(crate) const SHAPE: u32 = 2;

/// An event whose text is that of a vector, by `seq`; no event has 0.
const NOBODY: i64 = 0;

/// A generation in memory. About 130 bytes a vector of 384 numbers.
pub(crate) struct Held {
    generation: i64,
    removals: u64,
    encoder: Encoder,
    codes: Codes,
    /// Pieces of events in the order of `seq`, and the place of each one's vector.
    seqs: Vec<i64>,
    places: Vec<u32>,
    /// What each one's event is known by: reading it for hundreds of hits of every search took longer than the search.
    marks: Vec<i64>,
    next: u64,
    /// By place: the newest event of this text, and all earlier ones where there are any, the oldest first.
    newest: Vec<i64>,
    earlier: HashMap<u32, Vec<i64>>,
}

impl Held {
    /// Reads all of a generation.
    pub(crate) fn load(vectors: &dyn Vectors, generation: &Generation) -> Result<Self> {
        let mut held = Self {
            generation: generation.id,
            removals: generation.removals,
            encoder: Encoder::new(generation.model.dimensions),
            codes: Codes::new(generation.model.dimensions),
            seqs: Vec::with_capacity(generation.entries as usize),
            places: Vec::with_capacity(generation.entries as usize),
            marks: Vec::with_capacity(generation.entries as usize),
            next: 0,
            newest: Vec::with_capacity(generation.vectors as usize),
            earlier: HashMap::new(),
        };
        held.read(vectors)?;
        Ok(held)
    }

    /// Whether this is the generation, but for what was added to it.
    pub(crate) fn is_of(&self, generation: &Generation) -> bool {
        self.generation == generation.id && self.removals == generation.removals
    }

    /// Whether nothing was added since.
    pub(crate) fn is_complete(&self, generation: &Generation) -> bool {
        self.codes.len() as u64 >= generation.vectors && self.next >= generation.entries
    }

    /// Reads what was added.
    pub(crate) fn read(&mut self, vectors: &dyn Vectors) -> Result<()> {
        let dimensions = self.encoder.dimensions();
        let width = Code::bytes(dimensions);
        let codes = &mut self.codes;
        // Entries first: their vectors are there then.
        let (seqs, places, marks) = (&mut self.seqs, &mut self.places, &mut self.marks);
        let (newest, earlier) = (&mut self.newest, &mut self.earlier);
        self.next = vectors.entries(self.generation, self.next, &mut |entry| {
            seqs.push(entry.seq);
            places.push(entry.place);
            marks.push(entry.mark);
            let place = entry.place as usize;
            if newest.len() <= place {
                newest.resize(place + 1, NOBODY);
            }
            let before = std::mem::replace(&mut newest[place], entry.seq);
            if before != NOBODY && before != entry.seq {
                earlier.entry(entry.place).or_default().push(before);
            }
        })?;
        vectors.codes(self.generation, codes.len() as u64, &mut |first, bytes| {
            let known = (codes.len() as u64).saturating_sub(first) as usize;
            for bytes in bytes.chunks_exact(width).skip(known) {
                if let Some(code) = Code::read(bytes, dimensions) {
                    codes.push(&code);
                }
            }
        })
    }

    /// What an event is known by; `None` when it has no vector.
    pub(crate) fn mark(&self, seq: i64) -> Option<i64> {
        self.marks.get(self.range(seq)).and_then(|marks| marks.first()).copied()
    }

    /// Vectors of the events up to `through`: the first so many, because places are given in the order of events.
    pub(crate) fn first(&self, through: i64) -> usize {
        if self.seqs.last().is_none_or(|last| *last <= through) {
            return self.codes.len();
        }
        let entries = self.seqs.partition_point(|seq| *seq <= through);
        let last = self.places[..entries].iter().max();
        last.map_or(0, |last| *last as usize + 1).min(self.codes.len())
    }

    /// A query's vector in the shape of this generation.
    pub(crate) fn query(&self, vector: &[f32]) -> Query {
        self.encoder.query(vector)
    }

    /// Of the `first` vectors, those that seem nearest.
    pub(crate) fn nearest(&self, query: &Query, first: usize, limit: usize) -> Vec<Scored> {
        self.codes.nearest(query, first, limit, 8)
    }

    /// These vectors, the ones that seem nearest first.
    pub(crate) fn ordered(&self, query: &Query, places: &[u32]) -> Vec<Scored> {
        self.codes.ordered(query, places.iter().copied())
    }

    /// The vectors of an event's pieces.
    pub(crate) fn places(&self, seq: i64) -> &[u32] {
        let Range { start, end } = self.range(seq);
        &self.places[start..end]
    }

    fn range(&self, seq: i64) -> Range<usize> {
        let start = self.seqs.partition_point(|one| *one < seq);
        let length = self.seqs[start..].iter().take_while(|one| **one == seq).count();
        start..start + length
    }

    /// Events up to `through` with this vector, the newest first.
    pub(crate) fn owners(&self, place: u32, through: i64) -> impl Iterator<Item = i64> + '_ {
        let newest = self.newest.get(place as usize).copied().filter(|seq| *seq != NOBODY && *seq <= through);
        let earlier = self.earlier.get(&place).map_or(&[][..], |seqs| seqs.as_slice());
        let earlier = &earlier[..earlier.partition_point(|seq| *seq <= through)];
        newest.into_iter().chain(earlier.iter().rev().copied())
    }

    /// Exact cosines of these vectors, in their order; those that are not there are left out.
    pub(crate) fn exact(&self, vectors: &dyn Vectors, query: &Query, places: &[u32]) -> Result<Vec<(u32, f32)>> {
        let mut found = Vec::with_capacity(places.len());
        vectors.stored(self.generation, places, &mut |index, stored| {
            if let Some(cosine) = cosine(query, stored) {
                found.push((places[index], cosine));
            }
        })?;
        Ok(found)
    }
}
