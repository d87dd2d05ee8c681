//! What outlives a process: the list of a server's pools, and what is needed to end what a killed owner left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::paths::{Home, plain, private_file, write_atomically};
use rustix::fs::{FlockOperation, flock};

use super::machine::TaskId;
use super::request::PoolSpec;
use crate::run::end_survivors;
use crate::workers::Workshop;

/// Time between asking and killing what a killed owner left behind.
const GRACE: Duration = Duration::from_secs(2);

/// Who owns pools: known by a lock, so that a killed owner is known as such.
#[derive(Debug)]
pub(super) struct Instance {
    dir: PathBuf,
    id: String,
    _lock: File,
}

impl Instance {
    /// A new owner. Ends what owners that are gone left behind.
    pub(super) fn claim(home: &Home, shop: &Workshop) -> Result<Self> {
        let dir = home.root().join("pools");
        home.ensure(&dir)?;
        clear_up(&dir, shop);
        // The end of an id is chance, and short enough for the path of a socket.
        let id = EventId::generate(shop.clock.now()).as_str().replace('-', "");
        let id = id[id.len().saturating_sub(12)..].to_owned();
        let path = dir.join(format!("{id}.lock"));
        let fault = |error: std::io::Error| {
            Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(&error)))
                .hint("make the home writable and free some space, or move the home")
        };
        let file = private_file().write(true).create(true).truncate(false).open(&path).map_err(fault)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| fault(error.into()))?;
        Ok(Self { dir, id, _lock: file })
    }

    /// Its id, under which tasks are written down.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What marks the processes of a task.
    pub(super) fn mark(&self, task: TaskId) -> String {
        format!("pools/{}/{task}/", self.id)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join(format!("{}.tmux", self.id))
    }

    /// Where outputs of tasks are that are no steps.
    pub(super) fn outputs(&self) -> PathBuf {
        self.dir.join(&self.id)
    }

    /// The owner goes.
    pub(super) fn end(&self, shop: &Workshop) {
        if let Ok(Some(tmux)) = shop.tmux() {
            tmux.end();
        }
        let _ = std::fs::remove_file(self.dir.join(format!("{}.lock", self.id)));
    }
}

/// Whether the owner of this id is there.
pub(super) fn lives(home: &Home, id: &str) -> bool {
    let Ok(file) = File::open(home.root().join("pools").join(format!("{id}.lock"))) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

fn clear_up(dir: &Path, shop: &Workshop) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    for id in names.iter().filter_map(|name| name.strip_suffix(".lock")) {
        let path = dir.join(format!("{id}.lock"));
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let mut shop = shop.clone();
        shop.terminals.socket = dir.join(format!("{id}.tmux"));
        if shop.terminals.socket.exists()
            && let Ok(Some(tmux)) = shop.tmux()
        {
            tmux.end();
        }
        end_survivors(&format!("pools/{id}/"), GRACE, shop.clock.as_ref());
        let _ = std::fs::remove_file(path);
    }
    // Outputs of owners before the last few are nobody's any more.
    let mut outputs: Vec<(std::time::SystemTime, PathBuf)> = names
        .iter()
        .filter(|name| !name.contains('.') && !dir.join(format!("{name}.lock")).exists())
        .map(|name| dir.join(name))
        .filter_map(|path| Some((std::fs::metadata(&path).and_then(|meta| meta.modified()).ok()?, path)))
        .collect();
    outputs.sort_unstable();
    for (_, path) in outputs.iter().rev().skip(20) {
        let _ = std::fs::remove_dir_all(path);
    }
}

fn file(home: &Home) -> PathBuf {
    home.root().join("pools.json")
}

/// The pools that were written down.
pub(super) fn read(home: &Home) -> Result<Vec<PoolSpec>> {
    let path = file(home);
    let shown = path.display().to_string();
    let Some(text) = oneiric::settings::read_trusted(&path, &shown)? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|error| {
        Fault::config(format!("{shown}: {error}")).hint("mend it, or remove it and make the pools again")
    })
}

/// Writes them down.
pub(super) fn write(home: &Home, specs: &[PoolSpec]) -> Result<()> {
    let path = file(home);
    let text = serde_json::to_vec_pretty(specs).map_err(|error| Fault::internal(error.to_string()))?;
    write_atomically(&path, &text)
        .map_err(|error| Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(&error))))
}
