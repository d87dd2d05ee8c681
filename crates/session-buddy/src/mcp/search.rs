//! `search`.

use std::sync::Arc;

use oneiric::clock::Timestamp;
use oneiric::count::counted;
use oneiric::fault::FaultKind;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use session_store::{Granularity, Pool, SearchAnswer, SearchFilter, SearchHit, SearchMode, SearchRequest, Store};

use super::cursor::{self, Question};
use super::times;
use crate::desk::to_value;
use crate::server::meaning::Semantics;

/// How a caller would like to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SearchType {
    /// By words and by meaning
    Hybrid,
    /// By meaning
    Semantic,
    /// By words
    Text,
}

impl SearchType {
    const fn mode(self) -> SearchMode {
        match self {
            Self::Hybrid => SearchMode::Hybrid,
            Self::Semantic => SearchMode::Semantic,
            Self::Text => SearchMode::Text,
        }
    }
}

/// What a hit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
#[allow(missing_docs, reason = "as `session_store::Granularity`")]
pub enum By {
    #[default]
    Event,
    Session,
}

impl By {
    pub(crate) const fn granularity(self) -> Granularity {
        match self {
            Self::Event => Granularity::Event,
            Self::Session => Granularity::Session,
        }
    }
}

/// What a search is narrowed to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    pub(crate) project: Option<String>,
    pub(crate) component: Option<String>,
    pub(crate) session_type: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) archived: bool,
}

const fn default_limit() -> usize {
    10
}

/// Most hits of one answer.
pub(crate) const MAX_HITS: usize = 1_000;

/// Bytes of JSON that make about one token.
const BYTES_PER_TOKEN: usize = 4;

/// Reads `null` as what is left out.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Arguments of `search`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) search_type: Option<SearchType>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) by: By,
    #[serde(default = "default_limit")]
    #[schemars(range(max = 1000))]
    pub(crate) limit: usize,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) filters: Filters,
    /// Cut the answer to about this size
    #[serde(default)]
    pub(crate) max_tokens: Option<usize>,
    /// next_cursor of the page before
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// Where the next page begins: hits to skip; depth, newest events, vectors and totals of the pool; the mode, as the first page
/// was made; and the question's times, because `24h` means another one by the next page.
type Place = (usize, (usize, i64, i64, i64, f64, f64, f64), SearchMode, Option<Timestamp>, Option<Timestamp>);

/// Answer of `search`, as far as its schema tells.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `SearchAnswer` of the same names")]
pub struct Found {
    pub mode: String,
    pub hits: Vec<Hit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A hit, as far as the schema tells.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `SearchHit` of the same names")]
pub struct Hit {
    pub session_id: String,
    pub event_id: String,
    pub event_type: String,
    pub timestamp: Timestamp,
    pub excerpt: String,
    pub score: f64,
}

impl Search {
    pub(crate) fn run(self, store: &Arc<dyn Store>, semantics: &Semantics) -> Result<Value, ToolError> {
        if self.limit == 0 || self.limit > MAX_HITS {
            let message = format!("limit: must be 1 to {MAX_HITS}");
            return Err(ToolError::new("invalid_arguments", message).with("field", "limit"));
        }
        times::in_order(self.filters.since, self.filters.until)?;
        let question = self.question();
        let place = self.cursor.as_deref().map(|cursor| question.place::<Place>(cursor, 0)).transpose()?;
        let times = (self.filters.since, self.filters.until);
        let (since, until) = place.as_ref().map_or(times, |(.., since, until)| (*since, *until));
        // Left out they are what they were; others would be another question.
        if times.0.is_some_and(|given| Some(given) != since) || times.1.is_some_and(|given| Some(given) != until) {
            return Err(cursor::of_another_question());
        }
        let wanted = if semantics.wanted() { SearchMode::Hybrid } else { SearchMode::Text };
        let asked = self.search_type.map_or(wanted, SearchType::mode);
        let filter = SearchFilter {
            project: self.filters.project,
            component: self.filters.component.filter(|component| component != "*"),
            session_type: self.filters.session_type,
            event_type: self.filters.event_type,
            session: self.filters.session_id,
            since,
            until,
            archived: self.filters.archived,
        };
        let request = SearchRequest {
            query: self.query,
            filter,
            mode: place.as_ref().map_or(asked, |(_, _, mode, ..)| *mode),
            by: self.by.granularity(),
            limit: self.limit,
            least: semantics.least(),
            after: place.map(|(skipped, (depth, through, meaning, generation, events, words, sessions), ..)| {
                (skipped, Pool { depth, through, meaning, generation, events, words, sessions })
            }),
        };
        let meaning = (request.mode != SearchMode::Text).then(|| semantics.meaning(store, &request));
        let mut answer = store.search(&request, meaning.as_deref())?;
        same_search(&request, &answer)?;
        let found = answer.hits.len();
        if let Some(tokens) = self.max_tokens {
            cut(&mut answer, tokens.saturating_mul(BYTES_PER_TOKEN));
        }
        let shown = answer.hits.len();
        if shown > 0 && (answer.more || shown < found) {
            let skipped = request.after.map_or(0, |(skipped, _)| skipped) + shown;
            let Pool { depth, through, meaning, generation, events, words, sessions } = answer.pool;
            let pool = (depth, through, meaning, generation, events, words, sessions);
            let place: Place = (skipped, pool, answer.mode, since, until);
            answer.next_cursor = question.cursor(&place);
        }
        to_value(&answer)
    }

