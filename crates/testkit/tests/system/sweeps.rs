//! Sweeps over the real program: killed at any moment, interrupted, on a full disk, many at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use rustix::process::Signal;
use serde_json::Value;
use testkit::disk::{SmallDisk, inside_mount_namespace};
use testkit::scan::runs;
use testkit::{Chance, Running, TestHome, eventually, soon};

/// Longest time of one command here.
const LIMIT: Duration = Duration::from_secs(120);

/// A manifest of `count` repositories below the home.
fn repositories(home: &TestHome, count: usize) {
    fs::create_dir_all(home.work().join("settings")).unwrap();
    let mut manifest = "repos:\n".to_owned();
    for number in 0..count {
        let path = home.root().join(format!("repos/r{number}"));
        fs::create_dir_all(&path).unwrap();
        manifest.push_str(&format!("- {{name: r{number}, path: {}, role: lib}}\n", path.display()));
    }
    fs::write(home.work().join("settings/repos.yaml"), manifest).unwrap();
}

/// Mahavishnu's server in the foreground of a test.
fn server(home: &TestHome) -> Running {
    let mut server = home.mahavishnu(["mcp", "start", "--port", "0", "--transport", "http"]).spawn();
    while !server.next_line(Duration::from_secs(30)).expect("the server runs").contains("Ready to accept") {}
    server
}

fn show(home: &TestHome, id: &str) -> Value {
    home.mahavishnu(["workflow", "show", id, "--format", "json"]).run().expect_success().json()
}

