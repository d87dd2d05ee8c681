//! Sessions of clients with a transport session, which are killed or come back.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::mcp::{self, Revision};
use testkit::{Running, Server, TestHome, eventually, git};

const END: Duration = Duration::from_secs(10);
/// As a client of the earlier revision speaks.
const EARLIER: Revision = Revision::V2025_11_25;

/// A server to which a client is gone a second after its last process.
fn impatient() -> TestHome {
    TestHome::new().with_var("SESSION_BUDDY_SESSION_TRACKING__IDLE_TIMEOUT", "1")
}

/// The bytes of a request.
fn request(server: &Server, message: &Value) -> String {
    let body = message.to_string();
    let named = mcp::headers(EARLIER, message);
    let headers: String = named.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (port, length) = (server.port(), body.len());
    format!("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// A client that works in `folder`, opens a transport session and keeps its connection; with the name of that session.
fn client(home: &TestHome, server: &Server, folder: &str) -> (Running, String) {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; printf %s \"$0\" >&3; exec cat <&3", server.port());
    let opens = request(server, &mcp::initialize(1, EARLIER.text()));
    let mut client = home.program("bash", ["-c", &script, &opens]).cwd(home.work().join(folder)).spawn();
    let named = eventually(END, "the transport session's name", || {
        let line = client.next_line(END).expect("an answer");
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
    });
    (client, named)
}

/// Calls a tool by the transport session `named`, as a program that works in `folder` and ends with its answer.
fn call(home: &TestHome, server: &Server, folder: &str, named: &str, tool: &str, arguments: Value) -> Value {
    let message = mcp::tool_call(EARLIER, 2, tool, arguments);
    let mut args = vec!["-sS".to_owned(), "--data-binary".into(), "@-".into()];
    args.extend(["-H".to_owned(), format!("Mcp-Session-Id: {named}")]);
    for (name, value) in mcp::headers(EARLIER, &message) {
        args.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    args.push(format!("http://127.0.0.1:{}/mcp", server.port()));
    let answer = home.program("curl", &args).cwd(home.work().join(folder)).stdin(message.to_string()).run();
    // As an event of a stream, which is how answers come to transport sessions.
    let data = answer.expect_success().stdout.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let data: Value = serde_json::from_str(&data.unwrap_or_else(|| panic!("{answer:?}"))).unwrap();
    data["result"].clone()
}

fn own(answer: &Value) -> String {
    answer["structuredContent"]["session_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn end_of(home: &TestHome, session: &str) -> Option<Value> {
    home.events(session).into_iter().find(|event| event["event_type"] == "session_end")
}

#[test]
fn a_killed_client_ends_at_its_last_call_and_may_come_back() {
    let home = impatient();
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    let (mut client, named) = client(&home, &server, "shop");
    let session = own(&call(&home, &server, "shop", &named, "add_message", json!({ "text": "first" })));
    // Silence for more than the limit, while its process lives.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(end_of(&home, &session), None, "a client that is there has its session, however silent it is");
    client.kill();
    let end = eventually(END, "the end of the killed client's session", || end_of(&home, &session));
    assert_eq!(end["data"]["reason"], "client gone", "{end}");
    let message = home.events(&session).into_iter().find(|event| event["event_type"] == "message").unwrap();
    assert!(end["timestamp"].as_str() <= message["timestamp"].as_str(), "not at its last call: {message} {end}");
    // Its transport session goes on, so who calls by it is a client again: with another session, once.
    let back = own(&call(&home, &server, "shop", &named, "add_message", json!({ "text": "back" })));
    let again = call(&home, &server, "shop", &named, "get_session", json!({}));
    assert_ne!(back, session);
    assert_eq!(own(&again), back, "{again}");
    assert_eq!(again["structuredContent"]["project"], "shop", "{again}");
    server.stop();
    let seen = home.sessions(&["--component", "*", "--type", "mcp_client"]);
    assert!(seen.len() == 2 && seen.iter().all(|session| session["status"] == "ended"), "{seen:?}");
}

#[test]
fn a_client_that_stays_ends_with_its_transport_session() {
    let home = impatient();
    let server = Server::start(&home);
    let _ = git::repository(&home, "shop");
    let (mut client, named) = client(&home, &server, "shop");
    let told = call(&home, &server, "shop", &named, "checkpoint", json!({ "note": "half way" }));
    let session = told["_meta"]["session-buddy/session_id"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    std::thread::sleep(Duration::from_secs(2));
    let address = format!("http://127.0.0.1:{}/mcp", server.port());
    let header = format!("Mcp-Session-Id: {named}");
    home.program("curl", ["-sS", "-X", "DELETE", "-H", &header, &address]).run().expect_success();
    let end = eventually(END, "the end of the session", || end_of(&home, &session));
    let seconds = end["data"]["duration_seconds"].as_f64().unwrap();
    assert!(seconds >= 2.0, "it was there until its transport session ended: {end}");
    client.kill();
    server.stop();
}
