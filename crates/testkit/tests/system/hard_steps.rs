//! Steps that behave badly: that print without end, hide what they started, will not end, or lose the ground they stand on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use testkit::git::{git, repository, worktree};
use testkit::scan::runs;
use testkit::{Finished, TestHome, soon};

/// Longest time of one command here.
const LIMIT: Duration = Duration::from_secs(120);

/// Repositories in the home's manifest.
fn listed(home: &TestHome, names: &[&str]) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = names.iter().map(|name| repository(home, name)).collect();
    for name in names {
        home.mahavishnu(["repos", "add", name]).run().expect_success();
    }
    folders
}

fn sweep(home: &TestHome, args: &[&str]) -> (Finished, Value) {
    let done = home.mahavishnu(["sweep", "--format", "json"].iter().chain(args).copied()).limit(LIMIT).run();
    let told = done.expect_no_internals().json();
    (done, told)
}

fn id(told: &Value) -> String {
    told["workflow_id"].as_str().unwrap().to_owned()
}

#[test]
fn children_that_hide_end_with_their_step() {
    let home = TestHome::new();
    listed(&home, &["shop"]);
    let hidden = [
        "setsid sleep 73161 & sleep 73162",
        "( ( setsid sh -c 'trap \"\" TERM HUP; sleep 73163' & ) & ) ; sleep 73164",
        "env -i setsid sleep 73165 & sleep 73166",
        "nohup sleep 73167 >/dev/null 2>&1 & exec >&- 2>&-; sleep 73168",
        "trap '' TERM; while :; do sleep 0.05; done; sleep 73169",
    ];
    for script in hidden {
        let (done, told) = sweep(&home, &["--timeout", "500ms", "--grace", "300ms", "--", script]);
        done.expect_code(1);
        assert_eq!(told["steps"][0]["state"], "timeout", "{script}: {done}");
        soon("nothing of it is left", || !runs("sleep 7316"));
    }
}

#[test]
fn what_a_step_leaves_behind_ends_with_it_however_it_ends() {
    let home = TestHome::new();
    listed(&home, &["shop", "mill"]);
    let left = [
        ("(setsid nohup sleep 74161 >/dev/null 2>&1 &); (sleep 74162 &); echo done", 0),
        ("(setsid nohup sleep 74163 >/dev/null 2>&1 &); (sleep 74164 &); exit 3", 1),
        ("(env -i setsid sleep 74165 >/dev/null 2>&1 &); (env -i sleep 74166 &); true", 0),
        ("(env -i setsid sh -c 'sleep 74167 & sleep 74168' >/dev/null 2>&1 &); cd /; exit 3", 1),
        ("(cd /; exec env -i setsid sleep 74169 >/dev/null 2>&1 &); sleep 0.5", 0),
    ];
    for (script, code) in left {
        let (done, _) = sweep(&home, &["--", script]);
        done.expect_code(code);
        assert!(!runs("sleep 7416"), "{script}: {done}");
    }
    let hidden = "(env -i setsid sleep 74160 >/dev/null 2>&1 &); sleep 74160";
    let (done, told) = sweep(&home, &["--timeout", "500ms", "--", hidden]);
    done.expect_code(1);
    assert_eq!(told["steps"][0]["state"], "timeout", "{done}");
    assert!(!runs("sleep 7416"), "{done}");
    // One whose neighbour goes on: what is in a step's own folder ends with it.
    let gate = home.root().join("gate");
    let script = format!(
        "case $MAHAVISHNU_REPO in shop) (env -i setsid sleep 7416$((0)) >/dev/null 2>&1 &);; *) while ! test -e {}; do sleep 0.02; done;; esac",
        gate.display()
    );
    let mut both = home.mahavishnu(["sweep", "--", &script]).spawn();
    soon("the first step is over", || {
        let list = home.mahavishnu(["workflow", "list", "--limit", "1", "--format", "json"]).run().json();
        list[0]["completed"] == 1
    });
    assert!(!runs("sleep 74160"));
    fs::write(&gate, "").unwrap();
    assert!(both.wait(LIMIT).success());
}

