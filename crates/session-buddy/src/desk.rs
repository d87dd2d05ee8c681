//! The desk: requests that any door may bring, and the answers.
//!
//! A request is a type; its answer is JSON, the same for an MCP client, a command that asks the running server, and a
//! command that opens the database itself.

use std::sync::Arc;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, FaultKind};
use oneiric::settings::Surroundings;
use oneiric_server::mcp::{Arguments, ToolError};
use serde::Serialize;
use serde_json::{Map, Value};
use session_store::Store;
use session_store::remember::{Hand, Scribe};

use crate::mcp::keeping::{self, Keeping};
use crate::mcp::{analytics, events, health, links, remember, resume, search, sessions, upkeep};
use crate::server::facts::Facts;
use crate::server::meaning::Semantics;
use crate::server::meters::Meters;

/// What can be asked, by tool.
#[derive(Debug)]
pub enum Request {
    /// `track_session_start`
    TrackSessionStart(Box<sessions::TrackSessionStart>),
    /// `track_session_end`
    TrackSessionEnd(sessions::TrackSessionEnd),
    /// `track_events`
    TrackEvents(events::TrackEvents),
    /// `list_sessions`
    ListSessions(sessions::ListSessions),
    /// `get_session`
    GetSession(sessions::GetSession),
    /// `list_events`
    ListEvents(events::ListEvents),
    /// `search`
    Search(search::Search),
    /// `archive_sessions`
    ArchiveSessions(upkeep::ArchiveSessions),
    /// `restore_sessions`
    RestoreSessions(upkeep::RestoreSessions),
    /// `add_message`
    AddMessage(remember::AddMessage),
    /// `store_test_result`
    StoreTestResult(remember::StoreTestResult),
    /// `checkpoint`
    Checkpoint(remember::MakeCheckpoint),
    /// `resume_context`
    ResumeContext(resume::ResumeContext),
    /// `link_sessions`
    LinkSessions(links::LinkSessions),
    /// `session_links`
    SessionLinks(links::SessionLinks),
    /// `analytics_sessions`
    AnalyticsSessions(analytics::AnalyticsSessions),
    /// `retention_preview`
    RetentionPreview,
    /// `retention_apply`
    RetentionApply,
    /// `list_backups`
    ListBackups,
    /// `create_backup`
    CreateBackup,
    /// `health_check`
    HealthCheck,
}

impl Request {
    /// Reads the arguments of the tool `name`.
    ///
    /// # Errors
    /// Code `invalid_arguments`, naming the field.
    pub fn read(name: &str, arguments: Arguments<'_>) -> Result<Self, ToolError> {
        // Any call may carry its token as an argument; it has been judged before.
        let plain = |arguments: Arguments<'_>| {
            let mut map: Map<String, Value> = arguments.parse()?;
            map.remove("token");
            Ok::<_, ToolError>(Arguments::Parsed(map))
        };
        Ok(match name {
            "track_session_start" => Self::TrackSessionStart(arguments.parse()?),
            "track_session_end" => Self::TrackSessionEnd(arguments.parse()?),
            "track_events" => Self::TrackEvents(events::TrackEvents::read(arguments)?),
            "list_sessions" => Self::ListSessions(plain(arguments)?.parse()?),
            "get_session" => Self::GetSession(plain(arguments)?.parse()?),
            "list_events" => Self::ListEvents(plain(arguments)?.parse()?),
            "search" => Self::Search(plain(arguments)?.parse()?),
            "archive_sessions" => Self::ArchiveSessions(plain(arguments)?.parse()?),
            "restore_sessions" => Self::RestoreSessions(plain(arguments)?.parse()?),
            "analytics_sessions" => Self::AnalyticsSessions(plain(arguments)?.parse()?),
            "add_message" => Self::AddMessage(plain(arguments)?.parse()?),
            "store_test_result" => Self::StoreTestResult(plain(arguments)?.parse()?),
            "checkpoint" => Self::Checkpoint(plain(arguments)?.parse()?),
            "resume_context" => Self::ResumeContext(plain(arguments)?.parse()?),
            "link_sessions" => Self::LinkSessions(plain(arguments)?.parse()?),
            "session_links" => Self::SessionLinks(plain(arguments)?.parse()?),
            "retention_preview" | "retention_apply" | "list_backups" | "create_backup" => {
                plain(arguments)?.parse::<keeping::Nothing>()?;
                match name {
                    "retention_preview" => Self::RetentionPreview,
                    "retention_apply" => Self::RetentionApply,
                    "list_backups" => Self::ListBackups,
                    _ => Self::CreateBackup,
                }
            }
            "health_check" => {
                plain(arguments)?.parse::<health::HealthCheck>()?;
                Self::HealthCheck
            }
            other => return Err(ToolError::new("invalid_request", format!("no tool '{other}'"))),
        })
    }
}

/// Gives the store, opening it when that has not happened yet.
pub trait Shelf: Send + Sync {
    /// The store.
    ///
    /// # Errors
    /// Why it cannot be opened; the next call tries again.
    fn store(&self) -> Result<Arc<dyn Store>, Fault>;
}

/// A store that is open already.
pub struct Open(pub Arc<dyn Store>);

