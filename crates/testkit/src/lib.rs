//! Support for tests over the real programs: hermetic homes, processes that end with their test, faults made to order,
//! and an MCP client that can also send what no client should.
//!
//! Everything here panics when a test's surroundings are not as they have to be, with a sentence that says so: that is
//! what a test wants. No production code uses this crate.
//!
//! The programs are found beside the test executable (`target/<profile>/`), or in the folder that `TESTKIT_BIN_DIR`
//! names; `cargo build --workspace` puts them there.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a broken test bed is a failed test")]

pub mod binaries;
pub mod chance;
pub mod crash;
pub mod disk;
pub mod engines;
pub mod git;
pub mod home;
pub mod http;
pub mod hub;
pub mod mahavishnu;
pub mod mcp;
pub mod model;
pub mod network;
pub mod ollama;
pub mod peers;
pub mod ports;
pub mod processes;
pub mod program;
pub mod running;
pub mod scan;
pub mod seat;
pub mod server;
mod signals;
pub mod wait;

pub use chance::Chance;
pub use home::TestHome;
pub use mahavishnu::Orchestrator;
pub use program::{Finished, Program};
pub use running::Running;
pub use seat::Seat;
pub use server::Server;
pub use wait::{eventually, soon};
