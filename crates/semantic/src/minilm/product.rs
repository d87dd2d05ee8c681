//! Matrix products with weights: the weights are stored as the products want them, a panel of outputs after another.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

/// Outputs of one panel. The product packs a panel's weights once a call; one of this size stays in the nearest caches
/// (96 outputs x 384 inputs: 147 kB) and is what the kernel with the widest vectors takes in one go.
const PANEL: usize = 96;
/// Rows up to which rounded weights are used where they may be.
const FEW: usize = 32;
/// Rows that [`Few`] sums up side by side.
const ROWS: usize = 4;

/// Which weights a product may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// As they are: a text gets the same vector whatever it is embedded with.
    Whole,
    /// For few rows by their upper 16 bits, read once and never packed: a question's few rows are done before its weights
    /// would have been copied, and reading them takes longer than the arithmetic. `tests/model.rs` holds
    /// the cosine to the other above 0.99999.
    Rounded,
}

/// A linear map without its bias: `outputs` rows of `inputs` weights.
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    /// Panel after panel: `inputs` columns of up to [`PANEL`] outputs, outputs side by side.
    panels: Vec<f32>,
    /// The same, where all panels are whole, two weights a word, each by its upper 16 bits (bfloat16): the first half of a
    /// panel's outputs has the lower half of its words.
    pairs: Vec<u32>,
}

impl Linear {
    /// From rows of weights as model files store them: `weights[output * inputs + input]`.
    pub(super) fn new(weights: &[f32], inputs: usize, outputs: usize) -> Self {
        let mut panels = Vec::with_capacity(weights.len());
        for rows in weights.chunks(inputs * PANEL) {
            for input in 0..inputs {
                panels.extend(rows.iter().skip(input).step_by(inputs));
            }
        }
        let pair = |row: &[f32]| -> Vec<u32> {
            let (first, second) = row.split_at(PANEL / 2);
            first.iter().zip(second).map(|(first, second)| upper(*first) >> 16 | upper(*second)).collect()
        };
        let pairs = if outputs.is_multiple_of(PANEL) {
            panels.chunks_exact(PANEL).flat_map(pair).collect()
        } else {
            Vec::new()
        };
        Self { inputs, outputs, panels, pairs }
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.panels.len() * size_of::<f32>() + self.pairs.len() * size_of::<u32>()
    }

    /// `y[row] = weights x[row]`: `x` has rows of `inputs` numbers, `y` as many rows of `outputs`.
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32], weights: Weights) {
        let rows = x.len() / self.inputs;
        if weights == Weights::Rounded && rows <= FEW && !self.pairs.is_empty() {
            let arch = Arch::new();
            for (index, pairs) in self.pairs.chunks(self.inputs * PANEL / 2).enumerate() {
                arch.dispatch(Few { x, inputs: self.inputs, pairs, y, outputs: self.outputs, first: index * PANEL });
            }
            return;
        }
        let x = MatRef::from_row_major_slice(x, rows, self.inputs);
        let mut y = MatMut::from_row_major_slice_mut(y, rows, self.outputs);
        for (index, panel) in self.panels.chunks(self.inputs * PANEL).enumerate() {
            let width = panel.len() / self.inputs;
            let weights = MatRef::from_row_major_slice(panel, self.inputs, width);
            let strip = y.as_mut().subcols_mut(index * PANEL, width);
            matmul(strip, Accum::Replace, x, weights, 1.0, Par::Seq);
        }
    }
}

/// The upper 16 bits of a number, rounded to the nearest; the lower ones are 0.
fn upper(number: f32) -> u32 {
    let bits = number.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000
}

/// The product of few rows with one whole panel.
struct Few<'p> {
    x: &'p [f32],
    inputs: usize,
    pairs: &'p [u32],
    y: &'p mut [f32],
    outputs: usize,
    /// The panel's first output.
    first: usize,
}

