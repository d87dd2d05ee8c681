//! Mahavishnu by REST: workflows, schedules and the rest over the real server, and the audit log of every door.

use std::fs;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::secret::Secret;
use oneiric::token::{Claims, Scope, mint};
use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::{Orchestrator, TestHome, eventually};

const SECRET: &str = "hN2bV7cX4zL9kJ6gF1dS8aQ3wE5rT0yUiO";

fn get(server: &Orchestrator, path: &str) -> Answer {
    http::get(server.port(), &format!("/api/v1{path}")).expect("the server answers")
}

fn post(server: &Orchestrator, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers: Vec<(&str, &str)> = [("Content-Type", "application/json")].iter().chain(headers).copied().collect();
    http::post(server.port(), &format!("/api/v1{path}"), &headers, body.to_string().as_bytes())
        .expect("the server answers")
}

fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_workflow_is_begun_followed_decided_and_retried_by_rest() {
    let home = Orchestrator::home(&["core", "app"]);
    let server = Orchestrator::start(&home);
    let begun =
        post(&server, "/sweeps", &[], &json!({ "command": ["sh", "-c", "echo hello $MAHAVISHNU_REPO"], "wait": 9 }));
    assert_eq!((begun.status, &begun.json()["status"]), (201, &json!("completed")), "{begun:?}");
    let place = begun.header("location").unwrap().trim_start_matches("/api/v1").to_owned();
    let shown = get(&server, &place).json();
    assert_eq!((&shown["status"], shown["steps"].as_array().unwrap().len()), (&json!("completed"), 2), "{shown}");
    let printed = get(&server, &format!("{place}/logs?repo=app")).json();
    assert!(printed["text"].as_str().unwrap().contains("hello app"), "{printed}");

    // The same key is the same workflow, and another plan under it is refused.
    let asks = json!({ "command": ["false"], "approve": "Go?", "repos": ["core"] });
    let key = [("Idempotency-Key", "release-7")];
    let first = post(&server, "/sweeps", &key, &asks).json();
    let again = post(&server, "/sweeps", &key, &asks).json();
    assert_eq!((&first["workflow_id"], &again["existing"]), (&again["workflow_id"], &json!(true)));
    let other = post(&server, "/sweeps", &key, &json!({ "command": ["true"] }));
    assert_eq!(problem(&other), (422, "idempotency_key_reused".into()));
    let asked = format!("/workflows/{}", first["workflow_id"].as_str().unwrap());
    eventually(Duration::from_secs(30), "it asks", || (get(&server, &asked).json()["stuck"] == true).then_some(()));
    let decided = post(&server, &format!("{asked}/decision"), &[], &json!({ "decision": "approve" }));
    assert_eq!(decided.status, 200, "{decided:?}");
    assert_eq!(get(&server, &format!("{asked}?wait=9")).json()["status"], "failed");
    let retried = post(&server, &format!("{asked}/retry"), &[], &json!({}));
    assert_eq!(retried.status, 200, "{retried:?}");
    assert_eq!(problem(&post(&server, &format!("{place}/cancel"), &[], &json!({}))), (409, "conflict".into()));
    let long = post(&server, "/sweeps", &[], &json!({ "command": ["sleep", "600"] })).json();
    let long = format!("/workflows/{}", long["workflow_id"].as_str().unwrap());
    assert_eq!(post(&server, &format!("{long}/cancel"), &[], &json!({})).json()["status"], "cancelled");
    let listed = get(&server, "/workflows?which=active").json();
    assert_eq!(listed["workflows"].as_array().unwrap().iter().filter(|one| one["task"] == "sleep 600").count(), 0);
}

