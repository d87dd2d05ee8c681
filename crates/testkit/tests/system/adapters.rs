//! Work that is handed to another engine, over the real program: engines that are away, slow, busy, foolish and untruthful.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::engines::{Engine, Manners};
use testkit::peers::Foreign;
use testkit::{TestHome, eventually, ports, soon};

/// A home whose manifest has two repositories and whose settings name this engine.
fn home(url: &str) -> TestHome {
    let home = TestHome::new()
        .with_var("MAHAVISHNU_ADAPTERS_LLAMAINDEX_ENABLED", "true")
        .with_var("MAHAVISHNU_ADAPTERS_LLAMAINDEX_URL", url)
        .with_var("MAHAVISHNU_ADAPTERS_POLL_SECONDS", "1");
    fs::create_dir_all(home.work().join("settings")).unwrap();
    let mut manifest = "repos:\n".to_owned();
    for (name, after) in [("core", "[]"), ("app", "[core]")] {
        let path = home.root().join(name);
        fs::create_dir_all(&path).unwrap();
        manifest.push_str(&format!("- {{name: {name}, path: {}, role: lib, depends_on: {after}}}\n", path.display()));
    }
    fs::write(home.work().join("settings/repos.yaml"), manifest).unwrap();
    home
}

const SWEEP: [&str; 7] = ["sweep", "--adapter", "llamaindex", "--target", "greet", "--format", "json"];

/// A sweep over one repository that ends with `code`; its only step.
fn step(home: &TestHome, more: &[&str], code: i32) -> Value {
    let done = home.mahavishnu(SWEEP).args(["--repo", "core"]).args(more).limit(Duration::from_secs(60)).run();
    done.expect_code(code).expect_no_internals();
    done.json()["steps"][0].clone()
}

fn note(step: &Value) -> &str {
    step["note"].as_str().unwrap_or_default()
}

#[test]
fn a_sweep_is_handed_to_the_engine_a_run_a_repository() {
    let engine = Engine::with(Manners::EndsAfter(Duration::from_millis(300)));
    let home = home(&engine.url());
    let done = home.mahavishnu(SWEEP).args(["--", "make", "all"]).run();
    done.expect_success();
    let steps = done.json()["steps"].as_array().unwrap().clone();
    assert_eq!(steps.len(), 2);
    for step in &steps {
        assert_eq!((step["state"].as_str(), step["result"].as_str()), (Some("completed"), Some("hello")), "{step}");
        assert!(step["run"].is_string());
    }
    assert_eq!(engine.begun(), 2);
    let health = home.mahavishnu(["mcp", "health"]).run();
    let wanted = "Adapters: prefect (disabled), llamaindex (active), agno (disabled)";
    assert!(health.stdout.contains(wanted), "{health}");
}

#[test]
fn a_run_whose_beginning_was_not_answered_is_not_begun_twice() {
    let engine = Engine::with(Manners::SilentOnce);
    let home = home(&engine.url());
    assert_eq!(step(&home, &[], 0)["attempt"].as_i64(), Some(1));
    assert_eq!(engine.begun(), 1);
}

#[test]
fn a_busy_engine_is_asked_again_when_it_says() {
    let engine = Engine::with(Manners::Busy(2));
    let home = home(&engine.url());
    assert_eq!(step(&home, &[], 0)["state"], "completed");
    // Two that were refused, and the one that told the end; more would be impatience.
    let looks = engine.asked().iter().filter(|path| path.starts_with("/handlers/")).count();
    assert!(looks <= 5, "{:?}", engine.asked());
}

#[test]
fn a_run_that_says_for_ever_that_it_runs_is_called_crashed() {
    let engine = Engine::with(Manners::SaysRunning);
    let home = home(&engine.url())
        .with_var("MAHAVISHNU_ADAPTERS_LLAMAINDEX_LIVENESS_SECONDS", "2")
        .with_var("MAHAVISHNU_ADAPTERS_CANCEL_SECONDS", "1");
    let step = step(&home, &[], 1);
    assert_eq!((step["state"].as_str(), step["outcome"].as_str()), (Some("failed"), Some("crashed")), "{step}");
    assert!(note(&step).contains("nothing was heard of it for 2 s"), "{step}");
    assert!(note(&step).contains("did not confirm that it has stopped"), "{step}");
    assert_eq!(engine.stopped(), 1, "it was asked to stop nevertheless");
}

