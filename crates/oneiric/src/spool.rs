//! The spool: files that hold accepted events until somebody who keeps them has acknowledged them.
//!
//! One file a session, `<session id>.spool`. Its owner holds a lock on it for as long as it lives; a file whose lock is
//! free is an orphan, and [`drain`] delivers it. The first line is the session's start. Nothing here knows a network: an
//! [`EventSink`] takes the batches.

mod drain;
mod file;
mod line;

use std::time::Duration;

pub use drain::{Depth, DrainReport, depth, drain, orphans};
pub(crate) use drain::{quarantine, rejected_lines};
pub use file::SpoolFile;
pub(crate) use file::read_batch;
pub use line::{Entry, EntryKind, Line, decode, encode};

use crate::event::{BatchReceipt, EventBatch};

/// Extension of spool files.
pub const EXTENSION: &str = "spool";
/// Folder below the spool for lines that cannot be read and events that were rejected.
pub const QUARANTINE: &str = "quarantine";
/// Events that one delivery carries at most.
pub const BATCH_EVENTS: usize = 500;
/// Bytes of spool lines that one delivery carries at most, unless one line alone is longer.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Somebody who keeps events.
pub trait EventSink: Send + Sync {
    /// Hands over a batch and waits at most about `limit` for the answer.
    ///
    /// # Errors
    /// [`DeliveryError`]; then nothing is acknowledged, though some of it may have been stored: sending it again is harmless.
    fn deliver(&self, batch: &EventBatch, limit: Duration) -> Result<BatchReceipt, DeliveryError>;
}

/// Why a batch was not acknowledged. Each carries a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Nobody listens there.
    #[error("{0}")]
    Unreachable(String),
    /// No answer within the limit.
    #[error("{0}")]
    TimedOut(String),
    /// The receiver wants other credentials.
    #[error("{0}")]
    Denied(String),
    /// The receiver will never take this batch as it is.
    #[error("{0}")]
    Refused(String),
    /// The receiver could not do it this time.
    #[error("{0}")]
    Failed(String),
}
