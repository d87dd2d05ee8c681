//! Sessions of MCP clients that come and go by themselves.
//!
//! A client that works in a git repository gets a session when it connects, and the session ends when the client goes: with
//! standard input, with its transport session, or with this process. Which folder it works in is this process's own for a
//! client on standard input; else the client tells (its roots). A client elsewhere gets none.
//!
//! What is kept of its work are the names of the tools it called, counted; never their arguments. Everything else a client
//! records on purpose. Revision 2026-07-28 over HTTP has no connections: its clients open sessions by `track_session_start`
//! and name them in each call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oneiric::event::{
    EVENT_VERSION, Environment, Event, EventBatch, EventType, SessionEnd, SessionStart, UserIdentity,
};
use oneiric::fault::{Fault, Result};
use oneiric::id::{EventId, SessionId};
use oneiric::process::{ProcessIdentity, hostname, platform};
use oneiric::repository::{RepositoryIdentity, probe, project_name};
use oneiric_server::lifecycle::Lifecycle;
use oneiric_server::mcp::{Arrival, Connection, Guest, Reception};
use serde::Serialize;
use serde_json::{Map, Value, json};
use session_store::Unknown;
use tokio::runtime::Handle;

use crate::desk::Desk;

/// Longest time that git gets to say what a folder is.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Key in `_meta` of answers that names the client's session.
const META_KEY: &str = "session-buddy/session_id";

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
}

/// All clients that are there.
pub struct Visitors {
    own: Own,
    desk: Arc<Desk>,
    lifecycle: Lifecycle,
    runtime: Handle,
    here: Mutex<Vec<Weak<Visit>>>,
}

impl Visitors {
    /// Nobody yet. Needs a runtime.
    #[must_use]
    pub fn new(own: Own, desk: Arc<Desk>, lifecycle: Lifecycle) -> Arc<Self> {
        Arc::new(Self { own, desk, lifecycle, runtime: Handle::current(), here: Mutex::default() })
    }

    /// Ends the sessions of all clients that are still there. Blocks until that is stored.
    pub fn all_go(&self, reason: &str) {
        let here = std::mem::take(&mut *locked(&self.here));
        for visit in here.iter().filter_map(Weak::upgrade) {
            visit.end(reason);
        }
    }
}

/// What may be done with the visitors through the reception.
pub struct FrontDoor(pub Arc<Visitors>);

impl Reception for FrontDoor {
    fn arrived(&self, arrival: Arrival) -> Arc<dyn Guest> {
        let visitors = &self.0;
        let now = visitors.desk.clock().now();
        let visit = Arc::new(Visit {
            visitors: Arc::clone(visitors),
            session_id: SessionId::generate(now),
            began: visitors.desk.clock().monotonic(),
            arrival,
            stage: Mutex::new(Stage::Waiting),
            calls: Mutex::default(),
        });
        let mut here = locked(&visitors.here);
        here.retain(|visit| visit.strong_count() > 0);
        here.push(Arc::downgrade(&visit));
        drop(here);
        if visit.arrival.connection == Connection::Stdio {
            visit.look_at(vec![visitors.own.cwd.clone()]);
        }
        Arc::new(Ticket(visit))
    }
}

/// How far the session of a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Where it works is not known, or no repository.
    Waiting,
    /// Its session is open.
    Open,
    /// It is gone.
    Over,
}

struct Visit {
    visitors: Arc<Visitors>,
    session_id: SessionId,
    began: Duration,
    arrival: Arrival,
    stage: Mutex<Stage>,
    calls: Mutex<BTreeMap<String, u64>>,
}

impl Visit {
    /// Opens the session if one of `folders` is in a repository, without keeping anybody waiting.
    fn look_at(self: &Arc<Self>, folders: Vec<PathBuf>) {
        if !self.visitors.own.opens || folders.is_empty() {
            return;
        }
        let visit = Arc::clone(self);
        self.aside(move || {
            let found = folders.into_iter().find_map(|folder| {
                let repository = folder.is_dir().then(|| probe(&folder, PROBE_LIMIT))??;
                Some((folder, repository))
            });
            if let Some((folder, repository)) = found {
                visit.open(&folder, repository);
            }
        });
    }

