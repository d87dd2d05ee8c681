//! Long runs as tasks of revision 2026-07-28, approvals as input requests, and questions in the way of a call that waits.

use std::fs;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::secret::Secret;
use oneiric::token::{Claims, Scope, mint};
use serde_json::{Value, json};
use testkit::{Orchestrator, TestHome, eventually, soon};

const SECRET: &str = "wR5tY8uI1oP4aS7dF0gH3jK6lZ9xC2vB5n";
const LIMIT: Duration = Duration::from_secs(60);

fn knows_tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": {} })
}

fn result(server: &Orchestrator, capabilities: &Value, method: &str, params: Value) -> Value {
    let message = server.ask(capabilities, None, method, params).message();
    message.get("result").cloned().unwrap_or_else(|| panic!("{method} was refused: {message}"))
}

fn error_code(server: &Orchestrator, capabilities: &Value, method: &str, params: Value) -> i64 {
    let message = server.ask(capabilities, None, method, params).message();
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method} was not refused: {message}"))
}

/// Begins a sweep as a task; gives its id.
fn begin(server: &Orchestrator, arguments: &Value) -> String {
    let created = result(server, &knows_tasks(), "tools/call", json!({ "name": "sweep", "arguments": arguments }));
    assert_eq!(created["resultType"], "task", "{created}");
    assert!(created.get("result").is_none() && created.get("requestState").is_none(), "{created}");
    created["taskId"].as_str().unwrap().to_owned()
}

fn get(server: &Orchestrator, id: &str) -> Value {
    result(server, &knows_tasks(), "tasks/get", json!({ "taskId": id }))
}

fn until(server: &Orchestrator, id: &str, status: &str) -> Value {
    eventually(LIMIT, &format!("task {id} is {status}"), || {
        let task = get(server, id);
        (task["status"] == status).then_some(task)
    })
}

/// A command that tells that it has begun and waits for a file.
fn waiting(home: &TestHome, name: &str) -> String {
    let (begun, go) = (home.work().join(format!("{name}.begun")), home.work().join(format!("{name}.go")));
    format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", begun.display(), go.display())
}

fn workflows(home: &TestHome) -> usize {
    let listed = home.mahavishnu(["workflow", "list", "--format", "json"]).run();
    listed.expect_success();
    listed.json().as_array().unwrap().len()
}

#[test]
fn a_sweep_is_a_task_that_outlives_its_server_and_tells_how_far_it_is() {
    let home = Orchestrator::home(&["core", "app"]);
    let mut server = Orchestrator::start(&home);
    let command = waiting(&home, "step");
    let id = begin(&server, &json!({ "command": [command], "parallel": 1, "on_unknown": "retry" }));
    let task = get(&server, &id);
    assert_eq!((&task["status"], &task["ttlMs"]), (&json!("working"), &Value::Null), "{task}");
    assert!(task["pollIntervalMs"].as_u64().is_some_and(|interval| interval > 0));
    soon("the first step has begun", || home.work().join("step.begun").exists());
    server.kill();
    let server = Orchestrator::start(&home);
    fs::write(home.work().join("step.go"), "").unwrap();
    let done = until(&server, &id, "completed");
    assert_eq!(done["statusMessage"], "completed: 2 of 2 steps");
    assert!(done["ttlMs"].as_u64().is_some_and(|ttl| ttl > 0), "{done}");
    let told = &done["result"];
    assert_eq!((&told["isError"], &told["structuredContent"]["workflow_id"]), (&json!(false), &json!(id)), "{told}");
    assert_eq!(
        (&told["structuredContent"]["status"], &told["structuredContent"]["completed"]),
        (&json!("completed"), &json!(2))
    );
    let text: Value = serde_json::from_str(told["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, told["structuredContent"]);

    let failed = begin(&server, &json!({ "command": ["false"] }));
    let failed = until(&server, &failed, "completed");
    assert_eq!(
        (&failed["result"]["isError"], &failed["result"]["structuredContent"]["failed"]),
        (&json!(true), &json!(2))
    );
    // Whoever has begun it: a workflow is a task.
    let words = ["sweep", "--detach", "--format", "json", "--repo", "core", "--", "true"];
    let by_hand = home.mahavishnu(words).run().expect_success().json();
    until(&server, by_hand["workflow_id"].as_str().unwrap(), "completed");
}

#[test]
fn what_a_client_cannot_take_it_does_not_get() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    let plain = json!({});
    let begun = result(&server, &plain, "tools/call", json!({ "name": "sweep", "arguments": { "command": ["true"] } }));
    assert_eq!(
        (&begun["resultType"], &begun["structuredContent"]["existing"]),
        (&json!("complete"), &json!(false)),
        "{begun}"
    );
    let id = begun["structuredContent"]["workflow_id"].as_str().unwrap();
    for (method, params) in [
        ("tasks/get", json!({ "taskId": id })),
        ("tasks/update", json!({ "taskId": id, "inputResponses": {} })),
        ("tasks/cancel", json!({ "taskId": id })),
    ] {
        assert_eq!(error_code(&server, &plain, method, params.clone()), -32021, "{method}");
        let mut other = params;
        for wrong in ["no-such-task", &id[..8], ""] {
            other["taskId"] = wrong.into();
            assert_eq!(error_code(&server, &knows_tasks(), method, other.clone()), -32602, "{method} {wrong}");
        }
    }
    for gone in ["tasks/list", "tasks/result"] {
        assert_eq!(error_code(&server, &knows_tasks(), gone, json!({ "taskId": id })), -32601, "{gone}");
    }
    let discovered = result(&server, &plain, "server/discover", json!({}));
    assert!(discovered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(), "{discovered}");
}

#[test]
fn a_task_that_is_cancelled_has_stopped_its_work() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    let id = begin(&server, &json!({ "command": [waiting(&home, "long")] }));
    soon("the step has begun", || home.work().join("long.begun").exists());
    let ended = home.work().join("long.go").display().to_string();
    let at_work = || testkit::scan::runs(&ended);
    assert!(at_work());
    let told = result(&server, &knows_tasks(), "tasks/cancel", json!({ "taskId": id }));
    assert_eq!(told, json!({ "resultType": "complete" }));
    let task = until(&server, &id, "cancelled");
    assert!(!at_work(), "cancelled means that the work has stopped");
    assert!(task.get("result").is_none() && task.get("error").is_none(), "{task}");
    let again = result(&server, &knows_tasks(), "tasks/cancel", json!({ "taskId": id }));
    assert_eq!(again, json!({ "resultType": "complete" }), "a task that has ended stays as it is");
}

