//! Work that is handed to a server that speaks as Prefect does: its events are hints and nothing more, and whatever else it
//! does is told as what it is.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::engines::prefect::{AUTH, Answers, Events, Prefect};
use testkit::{Running, TestHome, eventually, ports, soon};

const LIMIT: Duration = Duration::from_secs(60);

/// A home with one repository whose settings name this server.
fn home(url: &str) -> TestHome {
    let home = TestHome::new()
        .with_var("MAHAVISHNU_ADAPTERS_PREFECT_ENABLED", "true")
        .with_var("MAHAVISHNU_ADAPTERS_PREFECT_URL", url)
        .with_var("MAHAVISHNU_ADAPTERS_PREFECT_AUTH", AUTH)
        .with_var("MAHAVISHNU_ADAPTERS_POLL_SECONDS", "1");
    let core = home.root().join("core");
    fs::create_dir_all(&core).unwrap();
    fs::create_dir_all(home.work().join("settings")).unwrap();
    let manifest = format!("repos:\n- {{name: core, path: {}, role: lib}}\n", core.display());
    fs::write(home.work().join("settings/repos.yaml"), manifest).unwrap();
    home
}

const SWEEP: [&str; 7] = ["sweep", "--adapter", "prefect", "--target", "greet/dep", "--format", "json"];

/// A sweep under way, whose run has begun.
fn begin(home: &TestHome, server: &Prefect, more: &[&str]) -> Running {
    let running = home.mahavishnu(SWEEP).args(more).spawn_without_input();
    soon("the run to begin", || server.begun() == 1);
    running
}

/// The only step of the newest workflow, when it has ended.
fn ended(home: &TestHome, running: &mut Running) -> Value {
    running.wait(LIMIT);
    let list = home.mahavishnu(["workflow", "list", "--format", "json"]).run().json();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    home.mahavishnu(["workflow", "show", &id, "--format", "json"]).run().json()["steps"][0].clone()
}

fn note(step: &Value) -> &str {
    step["note"].as_str().unwrap_or_default()
}

#[test]
fn what_the_events_say_is_looked_at_at_once_and_believed_only_then() {
    let server = Prefect::start();
    // Alone, it would be looked at ever more rarely, up to once an hour.
    let home = home(&server.url()).with_var("MAHAVISHNU_ADAPTERS_POLL_SECONDS", "3600");
    let mut running = begin(&home, &server, &[]);
    soon("it to listen", || server.listeners() == 1);
    soon("some looks", || server.looks() >= 4);
    // Events of nothing new cost a look each at most, and end nothing.
    let before = server.looks();
    server.becomes("RUNNING", "Running", true);
    soon("a look for the event", || server.looks() > before);
    assert!(!running.has_ended());
    let before = server.looks();
    server.becomes("COMPLETED", "Completed", true);
    let step = ended(&home, &mut running);
    assert_eq!((step["state"].as_str(), server.looks() - before), (Some("completed"), 1), "{step}");
    assert_eq!((server.streams(), server.begun()), (1, 1));
}

#[test]
fn without_events_or_with_bad_ones_all_goes_on_as_ever() {
    for events in [Events::Absent, Events::Denies, Events::Closes, Events::Garbage, Events::Silent, Events::Floods] {
        let server = Prefect::start();
        server.events(events);
        let home = home(&server.url());
        let mut running = begin(&home, &server, &[]);
        soon("events to be asked for", || server.streams() > 0);
        soon("some looks", || server.looks() >= 5);
        server.becomes("COMPLETED", "Completed", false);
        let step = ended(&home, &mut running);
        assert_eq!(step["state"], "completed", "{events:?} {step}");
        assert!(server.streams() <= 5, "{events:?}: {} streams", server.streams());
        let log = home.mahavishnu(["logs", "--grep", "tells of no changes"]).run().stdout;
        // One that says nothing at all is given up after some seconds only.
        let lines = log.lines().count();
        assert!(lines == 1 || (lines == 0 && events == Events::Silent), "{events:?}: {log}");
        assert!(!log.contains(AUTH), "{log}");
    }
}

