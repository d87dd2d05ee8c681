//! The protocol library's two services behind one address: one that keeps transport sessions for clients of revision
//! 2025-11-25 that use them, and one without state for everybody else.
//!
//! Many clients of that revision drop the session id, so a request without one is served all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::endpoint::{MAX_BODY_BYTES, SESSION_HEADER};
use super::listeners::Listeners;
use super::tool::ToolSet;
use super::visit::Reception;

/// Transport sessions at once. A client beyond them is served without one.
const MOST_SESSIONS: usize = 1_000;
/// A transport session ends when its client is silent for so long.
const SILENCE_LIMIT: Duration = Duration::from_secs(3_600);

/// What an endpoint can serve.
pub trait Served: ServerHandler + Clone {
    /// Its tools.
    fn tools(&self) -> &Arc<dyn ToolSet>;

    /// Who is told of clients, if anybody is.
    fn reception(&self) -> Option<&Arc<dyn Reception>>;

    /// The same for one client that keeps a transport session.
    fn for_session(&self) -> Self;
}

/// An answer under way.
pub(super) type Serving<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// The two services, whatever they serve.
pub(super) trait Doors: Send + Sync + 'static {
    /// Serves a request that needs no transport session.
    fn alone(&self, request: Request<Body>) -> Serving<'_>;

    /// Serves a request of a transport session.
    fn in_session(&self, request: Request<Body>) -> Serving<'_>;

    /// Opens a transport session by an `initialize` request, while there is room.
    fn opening(&self, request: Request<Body>) -> Serving<'_>;
}

pub(super) struct Services<H: Served> {
    stateless: StreamableHttpService<H, NeverSessionManager>,
    sessions: StreamableHttpService<H, LocalSessionManager>,
    manager: Arc<LocalSessionManager>,
    listeners: Listeners,
    /// Ends the library's tasks when nobody is served any more.
    _over: DropGuard,
}

impl<H: Served> Services<H> {
    /// Ends the streams of those who only listen at `shutdown`. What else is under way goes on for as long as it is served.
    pub(super) fn new(handler: &H, shutdown: CancellationToken) -> Self {
        // The library breaks off whatever is under way when its token is cancelled.
        let over = CancellationToken::new();
        // Hosts, origins and sizes are judged before a request comes here, for all paths alike.
        let config = StreamableHttpServerConfig::default()
            .with_json_response(true)
            .with_sse_retry(None)
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(MAX_BODY_BYTES)
            .with_cancellation_token(over.clone());
        let mut remembered = SessionConfig::default();
        remembered.keep_alive = Some(SILENCE_LIMIT);
        remembered.sse_retry = None;
        let mut manager = LocalSessionManager::default();
        manager.session_config = remembered;
        let manager = Arc::new(manager);
        let (one, many) = (handler.clone(), handler.clone());
        Self {
            stateless: StreamableHttpService::new(
                move || Ok(one.clone()),
                Arc::new(NeverSessionManager::default()),
                config.clone().with_legacy_session_mode(false),
            ),
            sessions: StreamableHttpService::new(
                move || Ok(many.for_session()),
                Arc::clone(&manager),
                config.with_legacy_session_mode(true),
            ),
            manager,
            listeners: Listeners::until(shutdown),
            _over: over.drop_guard(),
        }
    }
}

fn plain(
    response: Response<
        impl axum::body::HttpBody<Data = axum::body::Bytes, Error = std::convert::Infallible> + Send + 'static,
    >,
) -> Response<Body> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(body))
}

impl<H: Served> Doors for Services<H> {
    fn alone(&self, request: Request<Body>) -> Serving<'_> {
        Box::pin(async move { plain(self.stateless.handle(request).await) })
    }

    fn in_session(&self, request: Request<Body>) -> Serving<'_> {
        Box::pin(async move {
            let id = request.headers().get(SESSION_HEADER).filter(|_| request.method() == Method::GET).cloned();
            if let Some(id) = &id {
                self.listeners.make_room(id);
            }
            let answer = plain(self.sessions.handle(request).await);
            match id {
                Some(id) if answer.status().is_success() => answer.map(|body| self.listeners.hold(id, body)),
                _ => answer,
            }
        })
    }

    fn opening(&self, request: Request<Body>) -> Serving<'_> {
        Box::pin(async move {
            if self.manager.sessions.read().await.len() >= MOST_SESSIONS {
                tracing::warn!(limit = MOST_SESSIONS, "too many transport sessions; this client is served without one");
                return self.alone(request).await;
            }
            self.in_session(request).await
        })
    }
}
