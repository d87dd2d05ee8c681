//! Other engines that work is handed to: Prefect, Agno, LlamaIndex. Each is its own server; here is only what asks it.
//!
//! What an engine says is evidence, not truth: [`watch`] decides what becomes of a run from what was seen of it, and when.

pub mod agno;
mod form;
pub(crate) mod hints;
pub mod http;
pub mod llamaindex;
pub mod prefect;
mod registry;
pub mod watch;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use oneiric::fault::{Fault, FaultKind};
use oneiric::secret::Secret;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::hints::{Hints, Subscription};
pub use self::registry::{Adapters, FRESH, State};
use crate::workflows::fact::Outcome;

/// Most targets that an engine is asked for.
const MOST_TARGETS: usize = 200;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Prefect: deployments.
    Prefect,
    /// Agno's AgentOS: agents, teams, workflows.
    Agno,
    /// LlamaIndex's workflow server: workflows.
    LlamaIndex,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Prefect, Self::LlamaIndex, Self::Agno];

    /// Its name in settings, plans and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefect => "prefect",
            Self::Agno => "agno",
            Self::LlamaIndex => "llamaindex",
        }
    }

    /// What its targets are called.
    #[must_use]
    pub const fn targets(self) -> &'static str {
        match self {
            Self::Prefect => "deployments, as FLOW/DEPLOYMENT",
            Self::Agno => "agents, teams and workflows, as agents/ID, teams/ID, workflows/ID",
            Self::LlamaIndex => "workflows, by name",
        }
    }

    /// The engine with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an engine is reached and watched.
#[derive(Clone, Debug)]
pub struct AdapterSettings {
    /// Which.
    pub kind: Kind,
    /// Whether work may be handed to it.
    pub enabled: bool,
    /// Its address.
    pub url: String,
    /// What it asks for: a token, or `user:password` for Prefect.
    pub auth: Option<Secret>,
    /// Longest time between two looks at a run.
    pub poll: Duration,
    /// How long a run may say that it runs without any sign of going on; never over without.
    pub liveness: Option<Duration>,
    /// The same when there is reason to doubt it: the engine was started anew, or nobody takes its runs.
    pub doubt: Duration,
    /// How long an engine may give no sensible answer about a run.
    pub patience: Duration,
    /// How long a run that was asked to stop may take to say that it has.
    pub cancelling: Duration,
}

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens there: nothing was asked.
    Unreachable(String),
    /// The question was perhaps heard; no answer came.
    Silent(String),
    /// It asks for patience, perhaps for so long.
    Busy(String, Option<Duration>),
    /// It wants other credentials.
    Denied(String),
    /// It has no such thing.
    NotFound(String),
    /// It will not do this, however often it is asked.
    Refused(String),
    /// It failed, or its answer cannot be understood.
    Broken(String),
}

impl Trouble {
    /// The sentence for people.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Unreachable(text)
            | Self::Silent(text)
            | Self::Busy(text, _)
            | Self::Denied(text)
            | Self::NotFound(text)
            | Self::Refused(text)
            | Self::Broken(text) => text,
        }
    }

    /// Whether asking again may help.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Silent(_) | Self::Busy(..) | Self::Broken(_))
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let kind = match &trouble {
            Trouble::Unreachable(_) | Trouble::Silent(_) | Trouble::Busy(..) | Trouble::Broken(_) => {
                FaultKind::Unavailable
            }
            Trouble::Denied(_) => FaultKind::Denied,
            Trouble::NotFound(_) => FaultKind::NotFound,
            Trouble::Refused(_) => FaultKind::User,
        };
        Self::new(kind, trouble.text())
    }
}

/// A run that an engine is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The same for the same attempt: asked twice with it, an engine begins one run.
    pub key: &'a str,
    /// Id of the workflow.
    pub workflow: &'a str,
    /// Name of the repository; may be empty.
    pub repo: &'a str,
    /// Its folder.
    pub dir: Option<&'a Path>,
    /// What is run.
    pub target: &'a str,
    /// What it was given on purpose.
    pub parameters: &'a Map<String, Value>,
}

