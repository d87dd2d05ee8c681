//! The store alone, in this process, for information: what of a figure is the store's, and what the transport's.

use std::sync::Arc;

use oneiric::clock::SystemClock;
use session_store::sqlite::{Options, SqliteStore};
use session_store::{SearchRequest, Store, Unknown};

use super::database::{database, filled};
use super::figures::{Figure, Spread, Unit};
use super::ingest::{begin, session, store};
use super::raw::{Raw, rows};
use super::{Bench, search, timed};
use crate::Result;
use crate::program::Sandbox;

/// Searches and stores without a server.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = searches(bench)?;
    figures.extend(ingestion(bench)?);
    Ok(figures)
}

fn searches(bench: &Bench) -> Result<Vec<Figure>> {
    let filled = filled(bench)?;
    let count = bench.runs(400, 30);
    let store = SqliteStore::open(&database(&filled.sandbox), Options::new(Arc::new(SystemClock)))?;
    filled.warm()?;
    let mut figures = Vec::new();
    for kind in search::kinds(&bench.corpus, filled.events(), count) {
        let mut times = Vec::new();
        for turn in 0..count {
            let query = &kind.queries[turn % kind.queries.len()];
            let (time, answer) = timed(|| store.search(&SearchRequest::text(query), None));
            answer?;
            times.push(time);
        }
        let what = format!("search in the store: {}", kind.what);
        figures.push(Figure::new(what, format!("{count} queries"), Unit::Milliseconds, Spread::of_times(&times)));
    }
    Ok(figures)
}

fn ingestion(bench: &Bench) -> Result<Vec<Figure>> {
    let batch = 1_000;
    let events = bench.runs(20_000, 4_000) as u64;
    let sandbox = Sandbox::fresh(bench.folder.join("store-home"))?;
    let (ours, copy) = (sandbox.root().join("ours.db"), sandbox.root().join("raw.db"));
    let (session, number) = session(90)?;
    let start = [begin(&session, number)?];
    store(&ours, &start)?;
    store(&copy, &start)?;
    let ours = SqliteStore::open(&ours, Options::new(Arc::new(SystemClock)))?;
    let mut raw = Raw::open(&copy)?;
    let (mut rates, mut raw_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.runs(9, 2) as u64 {
        let first = round * events;
        let batches =
            (first..first + events).step_by(batch).map(|at| bench.corpus.commands(&session, at, batch as u64));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let donor = sandbox.root().join(format!("donor{round}.db"));
        store(&donor, &batches)?;
        let copied = rows(&donor)?;
        let (time, done) = timed(|| {
            batches.iter().try_for_each(|batch| ours.ingest(std::slice::from_ref(batch), Unknown::Refuse).map(drop))
        });
        done?;
        let (raw_time, done) = timed(|| raw.insert(&copied, batch));
        done?;
        rates.push(events as f64 / time.as_secs_f64());
        raw_rates.push(events as f64 / raw_time.as_secs_f64());
        ratios.push(100.0 * raw_time.as_secs_f64() / time.as_secs_f64());
    }
    let work = format!("{} turns of {events} events in batches of {batch}", rates.len());
    let figure = |what, unit, samples| Figure::new(what, &work, unit, Spread::of(samples));
    Ok(vec![
        figure("ingest in the store", Unit::EventRate, rates),
        figure("raw SQLite", Unit::EventRate, raw_rates),
        figure("ingest in the store / raw", Unit::Percent, ratios),
    ])
}
