//! A folder for work in progress that goes with its owner, also when the owner is killed.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::{DIR_MODE, plain};
use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = ".partial-";

/// The folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: PathBuf,
    _lock: File,
}

impl Workshop {
    /// A fresh one in `parent`, after leftovers of killed processes were swept away.
    pub(super) fn open(parent: &Path) -> Result<Self> {
        sweep(parent);
        let mut last = None;
        for number in 0..100 {
            let folder = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(DIR_MODE).create(&folder).and_then(|()| File::open(&folder)) {
                Ok(lock) => {
                    // Another one's sweep may have been quicker than the lock; the next name is tried then.
                    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && folder.exists() {
                        return Ok(Self { folder, _lock: lock });
                    }
                }
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| format!(": {}", plain(&error)));
        Err(Fault::unavailable(format!("cannot write to {}{why}", parent.display()))
            .hint("make the folder writable and free some space"))
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Folders that nobody holds.
pub(super) fn leftovers(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)).map(|entry| entry.path());
    ours.filter(|path| {
        fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
            && File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
    })
    .collect()
}

/// Removes them.
pub(super) fn sweep(parent: &Path) -> usize {
    leftovers(parent).into_iter().filter(|path| fs::remove_dir_all(path).is_ok()).count()
}
