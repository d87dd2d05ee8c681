//! The report as one page: no scripts, nothing from elsewhere, everything that is not ours escaped.

use std::time::Duration;

use oneiric::clock::Timestamp;
use orchestrator::workflows::Workflow;
use orchestrator::workflows::figures::{DayFigures, Figures, MAX_WORKFLOWS, RepoFigures};

/// Repositories that get a bar.
const MAX_BARS: usize = 20;

/// Longest time whose empty days are drawn.
const MAX_CALENDAR: Duration = Duration::from_secs(400 * 86_400);

/// What a report is about.
pub(crate) struct Report {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) figures: Figures,
    /// Failed workflows, the last that ended first.
    pub(crate) failures: Vec<Workflow>,
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--paper:#fff;--card:#f5f7f9;--good:#2f8f5b;--bad:#c8423b;--other:#a3adb9}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#333c48;--paper:#14181e;--card:#1c222a;--good:#4cb87d;--bad:#ec6a62;--other:#66717f}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0}h2{font-size:17px;margin:34px 0 10px}
p{margin:4px 0;color:var(--soft)}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin-top:20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}.tile b{display:block;font-size:23px;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.wide{overflow-x:auto}svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}svg text{fill:var(--soft)}
.good{fill:var(--good)}.bad{fill:var(--bad)}.other{fill:var(--other)}.axis{stroke:var(--line)}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}.key i:first-child{margin-left:0}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--soft);font-weight:500}th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.t{overflow-wrap:anywhere;min-width:120px}
@media print{:root{--paper:#fff}}";

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let figures = &report.figures;
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    page.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">",
    );
    page.push_str(&format!("<title>Mahavishnu report</title><style>{STYLE}</style></head><body><main>"));
    page.push_str(&format!(
        "<h1>Mahavishnu report</h1><p>Workflows asked for from {} to {}</p>",
        escape(&report.from.local()),
        escape(&report.to.local())
    ));
    page.push_str(&tiles(figures));
    if figures.workflows.is_empty() {
        page.push_str("<h2>Nothing ran in this time</h2><p>A sweep makes a workflow: mahavishnu sweep -- COMMAND</p>");
    } else {
        page.push_str("<h2>Workflows by day</h2><p class=\"key\"><i style=\"background:var(--good)\"></i>completed");
        page.push_str(
            "<i style=\"background:var(--bad)\"></i>failed<i style=\"background:var(--other)\"></i>other</p>",
        );
        page.push_str(&days(&calendar(report)));
        if figures.bounded {
            page.push_str(&format!("<p>Steps below are those of the newest {MAX_WORKFLOWS} workflows.</p>"));
        }
        if !figures.repos.is_empty() {
            page.push_str("<h2>Steps by repository</h2>");
            page.push_str(&bars(&figures.repos));
            page.push_str(&repositories(&figures.repos));
        }
    }
    if !report.failures.is_empty() {
        page.push_str(&failures(&report.failures));
    }
    page.push_str(&format!("<p>Written by Mahavishnu {}.</p></main></body></html>\n", env!("CARGO_PKG_VERSION")));
    page
}

fn tiles(figures: &Figures) -> String {
    let of = |name: &str| figures.workflows.get(name).copied().unwrap_or(0);
    let all: u64 = figures.workflows.values().sum();
    let failed = of("failed") + of("timeout");
    let ended = of("completed") + failed;
    #[allow(clippy::cast_precision_loss, reason = "counts of rows")]
    let rate =
        if ended == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * of("completed") as f64 / ended as f64) };
    let tiles = [
        (all.to_string(), "workflows"),
        (rate, "of the ended ones completed"),
        (failed.to_string(), "failed or out of time"),
        (figures.seconds.count.to_string(), "steps that ended"),
        (figures.retries.to_string(), "retries"),
        (seconds(figures.seconds.p50), "half of the steps took at most"),
        (seconds(figures.seconds.p95), "95 of 100 steps took at most"),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(value, what)| format!("<div class=\"tile\"><b>{value}</b><span>{what}</span></div>"))
        .collect();
    format!("<div class=\"tiles\">{tiles}</div>")
}

