//! A client's stay over HTTP: when it was heard of last, and by which processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::process::{Liveness, ProcessIdentity};
use oneiric_server::http::{caller, folder_of};

use super::visit::Visit;

/// Processes of one client that are remembered.
const MOST_PROCESSES: usize = 16;
/// A caller whose process is gone may be a script that calls again in a moment, by another process.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// A visit that ends when its client falls silent.
pub(super) struct Stay {
    pub(super) visit: Arc<Visit>,
    /// By both clocks.
    last: (Timestamp, Duration),
    /// Processes that called; `None` once one called that is not known.
    processes: Option<Vec<ProcessIdentity>>,
}

impl Stay {
    /// Begins now, with nobody known yet.
    pub(super) fn new(visit: Arc<Visit>, clock: &dyn Clock) -> Self {
        Self { visit, last: (clock.now(), clock.monotonic()), processes: Some(Vec::new()) }
    }

    /// The client is heard of.
    pub(super) fn heard(&mut self, clock: &dyn Clock) {
        self.last = (clock.now(), clock.monotonic());
    }

    /// It is heard of by `process`, which may be new.
    pub(super) fn heard_by(&mut self, process: Option<ProcessIdentity>, clock: &dyn Clock) {
        self.heard(clock);
        match (&mut self.processes, process) {
            (Some(all), Some(process)) if !all.contains(&process) => {
                if all.len() >= MOST_PROCESSES {
                    all.retain(|process| process.liveness(true) != Liveness::Gone);
                }
                // More than that at once: time alone tells when they are gone.
                if all.len() >= MOST_PROCESSES {
                    self.processes = None;
                } else {
                    all.push(process);
                }
            }
            (Some(_), Some(_)) | (None, _) => {}
            (processes, None) => *processes = None,
        }
    }

    /// Time since it was heard of.
    pub(super) fn silent(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last.1)
    }

    /// Whether all its processes are gone, and no other one called for a while; `idle` is the longest such while.
    pub(super) fn is_gone(&self, now: Duration, idle: Duration) -> bool {
        self.silent(now) >= GONE_LIMIT.min(idle) && self.liveness() == Liveness::Gone
    }

    /// Whether one of its processes is there.
    pub(super) fn is_alive(&self) -> bool {
        self.liveness() == Liveness::Alive
    }

    fn liveness(&self) -> Liveness {
        let Some(all) = self.processes.as_ref().filter(|all| !all.is_empty()) else { return Liveness::Unknown };
        let gone = all.iter().all(|process| process.liveness(true) == Liveness::Gone);
        if gone { Liveness::Gone } else { Liveness::Alive }
    }

    /// Ends it at the time it was heard of last.
    pub(super) fn end(&self, reason: &str) {
        self.visit.end(reason, Some(self.last));
    }

    /// Ends it because its connection ended: now, unless the client must have been gone before.
    pub(super) fn end_with_connection(&self, reason: &str, now: Duration, idle: Duration) {
        let before = match self.liveness() {
            Liveness::Alive => false,
            Liveness::Gone => true,
            Liveness::Unknown => self.silent(now) >= idle,
        };
        if before { self.end(reason) } else { self.visit.end(reason, None) }
    }
}

/// The process that calls from `peer`, and the folder in which it works, where the kernel tells. To be asked before the
/// call is answered: a process that makes one call is gone when it has its answer.
pub(super) async fn process_at(peer: SocketAddr) -> (Option<ProcessIdentity>, Option<PathBuf>) {
    let asked = tokio::task::spawn_blocking(move || {
        caller(peer).map(|pid| (ProcessIdentity::of(pid), folder_of(pid))).unwrap_or_default()
    });
    asked.await.unwrap_or_default()
}
