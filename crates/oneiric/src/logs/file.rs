//! A log file that several processes append to and that is rotated when it has grown.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::paths::{self, plain};

/// See the module. The file is opened with the first line.
pub(crate) struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    problem: Option<String>,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self { path, max_bytes, keep, state: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    /// Writes a line, which ends with its line break, by one system call. When that fails, it is remembered and nothing
    /// else happens.
    pub(crate) fn append(&self, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.write(&mut state, line.as_bytes()) {
            Ok(()) => state.problem = None,
            Err(error) => {
                state.file = None;
                state.problem = Some(format!("cannot write {}: {}", self.path.display(), plain(&error)));
            }
        }
    }

    fn write(&self, state: &mut State, line: &[u8]) -> io::Result<()> {
        // Removed or rotated by somebody else, the old file would take lines that nobody sees.
        if state.file.as_ref().is_none_or(|file| identity(file.metadata()) != identity(fs::metadata(&self.path))) {
            state.file = Some(self.open()?);
        }
        if let Some(file) = &state.file {
            let size = file.metadata()?.len();
            if size > 0 && size + line.len() as u64 > self.max_bytes {
                self.rotate(file)?;
                state.file = Some(self.open()?);
            }
        }
        match &mut state.file {
            Some(file) => file.write_all(line),
            None => Ok(()),
        }
    }

    fn open(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(paths::DIR_MODE).create(dir)?;
        }
        paths::private_file().append(true).create(true).open(&self.path)
    }

    /// Renames the files one further, unless another process has just done so or is doing it.
    fn rotate(&self, ours: &File) -> io::Result<()> {
        let lock = paths::private_file().write(true).create(true).open(self.numbered("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        if identity(ours.metadata()) != identity(fs::metadata(&self.path)) {
            return Ok(());
        }
        for number in (1..self.keep).rev() {
            let _ = fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        if self.keep == 0 { fs::remove_file(&self.path) } else { fs::rename(&self.path, self.numbered(1)) }
    }

    fn numbered(&self, suffix: impl std::fmt::Display) -> PathBuf {
        PathBuf::from(format!("{}.{suffix}", self.path.display()))
    }
}

/// Which file it is, whatever its name; `None` when it is gone.
fn identity(meta: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    meta.ok().map(|meta| (meta.dev(), meta.ino()))
}
