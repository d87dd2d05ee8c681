//! How the repositories stand: branch, distance to what they follow, changes, stashes, last commit. Many at once, each
//! with a time limit; one that does not answer costs the others nothing.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneiric::clock::Timestamp;
use serde::Serialize;

use super::Repository;
use super::git::{NoAnswer, ask};

/// How a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing changed.
    Clean,
    /// Something changed.
    Changed,
    /// Its folder is not there.
    Missing,
    /// Its folder is in no repository.
    NoRepository,
    /// Git did not answer in time.
    Late,
    /// Git says why not.
    Failed,
}

/// How a repository stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepoStatus {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// In one word.
    pub standing: Standing,
    /// Branch; absent when the head is detached.
    pub branch: Option<String>,
    /// What the branch follows.
    pub upstream: Option<String>,
    /// Commits that the upstream does not have.
    pub ahead: Option<u32>,
    /// Commits that only the upstream has.
    pub behind: Option<u32>,
    /// Paths with changes that the next commit has.
    pub staged: u32,
    /// Paths with changes that it has not.
    pub changed: u32,
    /// Paths that git does not know.
    pub untracked: u32,
    /// Paths in conflict.
    pub conflicts: u32,
    /// Stashes.
    pub stashes: u32,
    /// The last commit.
    pub commit: Option<Commit>,
    /// What is under way: a merge, a rebase; or that git's lock is held.
    pub under_way: Option<String>,
    /// Why something of it is not known.
    pub note: Option<String>,
}

impl RepoStatus {
    /// Whether there is nothing to do about it: no changes, in step with what it follows, nothing under way or wrong.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.standing == Standing::Clean
            && self.ahead.unwrap_or(0) == 0
            && self.behind.unwrap_or(0) == 0
            && self.stashes == 0
            && self.under_way.is_none()
            && self.note.is_none()
    }
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub author: String,
    /// Its first line.
    pub subject: String,
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Longest time of a repository.
    pub limit: Duration,
    /// Whether the remote is asked first, and for how long at most.
    pub fetch: Option<Duration>,
    /// How many at the same time.
    pub parallel: usize,
}

