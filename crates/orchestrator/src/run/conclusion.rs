//! How a process ended, as the ending of a step.

use std::time::Duration;

use super::output::OutputKeeper;
use crate::workflows::fact::{Ending, Outcome};

/// Why a process was ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Stopped,
    OutOfTime,
}

/// How it ended.
pub(super) enum End {
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Nobody can say, why.
    Unknown(String),
}

impl End {
    /// The ending of a process that was ended for `why`, or not; `limit` is the time that it had.
    pub(super) fn conclude(self, why: Option<Why>, limit: Option<Duration>, kept: OutputKeeper<'_>) -> Ending {
        let (bytes, last, trouble) = kept.close();
        let (exit_code, mut outcome, mut note) = match self {
            Self::Code(0) => (Some(0), Outcome::Succeeded, None),
            Self::Code(code) => {
                let said = last.map(|last| format!(": {last}")).unwrap_or_default();
                (Some(code), Outcome::Failed, Some(format!("exit code {code}{said}")))
            }
            Self::Signal(signal) => (Some(128 + signal), Outcome::Failed, Some(format!("ended by signal {signal}"))),
            Self::Unknown(why) => (None, Outcome::Crashed, Some(why)),
        };
        match why {
            Some(Why::Stopped) => (outcome, note) = (Outcome::Cancelled, Some("stopped".to_owned())),
            Some(Why::OutOfTime) => {
                let limit = limit.unwrap_or_default().as_secs_f64();
                (outcome, note) = (Outcome::TimedOut, Some(format!("took longer than {limit} s")));
            }
            None => {}
        }
        let note = match (note, trouble) {
            (Some(note), Some(trouble)) => Some(format!("{note}; {trouble}")),
            (note, trouble) => note.or(trouble),
        };
        Ending { outcome, exit_code, note, output_bytes: bytes, result: None }
    }
}
