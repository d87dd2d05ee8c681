//! Clients that stay: told when they come, what they call, and when they go.
//!
//! Revision 2025-11-25 knows connections (standard input, or a transport session over HTTP). Revision 2026-07-28 knows them
//! only over standard input, where the process itself is the connection.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

/// By what a client stays connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Standard input and output of this process.
    Stdio,
    /// A transport session of revision 2025-11-25 over HTTP.
    Http,
}

impl Connection {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
        }
    }
}

/// A client that has come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its program, as it says itself; empty when it does not say.
    pub client: String,
    /// Version of that program.
    pub client_version: String,
    /// Revision of the protocol that it speaks.
    pub revision: String,
    /// By what it stays.
    pub connection: Connection,
}

/// Is told of clients that come.
pub trait Reception: Send + Sync + 'static {
    /// A client came. Called once a connection, and must not wait.
    fn arrived(&self, arrival: Arrival) -> Arc<dyn Guest>;
}

/// A client that is there. It goes when this is dropped.
pub trait Guest: Send + Sync + 'static {
    /// The client said in which folders it works. May come more than once, or never. Must not wait.
    fn works_in(&self, folders: Vec<PathBuf>);

    /// The client called a tool. Must not wait.
    fn called(&self, tool: &str);

    /// What its answers carry in `_meta`, when there is something to say.
    fn meta(&self) -> Option<Map<String, Value>>;
}
