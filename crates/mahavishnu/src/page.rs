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
.tile span{color:var(--soft);font-size:13px}.good{background:var(--good)}.bad{background:var(--bad)}.other{background:var(--other)}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}.key i:first-child{margin-left:0}
.cols{display:flex;height:150px;border-bottom:1px solid var(--line)}.cols div{flex:1 1 0;min-width:0;display:flex;flex-direction:column;justify-content:flex-end}
.cols i{display:block;width:80%;min-width:1px}.dates{position:relative;height:20px;font-size:12px;color:var(--soft)}
.dates span{position:absolute;transform:translateX(-50%);white-space:nowrap}.dates span:first-child{transform:none}.dates span.last{transform:none;left:auto;right:0}
.bar{display:grid;grid-template-columns:minmax(0,170px) minmax(0,1fr) 190px;gap:0 12px;align-items:center;margin:4px 0;font-size:14px}
.bar b{font-weight:400;overflow-wrap:anywhere;text-align:right}.bar div{display:flex;height:15px}.bar i{display:block}.bar span{color:var(--soft);font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:14px;margin-top:16px}th{text-align:left;color:var(--soft);font-weight:500}th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.t{overflow-wrap:anywhere;min-width:110px}.d{white-space:nowrap}
@media (max-width:640px){main{padding:20px 14px 40px}.bar{grid-template-columns:minmax(0,1fr) auto}.bar b{text-align:left}.bar div{grid-row:2;grid-column:1/-1}
table,tbody,tr,td{display:block}thead{display:none}tr{padding:8px 0;border-bottom:1px solid var(--line)}
td,td.n{display:grid;grid-template-columns:96px minmax(0,1fr);gap:8px;border:0;padding:1px 0;text-align:left;white-space:normal}td::before{content:attr(data-of);color:var(--soft)}}
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
            "<i style=\"background:var(--bad)\"></i>failed<i style=\"background:var(--other)\"></i>cancelled, or not over</p>",
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

/// Stacked columns, as high as the busiest day at most.
fn days(days: &[DayFigures]) -> String {
    let total = |day: &DayFigures| day.completed + day.failed + day.other;
    let most = days.iter().map(total).max().unwrap_or(0).max(1);
    let mut columns = String::new();
    for day in days {
        let DayFigures { day: name, completed, failed, other } = day;
        let name = escape(name);
        columns.push_str(&format!("<div title=\"{name}: {completed} completed, {failed} failed, {other} other\">"));
        for (count, class) in [(*other, "other"), (*failed, "bad"), (*completed, "good")] {
            if count > 0 {
                columns.push_str(&format!("<i class=\"{class}\" style=\"height:{:.2}%\"></i>", percent(count, most)));
            }
        }
        columns.push_str("</div>");
    }
    // Few days are no wider than they need be; many share what there is.
    format!(
        "<p>Up to {most} a day</p><div style=\"max-width:{}px\"><div class=\"cols\" role=\"img\" aria-label=\"Workflows by day\">{columns}</div>\
         <div class=\"dates\">{}</div></div>",
        60 * days.len().max(1),
        dates(days)
    )
}

/// The first and the last day, and a few between, each below its column.
fn dates(days: &[DayFigures]) -> String {
    let count = days.len().min(5);
    let mut dates = String::new();
    for number in 0..count {
        let at = (number * (days.len() - 1) + (count - 1) / 2) / (count - 1).max(1);
        let (name, last) = (days[at].day.get(5..).unwrap_or_default(), number > 0 && number + 1 == count);
        #[allow(clippy::cast_precision_loss, reason = "a number of days")]
        let place = 100.0 * (at as f64 + 0.4) / days.len() as f64;
        let place = if number == 0 { 0.0 } else { place };
        let class = if last { " class=\"last\"" } else { "" };
        let style = if last { String::new() } else { format!(" style=\"left:{place:.2}%\"") };
        dates.push_str(&format!("<span{class}{style}>{}</span>", escape(name)));
    }
    dates
}

#[allow(clippy::cast_precision_loss, reason = "counts of rows")]
fn percent(count: u64, most: u64) -> f64 {
    100.0 * count as f64 / most as f64
}

