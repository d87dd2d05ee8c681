//! Engines over a real database and real processes.

mod damage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use oneiric::clock::{SystemClock, Timestamp};
use oneiric::redact::Redactor;

use super::*;
use crate::run::{Stop, read_output, survivors};
use crate::workflows::fact::{Decision, Ending, Fact, Outcome, StepState};
use crate::workflows::plan::{OnUnknown, Place, Plan, Policy, Task, Work};
use crate::workflows::{NewWorkflow, Request, Status, Workflow, Workflows};

struct World {
    dir: tempfile::TempDir,
    table: Workflows,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let table = Workflows::at(dir.path().join("home/mahavishnu.db"));
        Self { dir, table }
    }

    fn home(&self) -> Home {
        Home::at(self.dir.path().join("home"))
    }

    fn config(&self, capacity: usize) -> EngineConfig {
        let environment = CommandRunner::inherited(std::env::vars_os());
        let runner =
            CommandRunner { environment, redactor: Arc::new(Redactor::standard()), clock: Arc::new(SystemClock) };
        EngineConfig {
            home: self.home(),
            capacity,
            remote_capacity: 4,
            takes: Takes::All,
            runner: Arc::new(runner),
            clock: Arc::new(SystemClock),
        }
    }

    fn engine(&self) -> Engine {
        Engine::start(self.config(4)).unwrap()
    }

    fn repos(&self, count: usize) -> Vec<Place> {
        let place = |n: usize| {
            let dir = self.dir.path().join(format!("repo{n}"));
            std::fs::create_dir_all(&dir).unwrap();
            Place { name: format!("repo{n}"), dir, after: Vec::new() }
        };
        (0..count).map(place).collect()
    }

    fn submit(&self, plan: Plan) -> String {
        let new = NewWorkflow { plan, key: None, asked_by: "test".into(), schedule: None };
        self.table.submit(&new, "test", None, SystemClock.now()).unwrap().id
    }

    fn wait(&self, id: &str, what: &str, is: impl Fn(&Workflow) -> bool) -> Workflow {
        let limit = SystemClock.monotonic() + Duration::from_secs(60);
        loop {
            let workflow = self.table.get(id).unwrap();
            if is(&workflow) {
                return workflow;
            }
            assert!(SystemClock.monotonic() < limit, "{what}: {workflow:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&self, id: &str) -> Workflow {
        self.wait(id, "it does not end", |workflow| workflow.status.is_final())
    }

    fn states(&self, workflow: &Workflow) -> Vec<StepState> {
        let (_, steps) = self.table.steps(workflow).unwrap();
        steps.into_iter().map(|(_, step)| step.state).collect()
    }

    fn output(&self, id: &str, step: u32, attempt: u32) -> String {
        read_output(&output_path(&self.home(), id, step, attempt), 0).unwrap().0
    }

    fn ask(&self, id: &str, request: &Request) -> std::result::Result<(), String> {
        let number = self.table.ask(&self.table.get(id).unwrap(), request, SystemClock.now()).unwrap();
        let limit = SystemClock.monotonic() + Duration::from_secs(30);
        loop {
            if let Some(answer) = self.table.answer(number).unwrap() {
                return answer;
            }
            assert!(SystemClock.monotonic() < limit, "nobody answers");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn sh(script: &str) -> Work {
    Work::Command { argv: ["sh", "-c", script].map(String::from).to_vec(), env: BTreeMap::new() }
}

fn plan(repos: Vec<Place>, tasks: Vec<(Work, Policy)>) -> Plan {
    let chain = |n: usize| if n == 0 { Vec::new() } else { vec![u32::try_from(n - 1).unwrap()] };
    let task = |(n, (work, policy)): (usize, (Work, Policy))| Task {
        name: format!("task{n}"),
        work,
        once: false,
        after: chain(n),
        policy,
    };
    Plan {
        tasks: tasks.into_iter().enumerate().map(task).collect(),
        repos,
        parallel: 8,
        fail_fast: false,
        time_limit: None,
    }
}

fn one(world: &World, script: &str, policy: Policy) -> String {
    world.submit(plan(world.repos(1), vec![(sh(script), policy)]))
}

#[test]
fn every_repository_is_worked_in_and_order_is_kept() {
    let world = World::new();
    let engine = world.engine();
    let mut repos = world.repos(3);
    repos[0].after = vec![1];
    repos[1].after = vec![2];
    let log = world.dir.path().join("order");
    let script = format!("basename \"$PWD\" >> {}; echo made in $MAHAVISHNU_REPO", log.display());
    let id = world.submit(plan(repos, vec![(sh(&script), Policy::default())]));
    let workflow = world.end(&id);
    assert_eq!(
        (workflow.status, workflow.completed, workflow.exit_code),
        (Status::Completed, 3, Some(0)),
        "{workflow:?}"
    );
    assert_eq!(std::fs::read_to_string(log).unwrap(), "repo2\nrepo1\nrepo0\n");
    assert_eq!(world.output(&id, 0, 1), "made in repo0\n");
    engine.end(Duration::from_secs(5));
}

#[test]
fn failures_tell_their_exit_code_and_last_line_and_are_tried_again() {
    let world = World::new();
    let engine = world.engine();
    let policy = Policy { attempts: 3, backoff: 0.02, ..Policy::default() };
    let id = one(
        &world,
        "test -e mended && exit 0; echo attempt $MAHAVISHNU_ATTEMPT; test $MAHAVISHNU_ATTEMPT = 2 && touch mended; exit 7",
        policy,
    );
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Completed, "{workflow:?}");
    let ended: Vec<_> = world
        .table
        .facts(&workflow)
        .unwrap()
        .into_iter()
        .filter_map(|(_, fact)| match fact {
            Fact::Ended { ending, .. } => Some((ending.exit_code, ending.note)),
            _ => None,
        })
        .collect();
    assert_eq!(ended[0], (Some(7), Some("exit code 7: attempt 1".into())));
    assert_eq!(ended.len(), 3);
    let id = world.submit(plan(
        world.repos(1),
        vec![(Work::Command { argv: vec!["no-such-program".into()], env: BTreeMap::new() }, Policy::default())],
    ));
    let workflow = world.end(&id);
    assert_eq!((workflow.status, workflow.exit_code), (Status::Failed, Some(127)));
    assert!(
        workflow.error.unwrap().contains("cannot start no-such-program"),
        "which program, and that it is not there"
    );
    engine.end(Duration::from_secs(5));
}

#[test]
fn a_time_limit_ends_the_whole_family_also_those_who_hide() {
    let world = World::new();
    let engine = world.engine();
    let policy = Policy { timeout: Some(0.3), grace: 0.2, ..Policy::default() };
    // One that ignores the request, one in a session of its own, and one in the background.
    let id =
        one(&world, "trap '' TERM; setsid sleep 987 & sleep 987 & echo begun; while :; do sleep 0.05; done", policy);
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Timeout);
    assert!(workflow.error.unwrap().contains("took longer than 0.3 s"));
    assert_eq!(world.output(&id, 0, 1), "begun\n");
    assert!(survivors(&format!("{}/", engine.id())).is_empty(), "something of it still runs");
    engine.end(Duration::from_secs(5));
}

#[test]
fn cancelled_means_that_the_work_has_stopped() {
    let world = World::new();
    let engine = world.engine();
    let grace = Policy { grace: 0.2, ..Policy::default() };
    let id = world.submit(plan(world.repos(2), vec![(sh("sleep 987"), grace.clone()), (sh("true"), grace)]));
    world.wait(&id, "two run", |workflow| workflow.running == 2);
    world.ask(&id, &Request::Cancel { by: "me".into() }).unwrap();
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Cancelled);
    assert_eq!(world.states(&workflow), [StepState::Cancelled; 4]);
    assert!(survivors(&format!("{}/", engine.id())).is_empty());
    assert!(world.table.ask(&workflow, &Request::Cancel { by: "me".into() }, SystemClock.now()).is_err());
    engine.end(Duration::from_secs(5));
}

#[test]
fn output_is_bounded_readable_and_without_secrets() {
    let world = World::new();
    let engine = world.engine();
    let script = r"echo first; printf 'bad \377 byte\n'; echo password=hunter2hunter2; yes 0123456789 | head -c 30000000; echo; echo last";
    let id = one(&world, script, Policy::default());
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Completed, "{workflow:?}");
    let output = world.output(&id, 0, 1);
    assert!(output.starts_with("first\nbad \u{fffd} byte\n") && output.ends_with("last\n"));
    assert!(!output.contains("hunter2") && output.contains("bytes are left out here]\n"));
    assert!(output.len() < 1_300_000, "{} bytes are kept", output.len());
    engine.end(Duration::from_secs(5));
}

