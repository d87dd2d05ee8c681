//! The nearest of very many vectors: codes from the file, the scan over them, and the stored vectors of what is left,
//! against exact arithmetic over the same vectors.
//!
//! The vectors are made, not measured: clusters of 100 around centres whose numbers fall off as those of real texts do.

use std::fs;
use std::path::Path;

use semantic::index::{Code, Codes, Encoder, cosine};
use session_store::Vectors;
use session_store::sqlite::SqliteVectors;
use session_store::vectors::{NewVector, VectorBatch, VectorModel};

use super::corpus::Dice;
use super::database::remove_older;
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, timed};
use crate::Result;

const DIMENSIONS: usize = 384;
const VECTORS: u64 = 1_000_000;
const VECTORS_QUICK: u64 = 50_000;
const A_CLUSTER: u64 = 100;
/// Vectors that are compared exactly after the scan, as a search does.
const LOOKED_AT: usize = 150;
const WIDE: usize = 8;
const NEAREST: usize = 10;
/// Changes when the vectors or their codes do.
const VERSION: u32 = 2;

/// Measures loading, searching and recall.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let count = if bench.quick { VECTORS_QUICK } else { VECTORS };
    let world = World::new(count);
    let root = bench.folder.join(format!("vectors-{count}-v{VERSION}"));
    let path = root.join("vectors.db");
    let complete = root.join("complete");
    let queries: Vec<Vec<f32>> =
        (0..bench.runs(40, 20) as u64).map(|query| world.vector(query * 7_919 % count, 1)).collect();
    let stored = complete.exists();
    if !stored {
        remove_older(&bench.folder, &format!("vectors-{count}-"))?;
        fs::create_dir_all(&root)?;
    }
    let exact = world.walk(&queries, (!stored).then_some(path.as_path()))?;
    fs::write(&complete, "")?;

    let vectors = SqliteVectors::open(&path)?;
    let generation = vectors.generation(&model())?;
    let load = || -> Result<Codes> {
        let mut codes = Codes::new(DIMENSIONS);
        vectors.codes(generation.id, 0, &mut |_, bytes| {
            for code in bytes.chunks_exact(Code::bytes(DIMENSIONS)) {
                if let Some(code) = Code::read(code, DIMENSIONS) {
                    codes.push(&code);
                }
            }
        })?;
        Ok(codes)
    };
    load()?;
    let (loaded, codes) = timed(load);
    let codes = codes?;
    let encoder = Encoder::new(DIMENSIONS);
    let (mut times, mut scans, mut found) = (Vec::new(), Vec::new(), 0);
    for round in 0..bench.runs(10, 3) {
        for (query, exact) in queries.iter().zip(&exact) {
            let mut scan = std::time::Duration::ZERO;
            let (time, near) = timed(|| -> Result<Vec<u32>> {
                let query = encoder.query(query);
                let (taken, some) = timed(|| codes.nearest(&query, codes.len(), LOOKED_AT, WIDE));
                scan = taken;
                let places: Vec<u32> = some.iter().map(|one| one.place).collect();
                let mut near: Vec<(f32, u32)> = Vec::with_capacity(places.len());
                vectors.stored(generation.id, &places, &mut |index, bytes| {
                    near.extend(cosine(&query, bytes).map(|cosine| (cosine, places[index])));
                })?;
                near.sort_by(|a, b| b.0.total_cmp(&a.0));
                Ok(near.into_iter().take(NEAREST).map(|one| one.1).collect())
            });
            let near = near?;
            if round > 0 {
                times.push(time);
                scans.push(scan);
            }
            found += near.iter().filter(|place| exact.contains(place)).count();
        }
    }
    let all = bench.runs(10, 3) * queries.len() * NEAREST;
    let work = format!("{} queries, {count} vectors of {DIMENSIONS}", times.len());
    let one = |value: f64| Spread::of(vec![value]);
    let full = !bench.quick;
    let limited = |figure: Figure, limit: Limit| if full { figure.limit(limit) } else { figure };
    Ok(vec![
        limited(
            Figure::new("vectors: the ten nearest, warm", &work, Unit::Milliseconds, Spread::of_times(&times)),
            Limit::most(At::P95, 12.0),
        ),
        Figure::new("vectors: of it, the scan", &work, Unit::Milliseconds, Spread::of_times(&scans)),
        Figure::new("vectors: recall of the ten nearest", &work, Unit::Percent, one(100.0 * found as f64 / all as f64))
            .limit(Limit::least(At::P50, 97.0)),
        limited(
            Figure::new("vectors: codes in memory", &work, Unit::Mebibytes, one(codes.bytes() as f64 / 1_048_576.0)),
            Limit::most(At::P50, 100e6 / 1_048_576.0),
        ),
        Figure::new("vectors: load codes from the file", &work, Unit::Milliseconds, Spread::of_times(&[loaded])),
    ])
}

