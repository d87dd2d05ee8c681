//! Prefect's stream of events, as hints: which run has changed its state.
//!
//! A websocket at `/events/out` with the subprotocol `prefect`: the client says who it is, the server that it may stay, the
//! client what it wants to hear. Nothing is asked for that happened before, since runs are looked at anyway.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::paths::plain;
use oneiric::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Bytes, Error, HandshakeError, Message, WebSocket, client_tls_with_config};

use crate::adapters::hints::{Ear, Source};
use crate::adapters::short;

/// Longest wait for a connection, and for each answer until events come.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a message at once.
const LISTEN: Duration = Duration::from_secs(1);
/// Silence after which the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(20);
/// Silence after which it is not.
const DEAD: Duration = Duration::from_secs(40);
/// Longest message: the server cuts what runs say of themselves at 100,000 characters.
const LONGEST: usize = 2 * 1024 * 1024;
/// More messages in a second than this are no hints.
const FLOOD: u32 = 2_000;

/// Events of a server.
pub(super) struct Events {
    /// Address of its interface, `http://…/api`.
    pub(super) base: String,
    pub(super) auth: Option<Secret>,
    pub(super) clock: Arc<dyn Clock>,
}

struct Stream {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    clock: Arc<dyn Clock>,
    heard_at: Duration,
    asked: bool,
    /// When the second began in which messages are counted, and how many there were.
    count: (Duration, u32),
}

/// A message, as far as it matters.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    event: Option<Event>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    resource: Resource,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "prefect.resource.id")]
    id: String,
}

impl Source for Events {
    fn open(&self) -> Result<Box<dyn Ear>, String> {
        let mut stream = self.connect()?;
        stream.send(&json!({ "type": "auth", "token": self.auth.as_ref().map(Secret::expose) }))?;
        let answer = stream.answer()?;
        if answer.kind != "auth_success" {
            let why = answer.reason.map(|why| format!(": {}", short(&why))).unwrap_or_default();
            return Err(format!("it does not let us in{why}"));
        }
        // Without an end of its own the filter ends at the moment at which it is set, by the server's clock.
        let filter = json!({
            "event": { "prefix": ["prefect.flow-run."] },
            "occurred": { "since": "2000-01-01T00:00:00Z", "until": "2999-01-01T00:00:00Z" },
        });
        stream.send(&json!({ "type": "filter", "filter": filter, "backfill": false }))?;
        stream.wait(LISTEN)?;
        Ok(Box::new(stream))
    }
}

impl Events {
    fn connect(&self) -> Result<Stream, String> {
        let wrong = || format!("{} is no address of a stream", self.base);
        let (scheme, rest) = self.base.split_once("://").ok_or_else(wrong)?;
        let secure = scheme.eq_ignore_ascii_case("https");
        let url = format!("{}://{rest}/events/out", if secure { "wss" } else { "ws" });
        let mut request = url.as_str().into_client_request().map_err(|_| wrong())?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("prefect"));
        let host = request.uri().host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let port = request.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| plain(&error))?;
        let mut last = format!("there is no host {host}");
        let mut connected = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, LIMIT) {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => last = plain(&error),
            }
        }
        let tcp = connected.ok_or(last)?;
        let bounds = tcp.set_read_timeout(Some(LIMIT)).and_then(|()| tcp.set_write_timeout(Some(LIMIT)));
        bounds.and_then(|()| tcp.set_nodelay(true)).map_err(|error| plain(&error))?;
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        match client_tls_with_config(request, tcp, Some(config), None) {
            Ok((socket, _)) => {
                let now = self.clock.monotonic();
                Ok(Stream { socket, clock: Arc::clone(&self.clock), heard_at: now, asked: false, count: (now, 0) })
            }
            Err(HandshakeError::Interrupted(_)) => Err(late()),
            Err(HandshakeError::Failure(error)) => Err(said(error)),
        }
    }
}

impl Stream {
    fn send(&mut self, message: &serde_json::Value) -> Result<(), String> {
        self.socket.send(Message::text(message.to_string())).map_err(said)
    }

