//! Looking after what is kept: moving finished sessions to the archive and back.
//!
//! Long work is done in batches, each a transaction of its own: capture gets its turn between two of them, and a process
//! that is killed leaves whole sessions on one side or the other.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::retention::{Cursor, RetentionRules, RuleEffect};

/// Events of one batch, about; a session is never parted.
const BATCH_EVENTS: u64 = 1_000;
/// Rest between two batches: longer than the time after which a waiting process looks at the lock again.
pub(crate) const REST: std::time::Duration = std::time::Duration::from_millis(5);
/// Sessions of one batch.
const BATCH_SESSIONS: usize = 200;

/// Which sessions go to the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRule {
    /// Ended, and without any event, before this.
    pub before: Timestamp,
    /// Only of this project.
    pub project: Option<String>,
}

/// Which sessions come back. Empty fields allow all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreRule {
    /// Ids, or unambiguous beginnings of them.
    pub ids: Vec<String>,
    /// Only of this project.
    pub project: Option<String>,
    /// Started at or after.
    pub since: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
}

/// A session that can be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub session_id: String,
    /// Its events.
    pub events: u64,
}

/// How much was, or would be, moved or deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// Whole sessions.
    pub sessions: u64,
    /// Events.
    pub events: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.events += other.events;
    }
}

/// A session that another archive held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedElsewhere {
    /// The session, with its events there.
    pub session: Candidate,
    /// When it was archived there.
    pub at: Timestamp,
    /// Whether this import brought it. One that was known counts as brought by an earlier import when its row was made after
    /// it was archived there, and it had ended by then: what was captured here stays where it is.
    pub brought: bool,
}

/// The part of a store that looks after what is kept.
pub trait Upkeep {
    /// Sessions that `rule` means, the oldest first. Active ones never are.
    fn archivable(&self, rule: &ArchiveRule) -> Result<Vec<Candidate>>;

    /// Moves those of `ids` that `rule` still means, all in one transaction.
    fn archive(&self, ids: &[String], rule: &ArchiveRule) -> Result<Amount>;

    /// Moves these sessions to the archive as they were in another one's: those that are finished, have as many events as
    /// given, and came from there. All in one transaction.
    fn put_away(&self, sessions: &[ArchivedElsewhere]) -> Result<Amount>;

    /// Archived sessions that `rule` means, the oldest first.
    ///
    /// # Errors
    /// `NotFound` when an id names no archived session.
    fn restorable(&self, rule: &RestoreRule) -> Result<Vec<Candidate>>;

    /// Moves those of `ids` that are archived back, all in one transaction.
    fn restore(&self, ids: &[String]) -> Result<Amount>;

    /// What each rule would delete now: an event counts for the first rule that deletes it, so that the sum is what they
    /// delete together.
    fn retention_preview(&self, rules: &RetentionRules, now: Timestamp) -> Result<Vec<RuleEffect>>;

    /// Deletes one batch of what the rules mean, in one transaction; `None` when that was the last.
    fn retention_step(&self, rules: &RetentionRules, now: Timestamp, at: Cursor) -> Result<(Amount, Option<Cursor>)>;

    /// Learns the words of some events that were stored since, so that parts of them and slips are found; how many events
    /// were read, 0 when there were no more. Short transactions, so that capture gets its turn.
    fn learn_words(&self) -> Result<usize>;

    /// Puts some of what small writes left apart in the search index together, so that searches have fewer places to look;
    /// whether there was anything. A short transaction: capture waits for it.
    fn merge_index(&self) -> Result<bool>;

    /// Gives back the memory that reading took; the next reads fetch again what they need.
    fn rest(&self);
}

/// Told after each batch: sessions done, and sessions in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Moves every session that `rule` means to the archive.
///
/// # Errors
/// What the store says; batches before that stay archived.
pub fn archive(store: &(impl Upkeep + ?Sized), rule: &ArchiveRule, progress: Progress<'_>) -> Result<Amount> {
    let candidates = store.archivable(rule)?;
    in_batches(&candidates, progress, |ids| store.archive(ids, rule))
}

/// Moves every archived session that `rule` means back.
///
/// # Errors
/// What the store says; batches before that stay restored.
pub fn restore(store: &(impl Upkeep + ?Sized), rule: &RestoreRule, progress: Progress<'_>) -> Result<Amount> {
    let candidates = store.restorable(rule)?;
    in_batches(&candidates, progress, |ids| store.restore(ids))
}

/// How much candidates are together.
#[must_use]
pub fn amount(candidates: &[Candidate]) -> Amount {
    Amount { sessions: candidates.len() as u64, events: candidates.iter().map(|one| one.events).sum() }
}

fn in_batches(
    candidates: &[Candidate],
    progress: Progress<'_>,
    mut step: impl FnMut(&[String]) -> Result<Amount>,
) -> Result<Amount> {
    let mut total = Amount::default();
    let mut rest = candidates;
    while !rest.is_empty() {
        let mut events = 0;
        let fits = rest.iter().take(BATCH_SESSIONS).take_while(|one| {
            events += one.events;
            events <= BATCH_EVENTS
        });
        let (batch, later) = rest.split_at(fits.count().max(1));
        let ids: Vec<String> = batch.iter().map(|one| one.session_id.clone()).collect();
        total += step(&ids)?;
        rest = later;
        if !rest.is_empty() {
            std::thread::sleep(REST);
        }
        progress((candidates.len() - rest.len()) as u64, candidates.len() as u64);
    }
    Ok(total)
}

/// The time `days` before `now`; what is older than a time can be is the oldest one.
///
/// # Errors
/// `User` when it is no number of days that anything can be old.
pub fn days_before(now: Timestamp, days: u32) -> Result<Timestamp> {
    if days > 36_500 {
        return Err(Fault::user(format!("{days} days are more than 36500")).hint("give a smaller number of days"));
    }
    Ok(now.minus(std::time::Duration::from_secs(u64::from(days) * 86_400)))
}
