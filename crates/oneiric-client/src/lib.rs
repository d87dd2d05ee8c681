//! The client's side of a peer: its MCP tools and its health, over HTTP, without a runtime.

mod lines;
mod peer;
mod rpc;

pub mod control;

pub use peer::{Locator, Peer, PeerError, TokenSource};
pub use rpc::CLIENT_NAME;
