//! `/mcp`: one address for both revisions.
//!
//! Order of judgement: a token in the header, size, a token in the arguments, scope, JSON-RPC shape, then the call itself.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use rmcp::model::{ErrorData, JsonRpcError, RequestId};
use tokio_util::sync::CancellationToken;

use oneiric::token::Scope;

use super::direct::{self, STATELESS};
use super::envelope::{CallParams, Envelope, refusal};
use super::params;
use super::sessions::{Doors, Served, Services};
use super::tool::ToolSet;
use super::underway::{UnderWay, taken};
use super::visit::{Guest, Pass, Passer, Reception, Source, short};
use crate::http::body::{Held, ReadBody, Unknown, read_body};
use crate::http::{Auth, Caller, Ending, Refused, Visit, address};

/// Largest request body in bytes.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Names the transport session of a request.
pub(super) const SESSION_HEADER: &str = "mcp-session-id";

/// Names the revision of a request.
const VERSION_HEADER: &str = "mcp-protocol-version";

/// The MCP endpoint; cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    tools: Arc<dyn ToolSet>,
    doors: Arc<dyn Doors>,
    auth: Auth,
    unknown: Arc<Unknown>,
    reception: Option<Arc<dyn Reception>>,
    /// Requests of transport sessions.
    under_way: UnderWay<(HeaderValue, RequestId)>,
}

impl Endpoint {
    /// Serves `handler` to callers that `auth` lets in. At `shutdown`, streams of those who only listen end; what else is under way
    /// goes on.
    #[must_use]
    pub fn new<H: Served>(handler: H, auth: Auth, shutdown: CancellationToken) -> Self {
        let doors = Arc::new(Services::new(&handler, shutdown));
        let (tools, reception) = (Arc::clone(handler.tools()), handler.reception().cloned());
        Self { tools, doors, auth, unknown: Arc::default(), reception, under_way: UnderWay::default() }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let from = address(request.extensions());
        let visit = Visit { door: "mcp", from: &from, what: "/mcp" };
        // A token in the header is judged before anything is read; without one, the arguments may hold it.
        let caller = match self.auth.by_header(visit, request.headers()) {
            Ok(caller) => caller,
            Err(refused) => return refused.into_response(),
        };
        if request.method() != Method::POST {
            if caller.is_none()
                && let Err(refused) = self.auth.by_argument(visit, None)
            {
                return refused.into_response();
            }
            // `GET` listens to a transport session, `DELETE` ends it.
            let ends = request.method() == Method::DELETE;
            let mut answer = match has_session(request.headers()) {
                true => self.doors.in_session(request).await,
                false => self.doors.alone(request).await,
            };
            if ends && answer.status() == StatusCode::ACCEPTED {
                // Some clients take "accepted" for a failure; the session is closed by now.
                *answer.status_mut() = StatusCode::NO_CONTENT;
            }
            return explained(answer, None, false).await;
        }
        let (mut parts, body) = request.into_parts();
        let mut knock = Knock { auth: &self.auth, visit, open: caller.is_none() };
        let (read, room) = match caller {
            Some(_) => (read_body(body, MAX_BODY_BYTES).await, None),
            None => self.unknown.read(body, MAX_BODY_BYTES).await,
        };
        let bytes = match read {
            ReadBody::Complete(bytes) => bytes,
            ReadBody::TooLarge => {
                let message = format!("Request body exceeds {MAX_BODY_BYTES} bytes: send smaller batches");
                return rpc_error(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &refusal(None, ErrorData::invalid_request(message, None)),
                );
            }
            // No token came, and none will.
            ReadBody::Broken if knock.open => {
                knock.open = false;
                return self.auth.by_argument(visit, None).err().unwrap_or(Refused::Missing).into_response();
            }
            ReadBody::Broken => {
                return rpc_error(
                    StatusCode::BAD_REQUEST,
                    &refusal(None, ErrorData::parse_error("Parse error: the request body ended early", None)),
                );
            }
        };
        knock.open = false;
        let envelope = Envelope::read(&bytes);
        let read = envelope.as_ref().map_or(Ok(None), Envelope::call);
        let call = read.as_ref().ok().and_then(Option::as_ref);
        let method = envelope.as_ref().ok().and_then(|envelope| envelope.method.as_deref());
        let admitted = self.auth.is_audited().then(|| self.admit(visit, caller, method, call)).transpose();
        let (caller, ending) = match admitted {
            Ok(admitted) => admitted.unwrap_or_default(),
            Err(refused) => return refused.into_response(),
        };
        drop(room);
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => return rpc_error(StatusCode::BAD_REQUEST, &error),
        };
        if let Some(call) = call {
            let guest = self.passer(&parts, call, &caller).await;
            let tools = self.tools.as_ref();
            let id = envelope.id.as_ref();
            let answer =
                direct::answer(tools, &parts.headers, id, call, guest.as_deref(), &caller.subject, &ending).await;
            if let Some(answer) = answer {
                return json(StatusCode::OK, answer);
            }
            if let Some(guest) = guest {
                parts.extensions.insert(Pass(guest));
            }
        }
        let version = parts.headers.get(VERSION_HEADER);
        if let (Some(id), Some(method)) = (&envelope.id, &envelope.method)
            // The later revision has no such method, whatever its parameters are.
            && !(method == "initialize" && version.is_some_and(|version| version == STATELESS))
            && let Some(message) = read.err().or_else(|| params::fault(method, envelope.params))
        {
            ending.tell(Some("invalid_params"));
            // Clients of former revisions look for errors in answers that HTTP calls good.
            let former = version.is_some_and(|version| version != STATELESS);
            let status = if former { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            return rpc_error(status, &refusal(Some(id.clone()), ErrorData::invalid_params(message, None)));
        }
        parts.extensions.insert(ending);
        if self.auth.is_on() {
            parts.extensions.insert(caller);
        }
        let id = envelope.id.clone();
        let declared_json = parts.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
        let session = parts.headers.get(SESSION_HEADER).cloned();
        let opens = envelope.method.as_deref() == Some("initialize");
        let asks = envelope.method.is_some();
        let request = Request::from_parts(parts, Body::from(bytes));
        let answer = match (session, opens) {
            (Some(session), _) => match id.clone().filter(|_| asks) {
                Some(id) => {
                    let Some(begun) = self.under_way.hold((session, id.clone())) else {
                        return rpc_error(StatusCode::OK, &taken(id));
                    };
                    self.doors.in_session(request).await.map(|body| Body::new(Held::new(body, begun)))
                }
                None => self.doors.in_session(request).await,
            },
            (None, true) => self.doors.opening(request).await,
            (None, false) => self.doors.alone(request).await,
        };
        explained(answer, id, declared_json).await
    }

