//! Homes: where a program keeps its files, with the access rights that sessions and secrets need.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::fault::{Fault, Result};

/// Access rights of directories.
pub const DIR_MODE: u32 = 0o700;
/// Access rights of files.
pub const FILE_MODE: u32 = 0o600;

/// A program's home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// A home at `root`; nothing is created.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.yaml`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("config.yaml")
    }

    /// Log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Pid and address files of running servers.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Events that were accepted and not yet delivered.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Creates the home and `below` (one of its directories) with mode 0700.
    ///
    /// # Errors
    /// [`crate::fault::FaultKind::Unavailable`] when it cannot be made or written.
    pub fn ensure(&self, below: &Path) -> Result<()> {
        for dir in [self.root.as_path(), below] {
            ensure_private_dir(dir).map_err(|error| {
                Fault::unavailable(format!("cannot create {}: {}", dir.display(), plain(&error)))
                    .hint("make its parent writable, or move the home by its environment variable")
            })?;
        }
        Ok(())
    }
}

/// Creates `dir` and its parents; `dir` itself becomes private when it is ours and was not.
///
/// # Errors
/// What the file system says.
pub fn ensure_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    let meta = fs::metadata(dir)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if ours && meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(DIR_MODE))?;
    }
    Ok(())
}

/// Options that create files with mode 0600, never follow a symbolic link at the last step, and never wait for the other
/// end of a pipe that stands where a file should.
#[must_use]
pub fn private_file() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.mode(FILE_MODE).custom_flags(i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0));
    options
}

/// Replaces `path` by `content` at once: readers see the old text or the new, also after a crash.
///
/// # Errors
/// What the file system says; the old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    use io::Write;
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = private_file().write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// An operating-system error in a few words, without the number that Rust appends.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// A path that begins with the user's home: `~`, or `$HOME` or `${HOME}` that no shell has expanded, as after
/// `export $(cat .env | xargs)`; other paths as they are.
#[must_use]
pub fn expand_home(path: &str, user_home: &Path) -> PathBuf {
    let rest = ["~", "$HOME", "${HOME}"].iter().find_map(|home| path.strip_prefix(home));
    match rest {
        Some("") => user_home.to_path_buf(),
        Some(rest) if rest.starts_with('/') => user_home.join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_private_even_when_its_folder_was_not() {
        let dir = std::env::temp_dir().join(format!("home-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let home = Home::at(&dir);
        home.ensure(&home.spool()).unwrap();
        for path in [home.root().to_path_buf(), home.spool()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_users_home_is_expanded_and_nothing_else() {
        let home = Path::new("/home/ada");
        assert_eq!(expand_home("~/x", home), Path::new("/home/ada/x"));
        assert_eq!(expand_home("~", home), home);
        assert_eq!(expand_home("$HOME/x", home), Path::new("/home/ada/x"));
        assert_eq!(expand_home("${HOME}/x", home), Path::new("/home/ada/x"));
        assert_eq!(expand_home("$HOMES/x", home), Path::new("$HOMES/x"));
        assert_eq!(expand_home("~bob/x", home), Path::new("~bob/x"));
    }
}
