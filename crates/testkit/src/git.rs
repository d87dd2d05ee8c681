//! Small real git repositories.

use std::fs;
use std::path::{Path, PathBuf};

use crate::home::TestHome;

/// A repository called `name` in the home's working directory, with one commit on branch `main`.
///
/// # Panics
/// When git does not do it.
pub fn repository(home: &TestHome, name: &str) -> PathBuf {
    let dir = home.work().join(name);
    fs::create_dir_all(&dir).expect("a folder for the repository");
    git(home, &dir, &["init", "-q", "-b", "main"]);
    git(home, &dir, &["config", "user.name", "Ada"]);
    git(home, &dir, &["config", "user.email", "ada@example.org"]);
    fs::write(dir.join("README.md"), format!("# {name}\n")).expect("a file to commit");
    git(home, &dir, &["add", "."]);
    git(home, &dir, &["commit", "-q", "-m", "first"]);
    dir
}

/// A second worktree of `repository` in the folder `name`, on a new branch of that name.
///
/// # Panics
/// When git does not do it.
#[must_use]
pub fn worktree(home: &TestHome, repository: &Path, name: &str) -> PathBuf {
    let dir = home.work().join(name);
    git(home, repository, &["worktree", "add", "-q", "-b", name, &dir.to_string_lossy()]);
    dir
}

/// Runs `git` in `dir` and gives what it prints, without the last line feed.
///
/// # Panics
/// When it fails.
pub fn git(home: &TestHome, dir: &Path, args: &[&str]) -> String {
    let done = home.program("git", args).cwd(dir).run();
    done.expect_success();
    done.stdout.trim_end().to_owned()
}
