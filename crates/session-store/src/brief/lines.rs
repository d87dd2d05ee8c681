//! A brief's lines: their words, their weight, and which of them fit.

use std::collections::HashMap;

use oneiric::clock::{Timestamp, clock_time};
use oneiric::count::counted;
use oneiric::id::MAX_ID_BYTES;
use oneiric::repository::RepositoryIdentity;
use serde_json::Value;

use super::MAX_EVENTS;
use super::gather::{Command, End, Gathered};
use crate::links::Link;
use crate::model::{Session, SessionStatus};

/// Longest piece of somebody's text in a line, in characters.
pub(super) const MAX_CHARS: usize = 240;
/// Longest excerpt of what a command printed.
pub(super) const OUTPUT_CHARS: usize = 160;
/// Longest reason for which a session ended.
pub(super) const REASON_CHARS: usize = 80;
/// Longest word that says how something went.
pub(super) const WORD_CHARS: usize = 40;
/// Commands that weigh more than the rest, errors and messages likewise.
const FIRST_COMMANDS: usize = 5;
const FIRST_ERRORS: usize = 5;
const FIRST_MESSAGES: usize = 3;

/// A line and how much it matters: 0 stays whenever it fits.
#[derive(Debug)]
pub(super) struct Line {
    section: &'static str,
    weight: u8,
    text: String,
}

/// Collects lines of one section after the other.
struct Page(Vec<Line>);

impl Page {
    fn add(&mut self, section: &'static str, weight: u8, text: &str, event_id: &str) {
        let text = format!("{text} [{event_id}]");
        self.0.push(Line { section, weight, text });
    }
}

const HEAD: &str = "";

/// All lines in their order.
pub(super) fn of(
    session: &Session,
    found: &Gathered,
    now: Option<&RepositoryIdentity>,
    linked: &[(Link, Option<Session>)],
) -> Vec<Line> {
    let mut page = Page(Vec::new());
    // A session whose start has not arrived, or whose start is too far back, stands on its latest event.
    let ground = found.start.as_ref().or(found.latest.as_ref()).cloned().unwrap_or_else(|| session.session_id.clone());
    head(&mut page, session, found, now, &ground);
    if let Some(note) = &found.note {
        page.add("Checkpoint", 0, &format!("- {} {}", time(note.at), note.what), &note.event_id);
    }
    for todo in found.todos.iter().flat_map(|list| list.what.iter().map(move |item| (item, &list.event_id))) {
        page.add("To do", 1, &format!("- [ ] {}", todo.0), todo.1);
    }
    // Errors of no command are never known to be solved, so that older ones say less.
    let mut errors = 0;
    for failure in &found.failures {
        errors += usize::from(failure.command.is_empty());
        let weight = if failure.command.is_empty() && errors > FIRST_ERRORS { 3 } else { 1 };
        page.add("Not solved", weight, &format!("- {}", told(failure)), &failure.event_id);
    }
    for (index, message) in found.messages.iter().enumerate() {
        let weight = if index < FIRST_MESSAGES { 1 } else { 3 };
        let text = format!("- {} {}", time(message.at), message.what);
        page.add("Messages, newest first", weight, &text, &message.event_id);
    }
    for (index, command) in found.commands.iter().enumerate() {
        let weight = if index < FIRST_COMMANDS { 2 } else { 4 };
        page.add("Last commands, newest first", weight, &format!("- {}", told(command)), &command.event_id);
    }
    for test in &found.tests {
        let weight = if matches!(test.what.result.as_str(), "failed" | "error") { 1 } else { 3 };
        let mut text = format!("- {} {}", test.what.file, test.what.result);
        if let Some(coverage) = test.what.coverage.filter(|percent| (0.0..=100.0).contains(percent)) {
            text.push_str(&format!(", {coverage}% covered"));
        }
        if let Some(message) = &test.what.message {
            text.push_str(&format!(": {message}"));
        }
        page.add("Tests, latest result of each", weight, &text, &test.event_id);
    }
    for file in found.files.iter().flat_map(|list| list.what.iter().map(move |item| (item, &list.event_id))) {
        page.add("Open files", 2, &format!("- {}", file.0), file.1);
    }
    for (link, other) in linked {
        let mut text = format!("- {} {}", link.relation, short(&link.session_id, MAX_ID_BYTES));
        if let Some(other) = other {
            let project = other.project.as_deref().unwrap_or(&other.component);
            text.push_str(&format!(" ({}, {}, {})", short(project, 60), other.status, day(other.start_time)));
        }
        page.add("Linked sessions", 2, &text, &link.event_id);
    }
    page.0
}