    /// Who makes this call, when it stands alone and says by which program.
    async fn passer(&self, parts: &Parts, call: &CallParams<'_>, caller: &Caller) -> Option<Arc<dyn Guest>> {
        let reception = self.reception.as_ref()?;
        let revision = call.meta.as_ref()?.protocol_version.as_deref()?;
        if revision != STATELESS || has_session(&parts.headers) {
            return None;
        }
        let client = call.client()?;
        let name = short(&client.name);
        if name.is_empty() {
            return None;
        }
        let passer = Passer {
            client: name,
            client_version: short(&client.version),
            revision: revision.to_owned(),
            subject: caller.subject.clone(),
            source: Source::of(&parts.extensions),
        };
        reception.passes(passer).await
    }

    /// Judges who makes `call` (`None` when the body is none) and whether they may.
    fn admit(
        &self,
        visit: Visit<'_>,
        caller: Option<Caller>,
        method: Option<&str>,
        call: Option<&CallParams<'_>>,
    ) -> Result<(Caller, Ending), Refused> {
        let tool = call.and_then(|call| self.tools.find(&call.name));
        // Names that are none of ours are anybody's text, which has no place in an audit log.
        let (what, needed) = match (tool, method, self.tools.works()) {
            (Some(tool), ..) => (tool.name, tool.scope),
            (None, Some("tasks/update"), Some(works)) => ("tasks/update", works.answering()),
            (None, Some("tasks/cancel"), Some(works)) => ("tasks/cancel", works.stopping()),
            _ => ("/mcp", Scope::Read),
        };
        let visit = Visit { what, ..visit };
        let caller = match caller {
            Some(caller) => caller,
            None => self.auth.by_argument(visit, call.and_then(CallParams::token).as_deref())?,
        };
        let ending = self.auth.permit(visit, &caller, needed)?;
        Ok((caller, ending))
    }
}

/// Somebody who may turn out to hold no token. Whoever goes, or is let go, before that is known leaves the line of one without.
struct Knock<'a> {
    auth: &'a Auth,
    visit: Visit<'a>,
    open: bool,
}

impl Drop for Knock<'_> {
    fn drop(&mut self) {
        if self.open {
            let _ = self.auth.by_argument(self.visit, None);
        }
    }
}

fn has_session(headers: &HeaderMap) -> bool {
    headers.contains_key(SESSION_HEADER)
}

/// The library explains some refusals in plain text, and what it fails at; a client gets them as JSON-RPC errors like all others.
async fn explained(response: Response<Body>, id: Option<RequestId>, declared_json: bool) -> Response<Body> {
    let failed = response.status().is_server_error();
    if !(failed || response.status().is_client_error())
        || response.headers().get(header::CONTENT_TYPE).is_some_and(is_json)
    {
        return response;
    }
    let status = match response.status() {
        // It says so of a body that is JSON, but no message that it knows.
        StatusCode::UNSUPPORTED_MEDIA_TYPE if declared_json => StatusCode::BAD_REQUEST,
        other => other,
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let text = match read_body(response.into_body(), 64 * 1024).await {
        ReadBody::Complete(text) => String::from_utf8_lossy(&text).into_owned(),
        ReadBody::TooLarge | ReadBody::Broken => String::new(),
    };
    let error = match failed {
        true => {
            tracing::error!(reason = text, "a message was not answered");
            let message =
                "this got no answer, though it may be done: look before you send it again; the server's log says more";
            ErrorData::internal_error(message, None)
        }
        false => ErrorData::invalid_request(text, None),
    };
    let mut answer = rpc_error(status, &refusal(id, error));
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// The answer to a request that was not read, or is no longer waited for.
pub(crate) fn refused(status: StatusCode, message: &'static str) -> Response<Body> {
    let error = match status.is_server_error() {
        true => ErrorData::internal_error(message, None),
        false => ErrorData::invalid_request(message, None),
    };
    rpc_error(status, &refusal(None, error))
}

fn is_json(kind: &header::HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/json")
}

fn rpc_error(status: StatusCode, error: &JsonRpcError) -> Response<Body> {
    json(status, serde_json::to_vec(error).unwrap_or_default())
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
