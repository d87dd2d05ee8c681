//! Vectors in a SQLite file of their own, beside the sessions or in memory: another lock to write, and nothing that
//! cannot be made again. A file that is damaged or of another version is replaced.

mod open;
mod orphans;
mod rows;

use std::sync::{Mutex, PoisonError};

use oneiric::fault::{Fault, Result};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::cell::whole;
use super::connection::{self, Place, Readers};
use super::failure::{Failure, tell};
use crate::vectors::{CODES_A_BLOCK, Entry, Generation, NewVector, TextHash, VectorBatch, VectorModel, Vectors};

/// Bits of a row's id that number it within its generation.
const PLACE_BITS: u32 = 40;

const GENERATION: &str =
    "SELECT id, model, digest, dimensions, shape, state = 'active', watermark, vectors, entries, removals,
    (SELECT count(*) FROM texts WHERE texts.generation = -generations.id)
    FROM generations WHERE state <> 'dropped'";

/// Vectors in SQLite.
pub struct SqliteVectors {
    place: std::sync::Arc<Place>,
    readers: Readers,
    writer: Mutex<Option<Connection>>,
    replaced: Option<String>,
}

impl SqliteVectors {
    /// Why the file that was found had to be replaced, when it had to be.
    #[must_use]
    pub fn replaced(&self) -> Option<&str> {
        self.replaced.as_deref()
    }

    /// Reads the whole file to see whether it is sound; what is wrong, when it is not. Takes about a second a gigabyte.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read for another reason.
    pub fn damage(&self) -> Result<Option<String>> {
        match self.place.reader().and_then(|connection| open::damage(&connection)) {
            Ok(wrong) => Ok(wrong),
            Err(error) if open::is_damage(&error) => Ok(Some(error.to_string())),
            Err(error) => Err(tell(&error, &self.place)),
        }
    }

    /// Gives back the memory that reading took; the next reads fetch again what they need.
    pub fn rest(&self) {
        self.readers.rest();
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T> {
        self.readers.with(work)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T> {
        self.place.writable()?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let done = (|| {
            let connection = match &mut *writer {
                Some(connection) => connection,
                None => writer.insert(open::writer(&self.place)?),
            };
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })();
        done.map_err(|failure: Failure| {
            if !failure.is_fault() {
                *writer = None;
            }
            failure.tell(&self.place)
        })
    }
}

fn generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    Ok(Generation {
        id: row.get(0)?,
        model: VectorModel {
            name: row.get(1)?,
            digest: row.get(2)?,
            dimensions: usize::try_from(whole(row, 3)?).unwrap_or(0),
            shape: row.get(4)?,
        },
        active: row.get(5)?,
        watermark: row.get(6)?,
        vectors: whole(row, 7)?,
        entries: whole(row, 8)?,
        removals: whole(row, 9)?,
        refused: whole(row, 10)?,
    })
}

fn get(connection: &Connection, id: i64) -> Result<Generation, Failure> {
    let found =
        connection.prepare_cached(&format!("{GENERATION} AND id = ?1"))?.query_row([id], generation).optional()?;
    found.ok_or_else(|| Fault::conflict("these vectors were given up for others").into())
}

fn newest(connection: &Connection, model: &VectorModel) -> Result<Option<Generation>, Failure> {
    let sql = format!(
        "{GENERATION} AND model = ?1 AND digest = ?2 AND dimensions = ?3 AND shape = ?4 ORDER BY id DESC LIMIT 1"
    );
    let key = (&model.name, &model.digest, model.dimensions as i64, model.shape);
    Ok(connection.prepare_cached(&sql)?.query_row(key, generation).optional()?)
}

fn begin(connection: &Connection, model: &VectorModel) -> Result<Generation, Failure> {
    connection
        .prepare_cached(
            "INSERT INTO generations (model, digest, dimensions, shape, state) VALUES (?1, ?2, ?3, ?4,
             CASE WHEN EXISTS (SELECT 1 FROM generations WHERE state = 'active') THEN 'building' ELSE 'active' END)",
        )?
        .execute((&model.name, &model.digest, model.dimensions as i64, model.shape))?;
    get(connection, connection.last_insert_rowid())
}

const fn id(generation: i64, number: u64) -> i64 {
    generation << PLACE_BITS | number as i64
}

