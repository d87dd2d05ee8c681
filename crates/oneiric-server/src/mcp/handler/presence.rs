//! Whether the client stays, and what is known of it then.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::Implementation;
use rmcp::service::{Peer, RequestContext};

use crate::mcp::visit::{Arrival, Connection, Guest, Reception, Source, short};

/// Longest time that a client gets to say in which folders it works.
const FOLDERS_LIMIT: Duration = Duration::from_secs(10);
/// Folders of one client that are looked at.
const MOST_FOLDERS: usize = 16;

/// The presence of one client. Clones are of the same client.
#[derive(Clone, Default)]
pub(super) struct Presence {
    reception: Option<Arc<dyn Reception>>,
    connection: Option<Connection>,
    guest: Arc<OnceLock<Arc<dyn Guest>>>,
}

impl Presence {
    /// Clients are announced to `reception`, once they are known to stay.
    pub(super) fn told_to(reception: Arc<dyn Reception>) -> Self {
        Self { reception: Some(reception), ..Self::default() }
    }

    /// Who is told of clients.
    pub(super) fn reception(&self) -> Option<&Arc<dyn Reception>> {
        self.reception.as_ref()
    }

    /// Another client, which stays by `connection`.
    pub(super) fn over(&self, connection: Connection) -> Self {
        Self { reception: self.reception.clone(), connection: Some(connection), guest: Arc::default() }
    }

    /// The client has come, and says who it is.
    fn arrived(&self, client: Option<&Implementation>, revision: &str) -> Option<&Arc<dyn Guest>> {
        let (reception, connection) = (self.reception.as_ref()?, self.connection?);
        Some(self.guest.get_or_init(|| {
            reception.arrived(Arrival {
                client: client.map(|client| short(&client.name)).unwrap_or_default(),
                client_version: client.map(|client| short(&client.version)).unwrap_or_default(),
                revision: revision.to_owned(),
                connection,
            })
        }))
    }

    /// The client makes a request. It has come by now if it stays at all: a revision without handshake says who it is with
    /// each request.
    pub(super) async fn heard(&self, context: &RequestContext<RoleServer>) -> Option<Arc<dyn Guest>> {
        self.connection?;
        match self.guest.get() {
            Some(_) => self.heard_from(context).await,
            None => {
                let revision = context.protocol_version().map(|version| version.to_string()).unwrap_or_default();
                self.begins(context.client_info().as_ref(), &revision, context).await
            }
        }
    }

    /// The client makes its first request, and says who it is.
    pub(super) async fn begins(
        &self,
        client: Option<&Implementation>,
        revision: &str,
        context: &RequestContext<RoleServer>,
    ) -> Option<Arc<dyn Guest>> {
        self.arrived(client, revision)?;
        self.heard_from(context).await
    }

    async fn heard_from(&self, context: &RequestContext<RoleServer>) -> Option<Arc<dyn Guest>> {
        let guest = Arc::clone(self.guest.get()?);
        if let Some(source) = context.extensions.get::<Parts>().and_then(|parts| Source::of(&parts.extensions)) {
            guest.heard(source).await;
        }
        Some(guest)
    }

    /// Asks the client in which folders it works, if it can be asked.
    #[expect(deprecated, reason = "revision 2025-11-25 has roots; the next one does without")]
    pub(super) async fn ask_folders(&self, peer: &Peer<RoleServer>) {
        let Some(guest) = self.guest.get() else { return };
        let tells = peer.peer_info().is_some_and(|info| info.capabilities.roots.is_some());
        if !tells {
            return;
        }
        match tokio::time::timeout(FOLDERS_LIMIT, peer.list_roots()).await {
            Ok(Ok(answer)) => {
                let folders: Vec<PathBuf> =
                    answer.roots.iter().filter_map(|root| folder(&root.uri)).take(MOST_FOLDERS).collect();
                guest.works_in(folders);
            }
            Ok(Err(error)) => tracing::debug!(%error, "the client did not say in which folders it works"),
            Err(_) => tracing::debug!("the client took too long to say in which folders it works"),
        }
    }
}

/// The local folder of a `file://` URI.
fn folder(uri: &str) -> Option<PathBuf> {
    let path = uri.strip_prefix("file://")?;
    let path = path.strip_prefix("localhost").unwrap_or(path);
    if !path.starts_with('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    if bytes.contains(&0) {
        return None;
    }
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_from_its_uri() {
        assert_eq!(folder("file:///home/ada/a%20b/%C3%BC"), Some(PathBuf::from("/home/ada/a b/ü")));
        assert_eq!(folder("file://localhost/srv"), Some(PathBuf::from("/srv")));
        for uri in
            ["file://elsewhere/srv", "https://example.org/", "file:///%zz", "file:///%", "file:///a%00b", "/srv", ""]
        {
            assert_eq!(folder(uri), None, "{uri}");
        }
    }
}
