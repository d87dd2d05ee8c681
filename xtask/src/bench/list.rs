//! `session-buddy list-sessions --limit 100` as a whole process, over many sessions and over ten times as many.

use super::database::filled;
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, big, timed};
use crate::Result;
use crate::json::items;
use crate::program::{Sandbox, Server};

/// Milliseconds that a list may take.
const MOST: f64 = 15.0;
/// How much longer it may take over ten times the sessions.
const MOST_GROWTH: f64 = 2.0;

/// Lists in turns: both sizes, with and without a running server.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let filled = filled(bench)?;
    let mut homes = vec![(filled.shown(), &filled.sandbox)];
    let big = if bench.big { Some(big::filled(bench)?) } else { None };
    if let Some(big) = &big {
        homes.push((big.shown(), &big.sandbox));
    }
    let rounds = bench.runs(100, 10);
    let mut figures = Vec::new();
    for served in [false, true] {
        let servers = homes.iter().filter(|_| served).map(|(_, sandbox)| Server::start(&bench.built, sandbox));
        let servers = servers.collect::<Result<Vec<_>>>()?;
        let mut times = vec![Vec::new(); homes.len()];
        for (_, sandbox) in &homes {
            verify(bench, sandbox)?;
        }
        for _ in 0..rounds {
            for ((_, sandbox), times) in homes.iter().zip(&mut times) {
                times.push(list(bench, sandbox)?);
            }
        }
        for server in servers {
            server.stop()?;
        }
        let spreads: Vec<Spread> = times.iter().map(|times| Spread::of_times(times)).collect();
        let with = if served { "server running" } else { "no server" };
        for (number, ((work, _), spread)) in homes.iter().zip(&spreads).enumerate() {
            let what = format!("list-sessions --limit 100, {with}");
            let figure = Figure::new(what, work, Unit::Milliseconds, spread.clone());
            figures.push(if number == 0 { figure.limit(Limit::most(At::P50, MOST)) } else { figure });
        }
        if let [small, large] = &spreads[..] {
            let growth = Spread::of(vec![large.median() / small.median()]);
            let figure = Figure::new(
                format!("list-sessions, ten times the size, {with}"),
                "ratio of medians",
                Unit::Times,
                growth,
            );
            figures.push(figure.limit(Limit::most(At::P50, MOST_GROWTH)));
        }
    }
    Ok(figures)
}

fn list(bench: &Bench, sandbox: &Sandbox) -> Result<std::time::Duration> {
    let mut command = sandbox.command(&bench.built, "session-buddy");
    let (time, output) = timed(|| command.args(["list-sessions", "--limit", "100"]).output());
    let output = output?;
    if !output.status.success() || output.stdout.is_empty() {
        return Err(format!("list-sessions failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(time)
}

/// A list that is fast because it is empty would be no list.
fn verify(bench: &Bench, sandbox: &Sandbox) -> Result {
    let mut command = sandbox.command(&bench.built, "session-buddy");
    let printed = crate::workspace::stdout(command.args(["list-sessions", "--limit", "100", "--format", "json"]))?;
    let value: serde_json::Value = serde_json::from_str(&printed)?;
    let listed = if value.is_array() { items(&value).len() } else { items(&value["sessions"]).len() };
    if listed == 100 { Ok(()) } else { Err(format!("list-sessions gave {listed} of 100 sessions").into()) }
}
