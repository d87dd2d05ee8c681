//! `backup create|list|verify|restore|prune`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use oneiric::clock::SystemClock;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use session_store::backup::{Backups, Entry};
use session_store::sqlite::snapshot::Content;

use super::ask::Context;
use super::output::{self, Format, cell, note};
use super::progress::Progress;
use super::turn;
use crate::server::archive::Archive;
use crate::server::launch;

/// What mends a database that is not sound.
const MENDS: &str = "session-buddy doctor --fix mends what can be mended";
/// What mends a backup that can be restored and is not sound.
const AFTER_RESTORE: &str = "after a restore, session-buddy doctor --fix mends what can be mended";
const DAY: u64 = 86_400;

/// Backups of the database
#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Make a checked, compressed copy of the database, while others write to it
    Create(CreateArgs),
    /// List backups, newest first
    List(ListArgs),
    /// Check that backups are whole
    Verify(VerifyArgs),
    /// Put a backup in the place of the database, which is kept as a safety copy
    Restore(RestoreArgs),
    /// Delete old backups; the newest that can be restored is always kept
    Prune(PruneArgs),
}

/// Arguments of `backup create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Delete old backups afterwards, as 'backup prune' does
    #[arg(long)]
    prune: bool,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Arguments of `backup list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Arguments of `backup verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A path, a name as 'backup list' shows it, or latest
    #[arg(value_name = "FILE", default_value = "latest", conflicts_with = "all")]
    file: String,
    /// All backups of this home
    #[arg(long)]
    all: bool,
}

/// Arguments of `backup restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// A path to a .db or .db.gz file, a name as 'backup list' shows it, or latest
    #[arg(value_name = "FILE")]
    file: String,
}

/// Arguments of `backup prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Keep backups that are not older than this many days; by default backup.keep_days
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    days: Option<u32>,
    /// Say what would be deleted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `backup …`.
pub(super) fn run(command: &BackupCommand, context: &Context) -> Result<ExitCode> {
    let backups = Backups::in_folder(folder(context.settings.home().root()));
    match command {
        BackupCommand::Create(args) => create(args, &backups, context),
        BackupCommand::List(args) => show(&backups.list()?, args.format, context),
        BackupCommand::Verify(args) => verify(args, &backups, context),
        BackupCommand::Restore(args) => restore(args, &backups, context),
        BackupCommand::Prune(args) => {
            let days = args.days.unwrap_or_else(|| keep_days(context));
            let gone = prune(&backups, days, args.dry_run, context)?;
            if args.format != Format::Table {
                return show(&gone, args.format, context);
            }
            let verb = if args.dry_run { "Would delete" } else { "Deleted" };
            let mut text = format!("{verb} {} older than {}\n", backups_of(gone.len()), counted(days, "day", "days"));
            gone.iter().for_each(|entry| text.push_str(&format!("  {}\n", output::plain(&entry.name))));
            output::emit(&text)
        }
    }
}

/// The database file of these settings.
///
/// # Errors
/// When the sessions are elsewhere.
pub(super) fn database(context: &Context) -> Result<PathBuf> {
    if let Some(info) = context.server().filter(|info| info.database == "memory") {
        return Err(Fault::conflict(format!(
            "the server (pid {}) keeps its sessions in its memory: there is no file",
            info.pid
        ))
        .hint("start it in standard mode to keep sessions on disk"));
    }
    match launch::archive(&context.settings)? {
        Archive::File { path, .. } => Ok(path),
        Archive::Memory => Err(Fault::config("sessions are kept in memory: there is no file")),
    }
}

fn keep_days(context: &Context) -> u32 {
    u32::try_from(context.settings.int("backup.keep_days")).unwrap_or(30)
}

fn prune(backups: &Backups, days: u32, dry_run: bool, context: &Context) -> Result<Vec<Entry>> {
    backups.prune(Duration::from_secs(u64::from(days) * DAY), context.now(), dry_run)
}

fn create(args: &CreateArgs, backups: &Backups, context: &Context) -> Result<ExitCode> {
    let database = database(context)?;
    let entry = {
        let mut bar = Progress::new("Copying", "pages");
        backups.create(&database, &SystemClock, &mut |done, all| bar.tell(done, all))?
    };
    warn(&entry.warnings, MENDS);
    if args.prune {
        let gone = prune(backups, keep_days(context), false, context)?;
        if !gone.is_empty() {
            note(&format!(
                "Deleted {} older than {}",
                backups_of(gone.len()),
                counted(keep_days(context), "day", "days")
            ));
        }
    }
    match args.format {
        Format::Table => {
            let facts = entry.label.as_ref().map_or_else(String::new, |label| {
                let sessions = counted(label.sessions, "session", "sessions");
                format!(" ({sessions}, {}, {})", counted(label.events, "event", "events"), bytes(entry.bytes))
            });
            note(&format!("In {}", backups.folder().display()));
            output::emit(&format!("Backup created: {}{facts}\n", entry.name))
        }
        format => show(&[entry], format, context),
    }
}

