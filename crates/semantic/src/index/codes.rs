//! The codes of all vectors, in memory, and the scan over them.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pulp::{Arch, Simd, WithSimd};

use super::code::{Code, Query, fit};
use super::select::{Best, better};

/// Vectors whose words lie side by side, so that one instruction takes one word of each.
const LANES: usize = 8;
/// Vectors of a segment. Segments are allocated whole: growing never copies what is there.
const SEGMENT: usize = 8_192;
/// Vectors from which on a second thread is worth its start.
const ALONE: usize = 40_000;
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
    /// Word by word of eight vectors, then the next eight.
    high: Vec<[u64; LANES]>,
    /// Vector by vector: read for a few only.
    low: Vec<u64>,
    fits: Vec<[u8; 2]>,
}

impl Segment {
    fn new(words: usize) -> Self {
        Self {
            high: Vec::with_capacity(SEGMENT / LANES * words),
            low: Vec::with_capacity(SEGMENT * words),
            fits: Vec::with_capacity(SEGMENT),
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
        let lane = self.length % LANES;
        if lane == 0 {
            segment.high.resize(segment.high.len() + self.words, [0; LANES]);
        }
        let fitting = code.high.len() == self.words && code.low.len() == self.words;
        let begin = segment.high.len() - self.words;
        for word in 0..self.words {
            segment.high[begin + word][lane] = if fitting { code.high[word] } else { 0 };
            segment.low.push(if fitting { code.low[word] } else { 0 });
        }
        segment.fits.push(if fitting { code.fits } else { [u8::MAX; 2] });
        self.length += 1;
    }

    /// The `limit` vectors that seem nearest to `query`, the nearest first. `wide` times as many are looked at by both
    /// planes after the scan of the first.
    #[must_use]
    pub fn nearest(&self, query: &Query, limit: usize, wide: usize) -> Vec<Scored> {
        let wanted = limit.saturating_mul(wide).clamp(1, self.length.max(1));
        let threads = if self.length < ALONE {
            1
        } else {
            thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(self.segments.len())
        };
        // Threads take segment after segment: one that has to wait for a processor leaves its share to the others.
        let next = AtomicUsize::new(0);
        let scan = || {
            let mut best = Best::new(wanted);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(segment) = self.segments.get(number) else { break best };
                self.scan(segment, number * SEGMENT, query, &mut best);
            }
        };
        let best = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(scan)).collect();
            let mut best = scan();
            for other in others {
                match other.join() {
                    Ok(found) => best.absorb(found),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            best
        });
        let mut found = best.sorted();
        for one in &mut found {
            one.score = self.estimate(query, one.place);
        }
        found.sort_unstable_by(better);
        found.truncate(limit);
        found
    }

    /// Some vectors, ordered by both planes, the nearest first.
    #[must_use]
    pub fn ordered(&self, query: &Query, places: impl Iterator<Item = u32>) -> Vec<Scored> {
        let mut found: Vec<Scored> = places
            .filter(|place| (*place as usize) < self.length)
            .map(|place| Scored { place, score: self.estimate(query, place) })
            .collect();
        found.sort_unstable_by(better);
        found
    }

    /// Scans a segment whose first vector has the place `begin`.
    fn scan(&self, segment: &Segment, begin: usize, query: &Query, best: &mut Best) {
        let root = ((self.words * 64) as f32).sqrt();
        Arch::new().dispatch(Scan { segment, words: self.words, begin, query, root, best });
    }

    /// The estimate of both planes.
    fn estimate(&self, query: &Query, place: u32) -> f32 {
        let place = place as usize;
        let Some(segment) = self.segments.get(place / SEGMENT) else { return f32::NEG_INFINITY };
        let (within, lane) = (place % SEGMENT, place % LANES);
        let mut sum = 0_i32;
        for word in 0..self.words {
            let high = segment.high[within / LANES * self.words + word][lane];
            let low = segment.low[within * self.words + word];
            sum += 2 * weighted(high, query, word) + weighted(low, query, word);
        }
        let dot = sum as f32 * query.step - 1.5 * query.sum;
        let root = ((self.words * 64) as f32).sqrt();
        dot / (fit(segment.fits[within][1]) * root * 1.5)
    }
}

fn weighted(code: u64, query: &Query, word: usize) -> i32 {
    let count = |plane: usize| (code & query.planes[plane][word]).count_ones().cast_signed();
    count(0) + 2 * count(1) + 4 * count(2) - 8 * count(3)
}

/// Eight words, one of each vector.
type Lanes = [u64; LANES];

#[inline(always)]
fn lanes(each: impl Fn(usize) -> u64) -> Lanes {
    std::array::from_fn(each)
}