#[test]
fn a_key_that_is_printed_slowly_and_a_token_in_a_line_without_end_reach_no_disk() {
    let home = TestHome::new();
    let shop = listed(&home, &["shop"]).remove(0);
    let body = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C2v3B4n5M6q7W8e9R0t1Y2";
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n{body}\n-----END RSA PRIVATE KEY-----\n");
    fs::write(shop.join("key"), key).unwrap();
    fs::write(shop.join("token"), token).unwrap();
    let script = "while read -r line; do echo \"$line\"; sleep 0.05; done <key; \
        head -c 65500 /dev/zero | tr '\\0' ' '; cat token; head -c 200000 /dev/zero | tr '\\0' ' '; echo; exit 3";
    let (done, told) = sweep(&home, &["--", script]);
    done.expect_code(1);
    let logs = home.mahavishnu(["workflow", "logs", &id(&told)]).run();
    assert!(logs.stdout.contains("[redacted:private-key]"), "{logs}");
    assert!(!logs.stdout.contains("q1W2e3") && !logs.stdout.contains("ghp_"), "{logs}");
    for secret in ["q1W2e3", "IJ012345"] {
        let kept = testkit::scan::files_with(&home.mahavishnu_home(), secret);
        assert!(kept.is_empty(), "{kept:?}");
    }
}

#[test]
fn what_steps_print_cannot_steer_the_terminal() {
    let home = TestHome::new();
    listed(&home, &["shop"]);
    let script = "printf '\\033]0;title\\007\\033[2J\\033[31mred\\033[0m\\r\\n\\000nul\\n\\377\\376\\n'; \
        printf '\\033]0;title\\007\\033[1mlast\\n'; exit 3";
    let (_, told) = sweep(&home, &["--", script]);
    assert_eq!(told["steps"][0]["note"], "exit code 3: last", "{told}");
    let id = id(&told);
    for words in [["workflow", "logs"], ["workflow", "show"], ["workflow", "explain"]] {
        let mut seat = home.mahavishnu(words.iter().chain(&[id.as_str()]).copied()).at_terminal((100, 40));
        seat.sees("last");
        assert_eq!(seat.end().code(), Some(0));
        let shown = seat.shown();
        assert!(!shown.contains("\x1b]") && !shown.contains("\x1b[2J") && !shown.contains('\0'), "{shown:?}");
    }
    let logs = home.mahavishnu(["workflow", "logs", &id]).run();
    assert!(logs.stdout.ends_with("red\n\u{fffd}nul\n\u{fffd}\u{fffd}\nlast\n"), "{:?}", logs.stdout);
}

#[test]
fn a_step_reads_no_input_and_may_close_its_output_and_live() {
    let home = TestHome::new();
    listed(&home, &["shop"]);
    let script = "read answer; echo \"read says $?\"; exec >&- 2>&-; sleep 0.3; exit 7";
    let (done, told) = sweep(&home, &["--", script]);
    done.expect_code(1);
    assert_eq!(told["steps"][0]["note"], "exit code 7: read says 1", "{told}");
}

#[test]
fn a_repository_that_goes_away_and_a_lock_of_git_are_named_beside_what_the_step_said() {
    let home = TestHome::new();
    let folders = listed(&home, &["shop", "mill"]);
    fs::write(folders[0].join(".git/index.lock"), "").unwrap();
    let script = "cd ..; test $MAHAVISHNU_REPO = mill && rm -rf mill; cd shop && git add -A; exit 4";
    let (done, told) = sweep(&home, &["--no-lock", "--parallel", "1", "--", script]);
    done.expect_code(1);
    let note = |step: usize| told["steps"][step]["note"].as_str().unwrap().to_owned();
    assert!(note(0).contains("index.lock") && note(0).contains("exit code 4"), "{told}");
    assert!(note(1).contains("mill is not there any more"), "{told}");
    // A linked work tree has its lock elsewhere.
    fs::remove_file(folders[0].join(".git/index.lock")).unwrap();
    let side = worktree(&home, &folders[0], "side");
    home.mahavishnu(["repos", "add", "side"]).run().expect_success();
    let lock = PathBuf::from(git(&home, &side, &["rev-parse", "--git-path", "index.lock"]));
    fs::write(side.join(lock), "").unwrap();
    let status = home.mahavishnu(["repos", "status", "--format", "json"]).run();
    let rows = status.json();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "side").unwrap();
    assert!(row["under_way"].as_str().unwrap().contains("index.lock"), "{status}");
}

