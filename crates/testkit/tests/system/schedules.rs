//! Plans from files and schedules, over the real program and its server.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::git::repository;
use testkit::wait::eventually;
use testkit::{Running, TestHome};

fn home() -> TestHome {
    let home = TestHome::new().with_var("MAHAVISHNU_PORT", "0").with_var("TZ", "UTC");
    for name in ["core", "app"] {
        let _ = repository(&home, name);
    }
    home.mahavishnu(["repos", "add", "core"]).run().expect_success();
    home.mahavishnu(["repos", "add", "app", "--depends-on", "core"]).run().expect_success();
    home
}

fn server(home: &TestHome) -> Running {
    home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input()
}

fn workflows(home: &TestHome) -> Vec<Value> {
    let done = home.mahavishnu(["workflow", "list", "--format", "json"]).run();
    done.expect_success();
    done.json().as_array().unwrap().clone()
}

/// Moves a schedule into the past, as time without a server does.
fn set_back(home: &TestHome, minutes: u32) {
    let file = home.mahavishnu_home().join("mahavishnu.db");
    let past = format!("strftime('%Y-%m-%dT%H:%M:%f', 'now', '-{minutes} minutes') || '000Z'");
    let change = format!("PRAGMA busy_timeout = 10000; UPDATE schedules SET cursor = {past}, next = {past};");
    home.program("sqlite3", [file.to_string_lossy().as_ref(), &change]).run().expect_success();
}

#[test]
fn a_plan_runs_in_its_order_and_a_dry_run_runs_nothing() {
    let home = home();
    let plan = "name: release\ntasks:\n  - {name: note, run: echo $MAHAVISHNU_REPO >> ../log}\n  - {name: end, run: echo end >> log, once: true, after: [note]}\n";
    fs::write(home.work().join("plan.yaml"), plan).unwrap();
    let dry = home.mahavishnu(["workflow", "run", "plan.yaml", "--dry-run", "--format", "json"]).run();
    dry.expect_success();
    let rounds: Vec<i64> = dry.json().as_array().unwrap().iter().filter_map(|row| row["round"].as_i64()).collect();
    assert_eq!(rounds, [1, 2, 3]);
    assert!(!home.work().join("log").exists());
    home.mahavishnu(["workflow", "run", "plan.yaml"]).run().expect_success();
    assert_eq!(fs::read_to_string(home.work().join("log")).unwrap(), "core\napp\nend\n");
    assert_eq!(workflows(&home)[0]["task"], "release");

    fs::write(home.work().join("wrong.yaml"), "tasks:\n  - name: a\n    run: x\n    after: [b]\n").unwrap();
    let wrong = home.mahavishnu(["workflow", "run", "wrong.yaml"]).run();
    wrong.expect_code(2);
    assert!(wrong.stderr.contains("wrong.yaml:4: task 'a' comes after 'b'"), "{wrong}");
}

#[test]
fn missed_runs_are_made_up_for_once_also_by_two_servers_that_are_killed() {
    let home = home();
    let args = ["workflow", "schedule", "add", "often", "--cron", "*/10 * * * *", "--misfire", "latest", "--"];
    home.mahavishnu(args.iter().copied().chain(["--repo", "core", "--", "true"])).run().expect_success();
    set_back(&home, 200);
    let preview = home.mahavishnu(["workflow", "schedule", "preview", "often", "--count", "2"]).run();
    assert!(preview.stdout.contains("Missed so far: "), "{preview}");
    let mut first = server(&home);
    let ended = eventually(Duration::from_secs(60), "the run that makes up for the missed ones", || {
        workflows(&home).into_iter().find(|workflow| workflow["status"] == "completed")
    });
    assert_eq!(ended["schedule"], "often");
    first.kill();
    let show = home.mahavishnu(["workflow", "schedule", "show", "often", "--format", "json"]).run();
    let shown = show.json();
    assert_eq!(shown["last_workflow"], ended["id"], "{show}");
    assert!(shown["left_out"].as_i64().unwrap() >= 18, "{show}");
    home.mahavishnu(["workflow", "schedule", "pause", "often"]).run().expect_success();
    assert_eq!(workflows(&home).len(), 1);
    home.mahavishnu(["workflow", "schedule", "remove", "often"]).run().expect_success();
}

#[test]
fn a_schedule_that_lost_its_manifest_says_so_and_takes_no_other() {
    let home = home();
    let other = home.work().join("other");
    fs::create_dir_all(other.join("settings")).unwrap();
    let manifest = format!("repos:\n- {{name: own, path: {}, role: lib}}\n", other.display());
    fs::write(other.join("settings/repos.yaml"), manifest).unwrap();
    let add = ["workflow", "schedule", "add", "often", "--cron", "0 3 * * *", "--", "--", "true"];
    home.mahavishnu(add).cwd(&other).run().expect_success();
    fs::remove_file(other.join("settings/repos.yaml")).unwrap();
    make_due(&home, 20);
    let listed = home.mahavishnu(["workflow", "schedule", "list", "--format", "csv"]).run();
    let row = listed.stdout.lines().nth(1).unwrap();
    assert!(row.contains(",1,"), "the run that was missed counts: {listed}");
    let _server = server(&home);
    let why = eventually(Duration::from_secs(60), "the run that could not begin", || {
        schedule(&home)["error"].as_str().map(str::to_owned)
    });
    assert!(why.contains("manifest of this schedule is not there any more") && why.contains("repos.yaml"), "{why}");
    assert!(workflows(&home).is_empty());
}

