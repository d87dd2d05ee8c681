//! Remembers the damage that a write or a read of this process met, so that health can tell of it without looking for it.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, ffi};

use super::failure::{Failure, without_sql};
use crate::model::Damage;

/// The damage that was met at last.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    damage: Damage,
    /// Version of the schema then: what is made anew gets another one.
    schema: Option<i64>,
}

impl Met {
    /// Looks at why work with `connection` failed; `writing` says that it was to store events.
    pub(super) fn look(&self, failure: &Failure, connection: Option<&Connection>, writing: bool) {
        let Failure::Sqlite(error) = failure else { return };
        if !matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            && !lacks_derived(error)
        {
            return;
        }
        // What a full-text index says of itself, and no table does.
        let of_index = error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_CORRUPT_VTAB);
        let damage = Damage { said: error.to_string(), derived: of_index || lacks_derived(error), writing };
        let schema = connection.and_then(|connection| schema(connection).ok());
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That events wait is the graver word.
        if writing || found.as_ref().is_none_or(|found| !found.damage.writing) {
            *found = Some(Found { damage, schema });
        }
    }

    /// Events were stored: what kept them from it is over.
    pub(super) fn stored(&self) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_some_and(|found| found.damage.writing) {
            *found = None;
        }
    }

    /// The damage, unless what is damaged was made anew since.
    pub(super) fn still(&self, connection: &Connection) -> Option<Damage> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Found { schema: Some(then), .. }) = &*found
            && schema(connection).is_ok_and(|now| now != *then)
        {
            *found = None;
        }
        found.as_ref().map(|found| found.damage.clone())
    }
}

/// Whether a table is not there that is made of the others.
fn lacks_derived(error: &rusqlite::Error) -> bool {
    let said = without_sql(error);
    said.strip_prefix("no such table: ")
        .is_some_and(|name| super::checkup::is_derived(name.strip_prefix("main.").unwrap_or(name)))
}

fn schema(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "schema_version", |row| row.get(0))
}