/// All days of the report, also those on which nothing ran; of a very long time only the days that have something.
fn calendar(report: &Report) -> Vec<DayFigures> {
    let day = |at: Timestamp| at.to_string().chars().take(10).collect::<String>();
    let known = &report.figures.days;
    if report.to.since(report.from) > MAX_CALENDAR {
        return known.clone();
    }
    let (mut at, mut all) = (report.from, Vec::new());
    loop {
        let name = day(at.min(report.to));
        if all.last().is_none_or(|last: &DayFigures| last.day != name) {
            let found = known.iter().find(|known| known.day == name).cloned();
            all.push(found.unwrap_or_else(|| DayFigures { day: name, ..DayFigures::default() }));
        }
        if at >= report.to {
            return all;
        }
        at = at.plus(Duration::from_secs(86_400));
    }
}

/// Stacked columns.
fn days(days: &[DayFigures]) -> String {
    const HEIGHT: f64 = 150.0;
    let total = |day: &DayFigures| day.completed + day.failed + day.other;
    let most = days.iter().map(total).max().unwrap_or(0).max(1);
    #[allow(clippy::cast_precision_loss, reason = "counts of rows")]
    let part = |count: u64| HEIGHT * count as f64 / most as f64;
    let step = (880.0 / f64::from(u32::try_from(days.len().max(1)).unwrap_or(u32::MAX))).min(60.0);
    let mut svg = format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 940 200\" role=\"img\" aria-label=\"Workflows by day\" style=\"min-width:560px\">\
         <line class=\"axis\" x1=\"50\" y1=\"165\" x2=\"935\" y2=\"165\"/><line class=\"axis\" x1=\"50\" y1=\"15\" x2=\"935\" y2=\"15\"/>\
         <text x=\"44\" y=\"19\" text-anchor=\"end\">{most}</text><text x=\"44\" y=\"169\" text-anchor=\"end\">0</text>"
    );
    let every = days.len().div_ceil(12).max(1);
    let mut x = 52.0;
    for (number, day) in days.iter().enumerate() {
        let mut y = 165.0;
        for (count, class) in [(day.completed, "good"), (day.failed, "bad"), (day.other, "other")] {
            if count == 0 {
                continue;
            }
            y -= part(count);
            svg.push_str(&format!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {} completed, {} failed, {} other</title></rect>",
                (step * 0.8).max(0.5),
                part(count),
                escape(&day.day),
                day.completed,
                day.failed,
                day.other
            ));
        }
        if number % every == 0 {
            let label = day.day.get(5..).unwrap_or_default();
            svg.push_str(&format!("<text x=\"{:.1}\" y=\"184\">{}</text>", x, escape(label)));
        }
        x += step;
    }
    svg + "</svg></div>"
}

/// A bar a repository, its failed part at the end.
fn bars(repos: &[RepoFigures]) -> String {
    let shown = &repos[..repos.len().min(MAX_BARS)];
    let most = shown.iter().map(|repo| repo.steps).max().unwrap_or(0).max(1);
    #[allow(clippy::cast_precision_loss, reason = "counts of rows")]
    let width = |count: u64| 640.0 * count as f64 / most as f64;
    let height = 24 * shown.len() + 6;
    let mut svg = format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 940 {height}\" role=\"img\" aria-label=\"Steps by repository\" style=\"min-width:560px\">"
    );
    for (number, repo) in shown.iter().enumerate() {
        let y = 24 * number + 4;
        let good = width(repo.steps.saturating_sub(repo.failed));
        svg.push_str(&format!(
            "<text x=\"192\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"good\" x=\"200\" y=\"{y}\" width=\"{good:.1}\" height=\"16\"/>\
             <rect class=\"bad\" x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"16\"/><text x=\"{:.1}\" y=\"{}\">{}{}</text>",
            y + 12,
            escape(&cut(&repo.repo, 30)),
            200.0 + good,
            width(repo.failed),
            208.0 + width(repo.steps),
            y + 12,
            repo.steps,
            if repo.failed > 0 { format!(", {} failed", repo.failed) } else { String::new() }
        ));
    }
    svg + "</svg></div>"
}

