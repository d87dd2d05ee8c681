//! The Model Context Protocol, revisions 2025-11-25 and 2026-07-28, over HTTP and over standard input and output.
//!
//! A program describes its tools as a [`ToolSet`]; the protocol around them is the same for all programs.

mod direct;
mod endpoint;
mod envelope;
mod handler;
mod schema;
mod stdio;
mod tool;

pub(crate) use endpoint::json;
pub use endpoint::{Endpoint, MAX_BODY_BYTES};
pub use handler::{Handler, ServerCard};
pub use schema::{input_schema, output_schema};
pub use stdio::{MAX_LINE_BYTES, serve_stdio};
pub use tool::{Arguments, Effect, ToolDescription, ToolError, ToolFuture, ToolSet};
