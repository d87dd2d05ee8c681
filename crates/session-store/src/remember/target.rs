//! Which session takes what is written by hand.

use oneiric::event::{EVENT_VERSION, Environment, Event, EventType, SessionStart, UserIdentity};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::id::{EventId, SessionId};
use oneiric::repository::project_name;
use serde_json::Value;

use super::{Here, Scribe};
use crate::model::{Page, Session, SessionFilter, SessionStatus};

/// Longest project name.
const MAX_NAME_BYTES: usize = 128;

/// The session that takes it.
pub(super) enum Target {
    /// One that is there.
    Known(Box<Session>),
    /// A manual one that begins with this event. Nothing of it is stored yet: that happens with what it is opened for, unless
    /// there is an active session of one of these by then.
    New(SessionId, Event, Vec<SessionFilter>),
}

/// The session of that id; else the newest active session of the project of that name; else the session whose id begins
/// so; else a manual session that is opened for the project.
pub(super) fn find_or_open(scribe: &Scribe<'_>, to: &str, here: &Here) -> Result<Target> {
    let store = scribe.store;
    if let Ok(id) = SessionId::parse(to)
        && store.session_exists(&id)?
    {
        return Ok(Target::Known(Box::new(store.session(to)?)));
    }
    let name = to.trim();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(Fault::user("a session is named by its id, a beginning of it, or its project's name"));
    }
    let any = SessionFilter { project: Some(name.to_owned()), ..SessionFilter::default() };
    let active = SessionFilter { status: Some(SessionStatus::Active), ..any.clone() };
    if let Some(session) = store.sessions(&active, Page::first(1))?.pop() {
        return Ok(Target::Known(Box::new(session)));
    }
    if store.sessions(&any, Page::first(1))?.is_empty() {
        match store.session(name) {
            Ok(session) => return Ok(Target::Known(Box::new(session))),
            Err(fault) if fault.kind() == FaultKind::NotFound && !looks_like_id(name) => {}
            Err(fault) => return Err(fault),
        }
    }
    open(scribe, name, here, vec![active])
}

/// The newest active session of the place, or a manual one that is opened for it.
pub(super) fn of_place(scribe: &Scribe<'_>, here: &Here) -> Result<Target> {
    let Some(repository) = &here.repository else {
        return Err(Fault::user("this directory is in no git repository, so its session is not known")
            .hint("name the session: --session ID"));
    };
    let active = SessionFilter { status: Some(SessionStatus::Active), ..SessionFilter::default() };
    let worktree = SessionFilter { worktree: Some(repository.worktree.clone()), ..active.clone() };
    let any = SessionFilter { repository: Some(repository.common_dir.clone()), ..active };
    let filters = vec![worktree, any];
    for filter in &filters {
        if let Some(session) = scribe.store.sessions(filter, Page::first(1))?.pop() {
            return Ok(Target::Known(Box::new(session)));
        }
    }
    open(scribe, &project_name(repository), here, filters)
}

/// Whether nobody would call a project so: hexadecimal digits and hyphens, as generated ids have them.
fn looks_like_id(name: &str) -> bool {
    name.len() >= 6
        && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_digit())
}

fn open(scribe: &Scribe<'_>, project: &str, here: &Here, unless: Vec<SessionFilter>) -> Result<Target> {
    let session_id = SessionId::generate(scribe.now);
    // A repository of another name says nothing about this project.
    let repository = here.repository.clone().filter(|found| project_name(found) == project);
    let start = SessionStart {
        event_version: EVENT_VERSION.into(),
        component_name: "session-buddy".into(),
        session_type: "manual".into(),
        shell_type: None,
        // No process: it lasts until somebody ends it.
        pid: 0,
        process: None,
        user: UserIdentity { username: scribe.hand.username.clone(), home: scribe.hand.home.clone() },
        hostname: scribe.hand.hostname.clone(),
        environment: Environment {
            platform: scribe.hand.platform.clone(),
            cwd: here.cwd.clone().unwrap_or_else(|| scribe.hand.home.clone()),
            python_version: None,
        },
        project: Some(project.to_owned()),
        repository,
        metadata: serde_json::Map::new(),
    };
    let data = match serde_json::to_value(&start) {
        Ok(Value::Object(data)) => data,
        _ => return Err(Fault::internal("a session start is no object")),
    };
    let event = Event {
        event_id: EventId::generate(scribe.now),
        event_type: EventType::known(EventType::SESSION_START),
        timestamp: scribe.now,
        // None, as what follows: a number would sort it behind what is written in the same moment.
        sequence: None,
        data,
    };
    Ok(Target::New(session_id, event, unless))
}
