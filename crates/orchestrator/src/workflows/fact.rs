//! What happened to a workflow: the lines of its journal, and the states that they lead to.

use std::fmt;

use oneiric::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;
use super::plan::StepIndex;

/// State of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Has not begun: what it needs is not done, or it is not its turn.
    #[default]
    Waiting,
    /// Failed and will be tried again.
    Delayed,
    /// Waits for a person's word.
    Asking,
    /// Runs.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ran out of time.
    Timeout,
    /// Was stopped, or was not begun any more.
    Cancelled,
    /// Was not begun since something that it needs did not end well.
    Skipped,
    /// May or may not have finished: its engine is gone.
    Unknown,
}

impl StepState {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Delayed,
        Self::Asking,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
        Self::Skipped,
        Self::Unknown,
    ];

    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Asking => "asking",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more happens to it by itself or by a decision.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Timeout | Self::Cancelled | Self::Skipped)
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// By its own account badly.
    Failed,
    /// What ran it broke: the program cannot be started, the other engine lost it.
    Crashed,
    /// It took longer than it may.
    TimedOut,
    /// It was stopped on request.
    Cancelled,
}

/// What is known of an attempt's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code of a process; 128 + the signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why, in one redacted line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Bytes of output that it made, kept or not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_bytes: u64,
    /// What another engine gave back; small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the serializer asks by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Ending {
    /// An end without anything else to say.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        Self { outcome, exit_code: None, note: None, output_bytes: 0, result: None }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(outcome: Outcome, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..Self::of(outcome) }
    }
}

/// What someone decided about a step that may or may not have finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Run it again.
    Retry,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fact")]
pub enum Fact {
    /// An attempt begins now.
    Started {
        /// The step.
        step: StepIndex,
        /// 1 for the first.
        attempt: u32,
    },
    /// Another engine gave the attempt this id.
    Bound {
        /// The step.
        step: StepIndex,
        /// The other engine's id.
        run: String,
    },
    /// An attempt ended.
    Ended {
        /// The step.
        step: StepIndex,
        /// Which attempt.
        attempt: u32,
        /// How.
        ending: Ending,
        /// When it is tried again, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Timestamp>,
    },
    /// A step is not begun any more.
    Dropped {
        /// The step.
        step: StepIndex,
        /// `Skipped` or `Cancelled`.
        state: StepState,
        /// Why.
        because: String,
    },
    /// Someone is asked.
    Asked {
        /// The step.
        step: StepIndex,
    },
    /// Someone answered.
    Answered {
        /// The step.
        step: StepIndex,
        /// Whether it may go on.
        yes: bool,
        /// Who.
        by: String,
    },
    /// The engine was killed while this attempt ran.
    Lost {
        /// The step.
        step: StepIndex,
        /// Which attempt.
        attempt: u32,
    },
    /// The engine ended while this attempt ran, and ended it: it has not finished.
    Interrupted {
        /// The step.
        step: StepIndex,
        /// Which attempt.
        attempt: u32,
        /// How it went.
        ending: Ending,
    },
    /// Someone, or the task's policy, decided about a lost step.
    Settled {
        /// The step.
        step: StepIndex,
        /// What.
        decision: Decision,
        /// Who.
        by: String,
    },
    /// Someone wants the workflow to stop.
    CancelAsked {
        /// Who.
        by: String,
    },
    /// The workflow's own time limit has passed.
    OutOfTime,
    /// The clock of this machine was set, or the machine slept: what waits goes on waiting for as long as it had to.
    ClockSet {
        /// Microseconds that time has leapt by; less than zero when it went back.
        by: i64,
    },
    /// A step that did not end well gets another chance.
    Reopened {
        /// The step.
        step: StepIndex,
    },
    /// Nothing is left to do.
    Finished {
        /// How it ended.
        status: Status,
        /// Why, when not well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

impl Fact {
    /// The step that it is about.
    #[must_use]
    pub const fn step(&self) -> Option<StepIndex> {
        match self {
            Self::Started { step, .. }
            | Self::Bound { step, .. }
            | Self::Ended { step, .. }
            | Self::Dropped { step, .. }
            | Self::Asked { step }
            | Self::Answered { step, .. }
            | Self::Lost { step, .. }
            | Self::Interrupted { step, .. }
            | Self::Settled { step, .. }
            | Self::Reopened { step } => Some(*step),
            Self::CancelAsked { .. } | Self::OutOfTime | Self::ClockSet { .. } | Self::Finished { .. } => None,
        }
    }
}
