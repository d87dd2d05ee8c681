//! Sessions of MCP clients that come and go by themselves.
//!
//! A client that works in a git repository gets a session when it connects, and the session ends when the client goes: with
//! standard input, with its transport session, or with this process. Clients of revision 2026-07-28 have no connection over
//! HTTP; theirs is kept while they call, and ends when they are silent for long or their process is gone ([`passing`]).
//! Which folder a client works in is this process's own on standard input; over HTTP it is that of the calling process, where
//! the kernel tells it, or what the client tells (its roots). A client elsewhere gets a session when it first records
//! something without naming a session.
//!
//! What is kept of its work are the names of the tools it called, counted; never their arguments. Everything else a client
//! records on purpose.

mod passing;
mod visit;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oneiric::event::UserIdentity;
use oneiric_server::lifecycle::Lifecycle;
use oneiric_server::mcp::{Arrival, Connection, Guest, Passer, Reception, Told};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::desk::Desk;
use passing::Passing;
use visit::Visit;

/// Whose sessions these are, and where this process works.
#[derive(Clone, Debug)]
pub struct Own {
    /// Working directory of this process.
    pub cwd: PathBuf,
    /// Login name and home.
    pub user: UserIdentity,
    /// Whether clients get sessions at all (`session_tracking.auto_init`).
    pub opens: bool,
    /// Whether those sessions end with their clients (`session_tracking.auto_cleanup`).
    pub ends: bool,
    /// Silence after which a client without a connection has gone (`session_tracking.idle_timeout`).
    pub idle: Duration,
}

/// All clients that are there.
pub struct Visitors {
    own: Own,
    desk: Arc<Desk>,
    lifecycle: Lifecycle,
    runtime: Handle,
    here: Mutex<Vec<Weak<Visit>>>,
    passing: Passing,
}

impl Visitors {
    /// Nobody yet. Needs a runtime.
    #[must_use]
    pub fn new(own: Own, desk: Arc<Desk>, lifecycle: Lifecycle) -> Arc<Self> {
        let runtime = Handle::current();
        Arc::new(Self { own, desk, lifecycle, runtime, here: Mutex::default(), passing: Passing::default() })
    }

    /// Ends the sessions of all clients that are still there. Blocks until that is stored.
    pub fn all_go(&self, reason: &str) {
        let here = std::mem::take(&mut *locked(&self.here));
        for visit in here.iter().filter_map(Weak::upgrade) {
            visit.end(reason, None);
        }
        self.passing.all_go(reason);
    }
}

/// What may be done with the visitors through the reception.
pub struct FrontDoor(pub Arc<Visitors>);

impl Reception for FrontDoor {
    fn arrived(&self, arrival: Arrival) -> Arc<dyn Guest> {
        let visitors = &self.0;
        let visit = Visit::new(visitors, arrival, String::new());
        let mut here = locked(&visitors.here);
        here.retain(|visit| visit.strong_count() > 0);
        here.push(Arc::downgrade(&visit));
        drop(here);
        match (visit.arrival.connection, visit.arrival.peer) {
            (Connection::Stdio, _) => {
                let own = visitors.own.cwd.clone();
                visit.look_at(move || vec![own]);
            }
            (Connection::Http, Some(peer)) => visit.look_at(move || passing::process_at(peer).1.into_iter().collect()),
            (Connection::Http, None) => {}
        }
        Arc::new(Ticket { visit, stays: true })
    }

    fn passes(&self, passer: Passer) -> Told<'_, Option<Arc<dyn Guest>>> {
        Box::pin(async move {
            let visit = passing::visit_of(&self.0, passer).await?;
            Some(Arc::new(Ticket { visit, stays: false }) as Arc<dyn Guest>)
        })
    }
}

/// A client's stay; a client with a connection goes when this is dropped.
struct Ticket {
    visit: Arc<Visit>,
    stays: bool,
}

impl Guest for Ticket {
    fn works_in(&self, folders: Vec<PathBuf>) {
        self.visit.look_at(move || folders);
    }

    fn called(&self, tool: &str) {
        self.visit.called(tool);
    }

    fn defaults<'a>(&'a self, tool: &'a str) -> Told<'a, Map<String, Value>> {
        Box::pin(async move {
            let own = self.visit.own_session(tool).await;
            own.map(|id| Map::from_iter([("session_id".to_owned(), id.as_str().into())])).unwrap_or_default()
        })
    }

    fn meta(&self) -> Option<Map<String, Value>> {
        self.visit.meta()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.stays {
            let visit = Arc::clone(&self.visit);
            self.visit.aside(move || visit.end("client gone", None));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
