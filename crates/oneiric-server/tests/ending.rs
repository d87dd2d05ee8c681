//! What clients of MCP meet when the server ends while something of theirs is under way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::Request;
use oneiric_server::http::{Auth, Site};
use oneiric_server::mcp::{
    Arguments, Effect, Endpoint, Handler, ServerCard, ToolDescription, ToolFuture, ToolSet, serve_stdio,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{call, legacy, rpc, send, site, stateless};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nothing {}

/// One tool, which is done when it is let through.
struct Gate {
    tools: Vec<ToolDescription>,
    came: mpsc::UnboundedSender<()>,
    open: Arc<Semaphore>,
}

impl ToolSet for Gate {
    fn tools(&self) -> &[ToolDescription] {
        &self.tools
    }

    fn call<'a>(&'a self, _: &'a str, _: Arguments<'a>, _: &'a str) -> ToolFuture<'a> {
        Box::pin(async move {
            self.came.send(()).unwrap();
            self.open.acquire().await.unwrap().forget();
            Ok(json!({}))
        })
    }
}

struct Serving {
    handler: Handler,
    came: mpsc::UnboundedReceiver<()>,
    open: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Serving {
    fn new() -> Self {
        let (sender, came) = mpsc::unbounded_channel();
        let open = Arc::new(Semaphore::new(0));
        let tools = vec![ToolDescription::of::<Nothing, Nothing>("pass", "Passes.", Effect::Adds)];
        let tools = Arc::new(Gate { tools, came: sender, open: Arc::clone(&open) });
        let handler = Handler::new(ServerCard { name: "gate", version: "1.0", instructions: "" }, tools);
        Self { handler, came, open, shutdown: CancellationToken::new() }
    }

    fn site(&self) -> Site {
        let endpoint = Endpoint::new(self.handler.clone(), Auth::off(), self.shutdown.clone());
        Site { endpoint: Some(endpoint), ..site() }
    }
}

/// Opens a transport session; gives its id.
async fn session(site: &Site) -> String {
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let answer = send(site, legacy(rpc("initialize", hello))).await;
    answer.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn calls_under_way_are_answered_when_the_server_ends() {
    let pass = || call("pass", json!({}));
    let mut long = stateless(pass(), "pass");
    // Not what the short way looks for.
    long.headers_mut().insert("accept", "text/event-stream, application/json".parse().unwrap());
    for (way, mut request) in
        [("short", stateless(pass(), "pass")), ("long", long), ("former", legacy(pass())), ("session", legacy(pass()))]
    {
        let mut serving = Serving::new();
        let site = serving.site();
        if way == "session" {
            request.headers_mut().insert("mcp-session-id", session(&site).await.parse().unwrap());
        }
        let answering = tokio::spawn(async move {
            let answer = send(&site, request).await;
            (answer.status(), to_bytes(answer.into_body(), 1 << 20).await.unwrap())
        });
        serving.came.recv().await.unwrap();
        serving.shutdown.cancel();
        tokio::task::yield_now().await;
        serving.open.add_permits(1);
        let (status, body) = answering.await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(status.is_success() && body.contains("\"structuredContent\":{}"), "{way}: {status} {body}");
    }
}

#[tokio::test]
async fn streams_of_those_who_only_listen_end_with_the_server() {
    let serving = Serving::new();
    let site = serving.site();
    let listen = Request::get("/mcp")
        .header("host", "127.0.0.1:8678")
        .header("accept", "text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("mcp-session-id", session(&site).await)
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = send(&site, listen).await;
    assert!(answer.status().is_success(), "{answer:?}");
    serving.shutdown.cancel();
    assert_eq!(to_bytes(answer.into_body(), 1 << 20).await.unwrap(), "");
}

#[tokio::test]
async fn a_call_by_standard_input_is_answered_when_the_server_ends() {
    let mut serving = Serving::new();
    let (input, pieces) = mpsc::channel(4);
    let (near, far) = tokio::io::duplex(1 << 20);
    let serve = serve_stdio(serving.handler.clone(), pieces.into(), far, serving.shutdown.clone());
    let served = tokio::spawn(serve);
    let mut message = call("pass", json!({}));
    support::add_meta(&mut message, "2026-07-28");
    input.send(format!("{message}\n").into_bytes()).await.unwrap();
    serving.came.recv().await.unwrap();
    serving.shutdown.cancel();
    tokio::task::yield_now().await;
    serving.open.add_permits(1);
    let line = BufReader::new(near).lines().next_line().await.unwrap().unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["result"]["structuredContent"], json!({}), "{answer}");
    tokio::time::timeout(Duration::from_secs(60), served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_request_with_the_id_of_one_under_way_is_told_so() {
    let mut serving = Serving::new();
    let site = serving.site();
    let session = session(&site).await;
    let ask = || {
        let mut request = legacy(call("pass", json!({})));
        request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
        request
    };
    let first = send(&site, ask()).await;
    serving.came.recv().await.unwrap();
    let (status, second) = support::post(&site, ask()).await;
    assert_eq!(
        (status.as_u16(), &second["error"]["code"], &second["id"]),
        (200, &json!(-32600), &json!(1)),
        "{second}"
    );
    serving.open.add_permits(2);
    let answer = to_bytes(first.into_body(), 1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("structuredContent"), "{answer:?}");
    let third = to_bytes(send(&site, ask()).await.into_body(), 1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&third).contains("structuredContent"), "{third:?}");
}

#[tokio::test]
async fn a_second_line_with_the_id_of_one_under_way_is_told_so() {
    let mut serving = Serving::new();
    let (input, pieces) = mpsc::channel(4);
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(serve_stdio(serving.handler.clone(), pieces.into(), far, serving.shutdown.clone()));
    let mut message = call("pass", json!({}));
    support::add_meta(&mut message, "2026-07-28");
    let mut answers = BufReader::new(near).lines();
    input.send(format!("{message}\n").into_bytes()).await.unwrap();
    serving.came.recv().await.unwrap();
    input.send(format!("{message}\n").into_bytes()).await.unwrap();
    let refused: Value = serde_json::from_str(&answers.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &json!(1)), "{refused}");
    serving.open.add_permits(1);
    let answer: Value = serde_json::from_str(&answers.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(answer["result"]["structuredContent"], json!({}), "{answer}");
}
