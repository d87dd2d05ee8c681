//! Links between sessions: one continues another, was caused by it, or is related to it.
//!
//! A link is an event in both sessions, stored in one transaction; so it is archived, exported and imported with them.
//! What holds is what the latest such event of a pair and kind says.

use std::collections::HashMap;

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::fault::{Fault, Result};
use oneiric::id::{EventId, SessionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{EventFilter, EventRow, Page};
use crate::remember::ASIDE;
use crate::store::{Store, Unknown};

/// Type of the events that carry links.
pub const SESSION_LINK: &str = "session_link";

/// Link events that are read at a time.
const AT_ONCE: usize = 1_000;

/// How one session belongs to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum LinkKind {
    /// The first goes on with the second one's work.
    Continues,
    /// They have to do with each other.
    #[default]
    Relates,
    /// The second made the first necessary.
    CausedBy,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Continues, Self::Relates, Self::CausedBy];

    /// The name that is stored and typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continues => "continues",
            Self::Relates => "relates",
            Self::CausedBy => "caused-by",
        }
    }

    /// As the second session sees it.
    #[must_use]
    pub const fn seen_back(self) -> &'static str {
        match self {
            Self::Continues => "continued by",
            Self::Relates => "relates to",
            Self::CausedBy => "caused",
        }
    }

    /// As the first session sees it.
    #[must_use]
    pub const fn seen(self) -> &'static str {
        match self {
            Self::Continues => "continues",
            Self::Relates => "relates to",
            Self::CausedBy => "caused by",
        }
    }
}

/// A link as one of its sessions sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The other session.
    pub session_id: String,
    /// The kind.
    pub kind: LinkKind,
    /// In words, from the side of the session that was asked for: `continues`, `continued by`, `caused`, …
    pub relation: String,
    /// When it was made.
    pub since: Timestamp,
    /// The event that says so.
    pub event_id: String,
}

/// Links `from` to `to`, or takes that link away. Both are ids or unambiguous beginnings of them. `false` when it was so
/// before.
///
/// # Errors
/// `NotFound` when a session is not known, `User` when both are the same.
pub fn set(
    store: &dyn Store,
    from: &str,
    to: &str,
    kind: LinkKind,
    present: bool,
    now: Timestamp,
) -> Result<(SessionId, SessionId, bool)> {
    let (from, to) = (store.resolve(from)?, store.resolve(to)?);
    if from == to {
        return Err(Fault::user(format!("{from} cannot be linked to itself")));
    }
    let linked = of(store, from.as_str())?
        .iter()
        .any(|link| link.session_id == to.as_str() && link.kind == kind && link.relation == kind.seen());
    if linked == present {
        return Ok((from, to, false));
    }
    let event = |side: &str, other: &SessionId| {
        let mut data = Map::from_iter([
            ("kind".to_owned(), Value::from(kind.as_str())),
            (side.to_owned(), Value::from(other.as_str())),
            (ASIDE.to_owned(), true.into()),
        ]);
        if !present {
            data.insert("removed".into(), true.into());
        }
        Event {
            event_id: EventId::generate(now),
            event_type: EventType::known(SESSION_LINK),
            timestamp: now,
            sequence: None,
            data,
        }
    };
    let batches = [
        EventBatch { session_id: from.clone(), events: vec![event("to", &to)] },
        EventBatch { session_id: to.clone(), events: vec![event("from", &from)] },
    ];
    let receipts = store.ingest(&batches, Unknown::Refuse)?;
    match receipts.iter().find_map(|receipt| receipt.rejected.first()) {
        Some(rejection) => Err(Fault::user(rejection.reason.clone())),
        None => Ok((from, to, true)),
    }
}

/// The links of a session, oldest first.
///
/// # Errors
/// `NotFound` when the session is not known.
pub fn of(store: &dyn Store, session: &str) -> Result<Vec<Link>> {
    let id = store.resolve(session)?;
    let filter = EventFilter {
        session: Some(id.as_str().to_owned()),
        event_type: Some(SESSION_LINK.to_owned()),
        ..EventFilter::default()
    };
    let mut links = Links::default();
    for offset in (0..).step_by(AT_ONCE) {
        let events = store.events(&filter, Page { limit: AT_ONCE, offset })?;
        let last = events.len() < AT_ONCE;
        events.into_iter().for_each(|event| links.read(event));
        if last {
            break;
        }
    }
    Ok(links.in_order())
}

/// What the events that were read say.
#[derive(Default)]
struct Links {
    /// Each with its place, by the other session and the relation.
    standing: HashMap<(String, &'static str), (usize, Link)>,
    read: usize,
}

impl Links {
    fn read(&mut self, event: EventRow) {
        self.read += 1;
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        let Some(kind) = text("kind").and_then(|name| LinkKind::ALL.into_iter().find(|kind| kind.as_str() == name))
        else {
            return;
        };
        let (other, relation) = match (text("to"), text("from")) {
            (Some(other), _) => (other.to_owned(), kind.seen()),
            (None, Some(other)) => (other.to_owned(), kind.seen_back()),
            (None, None) => return,
        };
        if event.data.get("removed") == Some(&Value::Bool(true)) {
            self.standing.remove(&(other, relation));
            return;
        }
        let link = Link {
            session_id: other.clone(),
            kind,
            relation: relation.to_owned(),
            since: event.timestamp,
            event_id: event.event_id,
        };
        self.standing.insert((other, relation), (self.read, link));
    }

    fn in_order(self) -> Vec<Link> {
        let mut links: Vec<(usize, Link)> = self.standing.into_values().collect();
        links.sort_unstable_by_key(|(place, _)| *place);
        links.into_iter().map(|(_, link)| link).collect()
    }
}
