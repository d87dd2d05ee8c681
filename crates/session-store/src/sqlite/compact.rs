//! Gives free space in the database file back, and merges what the search index gathered.

use std::fs;
use std::path::Path;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use serde::{Deserialize, Serialize};

use super::connection::{Access, Place};
use super::failure::Failure;
use super::snapshot::beside;
use super::{merge, stray};
use crate::upkeep::Progress;

/// Tries to make the log part of the file, and the pause between them.
const SHORTENINGS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// What was gained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gain {
    /// Bytes of the database and its log before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// Merges the index, then writes the database anew without its free pages.
///
/// # Errors
/// `Unavailable` without room for the second copy that this needs for a while; nothing is lost then.
pub fn compact(path: &Path, progress: Progress<'_>) -> Result<Gain> {
    let place = Place::File { path: path.to_path_buf(), access: Access::ReadWrite };
    let bytes_before = size(path);
    let done = (|| {
        let connection = place.writer(None)?;
        if connection.is_readonly("main")? {
            return Err(super::failure::read_only(&path.display().to_string()).into());
        }
        room(path)?;
        merge::all(&connection, progress)?;
        connection.execute_batch("VACUUM")?;
        stray::advance(&connection)?;
        for _ in 0..SHORTENINGS {
            // The first column says whether somebody who reads stood in the way; then the log stays a little longer.
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy == 0 {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    })();
    done.map_err(|failure: Failure| failure.tell(&place))?;
    Ok(Gain { bytes_before, bytes_after: size(path) })
}

fn size(path: &Path) -> u64 {
    [path.to_path_buf(), beside(path, "-wal")]
        .iter()
        .filter_map(|file| fs::metadata(file).ok())
        .map(|meta| meta.len())
        .sum()
}

/// Refuses when the second copy would fill the disk, which would keep events from being stored.
pub(super) fn room(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    // The new copy, and the log that it passes through.
    let needed = size(path).saturating_mul(2);
    if free < needed {
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        return Err(Fault::unavailable(format!(
            "compacting {} needs about {} MiB for a while, and {} MiB are free",
            path.display(),
            mib(needed),
            mib(free)
        ))
        .hint("free some space, or archive and delete by retention first"));
    }
    Ok(())
}
