//! `metrics`: what the database knows of workflows, steps and repositories, and Session-Buddy of sessions, as rows or as
//! Prometheus reads them.

use std::time::Duration;

use clap::ValueEnum;
use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::moment;
use oneiric_server::metrics::Exposition;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::workflows::figures::{Figures, MAX_WORKFLOWS, Seconds};
use serde::Serialize;

use super::Token;
use super::format::Format;
use crate::buddy;
use crate::drive::PRODUCT;
use crate::world::World;

/// Show figures of workflows, steps, repositories and sessions
#[derive(clap::Args, Debug)]
pub(super) struct Metrics {
    /// Workflows asked for since: 90m, 24h, 7d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME", default_value = "24h")]
    range: String,
    /// Only metrics whose name holds this
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Shape,
    #[command(flatten)]
    pub(super) token: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    Table,
    Json,
    Csv,
    Prometheus,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    metric: &'static str,
    /// Names and values that tell it from others of the metric.
    labels: Vec<(&'static str, String)>,
    value: f64,
}

/// Names, and what they are.
const METRICS: [(&str, &str); 10] = [
    ("workflows", "Workflows asked for in the range, by state"),
    ("steps", "Steps of those workflows, by state"),
    ("step_retries", "Attempts of steps beyond the first"),
    ("step_seconds", "How long steps took, in seconds"),
    ("repository_steps", "Steps that began, by repository"),
    ("repository_failed", "Steps that failed or ran out of time, by repository"),
    ("repository_seconds", "How long steps took, by repository, in seconds"),
    ("sessions", "Sessions of the shell that began in the range, and how many are open now; Session-Buddy knows them"),
    ("session_failure_rate", "Part of the ended sessions that failed, 0 to 1"),
    ("session_seconds", "How long sessions took, in seconds"),
];

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Repositories that metrics tell apart, the busiest: a scrape stays small.
const MAX_REPOS: usize = 100;

impl Metrics {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let now = world.clock.now();
        let from = moment::parse(&self.range, now)?;
        let figures = world.workflows().figures(from, now.plus(Duration::from_secs(1)))?;
        let mut rows = rows(&figures);
        let wanted = self.metric.as_deref().map(|wanted| wanted.strip_prefix("mahavishnu_").unwrap_or(wanted));
        let asked = |name: &str| wanted.is_none_or(|wanted| name.contains(wanted));
        if METRICS.iter().any(|(name, _)| name.starts_with("session") && asked(name)) {
            let span = now.since(from);
            match sessions(world, from, span) {
                Ok(found) => rows.extend(found),
                // Who asks for nothing else has no use for an empty answer.
                Err(fault) if METRICS.iter().all(|(name, _)| name.starts_with("session") || !asked(name)) => {
                    return Err(fault);
                }
                Err(fault) => output.error_line(&format!("note: no figures of sessions: {}", fault.message())),
            }
        }
        if let Some(wanted) = wanted {
            if !METRICS.iter().any(|(name, _)| name.contains(wanted)) {
                let known: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
                return Err(Fault::not_found(format!("no metric '{}'", wanted.escape_debug()))
                    .hint(format!("there are {}", known.join(", "))));
            }
            rows.retain(|row| row.metric.contains(wanted));
        }
        if figures.bounded {
            output.error_line(&format!("note: steps are those of the newest {MAX_WORKFLOWS} workflows of the range"));
        }
        let mut table = Table::new(["Metric", "Of", "Value"]).numeric(2);
        for row in &rows {
            let labels: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let value = match row.metric {
                "session_failure_rate" => format!("{:.1} %", 100.0 * row.value),
                _ => number(row.value),
            };
            table.row([row.metric.to_owned(), labels.join(" "), value]);
        }
        let format = match self.format {
            Shape::Prometheus => {
                let mut exposition = Exposition::new();
                write(&rows, "mahavishnu_", &mut exposition);
                output.line(exposition.finish().trim_end());
                return Ok(());
            }
            Shape::Table => Format::Table,
            Shape::Json => Format::Json,
            Shape::Csv => Format::Csv,
        };
        let json: Vec<serde_json::Value> = rows
            .iter()
            .map(|row| {
                let labels: serde_json::Map<_, _> =
                    row.labels.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
                serde_json::json!({ "metric": row.metric, "labels": labels, "value": row.value })
            })
            .collect();
        format.print(&json, &table, "No workflows and no sessions in this range.", output)
    }
}

