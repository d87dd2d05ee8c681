//! Keeps the best of a long stream of scores without sorting it.

use super::codes::Scored;

/// The best `wanted` scores seen.
pub(super) struct Best {
    wanted: usize,
    kept: Vec<Scored>,
    /// What a score must beat to matter.
    pub(super) floor: f32,
}

impl Best {
    pub(super) fn new(wanted: usize) -> Self {
        let wanted = wanted.max(1);
        Self { wanted, kept: Vec::with_capacity(2 * wanted), floor: f32::NEG_INFINITY }
    }

    #[inline]
    pub(super) fn offer(&mut self, scored: Scored) {
        if scored.score > self.floor {
            self.kept.push(scored);
            if self.kept.len() >= 2 * self.wanted {
                self.shrink();
            }
        }
    }

    #[cold]
    fn shrink(&mut self) {
        if self.kept.len() > self.wanted {
            self.kept.select_nth_unstable_by(self.wanted - 1, better);
            self.kept.truncate(self.wanted);
            self.floor = self.kept.last().map_or(f32::NEG_INFINITY, |last| last.score);
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        other.kept.into_iter().for_each(|scored| self.offer(scored));
    }

    /// Best first.
    pub(super) fn sorted(mut self) -> Vec<Scored> {
        self.shrink();
        self.kept.sort_unstable_by(better);
        self.kept
    }
}

/// Best first; among equals the newest.
pub(super) fn better(a: &Scored, b: &Scored) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(b.place.cmp(&a.place))
}
