//! Where a command gets its answers: from the running server, or else from the database itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock, Timestamp};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::run_file::{self, ServerInfo};
use oneiric::settings::{Settings, Surroundings};
use oneiric::spool;
use oneiric_client::{Peer, PeerError, TokenSource};
use oneiric_server::mcp::ToolError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use session_store::Store;
use session_store::sqlite::stray;

use super::options::told;
use super::output::{Screen, note};
use crate::PRODUCT;
use crate::desk::{Desk, Open, Request};
use crate::mcp::analytics::AnalyticsSessions;
use crate::mcp::links::{LinkSessions, SessionLinks};
use crate::mcp::remember::{AddMessage, MakeCheckpoint, StoreTestResult};
use crate::mcp::resume::ResumeContext;
use crate::mcp::sessions::{GetSession, ListSessions, TrackSessionEnd, TrackSessionStart};
use crate::mcp::{events::ListEvents, search::Search};
use crate::server::access::Access;
use crate::server::capture;
use crate::server::facts::{Facts, authentication};
use crate::server::launch;
use crate::server::meaning::Semantics;
use crate::server::model::Choice;

/// Longest time that the running server gets; then the database is read directly.
const SERVER_LIMIT: Duration = Duration::from_secs(2);

/// The same for work on all of its sessions, when they are in its memory.
const UPKEEP_LIMIT: Duration = Duration::from_secs(60);

/// Longest time for what ended shells left behind, before the question itself.
const SPOOL_LIMIT: Duration = Duration::from_millis(500);

/// A request that can go either way.
pub(super) trait Question: Serialize {
    /// Its tool.
    const TOOL: &'static str;
    /// The tool's arguments whose names an error may begin with, each with the option that stands for it.
    const OPTIONS: &'static [(&'static str, &'static str)] = &[];
    /// For the desk.
    fn request(self) -> Request;
}

macro_rules! question {
    ($type:ty, $tool:literal, $variant:ident $(, $argument:literal = $option:literal)*) => {
        impl Question for $type {
            const TOOL: &'static str = $tool;
            const OPTIONS: &'static [(&'static str, &'static str)] = &[$(($argument, $option)),*];
            fn request(self) -> Request {
                Request::$variant(self)
            }
        }
    };
}

question!(ListSessions, "list_sessions", ListSessions, "limit" = "--limit", "offset" = "--offset");
question!(GetSession, "get_session", GetSession);
question!(ListEvents, "list_events", ListEvents, "limit" = "--limit", "offset" = "--offset");
question!(Search, "search", Search, "limit" = "--limit", "cursor" = "--cursor", "max_tokens" = "--max-tokens");
question!(
    AnalyticsSessions,
    "analytics_sessions",
    AnalyticsSessions,
    "range_days" = "--range",
    "since" = "--range",
    "timezone" = "--timezone"
);
question!(AddMessage, "add_message", AddMessage, "text" = "TEXT", "role" = "--role");
question!(
    StoreTestResult,
    "store_test_result",
    StoreTestResult,
    "test_file" = "TEST_FILE",
    "coverage" = "--coverage",
    "duration_ms" = "--duration-ms",
    "message" = "--message"
);
question!(MakeCheckpoint, "checkpoint", Checkpoint, "note" = "--note", "todos" = "--todo", "files" = "--file");
question!(ResumeContext, "resume_context", ResumeContext, "max_tokens" = "--max-tokens");
question!(LinkSessions, "link_sessions", LinkSessions);
question!(TrackSessionEnd, "track_session_end", TrackSessionEnd);
question!(SessionLinks, "session_links", SessionLinks);

impl Question for TrackSessionStart {
    const TOOL: &'static str = "track_session_start";
    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("component_name", "--component"), ("session_id", "--id"), ("project", "--project")];
    fn request(self) -> Request {
        Request::TrackSessionStart(Box::new(self))
    }
}

