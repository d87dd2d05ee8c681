//! How fast a server starts, and what it holds while nobody asks it anything.

use std::time::Duration;

use super::Bench;
use super::database::filled;
use super::figures::{At, Figure, Limit, Spread, Unit};
use crate::Result;
use crate::program::{Sandbox, Server};

/// Pause before memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Starts servers over an empty and over a filled home, in turns.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let empty = Sandbox::fresh(bench.folder.join("server-home"))?;
    let filled = filled(bench)?;
    let homes = [("empty database", &empty), ("", &filled.sandbox)];
    let rounds = bench.runs(40, 5);
    let mut starts = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for ((_, sandbox), times) in homes.iter().zip(&mut starts) {
            let server = Server::start(&bench.built, sandbox)?;
            // The first round creates the empty home's database and fills the disk's cache.
            if round > 0 {
                times.push(server.started_in);
            }
            server.stop()?;
        }
    }
    let mut figures = Vec::new();
    for ((name, sandbox), times) in homes.iter().zip(&starts) {
        let work = if name.is_empty() { filled.shown() } else { (*name).to_owned() };
        let figure = Figure::new("server: start to first /health", &work, Unit::Milliseconds, Spread::of_times(times));
        figures.push(figure.limit(Limit::most(At::P50, 50.0)).limit(Limit::most(At::P95, 50.0)));
        let server = Server::start(&bench.built, sandbox)?;
        std::thread::sleep(IDLE);
        let memory = Spread::of(vec![server.memory()? as f64 / 1_048_576.0]);
        server.stop()?;
        figures.push(
            Figure::new("server: idle memory (VmRSS)", &work, Unit::Mebibytes, memory)
                .limit(Limit::most(At::P50, 30.0)),
        );
    }
    Ok(figures)
}
