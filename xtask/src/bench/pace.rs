//! A client that stores ten events every twenty milliseconds, as a busy machine's shells and agents do together, and how
//! long each call takes it.

use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::id::SessionId;

use super::corpus::Corpus;
use super::ingest::{begin, session};
use super::{Spread, timed};
use crate::Result;
use crate::http::Connection;
use crate::mcp::Call;
use crate::program::Server;

/// Events of a call.
const EVENTS: u64 = 10;
/// From the begin of one call to the begin of the next.
const EVERY: Duration = Duration::from_millis(20);

/// The client.
pub(crate) struct Client<'b> {
    corpus: &'b Corpus,
    session: SessionId,
    number: u64,
    sent: u64,
    begun: bool,
}

impl<'b> Client<'b> {
    /// One with a session of its own, told from others by `place`.
    pub(crate) fn new(corpus: &'b Corpus, place: u64) -> Result<Self> {
        let (session, number) = session(place)?;
        Ok(Self { corpus, session, number, sent: 0, begun: false })
    }

    /// Stores events until `over`; the time of each call. A call whose events are not all stored is an error.
    pub(crate) fn store(&mut self, server: &Server, over: &dyn Fn() -> bool) -> Result<Vec<Duration>> {
        let mut connection = server.connect()?;
        if !self.begun {
            self.begun = true;
            let call = Call::new("track_events", &serde_json::to_value(begin(&self.session, self.number)?)?);
            call.content(&mut connection)?;
        }
        let mut times = Vec::new();
        let mut next = SystemClock.monotonic();
        while !over() {
            times.push(self.call(&mut connection)?);
            // After a long call the missed ones are not made up for: that would measure a queue.
            next = (next + EVERY).max(SystemClock.monotonic());
            std::thread::sleep(next.saturating_sub(SystemClock.monotonic()));
        }
        Ok(times)
    }

    fn call(&mut self, connection: &mut Connection) -> Result<Duration> {
        let batch = self.corpus.commands(&self.session, self.sent, EVENTS)?;
        self.sent += EVENTS;
        let call = Call::new("track_events", &serde_json::to_value(batch)?);
        let (time, receipt) = timed(|| call.content(connection));
        let receipt = receipt?;
        if receipt["accepted"] == EVENTS { Ok(time) } else { Err(format!("of {EVENTS} events: {receipt}").into()) }
    }
}

/// The longest time, in milliseconds.
pub(crate) fn longest(times: &[Duration]) -> Spread {
    Spread::of(times.iter().max().map(|time| time.as_secs_f64() * 1e3).into_iter().collect())
}
