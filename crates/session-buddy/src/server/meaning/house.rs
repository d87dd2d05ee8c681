//! Keeps the models that are in use, and lets go of those that nobody used for some time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use semantic::{Embedder, ModelIdentity, ModelSettings, Models};

use crate::server::model::Choice;

/// Time after which it is looked again whether the model is still the one that was opened.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Time after which a model that nobody used gives its memory back.
const IDLE: Duration = Duration::from_secs(300);

pub(super) struct House {
    choice: Choice,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chosen: Option<(Arc<dyn Embedder>, Duration)>,
    /// Why there was none at last, and until when that is believed: a peer that does not answer costs time.
    failed: Option<(Fault, Duration)>,
    /// The model of vectors that are being replaced.
    earlier: Option<Arc<dyn Embedder>>,
    used: Duration,
    resting: bool,
}

impl House {
    pub(super) fn new(choice: Choice, clock: Arc<dyn Clock>) -> Self {
        Self { choice, clock, state: Mutex::new(State::default()) }
    }

    /// Whether there is a model.
    pub(super) fn look(&self) -> Result<()> {
        self.current().map(drop)
    }

    pub(super) fn identity(&self) -> Result<ModelIdentity> {
        Ok(self.current()?.identity().clone())
    }

    /// The model of the settings, without counting as use.
    fn current(&self) -> Result<Arc<dyn Embedder>> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((embedder, looked)) = &state.chosen
            && now.saturating_sub(*looked) < LOOK_AGAIN
        {
            return Ok(Arc::clone(embedder));
        }
        if let Some((fault, until)) = &state.failed
            && now < *until
        {
            return Err(fault.clone());
        }
        // A model that another program runs is asked for its digest only, while it is the same.
        if let (Some(ollama), Some((known, looked))) = (&self.choice.ollama(), &mut state.chosen)
            && semantic::ollama::look_at(ollama).is_ok_and(|digest| digest == known.identity().digest)
        {
            *looked = now;
            return Ok(Arc::clone(known));
        }
        let opened = match self.choice.open() {
            Ok(opened) => opened,
            Err(fault) => {
                state.chosen = None;
                if self.choice.ollama().is_some() {
                    state.failed = Some((fault.clone(), self.clock.monotonic() + LOOK_AGAIN));
                }
                return Err(fault);
            }
        };
        state.failed = None;
        let embedder = match state.chosen.take() {
            // The one that may be loaded already.
            Some((known, _)) if known.identity() == opened.identity() => known,
            _ => opened,
        };
        state.chosen = Some((Arc::clone(&embedder), now));
        Ok(embedder)
    }

    fn touch(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = self.clock.monotonic();
        state.resting = false;
    }

    /// Gives memory back when nobody used the models for some time. Whether it did so now.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.resting || self.clock.monotonic().saturating_sub(state.used) < IDLE {
            return false;
        }
        state.resting = true;
        state.earlier = None;
        if let Some((embedder, _)) = &state.chosen {
            embedder.release();
        }
        true
    }
}

impl Models for House {
    fn chosen(&self) -> Result<Arc<dyn Embedder>> {
        let embedder = self.current()?;
        self.touch();
        Ok(embedder)
    }

    fn named(&self, name: &str, digest: &str) -> Result<Arc<dyn Embedder>> {
        let same = |embedder: &Arc<dyn Embedder>| {
            let identity = embedder.identity();
            identity.name == name && identity.digest == digest
        };
        self.touch();
        if let Some(embedder) = self.current().ok().filter(same) {
            return Ok(embedder);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = state.earlier.as_ref().filter(|one| same(one)) {
            return Ok(Arc::clone(embedder));
        }
        let opened = semantic::open(&ModelSettings::local(name), &self.choice.folder).ok().filter(same);
        let opened = opened.ok_or_else(|| {
            Fault::unavailable(format!("vectors are being made with another model, and {name} is not here any more"))
                .hint("wait until the running server has made them, or start one: session-buddy start")
        })?;
        state.earlier = Some(Arc::clone(&opened));
        Ok(opened)
    }
}