/// The ids of a generation's rows, from its row `from` on.
const fn ids(generation: i64, from: u64) -> (i64, i64) {
    (id(generation, from), id(generation + 1, 0) - 1)
}

impl Vectors for SqliteVectors {
    fn generations(&self) -> Result<Vec<Generation>> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!("{GENERATION} ORDER BY id"))?;
            Ok(select.query_map([], generation)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn generation(&self, model: &VectorModel) -> Result<Generation> {
        if let Some(found) = self.read(|connection| newest(connection, model))? {
            return Ok(found);
        }
        self.write(|connection| match newest(connection, model)? {
            Some(found) => Ok(found),
            None => begin(connection, model),
        })
    }

    fn begin(&self, model: &VectorModel) -> Result<Generation> {
        self.write(|connection| begin(connection, model))
    }

    fn known(&self, generation: i64, hashes: &[TextHash]) -> Result<Vec<bool>> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT 1 FROM texts WHERE generation IN (?1, -?1) AND hash = ?2")?;
            Ok(hashes.iter().map(|hash| select.exists((generation, hash))).collect::<rusqlite::Result<_>>()?)
        })
    }

    fn elsewhere(&self, generation: i64, hash: &TextHash) -> Result<Option<NewVector>> {
        self.read(|connection| rows::elsewhere(connection, &get(connection, generation)?, hash))
    }

    fn append(&self, generation: i64, batch: &VectorBatch) -> Result<()> {
        self.write(|connection| rows::append(connection, &get(connection, generation)?, batch))
    }

    fn activate(&self, generation: i64) -> Result<()> {
        self.write(|connection| {
            get(connection, generation)?;
            connection.execute(
                "UPDATE generations SET state = CASE WHEN id = ?1 THEN 'active' ELSE 'dropped' END",
                [generation],
            )?;
            Ok(())
        })
    }

    fn sweep(&self, rows: usize) -> Result<bool> {
        let dropped = self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT 1 FROM generations WHERE state = 'dropped'")?;
            Ok(select.exists([])?)
        })?;
        if !dropped {
            return Ok(false);
        }
        self.write(|connection| rows::sweep(connection, rows))
    }

    fn codes(&self, generation: i64, from: u64, take: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
        let block = CODES_A_BLOCK as u64;
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT id, bytes FROM codes WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
            let mut rows = select.query(ids(generation, from / block))?;
            while let Some(row) = rows.next()? {
                let first = (row.get::<_, i64>(0)? - id(generation, 0)).cast_unsigned() * block;
                take(first, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
            }
            Ok(())
        })
    }

    fn entries(&self, generation: i64, from: u64, take: &mut dyn FnMut(Entry)) -> Result<u64> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT id, seq, place, mark FROM entries WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
            let mut rows = select.query(ids(generation, from))?;
            let mut next = from;
            while let Some(row) = rows.next()? {
                next = (row.get::<_, i64>(0)? - id(generation, 0)).cast_unsigned() + 1;
                take(Entry { seq: row.get(1)?, place: row.get(2)?, mark: row.get(3)? });
            }
            Ok(next)
        })
    }

    fn stored(&self, generation: i64, places: &[u32], take: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT bytes FROM vectors WHERE id = ?1")?;
            for (index, place) in places.iter().enumerate() {
                let mut rows = select.query([id(generation, u64::from(*place))])?;
                if let Some(row) = rows.next()? {
                    take(index, row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
                }
            }
            Ok(())
        })
    }

    fn marks_from(&self, generation: i64, seq: i64, limit: usize) -> Result<Vec<(i64, i64)>> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT seq, mark FROM entries WHERE generation = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
            )?;
            let rows = select.query_map((generation, seq, limit as i64), |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn marks(&self, generation: i64, seqs: &[i64]) -> Result<Vec<Option<i64>>> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT mark FROM entries WHERE generation = ?1 AND seq = ?2 LIMIT 1")?;
            let marks = seqs.iter().map(|seq| select.query_row((generation, seq), |row| row.get(0)).optional());
            Ok(marks.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn forget(&self, generation: i64, seqs: &[i64], again: bool) -> Result<()> {
        self.write(|connection| rows::forget(connection, generation, seqs, again))
    }

    fn bytes(&self) -> Result<u64> {
        let place = std::sync::Arc::clone(&self.place);
        self.read(|connection| connection::size(connection, &place))
    }
}

#[cfg(test)]
#[path = "vectors/tests.rs"]
mod tests;
