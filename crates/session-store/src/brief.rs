//! A brief to go on from: what was being done in a session, what failed and is not mended, what is left to do.
//!
//! It is made from the session's events by rules, the same each time; no language model has a part in it. Every line
//! ends with the id of the event that it stands on. Lines are chosen by how much somebody who goes on needs them, until
//! the budget is used up, and stand in the order of the sections.

mod gather;
mod lines;

use oneiric::fault::{Fault, Result};
use oneiric::repository::RepositoryIdentity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::links;
use crate::store::Store;
use gather::Gathered;

/// Bytes of text that make about one token.
pub const BYTES_PER_TOKEN: usize = 4;
/// Size of a brief when nobody says.
pub const DEFAULT_TOKENS: usize = 2_000;
/// Smallest and largest size.
pub const MIN_TOKENS: usize = 100;
/// Largest size.
pub const MAX_TOKENS: usize = 100_000;
/// Events that are looked at, the newest first.
pub const MAX_EVENTS: usize = 10_000;
/// Linked sessions that are named.
const MAX_LINKED: usize = 20;

/// A brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Brief {
    /// The session.
    pub session_id: String,
    /// Markdown; each line ends with the id of its event in brackets.
    pub brief: String,
    /// Its size, at four bytes a token; at most what was asked for.
    pub tokens: usize,
    /// Lines that did not fit.
    pub omitted: usize,
}

/// Makes the brief of the session that `id` names, with at most `max_tokens`. `now` is the state of its working tree at
/// this moment, when that is known.
///
/// # Errors
/// `NotFound` when no session has that id, `User` when `max_tokens` is out of range.
pub fn compose(store: &dyn Store, id: &str, now: Option<&RepositoryIdentity>, max_tokens: usize) -> Result<Brief> {
    if !(MIN_TOKENS..=MAX_TOKENS).contains(&max_tokens) {
        return Err(Fault::user(format!("max_tokens must be {MIN_TOKENS} to {MAX_TOKENS}")));
    }
    let session = store.session(id)?;
    let session_id = store.resolve(&session.session_id)?;
    let mut gathered = Gathered::default();
    store.walk_back(&session_id, MAX_EVENTS, &mut |event| gathered.take(&event))?;
    let mut linked = Vec::new();
    for link in links::of(store, session_id.as_str())?.into_iter().rev().take(MAX_LINKED) {
        // A link may point to a session that was imported without its other end, or was deleted.
        let other = store.session(&link.session_id).ok();
        linked.push((link, other));
    }
    let lines = lines::of(&session, &gathered, now, &linked);
    let (brief, omitted) = lines::fit(lines, max_tokens * BYTES_PER_TOKEN);
    let tokens = brief.len().div_ceil(BYTES_PER_TOKEN);
    Ok(Brief { session_id: session.session_id, brief, tokens, omitted })
}
