//! `add-message`, `store-test-result`, `checkpoint`.

use std::io::Read;
use std::process::ExitCode;

use clap::Args;
use oneiric::fault::{Fault, Result};
use session_store::remember::{MAX_TEXT_BYTES, Recorded, TestOutcome};

use super::ask::{Context, read};
use super::output::{self, note};
use crate::mcp::remember::{AddMessage, CheckpointMade, MakeCheckpoint, StoreTestResult, TestStored};

/// Arguments of `add-message`.
#[derive(Debug, Args)]
pub(super) struct MessageArgs {
    /// Session by its id or a beginning of it; or a project's name: its newest active session, or a new one
    #[arg(long, value_name = "SESSION")]
    session: String,
    /// Who says it, such as user or assistant
    #[arg(long)]
    role: Option<String>,
    /// The message; - reads it from standard input
    #[arg(required = true, value_name = "TEXT")]
    text: Vec<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `add-message`.
pub(super) fn message(args: &MessageArgs, context: &Context) -> Result<ExitCode> {
    let question = AddMessage {
        session_id: args.session.clone(),
        text: text_of(&args.text)?,
        role: args.role.clone(),
        cwd: Some(context.surroundings.cwd.to_string_lossy().into_owned()),
    };
    let answer = context.ask(question)?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: Recorded = read(answer)?;
    if done.opened {
        note(&format!("Opened a manual session for '{}'.", output::plain(&args.session)));
    }
    output::emit(&format!("Stored in session {} as event {}\n", done.session_id, done.event_id))
}

fn text_of(words: &[String]) -> Result<String> {
    if !matches!(words, [only] if only == "-") {
        return Ok(words.join(" "));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(|error| {
        Fault::unavailable(format!("cannot read standard input: {}", oneiric::paths::plain(&error)))
    })?;
    if bytes.len() > MAX_TEXT_BYTES {
        // Before its letters are looked at: what is read ends wherever that is, which may be inside of one.
        return Err(Fault::user(format!("the message has more than {MAX_TEXT_BYTES} bytes")).hint("store it in parts"));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::user("the message is not UTF-8"))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Arguments of `store-test-result`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Session by its id or a beginning of it
    #[arg(long, value_name = "ID")]
    session: String,
    /// passed, failed, skipped or error
    #[arg(long, value_parser = outcome)]
    result: TestOutcome,
    /// Percent of lines that ran
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    coverage: Option<f64>,
    /// How long it took
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    duration_ms: Option<f64>,
    /// What the test said
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// What was tested
    test_file: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

fn outcome(name: &str) -> std::result::Result<TestOutcome, String> {
    match name {
        "passed" => Ok(TestOutcome::Passed),
        "failed" => Ok(TestOutcome::Failed),
        "skipped" => Ok(TestOutcome::Skipped),
        "error" => Ok(TestOutcome::Error),
        _ => Err("must be passed, failed, skipped or error".into()),
    }
}

/// Runs `store-test-result`.
pub(super) fn test_result(args: &TestArgs, context: &Context) -> Result<ExitCode> {
    let answer = context.ask(StoreTestResult {
        session_id: args.session.clone(),
        test_file: args.test_file.clone(),
        result: args.result,
        coverage: args.coverage,
        duration_ms: args.duration_ms,
        message: args.message.clone(),
    })?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: TestStored = read(answer)?;
    output::emit(&format!("Stored in session {} as event {}\n", done.session_id, done.event_id))
}

/// Arguments of `checkpoint`.
#[derive(Debug, Args)]
pub(super) struct CheckpointArgs {
    /// Session by its id or a beginning of it; by default the active one of this directory's repository
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// What to know when going on
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Something left to do; may be repeated
    #[arg(long = "todo", value_name = "TEXT")]
    todos: Vec<String>,
    /// A file that is worked on; may be repeated
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `checkpoint`.
pub(super) fn checkpoint(args: &CheckpointArgs, context: &Context) -> Result<ExitCode> {
    let given = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
    let answer = context.ask(MakeCheckpoint {
        session_id: args.session.clone(),
        note: args.note.clone(),
        todos: given(&args.todos),
        files: given(&args.files),
        cwd: Some(context.surroundings.cwd.to_string_lossy().into_owned()),
    })?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: CheckpointMade = read(answer)?;
    if done.opened {
        note("Opened a manual session for this repository.");
    }
    let mut text = format!("Checkpoint in session {} as event {}\n", done.session_id, done.event_id);
    if let Some(git) = done.git {
        let branch = git.branch.unwrap_or_else(|| "(no branch)".into());
        let commit = git.commit.map_or_else(|| "no commit".into(), |hash| hash.chars().take(12).collect::<String>());
        let dirty = if git.dirty == Some(true) { ", uncommitted changes" } else { "" };
        text.push_str(&format!("Git: {} at {commit}{dirty}\n", output::plain(&branch)));
    }
    output::emit(&text)
}
