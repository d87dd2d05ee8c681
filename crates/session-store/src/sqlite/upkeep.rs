//! Upkeep of a SQLite store.

use oneiric::fault::Result;

use super::{SqliteStore, archive};
use crate::upkeep::{Amount, ArchiveRule, Candidate, RestoreRule, Upkeep};

impl Upkeep for SqliteStore {
    fn archivable(&self, rule: &ArchiveRule) -> Result<Vec<Candidate>> {
        self.read(|connection| archive::candidates(connection, rule))
    }

    fn archive(&self, ids: &[String], rule: &ArchiveRule) -> Result<Amount> {
        let (ids, rule) = (ids.to_vec(), rule.clone());
        self.write(|door| door.run(move |connection, now| archive::archive(connection, &ids, &rule, now)))
    }

    fn restorable(&self, rule: &RestoreRule) -> Result<Vec<Candidate>> {
        self.read(|connection| archive::restorable(connection, rule))
    }

    fn restore(&self, ids: &[String]) -> Result<Amount> {
        let ids = ids.to_vec();
        self.write(|door| door.run(move |connection, _| archive::restore(connection, &ids)))
    }
}
