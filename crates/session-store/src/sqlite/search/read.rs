//! Candidates: events whose texts were read and scored, and what is shown of the best.

use std::borrow::Cow;

use oneiric::clock::Timestamp;
use rusqlite::OptionalExtension;

use super::Search;
use crate::model::{SearchFilter, SearchHit};
use crate::search::excerpt::excerpt;
use crate::search::rank::Scored;
use crate::sqlite::cell::{borrowed, event_type, id, text, text_or_none, time, whole};
use crate::sqlite::failure::Failure;

/// Text of all candidates together, so that long outputs do not make a search slow.
const RANKED_BYTES: usize = 4 * 1024 * 1024;

/// An event that may answer.
pub(super) struct Candidate {
    pub(super) seq: i64,
    /// Its id, where its meaning is asked for.
    pub(super) event_id: Box<str>,
    /// Its session's place in [`Search::sessions`].
    pub(super) session: usize,
    pub(super) scored: Scored,
    /// By term of the query: how often it holds it.
    pub(super) frequencies: Box<[f32]>,
    /// Its words.
    pub(super) length: usize,
    /// How near its meaning is, when that is known.
    pub(super) cosine: Option<f32>,
    /// What it is worth in the end.
    pub(super) rank: f64,
}

/// A session of candidates.
pub(super) struct Known {
    pub(super) id: String,
    /// What its row says, once it was read; `Some(None)` when there is no such row where the filter looks.
    pub(super) owner: Option<Option<Owner>>,
}

/// What a search needs of a session's row.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) component: String,
    pub(super) session_type: String,
    pub(super) project: Option<String>,
    pub(super) events: f64,
    pub(super) began: Option<Timestamp>,
}

