//! The protocol as clients meet it: both revisions over HTTP, and standard input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::http::StatusCode;
use serde_json::{Value, json};
use support::{call, post, rpc, site, stateless};

#[tokio::test]
async fn a_stateless_call_is_answered_with_structured_content_and_the_same_as_text() {
    let (status, answer) = post(&site(), stateless(call("echo", json!({ "text": "hi" })), "echo")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let result = &answer["result"];
    assert_eq!(result["structuredContent"], json!({ "text": "hi" }));
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"]);
    assert_eq!((&result["isError"], &result["resultType"]), (&json!(false), &json!("complete")));
}

#[tokio::test]
async fn the_short_way_and_the_librarys_way_answer_alike() {
    for arguments in [json!({ "text": "hi" }), json!({ "text": 5 }), json!({})] {
        let regular = stateless(call("echo", arguments.clone()), "echo");
        let mut other = stateless(call("echo", arguments), "echo");
        // Equivalent, but not what the short way looks for.
        other.headers_mut().insert("accept", "text/event-stream, application/json".parse().unwrap());
        assert_eq!(post(&site(), regular).await, post(&site(), other).await);
    }
}

#[tokio::test]
async fn the_current_revision_discovers_and_lists_tools_with_cache_hints() {
    let discover = stateless(rpc("server/discover", json!({})), "");
    let (status, answer) = post(&site(), discover).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let versions = answer["result"]["supportedVersions"].as_array().unwrap();
    for wanted in ["2025-11-25", "2026-07-28"] {
        assert!(versions.contains(&json!(wanted)), "{versions:?}");
    }
    let (_, listed) = post(&site(), stateless(rpc("tools/list", json!({})), "")).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "echo");
    assert_eq!(listed["result"]["tools"][0]["annotations"]["readOnlyHint"], true);
    assert!(listed["result"]["ttlMs"].as_u64().unwrap() > 0, "{listed}");
}

