//! What codes of one plane and a query have in common, for a block of vectors at once.
//!
//! The numbers of a query are added up before: for each four bits of a code, what each of their sixteen values comes to.
//! A code is then a row of look-ups, and where the processor looks up whole registers of bytes at once (as in Quick ADC,
//! André et al., VLDB 2017), a block costs about as much as reading it.

use pulp::{Arch, Simd, WithSimd};

use super::code::Query;

/// Vectors of a block.
pub(super) const BLOCK: usize = 32;
/// Rows after which sums of 16 bits are added up in full.
const SHORT: usize = 128;
/// What is added to each looked-up sum of four levels, the lowest being -8, so that none is below 0.
const ABOVE: i32 = 32;

/// One byte of the code of each vector of a block. Vector `v` has its byte at [`lane`].
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Row(pub(super) [u8; BLOCK]);

/// Where in its row a vector's byte is: neighbouring bytes are widened into two registers, which are then in order.
#[inline(always)]
pub(super) const fn lane(vector: usize) -> usize {
    vector % (BLOCK / 2) * 2 + vector / (BLOCK / 2)
}

/// A query, as rows are compared with it.
pub(super) struct Table {
    /// By four bits of a code: what each value of them comes to, and [`ABOVE`].
    sums: Vec<[u8; 16]>,
    /// By byte of a code: the query's planes.
    planes: Vec<[u8; 4]>,
}

impl Table {
    pub(super) fn new(query: &Query) -> Self {
        let words = query.planes[0].len();
        let bytes: Vec<[u8; 4]> = (0..words * 8)
            .map(|byte| std::array::from_fn(|plane| (query.planes[plane][byte / 8] >> (byte % 8 * 8)) as u8))
            .collect();
        let sum = |planes: &[u8; 4], value: u8, from: usize| {
            let count = |plane: usize| (planes[plane] >> from & value).count_ones().cast_signed();
            (ABOVE + count(0) + 2 * count(1) + 4 * count(2) - 8 * count(3)) as u8
        };
        let of = |planes: &[u8; 4], from: usize| std::array::from_fn(|value| sum(planes, value as u8, from));
        let sums = bytes.iter().flat_map(|planes| [of(planes, 0), of(planes, 4)]).collect();
        Self { sums, planes: bytes }
    }
}

/// Compares a block's rows with a query: the sum of the query's levels where a vector's code has a bit.
pub(super) trait Kernel: Copy {
    /// In the order of vectors.
    fn sums(self, rows: &[Row], table: &Table) -> [i32; BLOCK];
}

/// Work that is compiled for each kind of processor.
pub(super) trait Work {
    type Output;
    fn run<K: Kernel>(self, kernel: K) -> Self::Output;
}

/// Runs `work` with the kernel that this processor is best at.
pub(super) fn with_kernel<W: Work>(work: W) -> W::Output {
    let arch = Arch::new();
    #[cfg(target_arch = "x86_64")]
    match arch {
        Arch::V4(simd) => return Simd::vectorize(simd, Compiled { kernel: shuffling::Shuffling(*simd), work }),
        Arch::V3(simd) => return Simd::vectorize(simd, Compiled { kernel: shuffling::Shuffling(simd), work }),
        _ => {}
    }
    arch.dispatch(Compiled { kernel: Counting, work })
}

struct Compiled<K, W> {
    kernel: K,
    work: W,
}

impl<K: Kernel, W: Work> WithSimd for Compiled<K, W> {
    type Output = W::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> W::Output {
        self.work.run(self.kernel)
    }
}

/// Counts bits, plane by plane: for processors whose instructions are not named here.
#[derive(Clone, Copy)]
struct Counting;

