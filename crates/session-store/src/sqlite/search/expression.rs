//! FTS5 expressions, made from terms alone: every term is letters and digits in quotation marks, so no input is syntax.

use crate::model::{SearchFilter, UNKNOWN};
use crate::search::query::{Clause, Query, Term};
use crate::sqlite::session_row::{SCOPE_COMPONENT, SCOPE_EVENT_TYPE, SCOPE_PROJECT, SCOPE_SESSION_TYPE, scope};

/// Newest matches between two seq.
pub(in crate::sqlite) const NEWEST: &str = "SELECT rowid FROM event_search WHERE event_search MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4";

/// Newest events between two seq, whatever they hold.
pub(super) const NEWEST_OF_ALL: &str =
    "SELECT seq FROM session_events WHERE ?1 IS NULL AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC LIMIT ?4";

/// The same with those in the archive.
pub(super) const NEWEST_OF_BOTH: &str = "SELECT seq FROM session_events WHERE ?1 IS NULL AND seq BETWEEN ?2 AND ?3
     UNION ALL SELECT seq FROM archived_events WHERE ?1 IS NULL AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC LIMIT ?4";

/// Events that hold one term.
pub(super) fn term(term: &Term) -> String {
    if !term.prefix {
        if term.also.is_empty() {
            return format!("\"{}\"", term.term);
        }
        let also = term.also.iter().map(|one| format!(" OR \"{}\"", one.term)).collect::<String>();
        return format!("(\"{}\"{also})", term.term);
    }
    let stems = term.prefix_stems();
    let stems = stems.iter().map(|stem| format!(" OR \"{stem}\"")).collect::<String>();
    let also = term.also.iter().map(|one| format!(" OR \"{}\"*", one.term)).collect::<String>();
    format!("(\"{}\"*{stems}{also})", term.surface)
}

/// Events that hold a clause, but for the order of a phrase.
fn clause(query: &Query, clause: &Clause) -> String {
    let parts: Vec<String> = clause.parts.iter().map(|&part| term(&query.terms[part])).collect();
    let parts = parts.join(" AND ");
    match clause.whole {
        Some(whole) => format!("(({parts}) OR {})", term(&query.terms[whole])),
        None => format!("({parts})"),
    }
}

/// What the index knows of a filter, nearly: a term for each of its fields. Of a session whose start has not arrived it knows
/// none, so that only the rows tell what is of an unknown one.
pub(super) fn scopes(filter: &SearchFilter) -> Vec<String> {
    let fields = [
        (SCOPE_PROJECT, &filter.project),
        (SCOPE_COMPONENT, &filter.component),
        (SCOPE_SESSION_TYPE, &filter.session_type),
        (SCOPE_EVENT_TYPE, &filter.event_type),
    ];
    let known = |kind: char, value: &str| value != UNKNOWN || matches!(kind, SCOPE_PROJECT | SCOPE_EVENT_TYPE);
    let given = fields.into_iter().filter_map(|(kind, value)| Some((kind, value.as_ref()?)));
    let given = given.filter(|(kind, value)| known(*kind, value));
    given.map(|(kind, value)| format!("\"{}\"", scope(kind, value))).collect()
}

/// Events that hold the clauses that are `asked` for, and the `scopes`; `None` when the index cannot narrow them at all.
pub(super) fn all(query: &Query, scopes: &[String], asked: &[bool]) -> Option<String> {
    let clauses = query.clauses.iter().zip(asked).filter(|(_, asked)| **asked);
    narrowed(clauses.map(|(one, _)| clause(query, one)).collect(), query, scopes, &query.excluded)
}

/// Events that hold one term and the `scopes`, and nothing that is `excluded`.
pub(super) fn any(one: &Term, query: &Query, scopes: &[String], excluded: &[Clause]) -> Option<String> {
    narrowed(vec![term(one)], query, scopes, excluded)
}

fn narrowed(mut wanted: Vec<String>, query: &Query, scopes: &[String], excluded: &[Clause]) -> Option<String> {
    wanted.extend_from_slice(scopes);
    if wanted.is_empty() {
        return None;
    }
    let mut wanted = wanted.join(" AND ");
    // A phrase or a prefix is excluded by its text alone: the index would exclude more.
    for one in excluded.iter().filter(|one| !one.phrase && !one.parts.iter().any(|&part| query.terms[part].prefix)) {
        wanted = format!("({wanted}) NOT {}", clause(query, one));
    }
    Some(wanted)
}
