//! REST: every route answers as its description says, lists page by cursors, and every error is a problem.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::{Server, TestHome};

use crate::sample::at;

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    http::post(server.port(), &format!("/api/v1{path}"), &headers, body.to_string().as_bytes()).unwrap()
}

fn get(server: &Server, path: &str) -> Answer {
    server.get(&format!("/api/v1{path}"))
}

/// A session `rest` with `count` events, and one more.
fn filled(server: &Server, count: usize) -> String {
    let made = post(server, "/sessions", &json!({ "component_name": "curl", "project": "shop" }));
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["session_id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(format!("/api/v1/sessions/{id}").as_str()));
    let events: Vec<Value> = (0..count)
        .map(|n| {
            json!({ "event_id": format!("r-{n:04}"), "event_type": "command", "timestamp": at(n as u64 % 3), "data": { "command": format!("make {n}") } })
        })
        .collect();
    let receipt = post(server, &format!("/sessions/{id}/events"), &json!({ "events": events }));
    assert_eq!((receipt.status, receipt.json()["accepted"].as_u64()), (200, Some(count as u64)), "{receipt:?}");
    id
}

fn resolve<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("what is referred to"),
        None => schema,
    }
}

/// Where `value` is not as `schema` says; the part of JSON Schema that the document uses.
fn mismatch(value: &Value, schema: &Value, document: &Value, path: &str) -> Option<String> {
    let schema = resolve(schema, document);
    let one_is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.as_i64().is_some() || value.as_u64().is_some(),
        "number" => value.as_f64().is_some(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{path}: type {other}"),
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::String(kind) => one_is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(one_is),
        other => panic!("{path}: type {other}"),
    };
    if !fits {
        return Some(format!("{path}: {value} is no {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Some(format!("{path}: {value} is none of {allowed:?}"));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = schema[key].as_array()
            && options.iter().all(|option| mismatch(value, option, document, path).is_some())
        {
            return Some(format!("{path}: {value} fits no option"));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            return Some(format!("{path}: '{name}' is missing in {value}"));
        }
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            if let Some(schema) = properties.get(name)
                && let Some(wrong) = mismatch(member, schema, document, &format!("{path}.{name}"))
            {
                return Some(wrong);
            }
        }
    }
    let items = value.as_array().filter(|_| schema["items"].is_object());
    items.into_iter().flatten().find_map(|item| mismatch(item, &schema["items"], document, &format!("{path}[]")))
}

#[test]
fn every_route_of_the_description_answers_as_it_says() {
    let home = TestHome::new().with_var("SESSION_BUDDY_RETENTION__DAYS", "3000");
    let server = Server::start(&home);
    let document = get(&server, "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let id = filled(&server, 3);
    let other = filled(&server, 0);
    let bodies = [
        ("create_session", json!({ "component_name": "curl" })),
        ("end_session", json!({})),
        ("add_events", json!({ "events": [{ "event_id": "m", "event_type": "message", "timestamp": at(9) }] })),
        ("add_message", json!({ "text": "hello" })),
        ("add_checkpoint", json!({ "note": "half way", "todos": ["tests"] })),
        ("add_test_result", json!({ "test_file": "a_test.py", "result": "passed" })),
        ("link_sessions", json!({ "from": other, "to": id })),
        ("archive_sessions", json!({ "dry_run": true })),
        ("restore_sessions", json!({ "all": true, "dry_run": true })),
        ("create_backup", json!({})),
        ("retention_apply", json!({})),
    ];
    let mut seen = BTreeSet::new();
    let operations = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    // Ending comes last: it changes what may be added.
    let mut operations: Vec<(String, String, Value)> = operations.collect();
    operations.sort_by_key(|(path, _, _)| path.ends_with("/end"));
    for (path, method, operation) in operations {
        let name = operation["operationId"].as_str().unwrap().to_owned();
        assert!(seen.insert(name.clone()), "{name} is named twice");
        let mut target = path.replace("{session_id}", &id);
        let answer = if method == "get" {
            if name == "search" {
                target.push_str("?query=make&project=shop&limit=2");
            }
            get(&server, &target)
        } else if name == "import" {
            let lines = get(&server, "/export").body;
            http::post(server.port(), "/api/v1/import", &[("Content-Type", "application/x-ndjson")], lines.as_bytes())
                .unwrap()
        } else {
            let body = bodies.iter().find(|(known, _)| *known == name).map(|(_, body)| body);
            post(&server, &target, body.unwrap_or_else(|| panic!("a body for {name}")))
        };
        if name == "export" {
            assert!(operation["responses"]["200"]["content"]["application/x-ndjson"].is_object(), "{operation}");
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
            continue;
        }
        let content = &operation["responses"][answer.status.to_string()]["content"]["application/json"]["schema"];
        assert!(content.is_object(), "{name} answered {answer:?}");
        assert_eq!(mismatch(&answer.json(), content, &document, "answer"), None, "{name}: {}", answer.body);
        let unknown = get(&server, &format!("{target}{}nonsense=1", if target.contains('?') { '&' } else { '?' }));
        if method == "get" && !["version", "openapi"].contains(&name.as_str()) {
            assert_eq!((unknown.status, unknown.json()["field"].as_str()), (400, Some("nonsense")), "{name}");
        }
    }
    for wanted in [
        "list_sessions",
        "get_session",
        "create_session",
        "end_session",
        "list_session_events",
        "add_events",
        "list_events",
        "search",
        "health",
        "version",
        "openapi",
        "add_message",
        "add_checkpoint",
        "add_test_result",
        "resume",
        "list_links",
        "link_sessions",
        "export",
        "import",
        "archive_sessions",
        "restore_sessions",
        "retention_preview",
        "retention_apply",
        "list_backups",
        "create_backup",
    ] {
        assert!(seen.contains(wanted), "{wanted} is missing: {seen:?}");
    }
    server.stop();
}

#[test]
fn lists_go_on_by_cursor_while_sessions_and_events_are_added() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let id = filled(&server, 25);
    let ids: BTreeSet<String> = (0..12).map(|_| filled_empty(&server)).chain([id.clone()]).collect();
    for (path, list, key, wanted) in [
        // First, because the others add sessions.
        ("/sessions?limit=5".into(), "sessions", "session_id", ids.len()),
        (format!("/sessions/{id}/events?limit=4&event_type=command"), "events", "event_id", 25),
        ("/events?limit=7&event_type=command".into(), "events", "event_id", 25),
    ] {
        let mut seen: Vec<String> = Vec::new();
        let mut next = Some(format!("/api/v1{path}"));
        while let Some(path) = next {
            let answer = server.get(&path);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let body = answer.json();
            seen.extend(body[list].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()));
            next = body["next"].as_str().map(str::to_owned);
            let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
            assert_eq!(answer.header("link").map(str::to_owned), link);
            assert_eq!(body["next_cursor"].is_string(), next.is_some());
            let _ = filled_empty(&server);
        }
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), once.len()), (wanted, wanted), "{path}: {seen:?}");
    }
    // The same by MCP; a cursor belongs to its question.
    let first = server.tool("list_events", json!({ "session_id": id, "limit": 10 }))["structuredContent"].clone();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.tool("list_events", json!({ "session_id": id, "limit": 100, "cursor": cursor }));
    assert_eq!(second["structuredContent"]["events"].as_array().unwrap().len(), 16, "{second}");
    for wrong in [
        json!({ "limit": 9, "cursor": cursor }),
        json!({ "session_id": id, "cursor": "x" }),
        json!({ "session_id": id, "offset": 1, "cursor": cursor }),
    ] {
        let refused = server.tool("list_events", wrong);
        assert_eq!(
            (refused["isError"].as_bool(), refused["structuredContent"]["field"].as_str()),
            (Some(true), Some("cursor"))
        );
    }
    server.stop();
}

