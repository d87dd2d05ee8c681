//! Figures over the ranks of what was wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::model::SearchMode;

/// How one question was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its kind.
    pub category: String,
    /// How many answer it.
    pub wanted: usize,
    /// Ranks of those that were found, the best first, from 1.
    pub ranks: Vec<usize>,
    /// How long the search took.
    pub took: Duration,
}

/// Figures of one mode.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// What was realised.
    pub mode: SearchMode,
    /// Why it is not what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Over all, then by category.
    pub rows: Vec<Row>,
}

/// Figures of some questions; shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `all`, or the data's name of a kind of question.
    pub category: String,
    /// How many were asked.
    pub questions: usize,
    /// Share whose first hit is right.
    pub hit_1: f64,
    /// Share with a right one among the first five hits.
    pub hit_5: f64,
    /// Share of the right ones that are among the first ten hits.
    pub recall_10: f64,
    /// Mean of one by the rank of the first right one.
    pub mrr: f64,
    /// Normalised discounted gain of the first ten hits.
    pub ndcg_10: f64,
    /// Median of the time of a search, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of it.
    pub p95_ms: f64,
}

impl Figures {
    /// The figures of `asked`.
    #[must_use]
    pub fn over(mode: SearchMode, asked: &[Asked], note: Option<String>) -> Self {
        let mut kinds: BTreeMap<&str, Vec<&Asked>> = BTreeMap::new();
        for one in asked {
            kinds.entry(&one.category).or_default().push(one);
        }
        let mut rows = vec![row("all", &asked.iter().collect::<Vec<_>>())];
        if kinds.len() > 1 {
            rows.extend(kinds.iter().map(|(kind, asked)| row(kind, asked)));
        }
        Self { mode, note, rows }
    }
}

fn row(category: &str, asked: &[&Asked]) -> Row {
    let mean = |of: &dyn Fn(&Asked) -> f64| asked.iter().map(|one| of(one)).sum::<f64>() / asked.len().max(1) as f64;
    let within = |one: &Asked, depth: usize| one.ranks.iter().filter(|rank| **rank <= depth).count() as f64;
    let mut times: Vec<f64> = asked.iter().map(|one| one.took.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let percentile = |share: f64| {
        times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Row {
        category: category.to_owned(),
        questions: asked.len(),
        hit_1: mean(&|one| within(one, 1).min(1.0)),
        hit_5: mean(&|one| within(one, 5).min(1.0)),
        recall_10: mean(&|one| within(one, 10) / one.wanted.max(1) as f64),
        mrr: mean(&|one| one.ranks.first().map_or(0.0, |rank| 1.0 / *rank as f64)),
        ndcg_10: mean(&gain),
        p50_ms: percentile(0.5),
        p95_ms: percentile(0.95),
    }
}

fn gain(one: &Asked) -> f64 {
    let worth = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
    let best: f64 = (1..=one.wanted.min(10)).map(worth).sum();
    let found: f64 = one.ranks.iter().filter(|rank| **rank <= 10).map(|rank| worth(*rank)).sum();
    if best > 0.0 { found / best } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_ranks() {
        let asked = |wanted, ranks: &[usize], category: &str| Asked {
            category: category.to_owned(),
            wanted,
            ranks: ranks.to_vec(),
            took: Duration::from_millis(2),
        };
        let all = [asked(1, &[1], "a"), asked(2, &[2, 20], "b"), asked(1, &[], "b")];
        let figures = Figures::over(SearchMode::Text, &all, None);
        assert_eq!(figures.rows.iter().map(|row| row.category.as_str()).collect::<Vec<_>>(), ["all", "a", "b"]);
        let row = &figures.rows[0];
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(row.hit_1, 1.0 / 3.0) && near(row.hit_5, 2.0 / 3.0) && near(row.mrr, 0.5));
        assert!(near(row.recall_10, 0.5) && near(row.p50_ms, 2.0) && near(row.p95_ms, 2.0));
        let second = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        assert!(near(row.ndcg_10, (1.0 + second) / 3.0));
    }
}
