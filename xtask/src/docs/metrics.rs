//! Metrics, from `/metrics` of a running server.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{cell, code};
use crate::Result;
use crate::program::{Built, Sandbox, Server};

/// What a server says of one metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    help: String,
}

/// The page.
pub(crate) fn page(built: &Built, sandbox: &Sandbox) -> Result<String> {
    let server = Server::start(built, sandbox)?;
    let answer = server.connect()?.get("/metrics")?;
    server.stop()?;
    if answer.status != 200 {
        return Err(format!("/metrics answers {}", answer.status).into());
    }
    let metrics = parse(&answer.body);
    if metrics.is_empty() {
        return Err("/metrics names no metric".into());
    }
    let mut page = String::from("# Metrics\n\nWhat `/metrics` of `session-buddy` serves, as Prometheus text.\n\n");
    page.push_str("| Metric | Kind | What |\n|---|---|---|\n");
    for (name, metric) in metrics {
        writeln!(page, "| {} | {} | {} |", code(&name), cell(&metric.kind), cell(&metric.help))?;
    }
    Ok(page)
}

/// Reads `# HELP` and `# TYPE` lines. A counter carries the `_total` that its samples have.
fn parse(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let metric = metrics.entry(name.to_owned()).or_default();
        match what {
            "HELP" => metric.help = rest.to_owned(),
            "TYPE" => metric.kind = rest.to_owned(),
            _ => {}
        }
    }
    metrics.retain(|_, metric| !metric.kind.is_empty());
    let sampled = |(name, metric): (String, Metric)| {
        let total = format!("{name}_total");
        let named = metric.kind == "counter" && !name.ends_with("_total") && text.contains(&total);
        (if named { total } else { name }, metric)
    };
    metrics.into_iter().map(sampled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_kinds_and_help_are_read_from_prometheus_text() {
        let text = "# HELP keeper_events Stored events.\n# TYPE keeper_events counter\nkeeper_events_total 3\n\
                    # HELP keeper_open Open ones.\n# TYPE keeper_open gauge\nkeeper_open 1\n# EOF\n";
        let metrics = parse(text);
        let names: Vec<&str> = metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["keeper_events_total", "keeper_open"]);
        assert_eq!(metrics["keeper_events_total"], Metric { kind: "counter".into(), help: "Stored events.".into() });
    }
}
