//! The tools as MCP clients meet them: over the real routes, with a real store in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use oneiric::clock::{ManualClock, Timestamp};
use oneiric::settings::{Settings, Surroundings};
use oneiric_server::http::{Auth, Gate, Site, router};
use oneiric_server::mcp::{Endpoint, Profile, ToolSet};
use serde_json::{Value, json};
use session_buddy::desk::{Desk, Open};
use session_buddy::mcp::Tools;
use session_buddy::server::facts::{Facts, authentication};
use session_buddy::server::figures::Figures;
use session_store::Store;
use session_store::sqlite::{Options, SqliteStore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const STARTED: &str = "2026-02-06T10:00:00Z";

struct Server {
    site: Site,
    desk: Arc<Desk>,
}

impl Server {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse(STARTED).unwrap()));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory(Options::new(clock.clone())).unwrap());
        let nowhere =
            Surroundings { cwd: "/nonexistent".into(), user_home: "/nonexistent".into(), ..Surroundings::default() };
        let settings = Settings::load(&session_buddy::settings::CATALOG, &nowhere).unwrap();
        let facts = Facts::new(&settings, "standard", authentication(Ok(None)), Vec::new());
        facts.serving("http://127.0.0.1:8678");
        let desk = Arc::new(Desk::new(Arc::new(Open(store)), clock, facts));
        let figures = Arc::new(Figures::new(Arc::clone(&desk)));
        let endpoint =
            Endpoint::new(Tools::handler(Arc::clone(&desk), Profile::default()), Auth::off(), CancellationToken::new());
        let site = Site {
            endpoint: Some(endpoint),
            api: None,
            auth: Auth::off(),
            gate: Gate::new("127.0.0.1", false, &[]),
            health: Arc::clone(&figures) as Arc<dyn oneiric_server::health::HealthSource>,
            metrics: figures,
            limit: Duration::from_secs(10),
        };
        Self { site, desk }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = router(self.site.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send(Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()).await
    }

    /// Calls a tool by revision 2026-07-28. Gives its structured content and whether it is an error.
    async fn call(&self, tool: &str, arguments: Value) -> (Value, bool) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            } } });
        let request = Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(Body::from(message.to_string()))
            .unwrap();
        self.answer(request).await
    }

    /// Calls a tool by revision 2025-11-25.
    async fn call_formerly(&self, tool: &str, arguments: Value) -> (Value, bool) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } });
        let request = Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .body(Body::from(message.to_string()))
            .unwrap();
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> (Value, bool) {
        let (status, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let result = &answer["result"];
        assert!(result.is_object(), "{answer}");
        (result["structuredContent"].clone(), result["isError"].as_bool().unwrap())
    }
}

fn start(event_id: &str) -> Value {
    json!({
        "event_version": "1.0", "event_id": event_id, "session_id": event_id, "event_type": "session_start",
        "component_name": "mahavishnu",
        "shell_type": "MahavishnuShell", "timestamp": STARTED, "pid": 4711,
        "user": { "username": "ada", "home": "/home/ada" }, "hostname": "box",
        "environment": { "python_version": "3.13.1", "platform": "linux-x86_64", "cwd": "/home/ada/web" },
        "metadata": { "git_branch": "main", "env": { "SHELL": "/bin/sh" } },
    })
}

fn command(id: &str, second: u32, command: &str) -> Value {
    json!({ "event_id": id, "event_type": "command", "timestamp": format!("2026-02-06T10:00:{second:02}Z"),
            "data": { "command": command, "kind": "expression", "exit_code": 0, "outcome": "completed" } })
}

