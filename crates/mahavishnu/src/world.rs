//! Everything a command needs, made once from the process's surroundings, each part when it is first used.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::Result;
use oneiric::redact::Redactor;
use oneiric::settings::{ONEIRIC, Settings, Surroundings};
use oneiric_client::Peer;
use orchestrator::adapters::Adapters;
use orchestrator::engine::Trouble;
use orchestrator::pools::Pools;
use orchestrator::repos::{Manifest, Places};
use orchestrator::workflows::Workflows;

use crate::buddy;
use crate::engines;
use crate::settings::CATALOG;

/// Time between asking and killing steps of a process that a signal ends.
const LAST_WISH: Duration = Duration::from_secs(1);

/// What commands work with.
pub(crate) struct World {
    pub(crate) surroundings: Surroundings,
    pub(crate) settings: Settings,
    /// The settings that all programs share.
    pub(crate) shared: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    redactor: OnceLock<Arc<Redactor>>,
    peer: OnceLock<Arc<Peer>>,
    adapters: OnceLock<Arc<Adapters>>,
    /// The pools, in the process that serves.
    pools: OnceLock<Arc<Pools>>,
    /// What keeps the server's engine from writing, in the process that serves.
    trouble: OnceLock<Trouble>,
    /// Whether callers need a token, in the process that serves.
    serving: OnceLock<bool>,
    /// Engines of this process that drive what a command follows.
    driving: Mutex<BTreeSet<String>>,
}

impl World {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a layer of them is wrong.
    pub(crate) fn new(surroundings: Surroundings) -> Result<Self> {
        let settings = Settings::load(&CATALOG, &surroundings)?;
        let without_args = Surroundings { args: Vec::new(), ..surroundings.clone() };
        let shared = Settings::load(&ONEIRIC, &without_args)?;
        Ok(Self {
            surroundings,
            settings,
            shared,
            clock: Arc::new(SystemClock),
            redactor: OnceLock::new(),
            peer: OnceLock::new(),
            adapters: OnceLock::new(),
            pools: OnceLock::new(),
            trouble: OnceLock::new(),
            serving: OnceLock::new(),
            driving: Mutex::default(),
        })
    }

    /// This process serves from now on, with or without asking for tokens.
    pub(crate) fn begins_serving(&self, with_auth: bool) {
        let _ = self.serving.set(with_auth);
    }

    /// Whether callers need a token, when this process is the server.
    pub(crate) fn serving(&self) -> Option<bool> {
        self.serving.get().copied()
    }

    /// An engine of this process begins to drive something, or has ended.
    pub(crate) fn drives(&self, engine: &str, begins: bool) {
        let mut driving = self.driving.lock().unwrap_or_else(PoisonError::into_inner);
        if begins {
            driving.insert(engine.to_owned())
        } else {
            driving.remove(engine)
        };
    }

    /// Ends the processes of all steps that run here: this process is about to end in the middle of them.
    pub(crate) fn end_steps(&self) {
        let driving = self.driving.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for engine in driving {
            orchestrator::run::end_survivors(&format!("{engine}/"), LAST_WISH, self.clock.as_ref());
        }
    }

    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(self.redactor.get_or_init(|| Arc::new(Redactor::standard())))
    }

    /// Session-Buddy. Making it connects nothing.
    pub(crate) fn peer(&self) -> Arc<Peer> {
        Arc::clone(self.peer.get_or_init(|| Arc::new(buddy::peer(self))))
    }

    /// The engines that work can be handed to. Making them connects nothing.
    pub(crate) fn adapters(&self) -> Arc<Adapters> {
        Arc::clone(self.adapters.get_or_init(|| Arc::new(engines::adapters(&self.settings, Arc::clone(&self.clock)))))
    }

    /// Opens the pools: this process serves them from now on.
    ///
    /// # Errors
    /// As [`Pools::open`].
    pub(crate) fn serve_pools(&self) -> Result<()> {
        if self.pools.get().is_none() {
            let pools = Pools::open(crate::pools::config(self, true))?;
            let _ = self.pools.set(Arc::new(pools));
        }
        Ok(())
    }

    /// The pools, when this process serves them.
    pub(crate) fn served_pools(&self) -> Option<Arc<Pools>> {
        self.pools.get().cloned()
    }

    /// The server's engine tells its trouble here.
    pub(crate) fn hear_trouble(&self, trouble: Trouble) {
        let _ = self.trouble.set(trouble);
    }

    /// Why the server's engine, which runs in this process, cannot write its journal.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.get()?.now().map(|(_, why)| why)
    }

    /// How long a person waits for Session-Buddy.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.settings.int("session_buddy.timeout_ms").unsigned_abs())
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            cwd: self.surroundings.cwd.clone(),
            home: self.settings.home().root().to_path_buf(),
            user_home: self.surroundings.user_home.clone(),
        }
    }

    /// The manifest, read anew: it may have been edited meanwhile.
    pub(crate) fn manifest(&self) -> Result<Manifest> {
        Manifest::load(&self.places())
    }

    /// The manifest as it counts in that folder.
    pub(crate) fn manifest_from(&self, dir: &std::path::Path) -> Result<Manifest> {
        Manifest::load(&Places { cwd: dir.to_path_buf(), ..self.places() })
    }

    pub(crate) fn workflows(&self) -> Workflows {
        Workflows::at(self.settings.home().root().join("mahavishnu.db"))
    }
}
