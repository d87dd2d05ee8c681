//! What a note calls a word that was read anew: as the texts that were found hold it. The index knows stems and identifiers
//! written together, which nobody may have written.

use std::collections::HashMap;

use super::Search;
use super::read::Candidate;
use crate::analysis::{Analyser, Kind};
use crate::search::query::Term;
use crate::search::text::each_text;
use crate::sqlite::failure::Failure;

/// Texts that are looked at, and bytes of them.
const TEXTS: usize = 64;
const BYTES: usize = 256 * 1024;
/// Words that a note names.
const NAMED: usize = 3;

/// A word of the query that was read anew.
pub(super) struct Noted {
    /// Its place in [`crate::search::query::Query::terms`].
    pub(super) term: usize,
    pub(super) written: String,
    /// Whether it stands somewhere as it was written, too.
    pub(super) held: bool,
    /// Whether it is a part of more words than are looked for.
    pub(super) more: bool,
}

/// Words of texts by their term in the index.
#[derive(Default)]
struct Spoken {
    words: HashMap<String, String>,
    /// Whether all texts were looked at.
    all: bool,
}

impl Search<'_> {
    /// What is said of it; nothing of a word that no event of the filter holds.
    pub(super) fn note(&self, noted: &Noted, found: &[Candidate]) -> Result<Option<String>, Failure> {
        let holding: Vec<&Candidate> = found.iter().filter(|one| one.frequencies[noted.term] > 0.0).collect();
        if holding.is_empty() {
            return Ok(None);
        }
        let new = &self.query.terms[noted.term];
        let spoken = self.spoken(new, &holding)?;
        let named = |term: &str, surface: &str| match spoken.words.get(term) {
            Some(word) => Some(format!("\"{word}\"")),
            None if spoken.all && !spoken.words.is_empty() => None,
            None => Some(format!("\"{surface}\"")),
        };
        let mut words: Vec<String> = new.also.iter().filter_map(|one| named(&one.term, &one.surface)).collect();
        if new.prefix {
            words.insert(0, format!("\"{}*\"", new.surface));
        } else if new.surface != noted.written {
            words.splice(0..0, named(&new.term, &new.surface));
        }
        let rest = words.len().saturating_sub(NAMED);
        words.truncate(NAMED);
        let words = words.join(", ");
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let also = if noted.held { "also " } else { "" };
        let others = if noted.more { "; rarer words with it are left out" } else { "" };
        Ok(Some(format!("\"{}\" {also}read as {words}{rest}{others}", noted.written)))
    }

    /// The words for which `new` was found, as the events that were found hold them.
    fn spoken(&self, new: &Term, holding: &[&Candidate]) -> Result<Spoken, Failure> {
        let wanted = |term: &str| new.term == term || new.also.iter().any(|one| one.term == term);
        let mut select =
            self.connection.prepare_cached(&self.over("SELECT data FROM session_events WHERE seq = ?1"))?;
        let mut analyser = Analyser::default();
        let mut spoken = Spoken::default();
        let mut bytes = 0;
        for (number, one) in holding.iter().enumerate() {
            if number == TEXTS || bytes > BYTES {
                return Ok(spoken);
            }
            let mut rows = select.query([one.seq])?;
            let Some(row) = rows.next()? else { continue };
            let data = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
            bytes += data.len();
            each_text(data, &mut |text| {
                let mut seen: Vec<(String, String, usize, usize, Kind)> = Vec::new();
                analyser.analyse(text, |token| {
                    if wanted(token.term) {
                        let (term, surface) = (token.term.to_owned(), token.surface.to_owned());
                        seen.push((term, surface, token.start, token.end, token.kind));
                    }
                    true
                });
                for (term, word, start, end, kind) in &seen {
                    // Of a path whose part is the word, the part is what was meant.
                    let inside = |(other, _, from, to, _): &&(String, String, usize, usize, Kind)| {
                        other != term && start <= from && to <= end
                    };
                    if *kind == Kind::Whole && seen.iter().any(|one| inside(&one)) {
                        continue;
                    }
                    let known = spoken.words.entry(term.clone()).or_insert_with(|| word.clone());
                    if (word.len(), word) < (known.len(), known) {
                        known.clone_from(word);
                    }
                }
            });
        }
        spoken.all = true;
        Ok(spoken)
    }
}
