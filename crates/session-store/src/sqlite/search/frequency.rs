//! About how many events hold each term of a query, at a bounded cost: from how densely the newest of them stand.

use rusqlite::Connection;

use super::expression;
use crate::analysis::Analyser;
use crate::model::Pool;
use crate::search::query::{Query, Term};
use crate::search::text::each_text;
use crate::sqlite::failure::Failure;

/// Newest matches of a word that are counted.
const PROBE: usize = 256;
/// Newest events in which prefixes are counted.
const SAMPLE: i64 = 400;
/// Share of events from which a prefix is common.
const COMMON_SHARE: f64 = 0.01;
/// Below this many events the index is quick for any prefix.
const SMALL: f64 = 50_000.0;

/// By term of the query.
#[derive(Clone)]
pub(super) struct Frequencies {
    /// About how many events hold it.
    pub(super) events: Vec<f64>,
    /// Whether it is a prefix that very many events hold.
    pub(super) common: Vec<bool>,
}

/// Counts how many events hold a term.
pub(super) struct Probe {
    newest: i64,
    /// Numbers from the oldest event to the newest.
    span: f64,
}

impl Probe {
    /// Over the events up to the newest of `pool`.
    pub(super) fn new(connection: &Connection, pool: &Pool) -> Result<Self, Failure> {
        let oldest: Option<i64> =
            connection.prepare_cached("SELECT min(seq) FROM session_events")?.query_row([], |row| row.get(0))?;
        let newest = pool.through;
        Ok(Self { newest, span: (newest - oldest.unwrap_or(0) + 1).max(1) as f64 })
    }

    /// About how many events hold `term`.
    pub(super) fn events(&self, connection: &Connection, term: &Term) -> Result<f64, Failure> {
        self.matching(connection, &expression::term(term))
    }

    /// About which share of the newest events is of a scope.
    pub(super) fn share(&self, connection: &Connection, scope: &str) -> Result<f64, Failure> {
        Ok((self.matching(connection, scope)? / self.span).min(1.0))
    }

    fn matching(&self, connection: &Connection, matching: &str) -> Result<f64, Failure> {
        let mut probe = connection.prepare_cached(expression::NEWEST)?;
        let mut rows = probe.query((matching, i64::MIN, self.newest, PROBE as i64))?;
        let mut count = 0_usize;
        let mut last = self.newest;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            count += 1;
        }
        let counted = count as f64;
        let density = counted / ((self.newest - last + 1).max(1) as f64);
        Ok(if count < PROBE { counted } else { (density * self.span).max(counted) })
    }
}

pub(super) fn estimate(connection: &Connection, query: &Query, pool: &Pool) -> Result<Frequencies, Failure> {
    let documents = pool.events;
    let probe = Probe::new(connection, pool)?;
    let shares =
        if documents < SMALL { vec![0.0; query.terms.len()] } else { prefix_shares(connection, query, pool.through)? };
    let mut found = Frequencies { events: Vec::with_capacity(query.terms.len()), common: Vec::new() };
    for (term, share) in query.terms.iter().zip(shares) {
        found.common.push(share >= COMMON_SHARE);
        found.events.push(if share >= COMMON_SHARE { share * documents } else { probe.events(connection, term)? });
    }
    Ok(found)
}

/// For each prefix: the share of the newest events that hold it. 0 for whole words.
fn prefix_shares(connection: &Connection, query: &Query, through: i64) -> Result<Vec<f64>, Failure> {
    let mut counts = vec![0_usize; query.terms.len()];
    let mut read = 0_usize;
    if query.terms.iter().any(|term| term.prefix) {
        let mut select =
            connection.prepare_cached("SELECT data FROM session_events WHERE seq <= ?2 ORDER BY seq DESC LIMIT ?1")?;
        let mut rows = select.query([SAMPLE, through])?;
        let mut analyser = Analyser::default();
        while let Some(row) = rows.next()? {
            read += 1;
            let mut held = 0_u64;
            let data = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
            each_text(data, &mut |text| {
                analyser.analyse(text, |token| {
                    for (index, term) in query.terms.iter().enumerate() {
                        if term.prefix && token.surface.starts_with(&term.surface) {
                            held |= 1 << index;
                        }
                    }
                    true
                });
            });
            for (index, count) in counts.iter_mut().enumerate() {
                *count += usize::from(held >> index & 1 == 1);
            }
        }
    }
    Ok(counts.into_iter().map(|count| count as f64 / read.max(1) as f64).collect())
}
