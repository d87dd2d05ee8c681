//! Matrix products with weights: the weights are stored as the products want them, a panel of outputs after another.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Outputs of one panel. The product packs a panel's weights once a call; one of this size stays in the nearest caches
/// (96 outputs x 384 inputs: 147 kB) and is what the kernel with the widest vectors takes in one go.
const PANEL: usize = 96;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_equals_the_sum_over_its_inputs() {
        for (rows, inputs, outputs) in [(1, 384, 384), (3, 7, 5), (40, 32, 200), (130, 100, 96)] {
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