#[test]
fn a_time_limit_stops_the_run_there_too() {
    let engine = Engine::with(Manners::StopsWhenAsked);
    let home = home(&engine.url());
    let step = step(&home, &["--timeout", "1s"], 1);
    assert_eq!((step["state"].as_str(), note(&step)), (Some("timeout"), "took longer than 1 s"), "{step}");
    assert_eq!(engine.stopped(), 1);
}

#[test]
fn cancelled_is_only_what_the_engine_says_has_stopped() {
    for (manners, state) in [(Manners::StopsWhenAsked, "cancelled"), (Manners::SaysRunning, "failed")] {
        let engine = Engine::with(manners);
        let home = home(&engine.url()).with_var("MAHAVISHNU_ADAPTERS_CANCEL_SECONDS", "1");
        let started = home.mahavishnu(SWEEP).args(["--repo", "core", "--detach"]).run();
        let id = started.expect_success().json()["workflow_id"].as_str().unwrap().to_owned();
        soon("the run to begin", || engine.begun() == 1);
        let show = || home.mahavishnu(["workflow", "show", &id, "--format", "json"]).run().json();
        eventually(Duration::from_secs(30), "its id to be known", || show()["steps"][0]["run"].as_str().map(drop));
        let _ = home.mahavishnu(["workflow", "cancel", &id]).limit(Duration::from_secs(60)).run();
        let ended = eventually(Duration::from_secs(30), "its end", || {
            let shown = show();
            (!matches!(shown["status"].as_str(), Some("pending" | "running"))).then_some(shown)
        });
        assert_eq!(ended["steps"][0]["state"], state, "{ended}");
        assert_eq!(engine.stopped(), 1);
    }
}

#[test]
fn nonsense_and_forgetting_are_told_as_what_they_are() {
    let garbage = Engine::with(Manners::Garbage);
    let at_garbage = home(&garbage.url()).with_var("MAHAVISHNU_ADAPTERS_PATIENCE_SECONDS", "5");
    let step_there = step(&at_garbage, &[], 1);
    assert_eq!(step_there["outcome"], "crashed");
    let said = note(&step_there);
    assert!(said.contains("no sensible answer") && said.contains("something else than JSON"), "{said}");
    let forgetful = Engine::with(Manners::Forgets);
    let at_forgetful = home(&forgetful.url());
    let step_there = step(&at_forgetful, &[], 1);
    assert!(note(&step_there).contains("knows the run no more"), "{step_there}");
}

#[test]
fn an_engine_that_is_not_there_is_said_to_be_so_before_anything_is_promised() {
    let port = ports::free();
    let home = home(&format!("http://127.0.0.1:{port}"));
    let done = home.mahavishnu(SWEEP).run();
    done.expect_code(6).expect_no_internals();
    assert!(done.stderr.contains("connection refused") && done.stderr.contains("unreachable since"), "{done}");
    let list = || home.mahavishnu(["adapters", "list", "--format", "json"]).run().json();
    let of = |list: &Value| list.as_array().unwrap().iter().find(|row| row["name"] == "llamaindex").unwrap().clone();
    let first = of(&list());
    assert_eq!(first["state"], "unreachable");
    assert_eq!(first["since"], of(&list())["since"], "it is known since when");
    assert!(home.mahavishnu(["workflow", "list", "--format", "json"]).run().json().as_array().unwrap().is_empty());
    let _stranger = Foreign::on(port);
    let verified = home.mahavishnu(["adapters", "verify", "llamaindex"]).run();
    verified.expect_code(6);
    assert!(verified.stderr.contains("something else than JSON"), "{verified}");
}

