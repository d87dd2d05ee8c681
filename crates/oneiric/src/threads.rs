//! Threads that are kept between uses. A new thread may not run before the system's next tick, up to four milliseconds
//! where its parent keeps the processor busy; one that waits for work is there in a tenth of one.

use std::num::NonZero;
use std::sync::mpsc::{RecvError, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::fault::{Fault, Result};

/// Threads that share one piece of work, at most.
const SHARING: usize = 8;
/// Time after which a thread of a crew that has nothing to do ends.
const IDLE: Duration = Duration::from_secs(10);

/// One fewer than the machine has processors: whoever has work to share does a part of it. `None` where it is alone.
static HELPERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, NonZero::get).min(SHARING);
    // Without threads the work is done all the same.
    let build =
        |helpers| ThreadPoolBuilder::new().num_threads(helpers).thread_name(|_| "helper".to_owned()).build().ok();
    if processors > 1 { build(processors - 1) } else { None }
});

/// Runs `work` here and on up to `most` - 1 other threads, and returns when all are done. It takes its pieces from one
/// place, such as a counter, so that a thread that comes late finds less to do. For work that computes and does not wait.
///
/// The threads have the priority of the one that was first to share work.
pub fn share(most: usize, work: impl Fn() + Sync) {
    match HELPERS.as_ref().filter(|_| most > 1) {
        Some(helpers) => helpers.in_place_scope(|scope| {
            for _ in 0..(most - 1).min(helpers.current_num_threads()) {
                scope.spawn(|_| work());
            }
            work();
        }),
        None => work(),
    }
}

type Job = Box<dyn FnOnce() + Send>;
type Idle = Vec<(ThreadId, SyncSender<Job>)>;

/// Threads for jobs that may wait. There are as many as jobs at the same time; some stay for a while afterwards.
#[derive(Clone, Default)]
pub struct Crew {
    /// Those that have nothing to do, the last one that had on top.
    idle: Arc<Mutex<Idle>>,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").finish_non_exhaustive()
    }
}

impl Crew {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a thread do `job`, at once.
    ///
    /// # Errors
    /// `Unavailable` when a new thread is needed and the system has none.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut job: Job = Box::new(job);
        loop {
            let Some((_, worker)) = self.idle().pop() else { break };
            match worker.send(job) {
                Ok(()) => return Ok(()),
                Err(returned) => job = returned.0,
            }
        }
        let crew = self.clone();
        let worker = move || crew.work(job);
        let started = thread::Builder::new().name("crew".to_owned()).spawn(worker);
        started.map(drop).map_err(|error| Fault::unavailable(format!("cannot start a thread: {error}")))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut job: Job) {
        let (sender, receiver) = sync_channel::<Job>(1);
        let own = thread::current().id();
        loop {
            job();
            self.idle().push((own, sender.clone()));
            let next = receiver.recv_timeout(IDLE).or_else(|_| {
                let mut idle = self.idle();
                let before = idle.len();
                idle.retain(|(id, _)| *id != own);
                if idle.len() < before {
                    return Err(RecvError);
                }
                drop(idle);
                // Somebody took this one from the list meanwhile, so a job is on its way.
                receiver.recv()
            });
            match next {
                Ok(next) => job = next,
                Err(RecvError) => return,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn shared_work_is_done_once_by_whoever_comes() {
        let (next, sum, came) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        share(4, || {
            came.fetch_add(1, Ordering::Relaxed);
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= 1_000 {
                    return;
                }
                sum.fetch_add(piece, Ordering::Relaxed);
            }
        });
        assert_eq!(sum.into_inner(), 499_500);
        assert!((1..=4).contains(&came.into_inner()));
        let alone = AtomicUsize::new(0);
        share(1, || {
            alone.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(alone.into_inner(), 1);
    }

    #[test]
    fn jobs_that_wait_for_each_other_have_threads_of_their_own_and_idle_ones_are_used_again() {
        let crew = Crew::new();
        let (tell, told) = channel();
        let (first, waiting) = channel::<()>();
        let one = tell.clone();
        crew.run(move || {
            waiting.recv().unwrap();
            one.send(thread::current().id()).unwrap();
        })
        .unwrap();
        crew.run(move || first.send(()).unwrap()).unwrap();
        let mut ids = vec![told.recv().unwrap()];
        for _ in 0..20 {
            // A thread is idle a moment after it answered.
            while crew.idle().is_empty() {
                thread::yield_now();
            }
            let tell = tell.clone();
            crew.run(move || tell.send(thread::current().id()).unwrap()).unwrap();
            ids.push(told.recv().unwrap());
        }
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert!(ids.len() <= 2, "{} threads for two jobs at a time", ids.len());
    }

    #[test]
    fn a_job_that_fails_takes_no_other_with_it() {
        let crew = Crew::new();
        crew.run(|| panic!("on purpose")).unwrap();
        let (tell, told) = channel();
        crew.run(move || tell.send(7).unwrap()).unwrap();
        assert_eq!(told.recv().unwrap(), 7);
    }
}
