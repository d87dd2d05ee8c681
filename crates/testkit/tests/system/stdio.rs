//! Session-Buddy as an MCP client's child, as `.mcp.json` starts it.

use std::time::Duration;

use oneiric::process::{Liveness, ProcessIdentity};
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::mcp::{self, Revision, StdioClient};
use testkit::{Program, TestHome, eventually};

use crate::sample::session_start;

/// Time from the end of its input, its parent or its patience to its own end.
const END: Duration = Duration::from_secs(2);

const SECRET: &str = "q0ZK7rWv2YxN5tBd8LmPc3JfHs6GaEu1";

/// The line of `.mcp.json`.
fn server(home: &TestHome) -> Program {
    home.session_buddy(["start", "--mode=standard", "--mcp"])
        .var("SESSION_BUDDY_AUTH_ENABLED", "true")
        .var("SESSION_BUDDY_AUTH_SECRET", SECRET)
}

fn expect_end(client: &mut StdioClient, limit: Duration) {
    let status = client.process.wait(limit);
    assert!(status.success(), "{status}");
    let (rest, _) = client.process.rest();
    for line in rest.lines() {
        let message: Result<Value, _> = serde_json::from_str(line);
        assert!(message.is_ok(), "standard output holds something else: {line}");
    }
}

#[test]
fn a_client_of_either_revision_works_with_its_child_and_its_end_ends_it() {
    for revision in Revision::ALL {
        let home = TestHome::new();
        let mut client = StdioClient::start(&server(&home));
        if revision == Revision::V2025_11_25 {
            let hello = client.handshake();
            assert_eq!(hello["protocolVersion"], "2025-11-25");
            assert!(hello["serverInfo"]["name"].is_string() && hello["capabilities"]["tools"].is_object(), "{hello}");
        } else {
            let hello = client.call(revision, "server/discover", json!({}));
            assert!(hello["result"].to_string().contains("2026-07-28"), "{hello}");
        }
        let tools = client.call(revision, "tools/list", json!({}));
        let names: Vec<&str> =
            tools["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        for name in [
            "track_session_start",
            "track_session_end",
            "track_events",
            "list_sessions",
            "get_session",
            "list_events",
            "search",
            "health_check",
        ] {
            assert!(names.contains(&name), "{name} is missing in {names:?}");
        }
        let started = client.tool(revision, "track_session_start", session_start("start", 0));
        assert_eq!(started["structuredContent"]["status"], "tracked", "{started}");
        let text: Value = serde_json::from_str(started["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, started["structuredContent"], "the text says the same");
        let health = client.tool(revision, "health_check", json!({}));
        assert_eq!(health["structuredContent"]["status"], "healthy", "{health}");
        client.process.close_stdin();
        expect_end(&mut client, END);
        assert_eq!(home.sessions(&["--component", "mahavishnu"]).len(), 1);
    }
}

#[test]
fn sigterm_and_sighup_end_it_too() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let home = TestHome::new();
        let mut client = StdioClient::start(&server(&home));
        client.handshake();
        client.process.signal(signal);
        let status = client.process.wait(END);
        assert!(status.code().is_some(), "{signal:?} killed it: {status}");
    }
}

#[test]
fn it_ends_when_its_parent_is_killed_though_its_input_stays_open() {
    let home = TestHome::new();
    // By way of another number: what runs in the background has no standard input otherwise.
    let script = "exec 3<&0 2>\"$HOME/child\"; session-buddy start --mode=standard --mcp <&3 & echo $! >&2; wait";
    let parent = home.sh(script);
    let mut client = StdioClient::start(&parent);
    client.handshake();
    let pid = eventually(Duration::from_secs(5), "the child's pid", || {
        let text = std::fs::read_to_string(home.user().join("child")).ok()?;
        text.lines().next()?.trim().parse().ok()
    });
    let child = ProcessIdentity::of(pid).expect("the child runs");
    client.process.signal(Signal::KILL);
    eventually(END, "the child's end after its parent's", || (child.liveness(true) == Liveness::Gone).then_some(()));
}

