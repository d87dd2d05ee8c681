//! Worktrees of git for tasks that need a copy of a repository to themselves.
//!
//! They live below `<home>/worktrees/<repository>/<id>`, each with a lease file beside it (`<id>.lease`) that whoever works
//! there holds locked. One whose lease is locked, or in which a process still works, is never touched. One that nobody uses
//! is used again when it holds nothing that exists nowhere else, and reclaimed when someone asks for that; uncommitted files
//! and commits that no other branch has are never removed.

mod git;
mod lease;
mod reclaim;
mod state;

use std::path::{Path, PathBuf};

use oneiric::clock::Timestamp;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::paths::{Home, plain};

use self::git::Git;
use self::lease::{LeaseFile, Note};

pub use self::reclaim::Reclaimed;
pub use self::state::{State, Worktree};

/// Prefix of the branches that are made for tasks.
const BRANCH: &str = "mahavishnu/";

/// How much worktrees may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most worktrees of one repository.
    pub most: usize,
    /// Free space that making another one must leave, in bytes.
    pub free: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { most: 32, free: 1 << 30 }
    }
}

/// The worktrees of a home.
#[derive(Clone, Debug)]
pub struct Worktrees {
    root: PathBuf,
    bounds: Bounds,
}

/// A worktree that belongs to whoever holds this. It stays on disk when this is dropped; then somebody else may use it.
#[derive(Debug)]
pub struct Lease {
    /// Its folder.
    pub path: PathBuf,
    /// Its branch.
    pub branch: String,
    /// Whether it was there before.
    pub reused: bool,
    _file: LeaseFile,
}

impl Worktrees {
    /// Those of a home. Nothing is made until one is needed.
    #[must_use]
    pub fn at(home: &Home, bounds: Bounds) -> Self {
        Self { root: home.root().join("worktrees"), bounds }
    }

    /// A worktree of a repository for a task: one that is there and unused and holds nothing of its own, else a new one. It
    /// is on a branch of its own that begins where the repository's `HEAD` is.
    ///
    /// # Errors
    /// When the folder is no repository, git does not do it, there are too many of them, or the disk is too full.
    pub fn take(&self, name: &str, repository: &Path, now: Timestamp) -> Result<Lease> {
        let git = Git::at(repository);
        let head = git.line(&["rev-parse", "--verify", "HEAD^{commit}"]).map_err(|why| {
            Fault::user(format!("no worktree of {name}: {why}")).hint("worktrees need a git repository with a commit")
        })?;
        let folder = self.root.join(safe(name));
        oneiric::paths::ensure_private_dir(&self.root)
            .and_then(|()| oneiric::paths::ensure_private_dir(&folder))
            .map_err(|error| Fault::unavailable(format!("cannot create {}: {}", folder.display(), plain(&error))))?;
        for id in lease::ids(&folder) {
            if let Some(lease) = self.reuse(&folder, &id, repository, &head, now) {
                return Ok(lease);
            }
        }
        let there = lease::ids(&folder).len();
        if there >= self.bounds.most {
            return Err(Fault::unavailable(format!(
                "{name} has {} already, all in use or with work in them",
                counted(there, "worktree", "worktrees")
            ))
            .hint(
                "'mahavishnu worktree list' shows them; finish what is in them, then 'mahavishnu worktree reclaim'",
            ));
        }
        if let Ok(disk) = rustix::fs::statvfs(&folder)
            && disk.f_bavail.saturating_mul(disk.f_frsize) < self.bounds.free
        {
            return Err(Fault::unavailable(format!("the disk of {} is almost full", folder.display()))
                .hint("'mahavishnu worktree reclaim' removes worktrees that hold nothing of their own"));
        }
        self.make(&folder, &git, repository, &head, now)
    }

    fn make(&self, folder: &Path, git: &Git, repository: &Path, head: &str, now: Timestamp) -> Result<Lease> {
        let id = EventId::generate(now).as_str().to_owned();
        let path = folder.join(&id);
        let branch = format!("{BRANCH}{id}");
        let mut note =
            Note { repository: repository.to_path_buf(), branch: branch.clone(), ready: false, used_at: now };
        let mut file = LeaseFile::claim(folder, &id)
            .and_then(|file| file.ok_or_else(|| std::io::Error::other("somebody else has it")))
            .map_err(|error| Fault::unavailable(format!("cannot lease {}: {}", path.display(), plain(&error))))?;
        let kept = |file: &mut LeaseFile, note: &Note| {
            file.write(note)
                .map_err(|error| Fault::unavailable(format!("cannot lease {}: {}", path.display(), plain(&error))))
        };
        kept(&mut file, &note)?;
        let at = path.to_string_lossy().into_owned();
        if let Err(why) = git.line(&["worktree", "add", "--quiet", "-b", &branch, &at, head]) {
            let _ = git.line(&["worktree", "remove", "--force", "--force", &at]);
            let _ = git.line(&["branch", "--quiet", "-D", &branch]);
            file.remove();
            return Err(Fault::unavailable(format!("no worktree of {}: {why}", repository.display())));
        }
        note.ready = true;
        kept(&mut file, &note)?;
        Ok(Lease { path, branch, reused: false, _file: file })
    }

    /// Takes one that is there, when nobody uses it and nothing would be lost.
    fn reuse(&self, folder: &Path, id: &str, repository: &Path, head: &str, now: Timestamp) -> Option<Lease> {
        let mut file = LeaseFile::claim_existing(folder, id).ok()??;
        let mut note = file.read()?;
        if note.repository != repository {
            return None;
        }
        let path = folder.join(id);
        if state::judge(&path, &note) != State::Clean {
            return None;
        }
        let git = Git::at(&path);
        // Its branch holds nothing that others do not, so it may begin anew.
        git.line(&["checkout", "--quiet", "-B", &note.branch, head]).ok()?;
        // What is ignored (build folders) stays: that is what makes using it again worth while.
        note.used_at = now;
        file.write(&note).ok()?;
        Some(Lease { path, branch: note.branch, reused: true, _file: file })
    }

    /// All of them, with what keeps each.
    #[must_use]
    pub fn list(&self) -> Vec<Worktree> {
        state::list(&self.root)
    }

    /// Removes those that nobody uses and that hold nothing of their own, of every repository or of one; with `dry_run` it
    /// only says which. Each stays or goes by itself: what cannot be removed says why.
    #[must_use]
    pub fn reclaim(&self, repository: Option<&str>, dry_run: bool) -> Vec<Reclaimed> {
        reclaim::reclaim(&self.root, repository, dry_run)
    }
}

impl Lease {
    /// What a task left in it, in words; `None` when it is as it was.
    #[must_use]
    pub fn changes(&self) -> Option<String> {
        let git = Git::at(&self.path);
        let files = git.line(&["status", "--porcelain"]).map(|text| text.lines().count()).unwrap_or(0);
        let commits = state::own_commits(&git).unwrap_or(0);
        let count = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let parts: Vec<String> =
            [count(commits, "commit", "commits"), count(files as u64, "uncommitted file", "uncommitted files")]
                .into_iter()
                .flatten()
                .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// A repository's name as a folder's.
fn safe(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).take(100).collect();
    match kept.trim_start_matches('.') {
        "" => "_".to_owned(),
        kept => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests;