impl WithSimd for Few<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, inputs, pairs, y, outputs, first } = self;
        let (pairs, _) = S::as_simd_u32s(pairs);
        let across = pairs.len() / inputs;
        for (x, y) in x.chunks(inputs * ROWS).zip(y.chunks_mut(outputs * ROWS)) {
            // With the widest vectors a whole row of the panel fits into registers, and memory is read straight on.
            if across == 3 {
                strip::<S, 3>(simd, x, inputs, pairs, y, (outputs, first));
            } else {
                strip::<S, 1>(simd, x, inputs, pairs, y, (outputs, first));
            }
        }
    }
}

/// Up to [`ROWS`] rows by all outputs of a panel, `V` vectors of pairs at a time.
#[inline(always)]
fn strip<S: Simd, const V: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    pairs: &[S::u32s],
    y: &mut [f32],
    (outputs, first): (usize, usize),
) {
    let across = pairs.len() / inputs;
    let lanes = PANEL / 2 / across;
    for from in (0..across).step_by(V) {
        let (pairs, to) = ((pairs, across, from), (outputs, first + from * lanes, lanes));
        match x.len() / inputs {
            1 => tile::<S, 1, V>(simd, x, inputs, pairs, y, to),
            2 => tile::<S, 2, V>(simd, x, inputs, pairs, y, to),
            3 => tile::<S, 3, V>(simd, x, inputs, pairs, y, to),
            _ => tile::<S, ROWS, V>(simd, x, inputs, pairs, y, to),
        }
    }
}

/// `R` rows by `V` vectors of pairs of outputs.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    (pairs, across, from): (&[S::u32s], usize, usize),
    y: &mut [f32],
    (outputs, first, lanes): (usize, usize, usize),
) {
    let rows: [&[f32]; R] = std::array::from_fn(|row| &x[row * inputs..][..inputs]);
    let (half, upper) = (simd.splat_u32s(16), simd.splat_u32s(0xffff_0000));
    let mut sums = [[[simd.splat_f32s(0.0); V]; 2]; R];
    for (input, pairs) in pairs.chunks_exact(across).take(inputs).enumerate() {
        let Some(pairs) = pairs[from..].first_chunk::<V>() else { break };
        // Loops, since what takes a closure may not be compiled for this kind of processor.
        let mut weights = [[simd.splat_f32s(0.0); V]; 2];
        for (at, pair) in pairs.iter().enumerate() {
            weights[0][at] = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(*pair, half));
            weights[1][at] = simd.transmute_f32s_u32s(simd.and_u32s(*pair, upper));
        }
        for (row, sums) in rows.iter().zip(&mut sums) {
            let value = simd.splat_f32s(row[input]);
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_f32s(value, *weight, *sum);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (half, sums) in sums.iter().enumerate() {
            let at = row * outputs + first + half * PANEL / 2;
            let (y, _) = S::as_mut_simd_f32s(&mut y[at..][..V * lanes]);
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = *sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_equals_the_sum_over_its_inputs() {
        for (rows, inputs, outputs) in
            [(1, 384, 384), (3, 7, 5), (6, 50, 192), (31, 64, 96), (40, 32, 200), (130, 100, 96)]
        {
            let number = |seed: usize| ((seed * 7919) % 101) as f32 / 50.0 - 1.0;
            let weights: Vec<f32> = (0..inputs * outputs).map(number).collect();
            let x: Vec<f32> = (0..rows * inputs).map(|i| number(i + 13)).collect();
            let linear = Linear::new(&weights, inputs, outputs);
            for (which, most) in [(Weights::Whole, 1e-3), (Weights::Rounded, 0.004)] {
                let mut y = vec![f32::NAN; rows * outputs];
                linear.apply(&x, &mut y, which);
                for row in 0..rows {
                    for output in 0..outputs {
                        let products = (0..inputs).map(|i| x[row * inputs + i] * weights[output * inputs + i]);
                        let (right, all) = products.fold((0.0, 1.0), |(sum, all), one| (sum + one, all + one.abs()));
                        assert!((y[row * outputs + output] - right).abs() < most * all, "{which:?} {rows} {outputs}");
                    }
                }
            }
        }
    }
}
