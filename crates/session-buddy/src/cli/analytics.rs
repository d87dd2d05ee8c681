//! `analytics`: figures over recorded sessions, with small charts.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::Cell;
use oneiric::clock::clock_time;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::moment::parse_span;
use oneiric::zone::Zone;
use serde_json::Value;
use session_store::SessionStatus;
use session_store::analytics::{Analytics, DAY, DayFigures, MAX_DAYS, Totals};

use super::ask::{Context, read};
use super::charts::{Bar, bars};
use super::options;
use super::output::{self, Format, cell, note};
use crate::mcp::analytics::AnalyticsSessions;
use crate::mcp::sessions::{ListSessions, SessionLine, SessionList};

/// Most active sessions that are listed.
const MAX_ACTIVE: usize = 1_000;
/// Days that have a bar of their own; more are put together by week.
const MAX_BARS: usize = 62;

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// How many sessions, of which status, on which day
    Sessions,
    /// How long they took
    Duration,
    /// Which components
    Components,
    /// At which hours of the day they started
    Hours,
    /// What failed most often
    Errors,
    /// Which sessions are active now
    Active,
    /// All of it
    Report,
}

/// Arguments of `analytics`.
#[derive(Debug, Args)]
pub(super) struct AnalyticsArgs {
    /// What to look at
    #[arg(value_enum, default_value = "report")]
    what: What,
    /// Sessions that started within this time: 1h, 24h, 7d, 4w
    #[arg(long, default_value = "7d", value_name = "SPAN", allow_hyphen_values = true)]
    range: String,
    /// Whose days and hours: local, UTC, or a name such as Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// Only this component, such as mahavishnu
    #[arg(long)]
    component: Option<String>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `analytics`.
pub(super) fn run(args: &AnalyticsArgs, context: &Context) -> Result<ExitCode> {
    let span = span_of(&args.range)?;
    let zone = zone_of(&args.timezone, context)?;
    let wants = |what| args.what == What::Report || args.what == what;
    let figures: Option<Value> = (args.what != What::Active)
        .then(|| {
            context.ask(AnalyticsSessions {
                // A server of an earlier version knows whole days.
                range_days: whole_days(span),
                since: whole_days(span).is_none().then(|| context.now().minus(span)),
                component: args.component.clone(),
                project: args.project.clone(),
                errors: wants(What::Errors),
                timezone: Some(zone.clone()),
            })
        })
        .transpose()?;
    let active: Option<Value> = wants(What::Active).then(|| context.ask(active_of(args))).transpose()?;
    match args.format {
        Format::Json => output::emit_json(&as_json(args.what, figures, active)),
        Format::Csv => {
            let figures = figures.map(read::<Analytics>).transpose()?;
            let active = active.map(read::<SessionList>).transpose()?;
            output::emit(&as_csv(args.what, figures.as_ref(), active.as_ref())?)
        }
        Format::Table => {
            let figures = figures.map(read::<Analytics>).transpose()?;
            let active = active.map(read::<SessionList>).transpose()?;
            output::emit(&as_text(args, context, figures.as_ref(), active.as_ref()))
        }
    }
}

/// How far back the range reaches.
fn span_of(range: &str) -> Result<Duration> {
    let wrong = |why: &str| Fault::user(format!("--range: '{}' {why}", range.escape_debug()));
    match parse_span(range) {
        Some(span) if span > DAY.saturating_mul(MAX_DAYS) => {
            Err(wrong(&format!("is longer than {MAX_DAYS} days")).hint("give a shorter one"))
        }
        Some(span) if !span.is_zero() => Ok(span),
        _ => Err(wrong("is no time span").hint("write 24h, 7d or 4w")),
    }
}

fn whole_days(span: Duration) -> Option<u64> {
    let seconds = span.as_secs();
    seconds.is_multiple_of(DAY.as_secs()).then_some(seconds / DAY.as_secs())
}

/// A span in the largest unit that it is a whole number of.
fn span_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units =
        [(86_400, "day", "days"), (3_600, "hour", "hours"), (60, "minute", "minutes"), (1, "second", "seconds")];
    let fitting = units.into_iter().find(|(length, ..)| seconds.is_multiple_of(*length));
    fitting.map_or_else(String::new, |(length, one, many)| counted(seconds / length, one, many))
}

