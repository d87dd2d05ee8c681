//! How a server ends: a signal, its input or its parent ends it; tasks get time to finish, and no more.

use std::future::Future;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The least favourable priority.
const NICE: i32 = 19;

/// Tasks of a process and the word that ends them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    token: CancellationToken,
    tasks: TaskTracker,
    fallen: Fallen,
}

/// Background work that stopped before its end, by name. Cheap to clone; clones tell of the same process.
#[derive(Clone, Debug, Default)]
pub struct Fallen(Arc<Mutex<Vec<&'static str>>>);

impl Fallen {
    /// Its names, in the order in which they stopped.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.locked().clone()
    }

    fn note(&self, name: &'static str) {
        let mut names = self.locked();
        if !names.contains(&name) {
            names.push(name);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle {
    /// A process that runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process has to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task whose end is waited for. It has to end soon after [`Lifecycle::token`] is cancelled.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Background work that stopped before its end.
    #[must_use]
    pub fn fallen(&self) -> Fallen {
        self.fallen.clone()
    }

    /// Calls `work` on a blocking thread every `period` until the end; never twice at once.
    pub fn every(&self, name: &'static str, period: Duration, mut work: impl FnMut() + Send + 'static) {
        let (token, fallen) = (self.token(), self.fallen());
        self.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let ran = tokio::task::spawn_blocking(move || {
                    work();
                    work
                });
                match ran.await {
                    Ok(back) => work = back,
                    Err(error) => {
                        tracing::error!(%error, name, "background work stopped");
                        fallen.note(name);
                        return;
                    }
                }
            }
        });
    }

    /// Runs `work` on a thread of its own that everything else goes before. Its receiver is disconnected when the process has
    /// to end; what `work` holds is gone, a database that it keeps open closed, before its end counts. Needs a runtime.
    pub fn aside(&self, name: &'static str, work: impl FnOnce(&Receiver<()>) + Send + 'static) {
        let (ending, ended) = sync_channel::<()>(1);
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        let fallen = self.fallen();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Of nobody in particular means, to Linux, of the calling thread, and of those that it starts.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, name, "a thread keeps its priority");
            }
            let standing = Standing { name, fallen };
            // The call takes `work`, so that all it holds is dropped when it is over.
            work(&ended);
            drop(standing);
            drop(done);
        });
        if let Err(error) = thread {
            tracing::warn!(%error, name, "a thread cannot be started");
            self.fallen.note(name);
            return;
        }
        let token = self.token();
        self.spawn(async move {
            token.cancelled().await;
            // The receiver sees that the sender is gone.
            drop(ending);
            let _ = finished.await;
        });
    }

    /// Tells everyone to end.
    pub fn end(&self) {
        self.token.cancel();
    }

    /// Waits for all tasks, at most `limit`. Says whether all ended.
    pub async fn finished(&self, limit: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

/// A thread at work. One that panics is noted.
struct Standing {
    name: &'static str,
    fallen: Fallen,
}

impl Drop for Standing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(name = self.name, "background work stopped");
            self.fallen.note(self.name);
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP. A SIGHUP that was ignored from the start, as under `nohup`, stays so.
#[derive(Debug)]
pub struct Signals {
    term: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    /// Listens from now on: a signal that comes before [`Signals::next`] waits for it. To be called before anybody can know
    /// that this process is there; until then a signal ends it where it stands. Needs a runtime.
    #[must_use]
    pub fn listen() -> Self {
        let listen = |kind| signal(kind).ok();
        Self {
            term: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            hangup: if hangup_is_ignored() { None } else { listen(SignalKind::hangup()) },
        }
    }

    /// The name of the next one. May be given up and asked again.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = came(&mut self.term) => "SIGTERM",
            () = came(&mut self.interrupt) => "SIGINT",
            () = came(&mut self.hangup) => "SIGHUP",
        }
    }
}

async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether whoever started this process had it ignore SIGHUP.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default().trim();
    u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & 1 == 1)
}

/// The process that started this one.
#[derive(Clone, Copy, Debug)]
pub struct Parent(Option<rustix::process::Pid>);

impl Parent {
    /// Who it is now. To be asked as early as possible: a parent that is gone already is not known any more.
    #[must_use]
    pub fn now() -> Self {
        Self(rustix::process::getppid())
    }

    /// Waits until it is gone.
    pub async fn gone(self) {
        // Looked at rather than signalled: the kernel's death signal fires when the parent's *thread* ends, which may be early.
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        loop {
            ticks.tick().await;
            if rustix::process::getppid() != self.0 {
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn repeated_work_runs_until_the_end_and_is_waited_for() {
        let lifecycle = Lifecycle::new();
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let (enough, reached) = tokio::sync::oneshot::channel();
        let mut enough = Some(enough);
        lifecycle.every("count", Duration::from_millis(1), move || {
            if counted.fetch_add(1, Ordering::SeqCst) == 2 {
                enough.take().map(|sender| sender.send(()));
            }
        });
        reached.await.unwrap();
        lifecycle.end();
        assert!(lifecycle.finished(Duration::from_secs(5)).await);
        assert!(runs.load(Ordering::SeqCst) >= 3);
    }

    /// Takes its time to close, like a database.
    struct Slow(Arc<AtomicU32>);

    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(100));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn what_a_thread_holds_is_closed_before_its_end_counts() {
        let lifecycle = Lifecycle::new();
        let closed = Arc::new(AtomicU32::new(0));
        let held = Slow(Arc::clone(&closed));
        lifecycle.aside("held", move |ended| {
            let held = held;
            assert!(ended.recv().is_err());
            assert_eq!(held.0.load(Ordering::SeqCst), 0);
        });
        let captured = Slow(Arc::clone(&closed));
        lifecycle.aside("captured", move |ended| {
            let _ = (&captured, ended.recv());
        });
        lifecycle.end();
        assert!(lifecycle.finished(Duration::from_secs(5)).await);
        assert_eq!(closed.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn work_that_falls_is_named() {
        let lifecycle = Lifecycle::new();
        let hold = Arc::new(AtomicU32::new(0));
        let held = Slow(Arc::clone(&hold));
        lifecycle.aside("thread", move |_| {
            let _held = held;
            panic!("on purpose");
        });
        lifecycle.every("rounds", Duration::from_millis(1), || panic!("on purpose"));
        lifecycle.aside("whole", |ended| assert!(ended.recv().is_err()));
        while lifecycle.fallen().names().len() < 2 {
            tokio::task::yield_now().await;
        }
        lifecycle.end();
        assert!(lifecycle.finished(Duration::from_secs(5)).await);
        let mut names = lifecycle.fallen().names();
        names.sort_unstable();
        assert_eq!((names, hold.load(Ordering::SeqCst)), (vec!["rounds", "thread"], 1));
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_costs_no_more_than_the_limit() {
        let lifecycle = Lifecycle::new();
        let task = lifecycle.spawn(std::future::pending::<()>());
        lifecycle.end();
        assert!(!lifecycle.finished(Duration::from_millis(10)).await);
        task.abort();
    }
}
