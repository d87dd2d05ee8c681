//! The outermost layer of a JSON-RPC message, read before anything else is decided.
//!
//! The protocol library answers malformed bodies with plain text; clients deserve a JSON-RPC error they can show. Reading
//! the envelope alone is cheap (nothing inside `params` is built), and tells which tool is meant before a token is judged.

use std::borrow::Cow;

use rmcp::model::{ErrorData, JsonRpcError, RequestId};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::params;

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
    #[serde(borrow, rename = "_meta", default, deserialize_with = "object")]
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
    #[serde(borrow, default, deserialize_with = "as_it_is")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// An object; a list of its members' values would pass for one.
fn object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Meta<'a>>, D::Error> {
    match Option::<&'de RawValue>::deserialize(deserializer)?.map(RawValue::get) {
        None => Ok(None),
        Some(text) if text.starts_with('{') => serde_json::from_str(text).map(Some).map_err(D::Error::custom),
        Some(_) => Err(D::Error::custom("_meta must be an object")),
    }
}

/// `null` too is something that was sent.
fn as_it_is<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
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
        let invalid = |why: &str| refusal(None, ErrorData::invalid_request(format!("Invalid request: {why}"), None));
        let raw: Raw<'a> = message(text).map_err(|error| match error {
            NoMessage::Batch => invalid("batches are not part of MCP, send one message a request"),
            NoMessage::Other => invalid("a message is a JSON object"),
            NoMessage::Json(error) if error.is_data() => invalid(&error.to_string()),
            NoMessage::Json(error) => refusal(None, ErrorData::parse_error(format!("Parse error: {error}"), None)),
        })?;
        let id = match raw.id.map(RawValue::get) {
            None => None,
            // Errors that answer what could not be read have no id; a request without one could not be answered.
            Some("null") if raw.method.is_none() => None,
            Some(id) => Some(
                serde_json::from_str::<RequestId>(id)
                    .map_err(|_| invalid("id must be a string, or an integer of at most 63 bits"))?,
            ),
        };
        if raw.jsonrpc.as_deref() != Some("2.0") {
            return Err(refusal(id, ErrorData::invalid_request("Invalid request: jsonrpc must be \"2.0\"", None)));
        }
        Ok(Self { id, method: raw.method, params: raw.params })
    }

    /// Parameters of a `tools/call`; `None` for other methods.
    ///
    /// # Errors
    /// What is wrong with them. Such a call must go no further: it would be judged without being known.
    pub(crate) fn call(&self) -> Result<Option<CallParams<'a>>, String> {
        let Some(method) = self.method.as_deref().filter(|method| *method == "tools/call") else { return Ok(None) };
        let params = self.params.map_or("null", RawValue::get);
        // A list of the members' values would pass for the members.
        let read = params.starts_with('{').then(|| serde_json::from_str(params));
        match read {
            Some(Ok(call)) => Ok(Some(call)),
            // Only what is wrong is looked at again: a batch of events is long.
            Some(Err(error)) => {
                Err(params::fault(method, self.params).unwrap_or_else(|| format!("{method}: params: {error}")))
            }
            None => {
                Err(params::fault(method, self.params).unwrap_or_else(|| format!("{method}: params must be an object")))
            }
        }
    }
}

/// Why a text is no message.
enum NoMessage {
    Batch,
    Other,
    Json(serde_json::Error),
}

/// A list of the members' values would pass for the members.
fn message(text: &[u8]) -> Result<Raw<'_>, NoMessage> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{') => serde_json::from_slice(text).map_err(NoMessage::Json),
        _ => match serde_json::from_slice::<IgnoredAny>(text) {
            Err(error) => Err(NoMessage::Json(error)),
            Ok(_) if first == Some(&b'[') => Err(NoMessage::Batch),
            Ok(_) => Err(NoMessage::Other),
        },
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
        let call = envelope.call().unwrap().unwrap();
        assert_eq!((call.name.as_ref(), call.token().as_deref()), ("x", Some("t")));
    }

    #[test]
    fn a_list_is_no_message_and_no_parameters() {
        assert_eq!(code(r#"["2.0",1,"tools/call",["x",{}],null]"#), -32600);
        let text = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["x",{},null,null,null]}"#;
        assert!(Envelope::read(text).unwrap().call().is_err());
    }

    #[test]
    fn a_request_has_an_id_that_is_something() {
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#), -32600);
        assert!(Envelope::read(br#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap().id.is_none());
    }

    #[test]
    fn a_call_that_cannot_be_read_whole_is_none_at_all() {
        for params in [
            "{}",
            r#"{"name":"x","name":"y"}"#,
            r#"{"name":"x","_meta":["2026-07-28",{},null]}"#,
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":5}}"#,
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/clientInfo":1,"io.modelcontextprotocol/clientInfo":{}}}"#,
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
            assert!(Envelope::read(text.as_bytes()).unwrap().call().is_err(), "{params}");
        }
    }
}
