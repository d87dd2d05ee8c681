//! `report`: one self-contained page about what was done.

use std::path::PathBuf;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::{moment, paths};
use oneiric_shell::output::Output;

use super::Token;
use crate::page::{self, Report as Page};
use crate::world::World;

/// Failures that the page lists.
const FAILURES: usize = 50;

/// Write a page with charts about workflows, steps and repositories
#[derive(clap::Args, Debug)]
pub(super) struct Report {
    /// Workflows asked for since: 24h, 30d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME", default_value = "30d")]
    range: String,
    /// File to write; - is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    pub(super) token: Token,
}

impl Report {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let now = world.clock.now();
        let from = moment::parse(&self.range, now)?;
        let table = world.workflows();
        let failures = table.failures(FAILURES)?;
        let page = page::html(&Page {
            from,
            to: now,
            figures: table.figures(from, now.plus(Duration::from_secs(1)))?,
            failures: failures.into_iter().filter(|workflow| workflow.ended_at.is_some_and(|at| at >= from)).collect(),
        });
        // Words of other programs stand in it.
        let page = world.redactor().text(&page).into_owned();
        if self.output.as_os_str() == "-" {
            output.line(page.trim_end());
            return Ok(());
        }
        let path = world.surroundings.cwd.join(&self.output);
        paths::write_atomically(&path, page.as_bytes()).map_err(|error| {
            Fault::unavailable(format!("cannot write {}: {}", path.display(), paths::plain(&error)))
                .hint("choose another file with --output")
        })?;
        output.line(&format!("{} ({} KiB)", path.display(), page.len().div_ceil(1024)));
        Ok(())
    }
}
