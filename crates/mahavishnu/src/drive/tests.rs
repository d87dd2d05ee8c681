use std::collections::BTreeMap;

use oneiric::settings::Surroundings;
use orchestrator::workflows::plan::{Policy, Task, Work};
use serde_json::json;

use super::*;

fn asked(world: &World, work: Work) -> Result<Submitted> {
    let task = Task { name: "it".into(), work, once: true, after: Vec::new(), policy: Policy::default() };
    let plan = Plan { tasks: vec![task], repos: Vec::new(), parallel: 1, fail_fast: false, time_limit: None };
    submit(world, &NewWorkflow { plan, key: None, asked_by: "me".into(), schedule: None })
}

#[test]
fn a_plan_with_a_secret_is_not_kept_however_its_words_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let vars = BTreeMap::from([("MAHAVISHNU_HOME".to_owned(), dir.path().join("home").display().to_string())]);
    let place = dir.path().to_path_buf();
    let world =
        World::new(Surroundings { vars, cwd: place.clone(), user_home: place, ..Surroundings::default() }).unwrap();
    let words = |words: &[&str]| Work::Command {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::new(),
    };
    let parameters = |parameters| Work::Adapter { adapter: "prefect".into(), target: "a/b".into(), parameters };
    for work in [
        words(&["true", "--password", "Pl01pass"]),
        words(&["true", "--token", "Pl05pass"]),
        words(&["curl", "-u", "ada:Pl03pass", "http://127.0.0.1:9/"]),
        words(&["mysql", "-u", "root", "-pPl04pass", "db"]),
        words(&["sshpass", "-p", "Pl06pass", "true"]),
        words(&["docker", "login", "-u", "ada", "-p", "Pl10pass"]),
        words(&["sh", "-c", "curl -u ada:Pl03pass http://127.0.0.1:9/"]),
        parameters(json!({"args": ["mysql", "-pPl04pass"]})),
        parameters(json!({"Name": "DB_PASSWORD", "Value": "Pl07pass"})),
        Work::Worker { pool: "p".into(), prompt: "ls\nmysql -pPl08pass".into(), worktree: false },
    ] {
        let fault = asked(&world, work.clone()).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::User, "{work:?}");
        assert!(!format!("{fault:?}").contains("pass\""), "{fault:?}");
    }
    for work in [
        words(&["docker", "login", "-u", "ada", "--password-stdin"]),
        words(&["mysql", "-u", "root", "-p", "shop"]),
        words(&["cargo", "test", "-p", "shop", "--", "token"]),
        words(&["sh", "-c", "deploy --token \"$TOKEN\""]),
        words(&["pass", "mail2"]),
        parameters(json!({"tokens": {"input": 12}, "args": ["password", "email"]})),
    ] {
        asked(&world, work).unwrap();
    }
    let kept = std::fs::read(world.workflows().path()).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("Pl0"));
}
