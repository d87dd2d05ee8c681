//! Matrix products with weights: the weights are stored as the products want them, a panel of outputs after another.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

/// Outputs of one panel. The product packs a panel's weights once a call; one of this size stays in the nearest caches
/// (96 outputs x 384 inputs: 147 kB) and is what the kernel with the widest vectors takes in one go.
const PANEL: usize = 96;
/// Rows up to which the weights are read once and nothing is packed: a question's few rows are done before its weights would
/// have been copied.
const FEW: usize = 32;
/// Rows that [`Few`] sums up side by side.
const ROWS: usize = 4;

/// A linear map without its bias: `outputs` rows of `inputs` weights.
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    /// Panel after panel: `inputs` columns of up to [`PANEL`] outputs, outputs side by side.
    panels: Vec<f32>,
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
        Self { inputs, outputs, panels }
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.panels.len() * size_of::<f32>()
    }

    /// `y[row] = weights x[row]`: `x` has rows of `inputs` numbers, `y` as many rows of `outputs`.
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32]) {
        let rows = x.len() / self.inputs;
        if rows <= FEW && self.outputs.is_multiple_of(PANEL) {
            let arch = Arch::new();
            for (index, panel) in self.panels.chunks(self.inputs * PANEL).enumerate() {
                arch.dispatch(Few { x, inputs: self.inputs, panel, y, outputs: self.outputs, first: index * PANEL });
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

/// The product of few rows with one whole panel.
struct Few<'p> {
    x: &'p [f32],
    inputs: usize,
    panel: &'p [f32],
    y: &'p mut [f32],
    outputs: usize,
    /// The panel's first output.
    first: usize,
}

impl WithSimd for Few<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, inputs, panel, y, outputs, first } = self;
        let (weights, _) = S::as_simd_f32s(panel);
        let across = weights.len() / inputs;
        for (x, y) in x.chunks(inputs * ROWS).zip(y.chunks_mut(outputs * ROWS)) {
            // With the widest vectors a whole row of the panel fits into registers, and memory is read straight on.
            if across == 6 {
                strip::<S, 6>(simd, x, inputs, weights, y, (outputs, first));
            } else {
                strip::<S, 3>(simd, x, inputs, weights, y, (outputs, first));
            }
        }
    }
}

/// Up to [`ROWS`] rows by all outputs of a panel, `V` vectors at a time.
#[inline(always)]
fn strip<S: Simd, const V: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    weights: &[S::f32s],
    y: &mut [f32],
    (outputs, first): (usize, usize),
) {
    let across = weights.len() / inputs;
    let lanes = PANEL / across;
    for from in (0..across).step_by(V) {
        let (weights, to) = ((weights, across, from), (outputs, first + from * lanes, lanes));
        match x.len() / inputs {
            1 => tile::<S, 1, V>(simd, x, inputs, weights, y, to),
            2 => tile::<S, 2, V>(simd, x, inputs, weights, y, to),
            3 => tile::<S, 3, V>(simd, x, inputs, weights, y, to),
            _ => tile::<S, ROWS, V>(simd, x, inputs, weights, y, to),
        }
    }
}

/// `R` rows by `V` vectors of outputs.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    (weights, across, from): (&[S::f32s], usize, usize),
    y: &mut [f32],
    (outputs, first, lanes): (usize, usize, usize),
) {
    let rows: [&[f32]; R] = std::array::from_fn(|row| &x[row * inputs..][..inputs]);
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (input, weights) in weights.chunks_exact(across).take(inputs).enumerate() {
        let Some(weights) = weights[from..].first_chunk::<V>() else { break };
        for (row, sums) in rows.iter().zip(&mut sums) {
            let value = simd.splat_f32s(row[input]);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_f32s(value, *weight, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let (y, _) = S::as_mut_simd_f32s(&mut y[row * outputs + first..][..V * lanes]);
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = *sum;
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
            let mut y = vec![f32::NAN; rows * outputs];
            Linear::new(&weights, inputs, outputs).apply(&x, &mut y);
            for row in 0..rows {
                for output in 0..outputs {
                    let right: f32 = (0..inputs).map(|i| x[row * inputs + i] * weights[output * inputs + i]).sum();
                    assert!((y[row * outputs + output] - right).abs() < 1e-3);
                }
            }
        }
    }
}
