//! `man`: manual pages from the same command tree.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;

use super::output;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page a command into this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs `man`.
pub(super) fn run(args: &ManArgs) -> Result<ExitCode> {
    let command = super::Cli::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Fault::internal(format!("cannot make the page: {error}")))?;
        return output::emit(&String::from_utf8_lossy(&page));
    };
    let failed = |error: std::io::Error| {
        Fault::unavailable(format!("cannot write manual pages to {}: {}", dir.display(), plain(&error)))
            .hint("name a folder that can be written")
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command, dir).map_err(failed)?;
    output::emit(&format!("Manual pages are in {}\n", dir.display()))
}