    fn wait(&mut self, limit: Duration) -> Result<(), String> {
        let tcp = match self.socket.get_ref() {
            MaybeTlsStream::Rustls(stream) => stream.get_ref(),
            MaybeTlsStream::Plain(stream) => stream,
            _ => return Ok(()),
        };
        tcp.set_read_timeout(Some(limit)).map_err(|error| plain(&error))
    }

    /// The next message of the server, for which it is waited; other kinds of frames do not count, but cost time.
    fn answer(&mut self) -> Result<Said, String> {
        let until = self.clock.monotonic() + LIMIT;
        while self.clock.monotonic() < until {
            match self.socket.read() {
                Ok(message) => {
                    if let Some(said) = read(&message)? {
                        return Ok(said);
                    }
                }
                Err(error) => return Err(said(error)),
            }
        }
        Err(late())
    }
}

impl Ear for Stream {
    fn hear(&mut self) -> Result<Option<String>, String> {
        let message = match self.socket.read() {
            Ok(message) => message,
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let silent = self.clock.monotonic().saturating_sub(self.heard_at);
                if silent >= DEAD {
                    return Err(format!("nothing was heard for {} s", DEAD.as_secs()));
                }
                if silent >= QUIET && !std::mem::replace(&mut self.asked, true) {
                    self.socket.send(Message::Ping(Bytes::new())).map_err(said)?;
                }
                return Ok(None);
            }
            Err(error) => return Err(said(error)),
        };
        let now = self.clock.monotonic();
        (self.heard_at, self.asked) = (now, false);
        if now >= self.count.0 + Duration::from_secs(1) {
            self.count = (now, 0);
        }
        self.count.1 += 1;
        if self.count.1 > FLOOD {
            return Err(format!("more than {FLOOD} messages came in a second"));
        }
        let event = read(&message)?.filter(|said| said.kind == "event").and_then(|said| said.event);
        Ok(event.and_then(|event| event.resource.id.strip_prefix("prefect.flow-run.").map(str::to_owned)))
    }
}

/// What a message says; nothing for frames that are none.
fn read(message: &Message) -> Result<Option<Said>, String> {
    match message {
        Message::Text(text) => match serde_json::from_str(text) {
            Ok(said) => Ok(Some(said)),
            Err(_) => Err(format!("its messages cannot be understood: {}", short(text))),
        },
        Message::Binary(_) => Err("its messages cannot be understood".to_owned()),
        Message::Close(frame) => {
            let why = frame.as_ref().map(|frame| short(&frame.reason)).filter(|why| !why.is_empty());
            Err(format!("the server closed it{}", why.map(|why| format!(": {why}")).unwrap_or_default()))
        }
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

fn said(error: Error) -> String {
    match error {
        Error::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => late(),
        Error::Io(error) => plain(&error),
        Error::Http(response) => format!("the server answers {} instead of a stream", response.status().as_u16()),
        Error::ConnectionClosed | Error::AlreadyClosed => "the server closed it".to_owned(),
        other => short(&other.to_string()),
    }
}

fn late() -> String {
    format!("no answer within {} s", LIMIT.as_secs())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    use oneiric::clock::SystemClock;

    use super::*;

    fn open(base: &str) -> String {
        let events = Events { base: base.to_owned(), auth: None, clock: Arc::new(SystemClock) };
        events.open().err().unwrap_or_default()
    }

    #[test]
    fn a_secure_address_is_asked_over_tls() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = format!("https://127.0.0.1:{}/api", listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let mut first = [0_u8; 1];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first[0]
        });
        assert!(!open(&base).is_empty());
        assert_eq!(server.join().unwrap(), 0x16, "the first byte of a TLS handshake");
    }

    #[test]
    fn addresses_at_which_nothing_can_be_heard_are_told() {
        assert!(open("nonsense").contains("no address"));
        assert!(open("http://").contains("no address"));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(open(&format!("http://[::ffff:127.0.0.1]:{port}/api")).contains("refused"));
    }
}
