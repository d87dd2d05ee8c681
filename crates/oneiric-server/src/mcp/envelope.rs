//! The outermost layer of a JSON-RPC message, read before anything else is decided.
//!
//! The protocol library answers malformed bodies with plain text; clients deserve a JSON-RPC error they can show. Reading
//! the envelope alone is cheap (nothing inside `params` is built), and tells which tool is meant before a token is judged.

use std::borrow::Cow;

use rmcp::model::{ErrorData, JsonRpcError, RequestId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A message that is at least JSON-RPC.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// Absent for notifications.
    pub(crate) id: Option<RequestId>,
    /// Absent for responses.
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) params: Option<&'a RawValue>,
}

/// The part of `tools/call` parameters that every door needs.
#[derive(Debug, Deserialize)]
pub(crate) struct CallParams<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta", default)]
    pub(crate) meta: Option<Meta<'a>>,
    /// What the client gives back to a tool that asked it something; for the library to read.
    #[serde(rename = "requestState", default)]
    request_state: Option<IgnoredAny>,
    #[serde(rename = "inputResponses", default)]
    input_responses: Option<IgnoredAny>,
}

/// The keys of `_meta` that revision 2026-07-28 requires.
#[derive(Debug, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion", default)]
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities", default)]
    pub(crate) client_capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo", default)]
    client_info: Option<&'a RawValue>,
}

/// Who calls, as it says itself.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientInfo {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TokenOnly {
    #[serde(default)]
    token: Option<String>,
}

impl<'a> Envelope<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// The JSON-RPC error to answer with: -32700 for what is no JSON, -32600 for what is no JSON-RPC 2.0 message.
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, Box<JsonRpcError>> {
        let raw: Raw<'a> = serde_json::from_slice(text).map_err(|error| {
            let syntax =
                matches!(error.classify(), serde_json::error::Category::Syntax | serde_json::error::Category::Eof);
            let batch = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
            refusal(
                None,
                match (syntax, batch) {
                    (true, _) => ErrorData::parse_error(format!("Parse error: {error}"), None),
                    (false, true) => ErrorData::invalid_request(
                        "Invalid request: batches are not part of MCP, send one message a request",
                        None,
                    ),
                    (false, false) => ErrorData::invalid_request(format!("Invalid request: {error}"), None),
                },
            )
        })?;
        let id = match raw.id {
            None => None,
            Some(id) if id.get() == "null" => None,
            Some(id) => Some(serde_json::from_str::<RequestId>(id.get()).map_err(|_| {
                refusal(None, ErrorData::invalid_request("Invalid request: id must be a string or an integer", None))
            })?),
        };
        if raw.jsonrpc.as_deref() != Some("2.0") {
            return Err(refusal(id, ErrorData::invalid_request("Invalid request: jsonrpc must be \"2.0\"", None)));
        }
        Ok(Self { id, method: raw.method, params: raw.params })
    }

    /// Parameters of a `tools/call`; `None` for other methods and for parameters that are not understood.
    pub(crate) fn call(&self) -> Option<CallParams<'a>> {
        if self.method.as_deref() != Some("tools/call") {
            return None;
        }
        serde_json::from_str(self.params?.get()).ok()
    }
}

impl CallParams<'_> {
    /// Whether it goes on from what a tool asked.
    pub(crate) fn goes_on(&self) -> bool {
        self.request_state.is_some() || self.input_responses.is_some()
    }

    /// Who calls, when it says so in a form that can be read.
    pub(crate) fn client(&self) -> Option<ClientInfo> {
        let info = self.meta.as_ref()?.client_info?;
        serde_json::from_str(info.get()).ok()
    }

    /// The argument `token`, which stands in for an `Authorization` header.
    pub(crate) fn token(&self) -> Option<String> {
        serde_json::from_str::<TokenOnly>(self.arguments?.get()).ok()?.token
    }
}

pub(crate) fn refusal(id: Option<RequestId>, error: ErrorData) -> Box<JsonRpcError> {
    Box::new(JsonRpcError::new(id, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn code(text: &str) -> i32 {
        Envelope::read(text.as_bytes()).unwrap_err().error.code.0
    }

    #[test]
    fn what_is_no_json_and_what_is_no_message_are_told_apart() {
        assert_eq!(code("{"), -32700);
        assert_eq!(code("\u{0}"), -32700);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("17"), -32600);
        assert_eq!(code(r#"{"id":1,"method":"ping"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#), -32600);
    }

    #[test]
    fn a_call_shows_its_tool_and_its_token_without_the_rest() {
        let text = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"a":[1],"token":"t"}}}"#;
        let envelope = Envelope::read(text).unwrap();
        let call = envelope.call().unwrap();
        assert_eq!((call.name.as_ref(), call.token().as_deref()), ("x", Some("t")));
    }
}