/// The id that a detached sweep printed.
fn detached(home: &TestHome, args: &[&str]) -> String {
    let words = ["sweep", "--detach", "--format", "json"].iter().chain(args);
    let done = home.mahavishnu(words.copied()).run();
    done.expect_success();
    done.json()["workflow_id"].as_str().unwrap().to_owned()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_server_killed_again_and_again_loses_no_step_and_repeats_none_that_was_recorded() {
    let home = TestHome::new();
    repositories(&home, 40);
    let mut chance = Chance::printed("sweeps::a_server_killed_again_and_again");
    let log = home.root().join("log");
    // What a step did stands in the log with its attempt; a short wait makes that a kill hits some of them.
    let script = format!("echo $MAHAVISHNU_REPO $MAHAVISHNU_ATTEMPT >> {}; sleep 0.02", log.display());
    let mut current = server(&home);
    let id = detached(&home, &["--on-unknown", "retry", "--no-lock", "--", &script]);
    let mut kills = 0;
    while kills < 12 {
        std::thread::sleep(Duration::from_millis(chance.below(150)));
        current.kill();
        kills += 1;
        current = server(&home);
        if show(&home, &id)["status"] == "completed" {
            break;
        }
    }
    let workflow = eventually(LIMIT, "the sweep ends", || {
        let workflow = show(&home, &id);
        (workflow["status"] == "completed").then_some(workflow)
    });
    let mut seen: Vec<String> = lines(&log);
    seen.sort();
    let before = seen.len();
    seen.dedup();
    assert_eq!(before, seen.len(), "an attempt ran twice");
    for step in workflow["steps"].as_array().unwrap() {
        let (repo, attempts) = (step["repo"].as_str().unwrap(), step["attempt"].as_u64().unwrap());
        assert_eq!(step["state"], "completed");
        let ran: Vec<&String> = seen.iter().filter(|line| line.split(' ').next() == Some(repo)).collect();
        assert!(ran.contains(&&format!("{repo} {attempts}")), "the attempt that counts did not run: {ran:?}");
    }
    let explained = home.mahavishnu(["workflow", "explain", &id]).run().expect_success().stdout.clone();
    let ended: Vec<&str> = explained.lines().filter(|line| line.ends_with(" ended well")).collect();
    assert_eq!(ended.len(), 40, "each step ended well once: {explained}");
}

#[test]
fn a_stopped_server_says_what_it_ends_and_the_next_one_runs_that_again() {
    let home = TestHome::new();
    repositories(&home, 2);
    let gate = home.root().join("gate");
    let mut first = server(&home);
    let script = format!("touch begun; test -e {} || sleep 9874; echo over", gate.display());
    let id = detached(&home, &["--", &script]);
    soon("both steps run", || (0..2).all(|n| home.root().join(format!("repos/r{n}/begun")).exists()));
    let stopped = home.mahavishnu(["mcp", "stop"]).limit(LIMIT).run();
    stopped.expect_success();
    assert!(first.wait(LIMIT).success());
    for said in ["Running: sh in r0, sh in r1", "sh in r0 was ended and has not finished", &id] {
        assert!(stopped.stderr.contains(said), "{said}: {stopped}");
    }
    assert!(!runs("sleep 9874"), "what was ended has ended");
    let left = show(&home, &id);
    assert_eq!((&left["waiting_for_someone"], &left["steps"][0]["state"]), (&0.into(), &"waiting".into()), "{left}");
    fs::write(&gate, "").unwrap();
    let _second = server(&home);
    let whole = eventually(LIMIT, "the next server goes on", || {
        let workflow = show(&home, &id);
        (workflow["status"] == "completed").then_some(workflow)
    });
    assert_eq!(whole["steps"][0]["attempt"], 2);
    let explained = home.mahavishnu(["workflow", "explain", &id]).run().expect_success().stdout.clone();
    assert!(explained.contains("sh in r0 was ended by the stop of its engine"), "{explained}");
    assert!(!explained.contains("may or may not"), "{explained}");
}

#[test]
fn a_second_interrupt_does_not_wait_and_the_first_stops_everything() {
    let home = TestHome::new();
    repositories(&home, 2);
    let begun = home.root().join("repos/r1/begun");
    let sweep = |script: &str| {
        let _ = fs::remove_file(&begun);
        let script = format!("touch begun; {script}");
        let running = home.mahavishnu(["sweep", "--grace", "1s", "--", "sh", "-c", &script]).spawn();
        soon("steps run", || begun.exists());
        running
    };
    let mut polite = sweep("sleep 9871");
    polite.signal(Signal::INT);
    assert_eq!(polite.wait(LIMIT).code(), Some(130));
    assert!(!runs("sleep 9871"), "cancelled means stopped");
    let mut ended = sweep("sleep 9872");
    ended.signal(Signal::TERM);
    assert_eq!(ended.wait(LIMIT).code(), Some(130));
    assert!(!runs("sleep 9872"));
    let mut stubborn = sweep("trap '' TERM; while :; do sleep 0.05; done; : 9873");
    stubborn.signal(Signal::INT);
    soon("it says so", || !stubborn.has_ended());
    stubborn.signal(Signal::INT);
    let status = stubborn.wait(LIMIT);
    assert!(!status.success());
    soon("nothing is left", || !runs(": 9873"));
}

#[test]
fn sweeps_at_the_same_time_keep_out_of_each_others_repositories() {
    let home = TestHome::new();
    repositories(&home, 3);
    let script = "mkdir busy || exit 9; sleep 0.05; rmdir busy";
    let sweeps: Vec<Running> = (0..8).map(|_| home.mahavishnu(["sweep", "--", script]).spawn()).collect();
    for mut sweep in sweeps {
        let status = sweep.wait(LIMIT);
        let (out, err) = sweep.rest();
        assert!(status.success(), "{status}\n{out}{err}");
    }
}

#[test]
fn who_waits_for_a_repository_is_told_who_holds_it() {
    let home = TestHome::new();
    repositories(&home, 1);
    let begun = home.root().join("repos/r0/begun");
    let mut killed = home.mahavishnu(["sweep", "--", "touch begun; exec sleep 9881"]).spawn();
    soon("it has begun", || begun.exists());
    killed.kill();
    let left =
        home.mahavishnu(["workflow", "list", "--format", "json"]).run().json()[0]["id"].as_str().unwrap().to_owned();
    let mut waits = home.mahavishnu(["sweep", "--", "echo through"]).at_terminal((300, 40));
    let id = eventually(LIMIT, "it waits", || {
        let list = home.mahavishnu(["workflow", "list", "--format", "json"]).run().json();
        list[0]["id"].as_str().filter(|id| *id != left).map(str::to_owned)
    });
    for words in [["workflow", "show", &id], ["workflow", "explain", &id]] {
        eventually(LIMIT, "it is said who holds it", || {
            let said = home.mahavishnu(words).run();
            (said.stdout.contains(&left) && said.stdout.contains("still runs (process ")).then_some(())
        });
    }
    waits.sees(&format!("workflow {left} was killed, and what it began there still runs"));
    let pid = testkit::scan::pids("sleep 9881");
    assert_eq!(pid.len(), 1, "{pid:?}");
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid[0]).unwrap(), Signal::TERM).unwrap();
    waits.sees("1 of 1 step completed");
    assert_eq!(waits.end().code(), Some(0));
}

#[test]
fn a_detached_sweep_goes_on_without_its_command_and_its_output_can_be_followed() {
    let home = TestHome::new();
    repositories(&home, 2);
    let id = detached(&home, &["--", "echo begun; sleep 0.5; echo done in $MAHAVISHNU_REPO"]);
    let followed = home.mahavishnu(["workflow", "logs", &id, "--follow"]).limit(LIMIT).run();
    followed.expect_success();
    for repo in ["r0", "r1"] {
        assert!(followed.stdout.contains(&format!("done in {repo}")), "{followed}");
    }
    assert_eq!(show(&home, &id)["status"], "completed");
}

