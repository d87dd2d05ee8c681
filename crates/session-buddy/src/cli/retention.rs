//! `retention preview|apply`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use oneiric::count::counted;
use oneiric::fault::Result;
use session_store::retention::{self, RuleEffect};
use session_store::upkeep::Amount;

use super::ask::Context;
use super::output::{self, Format, cell, note};
use super::progress::Progress;
use crate::mcp::keeping::{self, Effects, Keeping, Nothing};
use crate::server::launch;

/// Rules by which old sessions and events are deleted
#[derive(Debug, Subcommand)]
pub(super) enum RetentionCommand {
    /// Show what each rule of retention.* would delete now, and change nothing
    Preview(RetentionArgs),
    /// Delete what the rules of retention.* mean
    Apply(RetentionArgs),
}

/// Arguments of both.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `retention …`.
pub(super) fn run(command: &RetentionCommand, context: &Context) -> Result<ExitCode> {
    match command {
        RetentionCommand::Preview(args) => {
            let effects = effects(context)?;
            match args.format {
                Format::Json => output::emit_json(&effects),
                Format::Csv => {
                    let rows: Vec<Vec<String>> = effects
                        .iter()
                        .map(|one| vec![one.rule.clone(), one.sessions.to_string(), one.events.to_string()])
                        .collect();
                    output::emit(&output::csv(&["rule", "sessions", "events"], &rows))
                }
                Format::Table => {
                    let rows =
                        effects.iter().map(|one| vec![cell(&one.rule), Cell::new(one.sessions), Cell::new(one.events)]);
                    note("Nothing is deleted by this; 'session-buddy retention apply' deletes it.");
                    output::emit(&context.screen().table(&["Rule", "Sessions", "Events"], rows.collect()))
                }
            }
        }
        RetentionCommand::Apply(args) => {
            let amount = apply(context)?;
            match args.format {
                Format::Json => output::emit_json(&amount),
                Format::Csv => output::emit(&output::csv(
                    &["sessions", "events"],
                    &[vec![amount.sessions.to_string(), amount.events.to_string()]],
                )),
                Format::Table => {
                    let sessions = counted(amount.sessions, "session", "sessions");
                    output::emit(&format!("Deleted {sessions} and {}\n", counted(amount.events, "event", "events")))
                }
            }
        }
    }
}

fn keeping(context: &Context) -> Result<Keeping> {
    Ok(Keeping::new(&context.settings, &launch::archive(&context.settings)?))
}

fn effects(context: &Context) -> Result<Vec<RuleEffect>> {
    if let Some(effects) = effects_in_memory(context)? {
        return Ok(effects);
    }
    let rules = keeping(context)?.rules()?;
    context.own_desk()?.store()?.retention_preview(&rules, context.now())
}

/// Those of a server that has its sessions in its memory: it goes by the rules that it was started with.
fn effects_in_memory(context: &Context) -> Result<Option<Vec<RuleEffect>>> {
    match context.ask_memory("retention_preview", &Nothing {})? {
        Some(Effects { rules }) if rules.is_empty() => Err(keeping::no_rule()),
        Some(Effects { rules }) => Ok(Some(rules)),
        None => Ok(None),
    }
}

fn apply(context: &Context) -> Result<Amount> {
    if effects_in_memory(context)?.is_some()
        && let Some(amount) = context.ask_memory("retention_apply", &Nothing {})?
    {
        return Ok(amount);
    }
    let rules = keeping(context)?.rules()?;
    let store = context.own_desk()?.store()?;
    let mut bar = Progress::new("Deleting", "events");
    retention::apply(store.as_ref(), &rules, context.now(), &mut |done, all| bar.tell(done, all))
}
