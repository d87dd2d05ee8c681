//! Workers: what a task of a pool is given to. A worker is a seat at which one task is done after the other, by the command
//! of its [`Profile`]: a shell, a shell on a terminal, or the program of an agent.

mod agents;
mod answer;
mod profile;
mod seat;

pub use self::answer::{Answer, AnswerSpec, Meter, Spent};
pub use self::profile::{Profile, Profiles, PromptBy};
pub use self::seat::{Done, Errand, Seat, TerminalKind, Terminals, Workshop};
