//! Upkeep of a SQLite store.

use oneiric::clock::Timestamp;
use oneiric::fault::Result;

use super::{SqliteStore, archive, merge, retention, words};
use crate::retention::{Cursor, RetentionRules, RuleEffect};
use crate::upkeep::{Amount, ArchiveRule, ArchivedElsewhere, Candidate, RestoreRule, Upkeep};

impl Upkeep for SqliteStore {
    fn archivable(&self, rule: &ArchiveRule) -> Result<Vec<Candidate>> {
        self.read(|connection| archive::candidates(connection, rule))
    }

    fn archive(&self, ids: &[String], rule: &ArchiveRule) -> Result<Amount> {
        let (ids, rule) = (ids.to_vec(), rule.clone());
        self.write(|door| door.run(move |connection, now| archive::archive(connection, &ids, &rule, now)))
    }

    fn put_away(&self, sessions: &[ArchivedElsewhere]) -> Result<Amount> {
        if sessions.is_empty() {
            return Ok(Amount::default());
        }
        let sessions = sessions.to_vec();
        self.write(|door| door.run(move |connection, _| archive::put_away(connection, &sessions)))
    }

    fn restorable(&self, rule: &RestoreRule) -> Result<Vec<Candidate>> {
        self.read(|connection| archive::restorable(connection, rule))
    }

    fn restore(&self, ids: &[String]) -> Result<Amount> {
        let ids = ids.to_vec();
        self.write(|door| door.run(move |connection, _| archive::restore(connection, &ids)))
    }

    fn retention_preview(&self, rules: &RetentionRules, now: Timestamp) -> Result<Vec<RuleEffect>> {
        self.read(|connection| retention::preview(connection, rules, now))
    }

    fn retention_step(&self, rules: &RetentionRules, now: Timestamp, at: Cursor) -> Result<(Amount, Option<Cursor>)> {
        let rules = rules.clone();
        self.write(|door| door.run(move |connection, _| retention::step(connection, &rules, now, at)))
    }

    fn learn_words(&self) -> Result<usize> {
        words::learn(self)
    }

    fn rest(&self) {
        self.readers.rest();
    }

    fn merge_index(&self) -> Result<bool> {
        self.write(|door| door.run(|connection, _| Ok(merge::step(connection)?)))
    }
}
