//! Drives schedules: a thread that looks when something is due, at least every second.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};

use super::{Schedule, Schedules};
use crate::workflows::plan::Plan;

/// Time between two looks: schedules are added by other processes.
const LOOK: Duration = Duration::from_secs(1);

/// Makes a plan of a schedule's work, with its title.
pub(super) type Planner = dyn Fn(&Schedule) -> Result<(Plan, String)> + Send + Sync;

/// A running clockwork. Dropping it ends it after the look that it is at.
pub struct Clockwork {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Clockwork {
    /// Begins to drive the schedules of this database.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(database: PathBuf, clock: Arc<dyn Clock>, planner: Arc<Planner>) -> Result<Self> {
        let (end, ended) = channel();
        let work = move || {
            let schedules = Schedules::at(database);
            let mut reckoned = false;
            let mut wait = Duration::ZERO;
            // Until it is told to end, or nobody is left who could tell.
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                reckoned = reckoned || schedules.reckon().is_ok();
                let now = clock.now();
                let looked = schedules.look(now, &*planner);
                wait = match looked {
                    Ok(look) => {
                        look.next.map_or(LOOK, |next| next.since(clock.now())).clamp(Duration::from_millis(1), LOOK)
                    }
                    Err(fault) => {
                        tracing::error!(%fault, "schedules cannot be driven; trying again");
                        LOOK
                    }
                };
            }
        };
        let thread = std::thread::Builder::new()
            .name("schedules".into())
            .spawn(work)
            .map_err(|error| Fault::unavailable(format!("no thread for schedules: {error}")))?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Clockwork {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
