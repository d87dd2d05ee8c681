//! Run files: how a server of a home is found, and how two are kept from serving one home.
//!
//! `<home>/run/<product>.json` tells who serves and where; its server holds a lock on `<product>.lock` for as long as it
//! lives, so a file that a crash left behind is never believed.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::fault::{Fault, Result};
use crate::paths::{Home, plain, private_file, write_atomically};
use crate::process::ProcessIdentity;

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Product's name.
    pub product: String,
    /// Process id.
    pub pid: u32,
    /// The process beyond its id, where the kernel tells.
    #[serde(default)]
    pub process: Option<ProcessIdentity>,
    /// `host:port`.
    pub address: String,
    /// `http`.
    pub transport: String,
    /// `lite` or `standard`.
    pub mode: String,
    /// Program version.
    pub version: String,
    /// Database as a person would name it.
    pub database: String,
    /// Arguments it was started with, so that a restart is the same again.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// When.
    pub started_at: Timestamp,
}

/// Holds a home's run file. Dropping it removes the file and frees the home.
#[derive(Debug)]
pub struct RunFile {
    home: Home,
    product: String,
    _lock: File,
}

impl RunFile {
    /// Claims `home` for this process and publishes `info`.
    ///
    /// # Errors
    /// Conflict when a living server has it; unavailable when the home cannot be written.
    pub fn claim(home: &Home, info: &ServerInfo) -> Result<Self> {
        let run = home.run();
        home.ensure(&run)?;
        let lock_path = run.join(format!("{}.lock", info.product));
        let unwritable = |error: io::Error| {
            Fault::unavailable(format!("cannot write {}: {}", run.display(), plain(&error)))
                .hint("make the home writable and free some space, or move it by its environment variable")
        };
        let lock =
            private_file().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(unwritable)?;
        match lock_patiently(&lock) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let who = read(home, &info.product).map_or_else(
                    || "another process".to_owned(),
                    |info| format!("process {} on {}", info.pid, info.address),
                );
                return Err(Fault::conflict(format!(
                    "{} already runs for {}: {who}",
                    info.product,
                    home.root().display()
                ))
                .hint(format!("use it, or stop it with '{} mcp stop'", info.product)));
            }
            Err(error) => return Err(unwritable(error.into())),
        }
        let claimed = Self { home: home.clone(), product: info.product.clone(), _lock: lock };
        claimed.publish(info)?;
        Ok(claimed)
    }

    /// Replaces what the file says.
    ///
    /// # Errors
    /// Unavailable when the file cannot be written.
    pub fn publish(&self, info: &ServerInfo) -> Result<()> {
        let path = self.home.run().join(format!("{}.json", self.product));
        let text = serde_json::to_vec_pretty(info).map_err(|error| Fault::internal(format!("run file: {error}")))?;
        write_atomically(&path, &text).map_err(|error| {
            Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(&error)))
                .hint("make the home writable and free some space")
        })?;
        let pid = self.home.run().join(format!("{}.pid", self.product));
        // The pid file is for people and scripts; nothing here reads it.
        let _ = write_atomically(&pid, format!("{}\n", info.pid).as_bytes());
        Ok(())
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        for end in ["json", "pid"] {
            let _ = std::fs::remove_file(self.home.run().join(format!("{}.{end}", self.product)));
        }
    }
}

/// Takes the lock. A look by [`running`] holds it for an instant, which must not keep a server from starting.
fn lock_patiently(lock: &File) -> rustix::io::Result<()> {
    for _ in 0..10 {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(5)),
            done => return done,
        }
    }
    flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// The living server of a home. A file that a dead one left behind is not believed.
#[must_use]
pub fn running(home: &Home, product: &str) -> Option<ServerInfo> {
    let lock = private_file().read(true).open(home.run().join(format!("{product}.lock"))).ok()?;
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => read(home, product),
        // Free: nobody serves. The shared lock goes with the descriptor.
        _ => None,
    }
}

fn read(home: &Home, product: &str) -> Option<ServerInfo> {
    let text = std::fs::read(home.run().join(format!("{product}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    fn info() -> ServerInfo {
        ServerInfo {
            product: "keeper".into(),
            pid: std::process::id(),
            process: None,
            address: "127.0.0.1:1".into(),
            transport: "http".into(),
            mode: "standard".into(),
            version: "1".into(),
            database: "x".into(),
            arguments: vec![],
            started_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_home_has_one_server_and_a_dead_ones_file_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        assert_eq!(running(&home, "keeper"), None);
        let claimed = RunFile::claim(&home, &info()).unwrap();
        assert_eq!(running(&home, "keeper"), Some(info()));
        assert_eq!(RunFile::claim(&home, &info()).unwrap_err().kind(), FaultKind::Conflict);
        drop(claimed);
        std::fs::write(home.run().join("keeper.json"), serde_json::to_vec(&info()).unwrap()).unwrap();
        assert_eq!(running(&home, "keeper"), None);
        drop(RunFile::claim(&home, &info()).unwrap());
    }
}
