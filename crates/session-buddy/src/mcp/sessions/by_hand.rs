//! Sessions that somebody opens and ends by hand.

use oneiric::clock::Timestamp;
use oneiric::event::{EVENT_VERSION, EventType};
use oneiric::id::{EventId, SessionId};
use oneiric::repository::{RepositoryIdentity, project_name};
use serde_json::{Map, Value};
use session_store::remember::Hand;

use super::{EnvironmentInput, RepositoryInput, TrackSessionEnd, TrackSessionStart, UserInput};

impl TrackSessionStart {
    /// A manual session that begins in the directory `cwd`. It belongs to no process and lasts until somebody ends it.
    #[must_use]
    pub(crate) fn by_hand(
        id: SessionId,
        now: Timestamp,
        hand: &Hand,
        cwd: &str,
        repository: Option<&RepositoryIdentity>,
    ) -> Self {
        Self {
            event_version: EVENT_VERSION.into(),
            // The same each time, so that a call that is repeated adds nothing.
            event_id: EventId::parse(format!("{id}.start")).unwrap_or_else(|_| EventId::generate(now)),
            event_type: EventType::SESSION_START.into(),
            component_name: crate::PRODUCT.into(),
            shell_type: String::new(),
            timestamp: now,
            pid: 0,
            user: UserInput { username: hand.username.clone(), home: hand.home.clone() },
            hostname: hand.hostname.clone(),
            environment: EnvironmentInput {
                platform: hand.platform.clone(),
                cwd: cwd.to_owned(),
                python_version: None,
            },
            metadata: None,
            session_id: Some(id),
            session_type: Some("manual".into()),
            project: repository.map(project_name),
            repository: repository.map(|found| RepositoryInput {
                common_dir: found.common_dir.clone(),
                worktree: found.worktree.clone(),
                branch: found.branch.clone(),
                commit: found.commit.clone(),
                dirty: found.dirty,
            }),
            token: None,
        }
    }

    /// Says what the session is for.
    pub(crate) fn note(&mut self, note: Option<&str>) {
        if let Some(note) = note {
            self.metadata.get_or_insert_default().insert("note".into(), note.into());
        }
    }
}

impl TrackSessionEnd {
    /// The end of the session `id` now. `status` is `completed`, `failed` or `cancelled`.
    #[must_use]
    pub(crate) fn by_hand(id: &str, now: Timestamp, status: &str, note: Option<&str>) -> Self {
        let mut metadata = Map::from_iter([("status".to_owned(), Value::from(status))]);
        if let Some(note) = note {
            metadata.insert("note".into(), note.into());
        }
        Self {
            session_id: id.to_owned(),
            timestamp: now,
            event_type: EventType::SESSION_END.into(),
            metadata: Some(metadata),
            token: None,
        }
    }
}
