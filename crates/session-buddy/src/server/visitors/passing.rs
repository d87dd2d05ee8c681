//! Clients without a connection: who calls again is known by its program, its token, its address and its folder.
//!
//! A stay lasts while calls come. It ends when none came for the idle time, or sooner when the calling process is gone; the
//! session's end is then the time of the last call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric_client::CLIENT_NAME;
use oneiric_server::http::ConnectionId;
use oneiric_server::mcp::{Arrival, Connection, Passer};

use super::stay::{Stay, process_at};
use super::visit::Visit;
use super::{Visitors, locked};

/// Clients at once. One beyond them gets no session.
const MOST_STAYS: usize = 1_000;
/// Connections whose callers are remembered.
const MOST_CONNECTIONS: usize = 4_096;

/// All stays.
#[derive(Default)]
pub(super) struct Passing(Mutex<State>);

#[derive(Default)]
struct State {
    stays: HashMap<Key, Stay>,
    /// Who called by which connection before. A connection belongs to one process, an address to one after the other.
    connections: HashMap<ConnectionId, Key>,
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

impl Key {
    fn is_of(&self, passer: &Passer) -> bool {
        self.client == passer.client && self.version == passer.client_version && self.subject == passer.subject
    }
}

/// The stay that this call belongs to. `None` for programs that only bring what others recorded, and where clients get no
/// sessions.
pub(super) async fn visit_of(visitors: &Arc<Visitors>, passer: Passer) -> Option<Arc<Visit>> {
    if !visitors.own.opens || passer.client == CLIENT_NAME {
        return None;
    }
    let clock = visitors.desk.clock();
    let connection = passer.source.and_then(|source| source.connection);
    if let Some(connection) = connection {
        let mut state = locked(&visitors.passing.0);
        let State { stays, connections, .. } = &mut *state;
        let stay = connections.get(&connection).filter(|key| key.is_of(&passer)).and_then(|key| stays.get_mut(key));
        if let Some(stay) = stay {
            stay.heard(clock);
            return Some(Arc::clone(&stay.visit));
        }
    }
    let (process, folder) = match passer.source {
        Some(source) => process_at(source.peer).await,
        None => (None, None),
    };
    let key = Key {
        client: passer.client.clone(),
        version: passer.client_version.clone(),
        subject: passer.subject.clone(),
        address: passer.source.map(|source| source.peer.ip().to_canonical()),
        folder: folder.clone(),
    };
    let mut state = locked(&visitors.passing.0);
    if !state.stays.contains_key(&key) && state.stays.len() >= MOST_STAYS {
        return None;
    }
    if let Some(connection) = connection {
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
        };
        let visit = Visit::new(visitors, arrival, passer.subject);
        if let Some(folder) = folder {
            visit.look_at(move || vec![folder]);
        }
        Stay::new(visit, clock)
    });
    stay.heard_by(process, clock);
    let visit = Arc::clone(&stay.visit);
    drop(state);
    visitors.watch();
    Some(visit)
}

impl Passing {
    /// Ends what is over; says whether anything is left to watch.
    pub(super) fn look(&self, now: Duration, idle: Duration) -> bool {
        let why = |stay: &Stay| {
            if stay.silent(now) >= idle {
                return Some("idle");
            }
            stay.is_gone(now, idle).then_some("client gone")
        };
        let (over, left): (Vec<(Stay, &'static str)>, bool) = {
            let State { stays, connections } = &mut *locked(&self.0);
            let keys: Vec<(Key, &'static str)> =
                stays.iter().filter_map(|(key, stay)| Some((key.clone(), why(stay)?))).collect();
            let over = keys.into_iter().filter_map(|(key, why)| Some((stays.remove(&key)?, why))).collect();
            connections.retain(|_, key| stays.contains_key(key));
            (over, !stays.is_empty())
        };
        for (stay, why) in over {
            stay.end(why);
        }
        left
    }

    /// Whether there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        locked(&self.0).stays.is_empty()
    }

    /// Ends all stays, each at its last call.
    pub(super) fn all_go(&self, reason: &str) {
        let stays = std::mem::take(&mut locked(&self.0).stays);
        for stay in stays.into_values() {
            stay.end(reason);
        }
    }
}