    /// What its pages have in common.
    fn question(&self) -> Question {
        let filters = Filters { since: None, until: None, ..self.filters.clone() };
        Question::of("search", &Self { filters, ..self.clone() })
    }
}

/// Refuses a later page that is no part of the first one's answer: its hits would be in another order, so that some would
/// come twice and others never.
fn same_search(request: &SearchRequest, answer: &SearchAnswer) -> Result<(), ToolError> {
    let Some((_, first)) = request.after else { return Ok(()) };
    if answer.mode != request.mode {
        let why = answer.note.as_deref().unwrap_or("search by meaning cannot answer");
        let message = format!("the pages before this one were found by meaning, and now {why}");
        return Err(ToolError::new(FaultKind::Unavailable.code(), message)
            .with("hint", "ask again later, or without the cursor to begin again by words"));
    }
    let vectors = |pool: Pool| (pool.generation, pool.meaning);
    if answer.mode != SearchMode::Text && vectors(answer.pool) != vectors(first) {
        return Err(cursor::wrong("the vectors that the pages before were found by have been replaced since"));
    }
    Ok(())
}

fn add_note(answer: &mut SearchAnswer, note: &str) {
    answer.note = Some(match answer.note.take() {
        Some(before) => format!("{before}; {note}"),
        None => note.to_owned(),
    });
}

/// Leaves the first hits that fit into `bytes`, and one at least: whoever asks page by page has to come to an end.
fn cut(answer: &mut SearchAnswer, bytes: usize) {
    let mut used = 0_usize;
    let fits = |hit: &&SearchHit| {
        used = used.saturating_add(serde_json::to_string(hit).map_or(0, |text| text.len()));
        used <= bytes
    };
    let fitting = answer.hits.iter().take_while(fits).count();
    if fitting < answer.hits.len() {
        let hits = counted(answer.hits.len(), "hit", "hits");
        let note = match fitting {
            0 => format!("the first of {hits}, which alone is more than max_tokens"),
            1 => format!("1 of {hits} fits into max_tokens"),
            _ => format!("{fitting} of {hits} fit into max_tokens"),
        };
        answer.hits.truncate(fitting.max(1));
        add_note(answer, &note);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_what_is_left_out() {
        let nulls = json!({ "query": "x", "search_type": null, "by": null, "filters": null, "cursor": null });
        let read = |arguments: Value| Question::of("search", &serde_json::from_value::<Search>(arguments).unwrap());
        let place = read(nulls).cursor(&1).unwrap();
        assert_eq!(read(json!({ "query": "x" })).place::<i32>(&place, 0).unwrap(), 1);
    }

    #[test]
    fn a_page_holds_what_fits_and_one_hit_at_least() {
        let hit = SearchHit {
            session_id: "s".into(),
            event_id: "e".into(),
            event_type: "command".into(),
            timestamp: Timestamp::from_micros(0),
            component: "c".into(),
            project: None,
            excerpt: "x".repeat(100),
            matches: Vec::new(),
            score: 1.0,
            complete: true,
        };
        let answer = SearchAnswer {
            mode: SearchMode::Text,
            by: Granularity::Event,
            candidates: session_store::Candidates::Exact { count: 3 },
            hits: vec![hit; 3],
            note: None,
            next_cursor: None,
            pool: Pool::default(),
            more: false,
        };
        for (bytes, left, note) in [
            (10_000, 3, None),
            (600, 2, Some("2 of 3 hits fit into max_tokens")),
            (300, 1, Some("1 of 3 hits fits into max_tokens")),
            (4, 1, Some("the first of 3 hits, which alone is more than max_tokens")),
        ] {
            let mut answer = answer.clone();
            cut(&mut answer, bytes);
            assert_eq!((answer.hits.len(), answer.note.as_deref()), (left, note), "{bytes}");
        }
    }
}
