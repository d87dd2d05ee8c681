//! A random rotation that costs `n log n`: three rounds of random signs, Hadamard transforms of equal blocks, and an
//! interleaving that carries every block into every other.

/// Rounds; after three, single coordinates and small blocks are spread over all numbers.
const ROUNDS: usize = 3;

/// Rotates vectors of one length; the same for the same length, always, because codes on disk depend on it.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    width: usize,
    block: usize,
    signs: Vec<f32>,
}

impl Rotation {
    /// For vectors of `width` numbers, a multiple of 64.
    pub(super) fn new(width: usize) -> Self {
        let block = 1 << width.trailing_zeros().min(16);
        let mut state = 0x5e55_10b0_dd1e_0001_u64;
        let signs = (0..width * ROUNDS).map(|_| if mix(&mut state) >> 63 == 0 { 1.0 } else { -1.0 }).collect();
        Self { width, block, signs }
    }

    /// Rotates `vector` in place; its length stays as it is.
    pub(super) fn turn(&self, vector: &mut [f32]) {
        let blocks = self.width / self.block;
        let scale = 1.0 / (self.block as f32).sqrt();
        let mut mixed = vec![0.0_f32; self.width];
        for signs in self.signs.chunks_exact(self.width) {
            for (number, sign) in vector.iter_mut().zip(signs) {
                *number *= sign * scale;
            }
            vector.chunks_exact_mut(self.block).for_each(hadamard);
            for (index, number) in vector.iter().enumerate() {
                let (block, place) = (index / self.block, index % self.block);
                mixed[place * blocks + block] = *number;
            }
            vector.copy_from_slice(&mixed);
        }
    }
}

/// The fast Walsh-Hadamard transform, not scaled.
fn hadamard(block: &mut [f32]) {
    let mut half = 1;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// SplitMix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_stay_and_a_single_number_is_spread_over_all() {
        for width in [64, 192, 384, 768, 1024] {
            let rotation = Rotation::new(width);
            let mut one = vec![0.0; width];
            let mut other = vec![0.0; width];
            one[3] = 1.0;
            other[3] = 0.6;
            other[width - 1] = 0.8;
            rotation.turn(&mut one);
            rotation.turn(&mut other);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert!((dot(&one, &one) - 1.0).abs() < 1e-4, "{width}");
            assert!((dot(&one, &other) - 0.6).abs() < 1e-4, "{width}");
            let largest = one.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
            assert!(largest < 6.0 / (width as f32).sqrt(), "{width}: {largest}");
        }
    }
}
