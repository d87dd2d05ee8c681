//! The model itself: token ids in, one vector a text out. Texts of a batch lie one after the other without padding, so that
//! every product works on all their tokens at once; only attention goes text by text.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use oneiric::fault::Result;
use pulp::Arch;

use super::loops::{Norm, add_and_norm, add_bias, bias_gelu, norm_rows, softmax_rows};
use super::product::{Linear, Weights};
use super::weights::Embeddings;

/// Sizes that a model's weights agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) vocabulary: usize,
    pub(super) positions: usize,
}

/// One layer: attention, then the feed-forward half.
pub(super) struct Layer {
    /// Queries, keys and values in one map.
    pub(super) qkv: Linear,
    pub(super) qkv_bias: Vec<f32>,
    pub(super) out: Linear,
    pub(super) out_bias: Vec<f32>,
    pub(super) out_norm: Norm,
    pub(super) up: Linear,
    pub(super) up_bias: Vec<f32>,
    pub(super) down: Linear,
    pub(super) down_bias: Vec<f32>,
    pub(super) down_norm: Norm,
}

/// A BERT encoder with mean pooling.
pub(super) struct Encoder {
    pub(super) shape: Shape,
    pub(super) embeddings: Embeddings,
    pub(super) layers: Vec<Layer>,
}

/// Working memory of one pass, kept from pass to pass.
#[derive(Default)]
pub(super) struct Workspace {
    x: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    y: Vec<f32>,
    inner: Vec<f32>,
    scores: Vec<f32>,
}

impl Encoder {
    /// Bytes of weights in memory.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(|l| l.qkv.bytes() + l.out.bytes() + l.up.bytes() + l.down.bytes()).sum::<usize>()
            + self.embeddings.bytes()
    }

    /// One vector of length 1 a text. Each text has 1 to `positions` ids below `vocabulary`.
    ///
    /// # Errors
    /// `Unavailable` when the word vectors cannot be read from the model's file.
    pub(super) fn run(&self, texts: &[&[u32]], work: &mut Workspace, weights: Weights) -> Result<Vec<Vec<f32>>> {
        let arch = Arch::new();
        let Shape { width, inner, .. } = self.shape;
        let rows: usize = texts.iter().map(|ids| ids.len()).sum();
        for (buffer, columns) in [
            (&mut work.x, width),
            (&mut work.qkv, 3 * width),
            (&mut work.context, width),
            (&mut work.y, width),
            (&mut work.inner, inner),
        ] {
            buffer.resize(rows * columns, 0.0);
        }
        self.embeddings.fill(texts, &mut work.x)?;
        norm_rows(arch, &mut work.x, &self.embeddings.norm);
        for layer in &self.layers {
            layer.qkv.apply(&work.x, &mut work.qkv, weights);
            add_bias(arch, &mut work.qkv, &layer.qkv_bias);
            self.attend(arch, texts, work);
            layer.out.apply(&work.context, &mut work.y, weights);
            add_and_norm(arch, &mut work.x, &work.y, &layer.out_bias, &layer.out_norm);
            layer.up.apply(&work.x, &mut work.inner, weights);
            bias_gelu(arch, &mut work.inner, &layer.up_bias);
            layer.down.apply(&work.inner, &mut work.y, weights);
            add_and_norm(arch, &mut work.x, &work.y, &layer.down_bias, &layer.down_norm);
        }
        Ok(pool(texts, &work.x, width))
    }

    /// `context = softmax(q k / sqrt(d)) v` for every text and head.
    fn attend(&self, arch: Arch, texts: &[&[u32]], work: &mut Workspace) {
        let width = self.shape.width;
        let size = width / self.shape.heads;
        let scale = 1.0 / (size as f32).sqrt();
        let mut first = 0;
        for ids in texts {
            let rows = ids.len();
            let qkv = &work.qkv[first * 3 * width..][..rows * 3 * width];
            let qkv = MatRef::from_row_major_slice(qkv, rows, 3 * width);
            let context = &mut work.context[first * width..][..rows * width];
            let mut context = MatMut::from_row_major_slice_mut(context, rows, width);
            work.scores.resize(rows * rows, 0.0);
            for head in 0..self.shape.heads {
                let part = |which: usize| qkv.subcols(which * width + head * size, size);
                let scores = MatMut::from_row_major_slice_mut(&mut work.scores, rows, rows);
                matmul(scores, Accum::Replace, part(0), part(1).transpose(), scale, Par::Seq);
                softmax_rows(arch, &mut work.scores, rows);
                let scores = MatRef::from_row_major_slice(&work.scores, rows, rows);
                let strip = context.as_mut().subcols_mut(head * size, size);
                matmul(strip, Accum::Replace, scores, part(2), 1.0, Par::Seq);
            }
            first += rows;
        }
    }
}

/// The mean of each text's rows, at length 1.
fn pool(texts: &[&[u32]], x: &[f32], width: usize) -> Vec<Vec<f32>> {
    let mut rows = x.chunks_exact(width);
    texts
        .iter()
        .map(|ids| {
            let mut mean = vec![0.0_f32; width];
            for row in rows.by_ref().take(ids.len()) {
                for (total, value) in mean.iter_mut().zip(row) {
                    *total += value;
                }
            }
            crate::embedder::to_unit_length(&mut mean);
            mean
        })
        .collect()
}