fn filled_empty(server: &Server) -> String {
    let made = post(server, "/sessions", &json!({ "component_name": "curl" }));
    made.json()["session_id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

#[test]
fn the_same_idempotency_key_is_the_same_session() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let make = |key: &str| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let body = json!({ "component_name": "curl" }).to_string();
        http::post(server.port(), "/api/v1/sessions", &headers, body.as_bytes()).unwrap().json()["session_id"].clone()
    };
    for key in ["one", "\"quoted\"", "order 17"] {
        assert!(make(key).is_string(), "{key}");
        assert_eq!(make(key), make(key), "{key}");
    }
    assert_ne!(make("one"), make("order 17"));
    let long = "x".repeat(201);
    for key in ["", long.as_str(), "cl\u{e9}"] {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let refused =
            http::post(server.port(), "/api/v1/sessions", &headers, b"{\"component_name\":\"curl\"}").unwrap();
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("Idempotency-Key")), "{refused:?}");
    }
    for (path, body) in [
        ("/api/v1/sessions", json!({ "component_name": "other" })),
        ("/api/v1/sessions/x/end", json!({ "component_name": "curl" })),
    ] {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "one")];
        let refused = http::post(server.port(), path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("idempotency_key_reused")), "{refused:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(get(&server, "/sessions").json()["sessions"].as_array().unwrap().len(), 3);
    server.stop();
}

#[test]
fn a_search_goes_on_with_the_times_of_its_question() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let id = filled_empty(&server);
    for number in 0..5 {
        let message = json!({ "text": format!("walrus {number}") });
        assert_eq!(post(&server, &format!("/sessions/{id}/messages"), &message).status, 200);
    }
    let since = "2026-01-01T00:00:00Z";
    let first = get(&server, &format!("/search?query=walrus&limit=2&search_type=text&since={since}")).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let page = |more: &str| get(&server, &format!("/search?query=walrus&search_type=text&cursor={cursor}{more}"));
    for more in ["", "&since=2026-01-01T00:00:00Z", "&since=2026-01-01T01:00:00%2B01:00"] {
        assert_eq!(page(more).json()["hits"].as_array().map(Vec::len), Some(3), "{more}");
    }
    for more in ["&since=9998-01-01T00:00:00Z", "&until=9999-12-31T23:59:59Z"] {
        assert_eq!((page(more).status, &page(more).json()["field"]), (400, &json!("cursor")), "{more}");
    }
    let unencoded = get(&server, "/search?query=walrus&since=2026-01-01T00:00:00+01:00");
    assert_eq!((unencoded.status, &unencoded.json()["field"]), (400, &json!("since")));
    assert!(unencoded.json()["detail"].as_str().is_some_and(|detail| detail.ends_with("%2B")), "{unencoded:?}");
    server.stop();
}

