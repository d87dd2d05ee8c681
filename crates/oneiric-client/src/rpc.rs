//! The one kind of message that is sent: a `tools/call` request of MCP revision 2026-07-28, which needs no session and
//! no handshake (<https://modelcontextprotocol.io/specification/2026-07-28>).

use serde_json::{Map, Value, json};

/// By which name requests say who makes them: a program that brings what others recorded.
pub const CLIENT_NAME: &str = "oneiric-client";

/// Protocol revision that requests name.
pub(crate) const REVISION: &str = "2026-07-28";

/// The request's body.
pub(crate) fn request(id: u64, tool: &str, arguments: Map<String, Value>) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": CLIENT_NAME, "version": env!("CARGO_PKG_VERSION") },
            },
        },
    })
}

/// What an answer says.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The tool's structured content.
    Content(Value),
    /// The tool failed: code, sentence.
    ToolError(String, String),
    /// The request failed: JSON-RPC code, sentence.
    RpcError(i64, String),
    /// Not an answer to the request.
    Foreign,
}

/// Reads an answer: JSON, or the last message of an event stream.
pub(crate) fn answer(body: &str, event_stream: bool) -> Answer {
    let message = if event_stream {
        let data =
            |line: &str| line.strip_prefix("data:").and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
        body.lines().filter_map(data).rfind(|message| message.get("id").is_some())
    } else {
        serde_json::from_str(body).ok()
    };
    let Some(mut message) = message else {
        return Answer::Foreign;
    };
    if let Some(error) = message.get("error") {
        let sentence = error.get("message").and_then(Value::as_str).unwrap_or("unknown error");
        return Answer::RpcError(error.get("code").and_then(Value::as_i64).unwrap_or(0), sentence.to_owned());
    }
    let Some(result) = message.get_mut("result").map(Value::take) else {
        return Answer::Foreign;
    };
    let content = structured(&result);
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        let content = content.unwrap_or_default();
        let error = content.get("error").filter(|error| error.is_object()).unwrap_or(&content);
        let field = |name: &str| error.get(name).and_then(Value::as_str);
        let mut sentence = field("message").map_or_else(|| text(&result), str::to_owned);
        if let Some(hint) = field("hint") {
            sentence = format!("{sentence}; {hint}");
        }
        return Answer::ToolError(field("code").unwrap_or("internal").to_owned(), sentence);
    }
    content.map_or(Answer::Foreign, Answer::Content)
}

/// Structured content, or the text content where it is JSON.
fn structured(result: &Value) -> Option<Value> {
    match result.get("structuredContent") {
        Some(content) if !content.is_null() => Some(content.clone()),
        _ => serde_json::from_str(&text(result)).ok(),
    }
}

fn text(result: &Value) -> String {
    result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or("the tool failed without a reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_content_is_taken_from_json_and_from_event_streams() {
        let message = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{}"}],"structuredContent":{"accepted":2}}}"#;
        let wanted = Answer::Content(json!({ "accepted": 2 }));
        assert_eq!(answer(message, false), wanted);
        let stream = format!(
            ": ping\n\nevent: message\ndata: {{\"method\":\"notifications/x\"}}\n\nevent: message\ndata: {message}\n\n"
        );
        assert_eq!(answer(&stream, true), wanted);
    }

    #[test]
    fn tool_errors_and_protocol_errors_are_told_apart() {
        let tool = r#"{"id":1,"result":{"isError":true,"content":[],"structuredContent":{"error":{"code":"not_found","message":"Invalid session ID 'x'","hint":"nearest: y"}}}}"#;
        assert_eq!(
            answer(tool, false),
            Answer::ToolError("not_found".into(), "Invalid session ID 'x'; nearest: y".into())
        );
        let rpc = r#"{"id":1,"error":{"code":-32602,"message":"missing field"}}"#;
        assert_eq!(answer(rpc, false), Answer::RpcError(-32602, "missing field".into()));
        for foreign in ["", "<html>", "[]", "{\"id\":1}", "null"] {
            assert_eq!(answer(foreign, false), Answer::Foreign, "{foreign}");
        }
    }
}
