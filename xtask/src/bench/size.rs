//! How large the programs are.

use super::Bench;
use super::figures::{At, Figure, Limit, Spread, Unit};
use crate::Result;
use crate::program::PROGRAMS;

/// Mebibytes that a program may have.
const MOST: f64 = 30.0;

/// Looks at the files.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for program in PROGRAMS {
        let bytes = std::fs::metadata(bench.built.path(program))?.len();
        let spread = Spread::of(vec![bytes as f64 / 1_048_576.0]);
        let figure = Figure::new(format!("binary {program}"), "release, stripped", Unit::Mebibytes, spread);
        figures.push(figure.limit(Limit::most(At::P50, MOST)));
    }
    Ok(figures)
}
