//! One vector's code, what is stored of the vector itself, and a query in the shape that codes are compared with.

use pulp::{Arch, Simd, WithSimd};

use super::rotation::Rotation;

/// Bits of a query's number.
const QUERY_PLANES: usize = 4;
/// Bytes that [`Encoder::stored`] needs beside one a number: the reciprocal length, `f32` in little endian.
pub const STORED_OVERHEAD: usize = 4;

/// Rotates and encodes vectors of one length.
#[derive(Clone, Debug)]
pub struct Encoder {
    dimensions: usize,
    /// Dimensions as they are kept: the next multiple of 64.
    width: usize,
    rotation: Rotation,
}

/// Two bits a number, in two planes, and how well they fit.
///
/// A number is `2 high + low - 1.5` steps of the vector's own size; `high` alone is its sign. Estimates are divided by how
/// much of the vector the code holds, which `fits` gives for one plane and for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The sign plane.
    pub high: Vec<u64>,
    /// The plane of magnitudes.
    pub low: Vec<u64>,
    /// What the sign plane, and both, hold of the vector; [`fit`] reads them.
    pub fits: [u8; 2],
}

impl Code {
    /// Bytes of a code of vectors of `dimensions` numbers.
    #[must_use]
    pub const fn bytes(dimensions: usize) -> usize {
        dimensions.div_ceil(64) * 16 + 2
    }

    /// Appends the code: both planes, then the fits, all in little endian.
    pub fn write(&self, out: &mut Vec<u8>) {
        for word in self.high.iter().chain(&self.low) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.fits);
    }

    /// Reads what [`Code::write`] wrote; `None` when the length is another.
    #[must_use]
    pub fn read(bytes: &[u8], dimensions: usize) -> Option<Self> {
        let words = dimensions.div_ceil(64);
        if bytes.len() != Self::bytes(dimensions) {
            return None;
        }
        let word =
            |at: usize| bytes.get(at * 8..at * 8 + 8).and_then(|raw| raw.try_into().ok()).map(u64::from_le_bytes);
        Some(Self {
            high: (0..words).map(word).collect::<Option<_>>()?,
            low: (words..2 * words).map(word).collect::<Option<_>>()?,
            fits: [*bytes.get(words * 16)?, *bytes.get(words * 16 + 1)?],
        })
    }
}

/// After rotation, codes hold about 0.8 and 0.6 of a vector; hardly ever less than this.
const LEAST_FIT: f32 = 0.4;

/// What a code holds of its vector, of what it could hold: the sign plane's cosine, or both planes' part in their unit.
#[inline(always)]
pub(super) fn fit(byte: u8) -> f32 {
    LEAST_FIT + f32::from(byte) / 255.0 * (1.0 - LEAST_FIT)
}

/// A query, rotated.
#[derive(Clone, Debug)]
pub struct Query {
    /// The numbers themselves.
    numbers: Vec<f32>,
    /// Their four bits in two's complement, a plane each.
    pub(super) planes: [Vec<u64>; QUERY_PLANES],
    /// What one step of the four bits is worth.
    pub(super) step: f32,
    /// Sum of the numbers as the planes hold them.
    pub(super) sum: f32,
}

