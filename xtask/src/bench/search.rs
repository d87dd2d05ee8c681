//! Text search over MCP on a kept-open connection, and as a whole process.
//!
//! Queries are words of stored events, so that each has at least one complete answer; a query that finds none fails
//! its figure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::corpus::{Corpus, Dice, EVENTS_A_SESSION, FOURTH, TENTH};
use super::database::{Filled, filled};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, timed};
use crate::Result;
use crate::http::Connection;
use crate::json::items;
use crate::mcp::Call;
use crate::program::{Sandbox, Server};

/// Milliseconds for two to four words, and where a word stands in every tenth event.
const MOST: f64 = 20.0;
const MOST_FREQUENT: f64 = 150.0;

/// Queries of one kind.
pub(crate) struct Kind {
    pub(crate) what: &'static str,
    pub(crate) queries: Vec<String>,
    limit: Option<f64>,
}

/// Searches in turns, one of each kind.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let filled = filled(bench)?;
    let count = bench.runs(400, 30);
    let kinds = kinds(&bench.corpus, filled.events(), count);
    let server = Server::start(&bench.built, &filled.sandbox)?;
    let mut connection = server.connect()?;
    filled.warm()?;
    let mut times = vec![Vec::new(); kinds.len()];
    let mut processor = vec![Vec::new(); kinds.len()];
    let mut empty = vec![Vec::new(); kinds.len()];
    for turn in 0..count {
        for (number, kind) in kinds.iter().enumerate() {
            let query = &kind.queries[turn % kind.queries.len()];
            let before = server.processor_time()?;
            let (time, found) = search(&mut connection, query)?;
            times[number].push(time);
            processor[number].push(server.processor_time()?.saturating_sub(before));
            if found == 0 {
                empty[number].push(query.clone());
            }
        }
    }
    let memory = Spread::of(vec![server.memory()? as f64 / 1_048_576.0]);
    let mut figures = Vec::new();
    for ((kind, times), empty) in kinds.iter().zip(&times).zip(&empty) {
        let work = format!("{count} queries, {}", filled.shown());
        let mut figure =
            Figure::new(format!("search over MCP: {}", kind.what), work, Unit::Milliseconds, Spread::of_times(times));
        if let Some(limit) = kind.limit {
            figure = figure.limit(Limit::most(At::P95, limit));
        }
        figures.push(
            figure.failed_if(!empty.is_empty(), || format!("{} found nothing, such as '{}'", empty.len(), empty[0])),
        );
    }
    for (kind, processor) in kinds.iter().zip(&processor) {
        let what = format!("processor time of it: {}", kind.what);
        figures.push(Figure::new(what, "all threads", Unit::Milliseconds, Spread::of_times(processor)));
    }
    figures.push(Figure::new("server: memory after these searches", filled.shown(), Unit::Mebibytes, memory));
    drop(connection);
    figures.push(processes(bench, &filled, &kinds[0], "server running")?);
    server.stop()?;
    figures.push(processes(bench, &filled, &kinds[0], "no server")?);
    Ok(figures)
}