#[test]
fn one_repository_has_one_step_at_a_time_whoever_asks() {
    let world = World::new();
    let script = "mkdir busy || exit 9; sleep 0.02; rmdir busy";
    let ids: Vec<String> =
        (0..6).map(|_| world.submit(plan(world.repos(2), vec![(sh(script), Policy::default())]))).collect();
    // Two engines take what they find; leases keep them apart.
    let engines = [world.engine(), world.engine()];
    for id in ids {
        let workflow = world.end(&id);
        assert_eq!(workflow.status, Status::Completed, "{workflow:?}");
    }
    for engine in engines {
        engine.end(Duration::from_secs(5));
    }
}

#[test]
fn an_approval_holds_what_comes_after_it() {
    let world = World::new();
    let engine = world.engine();
    let mut plan = plan(
        world.repos(1),
        vec![(Work::Approval { question: "push?".into() }, Policy::default()), (sh("echo pushed"), Policy::default())],
    );
    plan.tasks[0].once = true;
    let id = world.submit(plan.clone());
    world.wait(&id, "it asks", |workflow| workflow.waiting_for_someone == 1);
    world.ask(&id, &Request::Answer { step: None, yes: true, by: "me".into() }).unwrap();
    assert_eq!(world.end(&id).status, Status::Completed);
    let id = world.submit(plan);
    world.wait(&id, "it asks", |workflow| workflow.waiting_for_someone == 1);
    world.ask(&id, &Request::Answer { step: None, yes: false, by: "me".into() }).unwrap();
    let workflow = world.end(&id);
    assert_eq!(world.states(&workflow), [StepState::Failed, StepState::Skipped]);
    engine.end(Duration::from_secs(5));
}

