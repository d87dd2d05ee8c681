//! Search by words and meaning together, over MCP and as a process, and the memory that it takes.
//!
//! Queries are words of stored events; the real model embeds each of them. What they are compared with is described in
//! [`super::chunks`].

use std::time::Duration;

use serde_json::{Value, json};

use super::chunks::embedded;
use super::corpus::{Dice, EVENTS_A_SESSION, start};
use super::database::{Filled, grouped};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::search::of_event;
use super::{Bench, slips, timed};
use crate::Result;
use crate::http::Connection;
use crate::json::{items, text};
use crate::mcp::Call;
use crate::program::Server;

const CHUNKS: u64 = 1_000_000;
const CHUNKS_QUICK: u64 = 20_000;
const FEW: u64 = 100_000;
const FEW_QUICK: u64 = 5_000;
/// Milliseconds.
pub(super) const MOST_HYBRID: f64 = 30.0;
pub(super) const MOST_TEXT: f64 = 20.0;
const MOST_PROCESS: f64 = 40.0;
/// Bytes of the idle server, and of one that searches.
const MOST_IDLE: f64 = 30.0 * 1_048_576.0;
const MOST_MEMORY: f64 = 190.0 * 1_048_576.0;
/// Searches before memory is read.
const SEARCHES: usize = 200;
/// Questions between those that two ways ask.
const APART: usize = 60;
/// A component of seven tenths of all sessions: a filter that the nearest have to be checked by.
const BROAD: &str = "mahavishnu";

/// One query, of words of an event of this project.
pub(super) struct Query {
    pub(super) words: String,
    pub(super) project: String,
}

/// How a query is asked.
pub(super) struct Way {
    pub(super) mode: &'static str,
    pub(super) filter: Option<&'static str>,
    pub(super) most: f64,
}

const WAYS: [Way; 5] = [
    Way { mode: "text", filter: None, most: MOST_TEXT },
    Way { mode: "hybrid", filter: None, most: MOST_HYBRID },
    Way { mode: "text", filter: Some("project"), most: MOST_TEXT },
    Way { mode: "hybrid", filter: Some("project"), most: MOST_HYBRID },
    Way { mode: "hybrid", filter: Some("component"), most: MOST_HYBRID },
];

/// Measures searches over very many chunks, then memory and processes over fewer.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = many(bench)?;
    figures.extend(few(bench)?);
    Ok(figures)
}

/// How many chunks very many are.
pub(crate) fn chunks(bench: &Bench) -> u64 {
    if bench.quick { CHUNKS_QUICK } else { CHUNKS }
}

fn many(bench: &Bench) -> Result<Vec<Figure>> {
    let chunks = chunks(bench);
    let home = embedded(bench, chunks)?;
    let count = bench.runs(300, 20);
    let queries = queries(bench, &home, count);
    let server = Server::start(&bench.built, &home.sandbox)?;
    server.settle()?;
    home.warm()?;
    let mut connection = server.connect()?;
    // The first one loads the model and the codes.
    let (first, found) = timed(|| ask(&mut connection, &queries[0], &WAYS[1]));
    found?;
    let mut times = WAYS.map(|_| Vec::new());
    let mut processor = WAYS.map(|_| Vec::new());
    let mut empty = WAYS.map(|_| 0);
    for index in 0..queries.len() {
        for (number, way) in WAYS.iter().enumerate() {
            // The vectors of the last questions are kept: another way asks another one.
            let query = &queries[(index + number * APART) % queries.len()];
            let before = server.processor_time()?;
            let (time, found) = ask(&mut connection, query, way)?;
            times[number].push(time);
            processor[number].push(server.processor_time()?.saturating_sub(before));
            empty[number] += usize::from(found == 0);
        }
    }
    let work = format!("{count} queries, {} chunks", grouped(chunks));
    let mut figures = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        let within = way.filter.map(|filter| format!(", within one {filter}")).unwrap_or_default();
        let spread = Spread::of_times(&times[number]);
        let what = format!("search over MCP: {}{within}", way.mode);
        let figure = Figure::new(&what, &work, Unit::Milliseconds, spread).limit(Limit::most(At::P95, way.most));
        figures.push(figure.failed_if(empty[number] > 0, || format!("{} found nothing", empty[number])));
        if way.mode != "text" {
            // Search by meaning works in threads of its own, which end with it: their time is not known.
            continue;
        }
        let spread = Spread::of_times(&processor[number]);
        figures.push(Figure::new(format!("processor time of it{within}"), "all threads", Unit::Milliseconds, spread));
    }
    figures.extend(slips::measure(bench, &home, &mut connection)?);
    figures.push(Figure::new(
        "the first hybrid search",
        "with loading",
        Unit::Milliseconds,
        Spread::of_times(&[first]),
    ));
    figures.push(memory(&server, "server: memory after these searches", &work)?);
    server.stop()?;
    Ok(figures)
}

