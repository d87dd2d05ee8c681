//! Storing events while very many texts wait and are embedded, beside the same without.
//!
//! Both are the same home and the same client, in turns: one server that is told not to search by meaning, one that is.

use std::fs;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};

use super::chunks::waiting;
use super::database::{database, grouped};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::pace::Client;
use super::{Bench, hybrid};
use crate::Result;
use crate::program::Server;

/// How much longer the slowest hundredth may take.
const MOST: f64 = 2.0;
/// Rounds of two turns.
const ROUNDS: usize = 4;
const ROUNDS_QUICK: usize = 1;
const TURN: Duration = Duration::from_secs(10);
const TURN_QUICK: Duration = Duration::from_secs(3);
/// Processor time that shows that texts are embedded.
const AT_WORK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

/// Stores in turns.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let chunks = hybrid::chunks(bench);
    let home = waiting(bench, chunks)?;
    let turn = if bench.quick { TURN_QUICK } else { TURN };
    let mut client = Client::new(&bench.corpus, 700)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut spent, mut elapsed) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..bench.runs(ROUNDS, ROUNDS_QUICK) {
        for embedding in [false, true] {
            let enabled = if embedding { "true" } else { "false" };
            let settings = [("SESSION_BUDDY_SEMANTIC_SEARCH__ENABLED", enabled)];
            let server = Server::start_with(&bench.built, &home.sandbox, &settings)?;
            let begin = SystemClock.monotonic();
            if embedding {
                at_work(&server)?;
            } else {
                server.settle()?;
            }
            let before = server.processor_time()?;
            let begin = begin.max(SystemClock.monotonic());
            let times = client.store(&server, &|| SystemClock.monotonic().saturating_sub(begin) > turn)?;
            if embedding {
                spent += server.processor_time()?.saturating_sub(before);
                elapsed += SystemClock.monotonic().saturating_sub(begin);
                beside.extend(times);
            } else {
                alone.extend(times);
            }
            server.stop()?;
        }
    }
    let vectors = database(&home.sandbox).with_file_name("vectors.db");
    let made = fs::metadata(&vectors).map_or(0, |file| file.len());
    let busy = 100.0 * spent.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
    let (alone, beside) = (Spread::of_times(&alone), Spread::of_times(&beside));
    let ratio = Spread::of(vec![beside.percentile(99) / alone.percentile(99)]);
    let work = format!("ten events every 20 ms, {} chunks wait", grouped(chunks));
    let figure = |what: &str, unit, spread| Figure::new(what, &work, unit, spread);
    Ok(vec![
        figure("track_events, nothing is embedded", Unit::Milliseconds, alone),
        figure("track_events while texts are embedded", Unit::Milliseconds, beside),
        figure("track_events: p99 while embedding / p99 without", Unit::Times, ratio)
            .limit(Limit::most(At::P50, MOST))
            .failed_if(made == 0, || "nothing was embedded".into()),
        figure("processor time of the server while embedding", Unit::Percent, Spread::of(vec![busy])),
    ])
}

fn at_work(server: &Server) -> Result {
    let begin = SystemClock.monotonic();
    while SystemClock.monotonic().saturating_sub(begin) < PATIENCE {
        if server.processor_time()? > AT_WORK {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("nothing is embedded after {PATIENCE:?}").into())
}