#[test]
fn what_an_engine_ends_as_it_ends_runs_again_unless_its_policy_is_to_fail() {
    let world = World::new();
    let script = "echo x >> ran; test $(wc -l < ran) -gt 1 || sleep 987";
    let with = |on_unknown| Policy { on_unknown, ..Policy::default() };
    let [asks, retries, fails] = [OnUnknown::Ask, OnUnknown::Retry, OnUnknown::Fail].map(|on_unknown| {
        let dir = world.dir.path().join(format!("{on_unknown:?}"));
        std::fs::create_dir_all(&dir).unwrap();
        let place = Place { name: format!("{on_unknown:?}"), dir, after: Vec::new() };
        world.submit(plan(vec![place], vec![(sh(script), with(on_unknown))]))
    });
    let dir = world.dir.path().join("Polite");
    std::fs::create_dir_all(&dir).unwrap();
    let place = Place { name: "Polite".into(), dir, after: Vec::new() };
    // It says that all is well whatever happened to it.
    let polite = sh("trap 'exit 0' TERM; echo x >> ran; sleep 987 & wait");
    let polite = world.submit(plan(vec![place], vec![(polite, Policy::default())]));
    let engine = world.engine();
    for (id, name) in [(&asks, "Ask"), (&retries, "Retry"), (&fails, "Fail"), (&polite, "Polite")] {
        world.wait(id, "it has begun", |_| world.dir.path().join(name).join("ran").exists());
    }
    engine.end(Duration::from_millis(10));
    assert_eq!(world.states(&world.table.get(&asks).unwrap()), [StepState::Waiting], "written before the engine ended");
    assert_eq!(world.table.get(&fails).unwrap().status, Status::Failed);
    let engine = world.engine();
    assert_eq!(world.end(&retries).status, Status::Completed);
    assert_eq!(world.end(&asks).status, Status::Completed);
    let waiting = world.wait(&polite, "it waits", |workflow| workflow.waiting_for_someone == 1);
    assert_eq!(world.states(&waiting), [StepState::Unknown]);
    world.ask(&polite, &Request::Settle { step: None, decision: Decision::Done, by: "me".into() }).unwrap();
    assert_eq!(world.end(&polite).status, Status::Completed);
    assert!(world.ask_is_refused(&polite));
    engine.end(Duration::from_secs(5));
}

impl World {
    fn ask_is_refused(&self, id: &str) -> bool {
        let workflow = self.table.get(id).unwrap();
        self.table.ask(&workflow, &Request::Cancel { by: "me".into() }, SystemClock.now()).is_err()
    }
}

/// Another engine, as far as a runner sees one: it gives an id at once and ends when it is told.
struct Elsewhere {
    runs: Mutex<Vec<(String, Option<String>)>>,
    go: Stop,
}

impl Runner for Elsewhere {
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        self.runs.lock().unwrap().push((job.idempotency_key(), job.run.clone()));
        bound("run-1");
        while !self.go.wait(Duration::from_millis(5)) {
            if stop.is_raised() {
                return Ending::of(Outcome::Cancelled);
            }
        }
        Ending { result: Some(serde_json::json!({ "answer": 42 })), ..Ending::of(Outcome::Succeeded) }
    }
}

