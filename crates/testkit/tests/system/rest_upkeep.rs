//! REST for what is large or belongs to upkeep: export and import as lines, the archive, retention, backups.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::{Server, TestHome};

use crate::sample::at;

const SECRET: &str = "hR8vK2mZq5Xw9TtLc4Nd7Yb3Gf6Sj1Pe0Ua";

const LINES: [(&str, &str); 1] = [("Content-Type", "application/x-ndjson")];

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    http::post(server.port(), &format!("/api/v1{path}"), &headers, body.to_string().as_bytes()).unwrap()
}

fn import(server: &Server, lines: &str) -> Answer {
    http::post(server.port(), "/api/v1/import", &LINES, lines.as_bytes()).unwrap()
}

/// A server with `sessions` ended sessions of `events` commands each.
fn filled(home: &TestHome, sessions: usize, events: usize) -> Server {
    let server = Server::start(home);
    for number in 0..sessions {
        let id = format!("s{number}");
        let start = json!({ "component_name": "curl", "session_id": id, "project": format!("p{}", number % 2) });
        assert_eq!(post(&server, "/sessions", &start).status, 201);
        let events: Vec<Value> = (0..events)
            .map(|n| {
                json!({ "event_id": format!("{id}-{n}"), "event_type": "command", "timestamp": at(n as u64), "data": { "command": format!("make target-{n}") } })
            })
            .collect();
        let stored = post(&server, &format!("/sessions/{id}/events"), &json!({ "events": events }));
        assert_eq!(stored.status, 200, "{stored:?}");
        assert_eq!(post(&server, &format!("/sessions/{id}/end"), &json!({})).status, 200);
    }
    server
}