#[test]
fn an_approval_is_a_question_to_the_clients_person() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    let mark = home.work().join("deployed");
    let sweep = json!({ "command": ["touch", mark.to_str()], "approve": "Deploy to production?" });
    let answer = |id: &str, key: &str, answer: Value| {
        let params = json!({ "taskId": id, "inputResponses": { key: answer, "unknown": { "action": "accept", "content": {} } } });
        result(&server, &knows_tasks(), "tasks/update", params)
    };

    let refused = begin(&server, &sweep);
    let task = until(&server, &refused, "input_required");
    let (key, asked) = task["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(
        (&asked["method"], &asked["params"]["message"]),
        (&json!("elicitation/create"), &json!("Deploy to production?"))
    );
    let wrong = json!({ "taskId": refused, "inputResponses": { key: { "action": "accept", "content": { "approve": "yes" } } } });
    assert_eq!(error_code(&server, &knows_tasks(), "tasks/update", wrong), -32602);
    assert_eq!(answer(&refused, key, json!({ "action": "cancel" })), json!({ "resultType": "complete" }));
    assert_eq!(get(&server, &refused)["status"], "input_required", "whoever closes the question has not answered it");
    // A client that cannot ask sees no question, and says who can.
    let silent = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let seen = result(&server, &silent, "tasks/get", json!({ "taskId": refused }));
    assert_eq!(seen["status"], "working", "{seen}");
    assert!(seen["statusMessage"].as_str().unwrap().contains("Deploy to production?"), "{seen}");
    answer(&refused, key, json!({ "action": "decline" }));
    let task = until(&server, &refused, "completed");
    assert_eq!(task["result"]["isError"], true, "{task}");
    assert!(!mark.exists());

    let agreed = begin(&server, &sweep);
    let task = until(&server, &agreed, "input_required");
    let key = task["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    answer(&agreed, &key, json!({ "action": "accept", "content": { "approve": true } }));
    assert!(get(&server, &agreed)["inputRequests"].get(&key).is_none(), "what is answered is asked no more");
    assert_eq!(until(&server, &agreed, "completed")["result"]["isError"], false);
    assert!(mark.exists());
    let shown = home.mahavishnu(["workflow", "show", &agreed, "--format", "json"]).run().expect_success().json();
    assert_eq!(shown["steps"][0]["note"], "approved by ada", "{shown}");
}

