//! What a session's brief and the analytics cost over the large database, as processes beside a running server.

use super::corpus::{Dice, id};
use super::database::filled;
use super::figures::{Figure, Spread, Unit};
use super::{Bench, timed};
use crate::Result;
use crate::program::Server;

/// All sessions of the database are younger than this.
const ALL: &str = "3650d";
const WHATS: [&str; 6] = ["sessions", "duration", "components", "errors", "active", "report"];

/// Measures each in turns.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let filled = filled(bench)?;
    let server = Server::start(&bench.built, &filled.sandbox)?;
    filled.warm()?;
    let run = |arguments: &[&str]| {
        let mut command = filled.sandbox.command(&bench.built, "session-buddy");
        let (time, output) = timed(|| command.args(arguments).output());
        let output = output?;
        if output.status.success() && !output.stdout.is_empty() {
            return Ok(time);
        }
        Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    };
    let mut dice = Dice::new(0xb21ef);
    let mut figures = Vec::new();
    let briefs = (0..bench.runs(60, 5)).map(|_| run(&["resume", &id(dice.below(filled.sessions), 0)]));
    let briefs = briefs.collect::<Result<Vec<_>>>()?;
    let work = format!("{} sessions of {}", briefs.len(), filled.shown());
    figures.push(Figure::new("resume, whole process", work, Unit::Milliseconds, Spread::of_times(&briefs)));
    let mut times = WHATS.map(|_| Vec::new());
    for _ in 0..bench.runs(8, 2) {
        for (what, times) in WHATS.iter().zip(&mut times) {
            times.push(run(&["analytics", what, "--range", ALL])?);
        }
    }
    for (what, times) in WHATS.iter().zip(&times) {
        let name = format!("analytics {what}, whole process");
        let work = format!("over all of {}", filled.shown());
        figures.push(Figure::new(name, work, Unit::Milliseconds, Spread::of_times(times)));
    }
    server.stop()?;
    Ok(figures)
}
