use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use oneiric::clock::{Clock, SystemClock};
use oneiric::redact::Redactor;
use serde_json::{Value, json};

use super::*;
use crate::engine::CommandRunner;
use crate::run::survivors;
use crate::workers::{TerminalKind, Terminals};

struct Yard {
    dir: tempfile::TempDir,
    terminals: TerminalKind,
    serves: bool,
}

impl Yard {
    fn new() -> Self {
        // Sockets want a short path.
        let dir = tempfile::Builder::new().prefix("p").tempdir_in("/tmp").unwrap();
        std::fs::create_dir_all(dir.path().join("bin")).unwrap();
        Self { dir, terminals: TerminalKind::Pty, serves: true }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A program of this name that is a shell script.
    fn program(&self, name: &str, script: &str) {
        let path = self.path().join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn open(&self) -> Pools {
        let mut environment = CommandRunner::inherited(std::env::vars_os());
        let path = format!("{}/bin:{}", self.path().display(), std::env::var("PATH").unwrap());
        environment.insert("PATH".into(), OsString::from(path));
        environment.remove(std::ffi::OsStr::new("TMUX"));
        let root = self.path().to_path_buf();
        let shop = Workshop {
            environment,
            terminals: Terminals { refused: None, kind: self.terminals, size: (100, 30), socket: PathBuf::new() },
            redactor: Arc::new(Redactor::standard()),
            clock: Arc::new(SystemClock),
        };
        Pools::open(PoolsConfig {
            home: Home::at(self.path().join("home")),
            shop,
            bounds: Bounds { most: 8, free: 0 },
            repositories: Arc::new(move |name| Ok((name.to_owned(), root.join(name)))),
            remote: None,
            serves: self.serves,
        })
        .unwrap()
    }
}

fn ask(pools: &Pools, request: Value) -> Result<Value> {
    pools.answer(PoolRequest::read(request).unwrap())
}

fn run(pools: &Pools, pool: &str, prompt: &str) -> Value {
    ask(pools, json!({"action": "execute", "pool": pool, "prompt": prompt, "wait_seconds": 60})).unwrap()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = SystemClock.monotonic() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(SystemClock.monotonic() < end, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pool_does_tasks_in_its_workers_and_is_there_again_with_the_next_server() {
    let yard = Yard::new();
    let pools = yard.open();
    let made = ask(&pools, json!({"action": "spawn", "name": "build", "min": 1, "max": 2})).unwrap();
    assert_eq!((made["max"].as_i64(), made["state"].as_str()), (Some(2), Some("open")));
    let done = run(&pools, "build", "echo hello; echo $MAHAVISHNU_POOL >&2");
    assert_eq!((done["state"].as_str(), done["answer"].as_str()), (Some("completed"), Some("hello\nbuild")));
    let failed = run(&pools, "build", "echo it is broken; exit 3");
    assert_eq!((failed["state"].as_str(), failed["exit_code"].as_i64()), (Some("failed"), Some(3)));
    assert!(ask(&pools, json!({"action": "spawn", "name": "build"})).is_err());
    ask(&pools, json!({"action": "scale", "pool": "build", "max": 5})).unwrap();
    ask(&pools, json!({"action": "spawn", "name": "gone"})).unwrap();
    ask(&pools, json!({"action": "close", "pool": "gone", "now": true})).unwrap();
    drop(pools);

    let pools = yard.open();
    let listed = ask(&pools, json!({"action": "list"})).unwrap();
    assert_eq!(listed["pools"].as_array().unwrap().len(), 1);
    assert_eq!((listed["pools"][0]["pool"].as_str(), listed["pools"][0]["max"].as_i64()), (Some("build"), Some(5)));
}

#[test]
fn closing_lets_work_finish_unless_it_has_to_end_now() {
    let yard = Yard::new();
    let pools = Arc::new(yard.open());
    ask(&pools, json!({"action": "spawn", "name": "a", "max": 1})).unwrap();
    let start = |prompt: &str| {
        let request = json!({"action": "execute", "pool": "a", "prompt": prompt, "wait_seconds": 0});
        ask(&pools, request).unwrap()["task"].as_u64().unwrap()
    };
    let state = |task: u64| {
        let report = ask(&pools, json!({"action": "task", "task": task})).unwrap();
        report["state"].as_str().unwrap().to_owned()
    };
    let go = yard.path().join("go");
    let first = start(&format!("until test -e {}; do sleep 0.02; done", go.display()));
    let second = start("true");
    until("the first runs", || (state(first) == "running").then_some(()));
    let closing = ask(&pools, json!({"action": "close", "pool": "a"})).unwrap();
    assert_eq!(closing["state"], "closing");
    let third =
        ask(&pools, json!({"action": "execute", "pool": "a", "prompt": "true", "wait_seconds": 0})).unwrap_err();
    assert!(third.message().contains("closing"), "a pool that closes takes nothing more: {third}");
    std::fs::write(&go, "").unwrap();
    until("both end", || (state(first) == "completed" && state(second) == "completed").then_some(()));
    until("the pool is gone", || {
        let pools = ask(&pools, json!({"action": "list"})).unwrap();
        pools["pools"].as_array().unwrap().is_empty().then_some(())
    });

    ask(&pools, json!({"action": "spawn", "name": "a", "max": 1})).unwrap();
    let running = start("sleep 600 & setsid sleep 601 & wait");
    let waiting = start("true");
    until("it runs", || (state(running) == "running").then_some(()));
    let mark = pools.inner.instance.mark(running);
    until("its processes", || (survivors(&mark).len() >= 3).then_some(()));
    ask(&pools, json!({"action": "close_all", "now": true})).unwrap();
    assert_eq!((state(running).as_str(), state(waiting).as_str()), ("cancelled", "failed"));
    assert!(survivors(&mark).is_empty(), "something of it still runs");
}

#[test]
fn a_task_that_waits_is_withdrawn_and_one_at_work_is_ended() {
    let yard = Yard::new();
    let pools = yard.open();
    ask(&pools, json!({"action": "spawn", "name": "a", "max": 1})).unwrap();
    let start =
        || ask(&pools, json!({"action": "execute", "pool": "a", "prompt": "sleep 600", "wait_seconds": 0})).unwrap();
    let (first, second) = (start(), start());
    let mark = pools.inner.instance.mark(first["task"].as_u64().unwrap());
    until("the first runs", || (!survivors(&mark).is_empty()).then_some(()));
    for task in [&second, &first] {
        let cancelled = ask(&pools, json!({"action": "cancel", "task": task["task"]})).unwrap();
        assert_eq!(cancelled["state"], "cancelled");
    }
    assert!(survivors(&mark).is_empty(), "its work has stopped when cancelling returns");
    assert_eq!(run(&pools, "a", "echo next")["answer"], "next");
}

#[test]
fn agents_answers_costs_and_failures_are_read_and_budgets_end_them() {
    let yard = Yard::new();
    yard.program(
        "claude",
        r#"read prompt
case $prompt in
  *spend*) i=0; while :; do i=$((i+1)); echo "{\"type\":\"assistant\",\"message\":{\"id\":\"$i\",\"usage\":{\"output_tokens\":100}}}"; sleep 0.02; done;;
  *fail*) echo '{"type":"result","is_error":true,"result":"I could not","total_cost_usd":0.1,"usage":{"output_tokens":1}}'; exit 1;;
  *) echo "warning: old" >&2; echo "{\"type\":\"result\",\"is_error\":false,\"result\":\"did: $prompt in $(pwd)\",\"total_cost_usd\":0.2,\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}";;
esac"#,
    );
    let pools = yard.open();
    ask(&pools, json!({"action": "spawn", "name": "c", "profile": "claude", "max": 1, "task_tokens": 1000})).unwrap();
    let done = run(&pools, "c", "tidy up");
    assert_eq!((done["answer"].as_str(), done["tokens"].as_i64()), (Some("did: tidy up in /"), Some(7)));
    let failed = run(&pools, "c", "fail please");
    assert_eq!(failed["state"], "failed");
    let broke = run(&pools, "c", "spend it all");
    assert_eq!(broke["state"], "failed");
    assert!(broke["note"].as_str().unwrap().contains("of 1000 tokens are spent"), "{broke}");
    let health = ask(&pools, json!({"action": "health", "pool": "c"})).unwrap();
    assert_eq!(health["pools"][0]["healthy"], true);
    assert!((health["pools"][0]["cost_usd"].as_f64().unwrap() - 0.3).abs() < 1e-9);
}

#[test]
fn an_agent_that_gives_no_answer_has_failed_whatever_its_exit_code() {
    let yard = Yard::new();
    yard.program("claude", "cat >/dev/null; echo 'not json {{{'");
    yard.program("codex", r#"cat >/dev/null; echo '{"type":"turn.completed","usage":{"output_tokens":3}}'"#);
    yard.program("qwen", r#"cat >/dev/null; echo '{"type":"result","is_error":false,"result":""}'"#);
    let pools = yard.open();
    let garbled = run(&pools, "claude", "tidy up");
    assert_eq!((garbled["state"].as_str(), garbled["exit_code"].as_i64()), (Some("failed"), Some(0)), "{garbled}");
    assert!(garbled["note"].as_str().unwrap().contains("no answer"), "{garbled}");
    let silent = run(&pools, "codex", "tidy up");
    assert_eq!((silent["state"].as_str(), silent["tokens"].as_i64()), (Some("failed"), Some(3)), "{silent}");
    // An answer of no words is one.
    assert_eq!(run(&pools, "qwen", "tidy up")["state"], "completed");
}

#[test]
fn what_a_pool_has_spent_counts_for_the_next_server_until_it_is_closed() {
    let yard = Yard::new();
    yard.program(
        "claude",
        r#"cat >/dev/null; echo '{"type":"result","is_error":false,"result":"ok","total_cost_usd":0.25,"usage":{"output_tokens":9}}'"#,
    );
    let spawn = json!({"action": "spawn", "name": "c", "profile": "claude", "max_usd": 0.3});
    let task = json!({"action": "execute", "pool": "c", "prompt": "tidy up", "wait_seconds": 60});
    let spent = |pools: &Pools| {
        let row = ask(pools, json!({"action": "list"})).unwrap()["pools"][0].clone();
        (row["cost_usd"].as_f64().unwrap(), row["tokens"].as_u64().unwrap(), row["done"].as_u64().unwrap())
    };
    let pools = yard.open();
    ask(&pools, spawn.clone()).unwrap();
    assert_eq!(ask(&pools, task.clone()).unwrap()["state"], "completed");
    drop(pools);
    // A command without a server spends of the same budget.
    let alone = Yard { serves: false, ..yard };
    assert_eq!(ask(&alone.open(), task.clone()).unwrap()["state"], "completed");
    let yard = Yard { serves: true, ..alone };
    let pools = yard.open();
    assert_eq!(spent(&pools), (0.5, 18, 2));
    let refused = ask(&pools, task.clone()).unwrap_err();
    assert!(refused.message().contains("budget is used up"), "{refused}");
    ask(&pools, json!({"action": "close", "pool": "c", "now": true})).unwrap();
    ask(&pools, spawn).unwrap();
    assert_eq!(spent(&pools), (0.0, 0, 0));
    assert_eq!(ask(&pools, task).unwrap()["state"], "completed");
}

#[test]
fn tasks_are_still_told_of_after_a_stop_and_numbers_go_on() {
    let yard = Yard::new();
    let pools = yard.open();
    ask(&pools, json!({"action": "spawn", "name": "a", "max": 1})).unwrap();
    let done = run(&pools, "a", "echo hello");
    let start = || {
        let request = json!({"action": "execute", "pool": "a", "prompt": "sleep 600", "wait_seconds": 0});
        ask(&pools, request).unwrap()["task"].as_u64().unwrap()
    };
    let (running, waiting) = (start(), start());
    until("it runs", || (!survivors(&pools.inner.instance.mark(running)).is_empty()).then_some(()));
    drop(pools);
    let written: Vec<u64> =
        written_tasks(&Home::at(yard.path().join("home"))).unwrap().iter().map(|t| t.task).collect();
    assert_eq!(written, [waiting, running, done["task"].as_u64().unwrap()]);
    let pools = yard.open();
    let told = |task: u64| ask(&pools, json!({"action": "task", "task": task})).unwrap();
    assert_eq!(told(done["task"].as_u64().unwrap())["answer"], "hello");
    for (task, note) in [(running, "its server was stopped"), (waiting, "its server was stopped before it began")] {
        assert_eq!((told(task)["state"].as_str(), told(task)["note"].as_str()), (Some("cancelled"), Some(note)));
    }
    assert_eq!(run(&pools, "a", "true")["task"].as_u64(), Some(waiting + 1));
}

#[test]
fn a_pool_that_has_as_many_waiting_as_it_takes_refuses_the_next() {
    let yard = Yard::new();
    let pools = yard.open();
    ask(&pools, json!({"action": "spawn", "name": "a", "max": 1, "queue": 1})).unwrap();
    let start = || ask(&pools, json!({"action": "execute", "pool": "a", "prompt": "sleep 600", "wait_seconds": 0}));
    let first = start().unwrap()["task"].as_u64().unwrap();
    until("it runs", || (!survivors(&pools.inner.instance.mark(first)).is_empty()).then_some(()));
    start().unwrap();
    let refused = start().unwrap_err();
    assert_eq!(refused.kind(), oneiric::fault::FaultKind::Unavailable);
    assert!(refused.message().contains("1 task waits already"), "{refused}");
    let listed = ask(&pools, json!({"action": "tasks"})).unwrap();
    assert_eq!(listed["tasks"][0]["state"], "failed");
}

#[test]
fn a_command_line_is_never_routed_to_an_agent_unless_that_is_said() {
    let yard = Yard::new();
    yard.program("claude", r#"echo '{"type":"result","is_error":false,"result":"ok"}'"#);
    let pools = yard.open();
    ask(&pools, json!({"action": "spawn", "name": "agents", "profile": "claude"})).unwrap();
    let route = |more: Value| {
        let mut request = json!({"action": "route", "prompt": "true", "wait_seconds": 60});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&pools, request)
    };
    let refused = route(json!({})).unwrap_err();
    assert!(refused.message().contains("agents (claude)") && refused.advice().unwrap().contains("--profile"));
    ask(&pools, json!({"action": "spawn", "name": "build", "max": 1})).unwrap();
    for _ in 0..4 {
        assert_eq!(route(json!({"selector": "round_robin"})).unwrap()["pool"], "build");
    }
    assert_eq!(route(json!({"profile": "claude"})).unwrap()["pool"], "agents");
    assert_eq!(route(json!({"pools": ["agents"]})).unwrap()["pool"], "agents");
    assert!(route(json!({"profile": "codex"})).is_err());
}

#[test]
fn programs_that_hang_flood_or_print_no_text_do_no_harm() {
    let yard = Yard::new();
    yard.program("flood", "head -c 100000000 /dev/zero | tr '\\0' 'x'; printf '\\377\\376 end'");
    std::fs::create_dir_all(yard.path().join("home")).unwrap();
    std::fs::set_permissions(yard.path().join("home"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let own = yard.path().join("home/workers.yaml");
    std::fs::write(
        &own,
        "flood:\n  command: [flood]\nhang:\n  command: [sleep, '600']\n  prompt: stdin\n  timeout: 0.2\n",
    )
    .unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).unwrap();
    let pools = yard.open();
    let flood = run(&pools, "flood", "go");
    assert_eq!(flood["state"], "completed", "{flood}");
    assert!(flood["answer"].as_str().unwrap().ends_with("\u{fffd}\u{fffd} end"));
    let kept = std::fs::metadata(flood["output"].as_str().unwrap()).unwrap().len();
    assert!(kept < 2 * 1024 * 1024, "{kept} bytes are kept");
    let hang = run(&pools, "hang", "go");
    assert_eq!(hang["state"], "timeout", "{hang}");
}

#[test]
fn an_agent_that_is_not_installed_is_unavailable_and_says_why() {
    let yard = Yard::new();
    std::fs::create_dir_all(yard.path().join("home")).unwrap();
    std::fs::set_permissions(yard.path().join("home"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let own = yard.path().join("home/workers.yaml");
    std::fs::write(&own, "ghost:\n  command: [no-such-agent]\n").unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).unwrap();
    let pools = yard.open();
    let refused = ask(&pools, json!({"action": "spawn", "name": "g", "profile": "ghost"})).unwrap_err();
    assert!(refused.message().contains("no program no-such-agent"), "{refused:?}");
    let profiles = ask(&pools, json!({"action": "profiles"})).unwrap();
    let ghost = profiles["profiles"].as_array().unwrap().iter().find(|row| row["profile"] == "ghost").unwrap();
    assert_eq!(ghost["state"], "unavailable (no program no-such-agent)");
}

#[test]
fn terminals_are_terminals_of_the_size_that_was_asked_for() {
    for terminals in [TerminalKind::Pty, TerminalKind::Auto] {
        let yard = Yard { terminals, ..Yard::new() };
        let pools = yard.open();
        let tty = run(
            &pools,
            "terminal",
            "test -t 0 && test -t 1 && stty size && printf '\\033[31mred\\033[0m\\n'; echo said >/dev/tty",
        );
        assert_eq!(
            (tty["state"].as_str(), tty["answer"].as_str()),
            (Some("completed"), Some("30 100\nred\nsaid")),
            "{terminals:?}: {tty}"
        );
        let failed = run(&pools, "terminal", "echo 'not so; good;'; exit 7");
        assert_eq!((failed["state"].as_str(), failed["exit_code"].as_i64()), (Some("failed"), Some(7)), "{failed}");
        assert!(failed["note"].as_str().unwrap().ends_with("not so; good;"));
        let request = json!({"action": "execute", "pool": "terminal", "prompt": "trap '' TERM HUP; setsid sleep 600 & sleep 601; sleep 602", "wait_seconds": 60, "timeout_seconds": 0.5});
        let slow = ask(&pools, request).unwrap();
        assert_eq!(slow["state"], "timeout", "{terminals:?}: {slow}");
        assert!(survivors(&pools.inner.instance.mark(slow["task"].as_u64().unwrap())).is_empty());
    }
}

#[test]
fn tasks_are_routed_as_the_selector_says() {
    let yard = Yard::new();
    let pools = yard.open();
    for name in ["a", "b"] {
        ask(&pools, json!({"action": "spawn", "name": name, "max": 1})).unwrap();
    }
    let route = |selector: &str, key: Option<&str>| {
        let request =
            json!({"action": "route", "prompt": "true", "selector": selector, "affinity": key, "wait_seconds": 60});
        ask(&pools, request).unwrap()["pool"].as_str().unwrap().to_owned()
    };
    let turns: Vec<String> = (0..4).map(|_| route("round_robin", None)).collect();
    assert_eq!(turns, ["a", "b", "a", "b"]);
    let first = route("affinity", Some("shop"));
    assert!((0..5).all(|_| route("affinity", Some("shop")) == first));
    assert!(ask(&pools, json!({"action": "route", "prompt": "true", "pools": ["nope"]})).is_err());
}

#[test]
fn a_task_gets_a_worktree_of_its_own_and_what_it_left_there_is_told() {
    let yard = Yard::new();
    let shop = yard.path().join("shop");
    let git = "git init -q -b main shop && cd shop && git config user.name Ada && git config user.email a@b.org && git commit -q --allow-empty -m first";
    assert!(std::process::Command::new("sh").args(["-c", git]).current_dir(yard.path()).status().unwrap().success());
    let pools = yard.open();
    let execute = |prompt: &str| {
        let request = json!({"action": "execute", "pool": "shell", "repo": "shop", "worktree": true, "prompt": prompt, "wait_seconds": 60});
        ask(&pools, request).unwrap()
    };
    let clean = execute("pwd");
    assert_eq!(clean["state"], "completed", "{clean}");
    assert_eq!((clean["answer"].as_str(), clean.get("changes")), (clean["worktree"].as_str(), None));
    let dirty = execute("echo x > new");
    assert_eq!(
        (dirty["worktree"].as_str(), dirty["changes"].as_str()),
        (clean["worktree"].as_str(), Some("1 uncommitted file"))
    );
    let third = execute("true");
    assert_ne!(third["worktree"], dirty["worktree"], "what has work in it is not used again");
    assert!(!shop.join("new").exists());
}

#[test]
fn what_a_killed_owner_left_running_is_ended_by_the_next() {
    let yard = Yard::new();
    let dir = yard.path().join("home/pools");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("0123456789ab.lock"), "").unwrap();
    let mut child = std::process::Command::new("sleep")
        .arg("600")
        .env("MAHAVISHNU_STEP_ID", "pools/0123456789ab/7/")
        .spawn()
        .unwrap();
    let pools = yard.open();
    assert!(!child.wait().unwrap().success());
    assert!(!dir.join("0123456789ab.lock").exists());
    drop(pools);
}
