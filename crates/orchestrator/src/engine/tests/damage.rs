//! Engines whose database is damaged, or does not take what they write: somebody else's rows, put there with SQL.

use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use super::*;

/// Makes the commit of every turn fail that begins with a fact of a workflow in this list: the new row refers to nothing.
const FAILING: &str = "
    PRAGMA foreign_keys = OFF;
    CREATE TABLE refusing (workflow INTEGER);
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (of INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER refuse AFTER INSERT ON facts WHEN NEW.workflow IN (SELECT workflow FROM refusing)
    BEGIN INSERT INTO child VALUES (-1); END;";

impl World {
    fn sql(&self, script: &str) {
        let connection = Connection::open(self.table.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection.execute_batch(script).unwrap();
    }

    fn number(&self, query: &str) -> i64 {
        Connection::open(self.table.path()).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Lets the commit fail of whatever is told of this workflow, until [`World::accept`].
    fn refuse(&self, id: &str) {
        self.sql(&format!("INSERT INTO refusing SELECT number FROM workflows WHERE id = '{id}'"));
    }

    fn accept(&self) {
        self.sql("DELETE FROM refusing");
    }

    /// A workflow of one step in the `n`-th repository.
    fn in_repo(&self, n: usize, script: &str, policy: Policy) -> String {
        let place = self.repos(n + 1).remove(n);
        self.submit(plan(vec![place], vec![(sh(script), policy)]))
    }
}

/// A clock that counts how often its time is asked for, which an engine does in every turn.
#[derive(Default)]
struct Turns(AtomicUsize);

impl Turns {
    fn wait(&self, more: usize) {
        let from = self.0.load(Ordering::SeqCst);
        let limit = SystemClock.monotonic() + Duration::from_secs(60);
        while self.0.load(Ordering::SeqCst) < from + more {
            assert!(SystemClock.monotonic() < limit, "the engine stands still");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Clock for Turns {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::SeqCst);
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

fn held(world: &World) -> i64 {
    world.number("SELECT count(*) FROM leases")
}

#[test]
fn a_repository_that_was_taken_in_a_turn_that_was_not_written_is_free() {
    let world = World::new();
    world.table.ensure().unwrap();
    world.sql(FAILING);
    let first = world.in_repo(0, "echo x >> ran", Policy::default());
    world.refuse(&first);
    let clock = Arc::new(Turns::default());
    let takes = |id: &str| EngineConfig {
        takes: Takes::Only(world.table.get(id).unwrap().number),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..world.config(4)
    };
    let engine = Engine::start(takes(&first)).unwrap();
    world.wait(&first, "it is taken", |workflow| workflow.engine.is_some());
    clock.wait(20);
    let workflow = world.table.get(&first).unwrap();
    assert_eq!((workflow.status, held(&world)), (Status::Pending, 0), "{workflow:?}");
    // Another engine works there meanwhile.
    let second = world.in_repo(0, "test ! -e ran", Policy::default());
    let other = Engine::start(EngineConfig { clock: Arc::new(SystemClock), ..takes(&second) }).unwrap();
    assert_eq!(world.end(&second).status, Status::Completed);
    world.accept();
    assert_eq!(world.end(&first).status, Status::Completed);
    let ran = std::fs::read_to_string(world.dir.path().join("repo0/ran")).unwrap();
    assert_eq!((ran.as_str(), held(&world)), ("x\n", 0), "once, and nothing is left");
    for engine in [engine, other] {
        engine.end(Duration::from_secs(5));
    }
}

#[test]
fn workflows_that_were_taken_before_a_turn_that_was_not_written_are_driven_after_it() {
    let world = World::new();
    world.table.ensure().unwrap();
    world.sql(FAILING);
    let ids: Vec<String> = (0..3).map(|n| world.in_repo(n, "echo x >> ran", Policy::default())).collect();
    world.refuse(&ids[1]);
    let clock = Arc::new(Turns::default());
    let engine =
        Engine::start(EngineConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world.config(4) }).unwrap();
    world.wait(&ids[2], "it is taken", |workflow| workflow.engine.is_some());
    clock.wait(20);
    assert_eq!(held(&world), 0);
    world.accept();
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(world.end(id).status, Status::Completed);
        assert_eq!(std::fs::read_to_string(world.dir.path().join(format!("repo{n}/ran"))).unwrap(), "x\n");
    }
    engine.end(Duration::from_secs(5));
}

#[test]
fn a_time_limit_that_comes_while_nothing_can_be_written_counts_afterwards() {
    let world = World::new();
    world.table.ensure().unwrap();
    world.sql(FAILING);
    let clock = Arc::new(Turns::default());
    let engine =
        Engine::start(EngineConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world.config(4) }).unwrap();
    let mut limited = plan(world.repos(1), vec![(sh("sleep 987"), Policy { grace: 0.2, ..Policy::default() })]);
    limited.time_limit = Some(1.0);
    let id = world.submit(limited);
    world.wait(&id, "it runs", |workflow| workflow.running == 1);
    world.refuse(&id);
    // Every look at the journal is a turn, and one that fails is tried again after a quarter of a second.
    let over = SystemClock.monotonic() + Duration::from_millis(1200);
    while SystemClock.monotonic() < over {
        clock.wait(4);
    }
    clock.wait(8);
    assert_eq!(world.table.get(&id).unwrap().status, Status::Running);
    world.accept();
    assert_eq!(world.end(&id).status, Status::Timeout);
    engine.end(Duration::from_secs(5));
}

#[test]
fn a_time_limit_that_passed_while_no_engine_ran_counts() {
    let world = World::new();
    let engine = world.engine();
    let policy = Policy { on_unknown: OnUnknown::Retry, grace: 0.2, ..Policy::default() };
    let mut limited = plan(world.repos(1), vec![(sh("sleep 987"), policy)]);
    limited.time_limit = Some(60.0);
    let id = world.submit(limited);
    world.wait(&id, "it runs", |workflow| workflow.running == 1);
    engine.end(Duration::ZERO);
    let ago = SystemClock.now().minus(Duration::from_secs(3600));
    world.sql(&format!("UPDATE workflows SET started_at = '{ago}'"));
    let engine = world.engine();
    let workflow = world.end(&id);
    assert_eq!(workflow.status, Status::Timeout, "{workflow:?}");
    engine.end(Duration::from_secs(5));
}

#[test]
fn a_workflow_whose_rows_are_damaged_while_it_runs_fails_alone_and_says_so() {
    for damage in [
        "UPDATE steps SET state = 'nonsense'",
        "UPDATE steps SET step = 77",
        "UPDATE steps SET started_at = 'yesterday'",
        "UPDATE plans SET plan = '{'",
        "DELETE FROM plans",
    ] {
        let world = World::new();
        world.table.ensure().unwrap();
        world.sql(FAILING);
        let engine = world.engine();
        let ill = world.in_repo(0, "echo begun; exec sleep 987", Policy { grace: 0.2, ..Policy::default() });
        let well = world.in_repo(1, "while ! test -e go; do sleep 0.02; done", Policy::default());
        for id in [&ill, &well] {
            world.wait(id, "it runs", |workflow| workflow.running == 1);
        }
        let number = world.table.get(&ill).unwrap().number;
        world.sql(&format!("{damage} WHERE workflow = {number}"));
        // A turn that cannot be written lets the engine read everything anew.
        world.refuse(&well);
        std::fs::write(world.dir.path().join("repo1/go"), "").unwrap();
        let failed = world.end(&ill);
        world.accept();
        assert_eq!(world.end(&well).status, Status::Completed, "{damage}");
        let error = failed.error.unwrap();
        let printed = output_path(&world.home(), &ill, 0, 1);
        assert_eq!(failed.status, Status::Failed, "{damage}: {error}");
        assert!(["journal", "plan"].iter().any(|what| error.contains(what)), "{damage}: {error}");
        assert!(error.contains(&printed.parent().unwrap().display().to_string()), "{damage}: {error}");
        assert!(printed.exists());
        // What it ran has stopped, and its repository is free.
        let after = world.in_repo(0, "true", Policy::default());
        assert_eq!(world.end(&after).status, Status::Completed, "{damage}");
        assert!(survivors(&format!("{}/{ill}/", engine.id())).is_empty(), "{damage}");
        assert_eq!(held(&world), 0, "{damage}");
        engine.end(Duration::from_secs(5));
    }
}

#[test]
fn a_workflow_whose_rows_are_damaged_while_no_engine_runs_fails_alone_and_says_so() {
    let world = World::new();
    let engine = world.engine();
    let policy = Policy { attempts: 9, backoff: 60.0, ..Policy::default() };
    let ids: Vec<String> = (0..3).map(|n| world.in_repo(n, "test -e go", policy.clone())).collect();
    for id in &ids {
        world.wait(id, "it waits for its second attempt", |workflow| world.states(workflow) == [StepState::Delayed]);
    }
    engine.end(Duration::ZERO);
    world.sql("UPDATE steps SET ending = '{' WHERE workflow = 2; UPDATE steps SET until = NULL, state = 'waiting' WHERE workflow <> 2");
    for n in 0..3 {
        std::fs::write(world.dir.path().join(format!("repo{n}/go")), "").unwrap();
    }
    let engine = world.engine();
    let ended = ids.iter().map(|id| world.end(id).status).collect::<Vec<_>>();
    assert_eq!(ended, [Status::Completed, Status::Failed, Status::Completed]);
    let error = world.table.get(&ids[1]).unwrap().error.unwrap();
    assert!(error.contains("its journal cannot be understood") && error.contains("run it anew"), "{error}");
    engine.end(Duration::from_secs(5));
}
