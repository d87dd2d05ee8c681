//! `logs`.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use oneiric::fault::{Fault, Result};
use oneiric::logs::{self, Filter, Follow};

use super::ask::Context;
use super::options::rows;
use super::output::{emit, note};
use crate::PRODUCT;

/// Time between looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Show the last N lines that match; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = rows)]
    tail: usize,
    /// Go on as lines are written
    #[arg(long, short)]
    follow: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Only lines of this level or worse
    #[arg(long, ignore_case = true, value_parser = ["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR"])]
    level: Option<String>,
    /// Only lines written since: 15m, 24h, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Runs `logs`.
pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<ExitCode> {
    let (level, since, grep) = (args.level.as_deref(), args.since.as_deref(), args.grep.as_deref());
    let filter = Filter::typed(level, since, grep, args.tail, context.now())?;
    let path = context.settings.home().logs().join(format!("{PRODUCT}.log"));
    // Before reading, so that no line falls between the two.
    let following = args.follow.then(|| Follow::from_end(&path, filter.clone()));
    let lines = match logs::read(&path, &filter) {
        Ok(lines) => lines,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            note(&format!("No log yet at {}; a server writes it.", path.display()));
            Vec::new()
        }
        Err(error) => return Err(unreadable(&path, &error)),
    };
    emit(&lines.iter().map(|line| format!("{}\n", line.trim_end())).collect::<String>())?;
    match following {
        Some(following) => follow(&path, following),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot read {}: {}", path.display(), oneiric::paths::plain(error)))
}

/// Prints lines as they come, until nobody reads.
fn follow(path: &Path, mut following: Follow) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    loop {
        for line in following.poll().map_err(|error| unreadable(path, &error))? {
            match writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(Fault::unavailable(format!("cannot write the output: {error}"))),
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
