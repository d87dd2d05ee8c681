//! An engine that work is handed to, faithful in its answers and bad in its manners: a workflow server as LlamaIndex's.

mod listener;
pub mod prefect;
mod request;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::listener::Listener;
use self::request::read_request;
use crate::wait::monotonic;

/// How the engine behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manners {
    /// As it should: a run ends after so long.
    EndsAfter(Duration),
    /// Every run says for ever that it runs, and never stops.
    SaysRunning,
    /// Runs say that they run until they are asked to stop.
    StopsWhenAsked,
    /// Begins runs and does not answer that it has; answers everything else.
    SilentOnce,
    /// The first so many answers about a run are of status 503 with `Retry-After`.
    Busy(u32),
    /// Answers about runs are a web page.
    Garbage,
    /// Knows no run that it has begun.
    Forgets,
}

/// A run that it has.
#[derive(Clone, Debug)]
struct Run {
    began: Duration,
    cancelled: bool,
}

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<String, Run>,
    asked: Vec<String>,
    answers: u32,
    silent: bool,
    ended: bool,
}

/// The engine; it ends when it is dropped.
#[derive(Debug)]
pub struct Engine {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Engine {
    /// Serves the workflow `greet` on a port of its own.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn with(manners: Manners) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let answers = Arc::clone(&state);
        let listener = Listener::start(move |stream| drop(answer(stream, &answers, &manners)));
        Self { listener, state }
    }

    /// Its address, for `adapters.llamaindex_url`.
    #[must_use]
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// How many runs it has begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.state().runs.len()
    }

    /// How many runs it was asked to stop, successfully or not.
    #[must_use]
    pub fn stopped(&self) -> usize {
        self.state().runs.values().filter(|run| run.cancelled).count()
    }

    /// All runs that were begun and not stopped have ended well from now on.
    pub fn end_all(&self) {
        self.state().ended = true;
    }

    /// Paths that were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>, manners: &Manners) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    let mut out = stream;
    let path = request.path;
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let said = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(path.clone());
        say(&mut state, manners, &path, &body)
    };
    let Some((status, headers, text)) = said else { return Ok(()) };
    let length = text.len();
    write!(out, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{text}")
}

/// Status, further headers, body; nothing when the connection is closed without an answer.
fn say(
    state: &mut State,
    manners: &Manners,
    path: &str,
    body: &serde_json::Value,
) -> Option<(u16, &'static str, String)> {
    let json =
        |status: u16, value: serde_json::Value| Some((status, "content-type: application/json\r\n", value.to_string()));
    let missing = || json(404, serde_json::json!({ "detail": "Handler not found" }));
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    match words.as_slice() {
        ["health"] => json(200, serde_json::json!({ "status": "healthy" })),
        ["workflows"] => json(200, serde_json::json!({ "workflows": ["greet"] })),
        ["workflows", _, "schema"] => json(200, serde_json::json!({ "start": { "properties": {} } })),
        ["workflows", "greet", "run-nowait"] => {
            let id = body["handler_id"].as_str().unwrap_or("none").to_owned();
            if state.runs.contains_key(&id) {
                return json(409, serde_json::json!({ "detail": "already running" }));
            }
            state.runs.insert(id.clone(), Run { began: monotonic(), cancelled: false });
            if *manners == Manners::SilentOnce && !std::mem::replace(&mut state.silent, true) {
                return None;
            }
            json(200, handler(&id, "running"))
        }
        ["events", _] => Some((204, "", String::new())),
        ["handlers", id] => {
            let Some(run) = state.runs.get(*id).cloned() else { return missing() };
            state.answers += 1;
            match manners {
                Manners::Forgets => missing(),
                Manners::Garbage => Some((200, "content-type: text/html\r\n", "<html>hello</html>".to_owned())),
                Manners::Busy(times) if state.answers <= *times => {
                    Some((503, "retry-after: 1\r\n", r#"{"detail":"busy"}"#.to_owned()))
                }
                Manners::SaysRunning => json(202, handler(id, "running")),
                _ if run.cancelled => json(500, handler(id, "cancelled")),
                _ if state.ended => json(200, handler(id, "completed")),
                Manners::StopsWhenAsked => json(202, handler(id, "running")),
                Manners::EndsAfter(time) if monotonic() < run.began + *time => json(202, handler(id, "running")),
                Manners::EndsAfter(_) | Manners::Busy(_) | Manners::SilentOnce => json(200, handler(id, "completed")),
            }
        }
        ["handlers", id, "cancel"] => match state.runs.get_mut(*id) {
            Some(run) => {
                run.cancelled = true;
                json(200, serde_json::json!({ "status": "cancelled" }))
            }
            None => missing(),
        },
        _ => json(404, serde_json::json!({ "detail": "Not Found" })),
    }
}

fn handler(id: &str, status: &str) -> serde_json::Value {
    let result = (status == "completed").then(|| serde_json::json!({ "value": { "result": "hello" } }));
    serde_json::json!({
        "handler_id": id, "workflow_name": "greet", "status": status, "error": null, "result": result,
        "updated_at": "2026-01-01T00:00:00+00:00",
    })
}
