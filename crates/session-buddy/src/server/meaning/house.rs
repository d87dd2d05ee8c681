//! Keeps the models that are in use, and lets go of those that nobody used for some time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use semantic::{Embedder, ModelIdentity, ModelSettings, Models};

use crate::server::model::Choice;

/// Time after which it is looked again whether the model is still the one that was opened.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Time after which a model that nobody used gives its memory back.
const IDLE: Duration = Duration::from_secs(300);

/// Keeps models. Clones share them.
#[derive(Clone)]
pub(super) struct House(Arc<Shared>);

struct Shared {
    choice: Choice,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// The model of the settings, or why there is none.
type Found = Result<Arc<dyn Embedder>>;

#[derive(Default)]
struct State {
    /// What the last look found, and when.
    last: Option<(Found, Duration)>,
    /// Whether a thread looks again.
    looking: bool,
    /// The model of vectors that are being replaced.
    earlier: Option<Arc<dyn Embedder>>,
    used: Duration,
    resting: bool,
}

impl House {
    pub(super) fn new(choice: Choice, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { choice, clock, state: Mutex::default() }))
    }

    /// What the last look found; `None` before the first. Asks nobody.
    pub(super) fn known(&self) -> Option<Result<ModelIdentity>> {
        let state = self.0.state();
        let (found, _) = state.last.as_ref()?;
        Some(found.as_ref().map(|embedder| embedder.identity().clone()).map_err(Clone::clone))
    }

    /// Whether there is a model.
    pub(super) fn look(&self) -> Result<()> {
        self.current().map(drop)
    }

    /// The same, for one who may wait for a peer that does not answer: what was found some time ago is not believed.
    pub(super) fn look_now(&self) -> Result<()> {
        let now = self.0.clock.monotonic();
        let known = self.0.state().last.clone();
        match known {
            Some((found, looked)) if now.saturating_sub(looked) < LOOK_AGAIN => found.map(drop),
            _ => self.0.find().map(drop),
        }
    }

    pub(super) fn identity(&self) -> Result<ModelIdentity> {
        Ok(self.current()?.identity().clone())
    }

    /// The model of the settings, without counting as use. Waits for a peer before the first look only: later, it is looked
    /// again aside.
    fn current(&self) -> Found {
        let now = self.0.clock.monotonic();
        let mut state = self.0.state();
        if let Some((found, looked)) = state.last.clone() {
            let old = now.saturating_sub(looked) >= LOOK_AGAIN;
            if old && self.0.choice.ollama().is_some() && !state.looking {
                let shared = Arc::clone(&self.0);
                let aside = move || drop(shared.find());
                state.looking = std::thread::Builder::new().name("model".to_owned()).spawn(aside).is_ok();
            }
            if !old || self.0.choice.ollama().is_some() {
                return found;
            }
        }
        drop(state);
        self.0.find()
    }

    /// The model of this name and digest, without counting as use.
    pub(super) fn of(&self, name: &str, digest: &str) -> Found {
        let same = |embedder: &Arc<dyn Embedder>| {
            let identity = embedder.identity();
            identity.name == name && identity.digest == digest
        };
        if let Some(embedder) = self.current().ok().filter(same) {
            return Ok(embedder);
        }
        if let Some(embedder) = self.0.state().earlier.as_ref().filter(|one| same(one)) {
            return Ok(Arc::clone(embedder));
        }
        let opened = semantic::open(&ModelSettings::local(name), &self.0.choice.folder).ok().filter(same);
        let opened = opened.ok_or_else(|| {
            Fault::unavailable(format!("vectors are being made with another model, and {name} is not here any more"))
                .hint("wait until the running server has made them, or start one: session-buddy start")
        })?;
        self.0.state().earlier = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn touch(&self) {
        let mut state = self.0.state();
        state.used = self.0.clock.monotonic();
        state.resting = false;
    }

    /// Gives memory back when nobody used the models for some time. Whether it did so now.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.0.state();
        if state.resting || self.0.clock.monotonic().saturating_sub(state.used) < IDLE {
            return false;
        }
        state.resting = true;
        state.earlier = None;
        if let Some((Ok(embedder), _)) = &state.last {
            embedder.release();
        }
        true
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, and keeps what is found. The state is free meanwhile: a peer that does not answer costs time.
    fn find(&self) -> Found {
        let known = self.state().last.clone().and_then(|(found, _)| found.ok());
        let found = self.looked(known);
        let mut state = self.state();
        state.looking = false;
        // A model that is missing here may be there in a moment, and a look for it costs nothing.
        let kept = found.is_ok() || self.choice.ollama().is_some();
        state.last = kept.then(|| (found.clone(), self.clock.monotonic()));
        found
    }

    fn looked(&self, known: Option<Arc<dyn Embedder>>) -> Found {
        // A model that another program runs is asked for its digest only, while it is the same.
        if let (Some(ollama), Some(known)) = (self.choice.ollama(), &known)
            && semantic::ollama::look_at(ollama)? == known.identity().digest
        {
            return Ok(Arc::clone(known));
        }
        let opened = self.choice.open()?;
        // The one that may be loaded already.
        Ok(known.filter(|known| known.identity() == opened.identity()).unwrap_or(opened))
    }
}

impl Models for House {
    fn chosen(&self) -> Found {
        let embedder = self.current()?;
        self.touch();
        Ok(embedder)
    }

    fn named(&self, name: &str, digest: &str) -> Found {
        self.touch();
        self.of(name, digest)
    }
}
