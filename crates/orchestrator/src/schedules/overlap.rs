//! What becomes of a run that is due while an earlier one of its schedule has not ended.

use serde::{Deserialize, Serialize};

use super::Misfire;

/// Most runs of a schedule that wait for one another; what comes then is skipped.
pub const MAX_QUEUED: usize = 100;

/// The policy. An earlier run has not ended while it waits for a person, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The run is left out, and that is told.
    #[default]
    Skip,
    /// It begins when all earlier ones have ended.
    Queue,
    /// Earlier ones are cancelled; it begins when they have stopped.
    Replace,
    /// It begins all the same.
    Allow,
}

impl Overlap {
    const ALL: [Self; 4] = [Self::Skip, Self::Queue, Self::Replace, Self::Allow];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
            Self::Allow => "allow",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|overlap| overlap.as_str() == name)
    }

    /// What holds when nobody says anything. Who wants every missed run to be made up for wants them one after the other.
    #[must_use]
    pub const fn usual(misfire: Misfire) -> Self {
        match misfire {
            Misfire::Skip | Misfire::Latest => Self::Skip,
            Misfire::All => Self::Queue,
        }
    }

    /// Whether all missed runs can be made up for at once under this policy: they begin together.
    #[must_use]
    pub const fn goes_with(self, misfire: Misfire) -> bool {
        !matches!((self, misfire), (Self::Skip | Self::Replace, Misfire::All))
    }
}

#[cfg(test)]
mod tests;
