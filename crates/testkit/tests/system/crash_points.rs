//! Mahavishnu killed at every bound of every transaction of its journal: no step is lost, none runs again after it was
//! recorded, what is in doubt goes by its policy, and the end is that of a run that nobody killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use testkit::crash::Points;
use testkit::{Chance, Finished, Program, TestHome, eventually};

const LIMIT: Duration = Duration::from_secs(120);
/// Points that are tried at the same time: most of a run is waiting.
const AT_ONCE: usize = 4;

/// A failure that is tried again, an approval, all three policies, a step that fails until someone mends it, one that waits
/// for it, and one that runs once.
const RELEASE: &str = "
name: release
tasks:
  - {name: build, run: 'DO begin build; test -e tried || { touch tried; exit 3; }; DO end build', retries: 1, backoff: 20ms, on_unknown: retry}
  - {name: gate, approve: Publish?, after: [build]}
  - {name: publish, run: 'DO begin publish; DO end publish', after: [gate], on_unknown: ask}
  - {name: check, run: 'DO begin check; test $MAHAVISHNU_REPO = r0 || test -e ../mended; DO end check', after: [build], on_unknown: retry}
  - {name: report, run: 'DO begin report; DO end report', after: [check], on_unknown: retry}
  - {name: tell, run: 'DO begin tell; DO end tell', once: true, after: [build], on_unknown: fail}
";
/// What becomes of a step in doubt, as the journal tells it; a person has it run again here.
const POLICIES: [(&str, &str); 5] = [
    ("build", "runs again, as policy decided"),
    ("check", "runs again, as policy decided"),
    ("report", "runs again, as policy decided"),
    ("publish", "runs again, as ada decided"),
    ("tell", "counts as failed, as policy decided"),
];

/// Many steps, in an order, with failures.
const CHAIN: &str = "
name: chain
tasks:
  - {name: first, run: 'DO begin first; test -e tried || { touch tried; exit 3; }; DO end first', retries: 2, backoff: 10ms, on_unknown: retry}
  - {name: second, run: 'DO begin second; DO end second', after: [first], on_unknown: retry}
  - {name: third, run: 'DO begin third; DO end third', after: [first], on_unknown: retry}
  - {name: fourth, run: 'DO begin fourth; DO end fourth', after: [second, third], on_unknown: retry}
  - {name: last, run: 'DO begin last; DO end last', once: true, after: [fourth], on_unknown: retry}
";

/// Repositories and a plan over them.
struct World {
    home: TestHome,
}

impl World {
    fn new(repositories: usize, plan: &str) -> Self {
        let home = TestHome::new().with_var("MAHAVISHNU_PORT", "0");
        fs::create_dir_all(home.work().join("settings")).unwrap();
        let mut manifest = "repos:\n".to_owned();
        for number in 0..repositories {
            let path = home.root().join(format!("repos/r{number}"));
            fs::create_dir_all(&path).unwrap();
            manifest.push_str(&format!("- {{name: r{number}, path: {}, role: lib}}\n", path.display()));
        }
        fs::write(home.work().join("settings/repos.yaml"), manifest).unwrap();
        let world = Self { home };
        // What a step does is on the disk before it goes on.
        let (tool, log) = (world.home.root().join("do"), world.log_file());
        let line = "echo \"$1 $2 ${MAHAVISHNU_REPO:--} $MAHAVISHNU_ATTEMPT\"";
        fs::write(&tool, format!("{line} >> {log}\nexec sync {log}\n", log = log.display())).unwrap();
        fs::write(world.home.work().join("plan.yaml"), plan.replace("DO ", &format!("sh {} ", tool.display())))
            .unwrap();
        world
    }

    fn log_file(&self) -> PathBuf {
        self.home.root().join("log")
    }

    fn program<A: AsRef<str>>(&self, args: &[A], crash: Option<(Points, u64)>) -> Program {
        let program = self.home.mahavishnu(args).limit(LIMIT);
        match crash {
            Some((points, at)) => program.crashing(&self.home.mahavishnu_home().join("mahavishnu.db"), points, at),
            None => program,
        }
    }

