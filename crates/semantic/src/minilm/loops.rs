//! The loops between the matrix products: bias with GELU, layer norm, softmax. Plain Rust over fixed-width lanes, run with
//! the widest vector instructions of the machine.

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

use pulp::{Arch, Simd, WithSimd};

/// Numbers that are worked on side by side; a sum is kept in as many parts.
const LANES: usize = 16;

/// `x[row] = gelu(x[row] + bias)` for rows as wide as `bias`; GELU with the error function, as the model was trained.
pub(super) fn bias_gelu(arch: Arch, x: &mut [f32], bias: &[f32]) {
    arch.dispatch(BiasGelu { x, bias });
}

/// `x[row] += bias` for rows as wide as `bias`.
pub(super) fn add_bias(arch: Arch, x: &mut [f32], bias: &[f32]) {
    arch.dispatch(AddBias { x, bias });
}

/// `x[row] = norm(x[row] + y[row] + bias) * scale + shift`, the end of every half layer.
pub(super) fn add_and_norm(arch: Arch, x: &mut [f32], y: &[f32], bias: &[f32], norm: &Norm) {
    arch.dispatch(AddAndNorm { x, y, bias, norm });
}

/// Layer norm of every row.
pub(super) fn norm_rows(arch: Arch, x: &mut [f32], norm: &Norm) {
    arch.dispatch(NormRows { x, norm });
}

/// Softmax of every row of a matrix with `width` columns.
pub(super) fn softmax_rows(arch: Arch, x: &mut [f32], width: usize) {
    arch.dispatch(SoftmaxRows { x, width });
}

// Closures would be shorter, but their code is not made for the instructions that it is dispatched to.

struct BiasGelu<'x> {
    x: &'x mut [f32],
    bias: &'x [f32],
}

impl WithSimd for BiasGelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                *value = gelu(*value + bias);
            }
        }
    }
}

struct AddBias<'x> {
    x: &'x mut [f32],
    bias: &'x [f32],
}

impl WithSimd for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                *value += bias;
            }
        }
    }
}

struct AddAndNorm<'x> {
    x: &'x mut [f32],
    y: &'x [f32],
    bias: &'x [f32],
    norm: &'x Norm,
}

impl WithSimd for AddAndNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.bias.len();
        for (row, more) in self.x.chunks_exact_mut(width).zip(self.y.chunks_exact(width)) {
            for ((value, more), bias) in row.iter_mut().zip(more).zip(self.bias) {
                *value += more + bias;
            }
            normalise(row, self.norm);
        }
    }
}

struct NormRows<'x> {
    x: &'x mut [f32],
    norm: &'x Norm,
}

impl WithSimd for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.norm.scale.len()) {
            normalise(row, self.norm);
        }
    }
}

struct SoftmaxRows<'x> {
    x: &'x mut [f32],
    width: usize,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.width) {
            softmax(row);
        }
    }
}

/// Parameters of a layer norm.
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) epsilon: f32,
}

#[inline(always)]
fn normalise(row: &mut [f32], norm: &Norm) {
    let count = row.len() as f32;
    let mean = sum(row, |x| x) / count;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
    let factor = 1.0 / (variance + norm.epsilon).sqrt();
    for ((value, scale), shift) in row.iter_mut().zip(&norm.scale).zip(&norm.shift) {
        *value = (*value - mean) * factor * scale + shift;
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let mut tops = [f32::MIN; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (top, x) in tops.iter_mut().zip(block) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    let top = rest.iter().chain(&tops).fold(f32::MIN, |top, x| if *x > top { *x } else { top });
    for value in row.iter_mut() {
        *value = exp(*value - top);
    }
    let factor = 1.0 / sum(row, |x| x);
    for value in row.iter_mut() {
        *value *= factor;
    }
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0_f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (part, x) in parts.iter_mut().zip(block) {
            *part += of(*x);
        }
    }
    let mut total = 0.0;
    for part in parts {
        total += part;
    }
    for x in rest {
        total += of(*x);
    }
    total
}

/// e^x for x <= 0 (what softmax and GELU need) to about 2e-7 of the value; 0 where that is below the smallest normal number.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // x = k ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    // The part of ln 2 that products with small whole numbers keep exact, and the rest.
    const HIGH: f32 = 0.693_359_4;
    let r = (x - k * HIGH) - k * (LN_2 as f64 - HIGH as f64) as f32 - k * LN_2_TAIL;
    // Taylor's series: the first term left out is below 2e-7.
    let series = 1.0 + r * (1.0 + r * (1.0 / 2.0 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    series * power
}

/// What the nearest `f32` to ln 2 leaves out.
const LN_2_TAIL: f32 = (std::f64::consts::LN_2 - LN_2 as f64) as f32;

/// x times the share of a normal distribution below x; at most 1e-6 away from the exact value.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    // Abramowitz and Stegun 7.1.26: 1 - erf(z) = (a1 t + .. + a5 t^5) e^(-z^2), t = 1 / (1 + p z), for z >= 0.
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let half_tail = 0.5 * series * exp(-z * z);
    x * if x < 0.0 { half_tail } else { 1.0 - half_tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its power series, in double precision.
    fn erf(z: f64) -> f64 {
        let mut term = z;
        let mut total = z;
        for n in 1..200 {
            let n = f64::from(n);
            term *= -z * z / n;
            total += term / (2.0 * n + 1.0);
        }
        total * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn gelu_is_the_one_with_the_error_function() {
        for step in -800..=800 {
            let x = step as f32 / 100.0;
            let z = f64::from(x) * std::f64::consts::FRAC_1_SQRT_2;
            let share = if z.abs() > 4.5 { f64::from(z > 0.0) } else { 0.5 * (1.0 + erf(z)) };
            let mut row = [x - 1.0];
            bias_gelu(Arch::new(), &mut row, &[1.0]);
            assert!((f64::from(row[0]) - f64::from(x) * share).abs() < 2e-6, "gelu({x}) = {}", row[0]);
        }
    }

    #[test]
    fn exp_is_right_to_the_last_digits_and_ends_at_zero() {
        for step in 0..8_700 {
            let x = -(step as f32) / 100.0;
            let right = f64::from(x).exp();
            assert!((f64::from(exp(x)) - right).abs() <= right * 1e-6, "exp({x}) = {}, not {right}", exp(x));
        }
        assert!(exp(f32::MIN) < 1e-37);
    }

    #[test]
    fn softmax_adds_up_to_one_whatever_the_width_and_size() {
        for width in [1, 5, 16, 17, 100] {
            let mut row: Vec<f32> = (0..width).map(|x| x as f32 * 7.0 - 300.0).collect();
            softmax_rows(Arch::new(), &mut row, width);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(row.iter().all(|x| *x >= 0.0) && row.is_sorted());
        }
    }

    #[test]
    fn a_normed_row_has_mean_zero_and_variance_one() {
        let width = 50;
        let mut row: Vec<f32> = (0..width).map(|x| (x * x) as f32).collect();
        let norm = Norm { scale: vec![1.0; width], shift: vec![0.0; width], epsilon: 1e-12 };
        norm_rows(Arch::new(), &mut row, &norm);
        let mean = row.iter().sum::<f32>() / width as f32;
        let variance = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4);
    }
}
