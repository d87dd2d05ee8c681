//! A terminal that is closed while work runs in it: nothing of that work goes on unseen, what a server does goes on, and who
//! asked beforehand to be left alone is.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Running, TestHome, eventually, processes, soon};

const LIMIT: Duration = Duration::from_secs(60);

fn home() -> TestHome {
    let home = TestHome::new().with_var("MAHAVISHNU_PORT", "0");
    fs::create_dir_all(home.work().join("settings")).unwrap();
    let mut manifest = "repos:\n".to_owned();
    for name in ["a", "b"] {
        let path = home.root().join(name);
        fs::create_dir_all(&path).unwrap();
        manifest.push_str(&format!("- {{name: {name}, path: {}, role: lib}}\n", path.display()));
    }
    fs::write(home.work().join("settings/repos.yaml"), manifest).unwrap();
    home
}

/// A step that makes known that it runs, in a session of its own too, and ends when it is told.
fn script(home: &TestHome) -> String {
    let gate = home.root().join("gate");
    format!(
        "setsid sleep 9876 & extra=$!; touch begun; while ! test -e {}; do sleep 0.05; done; kill $extra",
        gate.display()
    )
}

fn have_begun(home: &TestHome) {
    soon("steps run", || ["a", "b"].iter().all(|name| home.root().join(name).join("begun").exists()));
}

/// Everything that runs in this home.
fn left(home: &TestHome) -> Vec<u32> {
    processes::with_variable("HOME", &home.user().to_string_lossy())
}

fn workflow(home: &TestHome) -> Value {
    let list = home.mahavishnu(["workflow", "list", "--format", "json"]).run().expect_success().json();
    list.as_array().unwrap()[0].clone()
}

/// A terminal with a command in it; killing this is closing the window.
fn terminal(home: &TestHome, command: &str) -> Running {
    home.program("script", ["-qec", command, "/dev/null"]).spawn()
}

#[test]
fn closing_the_terminal_cancels_what_is_driven_in_it_and_leaves_no_process() {
    for shell in ["exec mahavishnu", "mahavishnu"] {
        let home = home();
        let step = script(&home);
        fs::write(home.root().join("step"), &step).unwrap();
        let line = format!("{shell} sweep --grace 1s -- sh {}; true", home.root().join("step").display());
        let mut window = terminal(&home, &line);
        have_begun(&home);
        window.kill();
        eventually(LIMIT, "nothing is left", || left(&home).is_empty().then_some(()));
        let workflow = workflow(&home);
        assert_eq!(workflow["status"], "cancelled", "{workflow}");
        assert_eq!(workflow["cancel_requested"], true, "{workflow}");
        // It can be taken up again.
        fs::write(home.root().join("gate"), "").unwrap();
        home.mahavishnu(["workflow", "retry", workflow["id"].as_str().unwrap()]).run().expect_success();
    }
}

#[test]
fn a_hangup_that_comes_twice_is_one_and_its_exit_code_says_so() {
    let home = home();
    let step = script(&home);
    let mut sweep = home.mahavishnu(["sweep", "--grace", "1s", "--", "sh", "-c", &step]).spawn();
    have_begun(&home);
    sweep.signal(Signal::HUP);
    sweep.signal(Signal::HUP);
    assert_eq!(sweep.wait(LIMIT).code(), Some(129));
    assert_eq!(left(&home), Vec::<u32>::new());
    assert_eq!(workflow(&home)["status"], "cancelled");
}

#[test]
fn work_that_a_server_drives_goes_on_when_the_terminal_of_its_follower_is_closed() {
    let home = home();
    let mut server = home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input();
    while !server.next_line(LIMIT).expect("the server runs").contains("Ready to accept") {}
    let step = script(&home);
    let mut follower = home.mahavishnu(["sweep", "--", "sh", "-c", &step]).spawn();
    have_begun(&home);
    follower.signal(Signal::HUP);
    assert_eq!(follower.wait(LIMIT).code(), Some(129));
    assert_eq!((&workflow(&home)["status"], &workflow(&home)["cancel_requested"]), (&"running".into(), &false.into()));
    fs::write(home.root().join("gate"), "").unwrap();
    eventually(LIMIT, "the work is done", || (workflow(&home)["status"] == "completed").then_some(()));
    server.signal(Signal::TERM);
    server.wait(LIMIT);
}

#[test]
fn nohup_keeps_the_work_going() {
    let home = home();
    let line = format!("nohup mahavishnu sweep -- sh -c '{}'", script(&home));
    let mut window = terminal(&home, &line);
    have_begun(&home);
    window.kill();
    fs::write(home.root().join("gate"), "").unwrap();
    eventually(LIMIT, "the work is done", || left(&home).is_empty().then_some(()));
    assert_eq!(workflow(&home)["status"], "completed");
}

#[test]
fn a_shell_that_a_signal_ends_takes_its_steps_along() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::TERM, 143)] {
        let home = home();
        fs::write(home.root().join("step"), script(&home)).unwrap();
        let line = format!("sweep --grace 1s -- sh {}", home.root().join("step").display());
        let mut shell = home.mahavishnu(["shell", "-c", &line]).spawn();
        have_begun(&home);
        shell.signal(signal);
        assert_eq!(shell.wait(LIMIT).code(), Some(code));
        eventually(LIMIT, "nothing is left", || left(&home).is_empty().then_some(()));
        assert_ne!(workflow(&home)["status"], "completed");
    }
}

#[test]
fn a_follower_whose_server_is_killed_goes_on_by_itself() {
    let home = home();
    let mut server = home.mahavishnu(["mcp", "start", "--transport", "http"]).spawn_without_input();
    while !server.next_line(LIMIT).expect("the server runs").contains("Ready to accept") {}
    let step = script(&home);
    let mut follower = home.mahavishnu(["sweep", "--on-unknown", "retry", "--", "sh", "-c", &step]).spawn();
    have_begun(&home);
    server.kill();
    fs::write(home.root().join("gate"), "").unwrap();
    let status = follower.wait(LIMIT);
    let (out, err) = follower.rest();
    assert!(status.success() && err.contains("it goes on here"), "{status}\n{out}{err}");
}