#[tokio::test]
async fn a_session_is_started_filled_ended_and_found_by_either_revision() {
    let server = Server::new();
    let (started, failed) = server.call("track_session_start", start("e-1")).await;
    assert_eq!((started, failed), (json!({ "session_id": "e-1", "status": "tracked", "error": null }), false));
    let events = json!([command("e-2", 1, "ps()"), command("e-3", 2, "errors(5)")]);
    let (receipt, _) = server.call("track_events", json!({ "session_id": "e-1", "events": events })).await;
    assert_eq!(receipt, json!({ "accepted": 2, "duplicates": 0, "rejected": [] }));
    let end = json!({ "session_id": "e-1", "timestamp": "2026-02-06T10:02:15Z", "event_type": "session_end" });
    let (ended, _) = server.call_formerly("track_session_end", end.clone()).await;
    assert_eq!(ended["status"], "ended");

    let (listed, _) = server.call("list_sessions", json!({})).await;
    let session = &listed["sessions"][0];
    assert_eq!((&session["session_id"], &session["status"]), (&json!("e-1"), &json!("ended")), "{listed}");
    assert_eq!((&session["command_count"], &session["duration_seconds"]), (&json!(2), &json!(135.0)), "{listed}");
    let (session, _) = server.call_formerly("get_session", json!({ "session_id": "e-" })).await;
    assert_eq!(session["session_type"], "admin_shell");
    assert_eq!(session["metadata"]["git_branch"], "main", "{session}");
    let (events, _) = server.call("list_events", json!({ "session_id": "e-1" })).await;
    let kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["session_start", "command", "command", "session_end"]);

    let (again, _) = server.call("track_session_end", end).await;
    assert_eq!(again["status"], "ended");
    let (events, _) = server.call("list_events", json!({ "session_id": "e-1" })).await;
    assert_eq!(events["events"].as_array().unwrap().len(), 4, "a repeated end adds nothing");
}

#[tokio::test]
async fn a_page_of_long_events_ends_early_and_the_next_goes_on() {
    let server = Server::new();
    let _ = server.call("track_session_start", start("e-1")).await;
    let long = |number: u32| command(&format!("long-{number:02}"), number, &"word ".repeat(20_000));
    let events: Vec<Value> = (1..=30).map(long).collect();
    let _ = server.call("track_events", json!({ "session_id": "e-1", "events": events })).await;
    for question in [json!({ "session_id": "e-1", "limit": 1000 }), json!({ "limit": 1000 })] {
        let (mut seen, mut pages, mut asked) = (Vec::new(), 0, question.clone());
        loop {
            let (page, _) = server.call("list_events", asked.clone()).await;
            assert!(page.to_string().len() < 1_300_000);
            let rows = page["events"].as_array().unwrap();
            seen.extend(rows.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
            pages += 1;
            if page["next_cursor"].is_null() {
                break;
            }
            asked["cursor"] = page["next_cursor"].clone();
        }
        let once: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), once.len(), pages), (31, 31, 3), "{seen:?}");
    }
}

