//! A peer that speaks MCP over HTTP.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oneiric::event::{BatchReceipt, EventBatch};
use oneiric::fault::{Fault, FaultKind};
use oneiric::spool::{DeliveryError, EventSink};
use serde_json::{Map, Value};

use crate::rpc::{self, Answer};

/// Answers larger than this are not read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Gives the bearer token of a call, or nothing when the peer wants none.
pub type TokenSource = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Why a call came to nothing. Each carries a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nobody listens there.
    #[error("{0}")]
    Unreachable(String),
    /// No answer within the limit.
    #[error("{0}")]
    TimedOut(String),
    /// It wants other credentials.
    #[error("{0}")]
    Denied(String),
    /// The tool answered with an error.
    #[error("{message}")]
    Tool {
        /// Machine-readable code, as in [`FaultKind::code`].
        code: String,
        /// Sentence.
        message: String,
    },
    /// It answered, but not as a peer does.
    #[error("{0}")]
    Protocol(String),
}

impl From<PeerError> for Fault {
    fn from(error: PeerError) -> Self {
        let kind = match &error {
            PeerError::Unreachable(_) | PeerError::TimedOut(_) | PeerError::Protocol(_) => FaultKind::Unavailable,
            PeerError::Denied(_) => FaultKind::Denied,
            PeerError::Tool { code, .. } => FaultKind::from_code(code),
        };
        Self::new(kind, error.to_string())
    }
}

/// A peer's address and how to talk to it. Connections are kept open between calls.
pub struct Peer {
    agent: ureq::Agent,
    /// `http://host:port`, without a path.
    base: String,
    token: Option<TokenSource>,
    next_id: AtomicU64,
}

impl Peer {
    /// A peer at `url`: `http://host:port`, with or without `/mcp`. Nothing is connected yet.
    #[must_use]
    pub fn new(url: &str, token: Option<TokenSource>) -> Self {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/mcp").unwrap_or(base).to_owned();
        // No proxy: what is recorded is for this peer and nobody between.
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).max_redirects(0).build();
        Self { agent: config.into(), base, token, next_id: AtomicU64::new(1) }
    }

    /// `http://host:port`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Calls a tool and gives its structured content. Waits about `limit` at most.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn call_tool(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<Value, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = rpc::request(id, tool, arguments).to_string();
        let mut request = self
            .agent
            .post(format!("{}/mcp", self.base))
            .config()
            .timeout_global(Some(limit))
            .build()
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", rpc::REVISION)
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", tool);
        if let Some(token) = self.token.as_ref().and_then(|token| token()) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(body).map_err(|error| self.explain(error, limit))?;
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(PeerError::Denied(format!(
                "{status} Unauthorized by {}: check that both sides have the same secret",
                self.base
            )));
        }
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let event_stream = kind.starts_with("text/event-stream");
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| self.explain(error, limit))?;
        match rpc::answer(&body, event_stream) {
            Answer::Content(content) => Ok(content),
            Answer::ToolError(code, message) => Err(PeerError::Tool { code, message }),
            Answer::RpcError(-32602, message) => Err(PeerError::Tool { code: FaultKind::User.code().into(), message }),
            Answer::RpcError(code, message) => {
                Err(PeerError::Protocol(format!("{} answered error {code}: {message}", self.base)))
            }
            Answer::Foreign => Err(PeerError::Protocol(format!(
                "{} answered HTTP {status} and no MCP result: is it something else on that port?",
                self.base
            ))),
        }
    }

    /// The peer's `/health`: the JSON it answers, healthy or not.
    ///
    /// # Errors
    /// [`PeerError`] when it does not answer with JSON.
    pub fn health(&self, limit: Duration) -> Result<Value, PeerError> {
        let request = self.agent.get(format!("{}/health", self.base)).config().timeout_global(Some(limit)).build();
        let mut response = request.call().map_err(|error| self.explain(error, limit))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| self.explain(error, limit))?;
        serde_json::from_str(&body)
            .map_err(|_| PeerError::Protocol(format!("{} answers /health with something else than JSON", self.base)))
    }

    fn explain(&self, error: ureq::Error, limit: Duration) -> PeerError {
        let base = &self.base;
        match error {
            ureq::Error::Timeout(_) => {
                PeerError::TimedOut(format!("no answer from {base} within {} ms", limit.as_millis()))
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                PeerError::Unreachable(format!("Connection refused by {base}"))
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                PeerError::TimedOut(format!("no answer from {base} within {} ms", limit.as_millis()))
            }
            ureq::Error::Io(error) => {
                PeerError::Unreachable(format!("connection to {base} failed: {}", oneiric::paths::plain(&error)))
            }
            other => PeerError::Unreachable(format!("cannot reach {base}: {other}")),
        }
    }
}

impl EventSink for Peer {
    fn deliver(&self, batch: &EventBatch, limit: Duration) -> Result<BatchReceipt, DeliveryError> {
        let Ok(Value::Object(arguments)) = serde_json::to_value(batch) else {
            return Err(DeliveryError::Refused("the batch cannot be written as JSON".into()));
        };
        let answer = self.call_tool("track_events", arguments, limit).map_err(|error| match error {
            PeerError::Unreachable(text) => DeliveryError::Unreachable(text),
            PeerError::TimedOut(text) => DeliveryError::TimedOut(text),
            PeerError::Denied(text) => DeliveryError::Denied(text),
            PeerError::Tool { code, message }
                if code == FaultKind::Unavailable.code() || code == FaultKind::Internal.code() =>
            {
                DeliveryError::Failed(message)
            }
            PeerError::Tool { message, .. } => DeliveryError::Refused(message),
            PeerError::Protocol(text) => DeliveryError::Failed(text),
        })?;
        serde_json::from_value(answer)
            .map_err(|error| DeliveryError::Failed(format!("{} answered no receipt: {error}", self.base)))
    }
}
