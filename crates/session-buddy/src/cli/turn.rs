//! Which commands may work on one database at the same time. Its transactions keep single steps apart; an import is many of
//! them, and a restore between two of them would take away what the first ones stored.

use std::fs::{File, TryLockError};
use std::path::Path;

use oneiric::fault::{Fault, Result};
use oneiric::paths::{ensure_private_dir, plain, private_file};

use super::output::note;
use session_store::sqlite::snapshot::resolved;

/// A turn at a database; over when it is dropped, or its process ends.
#[derive(Debug)]
pub(super) struct Turn(#[allow(dead_code, reason = "held for its lock")] File);

/// A turn beside others of this kind; waits until a restore is done.
///
/// # Errors
/// `Unavailable` when the file of the lock cannot be made.
pub(super) fn together(database: &Path) -> Result<Turn> {
    let file = open(database)?;
    match file.try_lock_shared() {
        Ok(()) => return Ok(Turn(file)),
        Err(TryLockError::WouldBlock) => note("Waiting for a command to end that restores or mends the database."),
        Err(TryLockError::Error(error)) => return Err(refused(database, &error)),
    }
    file.lock_shared().map_err(|error| refused(database, &error))?;
    Ok(Turn(file))
}

/// A turn with nobody else.
///
/// # Errors
/// `Conflict` while another command has one.
pub(super) fn alone(database: &Path) -> Result<Turn> {
    let file = open(database)?;
    match file.try_lock() {
        Ok(()) => Ok(Turn(file)),
        Err(TryLockError::WouldBlock) => Err(Fault::conflict(
            "another command imports into the database, restores or mends it, and nothing was restored",
        )
        .hint("wait until it has ended, then try again")),
        Err(TryLockError::Error(error)) => Err(refused(database, &error)),
    }
}

/// The file stays: whoever removed it could not know who waits for it.
fn open(database: &Path) -> Result<File> {
    // One lock for one database, whatever links lead to it.
    let path = resolved(database).with_extension("lock");
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        ensure_private_dir(folder).map_err(|error| refused(folder, &error))?;
    }
    private_file().write(true).create(true).truncate(false).open(&path).map_err(|error| refused(&path, &error))
}

fn refused(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot lock {}: {}", path.display(), plain(error))).hint("make its folder writable")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_has_its_turn_alone_and_imports_have_theirs_together() {
        let database = std::env::temp_dir().join(format!("turn-{}", std::process::id())).join("sessions.db");
        let (first, second) = (together(&database).unwrap(), together(&database).unwrap());
        drop(first);
        let fault = alone(&database).unwrap_err();
        assert!(fault.message().contains("nothing was restored"), "{fault}");
        drop(second);
        let restore = alone(&database).unwrap();
        // By whatever link.
        std::fs::write(&database, "").unwrap();
        let link = database.with_file_name("linked.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        assert!(alone(&link).is_err());
        let waiting = {
            let database = database.clone();
            std::thread::spawn(move || together(&database).map(drop).is_ok())
        };
        drop(restore);
        assert!(waiting.join().unwrap());
        std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
    }
}