#[tokio::test]
async fn the_former_revision_needs_no_session_on_the_server() {
    let initialize = support::legacy(rpc(
        "initialize",
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }),
    ));
    // A session is offered, and with it an event stream; nothing after it needs either.
    let (status, answer) = post(&site(), initialize).await;
    let event: Value = serde_json::from_str(answer.as_str().unwrap().trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((status, &event["result"]["protocolVersion"]), (StatusCode::OK, &json!("2025-11-25")), "{answer}");
    assert_eq!(event["result"]["serverInfo"]["name"], "sample");

    let initialized = support::legacy(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    assert_eq!(post(&site(), initialized).await.0, StatusCode::ACCEPTED);

    let (status, answer) = post(&site(), support::legacy(call("echo", json!({ "text": "old" })))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["result"]["structuredContent"]["text"], "old");
    assert!(answer["result"].get("resultType").is_none(), "former clients do not know the field: {answer}");
    let (_, listed) = post(&site(), support::legacy(rpc("tools/list", json!({})))).await;
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_failure_of_the_tool_is_a_result_with_a_code() {
    let (status, answer) = post(&site(), stateless(call("fail", json!({})), "fail")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(answer["result"]["structuredContent"]["code"], "not_found");
}

#[tokio::test]
async fn wrong_arguments_name_the_field_and_unknown_tools_are_protocol_errors() {
    let (_, answer) = post(&site(), stateless(call("echo", json!({ "text": 5 })), "echo")).await;
    let content = &answer["result"]["structuredContent"];
    assert_eq!((&content["code"], &content["field"]), (&json!("invalid_arguments"), &json!("text")), "{answer}");
    let (_, answer) = post(&site(), stateless(call("nothing", json!({})), "nothing")).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(answer["error"]["message"], "Unknown tool: nothing");
}

#[tokio::test]
async fn malformed_messages_get_protocol_errors_and_the_server_goes_on() {
    let site = site();
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{1}\u{2}", -32700),
        ("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", -32600),
        ("{\"id\":1,\"method\":\"ping\"}", -32600),
        ("\"text\"", -32600),
    ] {
        let (status, answer) = post(&site, support::raw(body)).await;
        assert_eq!(
            (status, answer["error"]["code"].as_i64()),
            (StatusCode::BAD_REQUEST, Some(code)),
            "{body:?}: {answer}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{deep}}}");
    assert_eq!(post(&site, support::raw(&nested)).await.0, StatusCode::BAD_REQUEST);
    let (status, _) = post(&site, stateless(call("echo", json!({ "text": "still here" })), "echo")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn oversized_bodies_are_refused_with_413() {
    let huge = "x".repeat(oneiric_server::mcp::MAX_BODY_BYTES + 1);
    let (status, answer) = post(&site(), support::raw(&huge)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(-32600)));
}

#[tokio::test]
async fn wrong_versions_and_contradicting_headers_are_refused() {
    let mut request = stateless(call("echo", json!({ "text": "x" })), "echo");
    request.headers_mut().insert("mcp-name", "fail".parse().unwrap());
    let (status, answer) = post(&site(), request).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32020)), "{answer}");

    let mut body = call("echo", json!({ "text": "x" }));
    support::add_meta(&mut body, "2031-01-01");
    let mut request = support::raw(&body.to_string());
    for (name, value) in [("mcp-protocol-version", "2031-01-01"), ("mcp-method", "tools/call"), ("mcp-name", "echo")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (status, answer) = post(&site(), request).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32022)), "{answer}");
    assert!(answer["error"]["data"]["supported"].as_array().unwrap().contains(&json!("2026-07-28")));

    let mut request = support::legacy(call("echo", json!({ "text": "x" })));
    request.headers_mut().insert("mcp-protocol-version", "1999-01-01".parse().unwrap());
    assert_eq!(post(&site(), request).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn unknown_methods_are_not_found() {
    // The later revision has no `initialize`, whatever stands in it.
    for method in ["nonsense/do", "initialize"] {
        let (status, answer) = post(&site(), stateless(rpc(method, json!({})), "")).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!(-32601)), "{answer}");
    }
    let (_, answer) = post(&site(), support::legacy(rpc("nonsense/do", json!({})))).await;
    assert_eq!(answer["error"]["code"], -32601);
}

#[tokio::test]
async fn parameters_that_a_method_does_not_take_are_named() {
    let site = site();
    let wrong = [
        ("tools/call", json!([1]), "params must be an object"),
        ("tools/call", json!({ "name": 7 }), "params.name must be a string"),
        ("tools/call", json!({ "arguments": {} }), "params.name is missing"),
        ("tools/call", json!({ "name": "echo", "arguments": [1] }), "params.arguments must be an object"),
        ("tools/call", json!({ "name": "echo", "_meta": [1] }), "params._meta must be an object"),
        ("tools/call", json!({ "name": "echo", "requestState": 7 }), "params.requestState must be a string"),
        ("completion/complete", json!({ "ref": {}, "argument": {} }), "the form that the method takes"),
        ("resources/read", json!({ "uri": 7 }), "params.uri must be a string"),
        ("prompts/get", json!({}), "params.name is missing"),
    ];
    for (method, params, said) in wrong {
        let mut message = rpc(method, params);
        let (status, answer) = post(&site, support::legacy(message.clone())).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::OK, &json!(-32602)), "{message}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(said), "{message}: {answer}");
        assert_eq!(answer["id"], 1);
        let mut request = support::legacy(message.clone());
        if message["params"].is_object() && message["params"]["_meta"].is_null() {
            let name = if method == "tools/call" { "echo" } else { "" };
            request = stateless(std::mem::take(&mut message), name);
        }
        request.headers_mut().insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        let (status, answer) = post(&site, request).await;
        // What only the library notices comes by its own status.
        let expected = if method == "completion/complete" { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!((status, &answer["error"]["code"]), (expected, &json!(-32602)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(said), "{answer}");
    }
    let (_, answer) = post(&site, support::legacy(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call" }))).await;
    assert_eq!(answer["error"]["message"], "tools/call: params are missing");
}
