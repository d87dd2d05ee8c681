//! A peer that speaks MCP over HTTP.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use oneiric::event::{BatchReceipt, EventBatch};
use oneiric::fault::{Fault, FaultKind};
use oneiric::spool::{DeliveryError, EventSink};
use serde_json::{Map, Value};

use crate::rpc::{self, Answer};

/// Answers larger than this are not read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// Of a refusal, which is a sentence.
const MAX_REFUSAL_BYTES: u64 = 64 * 1024;

/// Gives the bearer token of a call, or nothing when the peer wants none.
pub type TokenSource = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Says where a peer is now, as [`Peer::new`] takes it.
pub type Locator = Box<dyn Fn() -> String + Send + Sync>;

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
    base: RwLock<String>,
    locator: Option<Locator>,
    token: Option<TokenSource>,
    next_id: AtomicU64,
}

impl Peer {
    /// A peer at `url`: `http://host:port`, with or without `/mcp`. Nothing is connected yet.
    #[must_use]
    pub fn new(url: &str, token: Option<TokenSource>) -> Self {
        // No proxy: what is recorded is for this peer and nobody between.
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).max_redirects(0).build();
        Self { agent: config.into(), base: RwLock::new(base_of(url)), locator: None, token, next_id: AtomicU64::new(1) }
    }

    /// Asks `locator` when nobody answers, and goes on there: a server may come back at another address.
    #[must_use]
    pub fn with_locator(mut self, locator: Locator) -> Self {
        self.locator = Some(locator);
        self
    }

    /// `http://host:port`.
    #[must_use]
    pub fn base(&self) -> String {
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn agent(&self) -> &ureq::Agent {
        &self.agent
    }

    /// Value of the `Authorization` header, when there is a token.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.token.as_ref().and_then(|token| token()).map(|token| format!("Bearer {token}"))
    }

    /// Whether the peer has moved; if so, its new address is taken.
    fn moved(&self, from: &str) -> bool {
        let Some(now) = self.locator.as_ref().map(|locate| base_of(&locate())) else { return false };
        let moved = now != from;
        if moved {
            *self.base.write().unwrap_or_else(PoisonError::into_inner) = now;
        }
        moved
    }

    /// Calls a tool and gives its structured content. Waits about `limit` at most.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn call_tool(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<Value, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = rpc::request(id, tool, arguments).to_string();
        self.at_its_place(|base| self.call(base, tool, &body, limit))
    }

    /// Does `work` at the peer's address, and once more when nobody answers there and the peer has moved.
    fn at_its_place<T>(&self, work: impl Fn(&str) -> Result<T, PeerError>) -> Result<T, PeerError> {
        let base = self.base();
        match work(&base) {
            Err(PeerError::Unreachable(_)) if self.moved(&base) => work(&self.base()),
            done => done,
        }
    }

    fn call(&self, base: &str, tool: &str, body: &str, limit: Duration) -> Result<Value, PeerError> {
        let mut request = self
            .agent
            .post(format!("{}/mcp", base))
            .config()
            .timeout_global(Some(limit))
            .build()
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", rpc::REVISION)
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", tool);
        if let Some(value) = self.authorization() {
            request = request.header("Authorization", value);
        }
        let mut response = request.send(body).map_err(|error| explain(base, error, limit))?;
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            let body = response.body_mut().with_config().limit(MAX_REFUSAL_BYTES).read_to_string().unwrap_or_default();
            return Err(PeerError::Denied(refusal(base, status, &body)));
        }
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let event_stream = kind.starts_with("text/event-stream");
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| explain(base, error, limit))?;
        match rpc::answer(&body, event_stream) {
            Answer::Content(content) => Ok(content),
            Answer::ToolError(code, message) => Err(PeerError::Tool { code, message }),
            Answer::RpcError(-32602, message) => Err(PeerError::Tool { code: FaultKind::User.code().into(), message }),
            Answer::RpcError(code, message) => {
                Err(PeerError::Protocol(format!("{} answered error {code}: {message}", base)))
            }
            Answer::Foreign => Err(PeerError::Protocol(format!(
                "{} answered HTTP {status} and no MCP result: is it something else on that port?",
                base
            ))),
        }
    }

    /// The peer's `/health`: the JSON it answers, healthy or not.
    ///
    /// # Errors
    /// [`PeerError`] when it does not answer with JSON.
    pub fn health(&self, limit: Duration) -> Result<Value, PeerError> {
        self.at_its_place(|base| self.health_at(base, limit))
    }

    fn health_at(&self, base: &str, limit: Duration) -> Result<Value, PeerError> {
        let request = self.agent.get(format!("{}/health", base)).config().timeout_global(Some(limit)).build();
        let mut response = request.call().map_err(|error| explain(base, error, limit))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| explain(base, error, limit))?;
        serde_json::from_str(&body)
            .map_err(|_| PeerError::Protocol(format!("{} answers /health with something else than JSON", base)))
    }
}

/// What a refusal says, and what to do.
fn refusal(base: &str, status: u16, body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let said = body.pointer("/error/message").or_else(|| body.get("error")).and_then(Value::as_str);
    let said = said.unwrap_or(if status == 403 { "403 Forbidden" } else { "401 Unauthorized" });
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    let hint = if status == 403 { "" } else { "; check that both sides have the same secret" };
    format!("{said} (from {base}){hint}")
}

pub(crate) fn explain(base: &str, error: ureq::Error, limit: Duration) -> PeerError {
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
/// `http://host:port` of a url with or without `/mcp`.
fn base_of(url: &str) -> String {
    let base = url.trim_end_matches('/');
    base.strip_suffix("/mcp").unwrap_or(base).to_owned()
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
            .map_err(|error| DeliveryError::Failed(format!("{} answered no receipt: {error}", self.base())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_peer_that_moved_is_asked_at_its_new_place() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"here":true}}}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        });
        let locator: Locator = Box::new(move || format!("http://{here}/mcp"));
        let peer = Peer::new(&format!("http://{gone}"), None).with_locator(locator);
        let answer = peer.call_tool("health_check", Map::new(), Duration::from_secs(10)).unwrap();
        assert_eq!(answer["here"], true);
        assert_eq!(peer.base(), format!("http://{here}"));
        server.join().unwrap();
    }
}
