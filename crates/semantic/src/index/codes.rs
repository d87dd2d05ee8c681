//! The codes of all vectors, in memory, and the scan over them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use oneiric::threads::share;

use super::code::{Code, Query, fit};
use super::scan::{BLOCK, Kernel, Row, Table, Work, lane, with_kernel};
use super::select::{Best, Seen, better};

/// Vectors of a segment. Segments are allocated whole: growing never copies what is there.
const SEGMENT: usize = 8_192;
/// Vectors from which on a second thread is worth its call.
const ALONE: usize = 40_000;
/// Less than any estimate, and a number: what is infinite times nothing is none.
const FARTHEST: f32 = -1000.0;
/// Threads of a scan at most.
const THREADS: usize = 8;

/// A vector by its place, and how near it is by its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Place in the order of adding.
    pub place: u32,
    /// Estimated cosine.
    pub score: f32,
}

/// Codes in the order of adding.
#[derive(Debug)]
pub struct Codes {
    words: usize,
    segments: Vec<Segment>,
    length: usize,
}

#[derive(Debug)]
struct Segment {
    /// Block after block: a row for each byte of the plane.
    high: Vec<Row>,
    /// Vector by vector: read for a few only.
    low: Vec<u64>,
    /// Of the first plane, and of both.
    fits: [Vec<u8>; 2],
}

impl Segment {
    fn new(words: usize) -> Self {
        Self {
            high: Vec::with_capacity(SEGMENT / BLOCK * words * 8),
            low: Vec::with_capacity(SEGMENT * words),
            fits: [Vec::with_capacity(SEGMENT), Vec::with_capacity(SEGMENT)],
        }
    }
}

impl Codes {
    /// None yet; for vectors of `dimensions` numbers.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { words: dimensions.div_ceil(64).max(1), segments: Vec::new(), length: 0 }
    }

    /// Vectors.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that the codes take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.segments.len() * (SEGMENT * (self.words * 16 + 2))
    }

    /// Adds the code of the next vector. One of another length is kept as nothing, so that places stay true.
    pub fn push(&mut self, code: &Code) {
        if self.length.is_multiple_of(SEGMENT) {
            self.segments.push(Segment::new(self.words));
        }
        let Some(segment) = self.segments.last_mut() else { return };
        let rows = self.words * 8;
        if self.length.is_multiple_of(BLOCK) {
            segment.high.resize(segment.high.len() + rows, Row([0; BLOCK]));
        }
        let fitting = code.high.len() == self.words && code.low.len() == self.words;
        if fitting {
            let begin = segment.high.len() - rows;
            let bytes = code.high.iter().flat_map(|word| word.to_le_bytes());
            for (row, byte) in segment.high[begin..].iter_mut().zip(bytes) {
                row.0[lane(self.length % BLOCK)] = byte;
            }
            segment.low.extend_from_slice(&code.low);
        } else {
            segment.low.resize(segment.low.len() + self.words, 0);
        }
        for (fits, fit) in segment.fits.iter_mut().zip(code.fits) {
            fits.push(if fitting { fit } else { u8::MAX });
        }
        self.length += 1;
    }

    /// Of the `first` vectors, the `limit` that seem nearest to `query`, the nearest first. `wide` times as many are looked
    /// at by both planes after the scan of the first.
    #[must_use]
    pub fn nearest(&self, query: &Query, first: usize, limit: usize, wide: usize) -> Vec<Scored> {
        let length = self.length.min(first);
        let wanted = limit.saturating_mul(wide).clamp(1, length.max(1));
        let segments = &self.segments[..length.div_ceil(SEGMENT)];
        let threads = if length < ALONE { 1 } else { THREADS.min(segments.len()) };
        let table = &Table::new(query);
        // Threads take segment after segment: one that has to wait for a processor leaves its share to the others.
        let next = AtomicUsize::new(0);
        let all = Mutex::new(Best::new(wanted));
        share(threads, || {
            let mut best = Best::new(wanted);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(segment) = segments.get(number) else { break };
                let begin = number * SEGMENT;
                with_kernel(Scan { codes: self, segment, begin, end: length, query, table, best: &mut best });
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).absorb(best);
        });
        let best = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut found = with_kernel(Estimate { codes: self, query, seen: &best.kept() });
        found.sort_unstable_by(better);
        found.truncate(limit);
        found
    }

    /// Some vectors, ordered by both planes, the nearest first.
    #[must_use]
    pub fn ordered(&self, query: &Query, places: impl Iterator<Item = u32>) -> Vec<Scored> {
        let mut places: Vec<u32> = places.filter(|place| (*place as usize) < self.length).collect();
        places.sort_unstable();
        let seen = with_kernel(Sums { codes: self, table: &Table::new(query), places: &places });
        let mut found = with_kernel(Estimate { codes: self, query, seen: &seen });
        found.sort_unstable_by(better);
        found
    }

    /// What a code of full fit is divided by.
    fn root(&self) -> f32 {
        ((self.words * 64) as f32).sqrt()
    }
}

