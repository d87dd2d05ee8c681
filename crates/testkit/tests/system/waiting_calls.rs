//! Calls that wait for what somebody else does, many at once: the server goes on answering others meanwhile.

use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::mcp::{self, Revision, StdioClient};
use testkit::{Orchestrator, TestHome, eventually};

/// More calls than the server has threads for work that may block.
const MANY: usize = 12;

const LIMIT: Duration = Duration::from_secs(30);

fn posts(server: &Orchestrator, path: &'static str, body: &Value) -> Vec<JoinHandle<Option<Answer>>> {
    let (port, body) = (server.port(), body.to_string());
    let post = |_| {
        let body = body.clone();
        std::thread::spawn(move || http::post(port, path, &[("Content-Type", "application/json")], body.as_bytes()))
    };
    (0..MANY).map(post).collect()
}

fn get(server: &Orchestrator, path: &str) -> Value {
    http::get(server.port(), path).expect("the server answers").json()
}

fn count(home: &TestHome, query: &str) -> String {
    let database = home.mahavishnu_home().join("mahavishnu.db");
    home.program("sqlite3", [database.to_string_lossy().as_ref(), query]).run().stdout.trim().to_owned()
}

#[test]
fn decisions_that_nobody_takes_yet_keep_no_other_call_waiting() {
    let home = Orchestrator::home(&["core"]);
    let plan =
        "name: gate\ntasks:\n  - {name: long, run: sleep 600, once: true}\n  - {name: ask, approve: Go?, once: true}\n";
    std::fs::write(home.work().join("gate.yaml"), plan).unwrap();
    // A command drives it, and is stopped in mid work: it lives, and hears nothing.
    let driver = home.mahavishnu(["workflow", "run", "gate.yaml"]).spawn_without_input();
    let list = || home.mahavishnu(["workflow", "list", "--format", "json"]).run().json()[0].clone();
    let workflow = eventually(LIMIT, "it asks", || Some(list()).filter(|found| found["waiting_for_someone"] == 1));
    driver.signal(Signal::STOP);
    let server = Orchestrator::start(&home);
    let path = format!("/api/v1/workflows/{}/decision", workflow["id"].as_str().unwrap());
    let calls = posts(&server, path.leak(), &json!({ "decision": "approve" }));
    let open = || count(&home, "SELECT count(*) FROM requests WHERE done_at IS NULL");
    eventually(LIMIT, "all of them to wait", || (open() == MANY.to_string()).then_some(()));
    assert_eq!(get(&server, "/api/v1/workflows")["workflows"][0]["id"], workflow["id"]);
    assert!(!calls.iter().any(JoinHandle::is_finished), "they wait");
    driver.signal(Signal::CONT);
    let said: Vec<u16> = calls.into_iter().filter_map(|call| Some(call.join().unwrap()?.status)).collect();
    assert_eq!(said.iter().filter(|status| **status == 200).count(), 1, "one of them decided: {said:?}");
    assert!(said.iter().all(|status| matches!(status, 200 | 409)), "{said:?}");
    let _ = home.mahavishnu(["workflow", "cancel", workflow["id"].as_str().unwrap()]).run();
}

#[test]
fn tasks_of_pools_that_are_waited_for_keep_no_other_call_waiting() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    let go = home.root().join("go");
    let prompt = format!("while ! test -e {}; do sleep 0.02; done; echo done", go.display());
    let spawn = json!({ "action": "spawn", "name": "build", "profile": "shell", "max": 2 });
    let json = [("Content-Type", "application/json")];
    let made = http::post(server.port(), "/api/v1/pools", &json, spawn.to_string().as_bytes()).unwrap();
    assert_eq!(made.status, 200, "{made:?}");
    let task = json!({ "action": "execute", "pool": "build", "prompt": prompt });
    let calls = posts(&server, "/api/v1/pools", &task);
    let given = || get(&server, "/api/v1/pools")["pools"][0].clone();
    let all = |pool: &Value| pool["busy"].as_u64().unwrap_or(0) + pool["waiting"].as_u64().unwrap_or(0);
    eventually(LIMIT, "all of them to wait", || (all(&given()) == MANY as u64).then_some(()));
    assert!(!calls.iter().any(JoinHandle::is_finished), "they wait");
    std::fs::write(go, "").unwrap();
    for call in calls {
        let told = call.join().unwrap().expect("an answer").json();
        assert_eq!((&told["state"], &told["answer"]), (&json!("completed"), &json!("done")), "{told}");
    }
    let wrong = json!({ "action": "execute", "pool": "build", "prompt": "true", "wait_seconds": -1 });
    let refused = http::post(server.port(), "/api/v1/pools", &json, wrong.to_string().as_bytes()).unwrap();
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn calls_that_wait_are_told_how_the_work_stands_when_the_server_ends() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    let port = server.port();
    let sweep = || json!({ "command": ["sleep", "600"], "wait": 50 });
    let json = [("Content-Type", "application/json")];
    let mut calls = vec![std::thread::spawn(move || {
        http::post(port, "/api/v1/sweeps", &json, sweep().to_string().as_bytes()).unwrap().json()
    })];
    calls.extend(Revision::ALL.map(|revision| {
        let call = mcp::tool_call(revision, 1, "sweep", sweep());
        std::thread::spawn(move || mcp::post(port, revision, &call).message()["result"]["structuredContent"].clone())
    }));
    let running = || count(&home, "SELECT count(*) FROM workflows");
    eventually(LIMIT, "all of them to wait", || (running() == calls.len().to_string()).then_some(()));
    server.signal(Signal::TERM);
    for call in calls {
        let told = call.join().unwrap();
        assert!(told["workflow_id"].is_string() && told["completed"] == 0, "{told}");
    }
}

#[test]
fn a_call_by_standard_input_that_waits_is_answered_when_the_server_ends() {
    let home = Orchestrator::home(&["core"]);
    let mut client = StdioClient::start(&home.mahavishnu(["mcp", "start", "--transport", "stdio"]));
    let sweep = json!({ "command": ["sleep", "600"], "wait": 50 });
    client.send(&mcp::tool_call(Revision::V2026_07_28, 1, "sweep", sweep));
    let database = home.mahavishnu_home().join("mahavishnu.db");
    let begun = || database.exists() && count(&home, "SELECT count(*) FROM workflows") == "1";
    eventually(LIMIT, "the call to wait", || begun().then_some(()));
    client.process.signal(Signal::TERM);
    let answer = client.answer(1);
    assert!(answer["result"]["structuredContent"]["workflow_id"].is_string(), "{answer}");
}
