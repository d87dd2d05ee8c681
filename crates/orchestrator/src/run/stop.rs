//! Tells a step at work that it must end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// A stop sign that can be waited for together with other descriptors.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Sign>);

#[derive(Debug)]
struct Sign {
    raised: AtomicBool,
    released: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    /// A sign that is not raised.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Fault::unavailable(format!("no descriptor is left: {error}")).hint("raise ulimit -n"))?;
        Ok(Self(Arc::new(Sign { raised: AtomicBool::new(false), released: AtomicBool::new(false), event })))
    }

    /// Raises it for good.
    pub fn raise(&self) {
        if !self.0.raised.swap(true, Ordering::AcqRel) {
            // The counter cannot overflow by one write, so nothing can go wrong here.
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }

    /// Lets the step go: what another engine runs is to go on there, only nobody here watches it any more.
    pub fn release(&self) {
        if !self.0.released.swap(true, Ordering::AcqRel) {
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }

    /// Whether the step is let go.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.0.released.load(Ordering::Acquire)
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Becomes readable when the sign is raised, and stays so.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    /// Waits, at most so long. Gives whether the sign is raised.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).ok();
        let _ = poll(&mut [PollFd::new(&self.0.event, PollFlags::IN)], limit.as_ref());
        self.is_raised()
    }
}
