//! Clients without a connection: who calls again is known by its program, its token, its address and its folder.
//!
//! A stay lasts while calls come. It ends when none came for the idle time, or sooner when the calling process is gone; the
//! session's end is then the time of the last call.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::process::{Liveness, ProcessIdentity};
use oneiric_client::CLIENT_NAME;
use oneiric_server::http::{ConnectionId, caller, folder_of};
use oneiric_server::mcp::{Arrival, Connection, Passer};

use super::visit::Visit;
use super::{Visitors, locked};

/// Clients at once. One beyond them gets no session.
const MOST_STAYS: usize = 1_000;
/// Connections whose callers are remembered.
const MOST_CONNECTIONS: usize = 4_096;
/// Processes of one client that are remembered.
const MOST_PROCESSES: usize = 16;
/// A caller whose process is gone may be a script that calls again in a moment, by another process.
const GONE_LIMIT: Duration = Duration::from_secs(10);
/// How often stays are looked at while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All stays.
#[derive(Default)]
pub(super) struct Passing(Mutex<State>);

#[derive(Default)]
struct State {
    stays: HashMap<Key, Stay>,
    /// Who called by which connection before. A connection belongs to one process, an address to one after the other.
    connections: HashMap<ConnectionId, Key>,
    watched: bool,
}

/// By what a client is known again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: String,
    version: String,
    subject: String,
    address: Option<IpAddr>,
    folder: Option<PathBuf>,
}

struct Stay {
    visit: Arc<Visit>,
    last: (Timestamp, Duration),
    /// Processes that called; `None` once one called that is not known.
    processes: Option<Vec<ProcessIdentity>>,
}

impl Key {
    fn is_of(&self, passer: &Passer) -> bool {
        self.client == passer.client && self.version == passer.client_version && self.subject == passer.subject
    }
}

impl Stay {
    /// Why it is over, if it is.
    fn over(&self, now: Duration, idle: Duration) -> Option<&'static str> {
        let silent = now.saturating_sub(self.last.1);
        if silent >= idle {
            return Some("idle");
        }
        let gone = || {
            let known = self.processes.as_ref();
            known.is_some_and(|all| all.iter().all(|process| process.liveness(true) == Liveness::Gone))
        };
        (silent >= GONE_LIMIT.min(idle) && gone()).then_some("client gone")
    }

    /// Another call came, by `process`.
    fn called_by(&mut self, process: Option<ProcessIdentity>) {
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
}

/// The process that calls from `peer`, and the folder in which it works, where the kernel tells.
pub(super) fn process_at(peer: SocketAddr) -> (Option<ProcessIdentity>, Option<PathBuf>) {
    let Some(pid) = caller(peer) else { return (None, None) };
    (ProcessIdentity::of(pid), folder_of(pid))
}

/// The stay that this call belongs to. `None` for programs that only bring what others recorded, and where clients get no
/// sessions.
pub(super) async fn visit_of(visitors: &Arc<Visitors>, passer: Passer) -> Option<Arc<Visit>> {
    if !visitors.own.opens || passer.client == CLIENT_NAME {
        return None;
    }
    let clock = visitors.desk.clock();
    let now = (clock.now(), clock.monotonic());
    if let Some(connection) = passer.connection {
        let mut state = locked(&visitors.passing.0);
        let State { stays, connections, .. } = &mut *state;
        let stay = connections.get(&connection).filter(|key| key.is_of(&passer)).and_then(|key| stays.get_mut(key));
        if let Some(stay) = stay {
            stay.last = now;
            return Some(Arc::clone(&stay.visit));
        }
    }
    // Now, because a process that makes one call is gone when it has its answer.
    let (process, folder) = match passer.peer {
        Some(peer) => tokio::task::spawn_blocking(move || process_at(peer)).await.unwrap_or_default(),
        None => (None, None),
    };
    let key = Key {
        client: passer.client.clone(),
        version: passer.client_version.clone(),
        subject: passer.subject.clone(),
        address: passer.peer.map(|peer| peer.ip().to_canonical()),
        folder: folder.clone(),
    };
    let mut state = locked(&visitors.passing.0);
    if !state.stays.contains_key(&key) && state.stays.len() >= MOST_STAYS {
        return None;
    }
    if let Some(connection) = passer.connection {
        if state.connections.len() >= MOST_CONNECTIONS {
            state.connections.clear();
        }
        state.connections.insert(connection, key.clone());
    }
    let stay = state.stays.entry(key).or_insert_with(|| {
        let arrival = Arrival {
            client: passer.client,
            client_version: passer.client_version,
            revision: passer.revision,
            connection: Connection::Http,
            peer: passer.peer,
        };
        let visit = Visit::new(visitors, arrival, passer.subject);
        if let Some(folder) = folder {
            visit.look_at(move || vec![folder]);
        }
        Stay { visit, last: now, processes: Some(Vec::new()) }
    });
    stay.last = now;
    stay.called_by(process);
    let visit = Arc::clone(&stay.visit);
    if !std::mem::replace(&mut state.watched, true) {
        watch(visitors);
    }
    Some(visit)
}

/// Ends stays as they are over, for as long as there are any.
fn watch(visitors: &Arc<Visitors>) {
    let (visitors, ending) = (Arc::clone(visitors), visitors.lifecycle.token());
    let lifecycle = visitors.lifecycle.clone();
    lifecycle.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = ending.cancelled() => return,
            }
            let looked = Arc::clone(&visitors);
            let left = tokio::task::spawn_blocking(move || looked.passing.look(&looked)).await;
            if !left.unwrap_or(false) {
                return;
            }
        }
    });
}

impl Passing {
    /// Ends what is over; says whether anything is left to watch.
    fn look(&self, visitors: &Visitors) -> bool {
        let now = visitors.desk.clock().monotonic();
        let (over, left): (Vec<(Stay, &'static str)>, bool) = {
            let mut state = locked(&self.0);
            let keys: Vec<(Key, &'static str)> = state
                .stays
                .iter()
                .filter_map(|(key, stay)| Some((key.clone(), stay.over(now, visitors.own.idle)?)))
                .collect();
            let over = keys.into_iter().filter_map(|(key, why)| Some((state.stays.remove(&key)?, why))).collect();
            let State { stays, connections, watched } = &mut *state;
            connections.retain(|_, key| stays.contains_key(key));
            *watched = !stays.is_empty();
            (over, *watched)
        };
        for (stay, why) in over {
            stay.visit.end(why, Some(stay.last));
        }
        left
    }

    /// Ends all stays, each at its last call.
    pub(super) fn all_go(&self, reason: &str) {
        let stays = std::mem::take(&mut locked(&self.0).stays);
        for stay in stays.into_values() {
            stay.visit.end(reason, Some(stay.last));
        }
    }
}
