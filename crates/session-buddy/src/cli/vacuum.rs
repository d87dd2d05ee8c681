//! `vacuum`.

use std::process::ExitCode;

use clap::Args;
use oneiric::fault::{Fault, Result};
use session_store::sqlite::compact::compact;

use super::ask::Context;
use super::backup::{bytes, database};
use super::output::{self, Format, note};
use super::progress::Progress;

/// Arguments of `vacuum`.
#[derive(Debug, Args)]
pub(super) struct VacuumArgs {
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `vacuum`.
pub(super) fn run(args: &VacuumArgs, context: &Context) -> Result<ExitCode> {
    let database = database(context)?;
    if !database.exists() {
        return Err(Fault::not_found(format!("there is no database {}", database.display()))
            .hint("nothing was recorded yet, or database.path names another file"));
    }
    // Brings it to this version, and says clearly when it is damaged or something else.
    drop(context.own_desk()?);
    let gain = {
        let mut bar = Progress::new("Merging the index", "steps");
        compact(&database, &mut |done, all| bar.tell(done, all))?
    };
    if gain.bytes_after > gain.bytes_before {
        note("Note: others are at work, so the log could not become part of the file yet; it does so by itself.");
    }
    match args.format {
        Format::Json => output::emit_json(&gain),
        Format::Csv => {
            let row = vec![gain.bytes_before.to_string(), gain.bytes_after.to_string()];
            output::emit(&output::csv(&["bytes_before", "bytes_after"], &[row]))
        }
        Format::Table => output::emit(&format!(
            "Compacted {}: {} before ({} bytes), {} after ({} bytes)\n",
            database.display(),
            bytes(gain.bytes_before),
            gain.bytes_before,
            bytes(gain.bytes_after),
            gain.bytes_after
        )),
    }
}
