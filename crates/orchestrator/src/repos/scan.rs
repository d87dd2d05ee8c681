//! Finds repositories below a folder. Bounded in depth and number; symbolic links are not followed, so there are no loops.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;
use serde::Serialize;

/// Most folders that are looked into.
const MAX_FOLDERS: usize = 500_000;
/// Folders that hold what programs made.
const SKIPPED: [&str; 6] = ["node_modules", "target", "vendor", "__pycache__", "site-packages", "venv"];

/// What kind of repository it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// With a working tree.
    Repository,
    /// A further working tree of a repository, or a submodule.
    Worktree,
    /// Without a working tree.
    Bare,
}

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its folder, resolved.
    pub path: PathBuf,
    /// What kind it is.
    pub kind: Kind,
}

/// What was found, and whether that is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// By path.
    pub found: Vec<Found>,
    /// Folders that could not be read.
    pub unreadable: Vec<PathBuf>,
    /// Whether there were too many folders.
    pub cut: bool,
}

/// Repositories below `dir`, `dir` itself included, at most `depth` folders down.
///
/// # Errors
/// Not found, or user when it is no folder.
pub fn scan(dir: &Path, depth: usize) -> Result<Scan> {
    let start = std::fs::canonicalize(dir)
        .map_err(|error| Fault::not_found(format!("cannot look into {}: {}", dir.display(), plain(&error))))?;
    if !start.is_dir() {
        return Err(Fault::user(format!("{} is no folder", dir.display())));
    }
    let mut scan = Scan::default();
    let mut open = VecDeque::from([(start, 0)]);
    let mut seen = 0;
    while let Some((folder, level)) = open.pop_front() {
        seen += 1;
        if seen > MAX_FOLDERS {
            scan.cut = true;
            break;
        }
        if let Some(kind) = kind_of(&folder) {
            scan.found.push(Found { path: folder, kind });
            continue;
        }
        if level >= depth {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else {
            scan.unreadable.push(folder);
            continue;
        };
        for entry in entries.flatten() {
            // The entry's own kind: a link to a folder is none.
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_dir && !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                open.push_back((entry.path(), level + 1));
            }
        }
    }
    scan.found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(scan)
}

/// What kind of repository is in this very folder.
#[must_use]
pub fn kind_of(folder: &Path) -> Option<Kind> {
    match std::fs::symlink_metadata(folder.join(".git")) {
        Ok(meta) if meta.is_dir() && folder.join(".git/HEAD").exists() => Some(Kind::Repository),
        Ok(meta) if meta.is_file() => Some(Kind::Worktree),
        _ => {
            let bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir();
            bare.then_some(Kind::Bare)
        }
    }
}
