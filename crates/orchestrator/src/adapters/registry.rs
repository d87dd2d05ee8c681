//! The engines of the settings, and whether they are there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::fault::{Fault, Result};
use oneiric::paths::{Home, private_file};

use super::agno::Agno;
use super::llamaindex::LlamaIndex;
use super::prefect::Prefect;
use super::watch::Rules;
use super::{AdapterSettings, Found, Kind, Remote, Trouble};

/// How long it is taken as known which engines are there.
pub const FRESH: Duration = Duration::from_secs(5);
/// How long beginning is tried while nobody answers.
const BEGINNING: Duration = Duration::from_secs(30);

/// Whether an engine is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Active(Found),
    /// Nothing is handed to it.
    Disabled,
    /// It does not answer as it should: why, and since when that is known.
    Unreachable(Trouble, Timestamp),
}

struct Entry {
    settings: AdapterSettings,
    remote: Arc<dyn Remote>,
}

/// When all were asked by a monotonic clock, and what they said.
type Answers = (Duration, Vec<(Kind, State)>);

/// All engines that work may be handed to.
pub struct Adapters {
    entries: Vec<Entry>,
    home: Home,
    /// What all of them said last, and when by a monotonic clock.
    asked: Mutex<Option<Answers>>,
    clock: Arc<dyn Clock>,
}

impl Adapters {
    /// The engines of these settings. Nothing is connected yet.
    #[must_use]
    pub fn new(home: Home, all: Vec<AdapterSettings>, clock: Arc<dyn Clock>) -> Self {
        let entry = |settings: AdapterSettings| {
            let remote: Arc<dyn Remote> = match settings.kind {
                Kind::Prefect => Arc::new(Prefect::new(&settings, Arc::clone(&clock))),
                Kind::Agno => Arc::new(Agno::new(&settings)),
                Kind::LlamaIndex => Arc::new(LlamaIndex::new(&settings)),
            };
            Entry { settings, remote }
        };
        Self { entries: all.into_iter().map(entry).collect(), home, asked: Mutex::default(), clock }
    }

    /// The settings of each.
    pub fn settings(&self) -> impl Iterator<Item = &AdapterSettings> {
        self.entries.iter().map(|entry| &entry.settings)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let kind = Kind::from_name(name);
        self.entries.iter().find(|entry| Some(entry.settings.kind) == kind).ok_or_else(|| {
            let names: Vec<&str> = self.entries.iter().map(|entry| entry.settings.kind.as_str()).collect();
            Fault::not_found(format!("there is no adapter '{name}'")).hint(format!("there are {}", names.join(", ")))
        })
    }

    /// An engine by its name, enabled or not.
    ///
    /// # Errors
    /// Not found, with the names that there are.
    pub fn get(&self, name: &str) -> Result<(&AdapterSettings, &Arc<dyn Remote>)> {
        self.entry(name).map(|entry| (&entry.settings, &entry.remote))
    }

    /// An engine that work may be handed to.
    ///
    /// # Errors
    /// Not found; config when it is disabled.
    pub fn enabled(&self, name: &str) -> Result<(&AdapterSettings, &Arc<dyn Remote>)> {
        let found = self.get(name)?;
        if found.0.enabled {
            return Ok(found);
        }
        let name = found.0.kind;
        Err(Fault::config(format!("the adapter {name} is disabled"))
            .hint(format!("set adapters.{name}_enabled to true, and adapters.{name}_url to where it is")))
    }

    /// How runs of an engine are watched.
    #[must_use]
    pub fn rules(settings: &AdapterSettings, limit: Option<Duration>, grace: Duration) -> Rules {
        Rules {
            name: match settings.kind {
                Kind::Prefect => "Prefect",
                Kind::Agno => "Agno",
                Kind::LlamaIndex => "LlamaIndex",
            },
            poll: settings.poll,
            liveness: settings.liveness,
            doubt: settings.doubt,
            patience: settings.patience,
            beginning: settings.patience.min(BEGINNING),
            cancelling: settings.cancelling.max(grace),
            limit,
        }
    }

    /// Asks all enabled engines at once whether they are there; each question waits for so long. What was answered within the
    /// last [`FRESH`] is not asked again, since a server is asked for its health by many.
    #[must_use]
    pub fn states(&self, limit: Duration) -> Vec<(Kind, State)> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, states)) = &*asked
            && self.clock.monotonic() < *at + FRESH
        {
            return states.clone();
        }
        let states = self.ask_all(limit);
        *asked = Some((self.clock.monotonic(), states.clone()));
        states
    }

    fn ask_all(&self, limit: Duration) -> Vec<(Kind, State)> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .entries
                .iter()
                .map(|entry| {
                    let asked = entry.settings.enabled.then(|| scope.spawn(move || entry.remote.verify(limit)));
                    (entry.settings.kind, asked)
                })
                .collect();
            let state = |(kind, asked): (Kind, Option<std::thread::ScopedJoinHandle<Result<Found, Trouble>>>)| {
                let Some(asked) = asked else { return (kind, State::Disabled) };
                let failed = || Err(Trouble::Broken("asking it failed".to_owned()));
                (kind, self.remember(kind, asked.join().unwrap_or_else(|_| failed())))
            };
            asked.into_iter().map(state).collect()
        })
    }

    /// Asks one engine whether it is there, enabled or not.
    ///
    /// # Errors
    /// Not found.
    pub fn state(&self, name: &str, limit: Duration) -> Result<State> {
        let (settings, remote) = self.get(name)?;
        Ok(self.remember(settings.kind, remote.verify(limit)))
    }

    /// Since when an engine is away is kept in the home, so that every process tells the same.
    fn remember(&self, kind: Kind, found: Result<Found, Trouble>) -> State {
        let path = self.away(kind);
        match found {
            Ok(found) => {
                let _ = std::fs::remove_file(path);
                State::Active(found)
            }
            Err(trouble) => {
                let before = std::fs::read_to_string(&path).ok();
                let since = before.and_then(|text| Timestamp::parse(text.trim())).unwrap_or_else(|| {
                    let now = self.clock.now();
                    // Where it cannot be kept, it is known since now.
                    let _ = self.home.ensure(&self.home.root().join("adapters")).and_then(|()| {
                        let file = private_file().write(true).create(true).truncate(true).open(&path);
                        let written =
                            file.and_then(|mut file| std::io::Write::write_all(&mut file, now.to_string().as_bytes()));
                        written.map_err(|error| Fault::unavailable(error.to_string()))
                    });
                    now
                });
                State::Unreachable(trouble, since)
            }
        }
    }

    fn away(&self, kind: Kind) -> PathBuf {
        self.home.root().join("adapters").join(format!("{kind}.away"))
    }
}

impl State {
    /// One word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Active(_) => "active",
            Self::Disabled => "disabled",
            Self::Unreachable(..) => "unreachable",
        }
    }
}
