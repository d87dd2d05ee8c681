//! Batch ingestion through the MCP tool `track_events`, beside raw SQLite inserts in the same run.
//!
//! Both store the same events in batches of the same size, one transaction a batch, in databases of their own that grow
//! alike. They take turns, and the ratio is taken within each turn.

use std::path::Path;
use std::sync::{Arc, Barrier};

use oneiric::clock::SystemClock;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::id::{EventId, SessionId};
use rusqlite::Connection;
use serde_json::Value;
use session_store::sqlite::{Options, SqliteStore};
use session_store::{Store, Unknown};

use super::corpus::{id, start, time};
use super::database::{database, grouped};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::raw::{Raw, Row, rows};
use super::{Bench, timed};
use crate::Result;
use crate::mcp::Call;
use crate::program::{Sandbox, Server};

/// Percent of raw inserts that ingestion has to reach.
const LEAST: f64 = 40.0;

/// Clients at the same time, and events of a batch.
const SHAPES: [(usize, usize); 4] = [(1, 500), (1, 1000), (4, 500), (4, 1000)];

/// Number of the first session, beyond those of the filled database.
const FIRST_SESSION: u64 = 5_000_000;

/// Clients with their server and its counterpart.
struct Contest<'b> {
    bench: &'b Bench,
    clients: Vec<SessionId>,
    batch: usize,
    sandbox: Sandbox,
    server: Server,
    raw: Raw,
    /// Events that each client has sent.
    sent: u64,
}

/// What one turn gave, in events a second.
struct Turn {
    mcp: f64,
    raw: f64,
}

/// Lets every shape take its turn, round after round.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let events = bench.runs(20_000, 4_000);
    let rounds = bench.runs(9, 2);
    let mut contests = Vec::new();
    for (number, (clients, batch)) in SHAPES.into_iter().enumerate() {
        contests.push(Contest::prepare(bench, number as u64, clients, batch)?);
    }
    let mut turns: Vec<Vec<Turn>> = SHAPES.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contest, turns) in contests.iter_mut().zip(&mut turns) {
            let turn = contest.turn(events, round % 2 == 0)?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let mut figures = Vec::new();
    for (contest, turns) in contests.into_iter().zip(turns) {
        figures.extend(contest.finish(&turns)?);
    }
    Ok(figures)
}

impl<'b> Contest<'b> {
    fn prepare(bench: &'b Bench, number: u64, clients: usize, batch: usize) -> Result<Self> {
        let sandbox = Sandbox::fresh(bench.folder.join(format!("ingest-home-{number}")))?;
        let sessions = (0..clients as u64).map(|client| session(number * 10 + client)).collect::<Result<Vec<_>>>()?;
        let begins = sessions.iter().map(|(id, number)| begin(id, *number)).collect::<Result<Vec<_>>>()?;
        let clients = sessions.into_iter().map(|(id, _)| id).collect();
        let copy = sandbox.root().join("raw.db");
        store(&copy, &begins)?;
        let server = Server::start(&bench.built, &sandbox)?;
        let mut connection = server.connect()?;
        for begin in &begins {
            deliver(&Call::new("track_events", &serde_json::to_value(begin)?), &mut connection, 1)?;
        }
        Ok(Self { bench, clients, batch, sandbox, server, raw: Raw::open(&copy)?, sent: 0 })
    }

    /// Stores `events` both ways.
    fn turn(&mut self, events: usize, mcp_first: bool) -> Result<Turn> {
        let each = events / self.clients.len() / self.batch;
        let mut batches = Vec::new();
        for number in 0..each {
            for client in &self.clients {
                let first = self.sent + (number * self.batch) as u64;
                batches.push(self.bench.corpus.commands(client, first, self.batch as u64)?);
            }
        }
        self.sent += (each * self.batch) as u64;
        let rows = self.rows(&batches)?;
        let events = rows.len() as f64;
        let (mcp, raw) = if mcp_first {
            let mcp = self.by_mcp(&batches)?;
            (mcp, self.by_hand(&rows)?)
        } else {
            let raw = self.by_hand(&rows)?;
            (self.by_mcp(&batches)?, raw)
        };
        Ok(Turn { mcp: events / mcp, raw: events / raw })
    }