/// A bar a repository: what ended well, what failed, and the rest.
fn bars(repos: &[RepoFigures]) -> String {
    let shown = &repos[..repos.len().min(MAX_BARS)];
    let most = shown.iter().map(|repo| repo.steps).max().unwrap_or(0).max(1);
    let mut bars = String::new();
    for repo in shown {
        let other = repo.steps.saturating_sub(repo.completed + repo.failed);
        let parts = [(repo.completed, "good", ""), (repo.failed, "bad", " failed"), (other, "other", " other")];
        let pieces = parts.iter().filter(|(count, ..)| *count > 0).map(|(count, class, _)| {
            format!("<i class=\"{class}\" style=\"width:{:.2}%\"></i>", percent(*count, most))
        });
        let told =
            parts[1..].iter().filter(|(count, ..)| *count > 0).map(|(count, _, what)| format!(", {count}{what}"));
        bars.push_str(&format!(
            "<div class=\"bar\"><b>{}</b><div>{}</div><span>{}{}</span></div>",
            escape(&cut(&repo.repo, 60)),
            pieces.collect::<String>(),
            repo.steps,
            told.collect::<String>()
        ));
    }
    bars
}

/// A table whose cells know their column, for screens where they stand below each other.
fn table(columns: &[(&str, &str)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let class = |class: &str| if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let head: String = columns.iter().map(|(name, kind)| format!("<th{}>{name}</th>", class(kind))).collect();
    let body: String = rows
        .map(|cells| {
            let cell = |(text, (name, kind)): (&String, &(&str, &str))| {
                format!("<td{} data-of=\"{name}\"><span>{}</span></td>", class(kind), escape(text))
            };
            format!("<tr>{}</tr>", cells.iter().zip(columns).map(cell).collect::<String>())
        })
        .collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

fn repositories(repos: &[RepoFigures]) -> String {
    let columns = [
        ("Repository", "t"),
        ("Steps", "n"),
        ("Failed", "n"),
        ("Retries", "n"),
        ("Half within", "n"),
        ("95 % within", "n"),
    ];
    let row = |repo: &RepoFigures| {
        let numbers = [repo.steps, repo.failed, repo.retries].map(|number| number.to_string());
        let times = [repo.seconds.p50, repo.seconds.p95].map(seconds);
        std::iter::once(repo.repo.clone()).chain(numbers).chain(times).collect()
    };
    table(&columns, repos.iter().take(200).map(row))
}

fn failures(failures: &[Workflow]) -> String {
    let row = |workflow: &Workflow| {
        vec![
            workflow.ended_at.unwrap_or(workflow.created_at).local(),
            cut(&workflow.task, 200),
            cut(&workflow.repo, 80),
            cut(workflow.error.as_deref().unwrap_or(workflow.status.as_str()), 300),
        ]
    };
    let columns = [("When", "d"), ("Task", "t"), ("Where", "t"), ("Why", "t")];
    format!("<h2>Newest failures</h2>{}", table(&columns, failures.iter().map(row)))
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
    fn what_was_cancelled_is_not_drawn_as_if_it_had_ended_well() {
        let repo =
            |completed, failed| RepoFigures { repo: "a".into(), steps: 4, completed, failed, ..RepoFigures::default() };
        let drawn = bars(&[repo(0, 1)]);
        assert!(!drawn.contains("good") && drawn.contains("class=\"other\" style=\"width:75.00%\""), "{drawn}");
        assert!(drawn.contains("<span>4, 1 failed, 3 other</span>"), "{drawn}");
        assert!(!bars(&[repo(4, 0)]).contains("other"));
    }

    #[test]
    fn the_newest_day_is_named_and_so_are_few_between() {
        let many: Vec<DayFigures> = (1..=28)
            .map(|day| DayFigures { day: format!("2026-02-{day:02}"), completed: 1, ..DayFigures::default() })
            .collect();
        let named = |days: &[DayFigures]| {
            dates(days)
                .split("<span")
                .skip(1)
                .map(|part| part.split(['>', '<']).nth(1).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(named(&many), ["02-01", "02-08", "02-15", "02-21", "02-28"]);
        assert_eq!(named(&many[..2]), ["02-01", "02-02"]);
        assert_eq!(named(&many[..1]), ["02-01"]);
        assert!(named(&[]).is_empty());
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
