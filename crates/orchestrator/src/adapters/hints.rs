//! Hints: an engine's word that a run is worth a look now. Only the look tells what is the case, so a hint that is lost,
//! late, doubled or made up costs a look at most, and nothing waits for one.
//!
//! One listener an engine, for as long as somebody watches a run of it. Whatever goes wrong with it is said in one line and
//! tried again more and more rarely, while runs are looked at as often as without.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::run::Stop;

/// Time until a listener that broke off tries again; doubled up to [`RAREST`].
const AGAIN: Duration = Duration::from_secs(1);
/// Longest time until then.
const RAREST: Duration = Duration::from_secs(300);
/// A connection that held for so long was a good one.
const STEADY: Duration = Duration::from_secs(30);
/// How long it is listened when nobody watches a run any more: the next one often begins soon.
const LINGER: Duration = Duration::from_secs(10);

/// Where hints come from.
pub(crate) trait Source: Send + Sync {
    /// Connects, and is let in. Takes a bounded time.
    ///
    /// # Errors
    /// Why not, in words.
    fn open(&self) -> Result<Box<dyn Ear>, String>;
}

/// A connection over which hints come.
pub(crate) trait Ear {
    /// Waits for a short time; gives the run that a hint was about.
    ///
    /// # Errors
    /// Why nothing comes any more, in words.
    fn hear(&mut self) -> Result<Option<String>, String>;
}

/// Hints of one engine.
pub struct Hints {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Somebody came, or everything ends.
    changed: Condvar,
    /// Whether hints come at present.
    up: AtomicBool,
}

#[derive(Default)]
struct State {
    watched: HashMap<String, Vec<Arc<OwnedFd>>>,
    listening: bool,
    closed: bool,
    /// When it may be tried again, and how long to wait after that.
    retry: (Duration, Duration),
    /// Whether it was said that no hints come.
    told: bool,
}

/// Hints about one run, for as long as this is kept.
pub struct Subscription {
    shared: Arc<Shared>,
    run: String,
    bell: Arc<OwnedFd>,
}

impl Hints {
    /// Hints of the engine called `name`. Nothing is connected before somebody wants them.
    pub(crate) fn new(name: &'static str, source: Box<dyn Source>, clock: Arc<dyn Clock>) -> Self {
        let (state, changed, up) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { name, source, clock, state, changed, up }) }
    }

    /// Hints about a run; nothing when the process has no descriptor left, since it goes without.
    #[must_use]
    pub fn subscribe(&self, run: &str) -> Option<Subscription> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        state.watched.entry(run.to_owned()).or_default().push(Arc::clone(&bell));
        if !state.listening {
            let listener = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("hints".into()).stack_size(1024 * 1024);
            state.listening = thread.spawn(move || listener.listen()).is_ok();
        }
        drop(state);
        Some(Subscription { shared, run: run.to_owned(), bell })
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Subscription {
    /// Whether hints come at present.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Waits for a hint or for the sign, if there is one; at most so long. Gives whether there was a hint.
    #[must_use]
    pub fn wait(&self, sign: Option<&Stop>, limit: Duration) -> bool {
        let mut looked = vec![PollFd::new(&self.bell, PollFlags::IN)];
        looked.extend(sign.map(|sign| PollFd::from_borrowed_fd(sign.descriptor(), PollFlags::IN)));
        let _ = poll(&mut looked, Timespec::try_from(limit).ok().as_ref());
        // Reading sets the counter back, however many hints there were.
        rustix::io::read(&self.bell, &mut [0_u8; 8]).is_ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(bells) = state.watched.get_mut(&self.run) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                state.watched.remove(&self.run);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a listener: ends when nobody watches any more.
    fn listen(&self) {
        while self.may_try() {
            let begun = self.clock.monotonic();
            let why = match self.source.open() {
                Ok(mut ear) => {
                    self.up.store(true, Ordering::Release);
                    self.hear(ear.as_mut())
                }
                Err(why) => Some(why),
            };
            self.up.store(false, Ordering::Release);
            if let Some(why) = why {
                self.broke_off(begun, &why);
            }
        }
    }

    /// Waits until it may be tried again; gives false when nobody wants that any more.
    fn may_try(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed || state.watched.is_empty() {
                state.listening = false;
                return false;
            }
            let left = state.retry.0.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left.min(Duration::from_secs(1)));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hears until it breaks off, why; nothing when nobody wants to hear any more.
    fn hear(&self, ear: &mut dyn Ear) -> Option<String> {
        let begun = self.clock.monotonic();
        let mut wanted_at = begun;
        loop {
            let run = match ear.hear() {
                Ok(run) => run,
                Err(why) => return Some(why),
            };
            let now = self.clock.monotonic();
            let mut state = self.lock();
            if !state.watched.is_empty() {
                wanted_at = now;
            }
            if state.closed || now >= wanted_at + LINGER {
                return None;
            }
            let bells = run.as_ref().and_then(|run| state.watched.get(run));
            for bell in bells.into_iter().flatten() {
                // A full counter rings, too.
                let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
            }
            // One that lets us in and closes again and again is no good yet.
            let good = bells.is_some() || now >= begun + STEADY;
            if good && std::mem::take(&mut state.told) {
                tracing::info!(engine = self.name, "tells of changes again");
            }
        }
    }

    fn broke_off(&self, begun: Duration, why: &str) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let wait = if now >= begun + STEADY { AGAIN } else { state.retry.1.max(AGAIN) };
        state.retry = (now + wait, (wait * 2).min(RAREST));
        if !std::mem::replace(&mut state.told, true) {
            tracing::warn!(
                engine = self.name,
                why,
                "tells of no changes, so its runs are asked about as often as before"
            );
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
