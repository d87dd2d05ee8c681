//! Sessions of MCP clients that open and end by themselves.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::mcp::{Revision, StdioClient};
use testkit::{Program, TestHome, eventually};

const END: Duration = Duration::from_secs(5);

/// A server as a client starts it, inside a repository of the home.
fn server(home: &TestHome) -> Program {
    let made = home.sh("mkdir -p \"$HOME/billing\" && cd \"$HOME/billing\" && git init -q . && \
         git -c user.name=ada -c user.email=ada@example.org commit -q --allow-empty -m start");
    made.run().expect_success();
    home.session_buddy(["start", "--mode=standard", "--mcp"]).cwd(home.user().join("billing"))
}

fn visits(home: &TestHome) -> Vec<Value> {
    home.sessions(&["--component", "*", "--type", "mcp_client"])
}

/// Connects and waits until an answer names the session that was opened for this client.
fn connected(program: &Program, revision: Revision) -> (StdioClient, String) {
    let mut client = StdioClient::start(program);
    if revision == Revision::V2025_11_25 {
        client.handshake();
    }
    let named = eventually(END, "the client's session in its answers", || {
        let answer = client.tool(revision, "health_check", json!({}));
        answer["_meta"]["session-buddy/session_id"].as_str().map(str::to_owned)
    });
    (client, named)
}

#[test]
fn a_client_in_a_repository_has_a_session_for_as_long_as_it_stays() {
    for revision in Revision::ALL {
        let home = TestHome::new();
        let (mut client, named) = connected(&server(&home), revision);
        client.process.close_stdin();
        client.process.wait(END);
        let sessions = visits(&home);
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!((&sessions[0]["session_id"], &sessions[0]["status"]), (&json!(named), &json!("ended")));
        assert_eq!(sessions[0]["project"], "billing");
    }
}

#[test]
fn a_client_whose_server_is_killed_leaves_a_stale_session() {
    let home = TestHome::new();
    let (mut client, named) = connected(&server(&home), Revision::V2025_11_25);
    client.process.signal(Signal::KILL);
    client.process.wait(END);
    let sessions = visits(&home);
    assert_eq!((&sessions[0]["session_id"], &sessions[0]["status"]), (&json!(named), &json!("stale")));
}

#[test]
fn no_session_is_opened_outside_a_repository_or_when_that_is_switched_off() {
    let home = TestHome::new();
    let outside = home.session_buddy(["start", "--mode=standard", "--mcp"]);
    let off = server(&home).var("SESSION_BUDDY_SESSION_TRACKING__AUTO_INIT", "false");
    for program in [outside, off] {
        let mut client = StdioClient::start(&program);
        client.handshake();
        let health = client.tool(Revision::V2025_11_25, "health_check", json!({}));
        assert_eq!(health["structuredContent"]["status"], "healthy", "{health}");
        client.process.close_stdin();
        client.process.wait(END);
    }
    assert_eq!(visits(&home), Vec::<Value>::new());
}
