//! The short way for `tools/call` of revision 2026-07-28 that is right in every respect.
//!
//! The protocol library tries a message against each of its request types in turn, which for a batch of thousands of
//! events costs several times what storing them does. A stateless call needs none of that: its headers and `_meta` say all.
//! Anything that is not exactly regular takes the library's way, which knows every error there is.

use axum::http::{HeaderMap, header};
use rmcp::model::{CallToolResult, MetaObject, RequestId};
use serde::Serialize;

use super::envelope::CallParams;
use super::tool::{Arguments, ToolError, ToolSet};
use super::visit::{Guest, completed};
use crate::http::Ending;

/// The revision whose calls stand alone.
pub(super) const STATELESS: &str = "2026-07-28";

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    result: &'a CallToolResult,
}

/// The body of the answer, or `None` when the message has to take the library's way.
pub(crate) async fn answer(
    tools: &dyn ToolSet,
    headers: &HeaderMap,
    id: Option<&RequestId>,
    call: &CallParams<'_>,
    guest: Option<&dyn Guest>,
    who: &str,
    ending: &Ending,
) -> Option<Vec<u8>> {
    let id = id?;
    let meta = call.meta.as_ref()?;
    let regular = single(headers, "mcp-protocol-version") == Some(STATELESS)
        && single(headers, "mcp-method") == Some("tools/call")
        && single(headers, "mcp-name") == Some(call.name.as_ref())
        && !call.goes_on()
        && meta.protocol_version.as_deref() == Some(STATELESS)
        && meta.client_capabilities.is_some_and(|capabilities| capabilities.get() == "{}")
        && single(headers, header::CONTENT_TYPE.as_str()) == Some("application/json")
        && single(headers, header::ACCEPT.as_str()) == Some("application/json, text/event-stream");
    if !regular {
        return None;
    }
    // Who waits for work may be told of it meanwhile.
    let tool = tools.find(&call.name).filter(|tool| tool.lasting.is_none())?;
    let arguments = match call.arguments {
        Some(raw) if raw.get().starts_with('{') => Arguments::Raw(raw),
        Some(_) => return None,
        None => Arguments::Parsed(serde_json::Map::new()),
    };
    let answer = match guest {
        Some(guest) => {
            guest.called(tool.name);
            match completed(guest, tool, arguments).await {
                Ok(arguments) => tools.call(tool.name, arguments, who).await,
                Err(error) => Err(error),
            }
        }
        None => tools.call(tool.name, arguments, who).await,
    };
    ending.tell(answer.as_ref().err().map(ToolError::code));
    let mut result = match answer {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::structured_error(error.to_value()),
    };
    result.meta = guest.and_then(Guest::meta).map(MetaObject);
    serde_json::to_vec(&Answer { jsonrpc: "2.0", id, result: &result }).ok()
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}