fn model() -> VectorModel {
    VectorModel { name: "made".into(), digest: "made".into(), dimensions: DIMENSIONS, shape: VERSION }
}

/// Vectors by their number, made when they are asked for.
struct World {
    count: u64,
    /// How large the numbers of a vector are, from the first to the last.
    sizes: Vec<f32>,
}

impl World {
    fn new(count: u64) -> Self {
        Self { count, sizes: (1..=DIMENSIONS).map(|at| 1.0 / (at as f32).sqrt()).collect() }
    }

    fn random(&self, seed: u64) -> Vec<f32> {
        let mut dice = Dice::new(seed);
        let mut number =
            || (0..4).map(|_| dice.below(1 << 20) as f32 / f32::from(1_u8 << 7) / 8_192.0 - 0.5).sum::<f32>();
        let mut vector: Vec<f32> = self.sizes.iter().map(|size| size * number()).collect();
        normalise(&mut vector);
        vector
    }

    /// A vector of the cluster of number `number`; `turn` tells queries from what is stored.
    fn vector(&self, number: u64, turn: u64) -> Vec<f32> {
        // Numbers of a cluster are spread over the whole.
        let cluster = number % (self.count / A_CLUSTER).max(1);
        let mut vector = self.random(0xc1_0000_0000 + cluster);
        let own = self.random(0x0e_0000_0000 + turn * 0x1000_0000 + number);
        vector.iter_mut().zip(own).for_each(|(number, own)| *number += own);
        normalise(&mut vector);
        vector
    }

    /// Looks at every vector: the exact nearest of each query, and all of them stored at `path` when there is one.
    fn walk(&self, queries: &[Vec<f32>], path: Option<&Path>) -> Result<Vec<Vec<u32>>> {
        let encoder = Encoder::new(DIMENSIONS);
        let vectors = path.map(SqliteVectors::open).transpose()?;
        let generation = vectors.as_ref().map(|vectors| vectors.generation(&model())).transpose()?;
        let mut nearest: Vec<Vec<(f32, u32)>> = vec![Vec::new(); queries.len()];
        let mut batch = VectorBatch::default();
        for number in 0..self.count {
            let vector = self.vector(number, 0);
            for (query, near) in queries.iter().zip(&mut nearest) {
                let cosine = dot(query, &vector);
                if near.len() < NEAREST || near.last().is_some_and(|last| cosine > last.0) {
                    near.push((cosine, number as u32));
                    near.sort_by(|a, b| b.0.total_cmp(&a.0));
                    near.truncate(NEAREST);
                }
            }
            let (Some(vectors), Some(generation)) = (&vectors, &generation) else { continue };
            let (code, stored) = encoder.encode(&vector);
            let mut bytes = Vec::new();
            code.write(&mut bytes);
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            batch.vectors.push(NewVector { hash, stored, code: bytes });
            if batch.vectors.len() == 20_000 || number + 1 == self.count {
                vectors.append(generation.id, &batch)?;
                batch.vectors.clear();
            }
        }
        Ok(nearest.into_iter().map(|near| near.into_iter().map(|one| one.1).collect()).collect())
    }
}

fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|number| *number /= length);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