    /// What ingestion makes of these batches.
    fn rows(&self, batches: &[EventBatch]) -> Result<Vec<Row>> {
        let donor = Sandbox::fresh(self.sandbox.root().join("donor"))?;
        let path = donor.root().join("donor.db");
        store(&path, batches)?;
        rows(&path)
    }

    fn by_hand(&mut self, rows: &[Row]) -> Result<f64> {
        let (taken, done) = timed(|| self.raw.insert(rows, self.batch));
        done?;
        Ok(taken.as_secs_f64())
    }

    /// Every client sends its own batches, all at once; requests are written out before the clock runs.
    fn by_mcp(&self, batches: &[EventBatch]) -> Result<f64> {
        let mut calls: Vec<Vec<Call>> = self.clients.iter().map(|_| Vec::new()).collect();
        for (number, batch) in batches.iter().enumerate() {
            calls[number % self.clients.len()].push(Call::new("track_events", &serde_json::to_value(batch)?));
        }
        let gate = Arc::new(Barrier::new(self.clients.len() + 1));
        let (server, events) = (&self.server, self.batch);
        let (taken, sent) = std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for calls in &calls {
                let gate = Arc::clone(&gate);
                senders.push(scope.spawn(move || {
                    let connection = server.connect();
                    gate.wait();
                    let mut connection = connection?;
                    calls.iter().try_for_each(|call| deliver(call, &mut connection, events))
                }));
            }
            gate.wait();
            timed(|| {
                let ended = senders.into_iter().map(|sender| sender.join().map_err(|_| "a client panicked")?);
                ended.collect::<Result<Vec<()>>>()
            })
        });
        sent?;
        Ok(taken.as_secs_f64())
    }

    fn finish(self, turns: &[Turn]) -> Result<Vec<Figure>> {
        self.server.stop()?;
        let stored: u64 = Connection::open(database(&self.sandbox))?
            .query_row("SELECT count(*) FROM session_events WHERE event_type = 'command'", [], |row| {
                row.get::<_, i64>(0)
            })?
            .try_into()?;
        let wanted = self.sent * self.clients.len() as u64;
        let shape = format!(
            "{} client{}, batches of {}",
            self.clients.len(),
            if self.clients.len() == 1 { "" } else { "s" },
            self.batch
        );
        let work = format!("{} turns, {} events stored", turns.len(), grouped(stored));
        let rate = |what: &str, of: fn(&Turn) -> f64| {
            Figure::new(format!("{what}: {shape}"), &work, Unit::EventRate, Spread::of(turns.iter().map(of).collect()))
        };
        let ratio = Spread::of(turns.iter().map(|turn| 100.0 * turn.mcp / turn.raw).collect());
        let figure = Figure::new(format!("track_events / raw: {shape}"), &work, Unit::Percent, ratio)
            .limit(Limit::least(At::P50, LEAST))
            .failed_if(stored != wanted, || format!("{stored} of {wanted} events stored"));
        Ok(vec![rate("track_events", |turn| turn.mcp), rate("raw SQLite", |turn| turn.raw), figure])
    }
}

/// A session beyond those of the filled database, and its number.
pub(crate) fn session(place: u64) -> Result<(SessionId, u64)> {
    let number = FIRST_SESSION + place;
    Ok((SessionId::parse(id(number, 0))?, number))
}

/// A batch that starts a session.
pub(crate) fn begin(session: &SessionId, number: u64) -> Result<EventBatch> {
    let Value::Object(data) = start(number) else { return Err("a start is an object".into()) };
    let event = Event {
        event_id: EventId::parse(format!("{session}-start"))?,
        event_type: EventType::known(EventType::SESSION_START),
        timestamp: time(number, 0),
        sequence: Some(0),
        data,
    };
    Ok(EventBatch { session_id: session.clone(), events: vec![event] })
}

/// Stores batches in a database file through the store.
pub(crate) fn store(path: &Path, batches: &[EventBatch]) -> Result {
    SqliteStore::open(path, Options::new(Arc::new(SystemClock)))?.ingest(batches, Unknown::Open)?;
    Ok(())
}

/// Sends a call and insists that all its events were stored.
fn deliver(call: &Call, connection: &mut crate::http::Connection, events: usize) -> Result {
    let receipt = call.content(connection)?;
    if receipt["accepted"] == events { Ok(()) } else { Err(format!("of {events} events: {receipt}").into()) }
}
