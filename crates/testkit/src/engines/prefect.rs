//! A server that speaks as Prefect does, as far as it is asked here: deployments, runs by idempotency key, states, logs, and
//! events over a websocket. What its runs come to and how it behaves is said by the test, also in the midst of a run.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::listener::Listener;
use super::request::{Request, read_request};

/// What is asked for with basic authentication: `admin:pw`.
pub const AUTH: &str = "admin:pw";
const BASIC: &str = "Basic YWRtaW46cHc=";

/// How questions about runs are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// As it should be.
    #[default]
    Right,
    /// With this status, further headers and body.
    Always(u16, &'static str, &'static str),
    /// So many times with status 429 and `Retry-After: 1`, then as it should be.
    TooMany(u32),
    /// Not at all: the connection is closed.
    Nothing,
    /// After this time.
    Late(Duration),
}

/// How the stream of events behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// As it should.
    #[default]
    Good,
    /// There is none: status 404.
    Absent,
    /// Nobody is let in.
    Denies,
    /// It is closed as soon as everything is agreed.
    Closes,
    /// Messages that are none.
    Garbage,
    /// The connection is taken and nothing is said.
    Silent,
    /// As many events of other runs as go through.
    Floods,
}

#[derive(Debug, Default)]
struct State {
    /// By idempotency key: id.
    runs: BTreeMap<String, String>,
    /// Type and name of the state that all runs are in.
    state: (String, String),
    /// Number of the state.
    version: u32,
    answers: Answers,
    events: Events,
    /// By how much its clock is ahead of this machine's, in seconds.
    ahead: i64,
    looks: u32,
    asked: Vec<String>,
    streams: usize,
    listeners: Vec<TcpStream>,
    cancels: u32,
    /// Whether runs stop when they are asked to.
    obedient: bool,
    /// Whether there is no worker for runs of the deployment.
    idle: bool,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct Prefect {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Prefect {
    /// Serves the deployment `greet/dep`, whose runs are at work and stop when they are asked to.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let state = State { state: ("RUNNING".into(), "Running".into()), obedient: true, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let answers = Arc::clone(&state);
        let listener = Listener::start(move |stream| drop(serve(stream, &answers)));
        Self { listener, state }
    }

    /// Its address, for `adapters.prefect_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/api", self.listener.url())
    }

    /// From now on all runs are in this state. With `announced` the stream of events says so.
    pub fn becomes(&self, kind: &str, name: &str, announced: bool) {
        let mut state = self.state();
        state.state = (kind.to_owned(), name.to_owned());
        state.version += 1;
        if announced {
            announce(&mut state);
        }
    }

    /// From now on questions about runs are answered so.
    pub fn answers(&self, answers: Answers) {
        self.state().answers = answers;
    }

    /// From now on the stream of events behaves so; those who listen are sent away.
    pub fn events(&self, events: Events) {
        let mut state = self.state();
        state.events = events;
        for listener in state.listeners.drain(..) {
            let _ = listener.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Runs go on whatever they are asked.
    pub fn disobeys(&self) {
        self.state().obedient = false;
    }

    /// No worker takes runs of the deployment, or one does again.
    pub fn has_no_worker(&self, idle: bool) {
        self.state().idle = idle;
    }

    /// Its clock is ahead by so many seconds, or behind.
    pub fn clock_is_ahead(&self, seconds: i64) {
        self.state().ahead = seconds;
    }

    /// How many runs it has begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.state().runs.len()
    }

    /// How often it was asked for the state of a run.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.state().looks
    }

    /// How often it was asked to stop a run.
    #[must_use]
    pub fn cancels(&self) -> u32 {
        self.state().cancels
    }

