//! What sweeps and workflows say: ids, questions, reasons, and refusals of what cannot be meant.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::{Orchestrator, TestHome, eventually, soon};

/// Longest time of one command here.
const LIMIT: Duration = Duration::from_secs(120);

fn home() -> TestHome {
    Orchestrator::home(&["shop"])
}

fn list(home: &TestHome) -> Vec<Value> {
    let done = home.mahavishnu(["workflow", "list", "--format", "json"]).run();
    done.expect_success().json().as_array().unwrap().clone()
}

fn show(home: &TestHome, id: &str) -> Value {
    home.mahavishnu(["workflow", "show", id, "--format", "json"]).run().expect_success().json()
}

#[test]
fn what_lists_show_of_an_id_finds_its_workflow_and_programs_get_the_whole() {
    let home = home();
    for _ in 0..3 {
        home.mahavishnu(["sweep", "--", "true"]).run().expect_success();
    }
    let shown = home.mahavishnu(["workflow", "list"]).run();
    let csv = home.mahavishnu(["workflow", "list", "--format", "csv"]).run();
    for workflow in list(&home) {
        let id = workflow["id"].as_str().unwrap();
        let end = &id[id.len() - 12..];
        assert!(shown.stdout.contains(end) && csv.stdout.contains(id), "{shown}{csv}");
        assert_eq!(show(&home, end)["id"], id);
    }
}

#[test]
fn the_id_of_a_sweep_is_the_first_that_its_json_says() {
    let home = home();
    let gate = home.root().join("gate");
    let script = format!("while ! test -e {}; do sleep 0.02; done", gate.display());
    let mut sweep = home.mahavishnu(["sweep", "--format", "json", "--", &script]).spawn();
    let first = [sweep.next_line(LIMIT).unwrap(), sweep.next_line(LIMIT).unwrap()].concat();
    let id = first.split('"').nth(3).unwrap().to_owned();
    assert!(first.starts_with("{\n  \"workflow_id\": "), "{first}");
    soon("it is known by this id", || show(&home, &id)["running"] == 1);
    fs::write(&gate, "").unwrap();
    assert!(sweep.wait(LIMIT).success());
    let (rest, _) = sweep.rest();
    let whole: Value = serde_json::from_str(&(first + &rest)).unwrap();
    assert_eq!((&whole["status"], &whole["steps"][0]["state"]), (&"completed".into(), &"completed".into()));
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_reason() {
    let home = home();
    let refused = [
        (vec!["sweep", "--timeout", "0", "--", "true"], 2, "time limit of nothing"),
        (vec!["sweep", "--", ""], 2, "the command is empty"),
        (vec!["sweep", "--", " "], 2, "the command is empty"),
    ];
    for (words, code, why) in refused {
        let done = home.mahavishnu(words).run();
        done.expect_code(code).expect_no_internals();
        assert!(done.stderr.contains(why), "{done}");
    }
    fs::write(home.work().join("plan.yaml"), "tasks:\n  - name: a\n    run: x\n    timeout: 0s\n").unwrap();
    let done = home.mahavishnu(["workflow", "run", "plan.yaml"]).run();
    done.expect_code(2);
    assert!(done.stderr.contains("plan.yaml:2: task 'a' has a timeout of 0 s"), "{done}");
    assert!(list(&home).is_empty());
    home.mahavishnu(["sweep", "--key", "k", "--", "true"]).run().expect_success();
    let id = list(&home)[0]["id"].as_str().unwrap().to_owned();
    let logs = home.mahavishnu(["workflow", "logs", &id, "--repo", "nope"]).run();
    logs.expect_code(4);
    assert!(logs.stderr.contains("no repository 'nope'") && logs.stderr.contains("shop"), "{logs}");
    let again = home.mahavishnu(["sweep", "--key", "k", "--", "true"]).run();
    assert!(again.expect_success().stderr.contains(&format!("used before: this is the run of then, workflow {id}")));
}

#[test]
fn a_question_is_put_with_the_command_that_answers_it_also_when_nobody_drives_the_workflow() {
    let home = home();
    let done = home.mahavishnu(["sweep", "--detach", "--approve", "Publish them?", "--", "true"]).run();
    let id = done.expect_success().stdout.trim().to_owned();
    let shown = eventually(LIMIT, "it waits, and whoever drove it is gone", || {
        let stuck = show(&home, &id)["stuck"] == true;
        let driven = fs::read_dir(home.mahavishnu_home().join("engines")).is_ok_and(|dir| dir.count() > 0);
        (stuck && !driven).then(|| home.mahavishnu(["workflow", "show", &id]).run())
    });
    assert!(shown.stdout.contains("running (waits for you)") && shown.stdout.contains("Publish them?"), "{shown}");
    assert_eq!(show(&home, &id)["steps"][0]["note"], "Publish them?");
    home.mahavishnu(["workflow", "approve", &id]).run().expect_success();
    assert_eq!(show(&home, &id)["status"], "completed");

    let _server = Orchestrator::start(&home);
    let mut seat = home.mahavishnu(["sweep", "--approve", "Really?", "--", "true"]).at_terminal((200, 40));
    seat.sees("Really? 'mahavishnu workflow approve ");
    let id = list(&home)[0]["id"].as_str().unwrap().to_owned();
    assert!(seat.shown().contains(&id), "{}", seat.shown());
    home.mahavishnu(["workflow", "approve", &id]).run().expect_success();
    seat.sees("completed");
    assert_eq!(seat.end().code(), Some(0));
}

#[test]
fn following_what_nobody_drives_says_so_and_ends() {
    let home = home();
    let begun = home.work().join("shop/begun");
    let mut killed = home.mahavishnu(["sweep", "--", "touch begun; sleep 9885"]).spawn();
    soon("it has begun", || begun.exists());
    killed.kill();
    let id = list(&home)[0]["id"].as_str().unwrap().to_owned();
    let logs = home.mahavishnu(["workflow", "logs", &id, "--follow"]).limit(LIMIT).run();
    logs.expect_code(1);
    assert!(logs.stderr.contains("running (interrupted)") && logs.stderr.contains("workflow resume"), "{logs}");
    let _ = home.mahavishnu(["workflow", "cancel", &id]).limit(LIMIT).run();
    assert!(!testkit::scan::runs("sleep 9885"));
}