#[test]
fn a_stream_that_is_lost_and_comes_back_is_used_again() {
    let server = Prefect::start();
    let home = home(&server.url());
    let mut running = begin(&home, &server, &[]);
    soon("it to listen", || server.listeners() == 1);
    server.events(Events::Absent);
    let looks = server.looks();
    soon("it to be polled", || server.looks() >= looks + 3);
    server.events(Events::Good);
    eventually(LIMIT, "it to listen again", || (server.listeners() == 1).then_some(()));
    server.becomes("COMPLETED", "Completed", true);
    assert_eq!(ended(&home, &mut running)["state"], "completed");
    assert_eq!(home.mahavishnu(["logs", "--grep", "tells of changes again"]).run().stdout.lines().count(), 1);
}

#[test]
fn a_server_that_vanishes_in_the_midst_is_waited_for_and_then_given_up() {
    let server = Prefect::start();
    let home = home(&server.url()).with_var("MAHAVISHNU_ADAPTERS_PATIENCE_SECONDS", "5");
    let mut running = begin(&home, &server, &[]);
    soon("a look", || server.looks() >= 2);
    drop(server);
    let step = ended(&home, &mut running);
    assert_eq!((step["state"].as_str(), step["outcome"].as_str()), (Some("failed"), Some("crashed")), "{step}");
    assert!(note(&step).contains("connection refused") && note(&step).contains("may still be at work"), "{step}");
    // Everybody tells the same of it, and the same time.
    let list = home.mahavishnu(["adapters", "list", "--format", "json"]).run().json();
    let prefect = list.as_array().unwrap().iter().find(|row| row["name"] == "prefect").unwrap().clone();
    assert_eq!(prefect["state"], "unreachable");
    let again = home.mahavishnu(["adapters", "list", "--format", "json"]).run().json();
    assert!(again.as_array().unwrap().iter().any(|row| row["since"] == prefect["since"]), "{again}");
    let health = home.mahavishnu(["mcp", "health"]).run();
    assert!(health.stdout.contains("prefect (unreachable") && health.stdout.contains("since"), "{health}");
}

