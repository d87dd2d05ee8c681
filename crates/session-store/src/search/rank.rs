//! How well a text answers a query: BM25 (Robertson and Zaragoza 2009; k1 1.2, b 0.75) over terms and wholes.

use crate::analysis::{Analyser, Kind, MAX_TERMS, Token};
use crate::search::query::{Clause, Query};
use crate::search::text::each_text;

pub(super) const K1: f64 = 1.2;
pub(super) const B: f64 = 0.75;
/// What a word counts that only shares the stem with the one in the query.
const STEM_ONLY: f32 = 0.8;
/// What another word counts beside the one as it was written.
const HALF: f32 = 0.5;

/// What a ranking knows of the whole collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Events in all.
    pub documents: f64,
    /// Words of an event, on average.
    pub average_length: f64,
    /// For each term of the query: about how many events hold it.
    pub frequencies: Vec<f64>,
}

/// A text's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Higher is better.
    pub score: f64,
    /// Whether it holds everything that the query asks for.
    pub complete: bool,
    /// Whether it holds anything of it and nothing that the query excludes.
    pub matches: bool,
    /// Whether it holds something that the query excludes.
    pub excluded: bool,
}

/// Scores texts against one query.
pub struct Ranker<'q> {
    query: &'q Query,
    idf: Vec<f64>,
    average_length: f64,
    /// By first byte: which terms a token can equal.
    begins: Box<[u64; 256]>,
    /// Terms whose places matter.
    placed: u64,
    analyser: Analyser,
    found: Found,
}

#[derive(Default)]
struct Found {
    frequency: Vec<f32>,
    places: Vec<Vec<u32>>,
    length: usize,
}

impl<'q> Ranker<'q> {
    /// A ranker for `query` in a collection.
    #[must_use]
    pub fn new(query: &'q Query, collection: &Collection) -> Self {
        let documents = collection.documents.max(1.0);
        let idf = collection
            .frequencies
            .iter()
            .map(|&frequency| (1.0 + (documents - frequency.min(documents) + 0.5) / (frequency + 0.5)).ln())
            .collect();
        let mut begins = Box::new([0_u64; 256]);
        for (index, term) in query.terms.iter().enumerate() {
            let words = std::iter::once(&term.term).chain(term.also.iter().map(|one| &one.term));
            for first in words.filter_map(|word| word.as_bytes().first()) {
                begins[usize::from(*first)] |= 1 << index;
            }
        }
        let phrases = query.clauses.iter().chain(&query.excluded).filter(|clause| clause.phrase);
        let placed = phrases.flat_map(|clause| &clause.parts).fold(0, |mask, &index| mask | 1 << index);
        let terms = query.terms.len();
        Self {
            query,
            idf,
            average_length: collection.average_length.max(1.0),
            begins,
            placed,
            analyser: Analyser::default(),
            found: Found { frequency: vec![0.0; terms], places: vec![Vec::new(); terms], length: 0 },
        }
    }

    /// Weight of a term.
    #[must_use]
    pub fn weight(&self, term: usize) -> f64 {
        self.idf.get(term).copied().unwrap_or(0.0)
    }

    /// Scores the strings of a JSON document.
    pub fn score(&mut self, json: &str) -> Scored {
        self.read(json);
        let query = self.query;
        let excluded = query.excluded.iter().any(|clause| self.holds(clause));
        let held = query.clauses.iter().filter(|clause| self.holds(clause)).count();
        let norm = K1 * (1.0 - B + B * self.found.length as f64 / self.average_length);
        let mut score = 0.0;
        for clause in &query.clauses {
            for &part in &clause.parts {
                score += self.weigh(part, norm) / clause_share(query, part);
            }
            if clause.phrase && self.holds(clause) {
                // The words in this order are rarer than the words.
                score *= 1.1;
            }
        }
        for &whole in &query.bonus {
            score += self.weigh(whole, norm);
        }
        let matches = !excluded && score > 0.0;
        let complete = !excluded
            && held == query.clauses.len()
            && query.signed.iter().all(|signed| contains(json.as_bytes(), signed.as_bytes()));
        Scored { score, complete, matches, excluded }
    }

    /// For each term of the query: how often the text that was scored last holds it.
    #[must_use]
    pub fn frequencies(&self) -> &[f32] {
        &self.found.frequency
    }

    /// Words of the text that was scored last.
    #[must_use]
    pub fn length(&self) -> usize {
        self.found.length
    }

    fn weigh(&self, term: usize, norm: f64) -> f64 {
        let frequency = f64::from(self.found.frequency[term]);
        if frequency > 0.0 { self.weight(term) * frequency * (K1 + 1.0) / (frequency + norm) } else { 0.0 }
    }

