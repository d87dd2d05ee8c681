//! A sample server with two tools, and requests to it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use oneiric::audit::AuditLog;
use oneiric::clock::SystemClock;
use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_server::health::{HealthSource, Part, Report};
use oneiric_server::http::{Auth, Caller, Gate, Site, TokenJudge};
use oneiric_server::mcp::{Arguments, Effect, Endpoint, Handler, ServerCard, ToolDescription, ToolFuture, ToolSet};
use oneiric_server::metrics::{Exposition, MetricsSource};
use oneiric_server::rest::{Api, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nothing {}

pub struct Sample(Vec<ToolDescription>);

impl Sample {
    pub fn new() -> Self {
        Self(vec![
            ToolDescription::of::<Echo, Echo>("echo", "Says the same.", Effect::Reads),
            ToolDescription::of::<Nothing, Nothing>("fail", "Fails.", Effect::AddsOnce),
        ])
    }
}

impl ToolSet for Sample {
    fn tools(&self) -> &[ToolDescription] {
        &self.0
    }

    fn call<'a>(&'a self, name: &'a str, arguments: Arguments<'a>, _who: &'a str) -> ToolFuture<'a> {
        Box::pin(async move {
            match name {
                "echo" => Ok(json!(arguments.parse::<Echo>()?)),
                _ => Err(Fault::not_found("no such thing").into()),
            }
        })
    }
}

pub struct Facts;

impl HealthSource for Facts {
    fn check(&self) -> Pin<Box<dyn Future<Output = Report> + Send + '_>> {
        Box::pin(async { Report::over("sample", "1.0", vec![Part::ok("Database", "connected", "/secret/path")]) })
    }
}

impl MetricsSource for Facts {
    fn render(&self) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        Box::pin(async {
            let mut out = Exposition::new();
            out.gauge("sample_up", "One").sample("sample_up", &[], 1.0);
            Ok(out.finish())
        })
    }
}

/// Takes `reader` and `writer` as tokens.
pub struct Names;

impl TokenJudge for Names {
    fn judge(&self, token: &str) -> std::result::Result<Caller, String> {
        let caller = |scopes: &[Scope]| Caller { subject: token.into(), scopes: scopes.to_vec(), ..Caller::default() };
        match token {
            "reader" => Ok(caller(&[Scope::Read])),
            "writer" => Ok(caller(&[Scope::Read, Scope::Write])),
            _ => Err("signature".into()),
        }
    }
}

/// Auth that takes those names and keeps no audit log.
pub fn names() -> Auth {
    Auth::required(Arc::new(Names), Arc::new(AuditLog::nowhere(Arc::new(SystemClock))))
}

fn card() -> ServerCard {
    ServerCard { name: "sample", version: "1.0", instructions: "A sample." }
}

pub const ROUTES: &[Route] = &[
    Route::get("/echo/{text}", "echo", "echo", "Says the same"),
    Route::get("/echo", "echo", "echo_query", "Says the same"),
    Route::post("/echo", "echo", "echo_body", "Says the same"),
    Route::post("/fail", "fail", "fail", "Fails"),
];

pub fn handler() -> Handler {
    Handler::new(card(), Arc::new(Sample::new()))
}

pub fn site_with(auth: Auth) -> Site {
    Site {
        endpoint: Some(Endpoint::new(handler(), auth.clone(), CancellationToken::new())),
        api: Some(Api::new(card(), Arc::new(Sample::new()), ROUTES, auth.clone(), Arc::new(SystemClock))),
        auth,
        gate: Gate::new("127.0.0.1", false, &[]),
        health: Arc::new(Facts),
        metrics: Arc::new(Facts),
        limit: Duration::from_secs(10),
    }
}

pub fn site() -> Site {
    site_with(Auth::off())
}

pub fn rpc(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

pub fn call(tool: &str, arguments: Value) -> Value {
    rpc("tools/call", json!({ "name": tool, "arguments": arguments }))
}

pub fn add_meta(message: &mut Value, version: &str) {
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    });
}

pub fn raw(body: &str) -> Request<Body> {
    Request::post("/mcp")
        .header("host", "127.0.0.1:8678")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// A request of revision 2026-07-28, as the programs send it.
pub fn stateless(mut message: Value, name: &str) -> Request<Body> {
    add_meta(&mut message, "2026-07-28");
    let method = message["method"].as_str().unwrap().to_owned();
    let mut request = raw(&message.to_string());
    request.headers_mut().insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    request.headers_mut().insert("mcp-method", method.parse().unwrap());
    if !name.is_empty() {
        request.headers_mut().insert("mcp-name", name.parse().unwrap());
    }
    request
}

/// A request of revision 2025-11-25.
pub fn legacy(message: Value) -> Request<Body> {
    let mut request = raw(&message.to_string());
    request.headers_mut().insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
    request
}

pub async fn send(site: &Site, request: Request<Body>) -> axum::http::Response<Body> {
    oneiric_server::http::router(site.clone()).oneshot(request).await.unwrap()
}

pub async fn post(site: &Site, request: Request<Body>) -> (StatusCode, Value) {
    let response = send(site, request).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
}
