//! The limit on the size of files that a user may set for a process (`ulimit -f`).
//!
//! What would write beyond it gets a signal that ends the process, unless somebody listens; then the write fails and can be told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;

/// Has writes beyond the limit fail instead of ending this process. Programs that it starts get the signal as ever.
///
/// # Errors
/// What the system says; it ends such a process then.
pub fn fail_writes() -> io::Result<()> {
    // Nobody asks whether it came: the write says so.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// The limit in bytes, when there is one.
#[must_use]
pub fn bytes() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}