fn verify(args: &VerifyArgs, backups: &Backups, context: &Context) -> Result<ExitCode> {
    if !args.all {
        let file = backups.find(&args.file, &context.surroundings.cwd)?;
        let content = backups.verify(&file)?;
        warn(&content.remarks, AFTER_RESTORE);
        return output::emit(&format!("✓ {}: {}\n", file.display(), told(&content)));
    }
    let mut bad = 0;
    let mut text = String::new();
    for entry in backups.list()? {
        match backups.verify(&backups.folder().join(&entry.name)) {
            Ok(content) => {
                let remarks = content.remarks.iter().map(|remark| format!("; {remark}")).collect::<String>();
                text.push_str(&format!("✓ {}: {}{}\n", entry.name, told(&content), output::plain(&remarks)));
            }
            Err(fault) => {
                bad += 1;
                text.push_str(&format!("✗ {}: {}\n", entry.name, fault.message()));
            }
        }
    }
    if text.is_empty() {
        note("No backups found. Make one: session-buddy backup create");
    }
    output::emit(&text)?;
    match bad {
        0 => Ok(ExitCode::SUCCESS),
        _ => Err(Fault::unavailable(format!("{} cannot be restored", backups_of(bad))).hint("delete what is damaged")),
    }
}

fn restore(args: &RestoreArgs, backups: &Backups, context: &Context) -> Result<ExitCode> {
    let database = database(context)?;
    let file = backups.find(&args.file, &context.surroundings.cwd)?;
    if let Some(info) = context.server() {
        return Err(Fault::conflict(format!("Session-Buddy runs (pid {}), and nothing was restored", info.pid))
            .hint("stop it first: session-buddy mcp stop"));
    }
    let _turn = turn::alone(&database)?;
    let (content, kept) = backups.restore(&file, &database, &SystemClock, &mut || {
        note("Waiting for other programs that write to the database; this can take a minute.");
    })?;
    if let Some(kept) = kept {
        note(&format!("The replaced database is kept as {}", kept.display()));
    }
    warn(&content.remarks, MENDS);
    output::emit(&format!("Restored {} from {}\n", told(&content), file.display()))
}

/// Says what is wrong with a backup that can be restored all the same.
fn warn(remarks: &[String], then: &str) {
    for remark in remarks {
        note(&format!("Warning: {}; {then}", output::plain(remark)));
    }
}

fn told(content: &Content) -> String {
    let sessions = counted(content.sessions, "session", "sessions");
    format!("{sessions}, {}, schema {}", counted(content.events, "event", "events"), content.schema)
}

fn backups_of(count: usize) -> String {
    counted(count, "backup", "backups")
}

/// A size for people.
pub(super) fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        small if small < 1024.0 => format!("{small:.0} B"),
        kib if kib < 1024.0 * 1024.0 => format!("{:.1} KiB", kib / 1024.0),
        mib if mib < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", mib / (1024.0 * 1024.0)),
        gib => format!("{:.1} GiB", gib / (1024.0 * 1024.0 * 1024.0)),
    }
}

fn size(entry: &Entry) -> String {
    if entry.incomplete { format!("{}, incomplete", bytes(entry.bytes)) } else { bytes(entry.bytes) }
}

fn show(entries: &[Entry], format: Format, context: &Context) -> Result<ExitCode> {
    let number = |entry: &Entry, of: fn(&session_store::backup::Label) -> u64| {
        // Of what is not all there, nobody knows how much is.
        entry.label.as_ref().filter(|_| !entry.incomplete).map(|label| of(label).to_string())
    };
    match format {
        Format::Json => output::emit_json(&entries),
        Format::Csv => {
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    vec![
                        entry.name.clone(),
                        entry.written_at.to_string(),
                        entry.bytes.to_string(),
                        number(entry, |label| label.sessions).unwrap_or_default(),
                        number(entry, |label| label.events).unwrap_or_default(),
                        entry.label.as_ref().map(|label| label.sha256.clone()).unwrap_or_default(),
                    ]
                })
                .collect();
            output::emit(&output::csv(&["name", "written_at", "bytes", "sessions", "events", "sha256"], &rows))
        }
        Format::Table if entries.is_empty() => {
            note("No backups found. Make one: session-buddy backup create");
            Ok(ExitCode::SUCCESS)
        }
        Format::Table => {
            let unknown = || "?".to_owned();
            let rows = entries.iter().map(|entry| {
                vec![
                    cell(&entry.name),
                    Cell::new(entry.written_at.local()),
                    Cell::new(size(entry)),
                    Cell::new(number(entry, |label| label.sessions).unwrap_or_else(unknown)),
                    Cell::new(number(entry, |label| label.events).unwrap_or_else(unknown)),
                ]
            });
            output::emit(
                &context.screen().table_of_names(&["Name", "Written", "Size", "Sessions", "Events"], rows.collect()),
            )
        }
    }
}

/// Where backups of a home are.
#[must_use]
pub(super) fn folder(home: &Path) -> PathBuf {
    home.join("backups")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        assert_eq!([0, 1023, 1024, 5 << 20, 3 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB"]);
    }
}