/// How these repositories stand, in their order. `tell` hears how many are done.
#[must_use]
pub fn status(repos: &[&Repository], asking: Asking, tell: &(dyn Fn(usize) + Sync)) -> Vec<RepoStatus> {
    let found: Mutex<Vec<Option<RepoStatus>>> = Mutex::new(vec![None; repos.len()]);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..asking.parallel.clamp(1, 64).min(repos.len()) {
            scope.spawn(|| {
                while let Some((number, repo)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    repos.get(number).map(|repo| (number, repo))
                } {
                    let one = status_of(repo, asking);
                    found.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(one);
                    tell(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

fn status_of(repo: &Repository, asking: Asking) -> RepoStatus {
    let dir = &repo.path;
    let mut status = RepoStatus {
        name: repo.name.clone(),
        path: dir.display().to_string(),
        standing: Standing::Missing,
        branch: None,
        upstream: None,
        ahead: None,
        behind: None,
        staged: 0,
        changed: 0,
        untracked: 0,
        conflicts: 0,
        stashes: 0,
        commit: None,
        under_way: None,
        note: None,
    };
    if !dir.is_dir() {
        return status;
    }
    if let Some(limit) = asking.fetch {
        match ask(dir, &["fetch", "--quiet"], limit) {
            Ok(_) => {}
            Err(NoAnswer::Late) => status.note = Some("the remote did not answer in time".into()),
            Err(NoAnswer::Failed(why)) => status.note = Some(format!("fetch: {why}")),
        }
    }
    // Side by side: most of the time goes into starting programs.
    let (answer, commit) = std::thread::scope(|scope| {
        let log = scope
            .spawn(|| ask(dir, &["log", "-1", "--no-show-signature", "--format=%H%x00%ct%x00%an%x00%s"], asking.limit));
        let words = ["status", "--porcelain=v2", "--branch", "--show-stash", "--ignore-submodules=dirty", "-z"];
        (ask(dir, &words, asking.limit), log.join().unwrap_or(Err(NoAnswer::Late)))
    });
    match answer {
        Ok(printed) => {
            read_status(&printed, &mut status);
            status.standing = match status.staged + status.changed + status.untracked + status.conflicts {
                0 => Standing::Clean,
                _ => Standing::Changed,
            };
        }
        Err(NoAnswer::Late) => {
            status.standing = Standing::Late;
            status.note = Some(format!("git did not answer in {} s", asking.limit.as_secs()));
        }
        Err(NoAnswer::Failed(why)) if why.starts_with("not a git repository") => {
            status.standing = Standing::NoRepository;
            status.note = Some(why);
        }
        Err(NoAnswer::Failed(why)) => {
            status.standing = Standing::Failed;
            status.note = Some(why);
        }
    }
    status.commit = commit.ok().and_then(|printed| read_commit(&printed));
    status.under_way = under_way(dir);
    status
}

fn read_status(printed: &[u8], status: &mut RepoStatus) {
    let mut entries = printed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    while let Some(entry) = entries.next() {
        let text = String::from_utf8_lossy(entry);
        if let Some(head) = text.strip_prefix("# branch.head ") {
            status.branch = (head != "(detached)").then(|| head.to_owned());
        } else if let Some(upstream) = text.strip_prefix("# branch.upstream ") {
            status.upstream = Some(upstream.to_owned());
        } else if let Some(distance) = text.strip_prefix("# branch.ab ") {
            let mut parts = distance.split(' ').map(|part| part.trim_start_matches(['+', '-']).parse().ok());
            (status.ahead, status.behind) = (parts.next().flatten(), parts.next().flatten());
        } else if let Some(count) = text.strip_prefix("# stash ") {
            status.stashes = count.parse().unwrap_or(0);
        } else if text.starts_with("? ") {
            status.untracked += 1;
        } else if text.starts_with("u ") {
            status.conflicts += 1;
        } else if text.starts_with("1 ") || text.starts_with("2 ") {
            let marks = text.as_bytes();
            status.staged += u32::from(marks.get(2).is_some_and(|mark| *mark != b'.'));
            status.changed += u32::from(marks.get(3).is_some_and(|mark| *mark != b'.'));
            if text.starts_with("2 ") {
                // A renamed path is followed by where it came from.
                entries.next();
            }
        }
    }
}

fn read_commit(printed: &[u8]) -> Option<Commit> {
    let text = String::from_utf8_lossy(printed);
    let mut parts = text.trim_end_matches('\n').splitn(4, '\0');
    let id = parts.next().filter(|id| !id.is_empty())?.to_owned();
    let seconds: i64 = parts.next()?.parse().ok()?;
    let plain = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(200).collect() };
    Some(Commit {
        id,
        at: Timestamp::from_micros(seconds.saturating_mul(1_000_000)),
        author: plain(parts.next()?),
        subject: plain(parts.next()?),
    })
}

/// What is under way in a repository, as its files tell.
#[must_use]
pub fn under_way(dir: &Path) -> Option<String> {
    let git = git_folder(dir);
    let signs = [
        ("index.lock", "git's lock is held"),
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
        ("MERGE_HEAD", "a merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("BISECT_LOG", "a bisection"),
    ];
    let (name, what) = signs.into_iter().find(|(name, _)| git.join(name).exists())?;
    let file = git.join(name);
    Some(match name {
        "index.lock" => format!("{what} ({})", file.strip_prefix(dir).unwrap_or(&file).display()),
        _ => what.to_owned(),
    })
}

/// What is wrong with a repository that a step failed in, when its files tell.
#[must_use]
pub fn trouble(dir: &Path) -> Option<String> {
    if !dir.is_dir() {
        return Some(format!("the repository {} is not there any more", dir.display()));
    }
    let lock = git_folder(dir).join("index.lock");
    lock.exists()
        .then(|| format!("git's lock is held ({}): another git is at work there, or one was killed", lock.display()))
}

/// Where a work tree's index is: `.git`, or what that file says when the work tree is not the first one.
fn git_folder(dir: &Path) -> PathBuf {
    let git = dir.join(".git");
    let told = git.is_file().then(|| std::fs::read_to_string(&git).ok()).flatten();
    match told.as_deref().and_then(|text| text.strip_prefix("gitdir:")) {
        Some(folder) => dir.join(folder.trim()),
        None => git,
    }
}