#[test]
fn a_manifest_that_changes_meanwhile_changes_nothing_for_what_runs() {
    let home = TestHome::new();
    listed(&home, &["a", "b", "c"]);
    let manifest = home.mahavishnu_home().join("repos.yaml");
    let script = format!("echo 'repos: [' > {}", manifest.display());
    let (done, told) = sweep(&home, &["--parallel", "1", "--", &script]);
    done.expect_success();
    assert_eq!(told["completed"], 3, "{told}");
    let refused = home.mahavishnu(["sweep", "--", "true"]).run();
    refused.expect_code(3).expect_no_internals();
    assert!(refused.stderr.contains("repos.yaml:1"), "{refused}");
}

#[test]
fn steps_end_whole_where_group_and_session_were_made_outside() {
    let test = "steps_end_whole_where_group_and_session_were_made_outside";
    let Some(namespace) = testkit::disk::process_namespace(test) else { return };
    let home = TestHome::new();
    listed(&home, &["shop", "mill"]);
    let inside = |args: &[&str]| {
        let program = testkit::binaries::path("mahavishnu").to_string_lossy().into_owned();
        let words = namespace.into_iter().chain([program.as_str()]).chain(args.iter().copied());
        home.program("unshare", words).limit(LIMIT).run()
    };
    let script = "(setsid nohup sleep 75161 >/dev/null 2>&1 &); (env -i sleep 75162 &); echo $$; sleep 0.2";
    let done = inside(&["sweep", "--format", "json", "--", script]);
    done.expect_success().expect_no_internals();
    assert_eq!(done.json()["completed"], 2, "{done}");
    soon("nothing of it is left", || !runs("sleep 7516"));
    let done = inside(&["shell", "-c", "!echo of a command"]);
    assert!(done.expect_success().expect_no_internals().stdout.contains("of a command"), "{done}");
}

#[test]
fn folders_of_any_name_are_found_listed_and_worked_in() {
    let home = TestHome::new();
    for name in ["with space", "-lead", "$(touch pwned)", "new\nline", "ünï 日本"] {
        repository(&home, &format!("src/{name}"));
    }
    home.mahavishnu(["repos", "scan", "src", "--add"]).run().expect_success();
    let (done, told) = sweep(&home, &["--", "pwd > here; git status --short"]);
    done.expect_success();
    assert_eq!(told["completed"], 5, "{told}");
    assert!(home.work().join("src/new\nline/here").exists() && !home.work().join("pwned").exists());
    let status = home.mahavishnu(["repos", "status"]).run();
    assert_eq!(status.expect_success().stdout.matches("1 new").count(), 5, "{status}");
}

#[test]
fn a_name_that_none_of_many_has_is_answered_in_a_few_words() {
    let home = TestHome::new();
    let mut manifest = "repos:\n".to_owned();
    for number in 0..10_000 {
        let path = home.work().join(number.to_string());
        manifest.push_str(&format!("- {{name: repository{number}, path: {}, role: lib}}\n", path.display()));
    }
    fs::create_dir_all(home.mahavishnu_home()).unwrap();
    fs::write(home.mahavishnu_home().join("repos.yaml"), manifest).unwrap();
    let refused = home.mahavishnu(["sweep", "--repo", "ository77", "--", "true"]).run();
    refused.expect_code(4).expect_no_internals();
    assert!(refused.stderr.contains("repository77,") && refused.stderr.len() < 500, "{refused}");
    let nothing = TestHome::new();
    let refused = nothing.mahavishnu(["sweep", "--", "true"]).run();
    refused.expect_code(4);
    let words = refused.stderr.to_lowercase();
    assert_eq!(words.matches("no repositories").count(), 1, "{refused}");
    assert!(words.contains("repos scan"), "{refused}");
}
