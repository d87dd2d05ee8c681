//! Finds active sessions whose process is gone.

use oneiric::process::{Liveness, ProcessIdentity};
use rusqlite::Connection;

use super::cell::{key, text, text_or_none};
use super::failure::Failure;
use crate::store::Judge;

/// Ids of active sessions that `judge` says are gone. Reads active sessions only.
pub(super) fn gone(connection: &Connection, judge: Judge<'_>) -> Result<Vec<String>, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT session_id, process, hostname FROM sessions WHERE status = 'active' AND process IS NOT NULL",
    )?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (process, hostname) = (text(row, 1)?, text_or_none(row, 2)?);
        if let Ok(process) = serde_json::from_str::<ProcessIdentity>(&process)
            && judge(&process, hostname.as_deref().unwrap_or_default()) == Liveness::Gone
        {
            found.extend(key(row, 0)?);
        }
    }
    Ok(found)
}
