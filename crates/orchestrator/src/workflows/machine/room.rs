//! Whose room a step takes while it is at work. Steps that wait are kept apart by it, so that those without room are not
//! looked at again and again, however many they are.

use crate::workflows::plan::Work;

/// Whose room a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// This machine's: a process.
    Here,
    /// Another engine's, or a worker's.
    Elsewhere,
    /// Nobody's: a person is asked.
    Nobodys,
}

impl Room {
    /// All of them; their numbers are their places here.
    pub const ALL: [Self; 3] = [Self::Here, Self::Elsewhere, Self::Nobodys];

    /// What this work takes.
    #[must_use]
    pub const fn of(work: &Work) -> Self {
        match work {
            Work::Command { .. } => Self::Here,
            Work::Adapter { .. } | Work::Worker { .. } => Self::Elsewhere,
            Work::Approval { .. } => Self::Nobodys,
        }
    }
}