/// The zone by a name that the server understands as this process does.
fn zone_of(name: &str, context: &Context) -> Result<String> {
    Zone::parse(name).map_err(|fault| options::of("--timezone", fault))?;
    Ok(if name.trim() == "local" {
        Zone::local_name(context.surroundings.vars.get("TZ").map(String::as_str))
    } else {
        name.to_owned()
    })
}

fn active_of(args: &AnalyticsArgs) -> ListSessions {
    let mut question = ListSessions::all(MAX_ACTIVE, 0);
    question.status = Some(SessionStatus::Active);
    question.component.clone_from(&args.component);
    question.project.clone_from(&args.project);
    question
}

fn as_json(what: What, figures: Option<Value>, active: Option<Value>) -> Value {
    let active = active.and_then(|mut list| list.get_mut("sessions").map(Value::take)).unwrap_or(Value::Null);
    let Some(mut figures) = figures else { return active };
    let mut part = |name: &str| figures.get_mut(name).map_or(Value::Array(Vec::new()), Value::take);
    match what {
        What::Duration => part("durations"),
        What::Components => part("by_component"),
        What::Hours => part("by_hour"),
        What::Errors => part("errors"),
        What::Report => {
            figures["active"] = active;
            figures
        }
        What::Sessions | What::Active => figures,
    }
}

const TOTALS: [&str; 8] = ["sessions", "active", "ended", "failed", "stale", "commands", "events", "errors"];

fn numbers(totals: &Totals) -> [u64; 8] {
    let Totals { sessions, active, ended, failed, stale, commands, events, errors } = *totals;
    [sessions, active, ended, failed, stale, commands, events, errors]
}

fn as_csv(what: What, figures: Option<&Analytics>, active: Option<&SessionList>) -> Result<String> {
    let row = |name: &str, totals: &Totals| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(numbers(totals).map(|number| number.to_string())).collect()
    };
    let header = |first: &'static str| -> Vec<&str> { std::iter::once(first).chain(TOTALS).collect() };
    Ok(match (what, figures, active) {
        (What::Report, ..) => {
            return Err(Fault::user("a report has several tables, which CSV has no room for")
                .hint("ask for one: analytics sessions, hours, duration, components, errors or active"));
        }
        (What::Active, _, Some(list)) => {
            let rows: Vec<Vec<String>> = list
                .sessions
                .iter()
                .map(|one| {
                    let project = one.project.clone().unwrap_or_default();
                    vec![
                        one.session_id.clone(),
                        one.component.clone(),
                        project,
                        one.start_time.to_string(),
                        one.command_count.to_string(),
                    ]
                })
                .collect();
            output::csv(&["session_id", "component", "project", "start_time", "command_count"], &rows)
        }
        (What::Components, Some(figures), _) => {
            let rows: Vec<_> = figures.by_component.iter().map(|one| row(&one.component, &one.totals)).collect();
            output::csv(&header("component"), &rows)
        }
        (What::Errors, Some(figures), _) => {
            let rows: Vec<Vec<String>> = figures
                .errors
                .iter()
                .map(|one| {
                    let error = one.error.clone().unwrap_or_default();
                    vec![
                        one.what.clone(),
                        one.count.to_string(),
                        one.sessions.to_string(),
                        one.last.to_string(),
                        error,
                        one.event_id.clone(),
                    ]
                })
                .collect();
            output::csv(&["what", "count", "sessions", "last", "error", "event_id"], &rows)
        }
        (What::Hours, Some(figures), _) => {
            let rows: Vec<Vec<String>> =
                hours(figures).into_iter().map(|bar| vec![bar.label, bar.value.to_string()]).collect();
            output::csv(&["hour", "sessions"], &rows)
        }
        (What::Duration, Some(figures), _) => {
            let rows: Vec<Vec<String>> =
                buckets(figures).into_iter().map(|bar| vec![bar.label, bar.value.to_string()]).collect();
            output::csv(&["duration", "sessions"], &rows)
        }
        (_, Some(figures), _) => {
            let rows: Vec<_> = figures.by_day.iter().map(|one| row(&one.day, &one.totals)).collect();
            output::csv(&header("day"), &rows)
        }
        (_, None, _) => String::new(),
    })
}