/// What an engine says of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It has not begun, or waits for somebody; in which state.
    Waiting(String),
    /// It runs, it says.
    Working {
        /// Differs from the one before when the run has come on.
        sign: u64,
        /// Why it may be that nobody works at it, whatever it says.
        doubt: Option<String>,
    },
    /// It has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why, when not well.
        note: Option<String>,
        /// What it gave back.
        result: Option<Value>,
    },
    /// The engine knows no such run.
    Missing,
}

/// What has been read of a run's log.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// How many lines, or the number of the newest.
    pub position: i64,
    /// Ids of lines around there.
    pub seen: HashSet<String>,
    /// Whether everything is read that there will be.
    pub complete: bool,
}

/// What an engine tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its version; empty when it tells none.
    pub version: String,
    /// What else is worth knowing, a sentence each.
    pub notes: Vec<String>,
}

/// Something that an engine can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// What [`Order::target`] takes.
    pub name: String,
    /// In which state it is, or which kind it has.
    pub state: String,
    /// Names of what it takes, when it tells them.
    pub parameters: Vec<String>,
    /// Why its runs wait and do not begin, if that is so now.
    #[serde(skip)]
    pub waits: Option<String>,
}

/// An engine's server. Calls block, each for a bounded time.
pub trait Remote: Send + Sync {
    /// Whether it is there and lets us in, and what it is; each question waits for so long.
    ///
    /// # Errors
    /// [`Trouble`].
    fn verify(&self, limit: Duration) -> Result<Found, Trouble>;

    /// What it can run; a bounded number.
    ///
    /// # Errors
    /// [`Trouble`].
    fn targets(&self) -> Result<Vec<Target>, Trouble>;

    /// What it says of something that it is to run; by its whole name, or by the part after the `/`.
    ///
    /// # Errors
    /// [`Trouble`]; not found when it has nothing of that name.
    fn target(&self, name: &str) -> Result<Target, Trouble> {
        let targets = self.targets()?;
        let named =
            |known: &&Target| known.name == name || known.name.split_once('/').is_some_and(|(_, id)| id == name);
        match targets.iter().find(named) {
            Some(found) => Ok(found.clone()),
            // It may be among those that were not told.
            None if targets.len() >= MOST_TARGETS => {
                Ok(Target { name: name.to_owned(), state: String::new(), parameters: Vec::new(), waits: None })
            }
            None => Err(Trouble::NotFound(format!("it has nothing called '{name}'"))),
        }
    }

    /// The run that was begun with this key, if there is one.
    ///
    /// # Errors
    /// [`Trouble`].
    fn find(&self, order: &Order) -> Result<Option<String>, Trouble>;

    /// Begins a run, or gives the one that was begun with this key.
    ///
    /// # Errors
    /// [`Trouble`]; refused when it does not take what it is given.
    fn begin(&self, order: &Order) -> Result<String, Trouble>;

    /// What it says of a run.
    ///
    /// # Errors
    /// [`Trouble`].
    fn look(&self, run: &str) -> Result<Seen, Trouble>;

    /// Asks it to stop a run. Only [`Remote::look`] tells whether it has.
    ///
    /// # Errors
    /// [`Trouble`].
    fn cancel(&self, run: &str) -> Result<(), Trouble>;

    /// What a run has written since the last reading; a bounded piece.
    ///
    /// # Errors
    /// [`Trouble`].
    fn read(&self, run: &str, reading: &mut Reading) -> Result<String, Trouble>;

    /// Its word that runs are worth a look, when it gives any.
    fn hints(&self) -> Option<&Hints> {
        None
    }
}

/// Parameters as JSON texts name them.
pub(crate) fn names(map: &Map<String, Value>) -> Vec<String> {
    map.keys().cloned().collect()
}

/// A number that differs when the texts do (FNV-1a).
pub(crate) fn sign_of(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One line of at most 300 characters.
pub(crate) fn short(text: &str) -> String {
    let line: String = text.trim().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
