//! Gives the disk back what worktrees take that nobody needs.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::git::Git;
use super::lease::{self, LeaseFile, Note};
use super::{safe, state};

/// What became, or would become, of a worktree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reclaimed {
    /// Its id.
    pub id: String,
    /// Name of the repository's folder below `worktrees`.
    pub repository: String,
    /// Where it is, or was.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// `live`, `clean`, `uncommitted`, `unpushed`, `unfinished` or `broken`.
    pub state: &'static str,
    /// Whether it goes.
    pub goes: bool,
    /// Why it stays or goes.
    pub why: String,
}

pub(super) fn reclaim(root: &Path, repository: Option<&str>, dry_run: bool) -> Vec<Reclaimed> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| repository.is_none_or(|wanted| *name == safe(wanted)));
    names.sort_unstable();
    let of = |name: &String| -> Vec<Reclaimed> {
        let folder = root.join(name);
        lease::ids(&folder).into_iter().map(|id| one(&folder, name, id, dry_run)).collect()
    };
    names.iter().flat_map(of).collect()
}

/// The lease is held from before it is judged until it is gone, so nobody takes it meanwhile.
fn one(folder: &Path, repository: &str, id: String, dry_run: bool) -> Reclaimed {
    let path = folder.join(&id);
    let bytes = state::size(&path);
    let row = |state: &'static str, goes: bool, why: String| Reclaimed {
        id: id.clone(),
        repository: repository.to_owned(),
        path: path.clone(),
        bytes,
        state,
        goes,
        why,
    };
    let mut file = match LeaseFile::claim_existing(folder, &id) {
        Ok(Some(file)) => file,
        Ok(None) => return row("live", false, "its task is at work".into()),
        Err(error) => return row("broken", false, oneiric::paths::plain(&error)),
    };
    let note = file.read();
    let found = match &note {
        Some(note) => state::judge(&path, note),
        None => state::unwritten(&path),
    };
    if !found.may_go() {
        return row(found.name(), false, found.why().to_owned());
    }
    let why = match found.name() {
        "unfinished" => "its making was broken off",
        _ => "nobody uses it and it holds nothing of its own",
    };
    if dry_run {
        return row(found.name(), true, why.to_owned());
    }
    match remove(&path, note.as_ref(), found == state::State::Unfinished) {
        Ok(()) => {
            file.remove();
            let _ = std::fs::remove_dir(folder);
            row(found.name(), true, why.to_owned())
        }
        Err(why) => row(found.name(), false, why),
    }
}

/// git removes it and looks once more whether it is clean; only what was never finished is removed by force.
fn remove(path: &Path, note: Option<&Note>, unfinished: bool) -> Result<(), String> {
    let Some(note) = note else { return Ok(()) };
    let git = Git::at(&note.repository);
    let at = path.to_string_lossy().into_owned();
    if unfinished {
        let _ = git.line(&["worktree", "remove", "--force", "--force", &at]);
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(|error| oneiric::paths::plain(&error))?;
        }
        let _ = git.line(&["worktree", "prune"]);
    } else if path.exists() {
        git.line(&["worktree", "remove", &at])?;
    } else {
        let _ = git.line(&["worktree", "prune"]);
    }
    // It holds nothing that another branch has not; whoever added a commit in this moment keeps it.
    if let Ok(own) = git.line(&[
        "rev-list",
        "--count",
        &note.branch,
        "--not",
        "--exclude=mahavishnu/*",
        "--branches",
        "--remotes",
        "--tags",
    ]) && own == "0"
    {
        let _ = git.line(&["branch", "--quiet", "-D", &note.branch]);
    }
    Ok(())
}