#[test]
fn fields_that_a_route_does_not_know_are_refused_by_name() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let id = filled(&server, 1);
    for (path, body) in [
        ("/sessions".to_owned(), json!({ "component_name": "curl", "componant": "x" })),
        (format!("/sessions/{id}/end"), json!({ "metadata": {}, "componant": 1 })),
        (format!("/sessions/{id}/messages"), json!({ "componant": null })),
        ("/links".to_owned(), json!({ "componant": [] })),
        ("/archive".to_owned(), json!({ "componant": {} })),
    ] {
        let refused = post(&server, &path, &body);
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("componant")), "{path}: {refused:?}");
        assert!(refused.json()["fields"].as_array().is_some_and(|fields| !fields.is_empty()), "{path}: {refused:?}");
    }
    let repository = json!({ "component_name": "curl", "repository": { "id": "r", "name": "shop" } });
    assert_ne!(post(&server, "/sessions", &repository).json()["detail"], "repository: there is no such field");
    let ended = post(&server, &format!("/sessions/{id}/end"), &json!({ "metadata": { "reason": "done" } }));
    assert_eq!(ended.status, 200, "{ended:?}");
    server.stop();
}

#[test]
fn every_error_is_a_problem() {
    let home = TestHome::new();
    let mut server = Server::start(&home);
    let id = filled(&server, 1);
    let raw = |method: &str, path: &str, headers: &str, body: &str| {
        let port = server.port();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        http::exchange(port, request.as_bytes()).unwrap_or_else(|| panic!("{method} {path} was not answered"))
    };
    let json = "Content-Type: application/json\r\n";
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
    let deep = "[".repeat(100_000);
    for (method, path, headers, body, status, code) in [
        ("GET", "/api", "", "", 404, "not_found"),
        ("GET", "/api/v1", "", "", 404, "not_found"),
        ("GET", "/api/v1/nothing/at/all", "", "", 404, "not_found"),
        ("GET", "/api/v1/sessions/no-such-session", "", "", 404, "not_found"),
        ("GET", "/api/v1/sessions/%00%ff", "", "", 400, "invalid_request"),
        ("DELETE", "/api/v1/sessions", "", "", 405, "method_not_allowed"),
        ("PUT", "/api/v1/version", "", "", 405, "method_not_allowed"),
        ("POST", "/api/v1/sessions", "Content-Type: text/plain\r\n", "{}", 415, "unsupported_media_type"),
        ("POST", "/api/v1/sessions", "", "{}", 415, "unsupported_media_type"),
        ("POST", "/api/v1/sessions", json, "{", 400, "invalid_body"),
        ("POST", "/api/v1/sessions", json, "[]", 400, "invalid_body"),
        ("POST", "/api/v1/sessions", json, deep.as_str(), 400, "invalid_body"),
        ("POST", "/api/v1/sessions", json, "{}", 400, "invalid_arguments"),
        ("POST", "/api/v1/sessions", json, r#"{"component_name":"a b"}"#, 400, "invalid_arguments"),
        ("POST", "/api/v1/sessions", json, r#"{"component_name":"a","token":"t"}"#, 400, "invalid_arguments"),
        ("POST", "/api/v1/sessions?component_name=a", json, "{}", 400, "invalid_arguments"),
        ("POST", "/api/v1/sessions", json, large.as_str(), 413, "too_large"),
        ("POST", "/api/v1/sessions/x/events", json, r#"{"session_id":"y","events":[]}"#, 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?limit=0", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?limit=-1", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?limit=5&limit=6", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?status=asleep", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?since=yesterday", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?cursor=zzz", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions?token=t", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/search", "", "", 400, "invalid_arguments"),
        ("GET", "/api/v1/sessions", "Origin: https://evil.example\r\n", "", 403, "forbidden"),
    ] {
        let answer = raw(method, path, headers, body);
        let case = format!("{method} {path} {:.40}: {answer:?}", body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{case}");
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{case}");
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)), "{case}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member}: {case}");
        }
        assert_eq!(answer.header("allow").is_some(), status == 405, "{case}");
    }
    assert_eq!(get(&server, &format!("/sessions/{}", &id[..id.len() - 1])).status, 200, "a beginning of an id will do");
    assert_eq!(raw("HEAD", "/api/v1/sessions", "", "").status, 200);
    server.expect_healthy("wrong requests");
    server.stop();
}
