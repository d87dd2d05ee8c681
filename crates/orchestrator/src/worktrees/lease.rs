//! Lease files: who uses a worktree holds its file locked, so a killed owner is known as such and never guessed.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use oneiric::clock::Timestamp;
use oneiric::paths::private_file;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

const ENDING: &str = ".lease";

/// What a lease file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The repository that it is a worktree of.
    pub(super) repository: PathBuf,
    /// Its branch.
    pub(super) branch: String,
    /// Whether git had made it whole. One that is not was never worked in.
    pub(super) ready: bool,
    /// When it was last taken.
    pub(super) used_at: Timestamp,
}

/// A locked lease file.
#[derive(Debug)]
pub(super) struct LeaseFile {
    path: PathBuf,
    file: File,
}

impl LeaseFile {
    /// Makes and locks the file of a new worktree; `None` when somebody else has it.
    pub(super) fn claim(folder: &Path, id: &str) -> io::Result<Option<Self>> {
        let path = folder.join(format!("{id}{ENDING}"));
        let file = private_file().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(lock(&file).then_some(Self { path, file }))
    }

    /// Locks the file of a worktree that is there.
    pub(super) fn claim_existing(folder: &Path, id: &str) -> io::Result<Option<Self>> {
        let path = folder.join(format!("{id}{ENDING}"));
        let file = private_file().read(true).write(true).open(&path)?;
        // Between opening and locking, its owner may have removed it.
        Ok((lock(&file) && path.exists()).then_some(Self { path, file }))
    }

    pub(super) fn write(&mut self, note: &Note) -> io::Result<()> {
        let text = serde_json::to_vec(note)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }

    pub(super) fn read(&mut self) -> Option<Note> {
        let mut text = Vec::new();
        self.file.rewind().ok()?;
        Read::by_ref(&mut self.file).take(64 * 1024).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Removes it: the worktree is gone.
    pub(super) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// What the lease file of a worktree says, without taking it.
pub(super) fn peek(folder: &Path, id: &str) -> Option<Note> {
    let mut text = Vec::new();
    File::open(folder.join(format!("{id}{ENDING}"))).ok()?.take(64 * 1024).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Ids of the worktrees in a repository's folder, oldest first.
pub(super) fn ids(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(ENDING)?.to_owned())).collect();
    ids.sort_unstable();
    ids
}
