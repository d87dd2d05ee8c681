//! `search`.

use std::process::ExitCode;

use clap::Args;
use oneiric::fault::Result;
use oneiric::moment;
use session_store::{Candidates, SearchAnswer, SearchHit};

use super::ask::{Context, read};
use super::options::{self, count, rows};
use super::output::{self, Format, Screen, note, plain};
use crate::mcp::search::{By, Filters, MAX_HITS, Search, SearchType};

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Words to find; also "phrases", prefix* and, within quotes or after --, -exclusions
    #[arg(required = true)]
    query: Vec<String>,
    /// How to search; by words and by meaning where a model is there
    #[arg(long, value_enum)]
    search_type: Option<SearchType>,
    /// What a hit is: an event, or a session shown by its best event
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Only this component
    #[arg(long)]
    component: Option<String>,
    /// Only events of this type, such as command
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// Happened at or after: 24h, 7d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Happened before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Archived sessions too
    #[arg(long)]
    archived: bool,
    /// Hits at most
    #[arg(long, default_value_t = 20, allow_negative_numbers = true, value_parser = count::<MAX_HITS>)]
    limit: usize,
    /// The next page: what the page before says, with the same question
    #[arg(long)]
    cursor: Option<String>,
    /// Cut the answer to about this size, at four bytes a token
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = rows)]
    max_tokens: Option<usize>,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `search`.
pub(super) fn run(args: &SearchArgs, context: &Context) -> Result<ExitCode> {
    let now = context.now();
    let (since, until) = options::times(args.since.as_deref(), args.until.as_deref(), now)?;
    // A cursor holds the times of its question; `24h` means another one by now.
    let as_then = |text: &Option<String>| args.cursor.is_some() && text.as_deref().is_some_and(is_span);
    let (since, until) = (since.filter(|_| !as_then(&args.since)), until.filter(|_| !as_then(&args.until)));
    let question = Search {
        query: args.query.join(" "),
        search_type: args.search_type,
        by: args.by,
        limit: args.limit,
        filters: Filters {
            project: args.project.clone(),
            component: args.component.clone(),
            session_type: None,
            event_type: args.event_type.clone(),
            session_id: args.session_id.clone(),
            since,
            until,
            archived: args.archived,
        },
        max_tokens: args.max_tokens,
        cursor: args.cursor.clone(),
    };
    let answer = context.ask(question)?;
    if args.format == Format::Json {
        return output::emit_json(&answer);
    }
    let answer: SearchAnswer = read(answer)?;
    if let Some(said) = &answer.note {
        note(&format!("Note: {said}"));
    }
    if matches!(answer.candidates, Candidates::Newest { .. }) {
        note("Add words or filters to have all of them ranked.");
    }
    if args.format != Format::Csv && answer.hits.is_empty() && args.cursor.is_some() {
        note("No further hits.");
        return Ok(ExitCode::SUCCESS);
    }
    if args.format != Format::Csv && answer.hits.is_empty() {
        note("Nothing found. Try fewer words, a prefix such as deploy*, or no filters.");
        return Ok(ExitCode::SUCCESS);
    }
    let shown = match args.format {
        Format::Csv => output::emit(&as_csv(&answer.hits))?,
        _ => output::emit(&as_text(&answer.hits, context.screen()))?,
    };
    // Another program reads it in JSON.
    if let Some(cursor) = answer.next_cursor.as_ref().filter(|_| context.screen().wrap) {
        note(&format!("More hits: the same with --cursor {cursor}"));
    }
    Ok(shown)
}

fn is_span(text: &str) -> bool {
    moment::parse_span(text).is_some()
}

fn as_text(hits: &[SearchHit], screen: Screen) -> String {
    let mut text = String::new();
    for hit in hits {
        let project = hit.project.as_deref().map(|project| format!("  {}", plain(project))).unwrap_or_default();
        text.push_str(&format!(
            "{}  {}  {}  {}{project}\n",
            hit.timestamp.local(),
            plain(&hit.session_id),
            plain(&hit.component),
            plain(&hit.event_type)
        ));
        text.push_str(&format!("  {}\n", excerpt(hit, screen.colour)));
    }
    screen.lines(text)
}

/// The excerpt in a line, with the matches in bold where that can be shown.
fn excerpt(hit: &SearchHit, bold: bool) -> String {
    let mut text = String::new();
    for (index, character) in hit.excerpt.chars().enumerate() {
        if bold && hit.matches.iter().any(|[start, _]| *start == index) {
            text.push_str("\u{1b}[1m");
        }
        text.push(if character.is_control() { ' ' } else { character });
        if bold && hit.matches.iter().any(|[_, end]| *end == index + 1) {
            text.push_str("\u{1b}[0m");
        }
    }
    text
}

fn as_csv(hits: &[SearchHit]) -> String {
    let headers = ["session_id", "event_id", "event_type", "timestamp", "component", "project", "score", "excerpt"];
    let rows: Vec<Vec<String>> = hits
        .iter()
        .map(|hit| {
            vec![
                hit.session_id.clone(),
                hit.event_id.clone(),
                hit.event_type.clone(),
                hit.timestamp.to_string(),
                hit.component.clone(),
                hit.project.clone().unwrap_or_default(),
                format!("{:.4}", hit.score),
                hit.excerpt.clone(),
            ]
        })
        .collect();
    output::csv(&headers, &rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use oneiric::clock::Timestamp;

    use super::*;

    #[test]
    fn options_after_the_words_are_options_and_exclusions_stand_in_quotes_or_after_a_double_dash() {
        use clap::Parser;

        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: SearchArgs,
        }
        let parse = |words: &[&str]| Line::try_parse_from([&["search"], words].concat()).unwrap().args;
        let args = parse(&["workflow orchestration", "--search-type", "text", "--format", "json"]);
        assert_eq!((args.query, args.format), (vec!["workflow orchestration".to_owned()], Format::Json));
        assert_eq!(parse(&["deploy -staging"]).query, ["deploy -staging"]);
        assert_eq!(parse(&["deploy", "--", "-staging"]).query, ["deploy", "-staging"]);
    }

    #[test]
    fn matches_are_bold_where_colours_are_welcome_and_nowhere_else() {
        let hit = SearchHit {
            session_id: "s".into(),
            event_id: "e".into(),
            event_type: "command".into(),
            timestamp: Timestamp::from_micros(0),
            component: "c".into(),
            project: None,
            excerpt: "größe ändern".into(),
            matches: vec![[6, 12]],
            score: 1.0,
            complete: true,
        };
        assert_eq!(excerpt(&hit, false), "größe ändern");
        assert_eq!(excerpt(&hit, true), "größe \u{1b}[1mändern\u{1b}[0m");
    }
}