impl Search<'_> {
    pub(super) fn over(&self, sql: &'static str) -> Cow<'static, str> {
        over(self.filter, sql)
    }

    /// Scores events by their texts; says how many were read before the bound on bytes. Those that are `near` were found by
    /// their meaning: they are kept though they hold none of the words.
    pub(super) fn read(&mut self, seqs: &[i64], near: bool) -> Result<(Vec<Candidate>, usize), Failure> {
        let mut select = self.connection.prepare_cached(
            &self.over("SELECT data, timestamp, session_id, event_type, event_id FROM session_events WHERE seq = ?1"),
        )?;
        let narrowed = *self.filter != SearchFilter::default();
        let mut found = Vec::with_capacity(seqs.len());
        for (read, &seq) in seqs.iter().enumerate() {
            let mut rows = select.query([seq])?;
            // An event that was archived, or deleted by other means, is still in the index.
            let Some(row) = rows.next()? else { continue };
            let session = self.known(&id(row, 2)?);
            if narrowed {
                let at = time(row, 1)?;
                let event_type = event_type(row, 3)?;
                if !self.admits(at, session, &event_type)? {
                    continue;
                }
            }
            let Some(data) = borrowed(row, 0)? else { continue };
            if self.bytes > RANKED_BYTES {
                return Ok((found, read));
            }
            self.bytes += data.len();
            let scored = self.ranker.score(&data);
            for (held, frequency) in self.held.iter_mut().zip(self.ranker.frequencies()) {
                *held |= *frequency > 0.0;
            }
            if scored.matches || (near && !scored.excluded) {
                found.push(Candidate {
                    seq,
                    event_id: if self.by_meaning { id(row, 4)?.into() } else { Box::default() },
                    session,
                    scored,
                    frequencies: self.ranker.frequencies().into(),
                    length: self.ranker.length(),
                    cosine: None,
                    rank: scored.score,
                });
            }
        }
        Ok((found, seqs.len()))
    }

    /// The place of a session in [`Search::sessions`].
    fn known(&mut self, id: &str) -> usize {
        if let Some(&at) = self.places.get(id) {
            return at;
        }
        self.sessions.push(Known { id: id.to_owned(), owner: None });
        self.places.insert(id.to_owned(), self.sessions.len() - 1);
        self.sessions.len() - 1
    }

    /// Whether the filter lets an event pass; the index knows it only nearly.
    fn admits(&mut self, at: Option<Timestamp>, session: usize, event_type: &str) -> Result<bool, Failure> {
        let filter = self.filter;
        if !in_time(filter, at) || filter.event_type.as_deref().is_some_and(|wanted| wanted != event_type) {
            return Ok(false);
        }
        if self.only.is_some_and(|only| only != self.sessions[session].id) {
            return Ok(false);
        }
        if filter.project.is_none() && filter.component.is_none() && filter.session_type.is_none() {
            return Ok(true);
        }
        let Some(owner) = self.owner(session)? else { return Ok(false) };
        Ok(filter.component.as_ref().is_none_or(|wanted| *wanted == owner.component)
            && filter.session_type.as_ref().is_none_or(|wanted| *wanted == owner.session_type)
            && filter.project.is_none_or_equals(owner.project.as_deref()))
    }

    /// What a session's row says.
    pub(super) fn owner(&mut self, session: usize) -> Result<Option<&Owner>, Failure> {
        if self.sessions[session].owner.is_none() {
            self.sessions[session].owner = Some(self.read_owner(session)?);
        }
        Ok(self.sessions[session].owner.as_ref().and_then(Option::as_ref))
    }

    fn read_owner(&self, session: usize) -> Result<Option<Owner>, Failure> {
        let sql = self.over(
            "SELECT component, session_type, project, event_count, start_time FROM sessions WHERE session_id = ?1",
        );
        Ok(self
            .connection
            .prepare_cached(&sql)?
            .query_row([&self.sessions[session].id], |row| {
                Ok(Owner {
                    component: text(row, 0)?,
                    session_type: text(row, 1)?,
                    project: text_or_none(row, 2)?,
                    events: whole(row, 3)? as f64,
                    began: time(row, 4)?,
                })
            })
            .optional()?)
    }

    /// What is shown of the best.
    pub(super) fn hits<'r>(&mut self, best: impl Iterator<Item = &'r Candidate>) -> Result<Vec<SearchHit>, Failure> {
        let mut select = self.connection.prepare_cached(
            &self.over("SELECT event_id, event_type, timestamp, data FROM session_events WHERE seq = ?1"),
        )?;
        let mut hits = Vec::new();
        for one in best {
            let mut rows = select.query([one.seq])?;
            let Some(row) = rows.next()? else { continue };
            let owner = self.owner(one.session)?.cloned();
            let data = text(row, 3)?;
            let excerpt = excerpt(&mut self.ranker, &data);
            hits.push(SearchHit {
                session_id: self.sessions[one.session].id.clone(),
                event_id: id(row, 0)?,
                event_type: event_type(row, 1)?,
                timestamp: time(row, 2)?.unwrap_or(Timestamp::from_micros(0)),
                component: owner.as_ref().map_or_else(String::new, |owner| owner.component.clone()),
                project: owner.and_then(|owner| owner.project),
                excerpt: excerpt.text,
                matches: excerpt.matches,
                score: (one.rank * 1000.0).round() / 1000.0,
                complete: one.scored.complete,
            });
        }
        Ok(hits)
    }
}

/// `sql` over the archive too, when the filter lets it in.
pub(super) fn over(filter: &SearchFilter, sql: &'static str) -> Cow<'static, str> {
    if !filter.archived {
        return sql.into();
    }
    let archive = sql.replace("session_events", "archived_events").replace("FROM sessions", "FROM archived_sessions");
    format!("{sql} UNION ALL {archive}").into()
}

pub(super) fn in_time(filter: &SearchFilter, at: Option<Timestamp>) -> bool {
    filter.since.is_none_or(|since| at.is_some_and(|at| at >= since))
        && filter.until.is_none_or(|until| at.is_some_and(|at| at < until))
}

trait WantedOrAny {
    /// Whether nothing is wanted, or exactly this.
    fn is_none_or_equals(&self, value: Option<&str>) -> bool;
}

impl WantedOrAny for Option<String> {
    fn is_none_or_equals(&self, value: Option<&str>) -> bool {
        self.as_deref().is_none_or(|wanted| Some(wanted) == value)
    }
}