fn as_text(
    args: &AnalyticsArgs,
    context: &Context,
    figures: Option<&Analytics>,
    active: Option<&SessionList>,
) -> String {
    let screen = context.screen();
    let wants = |what| args.what == What::Report || args.what == what;
    let mut parts: Vec<String> = Vec::new();
    if let Some(figures) = figures {
        if wants(What::Sessions) {
            parts.push(sessions_text(figures, &args.range, screen));
        }
        if wants(What::Hours) {
            parts.push(hours_text(figures, screen));
        }
        if wants(What::Duration) {
            parts.push(duration_text(figures, screen));
        }
        if wants(What::Components) {
            parts.push(components_text(figures, screen));
        }
        if wants(What::Errors) {
            parts.push(errors_text(figures, screen));
        }
        if figures.totals.sessions == 0 && args.what != What::Report {
            note(&format!("No sessions in the last {}. --range allows more.", args.range));
        }
    }
    if let Some(list) = active {
        parts.push(active_text(&list.sessions, context));
    }
    parts.join("\n")
}

fn sessions_text(figures: &Analytics, range: &str, screen: output::Screen) -> String {
    let last = parse_span(range).map(span_words).unwrap_or_default();
    let mut text = format!("Sessions, last {last} ({})\n\n", zone_text(figures));
    let totals = &figures.totals;
    text.push_str(&format!(
        "  {}: {} active, {} ended, {} failed, {} stale\n",
        counted(totals.sessions, "session", "sessions"),
        totals.active,
        totals.ended,
        totals.failed,
        totals.stale
    ));
    text.push_str(&format!(
        "  {:.1} % of the finished ones failed; {} active now\n  {}, {}, {}\n\n",
        figures.failure_rate * 100.0,
        counted(figures.active_now, "session is", "sessions are"),
        counted(totals.commands, "command", "commands"),
        counted(totals.errors, "error", "errors"),
        counted(totals.events, "event", "events")
    ));
    text.push_str(&bars(&by_time(&figures.by_day), screen.width, screen.colour));
    text
}

/// The zone for people; a server of an older version does not say it and counts in UTC.
fn zone_text(figures: &Analytics) -> &str {
    if figures.timezone.is_empty() { "UTC" } else { &figures.timezone }
}

fn hours(figures: &Analytics) -> Vec<Bar> {
    let named = figures.by_hour.iter().enumerate();
    named.map(|(hour, count)| Bar { label: format!("{hour:02}:00"), value: *count, bad: 0 }).collect()
}

fn hours_text(figures: &Analytics, screen: output::Screen) -> String {
    let text = format!("Hours of the day at which sessions started ({})\n\n", zone_text(figures));
    text + &bars(&hours(figures), screen.width, screen.colour)
}

/// A bar a day, or a week when there are very many.
fn by_time(days: &[DayFigures]) -> Vec<Bar> {
    let run = if days.len() > MAX_BARS { 7 } else { 1 };
    days.chunks(run)
        .map(|days| Bar {
            label: days.first().map(|day| day.day.clone()).unwrap_or_default(),
            value: days.iter().map(|day| day.totals.sessions).sum(),
            bad: days.iter().map(|day| day.totals.failed).sum(),
        })
        .collect()
}

/// Names of the buckets of [`session_store::model::DURATION_BOUNDS`].
const BUCKETS: [&str; 13] = [
    "<= 1s", "<= 5s", "<= 15s", "<= 1m", "<= 5m", "<= 15m", "<= 30m", "<= 1h", "<= 2h", "<= 4h", "<= 8h", "<= 1d",
    "> 1d",
];

fn buckets(figures: &Analytics) -> Vec<Bar> {
    let named = BUCKETS.iter().zip(&figures.durations.buckets);
    named.map(|(label, value)| Bar { label: (*label).to_owned(), value: *value, bad: 0 }).collect()
}

