//! What is written into a session by hand: messages, test results, checkpoints. Each is an event like any other.
//!
//! A [`Scribe`] writes what did not come from the session's own process. An event that reaches a session after its end is
//! marked `aside`, so that it changes neither the session's end nor its duration.

mod target;

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::fault::{Fault, Result};
use oneiric::id::{EventId, SessionId};
use oneiric::repository::RepositoryIdentity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Session, SessionStatus};
use crate::store::{Store, Unknown};
use target::Target;

/// Longest message, note, to-do or file name, in bytes.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Most to-dos, and most files, of one checkpoint.
pub const MAX_ITEMS: usize = 200;

/// Mark of an event that was added to a session which had ended.
pub const ASIDE: &str = "aside";

/// Who writes, and on which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Login name.
    pub username: String,
    /// Home directory.
    pub home: String,
    /// Machine.
    pub hostname: String,
    /// Operating system and architecture.
    pub platform: String,
}

/// Where the writer stands, for a session that has to be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Working directory.
    pub cwd: Option<String>,
    /// Its repository.
    pub repository: Option<RepositoryIdentity>,
}

/// What was written, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// The session that took it.
    pub session_id: String,
    /// The event.
    pub event_id: String,
    /// Whether the session was opened for it.
    #[schemars(skip)]
    pub opened: bool,
}

/// How a test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TestOutcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It did not run.
    Skipped,
    /// It could not be judged.
    Error,
}

/// A test's result.
#[derive(Clone, Debug, PartialEq)]
pub struct TestResult {
    /// What was tested.
    pub test_file: String,
    /// How it went.
    pub result: TestOutcome,
    /// Percent of lines that ran, 0 to 100.
    pub coverage: Option<f64>,
    /// Milliseconds it took.
    pub duration_ms: Option<f64>,
    /// What the test said, such as the failed assertion.
    pub message: Option<String>,
}

/// The state of the work at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// What to know.
    pub note: Option<String>,
    /// What is left to do; replaces the list of earlier checkpoints when it is given.
    pub todos: Option<Vec<String>>,
    /// Files that are worked on; replaces the list of earlier checkpoints when it is given.
    pub files: Option<Vec<String>>,
    /// Git's state.
    pub git: Option<RepositoryIdentity>,
}

/// Writes events by hand.
pub struct Scribe<'s> {
    store: &'s dyn Store,
    hand: &'s Hand,
    now: Timestamp,
}

impl<'s> Scribe<'s> {
    /// Writes into `store` as `hand`.
    #[must_use]
    pub fn new(store: &'s dyn Store, hand: &'s Hand, now: Timestamp) -> Self {
        Self { store, hand, now }
    }

    /// Adds a message. `to` is a session's id or an unambiguous beginning of it, or a project's name: then its newest
    /// active session takes the message, or a manual session is opened for it.
    ///
    /// # Errors
    /// `NotFound` when `to` looks like an id that nothing has, `User` when the text is empty or too long.
    pub fn message(&self, to: &str, text: &str, role: Option<&str>, here: &Here) -> Result<Recorded> {
        bounded("text", text)?;
        let mut data = Map::from_iter([("message".to_owned(), Value::from(text))]);
        if let Some(role) = role {
            bounded("role", role)?;
            data.insert("role".into(), role.into());
        }
        self.write(target::find_or_open(self, to, here)?, EventType::MESSAGE, data)
    }

    /// Adds a test's result to the session of that id, or that beginning of an id.
    ///
    /// # Errors
    /// `NotFound` when no session has it, `User` when a value is out of range.
    pub fn test_result(&self, session: &str, result: TestResult) -> Result<Recorded> {
        bounded("test_file", &result.test_file)?;
        let mut data = Map::from_iter([
            ("test_file".to_owned(), Value::from(result.test_file)),
            ("result".to_owned(), serde_json::to_value(result.result).unwrap_or_default()),
        ]);
        for (name, value, most) in [("coverage", result.coverage, 100.0), ("duration_ms", result.duration_ms, f64::MAX)]
        {
            let Some(value) = value else { continue };
            if !(0.0..=most).contains(&value) {
                let range = if most == 100.0 { "0 to 100" } else { "0 or more" };
                return Err(Fault::user(format!("{name} must be {range}")));
            }
            data.insert(name.into(), value.into());
        }
        if let Some(message) = result.message {
            bounded("message", &message)?;
            data.insert("message".into(), message.into());
        }
        let session = Box::new(self.store.session(session)?);
        self.write(Target::Known(session), EventType::TEST_RESULT, data)
    }

