//! Session-Buddy keeps what was done in admin shells and by MCP clients as sessions and events, and finds it again.
//!
//! Doors: [`cli`] (a file a command), [`mcp`] (a file a tool group) and the HTTP pages that every server of the house has.
//! [`desk`] is what the doors have in common: requests, and the store that answers them. [`server`] is the process that
//! serves. Rules about sessions and events themselves are in `session-store`.

pub mod cli;
pub mod desk;
pub mod hand;
pub mod mcp;
pub mod rest;
pub mod server;
pub mod settings;

/// Name of the product, of its home and of its run file.
pub const PRODUCT: &str = "session-buddy";

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
