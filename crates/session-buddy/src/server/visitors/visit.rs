//! One client, and the session that it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::event::{EVENT_VERSION, Environment, Event, EventBatch, EventType, SessionEnd, SessionStart};
use oneiric::fault::{Fault, Result};
use oneiric::id::{EventId, SessionId};
use oneiric::process::{ProcessIdentity, hostname, platform};
use oneiric::repository::{RepositoryIdentity, probe, project_name};
use oneiric_server::mcp::{Arrival, Connection};
use serde::Serialize;
use serde_json::{Map, Value, json};
use session_store::Unknown;
use tokio::sync::watch;

use super::{Visitors, locked};

/// Longest time that git gets to say what a folder is.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Longest time that a call without a session waits for a folder that is being looked at.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Key in `_meta` of answers that names the client's session.
const META_KEY: &str = "session-buddy/session_id";
/// Tools that record in the client's own session when none is named.
const RECORDS: [&str; 4] = ["track_events", "add_message", "checkpoint", "store_test_result"];
/// Tools that tell of the client's own session when none is named.
const READS: [&str; 2] = ["get_session", "session_links"];

/// How far the session of a client has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Where it works is not known, or no repository.
    Waiting,
    /// It has gone for this reason, while a look at where it works was under way: a short stay is one, too.
    Leaving(String),
    /// Its session is open.
    Open,
    /// It is gone.
    Over,
}

/// What is known of one client.
pub(super) struct Visit {
    pub(super) visitors: Arc<Visitors>,
    session_id: SessionId,
    began: Duration,
    arrival: Arrival,
    subject: String,
    stage: Mutex<Stage>,
    /// Looks at folders that are under way.
    looks: watch::Sender<usize>,
    calls: Mutex<BTreeMap<String, u64>>,
}

impl Visit {
    /// A client that has just come; `subject` is its token's.
    pub(super) fn new(visitors: &Arc<Visitors>, arrival: Arrival, subject: String) -> Arc<Self> {
        let clock = visitors.desk.clock();
        Arc::new(Self {
            visitors: Arc::clone(visitors),
            session_id: SessionId::generate(clock.now()),
            began: clock.monotonic(),
            arrival,
            subject,
            stage: Mutex::new(Stage::Waiting),
            looks: watch::Sender::new(0),
            calls: Mutex::default(),
        })
    }

    /// Opens the session if one of `folders` is in a repository, without keeping anybody waiting.
    pub(super) fn look_at(self: &Arc<Self>, folders: impl FnOnce() -> Vec<PathBuf> + Send + 'static) {
        let waiting = self.stage.try_lock().is_ok_and(|stage| *stage == Stage::Waiting);
        if !self.visitors.own.opens || !waiting {
            return;
        }
        self.looks.send_modify(|count| *count += 1);
        let visit = Arc::clone(self);
        self.visitors.aside(move || {
            let found = folders().into_iter().find_map(|folder| {
                let repository = folder.is_dir().then(|| probe(&folder, PROBE_LIMIT))??;
                Some((folder, repository))
            });
            if let Some((folder, repository)) = found {
                visit.open(Some(&folder), Some(repository));
            }
            visit.looks.send_modify(|count| *count = count.saturating_sub(1));
        });
    }

    /// The client called a tool.
    pub(super) fn called(&self, tool: &str) {
        *locked(&self.calls).entry(tool.to_owned()).or_default() += 1;
    }

    /// What its answers carry.
    pub(super) fn meta(&self) -> Option<Map<String, Value>> {
        // While the session is being opened the answer does not wait for it.
        let stage = self.stage.try_lock().ok()?;
        (*stage == Stage::Open).then(|| Map::from_iter([(META_KEY.to_owned(), self.session_id.as_str().into())]))
    }

    /// Arguments that hold for a call of `tool` that lacks them.
    pub(super) async fn defaults(self: &Arc<Self>, tool: &str) -> Map<String, Value> {
        let own = self.own_session(tool).await;
        own.map(|id| Map::from_iter([("session_id".to_owned(), id.as_str().into())])).unwrap_or_default()
    }

