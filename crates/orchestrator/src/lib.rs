//! What Mahavishnu knows: which repositories there are ([`repos`]) and which workflows ran over them ([`workflows`]).
//!
//! Nothing here parses a command line, draws a table or speaks a protocol.

pub mod adapters;
pub mod engine;
pub mod pools;
pub mod repos;
pub mod run;
pub mod schedules;
pub mod workers;
pub mod workflows;
pub mod worktrees;
