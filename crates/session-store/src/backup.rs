//! Backups: compressed copies of the database in a folder, each checked before it is believed.
//!
//! A backup is one gzip file, `sessions-20261122-193045.db.gz`, so that `gunzip` gives the database back. What it holds and
//! the digest of its content stand in the gzip header's comment: nothing beside the file can get lost. Work in progress
//! is in a folder `.partial-…` that its process holds a lock on, so that a kill leaves nothing that looks like a backup,
//! and the next one sweeps it away.

mod pack;
mod workshop;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oneiric::clock::{Clock, Timestamp};
use oneiric::fault::{Fault, Result};
use oneiric::paths::{ensure_private_dir, plain};
use serde::{Deserialize, Serialize};

use crate::sqlite::snapshot::{self, Content, Waiting};
use crate::sqlite::stray;
use crate::upkeep::Progress;
use pack::Form;
pub use pack::Label;
use workshop::Workshop;

/// Beginning of the names of all backups.
const PREFIX: &str = "sessions-";
/// What a restore kept of the database that it replaced.
const SAFETY: &str = ".before-restore.db";

/// A file in the folder of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// Bytes on disk.
    pub bytes: u64,
    /// Whether its end is missing. Much else can be wrong with it: see [`Backups::verify`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// What it says of itself; nothing when it was made by other means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What is wrong with a backup that was just made and does not keep it from being restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The folder of backups.
#[derive(Clone, Debug)]
pub struct Backups {
    folder: PathBuf,
}

impl Backups {
    /// Backups in `folder`, which need not be there yet.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a backup of `database`, while others write to it. It is checked before it gets its name.
    ///
    /// # Errors
    /// `NotFound` without a database, `Unavailable` without space; no file with a backup's name is left then.
    pub fn create(&self, database: &Path, clock: &dyn Clock, progress: Progress<'_>) -> Result<Entry> {
        if !database.exists() {
            return Err(Fault::not_found(format!("there is no database {}", database.display()))
                .hint("nothing was recorded yet, or database.path names another file"));
        }
        ensure_private_dir(&self.folder).map_err(|error| unwritable(&self.folder, &error))?;
        let workshop = Workshop::open(&self.folder)?;
        let copy = workshop.path("sessions.db");
        snapshot::copy(database, &copy, progress)?;
        let content = snapshot::examine(&copy, &format!("the copy of {}", database.display()))?;
        let packed = workshop.path("sessions.db.gz");
        pack::pack(&copy, &packed, &content, clock.now())?;
        let path = self.name(&packed, &format!("{PREFIX}{}", snapshot::stamp(clock)), ".db.gz")?;
        let entry = self.entry(&path).ok_or_else(|| Fault::internal("a backup that was just made is not there"))?;
        Ok(Entry { warnings: content.remarks, ..entry })
    }

