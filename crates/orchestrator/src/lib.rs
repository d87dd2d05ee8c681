//! What Mahavishnu knows: which repositories there are ([`repos`]) and which workflows ran over them ([`workflows`]).
//!
//! Nothing here parses a command line, draws a table or speaks a protocol.

pub mod engine;
pub mod repos;
pub mod run;
pub mod workflows;
