//! `man`: manual pages from the same command tree.

use std::path::PathBuf;

use clap::CommandFactory;
use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;
use oneiric_shell::output::Output;

use super::Cli;

/// Print the manual page, or write a page a command
#[derive(clap::Args, Debug)]
pub(super) struct Man {
    /// Write a page a command into this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, output: &Output) -> Result<()> {
        let command = Cli::command();
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Fault::internal(format!("cannot make the page: {error}")))?;
            output.line(String::from_utf8_lossy(&page).trim_end());
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            Fault::unavailable(format!("cannot write manual pages to {}: {}", dir.display(), plain(&error)))
                .hint("name a folder that can be written")
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        clap_mangen::generate_to(command, dir).map_err(failed)?;
        output.line(&format!("Manual pages are in {}", dir.display()));
        Ok(())
    }
}
