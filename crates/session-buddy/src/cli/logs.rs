//! `logs`.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use regex::Regex;

use super::ask::Context;
use super::moment;
use super::output::{emit, note};
use crate::PRODUCT;

/// Time between looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Show the last N lines that match; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: usize,
    /// Go on as lines are written
    #[arg(long, short)]
    follow: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Only lines of this level or worse: DEBUG, INFO, WARN, ERROR
    #[arg(long, ignore_case = true, value_parser = ["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR"])]
    level: Option<String>,
    /// Only lines written since: 15m, 24h, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Which lines are shown.
struct Sieve {
    grep: Option<Regex>,
    worst: usize,
    since: Option<Timestamp>,
}

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

fn rank(level: &str) -> Option<usize> {
    let level = level.to_ascii_uppercase();
    let level = if level == "WARNING" { "WARN" } else { &level };
    LEVELS.iter().position(|known| *known == level)
}

impl Sieve {
    fn new(args: &LogsArgs, now: Timestamp) -> Result<Self> {
        let grep = args.grep.as_deref().map(Regex::new).transpose().map_err(|error| {
            let reason = error.to_string();
            Fault::user(format!(
                "--grep is no regular expression: {}",
                reason.lines().last().unwrap_or_default().trim()
            ))
        })?;
        let since = args.since.as_deref().map(|text| moment::parse(text, now)).transpose()?;
        Ok(Self { grep, worst: args.level.as_deref().and_then(rank).unwrap_or(0), since })
    }

    fn lets_through(&self, line: &str) -> bool {
        let at = self
            .since
            .map(|since| (since, field(line, "ts").or_else(|| field(line, "time")).and_then(Timestamp::parse)));
        let late = at.is_none_or(|(since, at)| at.is_some_and(|at| at >= since));
        let bad = self.worst == 0 || field(line, "level").and_then(rank).is_some_and(|level| level >= self.worst);
        late && bad && self.grep.as_ref().is_none_or(|grep| grep.is_match(line))
    }
}

/// The value of `key=` in a logfmt line.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).map(|value| value.trim_matches('"'))
}

/// Runs `logs`.
pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<ExitCode> {
    let sieve = Sieve::new(args, context.now())?;
    let path = context.settings.home().logs().join(format!("{PRODUCT}.log"));
    let mut lines = std::collections::VecDeque::new();
    let mut position = 0;
    for file in oldest_first(&path) {
        let read = collect(&file, &sieve, args.tail, &mut lines).map_err(|error| unreadable(&file, &error))?;
        if file == path {
            position = read;
        }
    }
    if !path.exists() && !args.follow {
        note(&format!("No log yet at {}. 'session-buddy mcp start' writes one.", path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    emit(&text)?;
    if args.follow { follow(&path, position, &sieve) } else { Ok(ExitCode::SUCCESS) }
}

/// The log and what was rotated away from it: `x.log.2`, `x.log.1`, `x.log`.
fn oldest_first(path: &Path) -> Vec<PathBuf> {
    let rotated = |number: usize| PathBuf::from(format!("{}.{number}", path.display()));
    let mut files: Vec<PathBuf> = (1..100).map(rotated).take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot read {}: {}", path.display(), oneiric::paths::plain(error)))
}

/// Reads a file through the sieve, keeping the last `tail` lines. Gives the position of its end.
fn collect(
    path: &Path,
    sieve: &Sieve,
    tail: usize,
    lines: &mut std::collections::VecDeque<String>,
) -> std::io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut raw = Vec::new();
    while reader.read_until(b'\n', &mut raw)? > 0 {
        let line = String::from_utf8_lossy(&raw);
        let line = line.trim_end_matches(['\n', '\r']);
        if sieve.lets_through(line) {
            if tail > 0 && lines.len() == tail {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        }
        raw.clear();
    }
    reader.stream_position()
}

/// Prints lines as they come, also across rotation, until nobody reads.
fn follow(path: &Path, mut position: u64, sieve: &Sieve) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut inode = std::fs::metadata(path).map(|meta| meta.ino()).ok();
    let mut rest = Vec::new();
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Ok(meta) = std::fs::metadata(path) else { continue };
        if inode != Some(meta.ino()) || meta.len() < position {
            inode = Some(meta.ino());
            position = 0;
            rest.clear();
        }
        if meta.len() == position {
            continue;
        }
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(position))?;
            file.take(meta.len() - position).read_to_end(&mut rest)
        });
        position += u64::try_from(read.map_err(|error| unreadable(path, &error))?).unwrap_or(0);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        let complete: Vec<u8> = rest.drain(..=end).collect();
        for line in String::from_utf8_lossy(&complete).lines().filter(|line| sieve.lets_through(line)) {
            match writeln!(out, "{line}").and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(Fault::unavailable(format!("cannot write the output: {error}"))),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn sieve(grep: Option<&str>, level: Option<&str>, since: Option<&str>) -> Sieve {
        let args = LogsArgs {
            tail: 0,
            follow: false,
            grep: grep.map(str::to_owned),
            level: level.map(str::to_owned),
            since: since.map(str::to_owned),
        };
        Sieve::new(&args, Timestamp::parse("2026-11-22T12:00:00Z").unwrap()).unwrap()
    }

    const LINE: &str = "ts=2026-11-22T11:30:00.000000Z level=warn target=x msg=\"slow disk\" session_id=abc123";

    #[test]
    fn lines_are_kept_by_level_time_and_pattern() {
        assert!(sieve(Some("session_id=abc123"), Some("INFO"), Some("1h")).lets_through(LINE));
        assert!(sieve(None, Some("warning"), None).lets_through(LINE));
        assert!(!sieve(None, Some("ERROR"), None).lets_through(LINE));
        assert!(!sieve(None, None, Some("15m")).lets_through(LINE));
        assert!(!sieve(Some("absent"), None, None).lets_through(LINE));
    }

    #[test]
    fn the_last_lines_come_from_rotated_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "three\n").unwrap();
        std::fs::write(dir.path().join("x.log.1"), "two\n").unwrap();
        std::fs::write(dir.path().join("x.log.2"), "one\n").unwrap();
        let mut lines = std::collections::VecDeque::new();
        for file in oldest_first(&path) {
            collect(&file, &sieve(None, None, None), 2, &mut lines).unwrap();
        }
        assert_eq!(lines, ["two", "three"]);
    }
}
