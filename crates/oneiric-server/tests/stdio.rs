//! MCP over lines: what a client that spawns the server meets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use oneiric_server::mcp::{MAX_LINE_BYTES, serve_stdio};
use serde_json::{Value, json};
use support::{add_meta, call, handler, rpc};
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, Lines};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Client {
    input: mpsc::Sender<Vec<u8>>,
    output: Lines<BufReader<DuplexStream>>,
    server: tokio::task::JoinHandle<()>,
}

impl Client {
    fn start() -> Self {
        let (input, pieces) = mpsc::channel(64);
        let (near, far) = tokio::io::duplex(1024 * 1024);
        let server = tokio::spawn(serve_stdio(handler(), pieces.into(), far, CancellationToken::new()));
        Self { input, output: BufReader::new(near).lines(), server }
    }

    async fn say(&self, line: &str) {
        self.input.send(format!("{line}\n").into_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line =
            tokio::time::timeout(Duration::from_secs(10), self.output.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.say(&message.to_string()).await;
        self.hear().await
    }
}

#[tokio::test]
async fn the_former_revision_shakes_hands_and_calls() {
    let mut client = Client::start();
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let answer = client.ask(rpc("initialize", hello)).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    client.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let answer = client.ask(call("echo", json!({ "text": "hi" }))).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "hi");
}

#[tokio::test]
async fn the_current_revision_needs_no_handshake() {
    let mut client = Client::start();
    let mut discover = rpc("server/discover", json!({}));
    add_meta(&mut discover, "2026-07-28");
    assert!(client.ask(discover).await["result"]["supportedVersions"].is_array());
    let mut message = call("echo", json!({ "text": "hi" }));
    add_meta(&mut message, "2026-07-28");
    assert_eq!(client.ask(message).await["result"]["structuredContent"]["text"], "hi");
}

#[tokio::test]
async fn the_last_message_needs_no_line_end() {
    let mut client = Client::start();
    let mut message = call("echo", json!({ "text": "hi" }));
    add_meta(&mut message, "2026-07-28");
    client.input.send(message.to_string().into_bytes()).await.unwrap();
    let (none, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut client.input, none));
    assert_eq!(client.hear().await["result"]["structuredContent"]["text"], "hi");
    client.server.await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_read_no_further_and_loses_none() {
    let (input, pieces) = mpsc::channel(1);
    let (near, far) = tokio::io::duplex(64);
    let server = tokio::spawn(serve_stdio(handler(), pieces.into(), far, CancellationToken::new()));
    let ask = |id: u32| {
        let mut message = call("echo", json!({ "text": "hi" }));
        add_meta(&mut message, "2026-07-28");
        message["id"] = id.into();
        format!("{message}\n").into_bytes()
    };
    let mut sent = 0;
    // Long after what the server takes at once.
    while let Ok(taken) = tokio::time::timeout(Duration::from_millis(200), input.send(ask(sent))).await {
        taken.unwrap();
        sent += 1;
        assert!(sent < 1_000, "it reads on");
    }
    assert!(sent >= 64, "{sent}");
    let mut answers = BufReader::new(near).lines();
    for _ in 0..sent {
        let line = answers.next_line().await.unwrap().unwrap();
        assert!(line.contains("structuredContent"), "{line}");
    }
    // More than it takes at once, again, and its reader is slow behind the end of its input.
    let sending = tokio::spawn(async move {
        for id in 0..200 {
            input.send(ask(id)).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut heard = 0;
    while let Some(line) = answers.next_line().await.unwrap() {
        assert!(line.contains("structuredContent"), "{line}");
        heard += 1;
    }
    assert_eq!(heard, 200);
    sending.await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), server).await.unwrap().unwrap();
}

#[tokio::test]
async fn lines_that_are_no_messages_get_errors_and_the_server_goes_on() {
    let mut client = Client::start();
    client.say(r#"{"jsonrpc":"2.0","method":"notifications/stray"}"#).await;
    client.say("").await;
    for (line, code) in [("{", -32700), ("[]", -32600), (r#"{"jsonrpc":"2.0","id":"x","method":5}"#, -32600)] {
        client.say(line).await;
        assert_eq!(client.hear().await["error"]["code"], code, "{line}");
    }
    client.say(&"x".repeat(MAX_LINE_BYTES + 10)).await;
    assert_eq!(client.hear().await["error"]["code"], -32600);
    let mut wrong = call("echo", json!({ "text": "hi" }));
    add_meta(&mut wrong, "2031-01-01");
    assert_eq!(client.ask(wrong).await["error"]["code"], -32022);
    let mut message = call("echo", json!({ "text": "alive" }));
    add_meta(&mut message, "2026-07-28");
    assert_eq!(client.ask(message).await["result"]["structuredContent"]["text"], "alive");
}

#[tokio::test]
async fn the_end_of_input_ends_the_server() {
    let client = Client::start();
    drop(client.input);
    tokio::time::timeout(Duration::from_secs(10), client.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn parameters_that_a_method_does_not_take_are_named() {
    for current in [false, true] {
        let mut client = Client::start();
        if !current {
            let hello = json!({
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
            });
            client.ask(rpc("initialize", hello)).await;
            client.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        }
        for (params, said) in [
            (json!([1]), "tools/call: params must be an object"),
            (json!("x"), "tools/call: params must be an object"),
            (json!(null), "tools/call: params are missing"),
            (json!({ "name": 7 }), "tools/call: params.name must be a string"),
            (json!({ "name": "echo", "arguments": [1] }), "tools/call: params.arguments must be an object"),
            (json!({ "name": "echo", "_meta": [1] }), "tools/call: params._meta must be an object"),
        ] {
            let mut message = rpc("tools/call", params);
            if current && message["params"].is_object() && message["params"]["_meta"].is_null() {
                add_meta(&mut message, "2026-07-28");
            }
            let answer = client.ask(message).await;
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32602)), "{answer}");
            assert_eq!(answer["error"]["message"], said);
        }
        let unknown = client.ask(rpc("nonsense/do", json!([1]))).await;
        assert_ne!(unknown["error"]["code"], -32602, "{unknown}");
    }
}