/// Kinds of queries over the first `events` events, `count` of each.
pub(crate) fn kinds(corpus: &Corpus, events: u64, count: usize) -> Vec<Kind> {
    let mut dice = Dice::new(0x5ea2c4);
    let mut many = |make: &mut dyn FnMut(&mut Dice) -> String| (0..count).map(|_| make(&mut dice)).collect::<Vec<_>>();
    let from_event = many(&mut |dice| of_event(corpus, events, dice, &|_| true).1);
    let with_frequent = many(&mut |dice| {
        // One of the most frequent words of this event beside others of it.
        let frequent: BTreeSet<&str> = (0..20).map(|rank| corpus.ranked(rank)).collect();
        loop {
            let query = of_event(corpus, events, dice, &|_| true).1;
            if query.split(' ').any(|word| frequent.contains(word)) {
                return query;
            }
        }
    });
    let only_frequent = many(&mut |dice| {
        let words: BTreeSet<&str> = (0..2 + dice.below(3)).map(|_| corpus.ranked(dice.below(12) as usize)).collect();
        words.into_iter().collect::<Vec<_>>().join(" ")
    });
    let special = many(&mut |dice| {
        of_event(corpus, events, dice, &|word| word.contains(['_', '/', ':']) || word.contains(char::is_uppercase)).1
    });
    let beside = |known: &str, dice: &mut Dice| format!("{known} {}", corpus.ranked(dice.below(2_000) as usize));
    let tenth_beside = many(&mut |dice| beside(TENTH, dice));
    let fourth_beside = many(&mut |dice| beside(FOURTH, dice));
    let kind = |what, queries, limit| Kind { what, queries, limit };
    vec![
        kind("2 to 4 words of an event", from_event, Some(MOST)),
        kind("2 to 4 words, one very frequent", with_frequent, Some(MOST)),
        kind("2 to 4 words, all very frequent", only_frequent, Some(MOST_FREQUENT)),
        kind("identifiers, paths, error codes", special, Some(MOST)),
        kind("a word of every 10th event", vec![TENTH.to_owned()], Some(MOST_FREQUENT)),
        kind("a word of every 10th event and another", tenth_beside, Some(MOST_FREQUENT)),
        kind("a word of every 4th event", vec![FOURTH.to_owned()], None),
        kind("a word of every 4th event and another", fourth_beside, None),
        kind("words of every 10th and every 4th event", vec![format!("{TENTH} {FOURTH}")], Some(MOST_FREQUENT)),
    ]
}

/// Two to four different words of one stored event, the first of which `first` accepts, and the event's number.
pub(crate) fn of_event(corpus: &Corpus, events: u64, dice: &mut Dice, first: &dyn Fn(&str) -> bool) -> (u64, String) {
    loop {
        let event = dice.below(events);
        let place = event % EVENTS_A_SESSION;
        if place == 0 || place == EVENTS_A_SESSION - 1 {
            continue;
        }
        let text = corpus.text(event);
        let words: Vec<&str> = text.split(' ').collect();
        let Some(chosen) = words.iter().find(|word| first(word) && dice.below(3) == 0) else { continue };
        let mut query = vec![*chosen];
        for _ in 0..12 {
            let word = words[dice.below(words.len() as u64) as usize];
            if !query.contains(&word) {
                query.push(word);
            }
            if query.len() as u64 >= 2 + event % 3 {
                return (event, query.join(" "));
            }
        }
    }
}

/// Searches once; gives the time and the number of complete hits.
fn search(connection: &mut Connection, query: &str) -> Result<(Duration, usize)> {
    let call = Call::new("search", &json!({ "query": query, "search_type": "text", "limit": 10 }));
    let (time, answer) = timed(|| call.send(connection));
    let content = crate::mcp::content(&answer?).map_err(|error| format!("search '{query}': {error}"))?;
    let complete = |hit: &&Value| hit["complete"] != false;
    Ok((time, items(&content["hits"]).iter().filter(complete).count()))
}

/// The same queries on the command line, for information.
fn processes(bench: &Bench, filled: &Filled, kind: &Kind, with: &str) -> Result<Figure> {
    let runs = bench.runs(60, 5);
    let times = kind.queries.iter().take(runs).map(|query| process(bench, &filled.sandbox, query));
    let times = times.collect::<Result<Vec<_>>>()?;
    let what = format!("session-buddy search, whole process, {with}");
    Ok(Figure::new(what, format!("{runs} queries, {}", kind.what), Unit::Milliseconds, Spread::of_times(&times)))
}

fn process(bench: &Bench, sandbox: &Sandbox, query: &str) -> Result<Duration> {
    let mut command = sandbox.command(&bench.built, "session-buddy");
    let (time, output) = timed(|| command.args(["search", query]).output());
    let output = output?;
    if output.status.success() { Ok(time) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}