fn head(page: &mut Page, session: &Session, found: &Gathered, now: Option<&RepositoryIdentity>, ground: &str) {
    let project = session.project.as_ref().map(|name| format!(" of project {}", short(name, 80))).unwrap_or_default();
    let title = format!("# {} {}{project}, {}", session.component, session.session_type, session.status);
    page.add(HEAD, 0, &title, ground);
    if let Some(note) = session.metadata.get("note").and_then(Value::as_str).filter(|note| !note.trim().is_empty()) {
        page.add(HEAD, 0, &format!("Purpose: {}", short(note, MAX_CHARS)), ground);
    }
    let mut counts = format!(
        "{} to {}: {}, {}, {}",
        time(session.start_time),
        session.end_time.map_or_else(|| "now".to_owned(), time),
        counted(session.command_count, "command", "commands"),
        counted(session.error_count, "error", "errors"),
        counted(session.event_count, "event", "events"),
    );
    if session.event_count > MAX_EVENTS as u64 {
        counts.push_str(&format!(", of which the newest {MAX_EVENTS} are told of"));
    }
    page.add(HEAD, 0, &counts, ground);
    if let Some(end) = &found.end {
        let text = ended(&end.what, session.status == SessionStatus::Failed);
        page.add(HEAD, 1, &text, &end.event_id);
    }
    if let Some(cwd) = session.cwd.as_ref().filter(|cwd| !cwd.is_empty()) {
        page.add(HEAD, 2, &format!("Directory: {}", short(cwd, MAX_CHARS)), ground);
    }
    let at_start = RepositoryIdentity {
        common_dir: String::new(),
        worktree: session.worktree.clone().unwrap_or_default(),
        branch: session.branch.clone(),
        commit: session.commit.clone(),
        dirty: session.dirty,
    };
    let then = match &found.git {
        Some(git) => Some((&git.what, time(git.at), git.event_id.as_str())),
        None => session.worktree.is_some().then(|| (&at_start, time(session.start_time), ground)),
    };
    if let Some((git, when, event_id)) = then {
        page.add(HEAD, 0, &format!("Git {when}: {}", state(git)), event_id);
        // Another working tree of the repository is in another state, whatever happened.
        let now = now.filter(|now| git.worktree.is_empty() || now.worktree == git.worktree);
        if let Some(now) = now {
            let same = (&now.branch, &now.commit, now.dirty) == (&git.branch, &git.commit, git.dirty);
            let text = if same { "Git now: the same".to_owned() } else { format!("Git now: {}", state(now)) };
            page.add(HEAD, 0, &text, event_id);
        }
    }
}

/// Why it ended: in somebody's words, where there are any.
fn ended(end: &End, failed: bool) -> String {
    match (&end.note, &end.reason) {
        (Some(note), Some(reason)) if !failed => format!("It ended ({reason}): {note}"),
        (note, reason) => {
            let said = note.as_ref().or(reason.as_ref()).map_or("", String::as_str);
            format!("{}: {said}", if failed { "It failed" } else { "It ended" })
        }
    }
}

fn state(git: &RepositoryIdentity) -> String {
    let branch =
        git.branch.as_deref().map_or_else(|| "no branch".to_owned(), |name| format!("branch {}", short(name, 80)));
    let commit = git.commit.as_deref().map_or("no commit", |hash| &hash[..hash.floor_char_boundary(12)]);
    let dirty = match git.dirty {
        Some(true) => ", uncommitted changes",
        Some(false) => ", clean",
        None => "",
    };
    format!("{branch} at {}{dirty}", short(commit, WORD_CHARS))
}

/// A command and how it went.
fn told(command: &Command) -> String {
    let mut text = time(command.at);
    if !command.command.is_empty() {
        text.push_str(&format!(" `{}`", command.command));
    }
    match (command.outcome.as_str(), command.exit_code) {
        ("completed", _) => {}
        ("failed", Some(code)) => text.push_str(&format!(" failed with {code}")),
        ("unknown", _) => text.push_str(" was running when its shell died"),
        (outcome, _) => text.push_str(&format!(" {outcome}")),
    }
    if let Some(millis) = command.duration_ms.filter(|millis| *millis >= 1_000.0 && *millis < 1e12) {
        text.push_str(&format!(" after {}", clock_time(std::time::Duration::from_millis(millis as u64))));
    }
    match command.detail.as_ref().filter(|detail| !detail.is_empty()) {
        Some(detail) => format!("{text}: {detail}"),
        None => text,
    }
}

fn time(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {}Z", &text[..10], &text[11..19])
}

fn day(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

/// One line of at most `most` characters, without control characters.
pub(super) fn short(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let space = usize::from(!line.is_empty());
        let length = word.chars().count();
        if count + space + length > most {
            let rest = most.saturating_sub(count + space);
            if space == 1 && rest > 8 {
                line.push(' ');
            }
            if rest > 8 || line.is_empty() {
                line.extend(word.chars().take(rest));
            }
            line.push('…');
            break;
        }
        if space == 1 {
            line.push(' ');
        }
        line.push_str(word);
        count += space + length;
    }
    line
}

/// The text of the lines that fit into `bytes`, by weight, and how many did not. Of one weight, the first line of each section
/// goes before the second of any: a thousand of one kind do not keep out the others.
pub(super) fn fit(lines: Vec<Line>, bytes: usize) -> (String, usize) {
    let mut counts: HashMap<(&str, u8), usize> = HashMap::new();
    let mut order = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let count = counts.entry((line.section, line.weight)).or_default();
        order.push((line.weight, *count, index));
        *count += 1;
    }
    order.sort_unstable();
    let mut kept = vec![false; lines.len()];
    let mut opened: Vec<&str> = vec![HEAD];
    let mut used = 0;
    for (_, _, index) in order {
        let line = &lines[index];
        let heading = if opened.contains(&line.section) { 0 } else { heading(line.section).len() };
        let cost = line.text.len() + 1 + heading;
        if used + cost <= bytes {
            used += cost;
            kept[index] = true;
            if heading > 0 {
                opened.push(line.section);
            }
        }
    }
    let mut text = String::with_capacity(used);
    let mut section = HEAD;
    for line in lines.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(line, _)| line) {
        if line.section != section {
            section = line.section;
            text.push_str(&heading(section));
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    (text, kept.iter().filter(|kept| !**kept).count())
}

fn heading(section: &str) -> String {
    format!("\n## {section}\n")
}