impl Shelf for Open {
    fn store(&self) -> Result<Arc<dyn Store>, Fault> {
        Ok(Arc::clone(&self.0))
    }
}

/// Answers requests. Calls block.
pub struct Desk {
    shelf: Arc<dyn Shelf>,
    clock: Arc<dyn Clock>,
    meters: Arc<Meters>,
    facts: Facts,
    hand: Hand,
    semantics: Arc<Semantics>,
    keeping: Option<Keeping>,
}

impl Desk {
    /// A desk over `shelf`.
    #[must_use]
    pub fn new(shelf: Arc<dyn Shelf>, clock: Arc<dyn Clock>, facts: Facts) -> Self {
        Self {
            semantics: Arc::new(Semantics::off(Arc::clone(&clock))),
            shelf,
            clock,
            meters: Arc::new(Meters::default()),
            facts,
            hand: crate::hand::of_process(&Surroundings::default()),
            keeping: None,
        }
    }

    /// Says whose hand writes what is added by hand.
    #[must_use]
    pub fn written_by(mut self, hand: Hand) -> Self {
        self.hand = hand;
        self
    }

    /// Says where backups are, and the rules of retention.
    #[must_use]
    pub fn keeping_by(mut self, keeping: Keeping) -> Self {
        self.keeping = Some(keeping);
        self
    }

    /// Has it search by meaning too.
    #[must_use]
    pub fn searching_by(mut self, semantics: Arc<Semantics>) -> Self {
        self.facts = self.facts.of_semantics(Arc::clone(&semantics));
        self.semantics = semantics;
        self
    }

    /// Search by meaning.
    #[must_use]
    pub fn semantics(&self) -> &Arc<Semantics> {
        &self.semantics
    }

    /// The store.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn store(&self) -> Result<Arc<dyn Store>, Fault> {
        self.shelf.store()
    }

    /// Latencies since the start.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// What is known of this process.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The clock that answers go by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    fn scribe<'s>(&'s self, store: &'s dyn Store) -> Scribe<'s> {
        Scribe::new(store, &self.hand, self.clock.now())
    }

    fn keeping(&self) -> Result<&Keeping, ToolError> {
        self.keeping.as_ref().ok_or_else(|| Fault::unavailable("this process keeps no backups and no rules").into())
    }

    /// Answers `request`.
    ///
    /// # Errors
    /// What the caller should read.
    pub fn answer(&self, request: Request) -> Result<Value, ToolError> {
        if matches!(request, Request::HealthCheck) {
            return to_value(&self.facts.report(self.shelf.as_ref()));
        }
        let store = self.store()?;
        let began = self.clock.monotonic();
        let took = |since| self.clock.monotonic().saturating_sub(since);
        match request {
            Request::TrackSessionStart(input) => {
                let answer = input.run(store.as_ref());
                self.meters.ingest.record(took(began));
                answer
            }
            Request::TrackSessionEnd(input) => {
                let answer = input.run(store.as_ref());
                self.meters.ingest.record(took(began));
                answer
            }
            Request::TrackEvents(input) => {
                let answer = input.run(store.as_ref());
                self.meters.ingest.record(took(began));
                answer
            }
            Request::ListSessions(input) => input.run(store.as_ref()),
            Request::GetSession(input) => input.run(store.as_ref()),
            Request::ListEvents(input) => input.run(store.as_ref()),
            Request::Search(input) => {
                let answer = input.run(&store, &self.semantics);
                let mode = answer.as_ref().ok().and_then(|found| found["mode"].as_str());
                self.meters.search(mode).record(took(began));
                answer
            }
            Request::ArchiveSessions(input) => input.run(store.as_ref(), self.clock()),
            Request::RestoreSessions(input) => input.run(store.as_ref()),
            Request::AnalyticsSessions(input) => input.run(store.as_ref(), self.clock.now()),
            Request::AddMessage(input) => input.run(&self.scribe(store.as_ref())),
            Request::StoreTestResult(input) => input.run(&self.scribe(store.as_ref())),
            Request::Checkpoint(input) => input.run(store.as_ref(), &self.scribe(store.as_ref())),
            Request::ResumeContext(input) => input.run(store.as_ref()),
            Request::LinkSessions(input) => input.run(store.as_ref(), self.clock.now()),
            Request::SessionLinks(input) => input.run(store.as_ref()),
            Request::RetentionPreview => keeping::preview(self.keeping()?, store.as_ref(), self.clock.now()),
            Request::RetentionApply => keeping::apply(self.keeping()?, store.as_ref(), self.clock.now()),
            Request::ListBackups => keeping::list(self.keeping()?),
            Request::CreateBackup => keeping::create(self.keeping()?),
            Request::HealthCheck => to_value(&self.facts.report(self.shelf.as_ref())),
        }
    }
}

/// An answer as JSON.
///
/// # Errors
/// A defect: all answers can be written as JSON.
pub(crate) fn to_value(answer: &impl Serialize) -> Result<Value, ToolError> {
    serde_json::to_value(answer)
        .map_err(|error| ToolError::new(FaultKind::Internal.code(), format!("cannot write the answer: {error}")))
}
