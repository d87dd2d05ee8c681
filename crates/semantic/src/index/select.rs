//! Keeps the best of a long stream of scores without sorting it.

use std::cmp::Ordering;

use super::codes::Scored;

/// A vector by its place, with what its first plane comes to.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) score: f32,
    pub(super) place: u32,
    /// Sum of the query's levels where the plane has a bit.
    pub(super) sum: i32,
}

/// The best `wanted` scores seen.
pub(super) struct Best {
    wanted: usize,
    kept: Vec<Seen>,
    /// What a score must beat to matter.
    pub(super) floor: f32,
}

impl Best {
    pub(super) fn new(wanted: usize) -> Self {
        let wanted = wanted.max(1);
        Self { wanted, kept: Vec::with_capacity(2 * wanted), floor: f32::NEG_INFINITY }
    }

    #[inline]
    pub(super) fn offer(&mut self, seen: Seen) {
        if seen.score > self.floor {
            self.kept.push(seen);
            if self.kept.len() >= 2 * self.wanted {
                self.shrink();
            }
        }
    }

    #[cold]
    fn shrink(&mut self) {
        if self.kept.len() > self.wanted {
            self.kept.select_nth_unstable_by(self.wanted - 1, first);
            self.kept.truncate(self.wanted);
            self.floor = self.kept.last().map_or(f32::NEG_INFINITY, |last| last.score);
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        other.kept.into_iter().for_each(|seen| self.offer(seen));
    }

    /// In no order.
    pub(super) fn kept(mut self) -> Vec<Seen> {
        self.shrink();
        self.kept
    }
}

/// Best first; among equals the newest.
pub(super) fn better(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(b.place.cmp(&a.place))
}

fn first(a: &Seen, b: &Seen) -> Ordering {
    b.score.total_cmp(&a.score).then(b.place.cmp(&a.place))
}
