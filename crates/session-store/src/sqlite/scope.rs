//! What a SQLite store tells a search by meaning.

use oneiric::fault::Result;

use super::SqliteStore;
use super::search::scope;
use crate::model::SearchFilter;
use crate::scope::{Scope, Texts};

impl Scope for SqliteStore {
    fn seqs(&self, filter: &SearchFilter, cap: usize) -> Result<Option<Vec<i64>>> {
        self.read(|connection| scope::seqs(connection, filter, cap))
    }

    fn admitted(&self, filter: &SearchFilter, seqs: &[i64]) -> Result<Vec<Option<String>>> {
        self.read(|connection| scope::admitted(connection, filter, seqs))
    }

    fn event_ids(&self, seqs: &[i64]) -> Result<Vec<Option<String>>> {
        self.read(|connection| scope::event_ids(connection, seqs))
    }

    fn texts_after(&self, seq: i64, rows: usize, bytes: usize) -> Result<Texts> {
        self.read(|connection| scope::texts_after(connection, seq, rows, bytes))
    }

    fn newest_seq(&self) -> Result<i64> {
        self.read(scope::newest)
    }
}