impl Encoder {
    /// For vectors of `dimensions` numbers.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        let width = dimensions.div_ceil(64).max(1) * 64;
        Self { dimensions, width, rotation: Rotation::new(width) }
    }

    /// Length of the vectors.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn turned(&self, vector: &[f32]) -> Vec<f32> {
        let mut turned = vector.to_vec();
        turned.resize(self.width, 0.0);
        self.rotation.turn(&mut turned);
        turned
    }

    /// The code of a vector of length 1, and its numbers in a byte each for the final comparison.
    #[must_use]
    pub fn encode(&self, vector: &[f32]) -> (Code, Vec<u8>) {
        let turned = self.turned(vector);
        (self.code(&turned), stored(&turned))
    }

    fn code(&self, turned: &[f32]) -> Code {
        let words = self.width / 64;
        let (mut high, mut low) = (vec![0_u64; words], vec![0_u64; words]);
        let length = turned.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        // The best step for numbers of a normal distribution (Max 1960, four levels).
        let step = 0.9957 * length / (self.width as f32).sqrt();
        let (mut signs, mut levels, mut squares) = (0.0_f32, 0.0_f32, 0.0_f32);
        for (index, &number) in turned.iter().enumerate() {
            let positive = number >= 0.0;
            // High and low together count up from the lowest level.
            let outer = number.abs() >= step;
            let bit = positive == outer;
            high[index / 64] |= u64::from(positive) << (index % 64);
            low[index / 64] |= u64::from(bit) << (index % 64);
            let level = if outer { 1.5 } else { 0.5 };
            signs += number.abs();
            levels += level * number.abs();
            squares += level * level;
        }
        let fit = |part: f32| ((part.clamp(LEAST_FIT, 1.0) - LEAST_FIT) / (1.0 - LEAST_FIT) * 255.0).round() as u8;
        let one = signs / length / (self.width as f32).sqrt();
        // Kept in the unit of the levels, so that an estimate needs no further length.
        let both = levels / length / (self.width as f32).sqrt() / 1.5;
        debug_assert!(squares > 0.0);
        Code { high, low, fits: [fit(one), fit(both)] }
    }

    /// A query of length 1 for comparison with codes and stored vectors.
    #[must_use]
    pub fn query(&self, vector: &[f32]) -> Query {
        let numbers = self.turned(vector);
        let most = numbers.iter().fold(f32::MIN_POSITIVE, |most, number| most.max(number.abs()));
        let step = most / 7.0;
        let mut planes: [Vec<u64>; QUERY_PLANES] = std::array::from_fn(|_| vec![0_u64; self.width / 64]);
        let mut sum = 0;
        for (index, number) in numbers.iter().enumerate() {
            let level = (number / step).round().clamp(-8.0, 7.0) as i32;
            sum += level;
            for (bit, plane) in planes.iter_mut().enumerate() {
                plane[index / 64] |= u64::from(level >> bit & 1 == 1) << (index % 64);
            }
        }
        Query { numbers, planes, step, sum: sum as f32 * step }
    }
}

/// A vector in a byte a number, and the reciprocal of the length of what the bytes say.
fn stored(turned: &[f32]) -> Vec<u8> {
    let most = turned.iter().fold(f32::MIN_POSITIVE, |most, number| most.max(number.abs()));
    let mut bytes = Vec::with_capacity(turned.len() + STORED_OVERHEAD);
    let mut squares = 0_i32;
    for number in turned {
        let level = (number / most * 127.0).round().clamp(-127.0, 127.0) as i8;
        squares += i32::from(level) * i32::from(level);
        bytes.extend_from_slice(&level.to_le_bytes());
    }
    bytes.extend_from_slice(&(1.0 / (squares.max(1) as f32).sqrt()).to_le_bytes());
    bytes
}

/// Cosine between a query and a stored vector; `None` when what is stored has another length.
#[must_use]
pub fn cosine(query: &Query, stored: &[u8]) -> Option<f32> {
    let (levels, scale) = stored.split_at_checked(query.numbers.len())?;
    let scale = f32::from_le_bytes(scale.try_into().ok()?);
    let dot = Arch::new().dispatch(Dot { levels, numbers: &query.numbers });
    Some((dot * scale).clamp(-1.0, 1.0))
}

struct Dot<'d> {
    levels: &'d [u8],
    numbers: &'d [f32],
}

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        // Sixteen sums side by side, so that the loop needs no order.
        let mut sums = [0.0_f32; 16];
        for (levels, numbers) in self.levels.chunks_exact(16).zip(self.numbers.chunks_exact(16)) {
            for ((sum, level), number) in sums.iter_mut().zip(levels).zip(numbers) {
                *sum += f32::from(level.cast_signed()) * number;
            }
        }
        sums.iter().sum()
    }
}