#[test]
fn what_another_engine_runs_is_attached_to_again_under_its_id() {
    let world = World::new();
    let elsewhere = Arc::new(Elsewhere { runs: Mutex::default(), go: Stop::new().unwrap() });
    let config = || EngineConfig { runner: Arc::clone(&elsewhere) as Arc<dyn Runner>, ..world.config(1) };
    let work =
        Work::Adapter { adapter: "prefect".into(), target: "flow/dep".into(), parameters: serde_json::json!({}) };
    let mut plan = plan(Vec::new(), vec![(work, Policy::default())]);
    plan.tasks[0].once = true;
    let id = world.submit(plan);
    let engine = Engine::start(config()).unwrap();
    let bound = |world: &World| {
        let (_, steps) = world.table.steps(&world.table.get(&id).unwrap()).unwrap();
        steps.first().is_some_and(|(_, step)| step.run.is_some())
    };
    world.wait(&id, "it has an id", |_| bound(&world));
    engine.end(Duration::ZERO);
    let engine = Engine::start(config()).unwrap();
    world.wait(&id, "it is attached to", |_| elsewhere.runs.lock().unwrap().len() == 2);
    elsewhere.go.raise();
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Completed);
    let key = format!("{id}-0-1");
    assert_eq!(*elsewhere.runs.lock().unwrap(), [(key.clone(), None), (key, Some("run-1".into()))]);
    engine.end(Duration::from_secs(5));
}

#[test]
fn a_repository_that_is_deleted_meanwhile_is_a_failure_that_says_so() {
    let world = World::new();
    let engine = world.engine();
    let repos = world.repos(1);
    let gone = repos[0].dir.clone();
    let id = world.submit(plan(
        repos,
        vec![(sh(&format!("rm -r {}", gone.display())), Policy::default()), (sh("true"), Policy::default())],
    ));
    let workflow = world.end(&id);
    assert_eq!(world.states(&workflow), [StepState::Completed, StepState::Failed]);
    let error = workflow.error.unwrap();
    assert!(error.contains(&format!("the repository {} is not there any more", gone.display())), "{error}");
    engine.end(Duration::from_secs(5));
}

/// A clock on the wall that somebody sets.
#[derive(Default)]
struct SetClock(std::sync::atomic::AtomicI64);

impl SetClock {
    fn set(&self, hours: i64) {
        self.0.fetch_add(hours * 3_600_000_000, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let by = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().as_micros() + by)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

#[test]
fn a_clock_that_is_set_back_lets_no_retry_wait_and_one_set_forward_ends_no_time_limit() {
    let world = World::new();
    let clock = Arc::new(SetClock::default());
    let config = || EngineConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world.config(4) };
    let policy = Policy { attempts: 2, backoff: 1.0, ..Policy::default() };
    let fails_once = "test -e tried || { touch tried; exit 1; }";
    let with_limit = |repo: usize| {
        let place = world.repos(repo + 1).remove(repo);
        let mut plan = plan(vec![place], vec![(sh(fails_once), policy.clone())]);
        plan.time_limit = Some(600.0);
        world.submit(plan)
    };
    let is_delayed = |workflow: &Workflow| world.states(workflow).first() == Some(&StepState::Delayed);
    // Set back while an engine looks, then while none does.
    let engine = Engine::start(config()).unwrap();
    let id = with_limit(0);
    world.wait(&id, "it waits for its second attempt", is_delayed);
    clock.set(-3);
    assert_eq!(world.end(&id).status, Status::Completed);
    let id = with_limit(1);
    world.wait(&id, "it waits for its second attempt", is_delayed);
    engine.end(Duration::ZERO);
    clock.set(-3);
    let engine = Engine::start(config()).unwrap();
    assert_eq!(world.end(&id).status, Status::Completed);
    // Set forward, over what the whole may take.
    let id = with_limit(2);
    world.wait(&id, "it waits for its second attempt", is_delayed);
    clock.set(9);
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Completed, "{workflow:?}");
    let facts = world.table.facts(&workflow).unwrap();
    assert!(facts.iter().any(|(_, fact)| matches!(fact, Fact::ClockSet { by } if *by > 0)), "{facts:?}");
    assert!(workflow.started_at <= workflow.ended_at, "{workflow:?}");
    engine.end(Duration::from_secs(5));
}

#[test]
fn our_own_secrets_are_not_inherited() {
    let vars = [("MAHAVISHNU_AUTH_SECRET", "x"), ("MAHAVISHNU_HOME", "y"), ("PATH", "z"), ("GITHUB_TOKEN", "theirs")];
    let kept = CommandRunner::inherited(vars.map(|(name, value)| (name.into(), value.into())));
    let names: Vec<_> = kept.keys().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(names, ["GITHUB_TOKEN", "MAHAVISHNU_HOME", "PATH"]);
    assert!(Path::new("/proc/self/environ").exists(), "processes are found by their variables");
}
