//! Reads log files for the `logs` commands: the newest lines that match, and those that are still to come.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use regex::Regex;
use tracing::level_filters::LevelFilter;

use super::parse_level;
use crate::clock::Timestamp;
use crate::fault::{Fault, Result};
use crate::moment;

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This level or worse.
    pub level: Option<LevelFilter>,
    /// Not older.
    pub since: Option<Timestamp>,
    /// Lines that this matches.
    pub grep: Option<Regex>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Filter {
    /// A filter as people type it: a level's name, a time ([`moment::parse`]), a regular expression, and how many lines (0: all).
    ///
    /// # Errors
    /// A wrong request that names the part that is not understood.
    pub fn typed(
        level: Option<&str>,
        since: Option<&str>,
        grep: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Self> {
        let regex = |text: &str| {
            Regex::new(text).map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim().to_owned();
                Fault::user(format!("--grep is no regular expression: {why}"))
            })
        };
        let time = |text: &str| {
            moment::parse(text, now).map_err(|fault| {
                let told = Fault::new(fault.kind(), format!("--since: {}", fault.message()));
                match fault.advice() {
                    Some(hint) => told.hint(hint),
                    None => told,
                }
            })
        };
        Ok(Self {
            level: level.and_then(parse_level),
            since: since.map(time).transpose()?,
            grep: grep.map(regex).transpose()?,
            limit: (limit > 0).then_some(limit),
        })
    }

    fn lets_through(&self, line: &str) -> bool {
        let level = || field(line, "level").and_then(|name| parse_level(&name));
        let time = || field(line, "time").and_then(|text| Timestamp::parse(&text));
        self.level.is_none_or(|least| level().is_some_and(|level| level <= least))
            && self.since.is_none_or(|since| time().is_some_and(|time| time >= since))
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(line))
    }
}

/// The lines of a log and of its rotated files that `filter` lets through, the oldest first. Files that are not there
/// have no lines.
///
/// # Errors
/// What the file system says.
pub fn read(path: &Path, filter: &Filter) -> io::Result<Vec<String>> {
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut newest_first: Vec<VecDeque<String>> = Vec::new();
    let mut count = 0;
    for file in files(path) {
        if count >= limit {
            break;
        }
        let handle = match File::open(&file) {
            Ok(handle) => handle,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let (Some(since), Ok(meta)) = (filter.since, handle.metadata())
            && Timestamp::from_micros(meta.mtime().saturating_add(1).saturating_mul(1_000_000)) < since
        {
            break;
        }
        let mut lines = VecDeque::new();
        let mut reader = BufReader::new(handle);
        let mut raw = Vec::new();
        while reader.read_until(b'\n', &mut raw)? > 0 {
            let line = text_of(&raw);
            if filter.lets_through(&line) {
                lines.push_back(line);
                if lines.len() > limit - count {
                    lines.pop_front();
                }
            }
            raw.clear();
        }
        count += lines.len();
        newest_first.push(lines);
    }
    Ok(newest_first.into_iter().rev().flatten().collect())
}

/// The log, then its rotated files from the newest to the oldest.
fn files(path: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let rotated = (1..).map(numbered).take_while(|file| file.exists());
    std::iter::once(path.to_path_buf()).chain(rotated).collect()
}

fn text_of(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw.strip_suffix(b"\n").unwrap_or(raw)).into_owned()
}

/// A field of a line in either format.
fn field(line: &str, name: &str) -> Option<String> {
    if line.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        return Some(object.get(name)?.as_str()?.to_owned());
    }
    // Both fields that are asked for stand in front of the message and need no quotes.
    let head = line.split(" msg=").next().unwrap_or_default();
    head.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// A line of a log as a person reads it on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// When.
    pub time: Timestamp,
    /// `INFO`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// What belongs to it: `key=value`, values as the log has them.
    pub fields: Vec<String>,
}

/// Takes a line of a log apart. What is no line of a log is nothing.
#[must_use]
pub fn readable(line: &str) -> Option<Readable> {
    let mut fields = Vec::new();
    let (mut time, mut level, mut message) = (None, None, None);
    let mut take = |name: &str, value: String, shown: String| match name {
        "time" if time.is_none() => time = Timestamp::parse(&value),
        "level" if level.is_none() => level = Some(value),
        "msg" if message.is_none() => message = Some(value),
        "target" => {}
        _ => fields.push(format!("{name}={shown}")),
    };
    if line.starts_with('{') {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        for (name, value) in object {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            take(&name, text, value.to_string());
        }
    } else {
        let mut rest = line.trim_end();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, shown, left) = value_of(after);
            take(name, value, shown.to_owned());
            rest = left.strip_prefix(' ').unwrap_or(left);
        }
    }
    Some(Readable { time: time?, level: level?, message: message?, fields })
}

/// A value of logfmt, as text and as it is written, and what comes after it.
fn value_of(text: &str) -> (String, &str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        return (text[..end].to_owned(), &text[..end], &text[end..]);
    };
    let mut escaped = false;
    let end = quoted.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    });
    let (shown, left) = end.map_or((text, ""), |end| text.split_at(end + 2));
    // The quoting is that of JSON.
    let value = serde_json::from_str(shown).unwrap_or_else(|_| shown.trim_matches('"').to_owned());
    (value, shown, left)
}

/// Follows a log through its rotations.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    filter: Filter,
    file: Option<File>,
    partial: Vec<u8>,
}

impl Follow {
    /// Begins at the end of what `path` holds now; it need not be there yet.
    #[must_use]
    pub fn from_end(path: &Path, filter: Filter) -> Self {
        let file = File::open(path).ok();
        let file = file.and_then(|mut file| io::Seek::seek(&mut file, io::SeekFrom::End(0)).is_ok().then_some(file));
        Self { path: path.to_path_buf(), filter, file, partial: Vec::new() }
    }

    /// The whole lines that were added since the last call and that the filter lets through.
    ///
    /// # Errors
    /// What the file system says.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.drain(&mut lines)?;
        if self.moved() {
            // What was written between the last read and the rotation is still in the old file.
            self.drain(&mut lines)?;
            self.partial.clear();
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            self.drain(&mut lines)?;
        }
        Ok(lines)
    }

    fn drain(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if io::Seek::stream_position(file)? > file.metadata()?.len() {
            io::Seek::seek(file, io::SeekFrom::Start(0))?;
            self.partial.clear();
        }
        file.read_to_end(&mut self.partial)?;
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text: Vec<u8> = self.partial.drain(..whole).collect();
        let found = text.split_inclusive(|byte| *byte == b'\n').map(text_of);
        lines.extend(found.filter(|line| self.filter.lets_through(line)));
        Ok(())
    }

    fn moved(&self) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let there = fs::metadata(&self.path).ok().map(identity);
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        there.is_some() && there != ours
    }
}
