//! The statements that change vectors.

use oneiric::fault::Fault;
use rusqlite::{Connection, OptionalExtension};

use super::{GENERATION, generation, id, ids};
use crate::sqlite::failure::Failure;
use crate::vectors::{CODES_A_BLOCK, Generation, NewVector, TextHash, VectorBatch};

/// Adds a batch; what is there already stays.
pub(super) fn append(connection: &Connection, to: &Generation, batch: &VectorBatch) -> Result<(), Failure> {
    if to.watermark != batch.from {
        return Err(Fault::conflict("another process adds vectors at the same time").into());
    }
    let mut place = to.vectors;
    let mut text =
        connection.prepare_cached("INSERT OR IGNORE INTO texts (generation, hash, place) VALUES (?1, ?2, ?3)")?;
    let mut vector = connection.prepare_cached("INSERT INTO vectors (id, bytes) VALUES (?1, ?2)")?;
    let mut codes = Tail::open(connection, to)?;
    for one in &batch.vectors {
        if text.execute((to.id, &one.hash, place.cast_signed()))? == 1 {
            vector.execute((id(to.id, place), &one.stored))?;
            codes.push(&one.code)?;
            place += 1;
        }
    }
    codes.write()?;
    for hash in &batch.refused {
        text.execute((-to.id, hash, 0))?;
    }
    let mut number = to.entries;
    let mut find = connection.prepare_cached("SELECT place FROM texts WHERE generation = ?1 AND hash = ?2")?;
    let mut entry = connection.prepare_cached(
        "INSERT INTO entries (id, generation, seq, piece, mark, place) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for one in &batch.entries {
        // A text without a vector is one that the model refuses.
        let Some(place) = find.query_row((to.id, &one.hash), |row| row.get::<_, i64>(0)).optional()? else { continue };
        entry.execute((id(to.id, number), to.id, one.seq, one.piece, one.mark, place))?;
        number += 1;
    }
    connection
        .prepare_cached("UPDATE generations SET watermark = ?2, vectors = ?3, entries = ?4 WHERE id = ?1")?
        .execute((to.id, batch.watermark, place.cast_signed(), number.cast_signed()))?;
    Ok(())
}

/// The last block of codes, which grows until it is full.
struct Tail<'c> {
    connection: &'c Connection,
    generation: i64,
    block: u64,
    length: usize,
    bytes: Vec<u8>,
    changed: bool,
}

impl<'c> Tail<'c> {
    fn open(connection: &'c Connection, to: &Generation) -> Result<Self, Failure> {
        let block = to.vectors / CODES_A_BLOCK as u64;
        let bytes = connection
            .prepare_cached("SELECT bytes FROM codes WHERE id = ?1")?
            .query_row([id(to.id, block)], |row| row.get(0))
            .optional()?
            .unwrap_or_default();
        let length = to.vectors as usize % CODES_A_BLOCK;
        Ok(Self { connection, generation: to.id, block, length, bytes, changed: false })
    }

    fn push(&mut self, code: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(code);
        self.length += 1;
        self.changed = true;
        if self.length == CODES_A_BLOCK {
            self.write()?;
            (self.block, self.length) = (self.block + 1, 0);
            self.bytes.clear();
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        if self.changed {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO codes (id, bytes) VALUES (?1, ?2)")?
                .execute((id(self.generation, self.block), &self.bytes))?;
            self.changed = false;
        }
        Ok(())
    }
}

/// The vector of a text in another generation of the same model and shape.
pub(super) fn elsewhere(
    connection: &Connection,
    of: &Generation,
    hash: &TextHash,
) -> Result<Option<NewVector>, Failure> {
    let sql = format!("{GENERATION} AND id <> ?1 AND digest = ?2 AND dimensions = ?3 AND shape = ?4 ORDER BY id DESC");
    let mut select = connection.prepare_cached(&sql)?;
    let others = select
        .query_map((of.id, &of.model.digest, of.model.dimensions as i64, of.model.shape), generation)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut find = connection.prepare_cached("SELECT place FROM texts WHERE generation = ?1 AND hash = ?2")?;
    for other in others {
        let Some(place) = find.query_row((other.id, hash), |row| row.get::<_, i64>(0)).optional()? else { continue };
        let place = place.cast_unsigned();
        let stored: Option<Vec<u8>> = connection
            .prepare_cached("SELECT bytes FROM vectors WHERE id = ?1")?
            .query_row([id(other.id, place)], |row| row.get(0))
            .optional()?;
        let codes: Option<Vec<u8>> = connection
            .prepare_cached("SELECT bytes FROM codes WHERE id = ?1")?
            .query_row([id(other.id, place / CODES_A_BLOCK as u64)], |row| row.get(0))
            .optional()?;
        let length = of.model.dimensions.div_ceil(64) * 16 + 2;
        let at = place as usize % CODES_A_BLOCK * length;
        if let (Some(stored), Some(codes)) = (stored, codes)
            && let Some(code) = codes.get(at..at + length)
        {
            return Ok(Some(NewVector { hash: *hash, stored, code: code.to_vec() }));
        }
    }
    Ok(None)
}

/// Takes entries away; with `again`, they are made again.
pub(super) fn forget(connection: &Connection, generation: i64, seqs: &[i64], again: bool) -> Result<(), Failure> {
    let mut delete = connection.prepare_cached("DELETE FROM entries WHERE generation = ?1 AND seq = ?2")?;
    for seq in seqs {
        delete.execute((generation, seq))?;
    }
    if let (true, Some(least)) = (again, seqs.iter().min()) {
        connection
            .execute("UPDATE generations SET watermark = min(watermark, ?2 - 1) WHERE id = ?1", (generation, least))?;
        // What comes after is made again in order, so that entries stay in the order of seq.
        connection.execute("DELETE FROM entries WHERE generation = ?1 AND seq >= ?2", (generation, least))?;
    }
    connection.execute("UPDATE generations SET removals = removals + 1 WHERE id = ?1", [generation])?;
    Ok(())
}

/// Removes some rows of generations that were given up.
pub(super) fn sweep(connection: &Connection, rows: usize) -> Result<bool, Failure> {
    let dropped: Option<i64> = connection
        .prepare_cached("SELECT id FROM generations WHERE state = 'dropped' ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(dropped) = dropped else { return Ok(false) };
    let (first, last) = ids(dropped, 0);
    for table in ["entries", "vectors", "codes"] {
        let sql =
            format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id BETWEEN ?1 AND ?2 LIMIT ?3)");
        if connection.prepare_cached(&sql)?.execute((first, last, rows as i64))? > 0 {
            return Ok(true);
        }
    }
    let texts = connection
        .prepare_cached(
            "DELETE FROM texts WHERE (generation, hash) IN
             (SELECT generation, hash FROM texts WHERE generation IN (?1, -?1) LIMIT ?2)",
        )?
        .execute((dropped, rows as i64))?;
    if texts == 0 {
        connection.execute("DELETE FROM generations WHERE id = ?1", [dropped])?;
    }
    Ok(true)
}