impl Kernel for Counting {
    #[inline(always)]
    fn sums(self, rows: &[Row], table: &Table) -> [i32; BLOCK] {
        let mut sums = [0_i32; BLOCK];
        for (rows, planes) in rows.chunks(SHORT).zip(table.planes.chunks(SHORT)) {
            let mut short = [0_i16; BLOCK];
            for (row, planes) in rows.iter().zip(planes) {
                for (plane, weight) in planes.iter().zip([1, 2, 4, -8_i16]) {
                    for (sum, code) in short.iter_mut().zip(&row.0) {
                        *sum += weight * i16::from((code & plane).count_ones() as u8);
                    }
                }
            }
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum += i32::from(short[lane(vector)]);
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod shuffling {
    use pulp::cast;
    use pulp::x86::V3;

    use super::{ABOVE, BLOCK, Kernel, Row, SHORT, Table};

    /// Looks up 32 sums with one instruction.
    #[derive(Clone, Copy)]
    pub(super) struct Shuffling(pub(super) V3);

    impl Kernel for Shuffling {
        #[inline(always)]
        fn sums(self, rows: &[Row], table: &Table) -> [i32; BLOCK] {
            let (avx, avx2) = (self.0.avx, self.0.avx2);
            let (four, byte) = (avx._mm256_set1_epi8(15), avx._mm256_set1_epi16(255));
            let look_up = |sums: [u8; 16], at| {
                avx2._mm256_shuffle_epi8(avx2._mm256_broadcastsi128_si256(cast(sums)), avx2._mm256_and_si256(at, four))
            };
            let both = |row: &Row, [low, high]: [[u8; 16]; 2]| {
                let codes = cast(row.0);
                avx2._mm256_add_epi8(look_up(low, codes), look_up(high, avx2._mm256_srli_epi16::<4>(codes)))
            };
            let mut sums = [[-(ABOVE * table.sums.len() as i32); BLOCK / 2]; 2];
            for (rows, table) in rows.chunks(SHORT).zip(table.sums.chunks(2 * SHORT)) {
                let (mut even, mut odd) = (avx._mm256_setzero_si256(), avx._mm256_setzero_si256());
                for (rows, table) in rows.chunks_exact(2).zip(table.chunks_exact(4)) {
                    // At most four times 60.
                    let sum = avx2
                        ._mm256_add_epi8(both(&rows[0], [table[0], table[1]]), both(&rows[1], [table[2], table[3]]));
                    even = avx2._mm256_add_epi16(even, avx2._mm256_and_si256(sum, byte));
                    odd = avx2._mm256_add_epi16(odd, avx2._mm256_srli_epi16::<8>(sum));
                }
                let short: [[u16; BLOCK / 2]; 2] = [cast(even), cast(odd)];
                for (sums, short) in sums.iter_mut().zip(&short) {
                    for (sum, short) in sums.iter_mut().zip(short) {
                        *sum += i32::from(*short);
                    }
                }
            }
            cast(sums)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Encoder;
    use super::*;

    struct Sums<'s>(&'s [Row], &'s Table);

    impl Work for Sums<'_> {
        type Output = [i32; BLOCK];
        fn run<K: Kernel>(self, kernel: K) -> [i32; BLOCK] {
            kernel.sums(self.0, self.1)
        }
    }

    #[test]
    fn every_kernel_sums_up_the_levels_under_the_bits_of_a_code() {
        // The longest has sums that no 16 bits hold.
        for dimensions in [64, 384, 20_480] {
            let vector: Vec<f32> = (0..dimensions).map(|at| if at % 7 < 4 { 1.0 } else { -1.0 }).collect();
            let length = (dimensions as f32).sqrt();
            let query = Encoder::new(dimensions).query(&vector.iter().map(|one| one / length).collect::<Vec<_>>());
            let table = Table::new(&query);
            let bytes = query.planes[0].len() * 8;
            let byte = |vector: usize, at: usize| match vector {
                0 => 0,
                1 => u8::MAX,
                _ => (vector * 37 + at * 101 + (at * at) % 251) as u8,
            };
            let mut rows = vec![Row([0; BLOCK]); bytes];
            for (at, row) in rows.iter_mut().enumerate() {
                (0..BLOCK).for_each(|vector| row.0[lane(vector)] = byte(vector, at));
            }
            let level = |bit: usize| {
                let of = |plane: usize| (query.planes[plane][bit / 64] >> (bit % 64) & 1) as i32;
                of(0) + 2 * of(1) + 4 * of(2) - 8 * of(3)
            };
            let expected: [i32; BLOCK] = std::array::from_fn(|vector| {
                (0..bytes * 8).filter(|bit| byte(vector, bit / 8) >> (bit % 8) & 1 == 1).map(level).sum()
            });
            assert_eq!(with_kernel(Sums(&rows, &table)), expected, "{dimensions}");
            assert_eq!(Counting.sums(&rows, &table), expected, "{dimensions}");
        }
    }
}