/// What every command needs.
pub(super) struct Context {
    /// Surroundings of the process.
    pub(super) surroundings: Surroundings,
    /// Settings.
    pub(super) settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Context {
    /// Loads the settings.
    ///
    /// # Errors
    /// Configuration.
    pub(super) fn new(surroundings: Surroundings) -> Result<Self> {
        let settings = launch::load(&surroundings)?;
        // Before anything opens the database.
        if let Some(aside) = stray::set_aside(&settings.path("database.path"))? {
            note(&format!("Note: {aside}"));
        }
        Ok(Self { surroundings, settings, clock: Arc::new(SystemClock) })
    }

    /// The time now.
    #[must_use]
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The terminal.
    #[must_use]
    pub(super) fn screen(&self) -> Screen {
        let var = |name: &str| self.surroundings.vars.get(name).filter(|value| !value.is_empty());
        let plain = var("NO_COLOR").is_some() || var("TERM").is_some_and(|term| term == "dumb");
        Screen::new(var("COLUMNS").map(String::as_str), plain)
    }

    /// The server of this home, when it runs.
    #[must_use]
    pub(super) fn server(&self) -> Option<ServerInfo> {
        run_file::running(self.settings.home(), PRODUCT)
    }

    /// The running server's door.
    ///
    /// # Errors
    /// Configuration: auth is on and its secret is no good.
    pub(super) fn peer(&self, info: &ServerInfo) -> Result<Peer> {
        let given = self.settings.secret("token").map(|token| token.expose().to_owned());
        let access = Access::from_settings(&self.settings)?;
        let clock = Arc::clone(&self.clock);
        let source: TokenSource = Box::new(move || {
            given.clone().or_else(|| access.as_ref().and_then(|access| access.own_token(clock.as_ref())))
        });
        Ok(Peer::new(&format!("http://{}", reachable(&info.address)), Some(source)))
    }

    /// Answers from the running server, or from the database when there is none or it does not answer.
    ///
    /// # Errors
    /// What the server or the store says.
    pub(super) fn ask<Q: Question>(&self, question: Q) -> Result<Value> {
        if let Some(info) = self.server().filter(|info| info.transport == "http") {
            match self.ask_server(&info, &question) {
                Ok(answer) => return Ok(answer),
                Err(error @ (PeerError::Tool { .. } | PeerError::Denied(_))) => {
                    return Err(told(error.into(), Q::OPTIONS));
                }
                Err(error) if info.database == "memory" => {
                    return Err(Fault::from(error)
                        .hint("its sessions are in its memory only: restart it, or start it in standard mode"));
                }
                Err(error) => note(&format!("Note: the server does not answer ({error}); reading the database itself")),
            }
        }
        let desk = self.own_desk()?;
        desk.answer(question.request()).map_err(|error| told(fault_of(&error), Q::OPTIONS))
    }

    fn ask_server<Q: Question>(&self, info: &ServerInfo, question: &Q) -> std::result::Result<Value, PeerError> {
        let arguments = match serde_json::to_value(question) {
            Ok(Value::Object(arguments)) => arguments,
            _ => Map::new(),
        };
        let peer = self.peer(info).map_err(|fault| PeerError::Denied(fault.to_string()))?;
        if info.database != "memory" {
            // What a shell left a moment ago belongs into the answer; the server itself looks every second.
            for folder in launch::spools(&self.settings, &self.surroundings) {
                let _ = spool::drain(&folder, &peer, self.clock.as_ref(), SPOOL_LIMIT);
            }
        }
        peer.call_tool(Q::TOOL, arguments, SERVER_LIMIT)
    }

    /// The answer of a server that has its sessions in memory; `None` when they are in a file, which this process opens.
    ///
    /// # Errors
    /// What the server says.
    pub(super) fn ask_memory<T: DeserializeOwned>(&self, tool: &str, wish: &impl Serialize) -> Result<Option<T>> {
        let Some(info) = self.server().filter(|info| info.database == "memory") else { return Ok(None) };
        let arguments = match serde_json::to_value(wish) {
            Ok(Value::Object(arguments)) => arguments,
            _ => Map::new(),
        };
        Ok(Some(read(self.peer(&info)?.call_tool(tool, arguments, UPKEEP_LIMIT)?)?))
    }

    /// A desk over the database itself, after what ended shells left behind has been taken in.
    ///
    /// # Errors
    /// Configuration, or the database cannot be opened.
    pub(super) fn own_desk(&self) -> Result<Desk> {
        let store = launch::archive(&self.settings)?.open_for_command(Arc::clone(&self.clock))?;
        let spools = launch::spools(&self.settings, &self.surroundings);
        if let Some(trouble) = capture::drain(&store, &spools, self.clock.as_ref()) {
            note(&format!("Note: some events are still in a spool ({trouble})"));
        }
        capture::mark_stale(store.as_ref(), self.clock.as_ref());
        let facts = self.facts(spools);
        Ok(Desk::new(Arc::new(Open(store)), Arc::clone(&self.clock), facts)
            .written_by(crate::hand::of_process(&self.surroundings))
            .searching_by(self.semantics()?))
    }

    /// Search by meaning over the database of this home.
    ///
    /// # Errors
    /// Configuration.
    pub(super) fn semantics(&self) -> Result<Arc<Semantics>> {
        let archive = launch::archive(&self.settings)?;
        Ok(Arc::new(Semantics::new(Choice::new(&self.settings), &archive, Arc::clone(&self.clock))))
    }

    /// The store itself, for work that is too large for one answer of the server. Several processes may use one database.
    ///
    /// # Errors
    /// Unavailable while a server keeps its sessions in its memory; else as [`Context::own_desk`].
    pub(super) fn own_store(&self, command: &str) -> Result<Arc<dyn Store>> {
        if self.server().is_some_and(|info| info.database == "memory") {
            return Err(Fault::unavailable(format!(
                "{command} needs a database, and the running server keeps its sessions in memory"
            ))
            .hint("stop it, or start it in standard mode: session-buddy mcp stop"));
        }
        self.own_desk()?.store()
    }

    /// Facts of an installation whose server does not run.
    #[must_use]
    pub(super) fn facts(&self, spools: Vec<std::path::PathBuf>) -> Facts {
        let access = Access::from_settings(&self.settings);
        Facts::new(&self.settings, "standard", authentication(access.as_ref().map(Option::as_ref)), spools)
    }
}

/// An address that can be connected to, for one that was listened on.
pub(super) fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(mut socket) if socket.ip().is_unspecified() => {
            socket.set_ip(if socket.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
            socket.to_string()
        }
        _ => address.to_owned(),
    }
}

/// A tool's error as a fault of the command.
pub(super) fn fault_of(error: &ToolError) -> Fault {
    let fault = Fault::new(FaultKind::from_code(error.code()), error.message());
    match error.to_value().get("hint").and_then(Value::as_str) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// Reads an answer as `T`.
///
/// # Errors
/// Unavailable when the server answers with something else, as another version may.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).map_err(|error| {
        Fault::unavailable(format!("the server's answer is not understood: {error}"))
            .hint("restart it, so that it is of the same version: session-buddy mcp restart")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:8678"), "127.0.0.1:8678");
        assert_eq!(reachable("[::]:8678"), "[::1]:8678");
        assert_eq!(reachable("127.0.0.1:1"), "127.0.0.1:1");
    }

    #[test]
    fn tool_errors_keep_their_kind_and_hint() {
        let fault = fault_of(&ToolError::from(Fault::not_found("Invalid session ID 'x'").hint("nearest: y")));
        assert_eq!(
            (fault.kind(), fault.to_string().as_str()),
            (FaultKind::NotFound, "Invalid session ID 'x'; nearest: y")
        );
    }
}