    /// The session that a call of `tool` means when it names none. What records is reason enough to open one.
    async fn own_session(self: &Arc<Self>, tool: &str) -> Option<SessionId> {
        let records = RECORDS.contains(&tool);
        if !records && !READS.contains(&tool) {
            return None;
        }
        // A folder that is being looked at may open it.
        let mut looks = self.looks.subscribe();
        let _ = tokio::time::timeout(LOOK_LIMIT, looks.wait_for(|count| *count == 0)).await;
        let visit = Arc::clone(self);
        let open = tokio::task::spawn_blocking(move || {
            if records && visit.visitors.own.opens {
                visit.open(None, None);
            }
            *locked(&visit.stage) == Stage::Open
        });
        open.await.unwrap_or(false).then(|| self.session_id.clone())
    }

    fn open(&self, folder: Option<&Path>, repository: Option<RepositoryIdentity>) {
        let mut stage = locked(&self.stage);
        let leaving = match &*stage {
            Stage::Waiting => None,
            // Only for what it was looked at for.
            Stage::Leaving(reason) if folder.is_some() => Some(reason.clone()),
            _ => return,
        };
        // The stage stays locked meanwhile, so that the end comes after the beginning.
        let now = self.visitors.desk.clock().now();
        match self.store(EventType::SESSION_START, "start", &self.start(folder, repository), now) {
            Ok(()) => {
                *stage = Stage::Open;
                tracing::info!(session_id = %self.session_id, client = %self.arrival.client, folder = %folder.unwrap_or(Path::new("-")).display(), "session opened for a client");
            }
            Err(fault) => tracing::warn!(%fault, client = %self.arrival.client, "no session for a client"),
        }
        drop(stage);
        if let Some(reason) = leaving {
            self.end(&reason, None);
        }
    }

    fn start(&self, folder: Option<&Path>, repository: Option<RepositoryIdentity>) -> SessionStart {
        let own = &self.visitors.own;
        let here = (self.arrival.connection == Connection::Stdio).then_some(own.cwd.as_path());
        let cwd = folder.or(here).map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
        let mut metadata = Map::new();
        metadata
            .insert("client".into(), json!({ "name": self.arrival.client, "version": self.arrival.client_version }));
        metadata.insert("protocol_version".into(), self.arrival.revision.clone().into());
        metadata.insert("transport".into(), self.arrival.connection.as_str().into());
        metadata.insert("cwd".into(), cwd.clone().into());
        if !self.subject.is_empty() {
            metadata.insert("subject".into(), self.subject.as_str().into());
        }
        if let Some(repository) = &repository {
            metadata.insert("git_branch".into(), repository.branch.clone().into());
            metadata.insert("git_commit".into(), repository.commit.clone().into());
            metadata.insert("git_dirty".into(), repository.dirty.into());
        }
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
            project: repository.as_ref().map(project_name),
            repository,
            metadata,
        }
    }

    /// Ends the session, once; `last` is when the client was heard of, by both clocks, if that is not now.
    pub(super) fn end(&self, reason: &str, last: Option<(Timestamp, Duration)>) {
        let mut stage = locked(&self.stage);
        let over = match &*stage {
            Stage::Leaving(_) => return,
            Stage::Waiting if *self.looks.borrow() > 0 => Stage::Leaving(reason.into()),
            _ => Stage::Over,
        };
        if std::mem::replace(&mut *stage, over) != Stage::Open || !self.visitors.own.ends {
            return;
        }
        let clock = self.visitors.desk.clock();
        let (at, monotonic) = last.unwrap_or_else(|| (clock.now(), clock.monotonic()));
        let took = monotonic.saturating_sub(self.began);
        let end = SessionEnd {
            reason: reason.into(),
            status: "ended".into(),
            exit_code: 0,
            command_count: 0,
            duration_seconds: took.as_secs_f64(),
        };
        let told = Ended { end, tool_calls: locked(&self.calls).clone() };
        if let Err(fault) = self.store(EventType::SESSION_END, "end", &told, at) {
            tracing::warn!(%fault, session_id = %self.session_id, "the end of a client's session is not recorded");
        }
    }

    /// Stores one event under an id that is the same each time.
    fn store(&self, kind: &'static str, suffix: &str, data: &impl Serialize, now: Timestamp) -> Result<()> {
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
        let receipts = self.visitors.desk.store()?.ingest(&[batch], Unknown::Refuse)?;
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