#[test]
fn what_is_exported_is_imported_elsewhere_with_the_same_bytes() {
    let home = TestHome::new();
    let server = filled(&home, 4, 2_000);
    let all = server.get("/api/v1/export");
    assert_eq!((all.status, all.header("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(all.body.lines().count(), 1 + 4 * (1 + 2_002), "a header, and sessions with their events");
    let by_command = home.session_buddy(["export"]).run();
    assert_eq!(by_command.expect_success().stdout, all.body);
    let one = server.get("/api/v1/export?session=s1,s3&project=p1");
    assert_eq!(one.body.lines().filter(|line| line.contains("\"kind\":\"session\"")).count(), 2, "{one:.200?}");
    server.stop();
    let other = TestHome::new();
    let server = Server::start(&other);
    let done = import(&server, &all.body).json();
    assert_eq!(
        (&done["sessions"], &done["stored"], &done["complete"]),
        (&json!(4), &json!(8_008), &json!(true)),
        "{done}"
    );
    let again = import(&server, &all.body).json();
    assert_eq!((&again["stored"], &again["duplicates"]), (&json!(0), &json!(8_008)));
    assert_eq!(server.get("/api/v1/export").body, all.body);
    server.stop();
}

#[test]
fn a_wrong_import_says_why_and_keeps_what_was_good() {
    let home = TestHome::new();
    let server = filled(&home, 1, 3);
    let lines = server.get("/api/v1/export").body;
    server.stop();
    let home = TestHome::new();
    let mut server = Server::start(&home);
    for (body, headers, status, code) in [
        ("", LINES.as_slice(), 400, "invalid_request"),
        ("nonsense\n", LINES.as_slice(), 400, "invalid_request"),
        (lines.as_str(), &[("Content-Type", "application/json")], 415, "unsupported_media_type"),
        (lines.as_str(), &[], 415, "unsupported_media_type"),
    ] {
        let refused = http::post(server.port(), "/api/v1/import", headers, body.as_bytes()).unwrap();
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{body:.20}: {refused:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    let mixed = import(&server, &format!("{lines}{{\"kind\":\"riddle\"}}\n")).json();
    assert_eq!((&mixed["rejected"], &mixed["troubles"][0]["line"]), (&json!(1), &json!(lines.lines().count() + 1)));
    assert_eq!(server.get("/api/v1/export").body, lines);
    for (path, status) in
        [("/export?session=nothing", 404), ("/export?colour=red", 400), ("/export?since=soon", 400), ("/import", 405)]
    {
        assert_eq!(server.get(&format!("/api/v1{path}")).status, status, "{path}");
    }
    // Whoever goes away in the middle leaves a server that works, and no half line.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let head = format!(
        "POST /api/v1/import HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 9999999\r\n\r\n{}",
        &lines[..lines.len() / 2]
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    assert_eq!(import(&server, &lines).json()["complete"], true);
    server.expect_healthy("broken imports");
    server.stop();
}

#[test]
fn archive_retention_and_backups_answer_as_the_commands_do() {
    let home = TestHome::new()
        .with_var("SESSION_BUDDY_RETENTION__DAYS", "0")
        .with_var("SESSION_BUDDY_RETENTION__EVENTS", "command=1");
    let server = filled(&home, 2, 3);
    let would = post(&server, "/archive", &json!({ "days": 0, "dry_run": true })).json();
    assert_eq!((&would["sessions"], &would["dry_run"]), (&json!(2), &json!(true)), "{would}");
    assert_eq!(post(&server, "/archive", &json!({ "days": 0, "project": "p1" })).json()["sessions"], 1);
    let archived = server.get("/api/v1/sessions?archived=true").json();
    assert_eq!(archived["sessions"].as_array().unwrap().len(), 1, "{archived}");
    assert_eq!(post(&server, "/archive/restore", &json!({ "all": true })).json()["sessions"], 1);
    assert_eq!(post(&server, "/archive/restore", &json!({})).status, 400);
    let effects = server.get("/api/v1/retention").json();
    assert!(effects["rules"][0]["rule"].as_str().unwrap().contains("command=1"), "{effects}");
    let made = post(&server, "/backups", &json!({})).json();
    let listed = server.get("/api/v1/backups").json();
    assert_eq!(listed["backups"][0]["name"], made["name"], "{listed}");
    home.session_buddy(["backup", "verify", made["name"].as_str().unwrap()]).run().expect_success();
    server.stop();
    let none = TestHome::new();
    let server = Server::start(&none);
    assert_eq!(server.get("/api/v1/retention").json(), json!({ "rules": [] }), "no rule deletes nothing");
    assert_eq!(post(&server, "/retention/apply", &json!({})).json(), json!({ "sessions": 0, "events": 0 }));
    server.stop();
}

#[test]
fn upkeep_needs_the_right_to_administer_and_an_import_that_to_write() {
    let home =
        TestHome::new().with_var("SESSION_BUDDY_SECRET", SECRET).with_var("SESSION_BUDDY_RETENTION__DAYS", "3000");
    let server = Server::start(&home);
    let bearer = |scope: &str| {
        let made = home.session_buddy(["generate-token", "--scopes", scope, "--subject", "ada"]).run();
        format!("Bearer {}", made.expect_success().stdout.trim())
    };
    let tokens = ["read", "write", "admin"].map(|scope| (scope, bearer(scope)));
    let call = |method: &str, path: &str, body: &str, token: Option<&str>| -> Answer {
        let kind = if path == "/import" { "application/x-ndjson" } else { "application/json" };
        let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
        let text = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: {kind}\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
            server.port(),
            body.len()
        );
        http::exchange(server.port(), text.as_bytes()).unwrap()
    };
    let lines = call("GET", "/export", "", Some(&tokens[0].1)).body;
    let routes = [
        ("GET", "/export", "", "read"),
        ("POST", "/import", lines.as_str(), "write"),
        ("GET", "/retention", "", "admin"),
        ("POST", "/retention/apply", "{}", "admin"),
        ("GET", "/backups", "", "admin"),
        ("POST", "/backups", "{}", "admin"),
        ("POST", "/archive", "{\"days\":30}", "admin"),
        ("POST", "/archive/restore", "{\"all\":true}", "admin"),
    ];
    for (method, path, body, needed) in routes {
        let what = format!("{method} {path}");
        assert_eq!(call(method, path, body, None).status, 401, "{what}");
        let mut enough = false;
        for (scope, token) in &tokens {
            enough |= *scope == needed;
            let answer = call(method, path, body, Some(token));
            if enough {
                assert!((200..300).contains(&answer.status), "{what} with {scope}: {answer:?}");
            } else {
                let problem = answer.json();
                assert_eq!(
                    (answer.status, &problem["scope"]),
                    (403, &json!(needed)),
                    "{what} with {scope}: {answer:?}"
                );
                assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
            }
        }
    }
    let log = std::fs::read_to_string(home.session_buddy_home().join("logs/audit.log")).unwrap();
    let refused = log.lines().filter(|line| line.contains("outcome=denied") && line.contains("who=ada")).count();
    assert_eq!(refused, 1 + 6 * 2, "one line for each refusal of a token that was good: {log}");
    assert_eq!(call("GET", "/backups", "", Some(&tokens[2].1)).json()["backups"].as_array().unwrap().len(), 1);
    server.stop();
}

#[test]
fn sessions_in_memory_go_out_and_come_in_by_the_same_routes() {
    let source = TestHome::new();
    let server = filled(&source, 3, 40);
    let lines = server.get("/api/v1/export").body;
    server.stop();
    let home = TestHome::new();
    let server = Server::start_with(&home, &["start", "--mode=lite"]);
    let done = import(&server, &lines).json();
    assert_eq!((&done["sessions"], &done["stored"]), (&json!(3), &json!(3 * 42)), "{done}");
    assert_eq!(import(&server, &lines).json()["duplicates"], json!(3 * 42));
    assert_eq!(post(&server, "/archive", &json!({ "days": 0, "project": "p1" })).json()["sessions"], 1);
    assert_eq!(server.get("/api/v1/export").body.matches("\"kind\":\"session\"").count(), 2);
    assert_eq!(post(&server, "/archive/restore", &json!({ "all": true })).json()["sessions"], 1);
    assert_eq!(server.get("/api/v1/export").body, lines);
    let backup = post(&server, "/backups", &json!({}));
    assert!((400..500).contains(&backup.status), "there is no file to copy: {backup:?}");
    assert!(!home.database().exists(), "nothing was written to disk");
    server.stop();
}
