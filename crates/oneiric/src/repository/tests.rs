#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use super::*;
use crate::clock::{Clock, SystemClock};

const LIMIT: Duration = Duration::from_secs(20);

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always", "-c", "commit.gpgsign=false"])
        .args(args)
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit, in a folder whose name needs care.
fn repository(below: &Path, name: &str) -> PathBuf {
    let dir = below.canonicalize().unwrap().join(name);
    fs::create_dir_all(&dir).unwrap();
    git(&dir, &["init", "-q"]);
    fs::write(dir.join("a.txt"), "one\n").unwrap();
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-q", "-m", "one"]);
    dir
}

fn known(dir: &Path) -> RepositoryIdentity {
    probe(dir, LIMIT).unwrap_or_else(|| panic!("{} is in a repository", dir.display()))
}

#[test]
fn a_clean_tree_has_branch_commit_and_project_also_from_below_and_through_a_link() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "мой проект 東京");
    let identity = known(&dir);
    assert_eq!(identity.common_dir, dir.join(".git").to_str().unwrap());
    assert_eq!(identity.worktree, dir.to_str().unwrap());
    assert_eq!(identity.branch.as_deref(), Some("main"));
    assert_eq!(identity.commit.as_deref(), Some(git(&dir, &["rev-parse", "HEAD"]).as_str()));
    assert_eq!(identity.dirty, Some(false));
    assert_eq!(project_name(&identity), "мой проект 東京");

    let below = dir.join("x/y");
    fs::create_dir_all(&below).unwrap();
    assert_eq!(known(&below), identity);
    assert_eq!(known(&dir.join(".git")).worktree, identity.worktree);
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    assert_eq!(known(&link), identity);
}

#[test]
fn untracked_modified_and_staged_files_make_a_tree_dirty() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "r");
    fs::write(dir.join("new.txt"), "x").unwrap();
    assert_eq!(known(&dir).dirty, Some(true));
    git(&dir, &["add", "new.txt"]);
    assert_eq!(known(&dir).dirty, Some(true));
    git(&dir, &["commit", "-q", "-m", "two"]);
    assert_eq!(known(&dir).dirty, Some(false));
    fs::write(dir.join("a.txt"), "changed\n").unwrap();
    let identity = known(&dir);
    assert_eq!(identity.dirty, Some(true));
    assert_eq!(identity.branch.as_deref(), Some("main"));
    fs::write(dir.join("a.txt"), "one\n").unwrap();
    fs::write(dir.join(".gitignore"), "*.log\n").unwrap();
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-q", "-m", "three"]);
    fs::write(dir.join("ignored.log"), "x").unwrap();
    assert_eq!(known(&dir).dirty, Some(false));
}

#[test]
fn worktrees_share_the_common_directory_and_the_project_but_not_the_tree() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "app");
    let second = dir.parent().unwrap().join("app-feature");
    git(&dir, &["worktree", "add", "-q", "-b", "feature", second.to_str().unwrap()]);
    fs::write(second.join("b.txt"), "x").unwrap();
    let (one, two) = (known(&dir), known(&second));
    assert_eq!(one.common_dir, two.common_dir);
    assert_ne!(one.worktree, two.worktree);
    assert_eq!((one.branch.as_deref(), two.branch.as_deref()), (Some("main"), Some("feature")));
    assert_eq!((one.dirty, two.dirty), (Some(false), Some(true)));
    assert_eq!((project_name(&one), project_name(&two)), ("app".to_owned(), "app".to_owned()));
}

#[test]
fn a_detached_head_has_a_commit_and_no_branch() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "r");
    git(&dir, &["checkout", "-q", "--detach"]);
    let identity = known(&dir);
    assert_eq!(identity.branch, None);
    assert_eq!(identity.commit.as_deref(), Some(git(&dir, &["rev-parse", "HEAD"]).as_str()));
}

#[test]
fn before_the_first_commit_there_is_a_branch_and_no_commit() {
    let temp = tempfile::tempdir().unwrap();
    git(temp.path(), &["init", "-q"]);
    let identity = known(temp.path());
    assert_eq!((identity.branch.as_deref(), identity.commit, identity.dirty), (Some("main"), None, Some(false)));
    fs::write(temp.path().join("x"), "x").unwrap();
    assert_eq!(known(temp.path()).dirty, Some(true));
}

