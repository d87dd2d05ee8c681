use std::collections::BTreeMap;

use orchestrator::workflows::NewWorkflow;
use orchestrator::workflows::fact::{Ending as StepEnding, Outcome};
use orchestrator::workflows::journal::Journal as WorkflowJournal;
use orchestrator::workflows::plan::{Place, Plan, Policy, Task, Work};
use std::sync::Mutex;

use oneiric::event::{BatchReceipt, Event, EventBatch};
use oneiric::settings::Surroundings;
use oneiric::spool::{DeliveryError, EventSink};
use oneiric_shell::terminal::Terminal;

use super::*;

/// Keeps what it is given, or answers as a peer that is down.
#[derive(Default)]
struct Keeper {
    events: Mutex<Vec<Event>>,
    down: bool,
}

impl EventSink for Keeper {
    fn deliver(&self, batch: &EventBatch, _limit: Duration) -> Result<BatchReceipt, DeliveryError> {
        if self.down {
            return Err(DeliveryError::Unreachable("Connection refused".into()));
        }
        let mut events = self.events.lock().unwrap();
        let mut receipt = BatchReceipt::default();
        for event in &batch.events {
            if events.iter().any(|known| known.event_id == event.event_id) {
                receipt.duplicates += 1;
            } else {
                receipt.accepted += 1;
                events.push(event.clone());
            }
        }
        Ok(receipt)
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    world: Arc<World>,
    keeper: Arc<Keeper>,
    output: Output,
}

impl Bench {
    fn new(down: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let vars = BTreeMap::from([
            ("MAHAVISHNU_HOME".to_owned(), path("home")),
            ("ONEIRIC_HOME".to_owned(), path("oneiric")),
            ("SESSION_BUDDY_HOME".to_owned(), path("buddy")),
            // Nobody listens on port 1 of loopback.
            ("SESSION_BUDDY_PORT".to_owned(), "1".to_owned()),
            ("SHELL".to_owned(), "/bin/sh".to_owned()),
        ]);
        let surroundings =
            Surroundings { vars, cwd: dir.path().into(), user_home: dir.path().into(), ..Surroundings::default() };
        Self {
            world: Arc::new(World::new(surroundings).unwrap()),
            _dir: dir,
            keeper: Arc::new(Keeper { down, ..Keeper::default() }),
            output: Output::buffer(Terminal::PLAIN),
        }
    }

    /// A whole session over this text; the kinds of events that were kept, and the ending.
    fn session(&self, script: &str, code: bool) -> (Vec<String>, Ending) {
        let redactor = self.world.redactor();
        let start = who::session_start(&self.world.surroundings, None, &redactor, "test");
        let config = RecorderConfig { exit_deadline: Duration::from_secs(10), ..recorder_config(&self.world) };
        let cap = config.output_cap;
        let sink = Arc::clone(&self.keeper) as Arc<dyn EventSink>;
        let recorder = Recorder::start(config, start, sink, Arc::clone(&self.world.clock), redactor);
        let journal = Arc::new(SessionJournal::new(recorder, cap, false, Arc::clone(&self.world.clock)));
        let program = Arc::new(ShellProgram::new(Arc::clone(&self.world), Arc::clone(&journal), None));
        let mut shell = Shell::new(
            program,
            Arc::clone(&journal) as Arc<dyn Journal>,
            Limits::default(),
            Arc::clone(&self.world.clock),
            self.output.clone(),
            Interrupts::detached(),
        );
        let ending = if code { shell.run_code(script) } else { shell.run_lines(script.as_bytes()) };
        end(&journal, ending, "script", &self.output);
        let events = self.keeper.events.lock().unwrap();
        (events.iter().map(|event| event.event_type.as_str().to_owned()).collect(), ending)
    }

