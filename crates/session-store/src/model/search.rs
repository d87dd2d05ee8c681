//! What a search asks for and answers.

use oneiric::clock::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Page;

/// What a search is narrowed to. Empty fields allow all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SearchFilter {
    /// Exact project name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Exact component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Exact session type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_type: Option<String>,
    /// Exact event type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Id of a session, or an unambiguous beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Happened at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Happened before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Archived sessions too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
}

/// What is looked for, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchRequest {
    /// Words, `"phrases"`, `prefix*` and `-exclusions`, or a sentence.
    pub query: String,
    /// What it is narrowed to.
    pub filter: SearchFilter,
    /// How to search; text answers where meaning cannot.
    pub mode: SearchMode,
    /// What a hit is.
    pub by: Granularity,
    /// Hits at most.
    pub limit: usize,
    /// Least cosine of what is found by meaning alone; the store's own when `None`.
    pub least: Option<f32>,
    /// Hits to skip, of the pool of an earlier answer to the same question.
    pub after: Option<(usize, Pool)>,
}

/// What the pages of one answer have in common: events that came later, and what they change in the totals, stay out of
/// all but the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Hits that the first page wanted: how far candidates are gathered depends on it.
    pub depth: usize,
    /// The newest event.
    pub through: i64,
    /// The newest event up to which all had vectors: of later ones only the words count, also when they have vectors by now.
    pub meaning: i64,
    /// [`crate::search::meaning::Meaning::generation`] of the meaning that was asked.
    pub generation: i64,
    /// Events, their words, and sessions in all.
    pub events: f64,
    /// Words of all events.
    pub words: f64,
    /// Sessions.
    pub sessions: f64,
}

impl SearchRequest {
    /// The ten best events by words.
    #[must_use]
    pub fn text(query: impl Into<String>) -> Self {
        Self { query: query.into(), mode: SearchMode::Text, limit: 10, ..Self::default() }
    }

    /// The same within `filter`.
    #[must_use]
    pub fn within(mut self, filter: SearchFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Hits that the first page wants, or wanted.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.after.map_or(self.limit, |(_, pool)| pool.depth).min(Page::MAX_LIMIT)
    }

    /// Nearest events that it asks for. Where words find most, twice as many change nothing in what is found, and cost a
    /// tenth of the time.
    #[must_use]
    pub fn nearest(&self) -> usize {
        let least =
            if self.mode == SearchMode::Semantic { 200 } else { self.depth().saturating_mul(10).clamp(100, 200) };
        least.max(self.depth().saturating_mul(2))
    }

    /// The same with at most `limit` hits.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// How a search is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SearchMode {
    /// By words.
    Text,
    /// By meaning.
    Semantic,
    /// By both.
    #[default]
    Hybrid,
}

/// What a hit of a search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Granularity {
    /// An event.
    #[default]
    Event,
    /// A session, shown by its best event.
    Session,
}

/// Which matches were ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(inline)]
pub enum Candidates {
    /// All of them.
    Exact {
        /// How many.
        count: u64,
    },
    /// The newest ones, because there are very many.
    Newest {
        /// How many were ranked.
        ranked: u64,
        /// About how many match.
        about: u64,
    },
    /// Those that were looked for, or looked at: a part of a word stands in more words, or a session has more events.
    AtLeast {
        /// How many.
        count: u64,
    },
    /// The nearest ones by their meaning, as everything is more or less near.
    Nearest {
        /// How many were ranked.
        ranked: u64,
    },
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchAnswer {
    /// How it was really done.
    pub mode: SearchMode,
    /// What its hits are.
    #[serde(default)]
    pub by: Granularity,
    /// Which matches of all words were ranked.
    pub candidates: Candidates,
    /// Best first.
    pub hits: Vec<SearchHit>,
    /// What the reader should know, such as that some hits hold only part of the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where the next page begins, when there is one; made by the door that the question came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// What further pages need.
    #[serde(skip)]
    pub pool: Pool,
    /// Whether the pool holds further hits.
    #[serde(skip)]
    pub more: bool,
}

/// An event that a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchHit {
    /// Its session.
    pub session_id: String,
    /// Its id.
    pub event_id: String,
    /// Its kind.
    pub event_type: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Component of its session.
    pub component: String,
    /// Project of its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// At most 240 characters around the matches; control characters are escaped.
    pub excerpt: String,
    /// Matches in `excerpt`, as character positions: start and end, the end excluded.
    pub matches: Vec<[usize; 2]>,
    /// Higher is better; comparable within one answer only.
    pub score: f64,
    /// Whether it holds all words of the query.
    pub complete: bool,
}
