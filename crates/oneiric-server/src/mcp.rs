//! The Model Context Protocol, revisions 2025-11-25 and 2026-07-28, over HTTP and over standard input and output.
//!
//! A program describes its tools as a [`ToolSet`]; the protocol around them is the same for all programs.

mod direct;
mod endpoint;
mod envelope;
mod fixture;
mod follow;
mod handler;
mod lasting;
mod library;
mod listeners;
mod params;
mod schema;
mod seal;
mod sessions;
mod stdio;
mod taking;
mod tool;
mod underway;
mod visit;

pub use endpoint::{Endpoint, MAX_BODY_BYTES};
pub(crate) use endpoint::{json, refused};
pub use fixture::Fixture;
pub(crate) use follow::{WAIT, call};
pub use handler::{Handler, ServerCard};
pub use lasting::{Lasting, Question, Reply, Stage, Standing, Works};
pub use library::{
    Document, Library, PromptDescription, PromptParameter, Reading, ResourceLine, ResourcePage, Suggestions,
    TemplateDescription, Typing,
};
pub use schema::{input_schema, output_schema};
pub use sessions::Served;
pub use stdio::{MAX_LINE_BYTES, serve_stdio};
pub use tool::{Arguments, Effect, Profile, ToolDescription, ToolError, ToolFuture, ToolSet, blocking};
pub use visit::{Arrival, Connection, Guest, Passer, Reception, Source, Told};