#[test]
fn wrong_wishes_are_refused_with_the_way_out() {
    let engine = Engine::with(Manners::EndsAfter(Duration::ZERO));
    let home = home(&engine.url());
    let said = |args: &[&str], code: i32| {
        let done = home.mahavishnu(args).run();
        done.expect_code(code).expect_no_internals();
        done.stderr
    };
    assert!(said(&["sweep", "--adapter", "agno", "--target", "x"], 3).contains("adapters.agno_enabled"));
    assert!(said(&["sweep", "--adapter", "prefekt", "--target", "x"], 4).contains("there are prefect"));
    assert!(said(&["sweep", "--adapter", "llamaindex", "--target", "gret"], 4).contains("it has greet"));
    assert!(said(&["sweep", "--adapter", "llamaindex", "--", "true"], 2).contains("--target"));
    let twice = ["--parameters", r#"{"command":"a"}"#, "--", "b"];
    assert!(said(&[&SWEEP[..], &twice].concat(), 2).contains("twice"));
    assert!(said(&[&SWEEP[..], &["--parameters", "[1]"]].concat(), 2).contains("no JSON object"));
    assert_eq!(engine.begun(), 0);
}

#[test]
fn whoever_drives_it_may_be_killed_and_the_run_is_attached_to() {
    let engine = Engine::with(Manners::EndsAfter(Duration::from_secs(4)));
    let home = home(&engine.url());
    let mut driver = home.mahavishnu(SWEEP).args(["--repo", "core"]).spawn_without_input();
    soon("the run to begin", || engine.begun() == 1);
    let list = || home.mahavishnu(["workflow", "list", "--format", "json"]).run().json();
    let id = list()[0]["id"].as_str().unwrap().to_owned();
    driver.kill();
    let resumed = home.mahavishnu(["workflow", "resume", &id]).limit(Duration::from_secs(60)).run();
    resumed.expect_success();
    let shown = home.mahavishnu(["workflow", "show", &id, "--format", "json"]).run().json();
    assert_eq!((shown["steps"][0]["attempt"].as_i64(), engine.begun()), (Some(1), 1), "{shown}");
}

#[test]
fn sync_learns_what_an_engine_did_while_nobody_watched() {
    let engine = Engine::with(Manners::StopsWhenAsked);
    let home = home(&engine.url());
    let interrupted = || {
        let begun = engine.begun();
        let mut driver = home.mahavishnu(SWEEP).args(["--repo", "core"]).spawn_without_input();
        soon("the run to begin", || engine.begun() > begun);
        let show = || home.mahavishnu(["workflow", "list", "--format", "json"]).run().json()[0].clone();
        let id = show()["id"].as_str().unwrap().to_owned();
        let steps = || home.mahavishnu(["workflow", "show", &id, "--format", "json"]).run().json()["steps"].clone();
        eventually(Duration::from_secs(30), "its id to be known", || steps()[0]["run"].as_str().map(drop));
        driver.kill();
        id
    };
    let id = interrupted();
    let sync = || home.mahavishnu(["shell", "-c", "sync()"]).limit(Duration::from_secs(60)).run();
    let seen = sync();
    seen.expect_success().expect_no_internals();
    assert!(seen.stdout.contains(&format!("workflow resume {id}")), "{seen}");
    assert!(seen.stdout.contains("still at work over there"), "{seen}");
    engine.end_all();
    let seen = sync();
    assert!(seen.expect_success().stdout.contains(&format!("{id} completed while nobody watched")), "{seen}");
    let shown = home.mahavishnu(["workflow", "show", &id, "--format", "json"]).run().json();
    assert_eq!((shown["status"].as_str(), shown["steps"][0]["result"].as_str()), (Some("completed"), Some("hello")));
    assert_eq!((shown["steps"][0]["attempt"].as_i64(), engine.begun()), (Some(1), 1), "{shown}");
    let seen = sync();
    assert!(seen.expect_success().stdout.contains("0 active workflows"), "{seen}");
}

#[test]
fn sync_says_that_an_engine_does_not_tell_and_changes_nothing_then() {
    let home = home("http://127.0.0.1:1");
    let engine = Engine::with(Manners::SaysRunning);
    let url = engine.url();
    let program = |args: &[&str]| home.mahavishnu(args).var("MAHAVISHNU_ADAPTERS_LLAMAINDEX_URL", url.clone());
    let mut driver = program(&SWEEP).args(["--repo", "core"]).spawn_without_input();
    soon("the run to begin", || engine.begun() == 1);
    let listed = home.mahavishnu(["workflow", "list", "--format", "json"]).run().json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let run = || program(&["workflow", "show", &id, "--format", "json"]).run().json()["steps"][0]["run"].clone();
    eventually(Duration::from_secs(30), "its id to be known", || run().as_str().map(drop));
    driver.kill();
    let seen = home.mahavishnu(["shell", "-c", "sync()"]).limit(Duration::from_secs(60)).run();
    seen.expect_success().expect_no_internals();
    assert!(seen.stdout.contains("not known, llamaindex"), "{seen}");
    assert!(seen.stdout.contains(&format!("workflow resume {id}")), "{seen}");
    let shown = program(&["workflow", "show", &id, "--format", "json"]).run().json();
    assert_eq!(shown["status"], "running", "{shown}");
}
