use super::*;

const GOOD: &str = "\
name: release
repos: {tag: rust}
parallel: 2
time_limit: 1h
env: {CI: \"1\"}
tasks:
  - name: test
    run: cargo test
    retries: 2
    timeout: 10m
  - name: gate
    approve: Publish?
    after: [test]
  - name: publish
    run: [cargo, publish, --jobs, 5]
    after: [gate]
    on_unknown: fail
    env: {TOKEN_FILE: /run/token}
  - name: announce
    run: echo done
    once: true
    after: [publish]
";

fn manifest() -> Manifest {
    let text = "repos:\n- {name: core, path: /core, role: lib, tags: [rust]}\n- {name: app, path: /app, role: app, tags: [rust], depends_on: [core]}\n- {name: site, path: /site, role: app}\n";
    Manifest::parse(text, Path::new("/m.yaml"), Path::new("/home")).unwrap()
}

fn parse(text: &str) -> Result<PlanFile> {
    PlanFile::parse(text, Path::new("/w/release.yaml"))
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let fault = parse(text).and_then(|file| file.plan(&manifest())).unwrap_err();
    assert_eq!(fault.message(), format!("/w/release.yaml:{message}"), "{text}");
}

#[test]
fn a_file_becomes_a_plan_over_the_repositories_that_it_selects() {
    let file = parse(GOOD).unwrap();
    assert_eq!(file.title(), "release");
    let plan = file.plan(&manifest()).unwrap();
    assert_eq!(plan.repos.iter().map(|place| place.name.as_str()).collect::<Vec<_>>(), ["core", "app"]);
    assert_eq!((plan.parallel, plan.time_limit), (2, Some(3600.0)));
    assert_eq!((plan.tasks[0].policy.attempts, plan.tasks[0].policy.timeout), (3, Some(600.0)));
    assert!(plan.tasks[1].once && plan.tasks[2].after == [1]);
    let Work::Command { argv, env } = &plan.tasks[2].work else { panic!("a command") };
    assert_eq!((argv.join(" ").as_str(), env.len()), ("cargo publish --jobs 5", 2));
    let Work::Command { argv, .. } = &plan.tasks[3].work else { panic!("a command") };
    assert_eq!(argv[3..], ["/w", "sh", "-ec", "echo done"]);
    assert_eq!(plan.graph().unwrap().cells.len(), 6);
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    refused("tasks:\n  - name: a\n    run: x\n  - name: a\n    run: x\n", "4: task 'a' is listed twice");
    refused(
        "tasks:\n  - name: a\n    run: x\n    after:\n      - b\n",
        "5: task 'a' comes after 'b', which there is not",
    );
    refused(
        "tasks:\n  - name: a\n    run: x\n    after: [b]\n  - name: b\n    run: x\n    after: [a]\n",
        "7: after goes in a circle: a → b → a",
    );
    refused("tasks:\n  - name: a\n", "2: task 'a' needs one of run, approve, adapter and target, pool and prompt");
    refused("tasks:\n  - name: a\n    run: ' '\n", "2: task 'a' has an empty command, or one with a NUL character");
    refused("repos: {tag: go}\ntasks:\n  - name: a\n    run: x\n", "1: no repository has the tag 'go'");
    refused("repos:\n  names: [core, sight]\ntasks:\n  - name: a\n    run: x\n", "2: no repository is called 'sight'");
    refused(
        "time_limit: 0s\ntasks:\n  - name: a\n    run: x\n",
        "1: a time_limit of 0 ends the workflow before its first step",
    );
    refused("parallel: 0\ntasks:\n  - name: a\n    run: x\n", "1: parallel is at least 1");
}

#[test]
fn wrong_keys_and_types_name_their_line() {
    for (text, line) in [
        ("tasks:\n  - name: a\n    runs: x\n", 3),
        ("tasks:\n  - name: a\n    run: x\n    timeout: 10x\n", 4),
        ("tasks:\n  - name: a\n    run: x\n    on_unknown: perhaps\n", 4),
        ("tasks: [\n", 1),
    ] {
        let fault = parse(text).unwrap_err();
        let place = fault.message().strip_prefix("/w/release.yaml:").unwrap_or_else(|| panic!("{fault}"));
        let found: u64 = place.split(':').next().unwrap().parse().unwrap();
        assert!(found.abs_diff(line) <= 1, "{fault}");
    }
    assert!(parse("").is_err());
    assert!(parse("tasks: []\n").is_err());
}

#[test]
fn a_plan_of_tasks_that_run_once_needs_no_repositories() {
    let plan = parse("tasks:\n  - {name: a, run: x, once: true}\n").unwrap().plan(&Manifest::default()).unwrap();
    assert_eq!(plan.graph().unwrap().cells.len(), 1);
    assert!(parse("tasks:\n  - {name: a, run: x}\n").unwrap().plan(&Manifest::default()).is_err());
}
