//! Prompts and resources: sessions to read, and words to start from.
//!
//! A resource is what the tools answer too, at an address that a person can pick in a client: `session://ID` and
//! `session://ID/events`.

use std::sync::Arc;

use oneiric::count::counted;
use oneiric_server::mcp::{
    Document, Library, PromptDescription, Reading, ResourceLine, ResourcePage, Suggestions, TemplateDescription,
    ToolError, Typing,
};
use serde_json::{Map, Value};
use session_store::{Page, Session, SessionFilter, SessionPlace, Store};

use super::cursor::{Question, with_one_more};
use super::events::{MOST_BYTES, size};
use super::prompts;
use crate::desk::{Desk, to_value};

/// Sessions of one page of resources.
const PAGE: usize = 50;
/// Newest sessions among which ids and projects are suggested.
const SUGGESTED_AMONG: usize = 1_000;
/// Most suggestions that a client gets.
const SUGGESTIONS: usize = 100;
/// Events that one resource shows.
const EVENTS: usize = 1_000;

const JSON: &str = "application/json";

static TEMPLATES: [TemplateDescription; 2] = [
    TemplateDescription {
        uri_template: "session://{id}",
        name: "session",
        description: "A session with its metadata; id or unambiguous prefix.",
        mime_type: JSON,
    },
    TemplateDescription {
        uri_template: "session://{id}/events",
        name: "session events",
        description: "The newest 1,000 events of a session, in order.",
        mime_type: JSON,
    },
];

/// Prompts and resources over the desk.
pub struct Sessions {
    desk: Arc<Desk>,
}

impl Sessions {
    /// What `desk` has.
    #[must_use]
    pub const fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Does `work` with the store, where it may block.
    fn with_store<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, ToolError> + Send + 'static,
    ) -> Reading<'a, T> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                let store = desk.store()?;
                work(store.as_ref())
            });
            match done.await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(%error, "reading failed unexpectedly");
                    Err(ToolError::new("internal", "reading failed unexpectedly; the server's log says more"))
                }
            }
        })
    }
}

impl Library for Sessions {
    fn prompts(&self) -> &[PromptDescription] {
        &prompts::DESCRIBED
    }

    fn prompt<'a>(&'a self, name: &'a str, arguments: Map<String, Value>) -> Reading<'a, String> {
        let name = name.to_owned();
        self.with_store(move |store| prompts::write(store, &name, &arguments))
    }

    fn templates(&self) -> &[TemplateDescription] {
        &TEMPLATES
    }

    fn resources<'a>(&'a self, cursor: Option<&'a str>) -> Reading<'a, ResourcePage> {
        let question = Question::of("resources/list", &Value::Null);
        let place = cursor.map(|cursor| question.place(cursor, 0)).transpose();
        self.with_store(move |store| {
            let after = place?.map(|(start_time, session_id)| SessionPlace { start_time, session_id });
            let filter = SessionFilter { after, ..SessionFilter::default() };
            let mut sessions = store.sessions(&filter, Page::first(with_one_more(PAGE)))?;
            let more = sessions.len() > PAGE;
            sessions.truncate(PAGE);
            let last = sessions.last().filter(|_| more);
            Ok(ResourcePage {
                resources: sessions.iter().map(line).collect(),
                next: last.and_then(|last| question.cursor(&(last.start_time, &last.session_id))),
            })
        })
    }

    fn read<'a>(&'a self, uri: &'a str) -> Reading<'a, Document> {
        let address = Address::parse(uri);
        self.with_store(move |store| {
            let value = match address.ok_or_else(unknown_address)? {
                Address::Session(id) => to_value(&store.session(&id)?)?,
                Address::Events(id) => {
                    let session = store.session(&id)?;
                    let all = usize::try_from(session.event_count).unwrap_or(usize::MAX);
                    let (mut events, mut bytes) = (Vec::new(), 0);
                    store.walk_back(&store.resolve(&session.session_id)?, EVENTS, &mut |event| {
                        bytes += size(&event);
                        events.push(event);
                        bytes < MOST_BYTES
                    })?;
                    events.reverse();
                    serde_json::json!({
                        "session_id": session.session_id,
                        "event_count": session.event_count,
                        "omitted": all.saturating_sub(events.len()),
                        "events": to_value(&events)?,
                    })
                }
            };
            Ok(Document { mime_type: JSON, text: serde_json::to_string_pretty(&value).unwrap_or_default() })
        })
    }

    fn suggest<'a>(&'a self, of: Typing<'a>, argument: &'a str, typed: &'a str) -> Reading<'a, Suggestions> {
        let known = |name: &str| prompts::DESCRIBED.iter().any(|prompt| prompt.name == name);
        let wanted = match (of, argument) {
            (Typing::Prompt(name), _) if !known(name) => return Box::pin(async { Ok(Suggestions::default()) }),
            (Typing::Prompt(_), "session") | (Typing::Template(_), "id") => Wanted::Ids,
            (Typing::Prompt(_), "project") => Wanted::Projects,
            _ => return Box::pin(async { Ok(Suggestions::default()) }),
        };
        let typed = typed.to_owned();
        self.with_store(move |store| {
            let newest = store.sessions(&SessionFilter::default(), Page::first(SUGGESTED_AMONG))?;
            let mut values: Vec<String> = Vec::new();
            for session in newest {
                let value = match wanted {
                    Wanted::Ids => Some(session.session_id),
                    Wanted::Projects => session.project,
                };
                if let Some(value) = value.filter(|value| value.starts_with(&typed) && !values.contains(value)) {
                    values.push(value);
                }
                if values.len() > SUGGESTIONS {
                    break;
                }
            }
            let more = values.len() > SUGGESTIONS;
            values.truncate(SUGGESTIONS);
            Ok(Suggestions { values, more })
        })
    }
}

enum Wanted {
    Ids,
    Projects,
}

/// A resource's address, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Session(String),
    Events(String),
}

impl Address {
    fn parse(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("session://")?;
        let (id, events) = match rest.strip_suffix("/events") {
            Some(id) => (id, true),
            None => (rest, false),
        };
        if id.is_empty() || id.contains('/') {
            return None;
        }
        Some(if events { Self::Events(id.to_owned()) } else { Self::Session(id.to_owned()) })
    }
}

fn unknown_address() -> ToolError {
    ToolError::new("not_found", "there are session://ID and session://ID/events")
}

fn line(session: &Session) -> ResourceLine {
    let of = session.project.as_deref().unwrap_or(&session.component);
    ResourceLine {
        uri: format!("session://{}", session.session_id),
        name: format!("{of}, {}", session.start_time),
        description: format!(
            "{} session of {}, {}, {}, {}",
            session.session_type,
            session.component,
            session.status,
            counted(session.command_count, "command", "commands"),
            counted(session.error_count, "error", "errors")
        ),
        mime_type: JSON,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_session_or_its_events() {
        assert_eq!(Address::parse("session://abc"), Some(Address::Session("abc".into())));
        assert_eq!(Address::parse("session://abc/events"), Some(Address::Events("abc".into())));
        for wrong in
            ["session://", "session:///events", "session://a/b", "file:///etc/passwd", "", "session://a/events/x"]
        {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }
}
