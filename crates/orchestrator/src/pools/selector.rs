//! Which of several a task goes to: a worker of a pool, or a pool.

use serde::{Deserialize, Serialize};

/// How one of several is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// One after the other.
    RoundRobin,
    /// The one with the least to do, then the one that has done the least.
    #[default]
    LeastLoaded,
    /// Any.
    Random,
    /// The one that did the last task with the same key, while it is there; else the least loaded.
    Affinity,
}

impl Selector {
    /// Their names.
    pub const NAMES: [&str; 4] = ["round_robin", "least_loaded", "random", "affinity"];

    /// The selector of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::RoundRobin, Self::LeastLoaded, Self::Random, Self::Affinity];
        Self::NAMES.iter().position(|known| *known == name.replace('-', "_")).map(|n| all[n])
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// One that can be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// Unique; later ones are greater.
    pub(super) id: u64,
    /// What it has to do now, from 0 (nothing).
    pub(super) load: f64,
    /// What it has done.
    pub(super) done: u64,
    /// Key of its last task.
    pub(super) key: Option<&'a str>,
}

/// What is remembered between choices.
#[derive(Clone, Debug)]
pub(super) struct Chooser {
    last: Option<u64>,
    chance: u64,
}

impl Chooser {
    pub(super) const fn new(seed: u64) -> Self {
        Self { last: None, chance: seed }
    }

    /// The one to take.
    pub(super) fn choose(&mut self, selector: Selector, key: Option<&str>, among: &[Choice<'_>]) -> Option<u64> {
        let least = || {
            let better = |a: &&Choice<'_>, b: &&Choice<'_>| {
                a.load.total_cmp(&b.load).then(a.done.cmp(&b.done)).then(a.id.cmp(&b.id))
            };
            among.iter().min_by(better).map(|choice| choice.id)
        };
        let chosen = match selector {
            Selector::RoundRobin => {
                let next =
                    among.iter().map(|choice| choice.id).filter(|id| self.last.is_none_or(|last| *id > last)).min();
                next.or_else(|| among.iter().map(|choice| choice.id).min())
            }
            Selector::LeastLoaded => least(),
            Selector::Random => {
                let count = among.len() as u64;
                (count > 0).then(|| among[usize::try_from(self.number() % count).unwrap_or(0)].id)
            }
            Selector::Affinity => {
                let same = among.iter().find(|choice| key.is_some() && choice.key == key);
                same.map(|choice| choice.id).or_else(least)
            }
        };
        self.last = chosen.or(self.last);
        chosen
    }

    /// Numbers that look random (splitmix64).
    fn number(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn choice(id: u64, load: f64, done: u64, key: Option<&str>) -> Choice<'_> {
        Choice { id, load, done, key }
    }

    #[test]
    fn each_selector_chooses_as_its_name_says() {
        let among = [choice(1, 0.5, 9, Some("a")), choice(2, 0.0, 5, Some("b")), choice(4, 0.0, 3, None)];
        let mut chooser = Chooser::new(7);
        let turns: Vec<u64> = (0..5).filter_map(|_| chooser.choose(Selector::RoundRobin, None, &among)).collect();
        assert_eq!(turns, [1, 2, 4, 1, 2]);
        assert_eq!(chooser.choose(Selector::LeastLoaded, None, &among), Some(4));
        assert_eq!(chooser.choose(Selector::Affinity, Some("a"), &among), Some(1));
        assert_eq!(chooser.choose(Selector::Affinity, Some("z"), &among), Some(4));
        assert_eq!(chooser.choose(Selector::Affinity, None, &among), Some(4));
        let drawn: std::collections::BTreeSet<u64> =
            (0..100).filter_map(|_| chooser.choose(Selector::Random, None, &among)).collect();
        assert_eq!(drawn.len(), 3);
        assert_eq!(chooser.choose(Selector::Random, None, &[]), None);
    }

    #[test]
    fn names_are_read_with_either_dash() {
        assert_eq!(Selector::parse("round-robin"), Some(Selector::RoundRobin));
        assert!(Selector::NAMES.iter().all(|name| Selector::parse(name).unwrap().as_str() == *name));
        assert_eq!(Selector::parse("best"), None);
    }
}
