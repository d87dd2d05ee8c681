//! One score from several kinds of evidence.
//!
//! What an event is worth: how well its session answers the query (BM25 over the session's words), plus how well the
//! passage that ends with it does (itself and the three events before it), plus what it says by itself; and, when
//! meaning is asked for, the nearness of its meaning times all that the query's words could tell. A session is worth
//! its own words plus its best passage, and its best nearness.
//!
//! All weights are one. Why so: a question's words are spread over a few neighbouring events more often than they stand in one, and passage
//! and session have the same weight because they answer the same words. Nearness is weighed by the words' information,
//! so that it decides where words say little and cannot outvote words that are rare. No weight depends on which other
//! candidates there are.

use crate::search::query::Query;
use crate::search::rank::{B, K1, clause_share};

/// Events of a passage: one and those before it in its session.
pub const PASSAGE: usize = 4;

/// What each term of a query tells.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Term and weight.
    terms: Vec<(usize, f64)>,
    /// All that the words of the query could tell.
    pub information: f64,
}

impl Weights {
    /// Weights for `query` among `documents` of which about `frequencies` hold each term.
    #[must_use]
    pub fn new(query: &Query, documents: f64, frequencies: &[f64]) -> Self {
        let idf = |term: usize| {
            let frequency = frequencies.get(term).copied().unwrap_or(0.0).min(documents);
            (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln()
        };
        let mut terms: Vec<(usize, f64)> = Vec::new();
        let mut information = 0.0;
        for &part in query.clauses.iter().flat_map(|clause| &clause.parts) {
            let weight = idf(part) / clause_share(query, part);
            information += weight;
            terms.push((part, weight));
        }
        terms.extend(query.bonus.iter().map(|&whole| (whole, idf(whole))));
        Self { terms, information }
    }

    /// How well a text answers that holds the terms so often (BM25), among texts of `average` words.
    #[must_use]
    pub fn answer(&self, frequencies: &[f32], length: f64, average: f64) -> f64 {
        let norm = K1 * (1.0 - B + B * length / average.max(1.0));
        self.terms
            .iter()
            .map(|&(term, weight)| {
                let frequency = f64::from(frequencies.get(term).copied().unwrap_or(0.0));
                if frequency > 0.0 { weight * frequency * (K1 + 1.0) / (frequency + norm) } else { 0.0 }
            })
            .sum()
    }

    /// What nearness adds to the words.
    #[must_use]
    pub fn meaning(&self, cosine: f32) -> f64 {
        self.information * f64::from(cosine.max(0.0))
    }
}

/// About how many sessions hold a term that `events` events hold: of the events that were read, `read` hold it, in
/// `sessions` sessions.
#[must_use]
pub fn session_frequency(events: f64, read: usize, sessions: usize) -> f64 {
    if sessions == 0 { events } else { (events * sessions as f64 / read as f64).max(sessions as f64) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_tell_more_than_common_ones_and_short_texts_more_than_long_ones() {
        let query = Query::parse("alpha beta").unwrap();
        let weights = Weights::new(&query, 100.0, &[2.0, 90.0]);
        let (alpha, beta) = ([1.0, 0.0], [0.0, 1.0]);
        assert!(weights.answer(&alpha, 10.0, 10.0) > weights.answer(&beta, 10.0, 10.0));
        assert!(weights.answer(&alpha, 5.0, 10.0) > weights.answer(&alpha, 50.0, 10.0));
        assert_eq!(weights.answer(&[0.0, 0.0], 10.0, 10.0), 0.0);
    }

    #[test]
    fn nearness_counts_as_much_as_the_words_could_tell_and_never_against_a_text() {
        let query = Query::parse("alpha beta").unwrap();
        let weights = Weights::new(&query, 100.0, &[2.0, 2.0]);
        assert!((weights.meaning(1.0) - weights.information).abs() < 1e-9);
        assert_eq!(weights.meaning(-0.5), 0.0);
    }

    #[test]
    fn events_of_a_word_are_many_in_few_sessions() {
        assert_eq!(session_frequency(100.0, 50, 10), 20.0);
        assert_eq!(session_frequency(3.0, 0, 0), 3.0);
    }
}