    fn read(&mut self, json: &str) {
        let Self { query, begins, placed, analyser, found, .. } = self;
        found.frequency.fill(0.0);
        if *placed != 0 {
            found.places.iter_mut().for_each(Vec::clear);
        }
        found.length = 0;
        analyser.reset();
        each_text(json, &mut |text| {
            if found.length >= MAX_TERMS {
                return;
            }
            analyser.analyse(text, |token| {
                found.length += usize::from(token.kind != Kind::Whole);
                let mut candidates = begins[usize::from(token.surface.as_bytes()[0])];
                while candidates != 0 {
                    let index = candidates.trailing_zeros() as usize;
                    candidates &= candidates - 1;
                    let worth = worth(query, index, &token);
                    if worth > 0.0 {
                        found.frequency[index] += worth;
                        if *placed >> index & 1 == 1 && token.kind != Kind::Whole {
                            found.places[index].push(token.position);
                        }
                    }
                }
                found.length < MAX_TERMS
            });
            analyser.gap();
        });
    }

    fn holds(&self, clause: &Clause) -> bool {
        if clause.whole.is_some_and(|whole| self.found.frequency[whole] > 0.0) {
            return true;
        }
        if !clause.parts.iter().all(|&part| self.found.frequency[part] > 0.0) {
            return false;
        }
        !clause.phrase
            || self.found.places[clause.parts[0]].iter().any(|&first| {
                (1_u32..)
                    .zip(&clause.parts[1..])
                    .all(|(step, &part)| self.found.places[part].binary_search(&(first + step)).is_ok())
            })
    }

    /// Spans of `text` that answer the query, with the term each one answers.
    pub fn spans(&mut self, text: &str) -> Vec<(usize, usize, usize)> {
        let Self { query, begins, analyser, .. } = self;
        let mut spans = Vec::new();
        let mut tokens = 0;
        analyser.reset();
        analyser.analyse(text, |token| {
            tokens += 1;
            let mut candidates = begins[usize::from(token.surface.as_bytes()[0])];
            while candidates != 0 {
                let index = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                if worth(query, index, &token) > 0.0 && wanted(query, index) {
                    spans.push((token.start, token.end, index));
                }
            }
            tokens < MAX_TERMS
        });
        spans
    }
}

/// Whether `text` holds `part`, in capitals or not. Signs of words stand in JSON as they are.
fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window.eq_ignore_ascii_case(part))
}

/// A word that stands in several clauses counts once in all.
pub(super) fn clause_share(query: &Query, part: usize) -> f64 {
    query.clauses.iter().flat_map(|clause| &clause.parts).filter(|&&other| other == part).count().max(1) as f64
}

fn wanted(query: &Query, index: usize) -> bool {
    query.bonus.contains(&index) || query.clauses.iter().any(|clause| clause.parts.contains(&index))
}

/// What a token counts for a term: nothing, a little, or one.
fn worth(query: &Query, index: usize, token: &Token<'_>) -> f32 {
    let term = &query.terms[index];
    if term.prefix {
        return if token.surface.starts_with(&term.surface) { 1.0 } else { 0.0 };
    }
    let same = |word: &str| if token.surface == word { 1.0 } else { STEM_ONLY };
    if token.term == term.term {
        return same(&term.surface);
    }
    let other = term.also.iter().find(|one| one.term == token.term);
    other.map_or(0.0, |one| same(&one.surface) * if one.half { HALF } else { 1.0 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scored(query: &str, text: &str) -> Scored {
        let query = Query::parse(query).unwrap();
        let frequencies = vec![10.0; query.terms.len()];
        let collection = Collection { documents: 1000.0, average_length: 8.0, frequencies };
        let json = serde_json::json!({ "text": text }).to_string();
        Ranker::new(&query, &collection).score(&json)
    }

    #[test]
    fn phrases_hold_in_order_only() {
        assert!(scored("\"connection refused\"", "error: connection refused by peer").complete);
        assert!(!scored("\"connection refused\"", "refused the connection").complete);
        assert!(scored("\"東京都\"", "私は東京都に住む").complete);
        assert!(!scored("東京都", "京都と東京").complete);
        assert!(scored("\"user name\"", "call getUserName()").complete);
    }

    #[test]
    fn exclusions_prefixes_and_other_spellings_hold() {
        assert!(!scored("error -timeout", "error: timeout").matches);
        assert!(scored("error -timeout", "error: refused").complete);
        assert!(scored("runn*", "it was running").complete && !scored("runn*", "it runs").complete);
        assert!(scored("getUserName", "get_user_name").complete && scored("getusername", "getUserName").complete);
    }

    #[test]
    fn signs_of_a_word_count() {
        for (query, with, without) in [
            ("c++ build", "the C++ build", "the C build"),
            ("C#", "a c# file", "plan c"),
            (".env", "cat .env", "env | sort"),
            ("deploy 🚀", "deploy done 🚀", "deploy done"),
        ] {
            assert!(scored(query, with).complete, "{query}");
            let other = scored(query, without);
            assert!(other.matches && !other.complete, "{query}");
        }
    }

    #[test]
    fn the_word_as_written_beats_its_stem_and_a_short_text_a_long_one() {
        assert!(scored("errors", "all errors here").score > scored("errors", "all error here").score);
        let long = format!("timeout {}", "filler words ".repeat(40));
        assert!(scored("timeout", "timeout again").score > scored("timeout", &long).score);
        assert!(scored("parse_config", "fn parse_config").score > scored("parse_config", "parse the config").score);
    }
}
