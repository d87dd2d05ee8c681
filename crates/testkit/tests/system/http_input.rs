//! Requests as no good client sends them: each is answered with a protocol error, and the server stays up.

use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::mcp::{self, Revision};
use testkit::{Server, TestHome};

use crate::sample::session_start;

fn owned(revision: Revision, message: &Value) -> Vec<(String, String)> {
    mcp::headers(revision, message)
}

fn send(server: &Server, headers: &[(String, String)], body: &[u8]) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    http::post(server.port(), "/mcp", &headers, body).expect("an answer")
}

fn without(headers: &[(String, String)], name: &str) -> Vec<(String, String)> {
    headers.iter().filter(|(key, _)| !key.eq_ignore_ascii_case(name)).cloned().collect()
}

fn with(headers: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut headers = without(headers, name);
    headers.push((name.into(), value.into()));
    headers
}

/// A status of a refusal, and a JSON-RPC error with this code when one is asked for.
fn expect_refusal(answer: &Answer, status: &[u16], code: Option<i64>, of: &str) {
    assert!(status.contains(&answer.status), "{of}: {answer:?}");
    if let Some(code) = code {
        assert_eq!(answer.message()["error"]["code"], code, "{of}: {answer:?}");
    }
    assert!(!answer.body.contains("panicked"), "{of}: {answer:?}");
}

#[test]
fn good_clients_of_both_revisions_are_served() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let hello = mcp::post(server.port(), Revision::V2025_11_25, &mcp::initialize(1, "2025-11-25"));
    assert_eq!(hello.message()["result"]["protocolVersion"], "2025-11-25", "{hello:?}");
    assert_eq!(mcp::post(server.port(), Revision::V2025_11_25, &mcp::initialized()).status, 202);
    for revision in Revision::ALL {
        let listed = mcp::post(server.port(), revision, &mcp::request(revision, 2, "tools/list", json!({})));
        assert!(listed.message()["result"]["tools"].as_array().is_some_and(|tools| tools.len() >= 8), "{listed:?}");
        let call = mcp::tool_call(revision, 3, "list_sessions", json!({}));
        let answer = mcp::post(server.port(), revision, &call);
        assert_ne!(answer.message()["result"]["isError"], true, "{answer:?}");
        assert!(answer.message()["result"]["structuredContent"].is_object(), "{answer:?}");
    }
}

#[test]
fn malformed_bodies_are_json_rpc_errors() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    for revision in Revision::ALL {
        let message = mcp::request(revision, 1, "tools/list", json!({}));
        let headers = owned(revision, &message);
        let deep = "[".repeat(200_000);
        let bodies: [(&str, &[u8], i64); 9] = [
            ("nothing", b"", -32700),
            ("half a message", b"{\"jsonrpc\":\"2.0\",\"id\":1,", -32700),
            ("no UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\xfe\"}", -32700),
            ("zeros", &[0; 512], -32700),
            ("a batch", b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", -32600),
            ("a number", b"17", -32600),
            ("no version", b"{\"id\":1,\"method\":\"tools/list\"}", -32600),
            ("an object as id", b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/list\"}", -32600),
            ("a deep nest without its end", deep.as_bytes(), -32700),
        ];
        for (what, body, code) in bodies {
            expect_refusal(&send(&server, &headers, body), &[400], Some(code), what);
            server.expect_healthy(what);
        }
        let nested = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{}1{}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        let answer = send(&server, &headers, nested.as_bytes());
        assert!((200..500).contains(&answer.status), "{answer:?}");
        server.expect_healthy("nested parameters");
    }
}