/// Lets a schedule have been due so many minutes ago, and not again before tomorrow.
fn make_due(home: &TestHome, ago: u32) {
    let file = home.mahavishnu_home().join("mahavishnu.db");
    let cron = format!("strftime('%M %H', 'now', '-{ago} minutes') || ' * * *'");
    let change = format!("PRAGMA busy_timeout = 10000; UPDATE schedules SET cron = {cron};");
    home.program("sqlite3", [file.to_string_lossy().as_ref(), &change]).run().expect_success();
    set_back(home, 30);
}

fn schedule(home: &TestHome) -> Value {
    home.mahavishnu(["workflow", "schedule", "show", "often", "--format", "json"]).run().expect_success().json()
}

/// A schedule whose runs wait until there is a file `gate`, and its first run at work in a server.
fn slow_schedule(home: &TestHome, overlap: &[&str]) -> Running {
    let script = "touch begun; while ! test -e ../gate; do sleep 0.05; done";
    let add = ["workflow", "schedule", "add", "often", "--cron", "0 3 * * *"];
    let words = ["--", "--repo", "core", "--on-unknown", "retry", "--", "sh", "-c", script];
    home.mahavishnu(add.iter().chain(overlap).chain(&words).copied()).run().expect_success();
    make_due(home, 20);
    let server = server(home);
    eventually(Duration::from_secs(60), "the first run", || home.work().join("core/begun").exists().then_some(()));
    server
}

#[test]
fn a_run_that_is_due_while_an_earlier_one_is_at_work_is_skipped_and_told_also_after_a_kill() {
    let home = home();
    let mut first = slow_schedule(&home, &[]);
    let running = workflows(&home)[0]["id"].as_str().unwrap().to_owned();
    first.kill();
    make_due(&home, 15);
    let preview = home.mahavishnu(["workflow", "schedule", "preview", "often", "--count", "1"]).run();
    assert!(preview.stdout.contains("by the policy 'skip' a run that is due now would be skipped"), "{preview}");
    let _second = server(&home);
    let shown = eventually(Duration::from_secs(60), "the run is skipped", || {
        Some(schedule(&home)).filter(|shown| shown["skipped"] == 1)
    });
    assert_eq!(shown["skipped_for"], running.as_str(), "{shown}");
    let list = home.mahavishnu(["workflow", "schedule", "list"]).run();
    assert!(list.stdout.contains("skipped: "), "{list}");
    assert_eq!(workflows(&home).len(), 1);
    fs::write(home.work().join("gate"), "").unwrap();
    eventually(Duration::from_secs(60), "it ends", || (workflows(&home)[0]["status"] == "completed").then_some(()));
    make_due(&home, 10);
    eventually(Duration::from_secs(60), "the next run", || (workflows(&home).len() == 2).then_some(()));
    assert_eq!(schedule(&home)["skipped"], 1);
}

#[test]
fn runs_that_queue_begin_one_after_the_other_whoever_is_killed() {
    let home = home();
    let mut first = slow_schedule(&home, &["--overlap", "queue"]);
    make_due(&home, 15);
    eventually(Duration::from_secs(60), "a second run waits", || (workflows(&home).len() == 2).then_some(()));
    first.kill();
    let list = home.mahavishnu(["workflow", "list"]).run();
    assert!(list.stdout.contains("after the run before it"), "{list}");
    let _second = server(&home);
    let by_age = |home: &TestHome| -> Vec<Value> { workflows(home).into_iter().rev().collect() };
    eventually(Duration::from_secs(60), "the first goes on", || (by_age(&home)[0]["running"] == 1).then_some(()));
    assert_eq!((&by_age(&home)[1]["status"], &by_age(&home)[1]["queued"]), (&"pending".into(), &true.into()));
    fs::write(home.work().join("gate"), "").unwrap();
    let ended = eventually(Duration::from_secs(60), "both end", || {
        Some(by_age(&home)).filter(|all| all.iter().all(|workflow| workflow["status"] == "completed"))
    });
    assert!(ended[0]["ended_at"].as_str() <= ended[1]["started_at"].as_str(), "{ended:?}");
}

#[test]
fn wrong_schedules_are_refused_in_one_line() {
    let home = home();
    let add = |cron: &str, zone: &str, sweep: &[&str]| {
        let args = ["workflow", "schedule", "add", "x", "--cron", cron, "--tz", zone, "--"];
        home.mahavishnu(args.iter().copied().chain(sweep.iter().copied())).run()
    };
    for (done, part) in [
        (add("0 25 * * *", "UTC", &["true"]), "'25' is no hour"),
        (add("0 3 * * *", "Mars/Olympus", &["true"]), "no time zone"),
        (add("0 3 * * *", "UTC", &["--tagg", "x", "--", "true"]), "is no sweep"),
        (add("0 3 * * *", "UTC", &["--tag", "none", "--", "true"]), "no repository has the tag"),
    ] {
        assert!(done.stderr.contains(part) && !done.stderr.contains("panicked"), "{done}");
    }
    let args =
        ["workflow", "schedule", "add", "x", "--cron", "@daily", "--misfire", "all", "--overlap", "skip", "--", "true"];
    let contrary = home.mahavishnu(args).run();
    contrary.expect_code(2);
    assert!(contrary.stderr.contains("do not go together"), "{contrary}");
    add("0 3 * * *", "UTC", &["sweep", "--repo", "core", "--", "true"]).expect_success();
    assert!(add("0 3 * * *", "UTC", &["true"]).stderr.contains("already"));
}
