//! `logs`.

use std::io::ErrorKind;

use oneiric::fault::{Fault, Result};
use oneiric::logs::{self, Filter};
use oneiric_shell::output::Output;

use crate::log;
use crate::world::World;

/// Show the log
#[derive(clap::Args, Debug)]
pub(super) struct Logs {
    /// Only lines of this level or worse
    #[arg(long, ignore_case = true, value_parser = ["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR"])]
    level: Option<String>,
    /// Only lines written since: 15m, 24h, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// The newest N lines that match; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl Logs {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let (level, since, grep) = (self.level.as_deref(), self.since.as_deref(), self.grep.as_deref());
        let filter = Filter::typed(level, since, grep, self.limit, world.clock.now())?;
        let path = log::dir(world).join(format!("{}.log", log::PRODUCT));
        match logs::read(&path, &filter) {
            Ok(lines) => {
                for line in lines {
                    output.line(line.trim_end());
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                output.error_line(&format!("note: no log yet at {}", path.display()));
                Ok(())
            }
            Err(error) => {
                let why = oneiric::paths::plain(&error);
                Err(Fault::unavailable(format!("cannot read {}: {why}", path.display()))
                    .hint("check its access rights"))
            }
        }
    }
}