#[test]
fn oversized_bodies_are_refused_without_being_read_whole() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    for revision in Revision::ALL {
        let message = mcp::tool_call(
            revision,
            1,
            "track_events",
            json!({ "session_id": "s", "events": [], "x": "a".repeat(9 << 20) }),
        );
        let answer = mcp::post(server.port(), revision, &message);
        expect_refusal(&answer, &[413], None, "a body over the limit");
        server.expect_healthy("a body over the limit");
    }
    let claim = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n{{",
        server.port()
    );
    let answer = http::exchange(server.port(), claim.as_bytes()).expect("an answer before the body");
    expect_refusal(&answer, &[413], None, "a body that claims to be huge");
    let headers = format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {}\r\n\r\n", "a".repeat(2 << 20));
    if let Some(answer) = http::exchange(server.port(), headers.as_bytes()) {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    let _ = http::exchange(server.port(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n");
    server.expect_healthy("bytes that are no HTTP");
    let many: Vec<_> = (0..10_001).map(|number| json!({ "event_id": format!("e-{number}"), "event_type": "command", "timestamp": "2026-11-20T12:00:00Z", "data": {} })).collect();
    let result = server.tool("track_events", json!({ "session_id": "s", "events": many }));
    assert_eq!(
        result["isError"],
        true,
        "a batch over the limit: {}",
        result.to_string().chars().take(300).collect::<String>()
    );
    server.expect_healthy("a batch over the limit");
}

#[test]
fn wrong_versions_and_headers_are_refused() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    let old = mcp::request(Revision::V2025_11_25, 1, "tools/list", json!({}));
    let headers = owned(Revision::V2025_11_25, &old);
    let body = old.to_string();
    expect_refusal(
        &send(&server, &with(&headers, "MCP-Protocol-Version", "1999-01-01"), body.as_bytes()),
        &[400],
        None,
        "an unknown version",
    );
    expect_refusal(
        &send(&server, &with(&headers, "Content-Type", "text/plain"), body.as_bytes()),
        &[415],
        None,
        "a wrong content type",
    );
    expect_refusal(
        &send(&server, &with(&headers, "Accept", "text/html"), body.as_bytes()),
        &[406],
        None,
        "nothing acceptable",
    );
    let new = mcp::tool_call(Revision::V2026_07_28, 1, "list_sessions", json!({}));
    let headers = owned(Revision::V2026_07_28, &new);
    let body = new.to_string();
    assert_eq!(send(&server, &headers, body.as_bytes()).status, 200);
    let wrong: [(&str, Vec<(String, String)>); 3] = [
        ("no method header", without(&headers, "Mcp-Method")),
        ("another method in the header", with(&headers, "Mcp-Method", "tools/list")),
        ("another tool in the header", with(&headers, "Mcp-Name", "get_session")),
    ];
    for (what, headers) in wrong {
        let answer = send(&server, &headers, body.as_bytes());
        expect_refusal(&answer, &[400], None, what);
        assert!(answer.message()["error"]["code"].is_i64(), "{what}: {answer:?}");
        server.expect_healthy(what);
    }
    let mut future = new.clone();
    future["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let answer = send(&server, &with(&headers, "MCP-Protocol-Version", "2099-01-01"), future.to_string().as_bytes());
    expect_refusal(&answer, &[400], None, "a version of the future");
    let mut bare = new;
    bare["params"].as_object_mut().unwrap().remove("_meta");
    let answer = send(&server, &headers, bare.to_string().as_bytes());
    expect_refusal(&answer, &[400], None, "a stateless request without _meta");
    server.expect_healthy("wrong versions");
}

#[test]
fn wrong_arguments_are_named_and_unknown_names_are_told() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    let mut start = session_start("start", 0);
    start["session_id"] = json!("s");
    assert_ne!(server.tool("track_session_start", start)["isError"], true);
    let mut badly_named = session_start("badly", 0);
    badly_named["component_name"] = json!("no spaces allowed");
    let cases = [
        ("track_events", json!({}), "session_id"),
        (
            "track_events",
            json!({ "session_id": "s", "events": [{ "event_id": "e", "event_type": "command" }] }),
            "timestamp",
        ),
        (
            "track_events",
            json!({ "session_id": "s", "events": [{ "event_id": "e", "event_type": "COMMAND!", "timestamp": "2026-11-20T12:00:00Z" }] }),
            "event_type",
        ),
        ("track_events", json!({ "session_id": "../../etc/passwd", "events": [] }), "session_id"),
        ("track_session_start", badly_named, "component_name"),
        ("track_session_start", json!({ "event_version": "1.0" }), "event_id"),
        ("list_sessions", json!({ "limit": -5 }), "limit"),
        ("list_sessions", json!({ "limit": "many" }), "limit"),
        ("get_session", json!({ "session_id": 17 }), "session_id"),
    ];
    for revision in Revision::ALL {
        for (tool, arguments, field) in &cases {
            let answer =
                mcp::post(server.port(), revision, &mcp::tool_call(revision, 1, tool, arguments.clone())).message();
            let rejected = !answer["result"]["structuredContent"]["rejected"].as_array().is_none_or(Vec::is_empty);
            let told = rejected
                || answer["error"].is_object()
                || answer["result"]["isError"] == true
                || answer["result"]["structuredContent"]["status"] == "error";
            assert!(told, "{tool} took {arguments}: {answer}");
            assert!(answer.to_string().contains(field), "{tool} does not name {field}: {answer}");
            server.expect_healthy(tool);
        }
        let answer =
            mcp::post(server.port(), revision, &mcp::tool_call(revision, 1, "drop_table", json!({}))).message();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let answer =
            mcp::post(server.port(), revision, &mcp::request(revision, 1, "no/such/method", json!({}))).message();
        assert_eq!(answer["error"]["code"], -32601, "{answer}");
    }
}

#[test]
fn other_hosts_and_origins_are_refused_on_every_page() {
    let home = TestHome::patient();
    let mut server = Server::start(&home);
    let message = mcp::tool_call(Revision::V2026_07_28, 1, "list_sessions", json!({}));
    let headers = owned(Revision::V2026_07_28, &message);
    for (name, value) in [("Host", "evil.example"), ("Host", "evil.example:8678"), ("Origin", "http://evil.example")] {
        let answer = send(&server, &with(&headers, name, value), message.to_string().as_bytes());
        assert!([403, 421].contains(&answer.status), "{name}: {value}: {answer:?}");
        let answer = http::post(server.port(), "/metrics", &[(name, value)], b"").unwrap();
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    let local = send(
        &server,
        &with(&headers, "Origin", &format!("http://127.0.0.1:{}", server.port())),
        message.to_string().as_bytes(),
    );
    assert_eq!(local.status, 200, "{local:?}");
    server.expect_healthy("foreign hosts");
}

#[test]
fn with_auth_on_only_a_good_token_opens_and_health_stays_open() {
    let home = TestHome::patient().with_var("SESSION_BUDDY_SECRET", "q0ZK7rWv2YxN5tBd8LmPc3JfHs6GaEu1");
    let mut server = Server::start(&home);
    let message = mcp::tool_call(Revision::V2026_07_28, 1, "list_sessions", json!({}));
    let headers = owned(Revision::V2026_07_28, &message);
    // {"alg":"none"} with generous claims, and plain nonsense.
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJpc3MiOiJtYWhhdmlzaG51IiwiYXVkIjoic2Vzc2lvbi1idWRkeSIsImV4cCI6OTk5OTk5OTk5OX0.";
    for token in [None, Some("invalid"), Some(none), Some("")] {
        let headers = match token {
            Some(token) => with(&headers, "Authorization", &format!("Bearer {token}")),
            None => headers.clone(),
        };
        let answer = send(&server, &headers, message.to_string().as_bytes());
        assert_eq!(answer.status, 401, "{token:?}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    }
    server.expect_healthy("refused tokens");
    // The shell has the same secret and makes its own token.
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    server.expect_all_delivered(&home);
    assert_eq!(home.sessions(&[]).len(), 1);
}
