//! Clients: told when they come, what they call, and when they go.
//!
//! Revision 2025-11-25 knows connections (standard input, or a transport session over HTTP). Revision 2026-07-28 knows them
//! only over standard input, where the process itself is the connection; over HTTP its clients pass by, call after call.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::http::ConnectionId;

use super::tool::{Arguments, ToolDescription, ToolError};

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

/// Where a request over HTTP came from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Address of the other side.
    pub peer: SocketAddr,
    /// The connection, where it has a name.
    pub connection: Option<ConnectionId>,
}

impl Source {
    /// As the listener noted it.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        let ConnectInfo(peer) = *extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(Self { peer, connection: extensions.get().copied() })
    }
}

/// A client without a connection, at one of its calls.
#[derive(Clone, Debug)]
pub struct Passer {
    /// Its program, as it says itself; never empty.
    pub client: String,
    /// Version of that program.
    pub client_version: String,
    /// Revision of the protocol that it speaks.
    pub revision: String,
    /// Subject of its token; empty while none is asked for.
    pub subject: String,
    /// Where it calls from.
    pub source: Option<Source>,
}

/// An answer under way.
pub type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Is told of clients that come.
pub trait Reception: Send + Sync + 'static {
    /// A client came. Called once a connection, and must not wait.
    fn arrived(&self, arrival: Arrival) -> Arc<dyn Guest>;

    /// A client without a connection calls. `None` when nothing is to be known of it.
    fn passes(&self, passer: Passer) -> Told<'_, Option<Arc<dyn Guest>>>;
}

/// A client that is there. One that stays goes when this is dropped.
pub trait Guest: Send + Sync + 'static {
    /// The client is heard of by a request from `source`, which is answered after this. Comes before all else of that request.
    fn heard(&self, source: Source) -> Told<'_, ()>;

    /// The client said in which folders it works. May come more than once, or never. Must not wait.
    fn works_in(&self, folders: Vec<PathBuf>);

    /// The client called a tool. Must not wait.
    fn called(&self, tool: &str);

    /// Arguments that hold for its call of `tool`, which lacks some of those that can be left out.
    fn defaults<'a>(&'a self, tool: &'a str) -> Told<'a, Map<String, Value>>;

    /// What its answers carry in `_meta`, when there is something to say.
    fn meta(&self) -> Option<Map<String, Value>>;
}

/// The argument that names a session, which clients with one of their own can leave out.
const SESSION: &str = "session_id";

/// Characters of a client's name and version that are kept.
const NAME_LIMIT: usize = 64;

/// A client's own words about itself, bounded.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect()
}

/// A request's guest on its way through the protocol library.
#[derive(Clone)]
pub(super) struct Pass(pub(super) Arc<dyn Guest>);

/// `arguments` with what holds for `guest` unless it says otherwise.
pub(super) async fn completed<'a>(
    guest: &dyn Guest,
    tool: &ToolDescription,
    arguments: Arguments<'a>,
) -> Result<Arguments<'a>, ToolError> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        session_id: Option<IgnoredAny>,
    }
    let takes = tool.input.get("properties").is_some_and(|properties| properties.get(SESSION).is_some());
    let given = match &arguments {
        Arguments::Parsed(map) => map.get(SESSION).is_some_and(|value| !value.is_null()),
        // What cannot be read is for the tool to refuse.
        Arguments::Raw(raw) => serde_json::from_str(raw.get()).is_ok_and(|named: Named| named.session_id.is_some()),
    };
    if !takes || given {
        return Ok(arguments);
    }
    let defaults = guest.defaults(tool.name).await;
    if defaults.is_empty() {
        return Ok(arguments);
    }
    let mut map: Map<String, Value> = arguments.parse()?;
    map.extend(defaults);
    Ok(Arguments::Parsed(map))
}
