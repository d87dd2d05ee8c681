//! Clients of revision 2025-11-25 over HTTP: each is a transport session, which outlives the client by long when nobody
//! ends it.
//!
//! So the session of such a client ends when its processes are gone; who then calls by the same transport session after all
//! gets another one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric::process::ProcessIdentity;
use oneiric_server::http::ConnectionId;
use oneiric_server::mcp::{Arrival, Guest, Source, Told};
use serde_json::{Map, Value};

use super::stay::{Stay, process_at};
use super::visit::Visit;
use super::{Visitors, locked};

/// Connections of one client that are remembered.
const MOST_CONNECTIONS: usize = 64;
/// To look for a process is to read the tables of all connections and processes of the machine. A client that is known to be
/// there need not be looked for again so soon, by whatever connection it calls.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A client with a transport session.
pub(super) struct Connected {
    visitors: Arc<Visitors>,
    arrival: Arrival,
    state: Mutex<State>,
}

struct State {
    /// `None` when the client has gone.
    stay: Option<Stay>,
    /// Whose process is known, the one that called last behind the others.
    connections: Vec<ConnectionId>,
    /// When a process was looked for last.
    looked: Option<Duration>,
    /// Folders that the client told.
    told: Vec<PathBuf>,
}

impl Connected {
    /// A client that has just come.
    pub(super) fn new(visitors: &Arc<Visitors>, arrival: Arrival) -> Arc<Self> {
        let visit = Visit::new(visitors, arrival.clone(), String::new());
        let stay = Some(Stay::new(visit, visitors.desk.clock()));
        let state = Mutex::new(State { stay, connections: Vec::new(), looked: None, told: Vec::new() });
        Arc::new(Self { visitors: Arc::clone(visitors), arrival, state })
    }

    fn visit(&self) -> Option<Arc<Visit>> {
        locked(&self.state).stay.as_ref().map(|stay| Arc::clone(&stay.visit))
    }

    /// Whether it calls by a connection whose process is known, or need not be looked for.
    fn is_known(&self, connection: Option<ConnectionId>) -> bool {
        let clock = self.visitors.desk.clock();
        let now = clock.monotonic();
        let State { stay, connections, looked, .. } = &mut *locked(&self.state);
        let Some(stay) = stay else { return false };
        let place = connections.iter().position(|known| Some(*known) == connection);
        if let Some(place) = place {
            connections[place..].rotate_left(1);
        } else {
            let lately = looked.is_some_and(|looked| now.saturating_sub(looked) < LOOK_AGAIN);
            if !(lately && stay.is_alive()) {
                *looked = Some(now);
                return false;
            }
        }
        stay.heard(clock);
        true
    }

    fn came(&self, connection: Option<ConnectionId>, process: Option<ProcessIdentity>, folder: Option<PathBuf>) {
        let clock = self.visitors.desk.clock();
        let State { stay, connections, told, .. } = &mut *locked(&self.state);
        let returns = stay.is_none();
        let stay = stay
            .get_or_insert_with(|| Stay::new(Visit::new(&self.visitors, self.arrival.clone(), String::new()), clock));
        stay.heard_by(process, clock);
        if let Some(connection) = connection {
            if connections.len() >= MOST_CONNECTIONS {
                connections.remove(0);
            }
            connections.push(connection);
        }
        let mut folders = if returns { told.clone() } else { Vec::new() };
        folders.extend(folder);
        stay.visit.look_at(move || folders);
    }

    /// Ends what its processes left; says whether the client is still there.
    pub(super) fn look(&self, now: Duration) -> bool {
        let idle = self.visitors.own.idle;
        let gone = {
            let State { stay, connections, .. } = &mut *locked(&self.state);
            let gone = stay.take_if(|stay| stay.is_gone(now, idle));
            if gone.is_some() {
                connections.clear();
            }
            gone
        };
        if let Some(stay) = gone {
            stay.end("client gone");
        }
        self.is_here()
    }

    /// Whether the client is still there.
    pub(super) fn is_here(&self) -> bool {
        locked(&self.state).stay.is_some()
    }

    /// Ends its session with its connection.
    pub(super) fn go(&self, reason: &str) {
        let stay = locked(&self.state).stay.take();
        if let Some(stay) = stay {
            stay.end_with_connection(reason, self.visitors.desk.clock().monotonic(), self.visitors.own.idle);
        }
    }
}

/// What the transport session holds of a client. The client goes when this is dropped.
pub(super) struct Seat(pub(super) Arc<Connected>);

impl Guest for Seat {
    fn heard(&self, source: Source) -> Told<'_, ()> {
        Box::pin(async move {
            let client = &self.0;
            if !client.visitors.own.opens || client.is_known(source.connection) {
                return;
            }
            let (process, folder) = process_at(source.peer).await;
            client.came(source.connection, process, folder);
            client.visitors.watch();
        })
    }

    fn works_in(&self, folders: Vec<PathBuf>) {
        locked(&self.0.state).told.clone_from(&folders);
        if let Some(visit) = self.0.visit() {
            visit.look_at(move || folders);
        }
    }

    fn called(&self, tool: &str) {
        if let Some(visit) = self.0.visit() {
            visit.called(tool);
        }
    }

    fn defaults<'a>(&'a self, tool: &'a str) -> Told<'a, Map<String, Value>> {
        Box::pin(async move {
            match self.0.visit() {
                Some(visit) => visit.defaults(tool).await,
                None => Map::new(),
            }
        })
    }

    fn meta(&self) -> Option<Map<String, Value>> {
        self.0.visit()?.meta()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let client = Arc::clone(&self.0);
        self.0.visitors.aside(move || client.go("client gone"));
    }
}