    /// Does `work` on a blocking thread; the end of this process waits for it.
    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        let _inside = self.visitors.runtime.enter();
        self.visitors.lifecycle.spawn(async move {
            let _ = tokio::task::spawn_blocking(work).await;
        });
    }

    fn open(&self, folder: &Path, repository: RepositoryIdentity) {
        let mut stage = locked(&self.stage);
        if *stage != Stage::Waiting {
            return;
        }
        // The stage stays locked meanwhile, so that the end comes after the beginning.
        match self.store(EventType::SESSION_START, "start", &self.start(folder, repository), Unknown::Refuse) {
            Ok(()) => {
                *stage = Stage::Open;
                tracing::info!(session_id = %self.session_id, client = %self.arrival.client, folder = %folder.display(), "session opened for a client");
            }
            Err(fault) => tracing::warn!(%fault, client = %self.arrival.client, "no session for a client"),
        }
    }

    fn start(&self, folder: &Path, repository: RepositoryIdentity) -> SessionStart {
        let own = &self.visitors.own;
        let cwd = folder.to_string_lossy().into_owned();
        let mut metadata = Map::new();
        metadata
            .insert("client".into(), json!({ "name": self.arrival.client, "version": self.arrival.client_version }));
        metadata.insert("protocol_version".into(), self.arrival.revision.clone().into());
        metadata.insert("transport".into(), self.arrival.connection.as_str().into());
        metadata.insert("cwd".into(), cwd.clone().into());
        metadata.insert("git_branch".into(), repository.branch.clone().into());
        metadata.insert("git_commit".into(), repository.commit.clone().into());
        metadata.insert("git_dirty".into(), repository.dirty.into());
        SessionStart {
            event_version: EVENT_VERSION.into(),
            component_name: component(&self.arrival.client),
            session_type: "mcp_client".into(),
            shell_type: Some(self.arrival.client.clone()).filter(|name| !name.is_empty()),
            // This process is what keeps the session: when it is gone, so is the session.
            pid: std::process::id(),
            process: ProcessIdentity::current(),
            user: own.user.clone(),
            hostname: hostname(),
            environment: Environment { platform: platform(), cwd, python_version: None },
            project: Some(project_name(&repository)),
            repository: Some(repository),
            metadata,
        }
    }

    /// Ends the session, once.
    fn end(&self, reason: &str) {
        let mut stage = locked(&self.stage);
        if std::mem::replace(&mut *stage, Stage::Over) != Stage::Open || !self.visitors.own.ends {
            return;
        }
        let took = self.visitors.desk.clock().monotonic().saturating_sub(self.began);
        let end = SessionEnd {
            reason: reason.into(),
            status: "ended".into(),
            exit_code: 0,
            command_count: 0,
            duration_seconds: took.as_secs_f64(),
        };
        let told = Ended { end, tool_calls: locked(&self.calls).clone() };
        if let Err(fault) = self.store(EventType::SESSION_END, "end", &told, Unknown::Refuse) {
            tracing::warn!(%fault, session_id = %self.session_id, "the end of a client's session is not recorded");
        }
    }

    /// Stores one event under an id that is the same each time.
    fn store(&self, kind: &'static str, suffix: &str, data: &impl Serialize, unknown: Unknown) -> Result<()> {
        let now = self.visitors.desk.clock().now();
        let data = match serde_json::to_value(data) {
            Ok(Value::Object(map)) => map,
            _ => return Err(Fault::internal("an event of a client's session cannot be written")),
        };
        let event = Event {
            event_id: EventId::parse(format!("{}.{suffix}", self.session_id))
                .unwrap_or_else(|_| EventId::generate(now)),
            event_type: EventType::known(kind),
            timestamp: now,
            sequence: (suffix == "start").then_some(0),
            data,
        };
        let batch = EventBatch { session_id: self.session_id.clone(), events: vec![event] };
        let receipts = self.visitors.desk.store()?.ingest(&[batch], unknown)?;
        match receipts.first().and_then(|receipt| receipt.rejected.first()) {
            Some(rejection) => Err(Fault::user(rejection.reason.clone())),
            None => Ok(()),
        }
    }
}

/// The end of a client's session, with what it called.
#[derive(Serialize)]
struct Ended {
    #[serde(flatten)]
    end: SessionEnd,
    tool_calls: BTreeMap<String, u64>,
}

/// A client's stay; it goes when this is dropped.
struct Ticket(Arc<Visit>);

impl Guest for Ticket {
    fn works_in(&self, folders: Vec<PathBuf>) {
        if *locked(&self.0.stage) == Stage::Waiting {
            self.0.look_at(folders);
        }
    }

    fn called(&self, tool: &str) {
        *locked(&self.0.calls).entry(tool.to_owned()).or_default() += 1;
    }

    fn meta(&self) -> Option<Map<String, Value>> {
        // While the session is being opened the answer does not wait for it.
        let stage = self.0.stage.try_lock().ok()?;
        (*stage == Stage::Open).then(|| Map::from_iter([(META_KEY.to_owned(), self.0.session_id.as_str().into())]))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let visit = Arc::clone(&self.0);
        self.0.aside(move || visit.end("client gone"));
    }
}

/// A client's name as a component: letters, digits, `_` and `-`.
fn component(client: &str) -> String {
    let mut name = String::new();
    for c in client.chars() {
        let fits = c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if fits {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { "mcp-client".to_owned() } else { name.to_owned() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_becomes_a_component() {
        for (client, expected) in [
            ("claude-code", "claude-code"),
            ("Visual Studio Code", "visual-studio-code"),
            ("", "mcp-client"),
            ("…", "mcp-client"),
        ] {
            assert_eq!(component(client), expected);
        }
    }
}