#[tokio::test]
async fn a_start_without_an_id_gets_a_sortable_one_and_the_same_one_when_it_is_sent_again() {
    let server = Server::new();
    let mut nameless = start("e-1");
    nameless["session_id"].take();
    let (first, failed) = server.call("track_session_start", nameless.clone()).await;
    assert!(!failed, "{first}");
    let (second, _) = server.call("track_session_start", nameless.clone()).await;
    assert_eq!(first, second);
    nameless["event_id"] = json!("a-2");
    nameless["timestamp"] = json!("2026-02-06T10:00:01Z");
    let (later, _) = server.call("track_session_start", nameless).await;
    assert!(first["session_id"].as_str() < later["session_id"].as_str(), "{first} {later}");
    let (listed, _) = server.call("list_sessions", json!({})).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_sent_twice_is_stored_once_and_a_callers_own_id_is_kept() {
    let server = Server::new();
    let mut own = start("e-1");
    own["session_id"] = json!("my-session");
    own["session_type"] = json!("mcp_client");
    own["project"] = json!("web");
    for _ in 0..2 {
        let (started, failed) = server.call("track_session_start", own.clone()).await;
        assert_eq!((&started["session_id"], failed), (&json!("my-session"), false), "{started}");
    }
    let batch = json!({ "session_id": "my-session", "events": [command("e-2", 1, "ps()")] });
    server.call("track_events", batch.clone()).await;
    let (receipt, _) = server.call_formerly("track_events", batch).await;
    assert_eq!((&receipt["accepted"], &receipt["duplicates"]), (&json!(0), &json!(1)));
    let (listed, _) = server.call("list_sessions", json!({ "session_type": "mcp_client", "project": "web" })).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(listed["sessions"][0]["event_count"], 2);
}

#[tokio::test]
async fn one_bad_event_does_not_cost_the_others() {
    let server = Server::new();
    server.call("track_session_start", start("e-1")).await;
    let events = json!([
        command("e-2", 1, "ps()"),
        { "event_id": "e-3", "event_type": "command", "timestamp": "yesterday" },
        { "event_id": "e-4", "event_type": "Not Lower", "timestamp": STARTED },
        17,
    ]);
    let batch = json!({ "session_id": "e-1", "events": events });
    for (round, accepted) in [(0, 1), (1, 0)] {
        let (receipt, failed) = match round {
            0 => server.call("track_events", batch.clone()).await,
            _ => server.call_formerly("track_events", batch.clone()).await,
        };
        assert!(!failed);
        assert_eq!(receipt["accepted"], accepted, "{receipt}");
        let rejected = receipt["rejected"].as_array().unwrap();
        assert_eq!(rejected.len(), 3, "{receipt}");
        assert_eq!(rejected[0]["event_id"], "e-3");
        assert!(rejected[0]["reason"].as_str().unwrap().contains("timestamp"), "{receipt}");
    }
}

#[tokio::test]
async fn arguments_that_break_the_rules_are_named() {
    let server = Server::new();
    for (field, value) in [
        ("event_version", json!("2.0")),
        ("event_type", json!("session_end")),
        ("component_name", json!("not allowed!")),
        ("component_name", json!("")),
        ("timestamp", json!("2026-02-06 10:00")),
        ("pid", json!("4711")),
        ("event_id", json!("../../etc")),
        ("session_type", json!("Admin Shell")),
    ] {
        let mut input = start("e-1");
        input[field] = value;
        let (answer, failed) = server.call("track_session_start", input).await;
        assert!(failed && answer["code"] == "invalid_arguments" && answer["field"] == field, "{field}: {answer}");
    }
    let mut input = start("e-1");
    input.as_object_mut().unwrap().remove("hostname");
    let (answer, _) = server.call("track_session_start", input).await;
    assert!(answer["message"].as_str().unwrap().contains("hostname"), "{answer}");
    for (tool, input, field) in [
        ("list_sessions", json!({ "limit": 0 }), "limit"),
        ("list_sessions", json!({ "limit": 10_001 }), "limit"),
        ("list_sessions", json!({ "limit": "many" }), "limit"),
        ("list_sessions", json!({ "sort": "up" }), "sort"),
        ("search", json!({ "query": "x", "limit": 5_000 }), "limit"),
    ] {
        let (answer, failed) = server.call(tool, input).await;
        assert!(failed && answer["message"].as_str().unwrap().contains(field), "{tool} {field}: {answer}");
    }
}

#[tokio::test]
async fn an_end_with_a_word_that_says_nothing_is_refused() {
    let server = Server::new();
    let end = |id: &str, metadata: Value| {
        let at = "2026-02-06T10:02:15Z";
        json!({ "session_id": id, "timestamp": at, "event_type": "session_end", "metadata": metadata })
    };
    server.call("track_session_start", start("one")).await;
    for bad in [json!("failure"), json!("weird"), json!(""), json!("stale"), json!(7), json!(["failed"])] {
        let (answer, failed) = server.call("track_session_end", end("one", json!({ "status": bad }))).await;
        assert!(failed, "{bad}: {answer}");
        assert_eq!((&answer["code"], &answer["field"]), (&json!("invalid_arguments"), &json!("metadata.status")));
        assert_eq!((&answer["status"], &answer["session_id"]), (&json!("error"), &json!("one")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("completed, failed or cancelled"), "{answer}");
    }
    let (session, _) = server.call("get_session", json!({ "session_id": "one" })).await;
    assert_eq!((&session["status"], &session["event_count"]), (&json!("active"), &json!(1)), "{session}");
    let words = [("completed", "ended"), ("failed", "failed"), ("cancelled", "ended"), ("ended", "ended")];
    let said = words.map(|(word, stored)| (json!({ "status": word }), stored));
    let silent = [(json!({ "status": null }), "ended"), (json!({ "other": 1 }), "ended"), (Value::Null, "ended")];
    for (number, (metadata, stored)) in said.into_iter().chain(silent).enumerate() {
        let id = format!("s-{number}");
        server.call("track_session_start", start(&id)).await;
        let (answer, failed) = server.call("track_session_end", end(&id, metadata)).await;
        assert!(!failed, "{answer}");
        let (session, _) = server.call("get_session", json!({ "session_id": id })).await;
        assert_eq!(session["status"], stored, "{session}");
    }
}

#[tokio::test]
async fn an_unknown_session_is_an_error_with_a_code_everywhere() {
    let server = Server::new();
    server.call("track_session_start", start("abc123")).await;
    for (tool, arguments) in [
        ("get_session", json!({ "session_id": "abx" })),
        ("list_events", json!({ "session_id": "abx" })),
        ("track_events", json!({ "session_id": "abx", "events": [command("e-9", 1, "x")] })),
        ("track_session_end", json!({ "session_id": "abx", "timestamp": STARTED, "event_type": "session_end" })),
    ] {
        let (answer, failed) = server.call(tool, arguments).await;
        assert!(failed, "{tool}: {answer}");
        assert_eq!(answer["code"], "not_found", "{tool}: {answer}");
        assert!(answer["message"].as_str().unwrap().starts_with("Invalid session ID"), "{tool}: {answer}");
        assert!(answer.to_string().contains("abc123"), "the nearest ids help: {tool}: {answer}");
        if tool == "track_session_end" {
            assert_eq!(answer["status"], "not_found");
        }
    }
}

#[tokio::test]
async fn lists_mean_mahavishnu_unless_told_otherwise() {
    let server = Server::new();
    server.call("track_session_start", start("one")).await;
    let mut other = start("two");
    other["component_name"] = json!("akosha");
    server.call("track_session_start", other).await;
    for (arguments, expected) in [
        (json!({}), 1),
        (json!({ "component": "akosha" }), 1),
        (json!({ "component": "*" }), 2),
        (json!({ "component": null }), 2),
        (json!({ "component": null, "limit": 1 }), 1),
        (json!({ "component": null, "offset": 1 }), 1),
        (json!({ "component": null, "status": "ended" }), 0),
    ] {
        let (listed, _) = server.call("list_sessions", arguments.clone()).await;
        assert_eq!(listed["sessions"].as_array().unwrap().len(), expected, "{arguments}: {listed}");
    }
}

#[tokio::test]
async fn search_says_which_mode_was_realised_and_keeps_to_its_size() {
    let server = Server::new();
    server.call("track_session_start", start("one")).await;
    let events: Vec<Value> = (0..20).map(|n| command(&format!("c-{n}"), n, &format!("deploy workflow {n}"))).collect();
    server.call("track_events", json!({ "session_id": "one", "events": events })).await;
    let (found, _) = server.call("search", json!({ "query": "workflow deploy" })).await;
    assert_eq!(found["mode"], "text");
    assert_eq!(found["hits"].as_array().unwrap().len(), 10, "{found}");
    assert!(found["hits"][0]["excerpt"].as_str().unwrap().contains("deploy workflow"));
    let (found, _) =
        server.call("search", json!({ "query": "workflow", "search_type": "semantic", "max_tokens": 200 })).await;
    assert_eq!(found["mode"], "text");
    assert!(found["note"].as_str().unwrap().contains("text search answered"), "{found}");
    assert!(found["hits"].to_string().len() <= 200 * 4 + 2, "{found}");
    let (found, _) = server.call("search", json!({ "query": "workflow", "filters": { "component": "akosha" } })).await;
    assert_eq!(found["hits"], json!([]));
}

#[tokio::test]
async fn secrets_do_not_come_back() {
    let server = Server::new();
    server.call("track_session_start", start("one")).await;
    let secret = ["ghp_", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"].concat();
    let event = command("c-1", 1, &format!("export GITHUB_TOKEN={secret}"));
    server.call("track_events", json!({ "session_id": "one", "events": [event] })).await;
    let (events, _) = server.call("list_events", json!({ "session_id": "one" })).await;
    assert!(!events.to_string().contains(&secret), "{events}");
    assert!(events.to_string().contains("[redacted:"), "{events}");
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("session_buddy_redactions_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn health_names_every_part_with_a_fact() {
    let server = Server::new();
    let (status, body) = server.get("/health").await;
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &health["status"], &health["version"]),
        (StatusCode::OK, &json!("healthy"), &json!(session_buddy::VERSION))
    );
    let (report, failed) = server.call("health_check", json!({})).await;
    assert!(!failed);
    assert_eq!(report["parts"], health["parts"]);
    let names: Vec<&str> =
        report["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["Session-Buddy MCP server", "Database", "Session tracking"]);
    assert!(names.contains(&"Semantic search"), "{names:?}");
    for setting in ["crackerjack_enabled = false", "akosha_enabled = false"] {
        assert!(body.contains(setting), "{setting}: {body}");
    }
}

#[tokio::test]
async fn metrics_have_the_guides_names_and_count_what_is_stored() {
    let server = Server::new();
    let (_, before) = server.get("/metrics").await;
    assert!(before.contains("# HELP mahavishnu_sessions_total Total number of sessions\n# TYPE mahavishnu_sessions_total counter\nmahavishnu_sessions_total{component=\"mahavishnu\"} 0\n"), "{before}");
    server.call("track_session_start", start("one")).await;
    let end = json!({ "session_id": "one", "timestamp": "2026-02-06T10:02:15Z", "event_type": "session_end", "metadata": { "status": "failed" } });
    server.call("track_session_end", end).await;
    server.call("track_session_start", start("two")).await;
    let (_, after) = server.get("/metrics").await;
    for line in [
        "mahavishnu_sessions_total{component=\"mahavishnu\"} 2\n",
        "mahavishnu_sessions_active 1\n",
        "mahavishnu_sessions_failed_total 1\n",
        "mahavishnu_session_duration_seconds_bucket{component=\"mahavishnu\",le=\"60\"} 0\n",
        "mahavishnu_session_duration_seconds_bucket{component=\"mahavishnu\",le=\"300\"} 1\n",
        "mahavishnu_session_duration_seconds_sum{component=\"mahavishnu\"} 135\n",
        "session_buddy_events_total{type=\"session_start\"} 2\n",
        "session_buddy_ingest_duration_seconds_count 3\n",
    ] {
        assert!(after.contains(line), "{line} is not in\n{after}");
    }
}

#[tokio::test]
async fn the_tool_list_is_small_and_as_agreed() {
    let server = Server::new();
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .body(Body::from(message.to_string()))
        .unwrap();
    let (_, body) = server.send(request).await;
    let listed: Value = serde_json::from_str(&body).unwrap();
    // About 3.5 bytes of such JSON make a token: 3,000 tokens.
    let size = listed["result"]["tools"].to_string().len();
    assert!(size <= 10_500, "the tool list has {size} bytes");
    for tool in Tools::new(Arc::clone(&server.desk)).tools() {
        let schema = Value::Object(tool.input.as_ref().clone()).to_string();
        assert!(!schema.contains("$ref") && !schema.contains("$schema"), "{}: {schema}", tool.name);
    }
    // As text: how numbers are kept inside depends on features that other crates of the workspace turn on.
    insta::assert_snapshot!("tools_list", serde_json::to_string_pretty(&listed["result"]["tools"]).unwrap());
}