fn repositories(repos: &[RepoFigures]) -> String {
    let rows: String = repos
        .iter()
        .take(200)
        .map(|repo| {
            format!(
                "<tr><td class=\"t\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escape(&repo.repo),
                repo.steps,
                repo.failed,
                repo.retries,
                seconds(repo.seconds.p50),
                seconds(repo.seconds.p95)
            )
        })
        .collect();
    format!(
        "<div class=\"wide\"><table><thead><tr><th>Repository</th><th class=\"n\">Steps</th><th class=\"n\">Failed</th>\
         <th class=\"n\">Retries</th><th class=\"n\">Half within</th><th class=\"n\">95 % within</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

fn failures(failures: &[Workflow]) -> String {
    let rows: String = failures
        .iter()
        .map(|workflow| {
            format!(
                "<tr><td class=\"n\">{}</td><td class=\"t\">{}</td><td class=\"t\">{}</td><td class=\"t\">{}</td></tr>",
                escape(&workflow.ended_at.unwrap_or(workflow.created_at).local()),
                escape(&cut(&workflow.task, 200)),
                escape(&cut(&workflow.repo, 80)),
                escape(&cut(workflow.error.as_deref().unwrap_or(workflow.status.as_str()), 300))
            )
        })
        .collect();
    format!(
        "<h2>Newest failures</h2><div class=\"wide\"><table><thead><tr><th>When</th><th>Task</th><th>Where</th><th>Why</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "–".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.0),
    }
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit { text.to_owned() } else { text.chars().take(limit - 1).chain(['…']).collect() }
}

/// Text as it may stand anywhere in the page.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_stay_words() {
        let evil = "<script>alert('x')</script>\" onload=\"y";
        let repo = RepoFigures { repo: evil.into(), steps: 2, failed: 1, ..RepoFigures::default() };
        let day = DayFigures { day: "1970-01-01".into(), completed: 3, ..DayFigures::default() };
        let workflows = std::collections::BTreeMap::from([("completed".to_owned(), 3)]);
        let figures = Figures { workflows, repos: vec![repo], days: vec![day], ..Figures::default() };
        let now = Timestamp::from_micros(0);
        let page = html(&Report { from: now, to: now, figures, failures: Vec::new() });
        assert!(!page.contains("<script") && !page.contains("onload=\"y"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing comes from elsewhere");
    }

    #[test]
    fn days_without_work_have_their_place() {
        let day = |day: &str, completed| DayFigures { day: day.into(), completed, ..DayFigures::default() };
        let figures = Figures { days: vec![day("1970-01-01", 2), day("1970-01-04", 1)], ..Figures::default() };
        let (from, to) = (Timestamp::from_micros(72_000_000_000), Timestamp::from_micros(265_000_000_000));
        let mut report = Report { from, to, figures, failures: Vec::new() };
        let days =
            |report: &Report| calendar(report).into_iter().map(|day| (day.day, day.completed)).collect::<Vec<_>>();
        let wanted = [("1970-01-01", 2), ("1970-01-02", 0), ("1970-01-03", 0), ("1970-01-04", 1)];
        assert_eq!(days(&report), wanted.map(|(day, completed)| (day.to_owned(), completed)));
        report.to = from.plus(MAX_CALENDAR).plus(Duration::from_secs(1));
        assert_eq!(days(&report).len(), 2);
    }
}
