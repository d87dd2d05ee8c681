//! Who may come in over HTTP, and what they see there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use support::{call, names, post, raw, send, site, site_with, stateless};

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
