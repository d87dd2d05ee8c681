//! Pools, workers and worktrees: over a server that is killed, with fake agents, over real repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Running, TestHome, git, ports, soon};

/// A home with repositories and a place for fake agents.
fn home(repositories: &[&str]) -> TestHome {
    let home = TestHome::new();
    let bin = home.root().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = format!("{}:{}", bin.display(), home.vars()["PATH"]);
    let home = home.with_var("PATH", path).with_var("MAHAVISHNU_PORT", ports::free().to_string());
    let mut manifest = String::from("repos:\n");
    for name in repositories {
        let dir = git::repository(&home, name);
        manifest += &format!("- {{name: {name}, path: {}, role: app, tags: [all]}}\n", dir.display());
    }
    fs::create_dir_all(home.mahavishnu_home()).unwrap();
    fs::write(home.mahavishnu_home().join("repos.yaml"), manifest).unwrap();
    home
}

fn agent(home: &TestHome, name: &str, script: &str) {
    let path = home.root().join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn serve(home: &TestHome) -> Running {
    let server = home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input();
    soon("the server to serve", || home.mahavishnu(["pool", "list"]).run().code == Some(0));
    server
}

fn json(home: &TestHome, words: &[&str]) -> Value {
    let done = home.mahavishnu(words.iter().copied()).run();
    done.expect_success();
    done.json()
}

#[test]
fn without_a_server_a_task_is_done_once_and_the_rest_says_how_to_start_one() {
    let home = home(&["shop"]);
    let done = home.mahavishnu(["pool", "execute", "shell", "--repo", "shop", "--", "pwd; exit 3"]).run();
    done.expect_code(1);
    assert_eq!(done.stdout.trim(), home.work().join("shop").display().to_string());
    assert!(done.stderr.contains("no server runs") && done.stderr.contains("exit code 3"), "{done}");
    let refused = home.mahavishnu(["pool", "spawn", "build"]).run();
    refused.expect_code(6).expect_no_internals();
    assert!(refused.stderr.contains("mcp start"), "{refused}");
    let profiles = json(&home, &["pool", "profiles", "--format", "json"]);
    let state = |name: &str| {
        let row = profiles.as_array().unwrap().iter().find(|row| row["profile"] == name).unwrap();
        row["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("shell"), "available");
    assert!(state("terminal").contains("terminal.enabled"));
}

#[test]
fn a_killed_server_leaves_nothing_running_and_its_pools_are_there_again() {
    let home = home(&["shop"]);
    let mut server = serve(&home);
    home.mahavishnu(["pool", "spawn", "build", "--min", "1", "--max", "2"]).run().expect_success();
    home.mahavishnu(["pool", "spawn", "build"]).run().expect_code(5);
    home.mahavishnu(["pool", "scale", "build", "--max", "3"]).run().expect_success();
    let marker = home.root().join("marker");
    let line = format!("touch {}; setsid sleep 600 & sleep 600", marker.display());
    home.mahavishnu(["pool", "execute", "build", "--detach", "--", &line]).run().expect_success();
    soon("the task to begin", || marker.exists());
    let health = json(&home, &["pool", "health", "build", "--format", "json"]);
    assert!(health[0]["workers"].as_array().unwrap().iter().any(|worker| worker["state"] == "busy"), "{health}");
    let left = |home: &TestHome| {
        let script = "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/environ 2>/dev/null | grep -q '^MAHAVISHNU_STEP_ID=pools/' && tr '\\0' '\\n' <$p/environ | grep -q \"^HOME=$HOME\\$\" && echo ${p#/proc/}; done; true";
        home.sh(script).without_var("MAHAVISHNU_STEP_ID").run().stdout.lines().count()
    };
    assert!(left(&home) >= 2);
    let number = json(&home, &["pool", "tasks", "--format", "json"])[0]["task"].as_u64().unwrap();
    server.kill();
    let told = |home: &TestHome| {
        let task = json(home, &["pool", "tasks", "--format", "json"])[0].clone();
        assert_eq!((task["task"].as_u64(), task["state"].as_str()), (Some(number), Some("unknown")), "{task}");
        assert!(task["note"].as_str().unwrap().contains("killed while it ran"), "{task}");
    };
    told(&home);
    let mut server = serve(&home);
    told(&home);
    assert_eq!(left(&home), 0, "what the killed server's workers did still runs");
    let pools = json(&home, &["pool", "list", "--format", "json"]);
    assert_eq!((pools[0]["pool"].as_str(), pools[0]["max"].as_i64()), (Some("build"), Some(3)));
    let next = home.mahavishnu(["pool", "execute", "build", "--", "true"]).run();
    assert!(next.expect_success().stderr.contains(&format!("task {} by", number + 1)), "{next}");
    home.mahavishnu(["pool", "close-all", "--now"]).run().expect_success();
    assert!(json(&home, &["pool", "list", "--format", "json"]).as_array().unwrap().is_empty());
    server.signal(Signal::TERM);
    server.wait(Duration::from_secs(20));
}

#[test]
fn a_task_that_is_refused_is_no_success_and_one_that_is_cancelled_has_stopped() {
    let home = home(&[]);
    let mut server = serve(&home);
    home.mahavishnu(["pool", "spawn", "small", "--max", "1", "--queue", "1"]).run().expect_success();
    let (marker, stopped) = (home.root().join("marker"), home.root().join("stopped"));
    // It takes a while to stop.
    let line = format!(
        "trap 'sleep 0.3; touch {}; exit 1' TERM; touch {}; while :; do sleep 0.05; done",
        stopped.display(),
        marker.display()
    );
    let detach = |line: &str| home.mahavishnu(["pool", "execute", "small", "--detach", "--", line]).run();
    let first = detach(&line);
    let number = first.expect_success().stdout.trim().to_owned();
    soon("the task to begin", || marker.exists());
    detach("true").expect_success();
    let refused = detach("true");
    refused.expect_code(6).expect_no_internals();
    assert!(refused.stdout.is_empty() && refused.stderr.contains("waits already"), "{refused}");
    let cancelled = home.mahavishnu(["pool", "cancel", &number]).run();
    assert!(cancelled.expect_success().stderr.contains("cancelled"), "{cancelled}");
    assert!(stopped.exists(), "its work has stopped");
    let nothing = home.mahavishnu(["pool", "cancel", "99999"]).run();
    nothing.expect_code(4);
    assert!(nothing.stderr.contains("'mahavishnu pool tasks'"), "{nothing}");
    server.signal(Signal::TERM);
    server.wait(Duration::from_secs(20));
}

#[test]
fn ctrl_c_stops_the_task_and_not_only_the_waiting_for_it() {
    let home = home(&[]);
    let mut server = serve(&home);
    let marker = home.root().join("marker");
    let line = format!("touch {}; exec sleep 600", marker.display());
    let mut waiting = home.mahavishnu(["pool", "execute", "shell", "--", &line]).spawn_without_input();
    soon("the task to begin", || marker.exists());
    waiting.signal(Signal::INT);
    assert_eq!(waiting.wait(Duration::from_secs(20)).code(), Some(130));
    let tasks = json(&home, &["pool", "tasks", "--format", "json"]);
    assert_eq!(tasks[0]["state"], "cancelled");
    server.signal(Signal::TERM);
    server.wait(Duration::from_secs(20));
}

#[test]
fn agents_sweep_over_worktrees_and_what_they_left_there_is_never_removed() {
    let home = home(&["shop", "mill"]);
    agent(
        &home,
        "claude",
        r#"prompt=$(cat)
case $MAHAVISHNU_REPO in shop) echo change > changed;; esac
echo "{\"type\":\"result\",\"is_error\":false,\"result\":\"$prompt: done\",\"total_cost_usd\":0.5,\"usage\":{\"output_tokens\":9}}""#,
    );
    let sweep =
        json(&home, &["sweep", "--tag", "all", "--pool", "claude", "--worktree", "--format", "json", "--", "tidy up"]);
    assert_eq!(sweep["status"], "completed", "{sweep}");
    let worktrees = json(&home, &["worktree", "list", "--format", "json"]);
    let state = |rows: &Value, repository: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["repository"] == repository).cloned();
        row.map(|row| row["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state(&worktrees, "shop").as_deref(), Some("uncommitted"));
    assert_eq!(state(&worktrees, "mill").as_deref(), Some("clean"));
    assert!(!home.work().join("shop/changed").exists());
    let told = home.mahavishnu(["worktree", "reclaim", "--dry-run"]).run();
    told.expect_success();
    assert!(told.stdout.contains("would go") && told.stdout.contains("not committed: changed"), "{told}");
    assert_eq!(json(&home, &["worktree", "list", "--format", "json"]).as_array().unwrap().len(), 2);
    home.mahavishnu(["worktree", "reclaim"]).run().expect_success();
    let left = json(&home, &["worktree", "list", "--format", "json"]);
    assert_eq!((state(&left, "shop").as_deref(), state(&left, "mill")), (Some("uncommitted"), None));
    agent(&home, "claude", "cat >/dev/null; echo 'not json {{{'");
    let garbled = home.mahavishnu(["sweep", "--repo", "shop", "--pool", "claude", "--format", "json", "--", "x"]).run();
    let step = garbled.expect_code(1).json()["steps"][0].clone();
    assert_eq!(step["state"], "failed", "{step}");
    assert!(step["note"].as_str().unwrap().contains("no answer"), "{step}");
    let unknown = home.mahavishnu(["sweep", "--pool", "nobody", "--", "x"]).run();
    unknown.expect_code(4);
    assert!(unknown.stderr.contains("claude"), "{unknown}");
}
