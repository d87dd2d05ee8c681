//! `logs`.

use std::io::ErrorKind;

use oneiric::fault::{Fault, Result};
use oneiric::logs::{self, Filter};
use oneiric_shell::output::Output;
use oneiric_shell::terminal::{Terminal, printable_lines};

use super::Token;
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
    #[command(flatten)]
    pub(super) token: Token,
}

impl Logs {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let (level, since, grep) = (self.level.as_deref(), self.since.as_deref(), self.grep.as_deref());
        let filter = Filter::typed(level, since, grep, self.limit, world.clock.now())?;
        let path = log::dir(world).join(format!("{}.log", log::PRODUCT));
        match logs::read(&path, &filter) {
            Ok(lines) => {
                for line in lines {
                    output.line(&shown(line.trim_end(), output.terminal()));
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

/// A line for a person at a terminal; for programs it is as it stands in the file.
fn shown(line: &str, terminal: Terminal) -> String {
    let Some(read) = terminal.width.and_then(|_| logs::readable(line)) else { return line.to_owned() };
    let level = format!("{:<5}", read.level);
    let level = match read.level.as_str() {
        "ERROR" => terminal.error(&level),
        "WARN" => terminal.strong(&level),
        _ => terminal.faint(&level),
    };
    let fields: String = read.fields.iter().map(|field| format!("  {field}")).collect();
    let (message, fields) = (printable_lines(&read.message), terminal.faint(&printable_lines(&fields)));
    format!("{}  {level} {message}{fields}", read.time.local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_sentences_and_programs_the_file() {
        let line = "time=2026-11-22T10:00:00.000000Z level=WARN target=mahavishnu::log msg=\"no repository 'x'\" kind=not_found";
        assert_eq!(shown(line, Terminal::PLAIN), line);
        let read = shown(line, Terminal { width: Some(80), colour: false });
        assert!(read.ends_with("  WARN  no repository 'x'  kind=not_found") && !read.contains("target"), "{read}");
        let foreign = "Traceback (most recent call last)";
        assert_eq!(shown(foreign, Terminal { width: Some(80), colour: true }), foreign);
    }
}