    /// How many streams of events were asked for.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.state().streams
    }

    /// How many listen to events now.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.state().listeners.len()
    }

    /// Methods and paths that were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Prefect {
    fn drop(&mut self) {
        // Streams are ended, so that nobody listens any more.
        self.events(Events::Absent);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    if request.path == "/api/events/out" {
        return events(stream, &request, state);
    }
    let mut out = stream;
    let mut wait = Duration::ZERO;
    let said = {
        let mut state = lock(state);
        state.asked.push(format!("{} {}", request.method, request.path));
        say(&mut state, &request, &mut wait)
    };
    std::thread::sleep(wait);
    let Some((status, headers, text)) = said else { return Ok(()) };
    let length = text.len();
    write!(out, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{text}")
}

/// Status, further headers, body; nothing when the connection is closed without an answer.
type Said = Option<(u16, String, String)>;

fn good(status: u16, value: &Value) -> Said {
    Some((status, "content-type: application/json\r\n".into(), value.to_string()))
}

fn say(state: &mut State, request: &Request, wait: &mut Duration) -> Said {
    if request.header("authorization") != Some(BASIC) {
        return good(401, &json!({ "exception_message": "Unauthorized" }));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.path.strip_prefix("/api/").unwrap_or_default();
    let words: Vec<&str> = path.split('/').collect();
    match words.as_slice() {
        ["admin", "version"] => good(200, &json!("3.8.8")),
        ["flows", "filter"] => good(200, &json!([{ "id": "f", "name": "greet" }])),
        ["deployments", "filter"] => good(200, &json!([deployment(state)])),
        ["deployments", "name", "greet", "dep"] | ["deployments", "d"] => good(200, &deployment(state)),
        ["deployments", "d", "create_flow_run"] => {
            let key = body["idempotency_key"].as_str().unwrap_or_default().to_owned();
            let known = state.runs.len();
            let id = state.runs.entry(key).or_insert_with(|| format!("00000000-0000-4000-8000-{known:012}")).clone();
            let status = if state.runs.len() > known { 201 } else { 200 };
            asked_about(state, wait).unwrap_or_else(|state| good(status, &run(state, &id)))
        }
        ["flow_runs", "filter"] => {
            let key = body["flow_runs"]["idempotency_key"]["any_"][0].as_str().unwrap_or_default();
            let found: Vec<Value> = state.runs.get(key).into_iter().map(|id| run(state, id)).collect();
            good(200, &found.into())
        }
        ["flow_runs", id, "set_state"] => {
            state.cancels += 1;
            if state.obedient {
                state.state = ("CANCELLED".into(), "Cancelled".into());
                state.version += 1;
                announce(state);
            }
            let shown = run(state, id);
            good(201, &json!({ "state": shown["state"], "status": "ACCEPT", "details": {} }))
        }
        ["flow_runs", id] => {
            state.looks += 1;
            let known = state.runs.values().any(|known| known == id);
            let answer = asked_about(state, wait);
            answer.unwrap_or_else(|state| match known {
                true => good(200, &run(state, id)),
                false => good(404, &json!({ "detail": "Flow run not found" })),
            })
        }
        ["logs", "filter"] => good(200, &json!([])),
        _ => good(404, &json!({ "detail": "Not Found" })),
    }
}

/// The answer that the test wants; the state back when it is the right one.
fn asked_about<'s>(state: &'s mut State, wait: &mut Duration) -> Result<Said, &'s State> {
    match &mut state.answers {
        Answers::Right => Err(state),
        Answers::Always(status, headers, text) => Ok(Some((*status, (*headers).to_owned(), (*text).to_owned()))),
        Answers::TooMany(0) => Err(state),
        Answers::TooMany(left) => {
            *left -= 1;
            Ok(Some((429, "retry-after: 1\r\n".into(), r#"{"detail":"too many"}"#.into())))
        }
        Answers::Nothing => Ok(None),
        Answers::Late(time) => {
            *wait = *time;
            Err(state)
        }
    }
}

fn deployment(state: &State) -> Value {
    let status = if state.idle { "NOT_READY" } else { "READY" };
    let takes = json!({ "properties": { "repo": {}, "path": {}, "command": {}, "prompt": {} } });
    json!({
        "id": "d", "flow_id": "f", "name": "dep", "status": status, "work_pool_name": "here",
        "parameter_openapi_schema": takes,
    })
}

fn run(state: &State, id: &str) -> Value {
    let now = SystemClock.now().as_micros() + state.ahead * 1_000_000;
    let now = Timestamp::from_micros(now).to_string();
    let (kind, name) = &state.state;
    json!({
        "id": id, "deployment_id": "d", "run_count": 1, "expected_start_time": now, "start_time": now,
        "state": { "id": state.version.to_string(), "type": kind, "name": name, "timestamp": now, "message": null },
    })
}

/// Tells everyone who listens of the state of all runs.
fn announce(state: &mut State) {
    let (_, name) = state.state.clone();
    let ids: Vec<String> = state.runs.values().cloned().collect();
    for id in ids {
        let text = event(&id, &name);
        state.listeners.retain(|listener| {
            let Ok(stream) = listener.try_clone() else { return false };
            WebSocket::from_raw_socket(stream, Role::Server, None).send(Message::text(&text)).is_ok()
        });
    }
}

fn event(id: &str, name: &str) -> String {
    let resource = json!({ "prefect.resource.id": format!("prefect.flow-run.{id}"), "prefect.state-name": name });
    let event = json!({ "event": format!("prefect.flow-run.{name}"), "resource": resource, "related": [] });
    json!({ "type": "event", "event": event }).to_string()
}

fn events(mut stream: TcpStream, request: &Request, state: &Mutex<State>) -> std::io::Result<()> {
    let events = {
        let mut state = lock(state);
        state.streams += 1;
        state.events
    };
    if events == Events::Absent || request.header("sec-websocket-protocol") != Some("prefect") {
        return write!(stream, "HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    if events == Events::Silent {
        // Until the client has had enough.
        return std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
    }
    let key = derive_accept_key(request.header("sec-websocket-key").unwrap_or_default().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {key}\r\n\
         sec-websocket-protocol: prefect\r\n\r\n"
    )?;
    let mut socket = WebSocket::from_raw_socket(stream.try_clone()?, Role::Server, None);
    let broken = |_| std::io::Error::other("the client left");
    let first: Value =
        socket.read().ok().and_then(|m| serde_json::from_str(m.to_text().ok()?).ok()).unwrap_or_default();
    if events == Events::Denies || first["type"] != "auth" || first["token"] != AUTH {
        return socket.close(None).map_err(broken);
    }
    socket.send(Message::text(r#"{"type":"auth_success"}"#)).map_err(broken)?;
    let second: Value =
        socket.read().ok().and_then(|m| serde_json::from_str(m.to_text().ok()?).ok()).unwrap_or_default();
    if events == Events::Closes || second["type"] != "filter" {
        return socket.close(None).map_err(broken);
    }
    match events {
        Events::Garbage => socket.send(Message::text("<html>")).map_err(broken)?,
        Events::Floods => {
            let text = event("unknown", "Running");
            while socket.send(Message::text(&text)).is_ok() {}
            return Ok(());
        }
        _ => lock(state).listeners.push(stream),
    }
    // Answers pings until the client leaves, or is sent away.
    while socket.read().is_ok() {}
    Ok(())
}
