//! The database that lists and searches are measured on: made once through the store's own ingestion, then kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneiric::clock::SystemClock;
use session_store::sqlite::{Options, SCHEMA_VERSION, SqliteStore};
use session_store::upkeep::Upkeep;
use session_store::{Store, Unknown};

use super::corpus::{EVENTS_A_SESSION, VERSION};
use super::{Bench, timed};
use crate::Result;
use crate::program::Sandbox;

/// Sessions that one call stores.
const SESSIONS_A_CALL: u64 = 200;

/// Sessions of the full database; times [`EVENTS_A_SESSION`] it is two million events.
const SESSIONS: u64 = 100_000;
const SESSIONS_QUICK: u64 = 5_000;

/// A home whose Session-Buddy has many sessions.
pub(crate) struct Filled {
    pub(crate) sandbox: Sandbox,
    pub(crate) sessions: u64,
}

impl Filled {
    /// Reads the file once, so that what is measured is the program and not which pages the system happened to keep.
    pub(crate) fn warm(&self) -> Result {
        let mut file = fs::File::open(database(&self.sandbox))?;
        std::io::copy(&mut file, &mut std::io::sink())?;
        Ok(())
    }

    /// Events that it holds.
    pub(crate) fn events(&self) -> u64 {
        self.sessions * EVENTS_A_SESSION
    }

    /// What it holds, for people.
    pub(crate) fn shown(&self) -> String {
        format!("{} sessions, {} events", grouped(self.sessions), grouped(self.events()))
    }
}

/// The database file of a home.
pub(crate) fn database(sandbox: &Sandbox) -> PathBuf {
    sandbox.home("session-buddy").join("sessions.db")
}

/// The filled home: as it was kept, or made now.
pub(crate) fn filled(bench: &Bench) -> Result<Filled> {
    let sessions = if bench.quick { SESSIONS_QUICK } else { SESSIONS };
    let root =
        bench.folder.join(format!("filled-{sessions}-schema{SCHEMA_VERSION}-corpus{VERSION}-{:08x}", index_version()?));
    let complete = root.join("complete");
    if !complete.exists() {
        remove_older(&bench.folder, &format!("filled-{sessions}-"))?;
        let sandbox = Sandbox::kept(root.clone())?;
        let (taken, done) = timed(|| fill(bench, &sandbox, sessions));
        done?;
        eprintln!("bench: stored {} events in {:.0} s", sessions * EVENTS_A_SESSION, taken.as_secs_f64());
        fs::write(&complete, "")?;
    }
    learn(&database(&Sandbox::kept(root.clone())?))?;
    Ok(Filled { sandbox: Sandbox::kept(root)?, sessions })
}

/// Learns the words of all events and merges the index, so that a server over this file has nothing left to do by itself.
pub(crate) fn learn(path: &Path) -> Result {
    let store = SqliteStore::open(path, Options::new(Arc::new(SystemClock)))?;
    while store.learn_words()? > 0 {}
    while store.merge_index()? {}
    Ok(())
}

/// Stores the corpus's first `sessions` sessions.
pub(crate) fn fill(bench: &Bench, sandbox: &Sandbox, sessions: u64) -> Result {
    let path = database(sandbox);
    if let Some(home) = path.parent() {
        fs::create_dir_all(home)?;
    }
    let store = SqliteStore::open(&path, Options::new(Arc::new(SystemClock)))?;
    let mut first = 0;
    while first < sessions {
        let end = (first + SESSIONS_A_CALL).min(sessions);
        let batches = (first..end).map(|number| bench.corpus.session(number)).collect::<Result<Vec<_>>>()?;
        for receipt in store.ingest(&batches, Unknown::Open)? {
            if receipt.accepted as u64 != EVENTS_A_SESSION {
                return Err(format!("the store took {receipt:?}").into());
            }
        }
        first = end;
    }
    Ok(())
}

/// Removes what other versions left behind.
pub(crate) fn remove_older(folder: &Path, beginning: &str) -> Result {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(beginning) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Changes with the sources that decide what the index holds, which a schema's version does not tell.
pub(crate) fn index_version() -> Result<u32> {
    let source = crate::workspace::root().join("crates/session-store");
    let mut hash = 0x811c_9dc5_u32;
    for path in [
        "src/analysis.rs",
        "src/analysis/fold.rs",
        "src/analysis/stem.rs",
        "src/sqlite/prepare.rs",
        "migrations/0001_sessions.sql",
    ] {
        let text = fs::read(source.join(path)).map_err(|error| format!("{path}: {error}"))?;
        hash = text.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    }
    Ok(hash)
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([5, 1_000, 2_000_000, 123_456].map(grouped), ["5", "1,000", "2,000,000", "123,456"]);
    }
}
