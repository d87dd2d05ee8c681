//! Whether an engine lives: it holds a lock on a file of its name for as long as its process lives.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::{Home, plain, private_file};
use rustix::fs::{FlockOperation, flock};

/// The lock of this engine.
#[derive(Debug)]
pub(super) struct EngineLock {
    path: PathBuf,
    _file: File,
}

impl EngineLock {
    /// Takes the lock of a new engine.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub(super) fn claim(home: &Home, id: &str) -> Result<Self> {
        let dir = folder(home);
        home.ensure(&dir)?;
        let path = file(&dir, id);
        let fault = |error: std::io::Error| {
            Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(&error)))
                .hint("make the home writable and free some space, or move the home")
        };
        let file = private_file().write(true).create(true).truncate(false).open(&path).map_err(fault)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| fault(error.into()))?;
        // For people who ask who that is; a full disk may keep it out.
        let _ = (&file).write_all(std::process::id().to_string().as_bytes());
        Ok(Self { path: path.clone(), _file: file })
    }
}

impl Drop for EngineLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the engine with this id lives.
#[must_use]
pub fn is_alive(home: &Home, id: &str) -> bool {
    let path = file(&folder(home), id);
    let Ok(file) = File::open(&path) else { return false };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
        return true;
    }
    // Its owner was killed; nobody will take this lock again, since ids are not used twice.
    let _ = std::fs::remove_file(path);
    false
}

/// The process of an engine that lives.
#[must_use]
pub fn process_of(home: &Home, id: &str) -> Option<u32> {
    let pid = std::fs::read_to_string(file(&folder(home), id)).ok()?.trim().parse().ok()?;
    is_alive(home, id).then_some(pid)
}

fn folder(home: &Home) -> PathBuf {
    home.root().join("engines")
}

/// Ids come from the database, which others may have written.
fn file(dir: &Path, id: &str) -> PathBuf {
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    dir.join(format!("{name}.lock"))
}
