//! What a search may know of meaning. The vectors and the model live elsewhere; this is all the ranking asks of them.

use oneiric::fault::Result;

/// How near an event is to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The event, by its `seq`.
    pub seq: i64,
    /// Cosine of its best chunk, from -1 to 1.
    pub cosine: f32,
}

/// An event that a search has read and its filter lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'e> {
    /// The event, by its `seq`.
    pub seq: i64,
    /// Its id: a `seq` may have been another event's when its vector was made.
    pub event_id: &'e str,
}

/// A query's meaning over the events of a filter. Made for one search; may compute in the background from its making on.
pub trait Meaning: Send + Sync {
    /// The nearest events up to `through` that the search's filter lets pass, the nearest first, at most `limit`: what came
    /// later takes nobody's place. None beyond [`Meaning::through`].
    ///
    /// # Errors
    /// When the model or its vectors cannot answer; the search goes on by words and says so.
    fn nearest(&self, limit: usize, through: i64) -> Result<Vec<Near>>;

    /// How near these events are, those that have vectors. Needs less than [`Meaning::nearest`], so it is there earlier.
    ///
    /// # Errors
    /// As [`Meaning::nearest`].
    fn of(&self, events: &[Seen<'_>]) -> Result<Vec<Near>>;

    /// The newest event, by its `seq`, up to which all have vectors.
    fn through(&self) -> i64 {
        i64::MAX
    }

    /// Tells the vectors that it asks from any others: those of two numbers order hits differently.
    fn generation(&self) -> i64 {
        0
    }
}