#[test]
fn a_bare_repository_is_its_own_worktree_and_is_never_called_dirty() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "r");
    let bare = temp.path().canonicalize().unwrap().join("mirror.git");
    git(temp.path(), &["clone", "-q", "--bare", dir.to_str().unwrap(), bare.to_str().unwrap()]);
    let identity = known(&bare);
    assert_eq!(identity.common_dir, bare.to_str().unwrap());
    assert_eq!(identity.worktree, identity.common_dir);
    assert_eq!(identity.branch.as_deref(), Some("main"));
    assert!(identity.commit.is_some());
    assert_eq!(identity.dirty, None);
    assert_eq!(project_name(&identity), "mirror");
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let inner = repository(temp.path(), "inner");
    let outer = repository(temp.path(), "outer");
    git(&outer, &["submodule", "add", "-q", inner.to_str().unwrap(), "sub"]);
    let identity = known(&outer.join("sub"));
    assert_eq!(identity.worktree, outer.join("sub").to_str().unwrap());
    assert_eq!(identity.common_dir, outer.join(".git/modules/sub").to_str().unwrap());
    assert_eq!(project_name(&identity), "sub");
}

#[test]
fn no_repository_and_no_directory_are_none() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(probe(temp.path(), LIMIT), None);
    assert_eq!(probe(&temp.path().join("absent"), LIMIT), None);
}

#[test]
fn when_the_state_takes_too_long_the_identity_is_kept_and_git_is_ended_with_all_its_children() {
    let temp = tempfile::tempdir().unwrap();
    let dir = repository(temp.path(), "r");
    // A clean filter that never ends stands in for a slow disk: `status` has to run it, `rev-parse` has not.
    let fifo = temp.path().join("never");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::write(dir.join(".gitattributes"), "*.txt filter=slow\n").unwrap();
    git(&dir, &["config", "filter.slow.clean", &format!("cat '{}'", fifo.display())]);
    fs::write(dir.join("a.txt"), "two\n").unwrap();
    let identity = probe(&dir, Duration::from_millis(1500)).unwrap();
    assert_eq!(identity.dirty, None);
    assert_eq!(identity.branch.as_deref(), Some("main"));
    assert!(identity.commit.is_some());
    // Nobody reads the pipe any more once the filter is gone: then opening it for writing fails at once.
    let read_by_somebody = || {
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        fs::OpenOptions::new().write(true).custom_flags(nonblock).open(&fifo).is_ok()
    };
    let deadline = SystemClock.monotonic() + LIMIT;
    while read_by_somebody() {
        assert!(SystemClock.monotonic() < deadline, "the filter outlived the probe");
        std::thread::yield_now();
    }
}

#[test]
fn folders_with_a_line_feed_in_their_names_are_never_taken_for_one_another() {
    let temp = tempfile::tempdir().unwrap();
    let below = temp.path().canonicalize().unwrap();
    // The first part of each name is a repository of its own.
    repository(temp.path(), "a");
    git(&below, &["init", "-q", "--bare", "bare"]);
    for name in ["a\nb", "a\ntrue\nc", "x\ny", "a\ntrue", "a/.git\ntrue\n"] {
        let dir = below.join(name);
        fs::create_dir_all(&dir).unwrap();
        for commits in [false, true] {
            if commits {
                repository(temp.path(), name);
            } else {
                git(&dir, &["init", "-q"]);
            }
            assert_eq!(probe(&dir, LIMIT), None, "{name:?}");
        }
    }
    for name in ["bare\nfalse", "bare\ntrue\n"] {
        git(&below, &["init", "-q", "--bare", name]);
        assert_eq!(probe(&below.join(name), LIMIT), None, "{name:?}");
    }
    // Other names that need care have their own.
    for name in ["tab\there", " spaces ", "-dash", "true", "quote\"'"] {
        let dir = repository(temp.path(), name);
        assert_eq!(known(&dir).worktree, dir.to_str().unwrap(), "{name:?}");
    }
}

#[test]
fn a_limit_of_zero_answers_nothing() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(probe(&repository(temp.path(), "r"), Duration::ZERO), None);
}

#[test]
fn a_repository_without_a_working_folder_name_still_has_a_project_name() {
    let identity = |common_dir: &str| RepositoryIdentity {
        common_dir: common_dir.to_owned(),
        worktree: String::new(),
        branch: None,
        commit: None,
        dirty: None,
    };
    for (common_dir, name) in [
        ("/srv/app/.git", "app"),
        ("/srv/app.git", "app"),
        ("/srv/app", "app"),
        ("/.git", ".git"),
        ("/x/.git/modules/s", "s"),
    ] {
        assert_eq!(project_name(&identity(common_dir)), name, "{common_dir}");
    }
}
