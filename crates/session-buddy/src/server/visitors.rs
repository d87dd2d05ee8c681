//! Sessions of MCP clients that come and go by themselves.
//!
//! A client that works in a git repository gets a session when it connects, and the session ends when the client goes: with
//! standard input, with its transport session or its process ([`connected`]), or with this process. Clients of revision
//! 2026-07-28 have no connection over HTTP; theirs is kept while they call, and ends when they are silent for long or their
//! process is gone ([`passing`]).
//! Which folder a client works in is this process's own on standard input; over HTTP it is that of the calling process, where
//! the kernel tells it, or what the client tells (its roots). A client elsewhere gets a session when it first records
//! something without naming a session.
//!
//! What is kept of its work are the names of the tools it called, counted; never their arguments. Everything else a client
//! records on purpose.

mod connected;
mod passing;
mod stay;
mod visit;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oneiric::event::UserIdentity;
use oneiric_server::lifecycle::Lifecycle;
use oneiric_server::mcp::{Arrival, Connection, Guest, Passer, Reception, Source, Told};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::desk::Desk;
use connected::{Connected, Seat};
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

/// How often clients are looked at that may have gone, while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All clients that are there.
pub struct Visitors {
    own: Own,
    desk: Arc<Desk>,
    lifecycle: Lifecycle,
    runtime: Handle,
    /// The client on standard input.
    inside: Mutex<Weak<Visit>>,
    connected: Mutex<Vec<Weak<Connected>>>,
    passing: Passing,
    watched: Mutex<bool>,
}

impl Visitors {
    /// Nobody yet. Needs a runtime.
    #[must_use]
    pub fn new(own: Own, desk: Arc<Desk>, lifecycle: Lifecycle) -> Arc<Self> {
        let runtime = Handle::current();
        Arc::new(Self {
            own,
            desk,
            lifecycle,
            runtime,
            inside: Mutex::default(),
            connected: Mutex::default(),
            passing: Passing::default(),
            watched: Mutex::default(),
        })
    }

    /// Ends the sessions of all clients that are still there. Blocks until that is stored.
    pub fn all_go(&self, reason: &str) {
        if let Some(visit) = locked(&self.inside).upgrade() {
            visit.end(reason, None);
        }
        let connected = std::mem::take(&mut *locked(&self.connected));
        for client in connected.iter().filter_map(Weak::upgrade) {
            client.go(reason);
        }
        self.passing.all_go(reason);
    }

    /// Does `work` on a blocking thread; the end of this process waits for it.
    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        let _inside = self.runtime.enter();
        self.lifecycle.spawn(async move {
            let _ = tokio::task::spawn_blocking(work).await;
        });
    }

    /// Sees to it that sessions end whose clients have gone, for as long as there are any.
    fn watch(self: &Arc<Self>) {
        if std::mem::replace(&mut *locked(&self.watched), true) {
            return;
        }
        let (visitors, ending) = (Arc::clone(self), self.lifecycle.token());
        self.lifecycle.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = ending.cancelled() => return,
                }
                let looking = Arc::clone(&visitors);
                let left = tokio::task::spawn_blocking(move || looking.look() || looking.is_watched_on()).await;
                if !left.unwrap_or(false) {
                    return;
                }
            }
        });
    }

    /// Ends what is over; says whether anybody is left.
    fn look(&self) -> bool {
        let now = self.desk.clock().monotonic();
        let connected: Vec<Arc<Connected>> = locked(&self.connected).iter().filter_map(Weak::upgrade).collect();
        let stay = connected.iter().filter(|client| client.look(now)).count();
        self.passing.look(now, self.own.idle) || stay > 0
    }

    /// Notes that nobody is left to watch, unless somebody came meanwhile.
    fn is_watched_on(&self) -> bool {
        let mut watched = locked(&self.watched);
        let connected: Vec<Arc<Connected>> = locked(&self.connected).iter().filter_map(Weak::upgrade).collect();
        *watched = !self.passing.is_empty() || connected.iter().any(|client| client.is_here());
        *watched
    }
}

/// What may be done with the visitors through the reception.
pub struct FrontDoor(pub Arc<Visitors>);

impl Reception for FrontDoor {
    fn arrived(&self, arrival: Arrival) -> Arc<dyn Guest> {
        let visitors = &self.0;
        match arrival.connection {
            Connection::Stdio => {
                let visit = Visit::new(visitors, arrival, String::new());
                *locked(&visitors.inside) = Arc::downgrade(&visit);
                let own = visitors.own.cwd.clone();
                visit.look_at(move || vec![own]);
                Arc::new(Ticket { visit, stays: true })
            }
            Connection::Http => {
                let client = Connected::new(visitors, arrival);
                let mut connected = locked(&visitors.connected);
                connected.retain(|client| client.strong_count() > 0);
                connected.push(Arc::downgrade(&client));
                Arc::new(Seat(client))
            }
        }
    }

    fn passes(&self, passer: Passer) -> Told<'_, Option<Arc<dyn Guest>>> {
        Box::pin(async move {
            let visit = passing::visit_of(&self.0, passer).await?;
            Some(Arc::new(Ticket { visit, stays: false }) as Arc<dyn Guest>)
        })
    }
}

/// A client on standard input, which goes when this is dropped, or one that passes by.
struct Ticket {
    visit: Arc<Visit>,
    stays: bool,
}

impl Guest for Ticket {
    fn heard(&self, _source: Source) -> Told<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn works_in(&self, folders: Vec<PathBuf>) {
        self.visit.look_at(move || folders);
    }

    fn called(&self, tool: &str) {
        self.visit.called(tool);
    }

    fn defaults<'a>(&'a self, tool: &'a str) -> Told<'a, Map<String, Value>> {
        Box::pin(self.visit.defaults(tool))
    }

    fn meta(&self) -> Option<Map<String, Value>> {
        self.visit.meta()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.stays {
            let visit = Arc::clone(&self.visit);
            self.visit.visitors.aside(move || visit.end("client gone", None));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
