//! The MCP door: which tools there are, what they take and answer.

pub mod analytics;
mod cursor;
pub mod events;
pub mod health;
pub mod keeping;
pub mod library;
pub mod links;
pub mod prompts;
pub mod remember;
pub mod resume;
pub mod search;
pub mod sessions;
pub(crate) mod times;
pub mod upkeep;

use std::sync::Arc;

use oneiric::token::Scope;
use oneiric_server::mcp::{
    Arguments, Effect, Handler, Profile, ServerCard, ToolDescription, ToolFuture, ToolSet, blocking,
};

use session_store::brief::Brief;
use session_store::remember::Recorded;
use session_store::upkeep::Amount;

use crate::desk::{Desk, Request};

/// How the server presents itself to clients.
pub const CARD: ServerCard = ServerCard {
    name: crate::PRODUCT,
    version: crate::VERSION,
    instructions: "Keeps work sessions (admin shells, agents) and their events. Use search to find what was done before, \
                   list_sessions and get_session to look closer, list_events for the commands of a session. To record: \
                   track_session_start, then track_events with its session_id, then track_session_end. Where session_id \
                   may be left out, your own session is meant.",
};

/// The argument that a client with a session of its own may leave out.
const OWN: &str = "session_id";
/// What to do without one.
const NO_OWN: &str = "name a session; this client has none of its own";

/// The tools of Session-Buddy.
pub struct Tools {
    desk: Arc<Desk>,
    described: Vec<ToolDescription>,
    profile: Profile,
}

impl Tools {
    /// The tools, answered by `desk`.
    #[must_use]
    pub fn new(desk: Arc<Desk>) -> Self {
        Self { desk, described: descriptions(), profile: Profile::default() }
    }

    /// The same, with the tools of `profile` in the list. All of them can be called.
    #[must_use]
    pub fn listing(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// A protocol handler over `desk`, with the tools of `profile` in the list.
    #[must_use]
    pub fn handler(desk: Arc<Desk>, profile: Profile) -> Handler {
        let library = library::Sessions::new(Arc::clone(&desk));
        Handler::new(CARD, Arc::new(Self::new(desk).listing(profile))).with_library(Arc::new(library))
    }
}

fn descriptions() -> Vec<ToolDescription> {
    vec![
        ToolDescription::of::<sessions::TrackSessionStart, sessions::Tracked>(
            "track_session_start",
            "Record that a session began.",
            Effect::AddsOnce,
        ),
        ToolDescription::of::<sessions::TrackSessionEnd, sessions::Tracked>(
            "track_session_end",
            "Record that a session ended.",
            Effect::AddsOnce,
        ),
        ToolDescription::of::<events::TrackEvents, events::Receipt>(
            "track_events",
            "Record events of a session; each event_id is stored once.",
            Effect::AddsOnce,
        )
        .filling(OWN),
        ToolDescription::of::<sessions::ListSessions, sessions::SessionList>(
            "list_sessions",
            "List sessions, newest first.",
            Effect::Reads,
        )
        .in_profile(Profile::Minimal),
        ToolDescription::of::<sessions::GetSession, sessions::SessionShape>(
            "get_session",
            "One session with its metadata.",
            Effect::Reads,
        )
        .filling(OWN)
        .in_profile(Profile::Minimal),
        ToolDescription::of::<events::ListEvents, events::EventList>(
            "list_events",
            "Events of a session in order, such as commands with exit code and output.",
            Effect::Reads,
        )
        .in_profile(Profile::Minimal),
        ToolDescription::of::<search::Search, search::Found>(
            "search",
            "Find events by words; supports \"phrases\", prefix* and -exclusions.",
            Effect::Reads,
        )
        .in_profile(Profile::Minimal),
        ToolDescription::of::<remember::AddMessage, Recorded>(
            "add_message",
            "Add a note to a session; a project's name opens one if none is active.",
            Effect::Adds,
        )
        .filling(OWN),
        ToolDescription::of::<remember::MakeCheckpoint, remember::CheckpointMade>(
            "checkpoint",
            "Keep the state of the work, with git's, to go on from later.",
            Effect::Adds,
        )
        .filling(OWN),
        ToolDescription::of::<resume::ResumeContext, Brief>(
            "resume_context",
            "A brief to go on from: last commands, unsolved errors, tests, to-dos, each cited.",
            Effect::Reads,
        ),
        ToolDescription::of::<remember::StoreTestResult, remember::TestStored>(
            "store_test_result",
            "Record a test's result in a session.",
            Effect::Adds,
        )
        .filling(OWN)
        .in_profile(Profile::Full),
        ToolDescription::of::<links::LinkSessions, links::Linked>(
            "link_sessions",
            "Say that a session continues, relates to or was caused by another.",
            Effect::AddsOnce,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<links::SessionLinks, links::LinkList>(
            "session_links",
            "Sessions that a session is linked to.",
            Effect::Reads,
        )
        .filling(OWN)
        .in_profile(Profile::Full),
        ToolDescription::of::<upkeep::ArchiveSessions, upkeep::Moved>(
            "archive_sessions",
            "Move finished sessions older than some days to the archive.",
            Effect::AddsOnce,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<upkeep::RestoreSessions, upkeep::Moved>(
            "restore_sessions",
            "Move archived sessions back.",
            Effect::AddsOnce,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<keeping::Nothing, keeping::Effects>(
            "retention_preview",
            "What the rules of retention would delete now.",
            Effect::Reads,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<keeping::Nothing, Amount>(
            "retention_apply",
            "Delete what the rules of retention mean, for good.",
            Effect::Deletes,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<keeping::Nothing, keeping::BackupList>(
            "list_backups",
            "Backups of the database, newest first.",
            Effect::Reads,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<keeping::Nothing, keeping::BackupShape>(
            "create_backup",
            "Make a checked, compressed copy of the database.",
            Effect::Adds,
        )
        .in_profile(Profile::Full)
        .needing(Scope::Admin),
        ToolDescription::of::<analytics::AnalyticsSessions, analytics::AnalyticsShape>(
            "analytics_sessions",
            "Figures over recent sessions: totals, durations, by component, day and hour.",
            Effect::Reads,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<health::HealthCheck, oneiric_server::health::Report>(
            "health_check",
            "State of the server and its parts.",
            Effect::Reads,
        ),
    ]
}

impl ToolSet for Tools {
    fn tools(&self) -> &[ToolDescription] {
        &self.described
    }

    fn profile(&self) -> Profile {
        self.profile
    }

    fn call<'a>(&'a self, name: &'a str, arguments: Arguments<'a>, _who: &'a str) -> ToolFuture<'a> {
        let request = Request::read(name, arguments);
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let request = request.map_err(|error| match error.message() {
                "missing field `session_id`" => error.with("field", OWN).with("hint", NO_OWN),
                _ => error,
            })?;
            blocking(move || desk.answer(request)).await
        })
    }
}
