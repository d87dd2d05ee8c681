//! Signals: Ctrl-C stops what runs, and the ones that end a process let it say goodbye first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What signals change.
#[derive(Clone, Debug, Default)]
pub struct Interrupts {
    flag: Arc<AtomicBool>,
    group: Arc<AtomicI32>,
    /// Something runs whose end has not been recorded.
    working: Arc<AtomicBool>,
    /// A signal is ending the process.
    ending: Arc<AtomicBool>,
}

/// Time that what runs gets to end and be recorded when a signal ends the process.
const LAST_WORK: Duration = Duration::from_secs(1);
/// Time between looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A signal that ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingSignal {
    /// `SIGTERM` or `SIGHUP`.
    pub name: &'static str,
    /// 128 and the signal's number.
    pub exit_code: i32,
}

impl Interrupts {
    /// Interrupts that no signal raises, for tests.
    #[must_use]
    pub fn detached() -> Self {
        Self::default()
    }

    /// Listens: SIGINT raises the flag; SIGTERM and SIGHUP call `end` on a thread of their own, which ends the
    /// process. A signal that was ignored when the process began (`nohup`) stays ignored.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(end: impl FnOnce(EndingSignal) + Send + 'static) -> io::Result<Self> {
        let interrupts = Self::default();
        let kept = |signal: i32| !is_ignored(signal);
        if kept(SIGINT) {
            signal_hook::flag::register(SIGINT, Arc::clone(&interrupts.flag))?;
        }
        let ending: Vec<i32> = [SIGTERM, SIGHUP].into_iter().filter(|&signal| kept(signal)).collect();
        let mut signals = Signals::new(ending)?;
        let at = interrupts.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                at.ending.store(true, Ordering::SeqCst);
                at.raise();
                let child = at.group.load(Ordering::Acquire);
                if let Some(group) = rustix::process::Pid::from_raw(child) {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::CONT);
                }
                // What the signal broke off is recorded by the thread that ran it, which then rests.
                let mut waited = Duration::ZERO;
                while at.working.load(Ordering::SeqCst) && waited < LAST_WORK {
                    std::thread::sleep(LOOK_EVERY);
                    waited += LOOK_EVERY;
                }
                let name = if signal == SIGHUP { "SIGHUP" } else { "SIGTERM" };
                end(EndingSignal { name, exit_code: 128 + signal });
            }
        })?;
        Ok(interrupts)
    }

    /// The flag that Ctrl-C raises.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Whether Ctrl-C was pressed since the last [`Interrupts::clear`].
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Raises the flag, as Ctrl-C does.
    pub fn raise(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Forgets an earlier Ctrl-C.
    pub fn clear(&self) {
        self.flag.store(false, Ordering::Release);
    }

    /// Something begins to run.
    pub(crate) fn work_begins(&self) {
        self.working.store(true, Ordering::SeqCst);
    }

    /// It has ended and is recorded. Does not return when a signal is ending the process: how the session ended is for
    /// that signal to say, not for what it broke off.
    pub(crate) fn work_is_over(&self) {
        self.working.store(false, Ordering::SeqCst);
        while self.ending.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// Tells which process group runs, so that it ends together with the shell; 0 for none.
    pub(crate) fn set_group(&self, group: i32) {
        self.group.store(group, Ordering::Release);
    }
}

/// Whether this process ignores a signal, as its parent wanted it (`nohup`). To be asked before it is listened to.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}
