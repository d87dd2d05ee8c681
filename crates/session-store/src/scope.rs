//! What a search by meaning asks of the store: which events its filter lets pass, and the texts to make vectors of.

use oneiric::fault::Result;

use crate::model::SearchFilter;

/// An event's text, as it is to be embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventText {
    /// The event.
    pub seq: i64,
    /// Its id.
    pub event_id: String,
    /// The text; never empty.
    pub text: String,
}

/// Texts of a run of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// In the order of `seq`; events that say nothing are left out.
    pub texts: Vec<EventText>,
    /// The last event that was looked at; where it began when there are no later ones.
    pub through: i64,
}

/// Events by `seq`, live ones and archived ones.
pub trait Scope {
    /// The events that `filter` lets pass, in order, when it names what the store finds quickly and they are at most
    /// `cap`; `None` when there are more or the filter is of another kind.
    fn seqs(&self, filter: &SearchFilter, cap: usize) -> Result<Option<Vec<i64>>>;

    /// For each event its id, when it exists and `filter` lets it pass.
    fn admitted(&self, filter: &SearchFilter, seqs: &[i64]) -> Result<Vec<Option<String>>>;

    /// The ids of these events; `None` for those that do not exist.
    fn event_ids(&self, seqs: &[i64]) -> Result<Vec<Option<String>>>;

    /// Texts of events after `seq`, of at most `rows` events and about `bytes` bytes, live and archived.
    fn texts_after(&self, seq: i64, rows: usize, bytes: usize) -> Result<Texts>;

    /// The highest `seq` of an event; 0 when there is none.
    fn newest_seq(&self) -> Result<i64>;
}
