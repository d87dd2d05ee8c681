//! Figures: what was measured, how it is spread, and how it stands to its limit.

use std::time::Duration;

use serde_json::{Value, json};

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Mebibytes,
    /// Events a second.
    EventRate,
    /// Steps a second.
    StepRate,
    /// One measurement over another.
    Times,
    Percent,
    Gigaflops,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::EventRate => "events/s",
            Self::StepRate => "steps/s",
            Self::Times => "x",
            Self::Percent => "%",
            Self::Gigaflops => "GFLOP/s",
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::EventRate | Self::StepRate | Self::Gigaflops => format!("{value:.0}"),
            Self::Times => format!("{value:.2}"),
            Self::Percent | Self::Mebibytes => format!("{value:.1}"),
            Self::Milliseconds if value < 10.0 => format!("{value:.2}"),
            Self::Milliseconds => format!("{value:.1}"),
        }
    }
}

/// Which part of the spread a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    P50,
    P95,
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    at: At,
    bound: f64,
    least: bool,
}

impl Limit {
    /// The value at `at` is `bound` at most.
    pub(crate) fn most(at: At, bound: f64) -> Self {
        Self { at, bound, least: false }
    }

    /// The value at `at` is `bound` at least.
    pub(crate) fn least(at: At, bound: f64) -> Self {
        Self { at, bound, least: true }
    }
}

/// Samples in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Sorts samples.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// Durations in milliseconds.
    pub(crate) fn of_times(samples: &[Duration]) -> Self {
        Self::of(samples.iter().map(|sample| sample.as_secs_f64() * 1e3).collect())
    }

    /// The nearest-rank percentile; 0 without samples.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The median.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    what: String,
    work: String,
    unit: Unit,
    spread: Spread,
    limits: Vec<Limit>,
    /// Why the figure counts for nothing, when the work was not done.
    failure: Option<String>,
}

impl Figure {
    /// A figure without limit.
    pub(crate) fn new(what: impl Into<String>, work: impl Into<String>, unit: Unit, spread: Spread) -> Self {
        Self { what: what.into(), work: work.into(), unit, spread, limits: Vec::new(), failure: None }
    }

    /// Adds a limit.
    pub(crate) fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// The work was not done as it should be.
    pub(crate) fn failed_if(mut self, failed: bool, why: impl FnOnce() -> String) -> Self {
        if failed {
            self.failure = Some(why());
        }
        self
    }

    fn at(&self, at: At) -> f64 {
        self.spread.percentile(if at == At::P50 { 50 } else { 95 })
    }

    /// Whether all limits are kept; nothing for a figure without limit.
    pub(crate) fn ok(&self) -> Option<bool> {
        if self.failure.is_some() {
            return Some(false);
        }
        let kept = |limit: &Limit| {
            let value = self.at(limit.at);
            if limit.least { value >= limit.bound } else { value <= limit.bound }
        };
        (!self.limits.is_empty()).then(|| self.limits.iter().all(kept))
    }

    fn ratios(&self) -> Vec<f64> {
        self.limits.iter().map(|limit| self.at(limit.at) / limit.bound).collect()
    }

    fn limits_shown(&self) -> String {
        let one = |limit: &Limit| {
            let at = if self.spread.count() == 1 {
                ""
            } else if limit.at == At::P50 {
                "p50 "
            } else {
                "p95 "
            };
            format!("{at}{} {} {}", if limit.least { "≥" } else { "≤" }, limit.bound, self.unit.name())
        };
        self.limits.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Cells of the table, in the order of [`HEADER`].
    fn cells(&self) -> [String; 8] {
        let single = self.spread.count() <= 1;
        let percentile = |percent| {
            if self.spread.count() == 0 || (single && percent != 50) {
                return String::new();
            }
            let unit = if percent == 50 { format!(" {}", self.unit.name()) } else { String::new() };
            format!("{}{unit}", self.unit.shown(self.spread.percentile(percent)))
        };
        let ratios = self.ratios().iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(", ");
        let ok = match (self.ok(), &self.failure) {
            (_, Some(why)) => format!("NO: {why}"),
            (Some(true), None) => "yes".to_owned(),
            (Some(false), None) => "NO".to_owned(),
            (None, None) => String::new(),
        };
        let [p50, p95, p99] = [50, 95, 99].map(percentile);
        [self.what.clone(), self.work.clone(), p50, p95, p99, self.limits_shown(), ratios, ok]
    }

    /// The figure for programs.
    pub(crate) fn json(&self) -> Value {
        let limit = |limit: &Limit| {
            json!({
                "at": if limit.at == At::P50 { "p50" } else { "p95" },
                "sense": if limit.least { "at_least" } else { "at_most" },
                "bound": limit.bound,
                "ratio": self.at(limit.at) / limit.bound,
            })
        };
        json!({
            "what": self.what, "work": self.work, "unit": self.unit.name(), "samples": self.spread.count(),
            "p50": self.spread.percentile(50), "p95": self.spread.percentile(95), "p99": self.spread.percentile(99),
            "limits": self.limits.iter().map(limit).collect::<Vec<_>>(), "ok": self.ok(), "failure": self.failure,
        })
    }
}

const HEADER: [&str; 8] = ["what", "work done", "p50", "p95", "p99", "limit", "value/limit", "ok"];

/// The table of `figures`, aligned for a terminal and readable as Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut rows: Vec<[String; 8]> = vec![HEADER.map(str::to_owned)];
    rows.extend(figures.iter().map(Figure::cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell}{} |", " ".repeat(width - cell.chars().count())));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
    let body: String = rows[1..].iter().map(line).collect();
    format!("{}|{rule}\n{body}", line(&rows[0]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn figure(samples: &[f64]) -> Figure {
        Figure::new("x", "y", Unit::Milliseconds, Spread::of(samples.to_vec()))
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!([50, 95, 99].map(|percent| spread.percentile(percent)), [50.0, 95.0, 99.0]);
        assert_eq!(Spread::of(vec![7.0]).percentile(99), 7.0);
        assert_eq!(Spread::default().percentile(50), 0.0);
    }

    #[test]
    fn a_figure_is_ok_when_every_limit_is_kept() {
        let limited = |p95| figure(&[1.0, 2.0, 9.0]).limit(Limit::most(At::P50, 2.0)).limit(Limit::most(At::P95, p95));
        assert_eq!(limited(9.0).ok(), Some(true));
        assert_eq!(limited(8.9).ok(), Some(false));
        assert_eq!(figure(&[1.0]).ok(), None);
        assert_eq!(figure(&[40.0]).limit(Limit::least(At::P50, 40.0)).ok(), Some(true));
    }

    #[test]
    fn work_that_was_not_done_is_never_ok() {
        let failed = figure(&[1.0]).limit(Limit::most(At::P50, 2.0)).failed_if(true, || "3 of 100 not stored".into());
        assert_eq!(failed.ok(), Some(false));
        assert!(table(&[failed]).contains("NO: 3 of 100 not stored"));
    }

    #[test]
    fn the_table_is_aligned_and_json_carries_the_ratio() {
        let line = figure(&[1.0, 2.0]).limit(Limit::most(At::P50, 4.0));
        let text = table(std::slice::from_ref(&line));
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 3);
        assert!(widths.iter().all(|width| *width == widths[0]));
        assert_eq!(line.json()["limits"][0]["ratio"], 0.25);
    }
}