#[test]
fn wrong_requests_are_problems_that_begin_nothing() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    for (path, body, wanted) in [
        ("/sweeps", json!({}), (400, "invalid_request")),
        ("/sweeps", json!({ "command": "true" }), (400, "invalid_arguments")),
        ("/sweeps", json!({ "command": ["true"], "tag": "none" }), (404, "not_found")),
        ("/sweeps", json!({ "command": ["true"], "wait": -1 }), (400, "invalid_arguments")),
        ("/plans", json!({ "plan": "tasks: [" }), (400, "invalid_request")),
        ("/plans", json!({ "plan": "tasks: []", "file": "x" }), (400, "invalid_request")),
        ("/plans", json!({ "file": "no-such-plan.yaml" }), (404, "not_found")),
        (
            "/schedules",
            json!({ "name": "x", "cron": "0 25 * * *", "sweep": { "command": ["true"] } }),
            (400, "invalid_request"),
        ),
        ("/schedules", json!({ "name": "x", "sweep": { "command": ["true"] } }), (400, "invalid_arguments")),
        ("/schedules", json!({ "name": "x", "cron": "@daily" }), (400, "invalid_arguments")),
        ("/schedules", json!({ "action": "remove", "name": "x" }), (400, "invalid_arguments")),
        ("/workflows/nothing/retry", json!({}), (404, "not_found")),
    ] {
        let answer = post(&server, path, &[], &body);
        assert_eq!(problem(&answer), (wanted.0, wanted.1.into()), "{path} {body} {answer:?}");
    }
    assert_eq!(problem(&get(&server, "/workflows?which=some")).0, 400);
    for path in ["/workflows?limit=0", "/workflows?limit=1001", "/schedules?name=x&count=0"] {
        assert_eq!(problem(&get(&server, path)), (400, "invalid_arguments".to_owned()), "{path}");
    }
    assert_eq!(get(&server, "/workflows").json(), json!({ "workflows": [] }));
    let deep = json!({ "command": ["true"], "parameters": { "a": "b" }, "adapter": "prefect" });
    assert!((400..500).contains(&post(&server, "/sweeps", &[], &deep).status));
}

#[test]
fn repositories_plans_and_schedules_are_told_and_kept_by_rest() {
    let home = Orchestrator::home(&["core", "app"]);
    let server = Orchestrator::start(&home);
    fs::write(home.work().join("core/new"), "x").unwrap();
    let standing = get(&server, "/repos/status?changed=true").json();
    let names: Vec<&Value> = standing["repos"].as_array().unwrap().iter().map(|repo| &repo["name"]).collect();
    assert_eq!(names, ["core"], "{standing}");

    let plan = "name: two\ntasks:\n  - {name: first, run: 'true'}\n  - {name: last, run: 'true', once: true, after: [first]}\n";
    let ran = post(&server, "/plans", &[], &json!({ "plan": plan, "wait": 9 }));
    assert_eq!((ran.status, &ran.json()["completed"]), (201, &json!(3)), "{ran:?}");

    let night = json!({ "name": "night", "cron": "30 2 * * *", "zone": "UTC", "sweep": { "command": ["true"] } });
    let added = post(&server, "/schedules", &[], &night);
    assert_eq!((added.status, &added.json()["schedules"][0]["zone"]), (200, &json!("UTC")), "{added:?}");
    assert_eq!(problem(&post(&server, "/schedules", &[], &night)), (409, "conflict".into()));
    let shown = get(&server, "/schedules?name=night&count=3").json();
    let due = shown["schedules"][0]["due"].as_array().unwrap();
    assert!(due.len() == 3 && due.iter().all(|at| at["local"].as_str().unwrap().contains("02:30")), "{shown}");
    assert_eq!(post(&server, "/schedules/night/pause", &[], &json!({})).json()["schedules"][0]["paused"], true);
    assert_eq!(post(&server, "/schedules/night/resume", &[], &json!({})).json()["schedules"][0]["paused"], false);
    let by_hand = home.mahavishnu(["workflow", "schedule", "list", "--format", "json"]).run();
    assert_eq!(by_hand.json()[0]["name"], "night");
    assert_eq!(post(&server, "/schedules/night/remove", &[], &json!({})).status, 200);
    assert_eq!(get(&server, "/schedules").json(), json!({ "schedules": [] }));
    for (path, member) in [("/pools", "pools"), ("/worktrees", "worktrees"), ("/roles", "roles"), ("/repos", "repos")] {
        assert!(get(&server, path).json()[member].is_array(), "{path}");
    }
}