/// The scan of one segment.
struct Scan<'s> {
    codes: &'s Codes,
    segment: &'s Segment,
    /// Place of its first vector, and the one behind the last that counts.
    begin: usize,
    end: usize,
    query: &'s Query,
    table: &'s Table,
    best: &'s mut Best,
}

impl Work for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        let Self { codes, segment, begin, end, query, table, best } = self;
        let root = codes.root();
        let dot = |sum: i32| 2.0 * sum as f32 * query.step - query.sum;
        let blocks = segment.high.chunks_exact(codes.words * 8).zip(segment.fits[0].chunks(BLOCK));
        for (block, (rows, fits)) in blocks.enumerate().take((end - begin).div_ceil(BLOCK)) {
            let sums = kernel.sums(rows, table);
            // Whether any is better than the worst that is kept: a product less, since few are.
            let floor = best.floor.max(FARTHEST) * root;
            let (least, step) = (floor * fit(0), floor * (fit(1) - fit(0)));
            let better = |sum: i32, fit: u8| dot(sum) > least + step * f32::from(fit);
            let some = match fits.first_chunk::<BLOCK>() {
                Some(fits) => {
                    let mut some = false;
                    for at in 0..BLOCK {
                        some |= better(sums[at], fits[at]);
                    }
                    some
                }
                None => true,
            };
            if some {
                let counting = end - begin - block * BLOCK;
                for (at, (&sum, &fits)) in sums.iter().zip(fits).enumerate().take(counting) {
                    if better(sum, fits) {
                        let score = dot(sum) / (fit(fits) * root);
                        best.offer(Seen { score, place: (begin + block * BLOCK + at) as u32, sum });
                    }
                }
            }
        }
    }
}

/// The first plane of some vectors, in the order of their places.
struct Sums<'s> {
    codes: &'s Codes,
    table: &'s Table,
    places: &'s [u32],
}

impl Work for Sums<'_> {
    type Output = Vec<Seen>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Vec<Seen> {
        let rows = self.codes.words * 8;
        let mut seen = Vec::with_capacity(self.places.len());
        for places in self.places.chunk_by(|one, other| *one as usize / BLOCK == *other as usize / BLOCK) {
            let first = places[0] as usize;
            let block = first % SEGMENT / BLOCK * rows;
            let sums = kernel.sums(&self.codes.segments[first / SEGMENT].high[block..][..rows], self.table);
            seen.extend(places.iter().map(|&place| Seen { score: 0.0, place, sum: sums[place as usize % BLOCK] }));
        }
        seen
    }
}

/// The estimates of both planes.
struct Estimate<'s> {
    codes: &'s Codes,
    query: &'s Query,
    seen: &'s [Seen],
}

impl Work for Estimate<'_> {
    type Output = Vec<Scored>;

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> Vec<Scored> {
        let Self { codes, query, seen } = self;
        let root = codes.root();
        let mut found = Vec::with_capacity(seen.len());
        for one in seen {
            let (segment, within) = (&codes.segments[one.place as usize / SEGMENT], one.place as usize % SEGMENT);
            let mut sum = 2 * one.sum;
            for (word, code) in segment.low[within * codes.words..][..codes.words].iter().enumerate() {
                sum += weighted(*code, query, word);
            }
            let dot = sum as f32 * query.step - 1.5 * query.sum;
            found.push(Scored { place: one.place, score: dot / (fit(segment.fits[1][within]) * root * 1.5) });
        }
        found
    }
}

/// The sum of the query's levels where a word has a bit.
#[inline(always)]
fn weighted(code: u64, query: &Query, word: usize) -> i32 {
    let count = |plane: usize| (code & query.planes[plane][word]).count_ones().cast_signed();
    count(0) + 2 * count(1) + 4 * count(2) - 8 * count(3)
}

#[cfg(test)]
#[path = "codes_tests.rs"]
mod tests;