#[test]
fn input_that_is_no_message_is_answered_and_costs_nothing_else() {
    let home = TestHome::new();
    for revision in Revision::ALL {
        let mut client = StdioClient::start(&server(&home));
        if revision == Revision::V2025_11_25 {
            client.handshake();
        }
        let wrong = [
            ("this is no JSON", -32700),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,", -32700),
            ("[]", -32600),
            ("17", -32600),
            ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"tools/list\"}", -32600),
            ("{\"jsonrpc\":\"2.0\",\"id\":{\"a\":1},\"method\":\"tools/list\"}", -32600),
        ];
        for (line, code) in wrong {
            client.send_line(line);
            let answer = client.receive();
            assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        client.send_line(&deep);
        assert!(client.receive()["error"]["code"].is_i64(), "a deep message is answered");
        client.send_line(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"x\",\"params\":{{\"a\":\"{}\"}}}}",
            "a".repeat(9 << 20)
        ));
        let answer = client.receive();
        assert_eq!(answer["error"]["code"], -32600, "a message over the limit: {answer}");
        let unknown = client.call(revision, "no/such/method", json!({}));
        assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
        let unknown = client.call(revision, "tools/call", json!({ "name": "no_such_tool", "arguments": {} }));
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
        let health = client.tool(revision, "health_check", json!({}));
        assert_eq!(health["structuredContent"]["status"], "healthy", "{health}");
        client.process.close_stdin();
        expect_end(&mut client, END);
    }
}

#[test]
fn a_version_that_nobody_speaks_is_answered_with_one_that_is_spoken() {
    let home = TestHome::new();
    let mut client = StdioClient::start(&server(&home));
    client.send(&mcp::initialize(1, "1999-01-01"));
    let answer = client.answer(1);
    let offered = answer["result"]["protocolVersion"].as_str().unwrap_or_default();
    assert!(["2025-11-25", "2025-06-18"].contains(&offered) || answer["error"]["code"].is_i64(), "{answer}");
    client.process.close_stdin();
    expect_end(&mut client, END);
    let mut client = StdioClient::start(&server(&home));
    let mut request = mcp::request(Revision::V2026_07_28, 1, "tools/list", json!({}));
    request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    client.send(&request);
    let answer = client.answer(1);
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    assert!(answer["error"].to_string().contains("2026-07-28"), "it says what is spoken: {answer}");
    client.process.close_stdin();
    expect_end(&mut client, END);
}

#[test]
fn input_that_ends_at_once_ends_it_without_a_word() {
    let home = TestHome::new();
    let done = server(&home).stdin("").run();
    // Standard output is a pipe here, as with a client.
    assert_eq!(done.stdout, "", "{done}");
    assert!(done.took < END, "{done}");
    done.expect_success();
}

#[test]
fn the_handshake_is_answered_quickly_and_no_process_is_started_for_it() {
    let home = TestHome::new();
    let mut client = StdioClient::start(&server(&home));
    client.handshake();
    let pid = client.process.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    assert_eq!(children.trim(), "", "it has helper processes");
}

#[test]
fn a_child_asks_its_parent_for_no_token_while_http_of_the_same_home_does() {
    for revision in Revision::ALL {
        let home = TestHome::new();
        let mut client = StdioClient::start(&server(&home));
        if revision == Revision::V2025_11_25 {
            client.handshake();
        }
        // What writes and what an administrator does, without any token; a bad one is not looked at either.
        let started = client.tool(revision, "track_session_start", session_start("mine", 0));
        assert_ne!(started["isError"], true, "{started}");
        let session = &started["structuredContent"]["session_id"];
        let told = json!({ "session_id": session, "text": "by my own child", "token": "not.a.token" });
        assert_ne!(client.tool(revision, "add_message", told)["isError"], true);
        let archived = client.tool(revision, "archive_sessions", json!({ "days": 30 }));
        assert_ne!(archived["isError"], true, "{archived}");
        // Whoever started the child may read the secret: nobody is let through or turned away, so nothing is written down.
        assert!(!home.session_buddy_home().join("logs/audit.log").exists());
    }
}
