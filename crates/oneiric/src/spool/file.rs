//! A session's own spool file, from its owner's side.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::line::{Entry, Line, decode, encode};
use super::{BATCH_BYTES, BATCH_EVENTS, EXTENSION};
use crate::id::SessionId;
#[cfg(target_os = "linux")]
use crate::paths::FILE_MODE;
use crate::paths::{ensure_private_dir, private_file};

/// A spool file that this process owns: the lock is held until it is dropped.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl SpoolFile {
    /// Creates the file of `session`, locked from its first moment on.
    ///
    /// # Errors
    /// What the file system says: no space, read-only, no permission; `AlreadyExists` when the session has a file.
    pub fn create(dir: &Path, session: &SessionId) -> io::Result<Self> {
        ensure_private_dir(dir)?;
        let path = dir.join(format!("{session}.{EXTENSION}"));
        let file = match create_nameless(dir, &path) {
            Some(created) => created?,
            None => create_under_another_name(dir, session, &path)?,
        };
        Ok(Self { file, path, len: 0 })
    }

    /// Appends one entry by one write. On failure the file is as it was before.
    ///
    /// # Errors
    /// What the file system says.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let line = encode(entry)?;
        if let Err(error) = self.file.write_all(&line) {
            // A part of the line may be there: without this it would swallow the next one.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Bytes of whole lines.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds no line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A second handle on the same open file, for reading and syncing without holding up its owner.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Forgets all lines; the file stays.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.len = 0;
        Ok(())
    }

    /// Removes the file: everything in it was acknowledged.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// Creates and locks a file that has no name yet, then names it: nobody can take it for an orphan, and a process that
/// ends meanwhile leaves nothing behind. `None` where the system cannot.
#[cfg(target_os = "linux")]
fn create_nameless(dir: &Path, path: &Path) -> Option<io::Result<File>> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    use rustix::io::Errno;

    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
    let file = match open(dir, flags, Mode::from_raw_mode(FILE_MODE)) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => return None,
        Err(error) => return Some(Err(error.into())),
    };
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        return Some(Err(error.into()));
    }
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Some(Ok(file)),
        Err(Errno::EXIST) => Some(Err(io::ErrorKind::AlreadyExists.into())),
        // Without /proc, say.
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn create_nameless(_: &Path, _: &Path) -> Option<io::Result<File>> {
    None
}

/// Creates and locks a file under a name that nobody looks for, then renames it.
fn create_under_another_name(dir: &Path, session: &SessionId, path: &Path) -> io::Result<File> {
    let born = dir.join(format!(".{session}.new"));
    let file = private_file().read(true).append(true).create_new(true).open(&born)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let renamed = if path.exists() { Err(io::ErrorKind::AlreadyExists.into()) } else { std::fs::rename(&born, path) };
    if let Err(error) = renamed {
        let _ = std::fs::remove_file(&born);
        return Err(error);
    }
    Ok(file)
}

/// Whole lines from `from` up to `to`, at most one batch of them, and the offset after the last.
pub(crate) fn read_batch(file: &File, from: u64, to: u64) -> io::Result<(Vec<Entry>, u64)> {
    let mut window = BATCH_BYTES;
    loop {
        let want = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(window);
        let mut bytes = vec![0; want];
        file.read_exact_at(&mut bytes, from)?;
        let mut entries = Vec::new();
        let mut end = 0;
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            if entries.len() == BATCH_EVENTS || line.last() != Some(&b'\n') {
                break;
            }
            end += line.len();
            if let Line::Entry(entry) = decode(&line[..line.len() - 1]) {
                entries.push(*entry);
            }
        }
        if end > 0 || want == 0 || want < window {
            return Ok((entries, from + end as u64));
        }
        // One line is longer than the window.
        window *= 4;
    }
}
