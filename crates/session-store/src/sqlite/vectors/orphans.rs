//! Vectors whose events are gone. A server takes them away as it compares; without one they stay.

use std::collections::BTreeMap;
use std::path::Path;

use oneiric::fault::Result;

use super::SqliteVectors;
use crate::scope::Scope;
use crate::sqlite::connection::{Access, Place};
use crate::sqlite::failure::Failure;
use crate::vectors::Vectors;

/// Events that are compared at once.
const AT_ONCE: usize = 2_000;

impl SqliteVectors {
    /// Events that the sound file at `path` has vectors of and `events` does not hold, by generation. Nothing is changed.
    ///
    /// # Errors
    /// What the stores say.
    pub fn orphans(path: &Path, events: &(impl Scope + ?Sized)) -> Result<BTreeMap<i64, Vec<i64>>> {
        let place = Place::File { path: path.to_path_buf(), access: Access::ReadWrite };
        let read = (|| {
            let reader = place.reader()?;
            let mut gone: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            let tables: u32 = reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables == 0 {
                return Ok(gone);
            }
            let mut select = reader.prepare(
                "SELECT DISTINCT e.generation, e.seq FROM entries e JOIN generations g ON g.id = e.generation
                 WHERE g.state <> 'dropped' AND (e.generation, e.seq) > (?1, ?2) ORDER BY 1, 2 LIMIT ?3",
            )?;
            let mut last = (0, i64::MIN);
            loop {
                let some = select
                    .query_map((last.0, last.1, AT_ONCE as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
                let seqs: Vec<i64> = some.iter().map(|(_, seq)| *seq).collect();
                for ((generation, seq), id) in some.iter().zip(events.event_ids(&seqs)?) {
                    if id.is_none() {
                        gone.entry(*generation).or_default().push(*seq);
                    }
                }
                match some.last() {
                    Some(end) if some.len() == AT_ONCE => last = *end,
                    _ => return Ok(gone),
                }
            }
        })();
        read.map_err(|failure: Failure| failure.tell(&place))
    }

    /// Takes the vectors of these events away.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_orphans(&self, orphans: &BTreeMap<i64, Vec<i64>>) -> Result<()> {
        for (generation, seqs) in orphans {
            for some in seqs.chunks(AT_ONCE) {
                self.forget(*generation, some, false)?;
            }
        }
        Ok(())
    }
}
