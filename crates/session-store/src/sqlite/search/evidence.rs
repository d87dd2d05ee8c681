//! What the sessions of the candidates say: their words together, their passages, and nearness. The weights are those of
//! [`crate::search::fuse`].

use std::collections::HashMap;

use super::Search;
use super::read::Candidate;
use crate::model::Pool;
use crate::search::dates;
use crate::search::fuse::{PASSAGE, Weights, session_frequency};
use crate::sqlite::failure::Failure;

/// Sessions that are looked at closely, at least and for each hit that is wanted; the others by what was found of them.
const CLOSE: usize = 60;
const CLOSE_PER_HIT: usize = 3;
/// Places of events in their sessions that are read in all.
const PLACES: usize = 20_000;

/// A session's worth, by its place in [`Search::sessions`].
pub(super) struct Worth(pub(super) Vec<f64>);

impl Search<'_> {
    /// Ranks candidates and their sessions by all evidence.
    pub(super) fn fuse(&mut self, found: &mut [Candidate], limit: usize) -> Result<Worth, Failure> {
        let Pool { events, words, sessions: count, .. } = self.pool;
        let (event_length, session_length) = ((words / events).max(1.0), (words / count).max(1.0));
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.sessions.len()];
        for (index, one) in found.iter().enumerate() {
            members[one.session].push(index);
        }
        let dates = dates::parts(self.query);
        let weights = self.weights(found, &members, count, &dates);
        let terms = self.query.terms.len();

        let mut together: Vec<Vec<f32>> = vec![vec![0.0; terms]; members.len()];
        let mut order: Vec<(f64, usize)> = Vec::new();
        for (session, all) in members.iter().enumerate().filter(|(_, all)| !all.is_empty()) {
            for &index in all {
                for (sum, one) in together[session].iter_mut().zip(&found[index].frequencies) {
                    *sum += one;
                }
            }
            let nearest = all.iter().filter_map(|&index| found[index].cosine).fold(0.0, f32::max);
            let expected =
                weights.answer(&together[session], session_length, session_length) + weights.meaning(nearest);
            order.push((expected, session));
        }
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

        let close = CLOSE.max(limit.saturating_mul(CLOSE_PER_HIT));
        let mut places = PLACES;
        let mut worth = vec![f64::NEG_INFINITY; members.len()];
        for (rank, (expected, session)) in order.into_iter().enumerate() {
            let all = &mut members[session];
            let mut by_session = expected;
            let mut place_of: HashMap<i64, usize> = HashMap::new();
            let mut held: Vec<f32> = vec![0.0; terms];
            if rank < close
                && let Some(owner) = self.owner(session)?
            {
                let known: f64 = all.iter().map(|&index| found[index].length as f64).sum();
                let (events, began) = (owner.events, owner.began);
                let events = if self.later { self.events_of(session)? } else { events };
                let length = known + (events - all.len() as f64).max(0.0) * event_length;
                for &(term, part) in &dates {
                    held[term] = f32::from(u8::from(began.is_some_and(|began| dates::holds(part, began))));
                }
                add(&mut together[session], &held);
                by_session = weights.answer(&together[session], length, session_length);
                if all.len() > 1 && places > 0 {
                    let id = self.sessions[session].id.clone();
                    let order = self.order(&id, places)?;
                    places -= order.len();
                    place_of = order.into_iter().enumerate().map(|(place, seq)| (seq, place)).collect();
                }
            }
            // Events that arrive together lie side by side, so `seq` stands in for a place that was not read.
            let place = |one: &Candidate| place_of.get(&one.seq).map_or(one.seq, |&place| place as i64);
            all.sort_unstable_by_key(|&index| place(&found[index]));
            let mut best = f64::NEG_INFINITY;
            for at in 0..all.len() {
                let own = place(&found[all[at]]);
                let mut passage = held.clone();
                let (mut length, mut events) = (0.0, 0);
                for &other in all[..=at].iter().rev() {
                    if own - place(&found[other]) >= PASSAGE as i64 {
                        break;
                    }
                    add(&mut passage, &found[other].frequencies);
                    length += found[other].length as f64;
                    events += 1;
                }
                length += (PASSAGE - events.min(PASSAGE)) as f64 * event_length;
                let one = &mut found[all[at]];
                let nearness = one.cosine.map_or(0.0, |cosine| weights.meaning(cosine));
                let said = weights.answer(&passage, length, event_length * PASSAGE as f64);
                one.rank = by_session + said + one.scored.score + nearness;
                best = best.max(said);
            }
            let nearest = all.iter().filter_map(|&index| found[index].cosine).fold(0.0, f32::max);
            worth[session] = by_session + best + weights.meaning(nearest);
        }
        Ok(Worth(worth))
    }

    /// What the terms tell among sessions, judged from what was read.
    fn weights(
        &self,
        found: &[Candidate],
        members: &[Vec<usize>],
        count: f64,
        dates: &[(usize, dates::DatePart)],
    ) -> Weights {
        let frequencies: Vec<f64> = (0..self.query.terms.len())
            .map(|term| {
                let holds = |index: &usize| found[*index].frequencies[term] > 0.0;
                let read = found.iter().filter(|one| one.frequencies[term] > 0.0).count();
                let sessions = members.iter().filter(|all| all.iter().any(holds)).count();
                let by_text = session_frequency(self.frequencies[term], read, sessions);
                let by_date =
                    dates.iter().find(|(date, _)| *date == term).map_or(0.0, |(_, part)| part.share() * count);
                by_text.max(by_date).min(count)
            })
            .collect();
        Weights::new(self.query, count, &frequencies)
    }

    /// Events that a session had when the pool was made: its row may count later ones.
    fn events_of(&self, session: usize) -> Result<f64, Failure> {
        let sql = self.over("SELECT count(*) FROM session_events WHERE session_id = ?1 AND seq <= ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        let counts = select
            .query_map((&self.sessions[session].id, self.pool.through), |row| row.get::<_, i64>(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok(counts.into_iter().sum::<i64>() as f64)
    }

    /// The newest events of a session, in their order, at most `limit`.
    pub(super) fn order(&self, session: &str, limit: usize) -> Result<Vec<i64>, Failure> {
        for table in ["session_events", "archived_events"] {
            if table == "archived_events" && !self.filter.archived {
                break;
            }
            let sql = format!(
                "SELECT seq FROM {table} WHERE session_id = ?1 AND seq <= ?3
                 ORDER BY timestamp DESC, sequence DESC, seq DESC LIMIT ?2"
            );
            let mut select = self.connection.prepare_cached(&sql)?;
            let mut seqs = select
                .query_map((session, i64::try_from(limit).unwrap_or(i64::MAX), self.pool.through), |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            if !seqs.is_empty() {
                seqs.reverse();
                return Ok(seqs);
            }
        }
        Ok(Vec::new())
    }
}

fn add(sum: &mut [f32], one: &[f32]) {
    sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
}
