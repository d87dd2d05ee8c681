//! An MCP client of both revisions, over HTTP and over standard input and output, that shows every message as it is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::program::Program;
use crate::running::Running;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A revision of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Begins with `initialize`.
    V2025_11_25,
    /// Every request stands alone and carries `_meta`.
    V2026_07_28,
}

impl Revision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V2025_11_25, Self::V2026_07_28];

    /// Its date.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }
}

/// A request. Over HTTP, clients of revision 2026-07-28 get sessions by their names, so this one says none.
#[must_use]
pub fn request(revision: Revision, id: u64, method: &str, params: Value) -> Value {
    request_as(revision, json!({}), id, method, params)
}

/// A request of a client with these capabilities, which it says with each request since revision 2026-07-28.
#[must_use]
pub fn request_as(revision: Revision, capabilities: Value, id: u64, method: &str, mut params: Value) -> Value {
    if revision == Revision::V2026_07_28 {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = revision.text().into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    }
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A `tools/call`.
#[must_use]
pub fn tool_call(revision: Revision, id: u64, name: &str, arguments: Value) -> Value {
    request(revision, id, "tools/call", json!({ "name": name, "arguments": arguments }))
}

/// The `initialize` of revision 2025-11-25, asking for `version`.
#[must_use]
pub fn initialize(id: u64, version: &str) -> Value {
    let client = json!({ "name": "testkit", "version": "1" });
    let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
    json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params })
}

/// The notification that follows it.
#[must_use]
pub fn initialized() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

/// The headers that belong to `message` over HTTP.
#[must_use]
pub fn headers(revision: Revision, message: &Value) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = vec![
        ("Content-Type".into(), "application/json".into()),
        ("Accept".into(), "application/json, text/event-stream".into()),
        ("MCP-Protocol-Version".into(), revision.text().into()),
    ];
    if revision == Revision::V2026_07_28 {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        headers.push(("Mcp-Method".into(), text(&message["method"])));
        for name in ["name", "taskId"] {
            if message["params"][name].is_string() {
                headers.push(("Mcp-Name".into(), text(&message["params"][name])));
            }
        }
    }
    headers
}

/// Posts a message as a good client does.
///
/// # Panics
/// When nobody answers.
#[must_use]
pub fn post(port: u16, revision: Revision, message: &Value) -> Answer {
    let owned = headers(revision, message);
    let headers: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    http::post(port, "/mcp", &headers, message.to_string().as_bytes())
        .unwrap_or_else(|| panic!("POST /mcp on port {port} was not answered"))
}

/// A client whose server is its child, on pipes.
#[derive(Debug)]
pub struct StdioClient {
    /// The server.
    pub process: Running,
    next_id: u64,
}

impl StdioClient {
    /// Starts the server.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &Program) -> Self {
        Self { process: program.spawn(), next_id: 1 }
    }

    /// The handshake of revision 2025-11-25; gives its result.
    ///
    /// # Panics
    /// When it is refused.
    pub fn handshake(&mut self) -> Value {
        let id = self.take_id();
        self.send(&initialize(id, Revision::V2025_11_25.text()));
        let answer = self.answer(id);
        self.send(&initialized());
        answer.get("result").cloned().unwrap_or_else(|| panic!("initialize was refused: {answer}"))
    }

    /// A request and its answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn call(&mut self, revision: Revision, method: &str, params: Value) -> Value {
        let id = self.take_id();
        self.send(&request(revision, id, method, params));
        self.answer(id)
    }

    /// A tool's result.
    ///
    /// # Panics
    /// When there is none.
    pub fn tool(&mut self, revision: Revision, name: &str, arguments: Value) -> Value {
        let answer = self.call(revision, "tools/call", json!({ "name": name, "arguments": arguments }));
        answer.get("result").cloned().unwrap_or_else(|| panic!("{name} gave no result: {answer}"))
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When the server no longer reads.
    pub fn send(&mut self, message: &Value) {
        self.send_line(&message.to_string());
    }

    /// Sends a line as it is.
    ///
    /// # Panics
    /// When the server no longer reads.
    pub fn send_line(&mut self, line: &str) {
        self.process.send(line).expect("the server reads its input");
    }

    /// The next message, which has to be JSON on one line.
    ///
    /// # Panics
    /// When none comes, or something else.
    pub fn receive(&mut self) -> Value {
        let line = self.process.next_line(LIMIT).expect("the server has not ended");
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("standard output holds something else ({error}): {line}"))
    }

    /// The answer to request `id`; notifications before it are passed over.
    ///
    /// # Panics
    /// When another answer comes.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.receive();
            if message.get("id").is_none() && message.get("method").is_some() {
                continue;
            }
            assert_eq!(message["id"], id, "an answer to something else: {message}");
            return message;
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