    /// Gives a finished file its name, another one when that is taken.
    fn name(&self, file: &Path, base: &str, end: &str) -> Result<PathBuf> {
        for number in 1..1_000 {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let path = self.folder.join(format!("{base}{more}{end}"));
            match fs::hard_link(file, &path) {
                Ok(()) => {
                    let _ = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
                    return Ok(path);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, &error)),
            }
        }
        Err(Fault::conflict(format!("{base}{end} and a thousand like it are there already")))
    }

    /// All backups, the newest first. Also those that `cp` and `gzip` made.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Fault::unavailable(format!("cannot read {}: {}", self.folder.display(), plain(&error))));
            }
        };
        let mut found: Vec<Entry> = entries.flatten().filter_map(|entry| self.entry(&entry.path())).collect();
        found.sort_by(|a, b| b.written_at.cmp(&a.written_at).then_with(|| b.name.cmp(&a.name)));
        Ok(found)
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let name = path.file_name()?.to_str()?.to_owned();
        let ours = name.starts_with(PREFIX) && (name.ends_with(".db") || name.ends_with(".db.gz"));
        let meta = fs::symlink_metadata(path).ok().filter(|meta| ours && meta.is_file())?;
        let since = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let written_at = Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        let label = pack::label(path);
        let incomplete = meta.len() == 0 || label.as_ref().is_some_and(|label| !pack::has_end(path, label));
        Some(Entry { name, written_at, bytes: meta.len(), incomplete, label, warnings: Vec::new() })
    }

    /// The file that `wanted` means: a path, a name in the folder, or `latest`.
    ///
    /// # Errors
    /// `NotFound`, naming what there is.
    pub fn find(&self, wanted: &str, cwd: &Path) -> Result<PathBuf> {
        if wanted == "latest" {
            return self.newest()?.map(|entry| self.folder.join(entry.name)).ok_or_else(|| {
                Fault::not_found(format!("there is no backup in {}", self.folder.display()))
                    .hint("make one: session-buddy backup create")
            });
        }
        let candidates = [cwd.join(wanted), self.folder.join(wanted), self.folder.join(format!("{wanted}.gz"))];
        candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            Fault::not_found(format!("there is no backup '{wanted}'"))
                .hint("see which there are: session-buddy backup list")
        })
    }

    /// Unpacks and checks one backup; what it holds.
    ///
    /// # Errors
    /// `Unavailable` when it is damaged, `Config` when it is something else or of a newer version.
    pub fn verify(&self, file: &Path) -> Result<Content> {
        ensure_private_dir(&self.folder).map_err(|error| unwritable(&self.folder, &error))?;
        let workshop = Workshop::open(&self.folder)?;
        Self::unpacked(file, &workshop.path("sessions.db"))
    }

    /// Unpacks a backup, checks it and brings it to the schema of this version, as a restore needs it; what it holds.
    fn unpacked(file: &Path, to: &Path) -> Result<Content> {
        let shown = format!("the backup {}", file.display());
        if pack::unpack(file, to, &shown)? == Form::Plain {
            // A copy made by other means may have its newest content in a log beside it.
            Self::take_log(file, to, &shown)?;
        }
        let content = snapshot::examine(to, &shown)?;
        snapshot::bring_up_to_date(to, &content, &shown)?;
        Ok(content)
    }

    /// Makes the log beside `file` part of the copy `to`, when it is that database's.
    fn take_log(file: &Path, to: &Path, shown: &str) -> Result<()> {
        let log = snapshot::beside(file, "-wal");
        if fs::metadata(&log).map_or(0, |meta| meta.len()) == 0 {
            return Ok(());
        }
        let copy = snapshot::beside(to, "-wal");
        fs::copy(&log, &copy).map_err(|error| {
            Fault::unavailable(format!("cannot copy {}: {}", log.display(), plain(&error)))
                .hint("check the rights of the file and the free space")
        })?;
        if stray::belongs(to, &copy).unwrap_or(true) {
            return snapshot::take_log_in(to, shown);
        }
        fs::remove_file(&copy).map_err(|error| unwritable(&copy, &error))
    }

    /// Puts a backup in the place of `database`: the content, and the name under which the replaced one is kept. `waiting` is
    /// told once when others' writing keeps it from its turn.
    ///
    /// # Errors
    /// As [`Backups::verify`]; nothing is changed then.
    pub fn restore(
        &self,
        file: &Path,
        database: &Path,
        clock: &dyn Clock,
        waiting: Waiting<'_>,
    ) -> Result<(Content, Option<PathBuf>)> {
        ensure_private_dir(&self.folder).map_err(|error| unwritable(&self.folder, &error))?;
        // Beside the database, not beside a link to it: names can change without copying only there.
        let database = &snapshot::resolved(database);
        let beside = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure_private_dir_if_missing(beside)?;
        let workshop = Workshop::open(beside)?;
        let fresh = workshop.path("fresh.db");
        let content = Self::unpacked(file, &fresh)?;
        let base = format!("{PREFIX}{}", snapshot::stamp(clock));
        let mut name = None;
        // Kept under its name before anything is replaced: a kill may leave one copy too many, never one too few.
        let mut keep = |kept: &Path| {
            name = Some(self.keep(kept, &base)?);
            Ok(())
        };
        snapshot::replace(database, &fresh, &workshop.path("kept.db"), &mut keep, waiting)?;
        Ok((content, name))
    }

    /// Moves what was replaced into the folder, which may be on another file system.
    fn keep(&self, kept: &Path, base: &str) -> Result<PathBuf> {
        let path = match self.name(kept, base, SAFETY) {
            Ok(path) => path,
            Err(_) => {
                let workshop = Workshop::open(&self.folder)?;
                let copy = workshop.path("kept.db");
                fs::copy(kept, &copy).map_err(|error| unwritable(&copy, &error))?;
                self.name(&copy, base, SAFETY)?
            }
        };
        let log = snapshot::beside(kept, "-wal");
        if log.exists() {
            let to = snapshot::beside(&path, "-wal");
            fs::copy(&log, &to).map_err(|error| unwritable(&to, &error))?;
        }
        Ok(path)
    }

    /// The newest backup; what a restore replaced is none.
    ///
    /// # Errors
    /// As [`Backups::list`].
    pub fn newest(&self) -> Result<Option<Entry>> {
        Ok(self.list()?.into_iter().find(|entry| !entry.name.ends_with(SAFETY)))
    }

    /// Deletes backups that were written longer than `keep` ago, but never the newest that can be restored. Gives the deleted
    /// ones, or with `dry_run` those that would be.
    ///
    /// # Errors
    /// `Unavailable` when a file cannot be deleted, or when no backup can be restored: none is deleted then.
    pub fn prune(&self, keep: Duration, now: Timestamp, dry_run: bool) -> Result<Vec<Entry>> {
        if !dry_run {
            workshop::sweep(&self.folder);
        }
        let all = self.list()?;
        let is_old = |entry: &&Entry| entry.written_at < now.minus(keep);
        if !all.iter().any(|entry| is_old(&entry)) {
            return Ok(Vec::new());
        }
        let mut backups = all.iter().filter(|entry| !entry.name.ends_with(SAFETY)).peekable();
        let kept = match (backups.peek().is_some(), backups.find(|entry| self.can_be_restored(entry))) {
            (true, None) => {
                let folder = self.folder.display();
                return Err(Fault::unavailable(format!("no backup in {folder} can be restored, so none was deleted"))
                    .hint("make one: session-buddy backup create"));
            }
            (_, kept) => kept.map(|entry| entry.name.clone()),
        };
        let old = |entry: &Entry| is_old(&entry) && Some(&entry.name) != kept.as_ref();
        let old: Vec<Entry> = all.into_iter().filter(old).collect();
        for entry in old.iter().filter(|_| !dry_run) {
            let path = self.folder.join(&entry.name);
            fs::remove_file(&path).map_err(|error| {
                Fault::unavailable(format!("cannot delete {}: {}", path.display(), plain(&error)))
                    .hint("make the folder writable")
            })?;
            // What a restore kept of a damaged database has its log beside it.
            let _ = fs::remove_file(snapshot::beside(&path, "-wal"));
        }
        Ok(old)
    }

    /// Whether a backup is whole. Deleting others is what makes room: without any to unpack it, its digest has to do.
    fn can_be_restored(&self, entry: &Entry) -> bool {
        let path = self.folder.join(&entry.name);
        match &entry.label {
            _ if entry.incomplete => false,
            Some(label) if !has_room(&self.folder, label.bytes) => pack::is_intact(&path, label),
            _ => self.verify(&path).is_ok(),
        }
    }

    /// Sweeps away what killed processes left in `folder`; how many leftovers there were.
    pub fn sweep(folder: &Path) -> usize {
        workshop::sweep(folder)
    }

    /// Leftovers of killed processes in `folder`.
    #[must_use]
    pub fn leftovers(folder: &Path) -> usize {
        workshop::leftovers(folder).len()
    }
}

/// Whether as many bytes, and a few more, can be written to the folder.
fn has_room(folder: &Path, bytes: u64) -> bool {
    let free = |stat: rustix::fs::StatVfs| stat.f_bavail.saturating_mul(stat.f_frsize);
    rustix::fs::statvfs(folder).map_or(true, |stat| free(stat) > bytes.saturating_add(1024 * 1024))
}

fn ensure_private_dir_if_missing(folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    ensure_private_dir(folder).map_err(|error| unwritable(folder, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(error)))
        .hint("make the folder writable and free some space")
}
