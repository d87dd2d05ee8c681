//! The common ground of every program: wire types, ids, time, faults, settings, redaction, and the
//! spool that carries an event from where it happened to where it is kept.
//!
//! This crate names no product and opens no socket. Programs meet through the types in [`event`].

pub mod audit;
pub mod clock;
pub mod count;
pub mod event;
pub mod fault;
pub mod file_limit;
pub mod id;
pub mod logs;
pub mod moment;
pub mod paths;
pub mod process;
pub mod recorder;
pub mod redact;
pub mod repository;
pub mod run_file;
pub mod secret;
pub mod settings;
pub mod spool;
pub mod threads;
pub mod token;
pub mod zone;