    fn printed(&self) -> String {
        self.output.contents().0
    }
}

#[test]
fn three_commands_and_exit_are_five_events() {
    for (script, code) in [("ps()\ntop()\nerrors(5)\nexit\n", false), ("ps(); top(); errors(5)", true)] {
        let bench = Bench::new(false);
        let (kinds, ending) = bench.session(script, code);
        assert_eq!(kinds, ["session_start", "command", "command", "command", "session_end"], "{script}");
        assert_eq!(ending.exit_code, 0);
        assert_eq!(bench.printed(), "No workflows yet.\nNo active workflows.\nNo errors.\n");
        let events = bench.keeper.events.lock().unwrap();
        assert_eq!(events[1].data["command"], "ps()");
        assert_eq!(events[1].data["kind"], "expression");
        assert_eq!(events[4].data["command_count"], 3);
        assert_eq!(events[0].data["metadata"]["env"]["SHELL"], "/bin/sh");
    }
}

#[test]
fn a_script_that_fails_is_a_failed_session() {
    let bench = Bench::new(false);
    let (kinds, ending) = bench.session("ps(); 1 // 0; top()", true);
    assert_eq!(kinds.len(), 4);
    assert_eq!(ending, Ending { reason: "error", exit_code: 1 });
    let events = bench.keeper.events.lock().unwrap();
    assert_eq!((&events[2].data["exit_code"], &events[2].data["outcome"]), (&1.into(), &"failed".into()));
    assert_eq!(events[3].data["status"], "failed");
}

#[test]
fn without_session_buddy_the_shell_works_and_the_session_waits() {
    let bench = Bench::new(true);
    let (kinds, ending) = bench.session("ps()\nsessions()\nerrors()\nexit\n", false);
    assert!(kinds.is_empty());
    assert_eq!(ending.exit_code, 0);
    let (out, err) = bench.output.contents();
    assert!(out.contains("No workflows yet."), "{out}");
    assert!(
        err.contains("error: Session-Buddy: Connection refused") && err.contains("session-buddy mcp start"),
        "{err}"
    );
    assert!(out.contains("│ sessions() "), "what failed stands in errors(): {out}");
    assert_eq!(spool::depth(&bench.world.settings.home().spool()).files, 1);
}

#[test]
fn workflows_are_shown_as_they_are_in_the_table() {
    let bench = Bench::new(false);
    let (table, now) = (bench.world.workflows(), bench.world.clock.now());
    let make = |word: &str, repo: &str| {
        let work = Work::Command { argv: word.split(' ').map(str::to_owned).collect(), env: BTreeMap::new() };
        let task = Task { name: "it".into(), work, once: false, after: Vec::new(), policy: Policy::default() };
        let place = Place { name: repo.into(), dir: repo.into(), after: Vec::new() };
        let tasks = vec![task.clone(), Task { name: "more".into(), after: vec![0], ..task }];
        let plan = Plan { tasks, repos: vec![place], parallel: 1, fail_fast: false, time_limit: None };
        let new = NewWorkflow { plan, key: None, asked_by: "me".into(), schedule: None };
        table.submit(&new, word, None, now).unwrap()
    };
    let drive = |number, outcome| {
        let mut journal = WorkflowJournal::open(table.path(), "e").unwrap();
        let mut claimed = journal.claim(&[], Some(number), 1, now).unwrap();
        let machine = &mut claimed[0].machine;
        let mut facts = vec![machine.start(0, now)];
        facts.extend(machine.ended(
            0,
            1,
            StepEnding { exit_code: Some(3), ..StepEnding::because(outcome, "no such host") },
            now,
        ));
        let turn = journal.turn(false).unwrap();
        turn.write(number, machine, &facts, now).unwrap();
        turn.commit().unwrap();
    };
    drive(make("cargo test", "billing").number, Outcome::Succeeded);
    let failed = make("deploy", "shop");
    drive(failed.number, Outcome::Failed);
    let failed = failed.id;
    bench.session("print(len(ps()), len(top()), top()[0]['task'], errors()[0]['error'])\nps()\n", false);
    let printed = bench.printed();
    assert!(
        printed.starts_with("2 1 cargo test 1 failed, 1 skipped of 2 steps; it in shop: no such host\n"),
        "{printed}"
    );
    assert!(printed.contains("50 %") && printed.contains("│ failed"), "{printed}");
    bench.session(&format!("%workflow {failed}\n"), false);
    assert!(bench.printed().contains("no such host"));
}

#[test]
fn repositories_are_listed_by_magic_command_and_function() {
    let bench = Bench::new(false);
    let file = bench.world.settings.home().root().join("repos.yaml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = "repos:\n  - {name: billing, path: /srv/billing, role: service, tags: [rust]}\n  - {name: shop, path: /srv/shop, role: service}\n";
    std::fs::write(&file, text).unwrap();
    bench.session(
        "%repos rust\nlist-repos --tag rust --format csv\n[r['name'] for r in repos()]\nshow-role service\n",
        false,
    );
    let printed = bench.printed();
    assert!(printed.contains("│ billing │ service │ rust │ /srv/billing (missing)"), "{printed}");
    assert!(
        printed.contains("Name,Role,Tags,Path,Description\nbilling,service,rust,/srv/billing (missing),\n"),
        "{printed}"
    );
    assert!(printed.contains("[\"billing\", \"shop\"]"), "{printed}");
    std::fs::write(&file, "repos:\n  - {name: a, path: /a, role: x, depends_on: [a]}\n").unwrap();
    bench.session("%repos\n", false);
    assert!(bench.output.contents().1.contains("repos.yaml:2: depends_on goes in a circle: a → a"));
}

#[test]
fn secrets_reach_neither_events_nor_spool() {
    const SECRET: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for down in [false, true] {
        let bench = Bench::new(down);
        bench.session(&format!("!echo {SECRET}\nx = '{SECRET}'\nx\nprint(x)\nfail(x)\nerrors()\n"), false);
        let kept = serde_json::to_string(&*bench.keeper.events.lock().unwrap()).unwrap();
        assert!(!kept.contains(SECRET), "{kept}");
        let spool = bench.world.settings.home().spool();
        for entry in std::fs::read_dir(spool).unwrap() {
            let Ok(text) = std::fs::read(entry.unwrap().path()) else { continue };
            assert!(!String::from_utf8_lossy(&text).contains(SECRET));
        }
    }
}

#[test]
fn a_session_that_is_not_recorded_says_so_once() {
    let bench = Bench::new(false);
    let vars = BTreeMap::from([("MAHAVISHNU_SESSION_ENABLED".to_owned(), "false".to_owned())]);
    let surroundings = Surroundings { vars, ..bench.world.surroundings.clone() };
    let world = World::new(surroundings).unwrap();
    assert!(!recorder_config(&world).enabled);
    assert_eq!(
        off(&world),
        "this session is not recorded: session_enabled = false (environment MAHAVISHNU_SESSION_ENABLED)"
    );
}