/// What Session-Buddy knows of this program's sessions of so long, from `from` on.
fn sessions(world: &World, from: Timestamp, span: Duration) -> Result<Vec<Row>> {
    let days = span.as_secs() / DAY;
    let arguments = if days > 0 && span.as_secs().is_multiple_of(DAY) {
        serde_json::json!({ "range_days": days, "component": PRODUCT })
    } else {
        serde_json::json!({ "since": from, "component": PRODUCT })
    };
    let serde_json::Value::Object(arguments) = arguments else { return Ok(Vec::new()) };
    let answer = world.peer().call_tool("analytics_sessions", arguments, world.patience()).map_err(buddy::explain)?;
    let figure = |pointer: &str| answer.pointer(pointer).and_then(serde_json::Value::as_f64);
    let row = |metric, name: &'static str, of: &str, value: Option<f64>| {
        let labels = if name.is_empty() { Vec::new() } else { vec![(name, of.to_owned())] };
        value.map(|value| Row { metric, labels, value })
    };
    let open = row("sessions", "of", "open now", figure("/active_now"));
    if span.is_zero() {
        let none = row("sessions", "of", "range", Some(0.0));
        return Ok(none.into_iter().chain(open).collect());
    }
    let rows = [
        row("sessions", "of", "range", figure("/totals/sessions")),
        open,
        row("session_failure_rate", "", "", figure("/failure_rate")),
        row("session_seconds", "quantile", "0.5", figure("/durations/p50")),
        row("session_seconds", "quantile", "0.95", figure("/durations/p95")),
    ];
    Ok(rows.into_iter().flatten().collect())
}

/// Adds the figures of the last day to what the server's `/metrics` says.
pub(crate) fn expose(figures: &Figures, out: &mut Exposition) {
    write(&rows(figures), "mahavishnu_last_day_", out);
}

fn write(rows: &[Row], prefix: &str, out: &mut Exposition) {
    for (name, doc) in METRICS {
        let mut begun = false;
        let full = format!("{prefix}{name}");
        for row in rows.iter().filter(|row| row.metric == name) {
            if !begun {
                out.gauge(&full, doc);
                begun = true;
            }
            let labels: Vec<(&str, &str)> = row.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            out.sample(&full, &labels, row.value);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of rows")]
fn rows(figures: &Figures) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |metric, labels: Vec<(&'static str, String)>, value| rows.push(Row { metric, labels, value });
    for (state, count) in &figures.workflows {
        row("workflows", vec![("status", state.clone())], *count as f64);
    }
    for (state, count) in &figures.steps {
        row("steps", vec![("state", state.clone())], *count as f64);
    }
    if !figures.steps.is_empty() {
        row("step_retries", Vec::new(), figures.retries as f64);
    }
    let quantiles = |seconds: &Seconds| [("0.5", seconds.p50), ("0.95", seconds.p95)];
    if figures.seconds.count > 0 {
        for (quantile, value) in quantiles(&figures.seconds) {
            row("step_seconds", vec![("quantile", quantile.to_owned())], value);
        }
    }
    for repo in figures.repos.iter().take(MAX_REPOS) {
        row("repository_steps", vec![("repository", repo.repo.clone())], repo.steps as f64);
        row("repository_failed", vec![("repository", repo.repo.clone())], repo.failed as f64);
        if repo.seconds.count == 0 {
            continue;
        }
        for (quantile, value) in quantiles(&repo.seconds) {
            let labels = vec![("repository", repo.repo.clone()), ("quantile", quantile.to_owned())];
            row("repository_seconds", labels, value);
        }
    }
    rows.sort_by_key(|row| METRICS.iter().position(|(name, _)| *name == row.metric));
    rows
}

/// Whole numbers whole, others with milliseconds.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrator::workflows::figures::RepoFigures;

    #[test]
    fn names_of_repositories_cannot_break_out_of_their_labels() {
        let repo = RepoFigures { repo: "a\"} 1\nevil 2".into(), steps: 3, ..RepoFigures::default() };
        let mut out = Exposition::new();
        expose(&Figures { repos: vec![repo], ..Figures::default() }, &mut out);
        let text = out.finish();
        assert!(text.contains("mahavishnu_last_day_repository_steps{repository=\"a\\\"} 1\\nevil 2\"} 3"), "{text}");
    }
}
