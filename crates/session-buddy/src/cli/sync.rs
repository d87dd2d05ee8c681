//! `sync-status` and `sync-now`: sending sessions on to Akosha, which this version cannot do and says so.

use std::process::ExitCode;

use clap::Args;
use oneiric::fault::{Fault, Result};
use serde_json::json;

use super::ask::Context;
use super::output;

/// Arguments of `sync-status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing is synced, and which setting says so.
fn reason(context: &Context) -> (bool, String) {
    let wanted = context.settings.bool("akosha.enabled");
    let source = context.settings.source("akosha.enabled");
    let why = if wanted {
        format!("akosha_enabled = true ({source}), but this version cannot send sessions to Akosha")
    } else {
        format!("akosha_enabled = false ({source})")
    };
    (wanted, why)
}

/// Runs `sync-status`: exit code 0, because being off is no fault.
pub(super) fn status(args: &StatusArgs, context: &Context) -> Result<ExitCode> {
    let (wanted, why) = reason(context);
    let (url, interval) = (context.settings.text("akosha.url"), context.settings.int("sync.interval"));
    if args.json {
        return output::emit_json(&json!({
            "enabled": false, "wanted": wanted, "reason": why, "akosha_url": url, "interval_seconds": interval,
            "last_success": null, "pending": null, "last_error": null,
        }));
    }
    output::emit(&format!(
        "Akosha sync: disabled ({why})\nAkosha: {url}\nInterval: {interval} s\nLast success: never\n"
    ))
}

/// Runs `sync-now`: nothing is sent, and the exit code says so.
///
/// # Errors
/// Configuration, naming the setting.
pub(super) fn now(context: &Context) -> Result<ExitCode> {
    let (wanted, why) = reason(context);
    let hint = if wanted {
        "nothing was sent; sessions stay here"
    } else {
        "nothing was sent; see 'session-buddy sync-status'"
    };
    Err(Fault::config(format!("sync to Akosha is disabled: {why}")).hint(hint))
}