#[test]
fn ten_processes_with_one_key_make_one_workflow() {
    let home = TestHome::new();
    repositories(&home, 1);
    let log = home.root().join("log");
    let script = format!("echo ran >> {}", log.display());
    let args = ["sweep", "--key", "once", "--format", "json", "--", &script];
    let asked: Vec<Running> = (0..10).map(|_| home.mahavishnu(args).spawn()).collect();
    let mut ids = Vec::new();
    for mut asked in asked {
        assert!(asked.wait(LIMIT).success());
        let (out, _) = asked.rest();
        ids.push(serde_json::from_str::<Value>(&out).unwrap()["workflow_id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(lines(&log), ["ran"]);
    let other = home.mahavishnu(["sweep", "--key", "once", "--", "true"]).run();
    other.expect_code(5).expect_no_internals();
    assert!(other.stderr.contains("key 'once' belongs to workflow"), "{other}");
}

#[test]
fn what_steps_print_is_bounded_and_holds_no_secret() {
    let home = TestHome::new();
    repositories(&home, 1);
    const SECRET: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let script = "cat \"$SECRET_FILE\"; yes 0123456789 | head -c 200000000; echo; printf '\\377\\376 last\\n'";
    let file = home.root().join("secret");
    fs::write(&file, format!("token {SECRET}\n")).unwrap();
    let done = home
        .mahavishnu(["sweep", "--format", "json", "--", script])
        .var("SECRET_FILE", file.to_string_lossy())
        .limit(LIMIT)
        .run();
    done.expect_success();
    let step = &done.json()["steps"][0];
    assert!(step["output_bytes"].as_u64().unwrap() > 200_000_000, "{step}");
    let id = done.json()["workflow_id"].as_str().unwrap().to_owned();
    let logs = home.mahavishnu(["workflow", "logs", &id]).run();
    assert!(logs.stdout.contains("bytes are left out here") && logs.stdout.contains(" last"));
    assert!(logs.stdout.len() < 1_500_000, "{} bytes", logs.stdout.len());
    fs::remove_file(&file).unwrap();
    let kept = testkit::scan::files_with(&home.mahavishnu_home(), SECRET);
    assert!(kept.is_empty(), "{kept:?}");
    let refused = home.mahavishnu(["sweep", "--", "echo", SECRET]).run();
    refused.expect_code(2);
    assert!(!refused.everything().contains(SECRET));
}

#[test]
fn a_full_disk_stops_nothing_for_good() {
    if !inside_mount_namespace("sweeps::a_full_disk_stops_nothing_for_good") {
        return;
    }
    let home = TestHome::new();
    repositories(&home, 4);
    fs::create_dir_all(home.mahavishnu_home()).unwrap();
    let disk = SmallDisk::mount(&home.mahavishnu_home(), 8 * 1024);
    home.mahavishnu(["sweep", "--", "true"]).run().expect_success();
    let gate = home.root().join("gate");
    let script = format!("touch begun; while ! test -e {}; do sleep 0.02; done; echo through", gate.display());
    let begun = |number: usize| home.root().join(format!("repos/r{number}/begun")).exists();
    let mut seat = home.mahavishnu(["sweep", "--", &script]).at_terminal((200, 40));
    soon("steps run", || (0..4).all(begun));
    let ballast = disk.fill();
    fs::write(&gate, "").unwrap();
    // Whatever the engine could not write is tried again, and it is said that it waits.
    seat.sees("what ends meanwhile is written as soon as there is room");
    assert!(seat.shown().contains("is full"), "{}", seat.shown());
    let health = home.mahavishnu(["health"]).run();
    health.expect_code(1);
    assert!(health.stdout.contains("Workflows: cannot be written"), "{health}");
    let until = SystemClock.now().to_string();
    drop(ballast);
    seat.sees("4 of 4 steps completed");
    assert_eq!(seat.end().code(), Some(0), "{}", seat.shown());
    let whole = home.mahavishnu(["workflow", "list", "--format", "json"]).run().json()[0].clone();
    assert_eq!(whole["status"], "completed", "{whole}");
    // The steps were over before there was room to write that.
    let steps = show(&home, whole["id"].as_str().unwrap())["steps"].clone();
    assert!(
        steps.as_array().unwrap().iter().all(|step| step["ended_at"].as_str().unwrap() < until.as_str()),
        "{steps}"
    );
    assert!(whole["ended_at"].as_str().unwrap() < until.as_str(), "{whole}");
}

#[test]
fn damaged_and_foreign_databases_are_told_in_one_line() {
    let home = TestHome::new();
    repositories(&home, 1);
    let file = home.mahavishnu_home().join("mahavishnu.db");
    home.mahavishnu(["sweep", "--", "true"]).run().expect_success();
    fs::write(&file, vec![b'x'; 8192]).unwrap();
    for args in [vec!["workflow", "list"], vec!["sweep", "--", "true"]] {
        let done = home.mahavishnu(args).run();
        done.expect_code(6).expect_no_internals();
        assert!(done.stderr.contains("mahavishnu.db is damaged or no database"), "{done}");
    }
}
