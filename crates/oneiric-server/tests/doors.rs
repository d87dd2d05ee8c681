//! Who may come in over HTTP, and what they see there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use oneiric::audit::AuditLog;
use oneiric::clock::SystemClock;
use oneiric_server::http::{Auth, BindRequest, Limits, bind, router, serve};
use serde_json::{Value, json};
use support::{Names, call, names, post, raw, send, site, site_with, stateless};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "localhost:8678").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn pages_of_other_hosts_and_origins_are_kept_out_of_every_path() {
    for path in ["/health", "/metrics", "/mcp", "/nothing"] {
        let mut request = get(path);
        request.headers_mut().insert("host", "evil.example".parse().unwrap());
        assert_eq!(post(&site(), request).await.0, StatusCode::FORBIDDEN, "{path}");
        let mut request = get(path);
        request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        assert_eq!(post(&site(), request).await.0, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn what_is_kept_out_leaves_a_line_whether_a_token_is_asked_for_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = |name: &str| Arc::new(AuditLog::in_dir(dir.path().join(name), Arc::new(SystemClock)));
    let auths = [
        ("quiet", Auth::quiet(log("quiet"))),
        ("open", Auth::open(log("open"))),
        ("required", Auth::required(Arc::new(Names), log("required"))),
    ];
    for (name, auth) in auths {
        let site = site_with(auth);
        for (path, header, value) in [
            ("/mcp", "host", "evil.example"),
            ("/api/v1/echo", "origin", "https://evil.example"),
            ("/health", "host", "evil.example"),
            ("/secret", "host", "evil.example"),
        ] {
            let mut request = get(path);
            request.headers_mut().insert(header, value.parse().unwrap());
            assert_eq!(send(&site, request).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        let text = std::fs::read_to_string(dir.path().join(name).join("audit.log")).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        let foreign = "why=\"Host 'evil.example' is not this server\"";
        let expected = [
            format!("outcome=denied door=mcp from=unknown who=- what=/mcp {foreign}"),
            "outcome=denied door=rest from=unknown who=- what=/api why=\"Origin 'https://evil.example' is not this server's\""
                .to_owned(),
            format!("outcome=denied door=http from=unknown who=- what=/health {foreign}"),
            format!("outcome=denied door=http from=unknown who=- what=/ {foreign}"),
        ];
        assert_eq!(lines, expected, "{name}");
        assert_eq!(post(&site, get("/health")).await.0, StatusCode::OK);
        let again = std::fs::read_to_string(dir.path().join(name).join("audit.log")).unwrap();
        assert_eq!(again, text, "what may pass leaves no line");
    }
}

#[tokio::test]
async fn callers_whom_nobody_knows_push_nothing_out_of_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Arc::new(AuditLog::in_dir(dir.path().to_path_buf(), Arc::new(SystemClock)));
    let site = site_with(Auth::required(Arc::new(Names), audit));
    for _ in 0..1_500 {
        assert_eq!(send(&site, get("/metrics")).await.status(), StatusCode::UNAUTHORIZED);
    }
    let mut reader = Request::post("/api/v1/fail").header("host", "localhost").body(Body::empty()).unwrap();
    reader.headers_mut().insert("authorization", "Bearer reader".parse().unwrap());
    assert_eq!(send(&site, reader).await.status(), StatusCode::FORBIDDEN);
    let text = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    assert_eq!(text.lines().count(), 1_001, "the others are counted by the next line after them");
    assert!(text.lines().last().unwrap().contains("who=reader"), "whom it knows it names");
}

#[tokio::test]
async fn health_stays_open_and_keeps_facts_for_those_who_may_read() {
    let (status, open) = post(&site(), get("/health")).await;
    assert_eq!((status, open["status"].as_str()), (StatusCode::OK, Some("healthy")));
    assert!(open.to_string().contains("/secret/path"));
    let guarded = site_with(names());
    let (status, closed) = post(&guarded, get("/health")).await;
    assert_eq!((status, closed["version"].as_str()), (StatusCode::OK, Some("1.0")));
    assert!(!closed.to_string().contains("/secret/path"), "{closed}");
}

#[tokio::test]
async fn without_a_good_token_nothing_else_opens() {
    let guarded = site_with(names());
    for token in [None, Some("Bearer wrong"), Some("Basic cmVhZGVy")] {
        for mut request in [stateless(call("echo", json!({ "text": "x" })), "echo"), get("/metrics")] {
            if let Some(token) = token {
                request.headers_mut().insert("authorization", token.parse().unwrap());
            }
            let response = send(&guarded, request).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{token:?}");
            assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_before_the_body_is_looked_at() {
    let guarded = site_with(names());
    for body in ["{", "[]", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#] {
        let mut request = raw(body);
        request.headers_mut().insert("authorization", "Bearer wrong".parse().unwrap());
        assert_eq!(send(&guarded, request).await.status(), StatusCode::UNAUTHORIZED, "{body}");
        assert_eq!(send(&guarded, raw(body)).await.status(), StatusCode::UNAUTHORIZED, "{body} without a token");
    }
    let mut twice = stateless(call("echo", json!({ "text": "x" })), "echo");
    for token in ["Bearer reader", "Bearer writer"] {
        twice.headers_mut().append("authorization", token.parse().unwrap());
    }
    assert_eq!(send(&guarded, twice).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(send(&guarded, get("/mcp")).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_allow() {
    let guarded = site_with(names());
    let with = |tool: &str, token: &str| {
        let mut request = stateless(call(tool, json!({ "text": "x" })), tool);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    assert_eq!(post(&guarded, with("echo", "reader")).await.0, StatusCode::OK);
    let refused = send(&guarded, with("fail", "reader")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("insufficient_scope"));
    assert_eq!(post(&guarded, with("fail", "writer")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_call_that_cannot_be_judged_is_not_made() {
    let guarded = site_with(names());
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let info = r#""io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}"#;
    for meta in [
        r#""io.modelcontextprotocol/protocolVersion":5"#.to_owned(),
        format!("{version},{version}"),
        format!("{version},{info},{info}"),
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"fail","arguments":{{}},"_meta":{{{meta}}}}}}}"#
        );
        for revision in ["2025-11-25", "2026-07-28"] {
            let mut request = raw(&body);
            let headers = [
                ("authorization", "Bearer reader"),
                ("mcp-protocol-version", revision),
                ("mcp-method", "tools/call"),
                ("mcp-name", "fail"),
            ];
            for (name, value) in headers {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            let (_, answer) = post(&guarded, request).await;
            assert_eq!(answer["error"]["code"], -32602, "{meta} in {revision}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_argument_token_stands_in_for_the_header() {
    let guarded = site_with(names());
    let request = |token: &str| stateless(call("echo", json!({ "text": "x", "token": token })), "echo");
    assert_eq!(post(&guarded, request("reader")).await.0, StatusCode::OK);
    assert_eq!(post(&guarded, request("wrong")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let response = send(&site(), get("/metrics")).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    assert_eq!(body, "# HELP sample_up One\n# TYPE sample_up gauge\nsample_up 1\n");
}

#[tokio::test]
async fn other_methods_and_paths_are_told_so() {
    assert_eq!(post(&site(), get("/mcp")).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post(&site(), get("/nothing")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_a_reason() {
    let listener =
        bind(&BindRequest { host: "127.0.0.1", port: 0, authenticated: false, allow_insecure: false }).unwrap();
    let (address, shutdown) = (listener.address, CancellationToken::new());
    let limits = Limits { connections: 8, ..Limits::of_this_process() };
    let serving = tokio::spawn(serve(listener, router(site()), limits, shutdown.clone()));
    let ask = async |path: &str, more: &str| -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap()
    };
    let many = (0..120).fold(String::new(), |mut all, number| {
        write!(all, "x-{number}: y\r\n").unwrap();
        all
    });
    let large = format!("x: {}\r\n", "y".repeat(80 * 1024));
    let long = format!("query={}", "q".repeat(40 * 1024));
    for (query, more, status) in [("", many.as_str(), 431), ("", &large, 431), (&long, "", 414)] {
        let (head, body) = ask(&format!("/api/v1/echo?{query}"), more).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status, "{body}");
        let (head, body) = ask(&format!("/health?{query}"), more).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let refusal: Value = serde_json::from_str(&body).unwrap();
        assert!(refusal["error"].as_str().is_some_and(|error| !error.is_empty()), "{body}");
    }
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_sends_all_before_it_reads_is_told_why_it_is_refused() {
    let request = BindRequest { host: "127.0.0.1", port: 0, authenticated: false, allow_insecure: false };
    let listener = bind(&request).unwrap();
    let (address, shutdown) = (listener.address, CancellationToken::new());
    let serving = tokio::spawn(serve(listener, router(site()), Limits::of_this_process(), shutdown.clone()));
    let body = "x".repeat(7 << 20);
    for (path, more, status) in [
        ("/api/v1/echo", "Content-Type: text/plain\r\n", 415),
        ("/api/v1/nothing", "", 404),
        ("/nothing", "", 404),
        ("/api/v1/version", "", 405),
        ("/metrics", "", 405),
        ("/mcp", "Content-Type: application/json\r\nHost: evil.example\r\n", 400),
        ("/api/v1/echo", "Origin: https://evil.example\r\n", 403),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    // A client that asks first is answered at once, and sends nothing.
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_a_token_nothing_tells_which_pages_there_are() {
    let guarded = site_with(names());
    let paths =
        ["/", "/nothing", "/metrics", "/mcp", "/mcp/", "/api", "/api/v1/echo", "/api/v1/nothing", "/api/v1/version"];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"] {
            let request = || Request::builder().method(method).uri(path).header("host", "localhost");
            let answer = send(&guarded, request().body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(!answer.headers().contains_key("allow"), "{method} {path}");
            let token = request().header("authorization", "Bearer reader").body(Body::empty()).unwrap();
            assert_ne!(send(&guarded, token).await.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    let token = Request::put("/api/v1/echo").header("host", "localhost").header("authorization", "Bearer reader");
    let answer = send(&guarded, token.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.headers().contains_key("allow"));
}

/// A body that never comes.
struct Never;

impl axum::body::HttpBody for Never {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<axum::body::Bytes>, std::io::Error>>> {
        std::task::Poll::Pending
    }
}

fn unfinished(path: &str) -> Request<Body> {
    let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
    request.header("content-length", "100").body(Body::new(Never)).unwrap()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout_of_the_client() {
    let mut site = site();
    site.limit = std::time::Duration::from_millis(50);
    let (status, problem) = post(&site, unfinished("/api/v1/echo")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::REQUEST_TIMEOUT, Some("request_timeout")), "{problem}");
    let (status, error) = post(&site, unfinished("/mcp")).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("body")), "{error}");
}

#[tokio::test]
async fn whoever_sends_no_token_and_no_body_leaves_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Arc::new(AuditLog::in_dir(dir.path().to_path_buf(), Arc::new(SystemClock)));
    let mut site = site_with(Auth::required(Arc::new(Names), audit));
    site.limit = std::time::Duration::from_millis(50);
    assert_eq!(send(&site, unfinished("/mcp")).await.status(), StatusCode::UNAUTHORIZED);
    // Its connection is given to another, or it leaves.
    site.limit = std::time::Duration::from_secs(60);
    let asking = send(&site, unfinished("/mcp"));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), asking).await.is_err());
    let text = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    assert_eq!(text.matches("outcome=denied door=mcp").count(), 2, "{text}");
    assert_eq!(text.matches("no token").count(), 2, "{text}");
    let mut reader = unfinished("/mcp");
    reader.headers_mut().insert("authorization", "Bearer reader".parse().unwrap());
    site.limit = std::time::Duration::from_millis(50);
    assert_eq!(send(&site, reader).await.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(std::fs::read_to_string(dir.path().join("audit.log")).unwrap(), text);
}

#[tokio::test]
async fn a_request_says_whom_it_addresses_and_a_refusal_which_name_to_allow() {
    let nowhere = Request::get("/health").body(Body::empty()).unwrap();
    let (status, error) = post(&site(), nowhere).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
    let mut request = get("/api/v1/echo/x");
    request.headers_mut().insert("host", "box.lan:8678".parse().unwrap());
    let (status, problem) = post(&site(), request).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(problem["detail"].as_str().unwrap().contains("add 'box.lan' to server.allowed_hosts"), "{problem}");
    let mut picture = get("/api/v1/echo/x");
    picture.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(post(&site(), picture).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn methods_that_mcp_has_not_are_refused_like_everything_there() {
    for method in ["PUT", "PATCH", "FOO", "GET", "DELETE"] {
        let request = Request::builder().method(method).uri("/mcp").header("host", "localhost");
        let request = request.header("accept", "application/json, text/event-stream").body(Body::empty()).unwrap();
        let response = send(&site(), request).await;
        assert!(response.status().is_client_error(), "{method}");
        assert_eq!(response.headers()["content-type"], "application/json", "{method}");
        assert!(response.headers().contains_key("allow"), "{method}");
    }
}