    fn run<A: AsRef<str>>(&self, args: &[A], crash: Option<(Points, u64)>) -> Finished {
        let done = self.program(args, crash).run();
        done.expect_no_internals();
        assert!(crash.is_some() || !done.was_killed(), "{done}");
        done
    }

    /// The workflow with its steps, if there is one.
    fn workflow(&self) -> Option<Value> {
        let list = self.run(&["workflow", "list", "--format", "json"], None);
        let rows = list.expect_success().json();
        let rows = rows.as_array().unwrap();
        assert!(rows.len() <= 1, "one key made more than one workflow: {list}");
        let id = rows.first()?["id"].as_str().unwrap();
        Some(self.run(&["workflow", "show", id, "--format", "json"], None).expect_success().json())
    }

    /// What a person does next; nothing when it is over.
    fn next(&self, workflow: Option<&Value>) -> Option<Vec<String>> {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let Some(workflow) = workflow else { return words(&["workflow", "run", "plan.yaml", "--key", "k"]) };
        let id = workflow["id"].as_str().unwrap();
        let any = |state: &str| workflow["steps"].as_array().unwrap().iter().any(|step| step["state"] == state);
        match workflow["status"].as_str().unwrap() {
            "completed" | "cancelled" => None,
            "failed" => {
                fs::write(self.home.root().join("repos/mended"), "").unwrap();
                words(&["workflow", "retry", id])
            }
            _ if any("unknown") => words(&["workflow", "resume", id, "--unknown", "retry"]),
            _ if any("asking") && !any("running") => words(&["workflow", "approve", id]),
            _ => words(&["workflow", "resume", id]),
        }
    }

    /// Goes on as a person would, until the end.
    fn go_on(&self) -> Value {
        for _ in 0..20 {
            let workflow = self.workflow();
            let Some(next) = self.next(workflow.as_ref()) else { return workflow.unwrap() };
            self.run(&next, None);
        }
        panic!("it does not come to its end: {:?}", self.workflow());
    }

    /// What steps did: `begin` or `end`, task, repository, attempt.
    fn log(&self) -> Vec<[String; 4]> {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let words = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            <[String; 4]>::try_from(words).unwrap_or_else(|words| panic!("a torn line: {words:?}"))
        };
        text.lines().map(words).collect()
    }

    fn begins(&self, task: &str, repo: &str) -> usize {
        self.log().iter().filter(|[what, of, at, _]| what == "begin" && of == task && at == repo).count()
    }

    /// How often each step that is recorded as done has begun so far.
    fn recorded(&self, workflow: &Value) -> BTreeMap<(String, String), usize> {
        let done = steps(workflow).into_iter().filter(|(_, state, _)| *state == "completed");
        done.map(|((task, repo), ..)| ((task.clone(), repo.clone()), self.begins(&task, &repo))).collect()
    }

    /// No attempt ran twice, what was recorded as done did not run again, and what counts has really run.
    fn check(&self, recorded: &BTreeMap<(String, String), usize>, end: &Value) {
        let log = self.log();
        let unique: BTreeSet<&[String; 4]> = log.iter().collect();
        assert_eq!(unique.len(), log.len(), "an attempt ran twice: {log:?}");
        for ((task, repo), before) in recorded {
            assert_eq!(self.begins(task, repo), *before, "{task} in {repo} ran again after it was recorded: {log:?}");
        }
        for ((task, repo), state, attempt) in steps(end) {
            if state == "completed" && task != "gate" {
                let ended = ["end", &task, &repo, &attempt.to_string()].map(str::to_owned);
                assert!(log.contains(&ended), "{task} in {repo} counts as done and did not run: {log:?}");
            }
        }
        let database = self.home.mahavishnu_home().join("mahavishnu.db");
        let whole = self.home.program("sqlite3", [database.to_string_lossy().as_ref(), "PRAGMA integrity_check"]).run();
        assert_eq!(whole.stdout, "ok\n", "{whole}");
    }

    /// Steps in doubt, each with what the journal says was decided about it.
    fn doubts(&self, workflow: &Value) -> Vec<(String, String)> {
        let told = self.run(&["workflow", "explain", workflow["id"].as_str().unwrap()], None).stdout;
        let mut doubts = Vec::new();
        for (at, line) in told.lines().enumerate() {
            let Some((before, _)) = line.split_once(" may or may not have finished: its engine ended meanwhile") else {
                continue;
            };
            let label = before.rsplit("  ").next().unwrap();
            let after = told.lines().skip(at + 1).find_map(|line| Some(line.split_once(&format!("{label} "))?.1));
            let task = label.split(' ').next().unwrap();
            doubts.push((task.to_owned(), after.unwrap_or("nothing").to_owned()));
        }
        doubts
    }
}

