//! The engines of the settings, and whether they are there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::fault::{Fault, Result};
use oneiric::paths::{Home, write_atomically};

use super::agno::Agno;
use super::llamaindex::LlamaIndex;
use super::prefect::Prefect;
use super::watch::Rules;
use super::{AdapterSettings, Found, Kind, Remote, Target, Trouble};

/// How long it is taken as known which engines are there.
pub const FRESH: Duration = Duration::from_secs(5);
/// How long beginning is tried while nobody answers.
const BEGINNING: Duration = Duration::from_secs(30);

/// Time without a question after which an engine may have been there meanwhile.
const UNKNOWN: Duration = Duration::from_secs(3600);
/// Longest time between two looks at a run whose engine hints at changes.
const RARE: Duration = Duration::from_secs(30);

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
            rare: rare(settings),
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

    /// What an engine that work may be handed to says of something that it is to run. Whether it is there may take so long.
    ///
    /// # Errors
    /// Config when it is disabled; unavailable or denied, with its address; not found, with what there is.
    pub fn offer(&self, name: &str, target: &str, limit: Duration) -> Result<(Kind, Target)> {
        let (settings, remote) = self.enabled(name)?;
        let kind = settings.kind;
        if let State::Unreachable(trouble, since) = self.state(name, limit)? {
            return Err(Fault::from(trouble).hint(format!(
                "unreachable since {}; start it, or set adapters.{kind}_url ({})",
                since.local(),
                settings.url
            )));
        }
        match remote.target(target) {
            Ok(found) => Ok((kind, found)),
            Err(Trouble::NotFound(_)) => {
                let known = remote.targets().map_err(Fault::from)?;
                let known: Vec<&str> = known.iter().take(8).map(|known| known.name.as_str()).collect();
                let hint = match known.is_empty() {
                    true => format!("it has none: {kind} runs {}", kind.targets()),
                    false => format!("it has {}; 'mahavishnu adapters verify {kind}' shows all", known.join(", ")),
                };
                Err(Fault::not_found(format!("{kind} has nothing called '{}'", target.escape_debug())).hint(hint))
            }
            Err(trouble) => Err(trouble.into()),
        }
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
                let now = self.clock.now();
                let since = since(std::fs::read_to_string(&path).ok().as_deref(), now);
                // Where it cannot be kept, it is known since now.
                let folder = self.home.root().join("adapters");
                let _ =
                    self.home.ensure(&folder).map(|()| write_atomically(&path, format!("{since} {now}\n").as_bytes()));
                State::Unreachable(trouble, since)
            }
        }
    }

    fn away(&self, kind: Kind) -> PathBuf {
        self.home.root().join("adapters").join(format!("{kind}.away"))
    }
}

/// Since when an engine is away, by what was kept of it: since when, and when it was asked last. After a long time in which
/// nobody asked nobody can say that it was away all along.
fn since(kept: Option<&str>, now: Timestamp) -> Timestamp {
    let mut times = kept.unwrap_or_default().split_whitespace().filter_map(Timestamp::parse);
    match (times.next(), times.next()) {
        (Some(since), Some(last)) if since <= now && now.since(last) < UNKNOWN => since,
        _ => now,
    }
}

/// How long a run may go without a look while its engine hints at changes: a hint may be lost, and silence is measured by
/// looks.
fn rare(settings: &AdapterSettings) -> Duration {
    let silence = settings.liveness.into_iter().chain([settings.doubt]).min().unwrap_or(settings.doubt);
    (settings.poll * 10).min(RARE).min(silence / 4).max(settings.poll)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_away_since_it_was_first_found_so_and_only_as_far_as_that_is_known() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let now = at("2026-11-28T12:00:00Z");
        let kept = |first: &str, last: &str| since(Some(&format!("{first} {last}\n")), now);
        assert_eq!(kept("2026-11-28T09:00:00Z", "2026-11-28T11:59:00Z"), at("2026-11-28T09:00:00Z"));
        // Nobody asked for two hours: it may have been there.
        assert_eq!(kept("2026-11-28T09:00:00Z", "2026-11-28T10:00:00Z"), now);
        // This machine's clock went back.
        assert_eq!(kept("2026-11-28T13:00:00Z", "2026-11-28T13:01:00Z"), now);
        assert_eq!(since(None, now), now);
        assert_eq!(since(Some("garbage"), now), now);
    }
}
