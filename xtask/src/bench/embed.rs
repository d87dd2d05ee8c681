//! Texts to vectors, beside the machine's own limit: the plain matrix products of the same shapes, in turns.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use semantic::{ModelSettings, models, open};

use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, timed};
use crate::Result;
use crate::program::target;

/// Share of the machine's products that embedding has to reach, in percent.
const LEAST_SHARE: f64 = 40.0;
/// Milliseconds for a question of eight words.
const MOST_QUERY: f64 = 5.0;
/// Inputs and outputs of a layer's products, and layers.
const SHAPES: [(usize, usize); 4] = [(384, 1_152), (384, 384), (384, 1_536), (1_536, 384)];
const LAYERS: usize = 6;
/// Rows of one product, as the model works.
const ROWS: usize = 512;
const THREADS: usize = 2;

/// Short, usual and long texts; each in turns with products of as many rows.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let name = models::KNOWN[0].name;
    let folder = bench.folder.join("models");
    if models::find(&folder, name).is_err() {
        models::import(&folder, name, &package()?, false, &mut |_, _, _| ())?;
    }
    let rounds = bench.runs(15, 3);
    let mut figures = Vec::new();
    let (time, model) = timed(|| open(&ModelSettings::local(name), &folder));
    let model = model?;
    let (first, found) = timed(|| model.embed_query("where was the linker error"));
    found?;
    let load = Spread::of_times(&[time + first]);
    figures.push(Figure::new("embedding: first question, with loading", name, Unit::Milliseconds, load));

    let question = "how did we fix the flaky linker test";
    let mut times = Vec::new();
    for _ in 0..bench.runs(300, 30) {
        let (time, found) = timed(|| model.embed_query(question));
        found?;
        times.push(time);
    }
    let figure =
        Figure::new("embedding: a question of eight words", name, Unit::Milliseconds, Spread::of_times(&times));
    figures.push(figure.limit(Limit::most(At::P50, MOST_QUERY)));

    for (words, texts, limited) in [(18, 200, false), (120, 32, true), (240, 16, false)] {
        let text = vec!["word"; words].join(" ");
        let texts = vec![text.as_str(); texts];
        let tokens = (words + 2) * texts.len();
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (time, found) = timed(|| model.embed(&texts));
            found?;
            let limit = plain(tokens) / tokens as f64;
            let spent = time.as_secs_f64() / tokens as f64;
            shares.push(100.0 * limit / spent);
            rates.push(work(1) as f64 / spent / 1e9);
        }
        let what = format!("{} texts of {} word pieces", texts.len(), words + 2);
        let share = Figure::new("embedding: share of plain products", &what, Unit::Percent, Spread::of(shares));
        figures.push(if limited { share.limit(Limit::least(At::P50, LEAST_SHARE)) } else { share });
        figures.push(Figure::new("embedding: speed", what, Unit::Gigaflops, Spread::of(rates)));
    }
    Ok(figures)
}

/// Multiplications and additions of the linear maps for so many tokens.
fn work(tokens: usize) -> usize {
    2 * LAYERS * tokens * SHAPES.iter().map(|(inputs, outputs)| inputs * outputs).sum::<usize>()
}

/// Seconds that the products of so many tokens take by themselves, on as many threads.
fn plain(tokens: usize) -> f64 {
    let passes = tokens.div_ceil(ROWS * THREADS);
    let matrices: Vec<_> = SHAPES
        .iter()
        .map(|(inputs, outputs)| {
            let number = |row: usize, column: usize| ((row * 31 + column * 17) % 97) as f32 / 97.0;
            (Mat::from_fn(ROWS, *inputs, number), Mat::from_fn(*inputs, *outputs, number), *outputs)
        })
        .collect();
    let one = || {
        let mut spent = Duration::ZERO;
        for (x, weights, outputs) in &matrices {
            let mut y = Mat::<f32>::zeros(ROWS, *outputs);
            let (time, ()) = timed(|| {
                for _ in 0..passes * LAYERS {
                    matmul(&mut y, Accum::Replace, x, weights, 1.0, Par::Seq);
                }
            });
            spent += time;
        }
        spent
    };
    let spent = thread::scope(|scope| {
        let other = scope.spawn(one);
        one().max(other.join().unwrap_or_default())
    });
    spent.as_secs_f64() * tokens as f64 / (passes * ROWS * THREADS) as f64
}

/// The package that holds the model: as `scripts/test` has it.
pub(crate) fn package() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("TESTKIT_MODEL") {
        return Ok(named.into());
    }
    let folder = target()?.join("model");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "whl"));
    found.ok_or_else(|| format!("no model in {}; set TESTKIT_MODEL, or run scripts/test once", folder.display()).into())
}
