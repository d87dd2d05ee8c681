//! MCP requests, prepared as bytes before the clock runs.

use serde_json::{Value, json};

use crate::Result;
use crate::http::{Answer, Connection};

/// Revision whose requests need no handshake.
pub(crate) const STATELESS: &str = "2026-07-28";

/// A `tools/call` request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    tool: String,
    body: Vec<u8>,
}

impl Call {
    /// Prepares a call of `tool`.
    pub(crate) fn new(tool: &str, arguments: &Value) -> Self {
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments, "_meta": meta() },
        });
        Self { tool: tool.to_owned(), body: body.to_string().into_bytes() }
    }

    /// Sends it and gives the answer unread.
    pub(crate) fn send(&self, connection: &mut Connection) -> Result<Answer> {
        let headers = [
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", STATELESS),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", &self.tool),
        ];
        Ok(connection.post("/mcp", &headers, &self.body)?)
    }

    /// Sends it and gives the tool's structured content.
    pub(crate) fn content(&self, connection: &mut Connection) -> Result<Value> {
        content(&self.send(connection)?).map_err(|error| format!("{}: {error}", self.tool).into())
    }
}

/// What every request of this revision carries.
pub(crate) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "xtask", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// The structured content of a tool's answer.
pub(crate) fn content(answer: &Answer) -> Result<Value> {
    let text = if answer.event_stream {
        let mut data = answer.body.lines().filter_map(|line| line.strip_prefix("data:"));
        data.next_back().unwrap_or_default().trim()
    } else {
        &answer.body
    };
    let mut message: Value =
        serde_json::from_str(text).map_err(|_| format!("HTTP {} and no JSON: {text:.200}", answer.status))?;
    let failed = message["result"]["isError"] == true || message.get("result").is_none();
    let content = message["result"]["structuredContent"].take();
    if failed || content.is_null() {
        return Err(format!("HTTP {}: {text:.500}", answer.status).into());
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(body: &str, event_stream: bool) -> Answer {
        Answer { status: 200, event_stream, body: body.into() }
    }

    #[test]
    fn content_is_found_in_json_and_in_event_streams() {
        let message = r#"{"id":1,"result":{"structuredContent":{"accepted":3}}}"#;
        assert_eq!(content(&answer(message, false)).unwrap()["accepted"], 3);
        assert_eq!(content(&answer(&format!(": x\ndata: {message}\n\n"), true)).unwrap()["accepted"], 3);
    }

    #[test]
    fn tool_errors_and_protocol_errors_are_errors() {
        let tool = r#"{"id":1,"result":{"isError":true,"structuredContent":{"code":"x"}}}"#;
        let protocol = r#"{"id":1,"error":{"code":-32602,"message":"missing"}}"#;
        for body in [tool, protocol, "<html>", ""] {
            assert!(content(&answer(body, false)).is_err(), "{body}");
        }
    }
}