#[test]
fn only_whoever_may_decide_is_asked() {
    let home = Orchestrator::home(&["core"]).with_var("MAHAVISHNU_AUTH_SECRET", SECRET);
    let server = Orchestrator::start(&home);
    let token = |name: &str, scope: Scope| {
        let claims = Claims::new(name, "mahavishnu", "mahavishnu", &[scope]);
        mint(&Secret::new(SECRET), &claims, SystemClock.now(), Duration::from_secs(600)).unwrap()
    };
    let (reader, writer, admin) = (token("rita", Scope::Read), token("will", Scope::Write), token("ada", Scope::Admin));
    let sweep = json!({ "name": "sweep", "arguments": { "command": ["true"], "approve": "Go?" } });
    let ask =
        |token: &str, method: &str, params: &Value| server.ask(&knows_tasks(), Some(token), method, params.clone());
    assert_eq!(ask(&reader, "tools/call", &sweep).status, 403);
    let created = ask(&writer, "tools/call", &sweep).message();
    let task = json!({ "taskId": created["result"]["taskId"] });
    let asked = eventually(LIMIT, "the question", || {
        let seen = ask(&admin, "tasks/get", &task).message();
        seen["result"]["inputRequests"].as_object().cloned()
    });
    assert_eq!(ask(&writer, "tasks/get", &task).message()["result"]["status"], "working");
    let key = asked.keys().next().unwrap();
    let yes = json!({ "taskId": task["taskId"], "inputResponses": { key: { "action": "accept", "content": { "approve": true } } } });
    for token in [&reader, &writer] {
        assert_eq!(ask(token, "tasks/update", &yes).status, 403);
    }
    assert_eq!(ask(&reader, "tasks/cancel", &task).status, 403);
    assert_eq!(ask(&admin, "tasks/update", &yes).message()["result"], json!({ "resultType": "complete" }));
    eventually(LIMIT, "the task has ended", || {
        (ask(&reader, "tasks/get", &task).message()["result"]["status"] == "completed").then_some(())
    });
    let audit = fs::read_to_string(home.mahavishnu_home().join("logs/audit.log")).unwrap();
    let said = |outcome: &str, who: &str, what: &str| {
        audit.lines().any(|line| [outcome, who, what].iter().all(|part| line.split(' ').any(|word| word == *part)))
    };
    assert!(said("outcome=denied", "who=will", "what=tasks/update"), "{audit}");
    assert!(said("outcome=done", "who=ada", "what=tasks/update"), "{audit}");
    assert!(said("outcome=denied", "who=rita", "what=tasks/cancel"), "{audit}");
}

#[test]
fn a_call_that_waits_asks_by_its_answer_and_is_not_begun_twice() {
    let home = Orchestrator::home(&["core", "app"]);
    let server = Orchestrator::start(&home);
    let can_ask = json!({ "elicitation": {} });
    let arguments = json!({ "command": ["true"], "approve": "Go?", "wait": 8 });
    let call = json!({ "name": "sweep", "arguments": arguments });
    let asked = result(&server, &can_ask, "tools/call", call.clone());
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let state = asked["requestState"].as_str().unwrap();
    let with = |state: &str, arguments: Value| {
        json!({ "name": "sweep", "arguments": arguments, "requestState": state,
                "inputResponses": { key.as_str(): { "action": "accept", "content": { "approve": true } } } })
    };
    let mut changed = state.to_owned().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    assert_eq!(error_code(&server, &can_ask, "tools/call", with(&changed, arguments.clone())), -32602);
    let elsewhere = json!({ "command": ["false"], "approve": "Go?", "wait": 8 });
    assert_eq!(error_code(&server, &can_ask, "tools/call", with(state, elsewhere)), -32602);
    let answer = result(&server, &can_ask, "tools/call", with(state, arguments));
    assert_eq!(
        (&answer["structuredContent"]["status"], &answer["isError"]),
        (&json!("completed"), &json!(false)),
        "{answer}"
    );
    assert_eq!(workflows(&home), 1);

    // Nobody to ask: the call says at once that it rests.
    let rests = result(&server, &json!({}), "tools/call", call);
    assert_eq!(
        (&rests["resultType"], &rests["structuredContent"]["waiting_for_someone"]),
        (&json!("complete"), &json!(1)),
        "{rests}"
    );
    let beyond = json!({ "name": "sweep", "arguments": { "command": ["true"], "wait": 51 } });
    assert_eq!(result(&server, &json!({}), "tools/call", beyond)["structuredContent"]["field"], "wait");
    assert_eq!(workflows(&home), 2, "what is refused begins nothing");
}

#[test]
fn whoever_waits_hears_of_every_step() {
    let home = Orchestrator::home(&["a", "b", "c"]);
    let server = Orchestrator::start(&home);
    let params = json!({ "name": "sweep", "arguments": { "command": ["sleep", "0.2"], "parallel": 1, "wait": 9 },
                         "_meta": { "progressToken": "p" } });
    let answer = server.ask(&json!({}), None, "tools/call", params);
    assert_eq!(answer.message()["result"]["structuredContent"]["completed"], 3, "{answer:?}");
    let messages =
        answer.body.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
    let told: Vec<Value> = messages
        .filter(|message| message["method"] == "notifications/progress")
        .map(|mut message| message["params"].take())
        .collect();
    let steps: Vec<f64> = told.iter().filter_map(|params| params["progress"].as_f64()).collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.last() == Some(&3.0), "{told:?}");
    assert!(told.iter().all(|params| params["total"] == 3.0 && params["progressToken"] == "p"), "{told:?}");
}