#[test]
fn answers_that_are_none_are_borne_for_a_while() {
    let troubles = [
        Answers::Always(500, "", "boom"),
        Answers::Always(200, "content-type: application/json\r\n", "{\"state\": {\"ty"),
        Answers::Always(200, "content-type: application/json\r\n", "[]"),
        Answers::Always(401, "", r#"{"exception_message":"Unauthorized"}"#),
        Answers::Nothing,
        Answers::TooMany(3),
        Answers::Late(Duration::from_secs(2)),
    ];
    for trouble in troubles {
        let server = Prefect::start();
        let home = home(&server.url());
        let mut running = begin(&home, &server, &[]);
        soon("a look", || server.looks() >= 2);
        server.answers(trouble.clone());
        let looks = server.looks();
        soon("looks that come to nothing", || server.looks() >= looks + 2);
        server.becomes("COMPLETED", "Completed", false);
        server.answers(Answers::Right);
        let step = ended(&home, &mut running);
        assert_eq!(
            (step["state"].as_str(), step["attempt"].as_i64()),
            (Some("completed"), Some(1)),
            "{trouble:?} {step}"
        );
        assert_eq!((server.begun(), server.cancels()), (1, 0), "{trouble:?}");
    }
}

#[test]
fn answers_that_stay_none_are_told_each_as_what_it_is() {
    let troubles = [
        (Answers::Always(500, "", "boom"), "failed (500"),
        (Answers::Always(200, "", "<html>"), "something else than JSON"),
        (Answers::Always(401, "", r#"{"exception_message":"Unauthorized"}"#), "other credentials (401: Unauthorized)"),
        (Answers::Always(429, "retry-after: 1\r\n", r#"{"detail":"too many"}"#), "busy (429: too many)"),
    ];
    for (trouble, why) in troubles {
        let server = Prefect::start();
        let home = home(&server.url()).with_var("MAHAVISHNU_ADAPTERS_PATIENCE_SECONDS", "5");
        let mut running = begin(&home, &server, &[]);
        soon("a look", || server.looks() >= 1);
        server.answers(trouble.clone());
        let step = ended(&home, &mut running);
        assert_eq!(step["outcome"], "crashed", "{step}");
        assert!(note(&step).contains(why) && note(&step).contains("may still be at work"), "{trouble:?}: {step}");
    }
}

#[test]
fn a_run_that_the_server_does_not_take_is_refused_with_its_reason() {
    let server = Prefect::start();
    server.answers(Answers::Always(409, "", r#"{"detail":"Validation failed: 'depth' is no number"}"#));
    let home = home(&server.url());
    let mut running = home.mahavishnu(SWEEP).spawn_without_input();
    let step = ended(&home, &mut running);
    assert_eq!((step["state"].as_str(), step["outcome"].as_str()), (Some("failed"), Some("failed")), "{step}");
    assert!(note(&step).contains("'depth' is no number"), "{step}");
    let creates = server.asked().iter().filter(|asked| asked.ends_with("create_flow_run")).count();
    assert_eq!(creates, 1, "what is refused is not tried again: {:?}", server.asked());
}

#[test]
fn a_beginning_that_was_not_answered_is_asked_again_under_the_same_key() {
    let server = Prefect::start();
    server.answers(Answers::Nothing);
    let home = home(&server.url());
    let mut running = begin(&home, &server, &[]);
    let creates = || server.asked().iter().filter(|asked| asked.ends_with("create_flow_run")).count();
    soon("a second try", || creates() >= 2);
    server.becomes("COMPLETED", "Completed", false);
    server.answers(Answers::Right);
    let step = ended(&home, &mut running);
    assert_eq!((step["state"].as_str(), server.begun()), (Some("completed"), 1), "{step}");
}

#[test]
fn crashed_and_failed_are_told_apart() {
    for (kind, outcome) in [("CRASHED", "crashed"), ("FAILED", "failed")] {
        let server = Prefect::start();
        let home = home(&server.url());
        let mut running = begin(&home, &server, &[]);
        soon("a look", || server.looks() >= 1);
        server.becomes(kind, kind, true);
        let step = ended(&home, &mut running);
        assert_eq!((step["state"].as_str(), step["outcome"].as_str()), (Some("failed"), Some(outcome)), "{step}");
    }
}

#[test]
fn the_servers_clock_does_not_matter() {
    for ahead in [86_400, -86_400] {
        let server = Prefect::start();
        server.clock_is_ahead(ahead);
        let home = home(&server.url());
        let mut running = begin(&home, &server, &["--timeout", "10m"]);
        soon("it to listen", || server.listeners() == 1);
        soon("a look", || server.looks() >= 2);
        server.becomes("COMPLETED", "Completed", true);
        let step = ended(&home, &mut running);
        assert_eq!((step["state"].as_str(), server.cancels()), (Some("completed"), 0), "{ahead}: {step}");
    }
}

#[test]
fn a_pool_is_made_of_what_prefect_has_and_says_what_cannot_be_known() {
    let server = Prefect::start();
    let port = ports::free();
    let home = home(&server.url()).with_var("MAHAVISHNU_PORT", port.to_string());
    let mut serving = home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input();
    soon("the server to serve", || home.mahavishnu(["pool", "list"]).run().code == Some(0));
    let spawn = |name: &str, target: &str| {
        home.mahavishnu(["pool", "spawn", name, "--engine", "prefect", "--target", target]).run()
    };
    for missing in ["greet/nothing", "greet/dep/more", "nothing"] {
        let refused = spawn("lost", missing);
        refused.expect_code(4).expect_no_internals();
        assert!(refused.stderr.contains(&format!("prefect has nothing called '{missing}'")), "{refused}");
        assert!(refused.stderr.contains("it has greet/dep; 'mahavishnu adapters verify prefect' shows"), "{refused}");
    }
    let pools = || home.mahavishnu(["pool", "list", "--format", "json"]).run().json();
    assert_eq!(pools(), serde_json::json!([]), "nothing of them is kept");

    let made = spawn("far", "greet/dep");
    assert!(made.expect_success().stderr.is_empty(), "{made}");
    server.has_no_worker(true);
    let idle = spawn("idle", "d");
    let said = "warning: its tasks wait for now: no worker of the work pool here takes its runs: 'prefect worker start --pool here' starts one";
    assert!(idle.expect_success().stderr.contains(said), "{idle}");
    let health = |name: &str| home.mahavishnu(["pool", "health", name, "--format", "json"]).run().json()[0].clone();
    assert!(health("idle")["trouble"].as_str().unwrap().starts_with("no worker of the work pool here"));
    server.has_no_worker(false);
    assert_eq!(health("idle")["healthy"], true);

    // While Prefect is away nobody can say what it has: that may pass, so the pool is made.
    drop(server);
    let away = spawn("away", "greet/other");
    let said = away.expect_success().stderr.clone();
    assert!(said.starts_with("warning: whether prefect has greet/other is not known: "), "{away}");
    assert!(said.contains("unreachable since") && said.contains("adapters.prefect_url"), "{away}");
    assert_eq!(pools().as_array().map(Vec::len), Some(3));
    serving.signal(rustix::process::Signal::TERM);
    serving.wait(LIMIT);
}

#[test]
fn a_pool_of_prefect_does_its_tasks_there_and_calls_nothing_cancelled_that_has_not_stopped() {
    let server = Prefect::start();
    let home = home(&server.url())
        .with_var("MAHAVISHNU_PORT", ports::free().to_string())
        .with_var("MAHAVISHNU_ADAPTERS_CANCEL_SECONDS", "1");
    let mut serving = home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input();
    soon("the server to serve", || home.mahavishnu(["pool", "list"]).run().code == Some(0));
    let spawn = ["pool", "spawn", "far", "--engine", "prefect", "--target", "greet/dep", "--max", "2"];
    home.mahavishnu(spawn).run().expect_success();
    // Does a task until it is at work, cancels it, and gives what became of it.
    let cancelled = |runs: usize| {
        let looks = server.looks();
        let task = ["pool", "execute", "far", "--detach", "--repo", "core", "--", "make all"];
        let began = home.mahavishnu(task).run();
        let number = began.expect_success().stdout.trim().to_owned();
        soon("the run to begin", || server.begun() == runs);
        soon("a look", || server.looks() > looks);
        home.mahavishnu(["pool", "cancel", &number]).run().expect_success();
        let state = || home.mahavishnu(["pool", "task", &number, "--format", "json"]).run().json();
        eventually(LIMIT, "its end", || Some(state()).filter(|task| task["ended_at"].is_string()))
    };
    let obedient = cancelled(1);
    assert_eq!((obedient["state"].as_str(), server.cancels()), (Some("cancelled"), 1), "{obedient}");
    server.becomes("RUNNING", "Running", false);
    server.disobeys();
    let other = cancelled(2);
    assert_eq!((other["state"].as_str(), server.cancels()), (Some("failed"), 2), "{other}");
    assert!(note(&other).contains("did not confirm that it has stopped"), "{other}");
    let health = || home.mahavishnu(["pool", "health", "far", "--format", "json"]).run().json()[0].clone();
    assert_eq!(health()["healthy"], true);
    drop(server);
    // What was asked within five seconds is not asked again.
    let ill = eventually(LIMIT, "it to be known", || Some(health()).filter(|pool| pool["healthy"] == false));
    assert!(ill["trouble"].as_str().is_some_and(|why| why.starts_with("unreachable (nobody listens")), "{ill}");
    serving.signal(rustix::process::Signal::TERM);
    serving.wait(LIMIT);
}