fn span(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    clock_time(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn duration_text(figures: &Analytics, screen: output::Screen) -> String {
    let durations = &figures.durations;
    let mut text = format!("Durations of {}\n\n", counted(durations.count, "finished session", "finished sessions"));
    if durations.count > 0 {
        text.push_str(&format!(
            "  average {}, median {}, 95 of 100 within {}, longest {}\n\n",
            span(durations.avg),
            span(durations.p50),
            span(durations.p95),
            span(durations.max)
        ));
        let bounds = buckets(figures);
        let first = bounds.iter().position(|bar| bar.value > 0).unwrap_or(0);
        let last = bounds.iter().rposition(|bar| bar.value > 0).unwrap_or(0);
        text.push_str(&bars(&bounds[first..=last], screen.width, screen.colour));
    }
    text
}

fn components_text(figures: &Analytics, screen: output::Screen) -> String {
    let rows = figures.by_component.iter().map(|one| {
        let share = one.totals.sessions as f64 / figures.totals.sessions.max(1) as f64;
        let number = |value: u64| Cell::new(value.to_string());
        let totals = &one.totals;
        let share = Cell::new(format!("{:.0} %", share * 100.0));
        vec![
            cell(&one.component),
            number(totals.sessions),
            share,
            number(totals.active),
            number(totals.failed),
            number(totals.commands),
            number(totals.errors),
        ]
    });
    let headers = ["Component", "Sessions", "Share", "Active", "Failed", "Commands", "Errors"];
    format!("Components\n\n{}", screen.table(&headers, rows.collect()))
}

fn errors_text(figures: &Analytics, screen: output::Screen) -> String {
    if figures.errors.is_empty() {
        return "Errors\n\n  none\n".to_owned();
    }
    let rows = figures.errors.iter().map(|one| {
        let error = one.error.as_deref().filter(|error| *error != one.what).unwrap_or_default();
        vec![
            Cell::new(one.count.to_string()),
            Cell::new(one.sessions.to_string()),
            Cell::new(one.last.local()),
            cell(&one.what),
            cell(error),
        ]
    });
    let bounded = if figures.errors_bounded { "  (the newest sessions only: there are very many)\n" } else { "" };
    let headers = ["Count", "Sessions", "Last", "What", "Error"];
    format!("Errors, most frequent first\n{bounded}\n{}", screen.table(&headers, rows.collect()))
}

fn active_text(sessions: &[SessionLine], context: &Context) -> String {
    if sessions.is_empty() {
        return "Active now\n\n  none\n".to_owned();
    }
    let rows = sessions.iter().map(|one| {
        vec![
            cell(&one.session_id),
            cell(&one.component),
            cell(one.project.as_deref().unwrap_or_default()),
            Cell::new(clock_time(context.now().since(one.start_time))),
            Cell::new(one.command_count.to_string()),
        ]
    });
    let headers = ["Session ID", "Component", "Project", "Since", "Commands"];
    format!("Active now\n\n{}", context.screen().table(&headers, rows.collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_range_is_taken_as_it_is_given_and_named_when_it_is_none() {
        let read = |range| span_of(range).map(|span| (span.as_secs(), whole_days(span), span_words(span))).unwrap();
        assert_eq!(read("30d"), (30 * 86_400, Some(30), "30 days".to_owned()));
        assert_eq!(read("48h"), (2 * 86_400, Some(2), "2 days".to_owned()));
        assert_eq!(read("1h"), (3_600, None, "1 hour".to_owned()));
        assert_eq!(read("90m"), (5_400, None, "90 minutes".to_owned()));
        for nonsense in ["", "0d", "-3d", "soon", "99999999999999999999d", "99999d", "3661d"] {
            let fault = span_of(nonsense).unwrap_err().to_string();
            assert!(fault.starts_with("--range: "), "{nonsense}: {fault}");
        }
    }

    #[test]
    fn very_many_days_are_shown_by_week() {
        let day =
            |at: usize| DayFigures { day: format!("day {at}"), totals: Totals { sessions: 1, ..Totals::default() } };
        let days: Vec<DayFigures> = (0..100).map(day).collect();
        let weeks = by_time(&days);
        assert_eq!((weeks.len(), weeks[0].value, weeks[14].value), (15, 7, 2));
        assert_eq!(by_time(&days[..30]).len(), 30);
    }

    #[test]
    fn a_part_is_given_alone_as_json() {
        let figures = json!({ "durations": { "count": 1 }, "errors": [1] });
        assert_eq!(as_json(What::Duration, Some(figures.clone()), None), json!({ "count": 1 }));
        assert_eq!(as_json(What::Errors, Some(figures.clone()), None), json!([1]));
        assert_eq!(as_json(What::Active, None, Some(json!({ "sessions": [2] }))), json!([2]));
        let report = as_json(What::Report, Some(figures), Some(json!({ "sessions": [2] })));
        assert_eq!(report["active"], json!([2]));
    }
}
