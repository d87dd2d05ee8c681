//! What a worktree holds, and who is in it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oneiric::clock::Timestamp;
use oneiric::count::counted;
use serde::Serialize;

use super::BRANCH;
use super::git::Git;
use super::lease::{self, LeaseFile, Note};

/// Most entries that are counted for a worktree's size.
const MAX_ENTRIES: usize = 1_000_000;

/// What keeps a worktree, or that nothing does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum State {
    /// Someone has leased it, or a process works in it.
    Live(String),
    /// Nothing in it is lost when it goes.
    Clean,
    /// It has files that are not committed, or something half done.
    Uncommitted(String),
    /// It has commits that no other branch, tag or remote has.
    Unpushed(String),
    /// Its making was broken off; nobody ever worked in it.
    Unfinished,
    /// git cannot read it; what it holds is not known.
    Broken(String),
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Clean => "clean",
            Self::Uncommitted(_) => "uncommitted",
            Self::Unpushed(_) => "unpushed",
            Self::Unfinished => "unfinished",
            Self::Broken(_) => "broken",
        }
    }

    /// Why it stays; empty when nothing keeps it.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Live(why) | Self::Uncommitted(why) | Self::Unpushed(why) | Self::Broken(why) => why,
            Self::Clean | Self::Unfinished => "",
        }
    }

    /// Whether nothing keeps it.
    #[must_use]
    pub const fn may_go(&self) -> bool {
        matches!(self, Self::Clean | Self::Unfinished)
    }
}

/// A worktree as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worktree {
    /// Its id.
    pub id: String,
    /// Name of the repository's folder below `worktrees`.
    pub repository: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its branch.
    pub branch: String,
    /// When it was last taken.
    pub used_at: Option<Timestamp>,
    /// Bytes on disk.
    pub bytes: u64,
    /// What keeps it.
    #[serde(flatten)]
    pub state: State,
}

/// What a worktree whose lease is free (or ours) holds.
pub(super) fn judge(path: &Path, note: &Note) -> State {
    if let Some(pid) = somebody_in(path) {
        return State::Live(format!("process {pid} works in it"));
    }
    if !note.ready {
        return State::Unfinished;
    }
    if !path.is_dir() {
        // Someone removed the folder; git knows when it is asked to prune.
        return State::Clean;
    }
    let git = Git::at(path);
    let inside = git.line(&["rev-parse", "--show-toplevel"]);
    match inside.map(PathBuf::from) {
        // A folder without git's file would be taken for part of whatever repository is around it.
        Ok(top) if top.canonicalize().ok() == path.canonicalize().ok() => {}
        Ok(_) => return State::Broken("it has lost its tie to its repository".into()),
        Err(why) => return State::Broken(why),
    }
    for (name, what) in [
        ("MERGE_HEAD", "a merge"),
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("BISECT_LOG", "a bisection"),
    ] {
        if git.line(&["rev-parse", "--git-path", name]).is_ok_and(|found| path.join(found).exists()) {
            return State::Uncommitted(format!("{what} is under way"));
        }
    }
    match git.line(&["status", "--porcelain", "--untracked-files=normal"]).as_deref() {
        Ok("") => {}
        Ok(text) => {
            let files = text.lines().count();
            let first = text.lines().next().unwrap_or_default().split_whitespace().next_back().unwrap_or_default();
            let more = if files > 1 { format!(" and {} more", files - 1) } else { String::new() };
            return State::Uncommitted(format!("not committed: {first}{more}"));
        }
        Err(why) => return State::Broken(why.to_owned()),
    }
    match own_commits(&git) {
        Ok(0) => State::Clean,
        Ok(count) => State::Unpushed(format!("{} that no other branch has", counted(count, "commit", "commits"))),
        Err(why) => State::Broken(why),
    }
}

/// Commits of a worktree that no branch of a person, tag or remote has. Branches of other tasks do not count: each of two
/// would else be safe because of the other.
pub(super) fn own_commits(git: &Git<'_>) -> Result<u64, String> {
    let exclude = format!("--exclude={BRANCH}*");
    let words = ["rev-list", "--count", "HEAD", "--not", &exclude, "--branches", "--remotes", "--tags"];
    git.line(&words)?.parse().map_err(|_| "git does not count its commits".to_owned())
}

/// A process of this user that has its working directory in a folder.
fn somebody_in(path: &Path) -> Option<u32> {
    let real = path.canonicalize().ok()?;
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let inside = |pid: &u32| {
        let at = std::fs::read_link(format!("/proc/{pid}/cwd"));
        // The kernel adds " (deleted)" to the name of a folder that is gone.
        at.is_ok_and(|at| at.starts_with(&real) && at.as_os_str().as_bytes().len() >= real.as_os_str().len())
    };
    pids.filter(|pid| *pid != own).find(inside)
}

/// Every worktree below a folder.
pub(super) fn list(root: &Path) -> Vec<Worktree> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut repositories: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    repositories.sort_unstable();
    let look = |repository: &String| -> Vec<Worktree> {
        let folder = root.join(repository);
        lease::ids(&folder).into_iter().map(|id| look(&folder, repository, id)).collect()
    };
    repositories.iter().flat_map(look).collect()
}

fn look(folder: &Path, repository: &str, id: String) -> Worktree {
    let path = folder.join(&id);
    let note = lease::peek(folder, &id);
    let state = match (&note, LeaseFile::claim_existing(folder, &id)) {
        (_, Ok(None)) => State::Live("its task is at work".into()),
        (Some(note), Ok(Some(_))) => judge(&path, note),
        (None, Ok(Some(_))) => unwritten(&path),
        (_, Err(error)) => State::Broken(oneiric::paths::plain(&error)),
    };
    Worktree {
        repository: repository.to_owned(),
        branch: note.as_ref().map(|note| note.branch.clone()).unwrap_or_default(),
        used_at: note.map(|note| note.used_at),
        bytes: size(&path),
        path,
        id,
        state,
    }
}

/// One whose lease file says nothing: its maker was killed before git was called, or the file is damaged.
pub(super) fn unwritten(path: &Path) -> State {
    match path.exists() {
        false => State::Unfinished,
        true => State::Broken("its lease file is damaged".into()),
    }
}

/// Bytes on disk, without following links.
pub(super) fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (mut open, mut bytes, mut seen) = (vec![path.to_path_buf()], 0_u64, 0);
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return bytes;
            }
            let Ok(meta) = entry.metadata() else { continue };
            bytes = bytes.saturating_add(meta.blocks().saturating_mul(512));
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}