/// How many bits each of eight vectors shares with a plane of the query.
///
/// Six words are added up as binary numbers, a bit of each at a time, before anything is counted: three counts instead
/// of six (carry-save addition, as by Harley and Seal).
#[inline(always)]
fn matches<const WORDS: usize>(words: &[Lanes], plane: &[u64; WORDS]) -> [f32; LANES] {
    let mut sums = [0_u64; LANES];
    for (words, plane) in words.chunks(6).zip(plane.chunks(6)) {
        let shared = |word: usize| match (words.get(word), plane.get(word)) {
            (Some(words), Some(plane)) => lanes(|lane| words[lane] & plane),
            _ => [0; LANES],
        };
        let (one, twos) = add(shared(0), shared(1), shared(2));
        let (other, more) = add(shared(3), shared(4), shared(5));
        let carried = lanes(|lane| one[lane] & other[lane]);
        let ones = lanes(|lane| one[lane] ^ other[lane]);
        let (twos, fours) = add(twos, more, carried);
        for (lane, sum) in sums.iter_mut().enumerate() {
            let count = |bits: &Lanes| u64::from(bits[lane].count_ones());
            *sum += count(&ones) + 2 * count(&twos) + 4 * count(&fours);
        }
    }
    std::array::from_fn(|lane| sums[lane] as f32)
}

/// Adds three bits everywhere: the sum and what is carried.
#[inline(always)]
fn add(a: Lanes, b: Lanes, c: Lanes) -> (Lanes, Lanes) {
    let sum = lanes(|lane| a[lane] ^ b[lane] ^ c[lane]);
    let carry = lanes(|lane| (a[lane] & b[lane]) | (c[lane] & (a[lane] ^ b[lane])));
    (sum, carry)
}

/// The scan of one segment, as something that is compiled for each kind of processor.
struct Scan<'s> {
    segment: &'s Segment,
    words: usize,
    begin: usize,
    query: &'s Query,
    root: f32,
    best: &'s mut Best,
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.words {
            // The usual lengths, known to the compiler: 384, 768 and 1024 numbers.
            6 => self.groups_of::<6>(),
            12 => self.groups_of::<12>(),
            16 => self.groups_of::<16>(),
            _ => self.groups(),
        }
    }
}

impl Scan<'_> {
    #[inline(always)]
    fn groups_of<const WORDS: usize>(mut self) {
        let planes: [[u64; WORDS]; 4] =
            std::array::from_fn(|plane| std::array::from_fn(|word| self.query.planes[plane][word]));
        let segment = self.segment;
        for (group, words) in segment.high.chunks_exact(WORDS).enumerate() {
            let mut dots = [0.0_f32; LANES];
            for (plane, weight) in planes.iter().zip([1.0, 2.0, 4.0, -8.0]) {
                for (dot, count) in dots.iter_mut().zip(matches(words, plane)) {
                    *dot += weight * count;
                }
            }
            self.offer(group, dots);
        }
    }

    #[inline(always)]
    fn groups(mut self) {
        let segment = self.segment;
        for (group, words) in segment.high.chunks_exact(self.words).enumerate() {
            let mut dots = [0.0_f32; LANES];
            for (lane, dot) in dots.iter_mut().enumerate() {
                *dot =
                    words.iter().enumerate().map(|(word, codes)| weighted(codes[lane], self.query, word)).sum::<i32>()
                        as f32;
            }
            self.offer(group, dots);
        }
    }

    /// Turns eight sums into estimates and offers those that matter.
    #[inline(always)]
    fn offer(&mut self, group: usize, sums: [f32; LANES]) {
        let first = group * LANES;
        let Some(fits) = self.segment.fits.get(first..first + LANES) else {
            for (lane, fits) in self.segment.fits[first..].iter().enumerate() {
                let score = self.score(sums[lane], fits[0]);
                self.best.offer(Scored { place: (self.begin + first + lane) as u32, score });
            }
            return;
        };
        let mut scores = [0.0_f32; LANES];
        for ((score, sum), fit) in scores.iter_mut().zip(sums).zip(fits) {
            *score = self.score(sum, fit[0]);
        }
        if scores.iter().fold(false, |any, score| any | (*score > self.best.floor)) {
            for (lane, &score) in scores.iter().enumerate() {
                self.best.offer(Scored { place: (self.begin + first + lane) as u32, score });
            }
        }
    }

    #[inline(always)]
    fn score(&self, sum: f32, byte: u8) -> f32 {
        (2.0 * sum * self.query.step - self.query.sum) / (fit(byte) * self.root)
    }
}

#[cfg(test)]
#[path = "codes_tests.rs"]
mod tests;