fn audit(home: &TestHome) -> Vec<String> {
    let path = home.mahavishnu_home().join("logs/audit.log");
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn said(lines: &[String], parts: &[&str]) -> bool {
    lines.iter().any(|line| parts.iter().all(|part| format!(" {line} ").contains(&format!(" {part} "))))
}

#[test]
fn every_door_writes_who_changed_something_and_who_was_turned_away() {
    let home = Orchestrator::home(&["core"])
        .with_var("MAHAVISHNU_AUTH_SECRET", SECRET)
        .with_var("MAHAVISHNU_AUTH_ENABLED", "true");
    let token = |name: &str, scope: Scope| {
        let claims = Claims::new(name, "mahavishnu", "mahavishnu", &[scope]);
        mint(&Secret::new(SECRET), &claims, SystemClock.now(), Duration::from_secs(600)).unwrap()
    };
    let (reader, writer) = (token("rita", Scope::Read), token("will", Scope::Write));
    let server = Orchestrator::start(&home);
    let sweep = json!({ "command": ["true"], "wait": 9 });
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(problem(&post(&server, "/sweeps", &[], &sweep)), (401, "unauthorized".into()));
    assert_eq!(problem(&post(&server, "/sweeps", &[("Authorization", &bearer(&reader))], &sweep)).0, 403);
    assert_eq!(post(&server, "/sweeps", &[("Authorization", &bearer(&writer))], &sweep).status, 201);
    let words = |token: &str| home.mahavishnu(["sweep", "--token", token, "--", "true"]).run();
    home.mahavishnu(["sweep", "--", "true"]).run().expect_code(1);
    let refused = words(&reader);
    refused.expect_code(1);
    assert!(refused.stderr.contains("403 Forbidden"), "{refused}");
    words(&writer).expect_success();
    let decides = home.mahavishnu(["workflow", "--token", &writer, "approve", "x"]).run();
    assert!(decides.stderr.contains("403 Forbidden: the token lacks the scope 'admin'"), "{decides}");
    home.mahavishnu(["list-repos", "--token", &reader]).run().expect_success();
    let lines = audit(&home);
    let what = "what=\"POST /api/v1/sweeps\"";
    for parts in [
        ["outcome=denied", "door=rest", "who=-", what],
        ["outcome=denied", "door=rest", "who=rita", what],
        ["outcome=done", "door=rest", "who=will", what],
        ["outcome=denied", "door=cli", "who=-", "what=sweep"],
        ["outcome=denied", "door=cli", "who=rita", "what=sweep"],
        ["outcome=allowed", "door=cli", "who=will", "what=sweep"],
        ["outcome=done", "door=cli", "who=will", "what=sweep"],
        ["outcome=denied", "door=cli", "who=will", "what=\"workflow approve\""],
    ] {
        assert!(said(&lines, &parts), "{parts:?} in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("list-repos") || line.contains(SECRET) || line.contains(&writer)));
}

#[test]
fn whoever_shows_a_token_is_named_for_what_they_cause() {
    let home = Orchestrator::home(&["core"]).with_var("MAHAVISHNU_AUTH_SECRET", SECRET);
    let server = Orchestrator::start(&home);
    let claims = Claims::new("olga", "mahavishnu", "mahavishnu", &Scope::ALL);
    let token = mint(&Secret::new(SECRET), &claims, SystemClock.now(), Duration::from_secs(600)).unwrap();
    let bearer = format!("Bearer {token}");
    let olga = [("Authorization", bearer.as_str())];
    let show = |id: &str| home.mahavishnu(["workflow", "show", id, "--format", "json"]).run().expect_success().json();
    let begin = |body: Value| post(&server, "/sweeps", &olga, &body).json()["workflow_id"].as_str().unwrap().to_owned();

    let cancelled = begin(json!({ "command": ["sleep", "600"] }));
    assert_eq!(post(&server, &format!("/workflows/{cancelled}/cancel"), &olga, &json!({})).status, 200);
    let shown = show(&cancelled);
    assert_eq!((&shown["asked_by"], &shown["cancelled_by"]), (&json!("olga"), &json!("olga")), "{shown}");
    let words = home.mahavishnu(["workflow", "show", &cancelled]).run();
    assert!(words.stdout.contains("asked for by olga, cancelled by olga"), "{words}");
    let explained = home.mahavishnu(["workflow", "explain", &cancelled]).run();
    assert!(explained.stdout.contains("olga asked to cancel it"), "{explained}");

    // By MCP: alone, by a client that the protocol library serves, and with the token as an argument.
    let capable = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    for (capabilities, header) in [(json!({}), Some(token.as_str())), (capable, Some(&token)), (json!({}), None)] {
        let id = begin(json!({ "command": ["true"], "approve": "Go?" }));
        eventually(Duration::from_secs(30), "it asks", || (show(&id)["stuck"] == true).then_some(()));
        let mut call = json!({ "name": "decide_workflow", "arguments": { "workflow_id": id, "decision": "approve" } });
        if header.is_none() {
            call["arguments"]["token"] = token.clone().into();
        }
        let answer = server.ask(&capabilities, header, "tools/call", call).message();
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        let shown = show(&id);
        assert_eq!(shown["steps"][0]["note"], "approved by olga", "{shown}");
    }

    // Whoever needs no token is the user of this machine.
    let own = begin(json!({ "command": ["sleep", "600"] }));
    let _ = home.mahavishnu(["workflow", "cancel", &own]).run();
    assert_eq!(show(&own)["cancelled_by"], "ada");
}

#[test]
fn what_is_begun_with_a_token_goes_on_in_the_background_without_a_server() {
    let home = Orchestrator::home(&["core"])
        .with_var("MAHAVISHNU_AUTH_SECRET", SECRET)
        .with_var("MAHAVISHNU_AUTH_ENABLED", "true");
    let claims = Claims::new("will", "mahavishnu", "mahavishnu", &[Scope::Write]);
    let token = mint(&Secret::new(SECRET), &claims, SystemClock.now(), Duration::from_secs(600)).unwrap();
    home.mahavishnu(["sweep", "--token", &token, "--detach", "--", "touch", "done"]).run().expect_success();
    testkit::soon("the sweep runs", || home.work().join("core/done").exists());
}

#[test]
fn what_changes_something_is_written_where_nobody_needs_a_token() {
    let home = Orchestrator::home(&["core"]);
    let server = Orchestrator::start(&home);
    assert_eq!(post(&server, "/sweeps", &[], &json!({ "command": ["true"], "wait": 9 })).status, 201);
    let _ = server.ask(&json!({}), None, "tools/call", json!({ "name": "sweep", "arguments": { "command": [] } }));
    home.mahavishnu(["shell", "-c", "repos remove core"]).run().expect_success();
    let lines = audit(&home);
    for parts in [
        ["outcome=done", "door=cli", "who=ada", "what=\"repos add\""],
        ["outcome=done", "door=rest", "who=-", "what=\"POST /api/v1/sweeps\""],
        ["outcome=failed", "door=mcp", "what=sweep", "why=invalid_request"],
        ["outcome=done", "door=shell", "who=ada", "what=\"repos remove\""],
    ] {
        assert!(said(&lines, &parts), "{parts:?} in {lines:#?}");
    }
}
