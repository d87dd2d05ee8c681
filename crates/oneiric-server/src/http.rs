//! HTTP: `/mcp`, `/api/v1`, `/health`, `/metrics`, and what guards them.

mod auth;
pub(crate) mod body;
mod coming;
mod ending;
mod gate;
mod heads;
mod knocks;
mod leftover;
mod listener;
mod room;
mod serve;
mod sockets;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use oneiric::token::Scope;
use serde_json::json;

pub use auth::{Auth, Caller, Refused, TokenJudge, Visit, address};
pub use ending::Ending;
pub use gate::{Gate, KeptOut};
pub use listener::{BindRequest, Holder, Listener, bind, holder};
pub use serve::{ConnectionId, Limits, serve};
pub use sockets::{caller, folder_of};

use self::body::{Arrival, PIECE_LIMIT};
use self::leftover::Leftover;
use crate::health::HealthSource;
use crate::mcp::{Endpoint, MAX_BODY_BYTES, json as json_response, refused};
use crate::metrics::MetricsSource;
use crate::rest::bulk::BODY_LIMIT;
use crate::rest::{Api, Problem};

/// Longest time a request may take.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Everything a server shows over HTTP.
#[derive(Clone)]
pub struct Site {
    /// MCP; `None` when this server does not offer it.
    pub endpoint: Option<Endpoint>,
    /// REST; `None` when this server does not offer it.
    pub api: Option<Api>,
    /// Who may call.
    pub auth: Auth,
    /// Which hosts and origins may.
    pub gate: Gate,
    /// `/health`.
    pub health: Arc<dyn HealthSource>,
    /// `/metrics`.
    pub metrics: Arc<dyn MetricsSource>,
    /// Longest time a request may take.
    pub limit: Duration,
}

/// The routes of `site`.
pub fn router(site: Site) -> Router {
    let mut router = Router::new();
    if let Some(endpoint) = site.endpoint.clone() {
        router = router.route("/mcp", any(move |request: Request| async move { endpoint.handle(request).await }));
    }
    if let Some(api) = &site.api {
        router = router.merge(api.router());
    }
    let router = router
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(|State(site): State<Site>, request: Request| async move {
            elsewhere(&site, &request, StatusCode::METHOD_NOT_ALLOWED, "this page has no such method")
        })
        .fallback(|State(site): State<Site>, request: Request| async move {
            let there = "no such page; there are /health, /metrics, /api/v1 and, unless MCP is off, /mcp";
            elsewhere(&site, &request, StatusCode::NOT_FOUND, there)
        })
        .with_state(site.clone());
    // Around the router as a whole: it adds to an answer which methods a path has after what is laid around its routes.
    Router::new().fallback_service(router).layer(middleware::from_fn_with_state(site, guard))
}

async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response<Body> {
    let leftover = Leftover::default();
    let (parts, body) = request.into_parts();
    let body = leftover.of(&parts.headers, body);
    let answer = guarded(&site, Request::from_parts(parts, body), next).await;
    if answer.status().is_client_error() || answer.status().is_server_error() {
        leftover.discard(MAX_BODY_BYTES).await;
    }
    answer
}

async fn guarded(site: &Site, request: Request, next: Next) -> Response<Body> {
    let rest = request.uri().path().starts_with("/api");
    let refusal = |status: StatusCode, code: &str, message: &str| {
        if rest { Problem::new(status, code, message).into_response() } else { refusal(status, message) }
    };
    match site.gate.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => {}
        Err(KeptOut::Unclear(why)) => {
            return refusal(StatusCode::BAD_REQUEST, "bad_request", &format!("400 Bad Request: {why}"));
        }
        Err(KeptOut::Foreign { reason, host }) => {
            let (door, what) = door(request.uri().path());
            site.auth.kept_out(Visit { door, from: &address(request.extensions()), what }, &reason);
            let hint = host.map(|host| format!("; add '{host}' to server.allowed_hosts if it is meant"));
            let message = format!("403 Forbidden: {reason}{}", hint.unwrap_or_default());
            return refusal(StatusCode::FORBIDDEN, "forbidden", &message);
        }
    }
    if let Err((status, code, message)) = heads::check(request.uri(), request.headers()) {
        return refusal(status, code, &message);
    }
    let slow = site.api.as_ref().is_some_and(|api| api.is_slow(&request));
    let limit = if slow { BODY_LIMIT } else { site.limit };
    let arrival = Arrival::default();
    // Lines come at any length, with bounds of their own. What else is slow is so once its body is there.
    let bound = !request.body().is_end_stream() && !site.api.as_ref().is_some_and(|api| api.takes_lines(&request));
    let mcp = request.uri().path() == "/mcp";
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let request =
        if bound { request.map(|body| arrival.bound(body, PIECE_LIMIT.min(site.limit), site.limit)) } else { request };
    let given_up = |status: StatusCode, code: &str, message: &'static str| match mcp {
        true => refused(status, message),
        false => refusal(status, code, message),
    };
    let late = || {
        let message = "408 Request Timeout: the body did not come in time";
        let mut answer = given_up(StatusCode::REQUEST_TIMEOUT, "request_timeout", message);
        answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        answer
    };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(mut response) if response.status() == StatusCode::UNAUTHORIZED => {
            // The router lists a route's methods whatever its answer is.
            response.headers_mut().remove(header::ALLOW);
            response
        }
        Ok(_) if arrival.is_late() => late(),
        Ok(response) => response,
        Err(_) if arrival.is_awaited() => late(),
        Err(_) => {
            let message = match changes {
                true => {
                    "the request took too long and is no longer waited for, but what it asks for may still be done: look before you \
                     send it again, or send it as it was with the same Idempotency-Key"
                }
                false => "the request took too long and was given up",
            };
            given_up(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
        }
    }
}

/// Answers what nothing is served for; to those who may read, as which pages there are is nobody else's matter.
fn elsewhere(site: &Site, request: &Request, status: StatusCode, message: &str) -> Response<Body> {
    let (door, what) = door(request.uri().path());
    let visit = Visit { door, from: &address(request.extensions()), what };
    match site.auth.admit(visit, request.headers(), Scope::Read) {
        Ok(_) => refusal(status, message),
        Err(refused) => refused.into_response(),
    }
}

/// The door that a path belongs to, and its name. Other paths are anybody's text, which has no place in an audit log.
fn door(path: &str) -> (&'static str, &'static str) {
    match path {
        "/mcp" => ("mcp", "/mcp"),
        "/metrics" => ("metrics", "/metrics"),
        "/health" => ("http", "/health"),
        path if path.starts_with("/api") => ("rest", "/api"),
        _ => ("http", "/"),
    }
}

async fn health(State(site): State<Site>, headers: HeaderMap) -> Response<Body> {
    let report = site.health.check().await;
    let status = if report.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Anyone may ask whether the server is well; paths and addresses are for those who may read.
    let trusted = site.auth.trusts(&headers, Scope::Read);
    json_response(status, serde_json::to_vec(&report.body(trusted)).unwrap_or_default())
}

async fn metrics(State(site): State<Site>, request: Request) -> Response<Body> {
    let visit = Visit { door: "metrics", from: &address(request.extensions()), what: "GET /metrics" };
    if let Err(refused) = site.auth.admit(visit, request.headers(), Scope::Read) {
        return refused.into_response();
    }
    match site.metrics.render().await {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            );
            response
        }
        Err(fault) => refusal(StatusCode::SERVICE_UNAVAILABLE, &fault.to_string()),
    }
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    json_response(status, json!({ "error": message }).to_string())
}