    /// Adds a checkpoint to the session of that id, or that beginning of an id.
    ///
    /// # Errors
    /// `NotFound` when no session has it, `User` when a text is too long or there are too many.
    pub fn checkpoint(&self, session: &str, checkpoint: Checkpoint) -> Result<Recorded> {
        let session = Box::new(self.store.session(session)?);
        self.write(Target::Known(session), EventType::CHECKPOINT, checkpoint.data()?)
    }

    /// Adds a checkpoint to the session of the directory: its worktree's newest active one, then its repository's; a
    /// manual session is opened when there is none.
    ///
    /// # Errors
    /// `User` when the directory is in no repository or a text is too long.
    pub fn checkpoint_here(&self, here: &Here, checkpoint: Checkpoint) -> Result<Recorded> {
        let data = checkpoint.data()?;
        self.write(target::of_place(self, here)?, EventType::CHECKPOINT, data)
    }

    /// Stores one event, in one transaction with the beginning of a session that is opened for it: all of it or nothing.
    fn write(&self, target: Target, kind: &'static str, data: Map<String, Value>) -> Result<Recorded> {
        let (session_id, start, unless) = match target {
            Target::Known(session) => return self.add(&session, kind, data),
            Target::New(session_id, start, unless) => (session_id, start, unless),
        };
        let event = event(kind, self.now, data.clone());
        let event_id = event.event_id.to_string();
        let batch = EventBatch { session_id: session_id.clone(), events: vec![start, event] };
        match self.store.ingest_unless(&batch, &unless)? {
            // Somebody else opened one since it was looked for.
            Some(session) => self.add(&session, kind, data),
            None => Ok(Recorded { session_id: session_id.to_string(), event_id, opened: true }),
        }
    }

    /// Adds one event to a session that is there.
    fn add(&self, session: &Session, kind: &'static str, mut data: Map<String, Value>) -> Result<Recorded> {
        if session.status != SessionStatus::Active {
            data.insert(ASIDE.into(), true.into());
        }
        // Of several that begin at once, one opens it after others have looked at the clock.
        let event = event(kind, self.now.max(session.start_time), data);
        let event_id = event.event_id.to_string();
        let batch = EventBatch { session_id: known(&session.session_id)?, events: vec![event] };
        let receipts = self.store.ingest(&[batch], Unknown::Refuse)?;
        match receipts.first().and_then(|receipt| receipt.rejected.first()) {
            Some(rejection) => Err(Fault::user(rejection.reason.clone())),
            None => Ok(Recorded { session_id: session.session_id.clone(), event_id, opened: false }),
        }
    }
}

fn event(kind: &'static str, at: Timestamp, data: Map<String, Value>) -> Event {
    Event { event_id: EventId::generate(at), event_type: EventType::known(kind), timestamp: at, sequence: None, data }
}

impl Checkpoint {
    fn data(self) -> Result<Map<String, Value>> {
        let mut data = Map::new();
        if let Some(note) = self.note {
            bounded("note", &note)?;
            data.insert("note".into(), note.into());
        }
        for (name, items) in [("todos", self.todos), ("files", self.files)] {
            let Some(items) = items else { continue };
            if items.len() > MAX_ITEMS {
                return Err(Fault::user(format!("{name}: {} are more than {MAX_ITEMS}", items.len())));
            }
            items.iter().try_for_each(|item| bounded(name, item))?;
            data.insert(name.into(), items.into());
        }
        if let Some(git) = self.git {
            data.insert("git".into(), serde_json::to_value(git).unwrap_or_default());
        }
        data.insert("manual".into(), true.into());
        Ok(data)
    }
}

pub(crate) fn known(id: &str) -> Result<SessionId> {
    SessionId::parse(id).map_err(|error| Fault::internal(format!("a stored session id is unusable: {error}")))
}

fn bounded(name: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Fault::user(format!("{name} is empty")));
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(Fault::user(format!("{name} has {} bytes, more than {MAX_TEXT_BYTES}", text.len()))
            .hint("keep long texts in a file and name it"));
    }
    Ok(())
}
