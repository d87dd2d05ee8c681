//! The thread that makes vectors of new events: patient, one at a time on this machine, and out of the way of everything.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use oneiric::paths::private_file;
use oneiric_server::lifecycle::Lifecycle;
use semantic::{Indexer, Models, Step};
use session_store::{Store, Vectors};

use super::Semantics;
use crate::desk::Desk;

/// Time after the start before anything is done: first come the clients.
const FIRST: Duration = Duration::from_secs(1);
/// Time between looks for new events.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time before what failed, or what another process does, is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// Time between comparisons of all vectors with the events.
const COMPARE_EVERY: Duration = Duration::from_secs(1800);
/// Longest pause for one call of the model while events arrive.
const YIELD: Duration = Duration::from_millis(250);

/// Starts the thread; it ends with the process's life.
pub(crate) fn start(lifecycle: &Lifecycle, desk: &Arc<Desk>, clock: &Arc<dyn Clock>) {
    let maker = Maker { desk: Arc::clone(desk), clock: Arc::clone(clock) };
    lifecycle.aside("vectors", move |ended| maker.run(ended));
}

fn in_memory(semantics: &Semantics) -> bool {
    semantics.file.is_none()
}

struct Maker {
    desk: Arc<Desk>,
    clock: Arc<dyn Clock>,
}

impl Maker {
    fn run(&self, ended: &std::sync::mpsc::Receiver<()>) {
        let over = |pause: Duration| !matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
        let mut work: Option<Work> = None;
        let mut told: Option<String> = None;
        let mut pause = FIRST;
        while !over(pause) {
            let semantics = self.desk.semantics();
            if !semantics.wanted() {
                return;
            }
            let stepped = self.step(&mut work, &over);
            let trouble = stepped.as_ref().err().map(ToString::to_string);
            if trouble != told {
                match &trouble {
                    Some(trouble) => tracing::info!(%trouble, "no vectors are made"),
                    None => tracing::info!("vectors are made"),
                }
                *semantics.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = trouble.clone();
                told = trouble;
            }
            semantics.making.store(matches!(stepped, Ok(Step::Worked { .. })), Ordering::Relaxed);
            pause = match stepped {
                Ok(Step::Worked { .. }) => Duration::ZERO,
                Ok(Step::Idle) => LOOK_EVERY,
                Ok(Step::Stopped) => AGAIN,
                Err(_) => {
                    // Begins anew: the file may have been damaged, or the model replaced.
                    work = None;
                    if !in_memory(semantics) {
                        semantics.close();
                    }
                    AGAIN
                }
            };
            if !matches!(stepped, Ok(Step::Worked { .. })) && semantics.house.rest() {
                tracing::debug!("the model was not used for some time and gave its memory back");
            }
        }
    }

    fn step(&self, work: &mut Option<Work>, over: &dyn Fn(Duration) -> bool) -> Result<Step> {
        let semantics = self.desk.semantics();
        let store = self.desk.store()?;
        if work.is_some() && semantics.is_gone() {
            tracing::info!("the file of vectors was removed; they are made again");
            *work = None;
            semantics.close();
        }
        let work = match work {
            Some(work) => work,
            None => match Work::begin(semantics, store, self.clock.as_ref())? {
                Some(begun) => work.insert(begun),
                None => return Ok(Step::Stopped),
            },
        };
        let now = self.clock.monotonic();
        if now.saturating_sub(work.compared) > COMPARE_EVERY {
            work.compared = now;
            work.indexer.compare();
        }
        let ingested = AtomicU64::new(self.desk.meters().ingest.count());
        let since = AtomicU64::new(now.as_micros() as u64);
        let stop = || {
            let count = self.desk.meters().ingest.count();
            let now = self.clock.monotonic().as_micros() as u64;
            let took = Duration::from_micros(now.saturating_sub(since.load(Ordering::Relaxed)));
            let busy = ingested.swap(count, Ordering::Relaxed) != count;
            // While events arrive, half of the time is theirs alone.
            let over = over(if busy { took.min(YIELD) } else { Duration::ZERO });
            since.store(self.clock.monotonic().as_micros() as u64, Ordering::Relaxed);
            over
        };
        let stepped = work.indexer.step(&stop)?;
        if let Step::Worked { embedded } = stepped
            && embedded > 0
        {
            let took = self.clock.monotonic().saturating_sub(now);
            semantics.embedded.fetch_add(embedded as u64, Ordering::Relaxed);
            semantics.embedding_micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        }
        Ok(stepped)
    }
}

/// An indexer and the right to use it.
struct Work {
    indexer: Indexer,
    compared: Duration,
    /// Held as long as this: other processes see it.
    _turn: Option<File>,
}

impl Work {
    /// `None` when another process makes the vectors.
    fn begin(semantics: &Semantics, store: Arc<dyn Store>, clock: &dyn Clock) -> Result<Option<Self>> {
        semantics.house.look_now()?;
        if semantics.file.is_some() && store.newest_seq()? == 0 {
            // Nothing to do yet, and nothing to leave behind.
            return Ok(None);
        }
        let turn = match &semantics.file {
            Some(file) => match turn(&file.with_extension("lock"))? {
                Some(turn) => Some(turn),
                None => return Ok(None),
            },
            None => None,
        };
        let opened = semantics.opened_sound()?;
        let indexer = Indexer::new(
            store,
            Arc::clone(&opened.vectors) as Arc<dyn Vectors>,
            Arc::new(semantics.house.clone()) as Arc<dyn Models>,
        );
        Ok(Some(Self { indexer, compared: clock.monotonic(), _turn: turn }))
    }
}

fn turn(path: &Path) -> Result<Option<File>> {
    let refused = |error: &std::io::Error| {
        Fault::unavailable(format!("cannot lock {}: {}", path.display(), oneiric::paths::plain(error)))
            .hint("make its folder writable")
    };
    let file = private_file().write(true).create(true).truncate(false).open(path).map_err(|error| refused(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(refused(&error)),
    }
}