fn few(bench: &Bench) -> Result<Vec<Figure>> {
    let chunks = if bench.quick { FEW_QUICK } else { FEW };
    let home = embedded(bench, chunks)?;
    let queries = queries(bench, &home, SEARCHES);
    let server = Server::start(&bench.built, &home.sandbox)?;
    server.settle()?;
    let shown = format!("{} chunks", grouped(chunks));
    let mut figures = vec![limited(memory(&server, "server: memory, model not loaded", &shown)?, MOST_IDLE)];
    let mut connection = server.connect()?;
    let mut times = Vec::new();
    for query in &queries {
        times.push(ask(&mut connection, query, &WAYS[1])?.0);
    }
    let work = format!("{SEARCHES} queries, {shown}");
    let figure = Figure::new("search over MCP: hybrid", &work, Unit::Milliseconds, Spread::of_times(&times[1..]));
    figures.push(figure.limit(Limit::most(At::P95, MOST_HYBRID)));
    figures.push(limited(memory(&server, "server: memory after hybrid searches", &work)?, MOST_MEMORY));
    let mut times = Vec::new();
    for query in queries.iter().take(bench.runs(100, 5)) {
        times.push(process(bench, &home, query)?);
    }
    let work = format!("{} queries, {shown}", times.len());
    let figure =
        Figure::new("session-buddy search, hybrid, whole process", work, Unit::Milliseconds, Spread::of_times(&times));
    figures.push(figure.limit(Limit::most(At::P95, MOST_PROCESS)));
    server.stop()?;
    Ok(figures)
}

fn memory(server: &Server, what: &str, work: &str) -> Result<Figure> {
    Ok(Figure::new(what, work, Unit::Mebibytes, Spread::of(vec![server.memory()? as f64 / 1_048_576.0])))
}

fn limited(figure: Figure, bytes: f64) -> Figure {
    figure.limit(Limit::most(At::P50, bytes / 1_048_576.0))
}

fn queries(bench: &Bench, home: &Filled, count: usize) -> Vec<Query> {
    let mut dice = Dice::new(0x4d17);
    let one = |_| {
        let (event, words) = of_event(&bench.corpus, home.events(), &mut dice, &|_| true);
        Query { words, project: text(&start(event / EVENTS_A_SESSION)["project"]) }
    };
    (0..count).map(one).collect()
}

/// Asks, and insists on the mode; gives the time and the number of hits.
pub(super) fn ask(connection: &mut Connection, query: &Query, way: &Way) -> Result<(Duration, usize)> {
    let mut arguments = json!({ "query": query.words, "search_type": way.mode, "limit": 10 });
    match way.filter {
        Some("project") => arguments["filters"] = json!({ "project": query.project }),
        Some(filter) => arguments["filters"] = json!({ filter: BROAD }),
        None => {}
    }
    let call = Call::new("search", &arguments);
    let (time, answer) = timed(|| call.send(connection));
    let content = crate::mcp::content(&answer?).map_err(|error| format!("search '{}': {error}", query.words))?;
    let mode: &Value = &content["mode"];
    if mode != way.mode {
        return Err(format!("search '{}' answered by {mode}: {}", query.words, content["note"]).into());
    }
    Ok((time, items(&content["hits"]).len()))
}

fn process(bench: &Bench, home: &Filled, query: &Query) -> Result<Duration> {
    let mut command = home.sandbox.command(&bench.built, "session-buddy");
    command.args(["search", &query.words, "--search-type", "hybrid", "--format", "json"]);
    let (time, output) = timed(|| command.output());
    let output = output?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("search '{}': {}", query.words, String::from_utf8_lossy(&output.stderr)))?;
    if answer["mode"] == "hybrid" { Ok(time) } else { Err(format!("answered by {}", answer["mode"]).into()) }
}