/// Task and repository of a step, and its state.
type Stepped = ((String, String), String);

/// Task and repository, state, attempt.
fn steps(workflow: &Value) -> Vec<((String, String), &str, u64)> {
    let step = |step: &'_ Value| {
        let repo = step["repo"].as_str().unwrap_or("-");
        (step["task"].as_str().unwrap().to_owned(), repo.to_owned())
    };
    let rows = workflow["steps"].as_array().unwrap().iter();
    rows.map(|row| (step(row), row["state"].as_str().unwrap(), row["attempt"].as_u64().unwrap())).collect()
}

/// State of the whole and of each step.
fn outcome(workflow: &Value) -> (String, Vec<Stepped>) {
    let states = steps(workflow).into_iter().map(|(step, state, _)| (step, state.to_owned())).collect();
    (workflow["status"].as_str().unwrap().to_owned(), states)
}

/// Tries one point after the other until `attempt` says that a run came to its end without reaching its point.
fn at_every_point(attempt: impl Fn(u64) -> bool + Sync) -> u64 {
    let (next, over) = (AtomicU64::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    if !attempt(next.fetch_add(1, Ordering::SeqCst)) {
                        over.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    next.into_inner() - 1
}

#[test]
fn a_workflow_killed_at_any_bound_of_any_transaction_ends_as_if_nobody_had() {
    let undisturbed = World::new(2, RELEASE);
    let mut commands = 0;
    let expected = loop {
        let workflow = undisturbed.workflow();
        let Some(next) = undisturbed.next(workflow.as_ref()) else { break workflow.unwrap() };
        undisturbed.run(&next, None);
        commands += 1;
    };
    assert_eq!((expected["status"].as_str(), commands), (Some("completed"), 3), "it is run, approved and retried");
    let seen: Mutex<BTreeSet<(String, String)>> = Mutex::default();
    for command in 0..commands {
        let points = at_every_point(|point| {
            let world = World::new(2, RELEASE);
            for _ in 0..command {
                let next = world.next(world.workflow().as_ref()).unwrap();
                world.run(&next, None);
            }
            let next = world.next(world.workflow().as_ref()).unwrap();
            if !world.run(&next, Some((Points::Transactions, point))).was_killed() {
                return false;
            }
            let recorded = world.workflow().map(|workflow| world.recorded(&workflow)).unwrap_or_default();
            let end = world.go_on();
            let place = format!("command {command} killed at point {point}");
            assert_eq!(outcome(&end), outcome(&expected), "{place}");
            world.check(&recorded, &end);
            for (task, decided) in world.doubts(&end) {
                assert!(POLICIES.contains(&(&task, &decided)), "{place}: '{task}' was in doubt: {decided}");
                seen.lock().unwrap().insert((task, decided));
            }
            true
        });
        assert!(points > 10, "command {command} has {points} points");
        eprintln!("command {command} of the release: {points} points");
    }
    let seen = seen.into_inner().unwrap();
    for policy in ["build", "publish", "tell"] {
        assert!(seen.iter().any(|(task, _)| task == policy), "no kill left '{policy}' in doubt: {seen:?}");
    }
}

#[test]
fn a_cancel_killed_at_any_bound_of_any_transaction_is_a_cancel_all_the_same() {
    let points = at_every_point(|point| {
        let world = World::new(2, RELEASE);
        world.run(&world.next(None).unwrap(), None);
        let id = world.workflow().unwrap()["id"].as_str().unwrap().to_owned();
        let cancel = ["workflow", "cancel", &id];
        if !world.run(&cancel, Some((Points::Transactions, point))).was_killed() {
            return false;
        }
        let at_kill = world.workflow().unwrap();
        let recorded = world.recorded(&at_kill);
        if at_kill["status"] == "running" {
            world.run(&cancel, None).expect_success();
        }
        let end = world.workflow().unwrap();
        assert_eq!(end["status"], "cancelled", "killed at point {point}");
        world.check(&recorded, &end);
        assert!(world.log().iter().all(|[_, task, ..]| task != "publish"), "what was cancelled has run");
        true
    });
    eprintln!("cancel: {points} points");
}

#[test]
fn work_that_is_being_cancelled_stops_wherever_its_engine_is_killed() {
    let plan = "tasks:\n  - {name: long, run: 'DO begin long; exec sleep 9874', on_unknown: ask}\n";
    let points = at_every_point(|point| {
        let world = World::new(2, plan);
        let mut engine = world.program(&["workflow", "run", "plan.yaml"], Some((Points::Transactions, point))).spawn();
        let begun = || world.begins("long", "r0") + world.begins("long", "r1") == 2;
        eventually(LIMIT, "steps run, or the engine is killed", || (begun() || engine.has_ended()).then_some(()));
        let Some(workflow) = world.workflow() else { return true };
        let id = workflow["id"].as_str().unwrap();
        let cancelled = world.run(&["workflow", "cancel", id], None);
        cancelled.expect_success();
        let status = engine.wait(LIMIT);
        let end = world.workflow().unwrap();
        assert_eq!(end["status"], "cancelled", "killed at point {point}");
        world.check(&BTreeMap::new(), &end);
        let left = testkit::processes::with_variable("HOME", &world.home.user().to_string_lossy());
        assert_eq!(left, Vec::<u32>::new(), "killed at point {point}: something still runs");
        status.code().is_none()
    });
    eprintln!("the engine of cancelled work: {points} points");
}

#[test]
fn many_steps_survive_kills_at_random_writes_of_commands_and_servers() {
    let mut chance = Chance::printed("crash_points::many_steps_survive_kills");
    let world = World::new(12, CHAIN);
    let (mut kills, mut recorded) = (0, BTreeMap::new());
    let end = loop {
        let workflow = world.workflow();
        if let Some(workflow) = &workflow {
            // What was recorded earlier stays as it was then.
            for (step, begun) in world.recorded(workflow) {
                recorded.entry(step).or_insert(begun);
            }
        }
        let Some(next) = world.next(workflow.as_ref()) else { break workflow.unwrap() };
        let crash = Some((Points::Writes, 1 + chance.below(200)));
        if workflow.is_none() || chance.below(2) == 0 {
            kills += usize::from(world.run(&next, crash).was_killed());
            continue;
        }
        let args = ["mcp", "start", "--transport", "http"];
        let mut server = world.program(&args, crash).spawn_without_input();
        eventually(LIMIT, "the server is killed, or the work is done", || {
            let over = server.has_ended() || world.workflow().unwrap()["status"] != "running";
            over.then_some(())
        });
        kills += usize::from(server.has_ended());
        server.kill();
    };
    eprintln!("{kills} kills");
    assert!(kills >= 3, "{kills} kills are too few to tell anything");
    assert_eq!(end["status"], "completed", "{end}");
    assert!(steps(&end).iter().all(|(_, state, _)| *state == "completed"), "{end}");
    world.check(&recorded, &end);
}
