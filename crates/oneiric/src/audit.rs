//! Who was let in to change something, and who was turned away: one line each, only ever appended.
//!
//! Tokens and secrets have no field here, and neither have arguments: what is named is a tool or a route.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::{Clock, Timestamp};
use crate::logs::file::LogFile;
use crate::logs::line::push_value;

/// A file that has grown to so many bytes is rotated, so that knocking does not fill the disk.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// So many rotated files are kept.
const KEEP: u32 = 9;
/// Characters of a value that are written.
const MAX_CHARS: usize = 200;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may change something, and was let through.
    Allowed,
    /// It was turned away.
    Denied,
    /// What was let through was done.
    Done,
    /// What was let through failed; `why` is the error's code.
    Failed,
    /// What was let through has no known end: the caller left, or nothing was called.
    Unknown,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// The way it came: `mcp`, `rest`, `metrics`, `http`, `cli`, `shell`.
    pub door: &'a str,
    /// Address of the caller, or `local`.
    pub from: &'a str,
    /// Subject of a token that is good; `-` when none is known.
    pub who: &'a str,
    /// Id of that token, so that it can be told from others of the same subject.
    pub token_id: &'a str,
    /// The tool or route that was asked for.
    pub what: &'a str,
    /// Why it was turned away, or the code of its failure; else empty.
    pub why: &'a str,
}

/// The file `audit.log`; made, mode 0600, with its first line. Several processes append to it.
pub struct AuditLog {
    file: Option<LogFile>,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// `audit.log` in `dir`.
    #[must_use]
    pub fn in_dir(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { file: Some(LogFile::new(dir.into().join("audit.log"), MAX_BYTES, KEEP)), clock }
    }

    /// Writes nothing: for tests, and where nothing may be written.
    #[must_use]
    pub fn nowhere(clock: Arc<dyn Clock>) -> Self {
        Self { file: None, clock }
    }

    /// The time by which its lines are dated.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Appends a line. One that cannot be written is said in the program's log; the request goes on.
    pub fn record(&self, act: &Act<'_>) {
        let Some(file) = &self.file else { return };
        let outcome = match act.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        };
        let mut line = format!("time={} outcome={outcome}", self.clock.now());
        let fields = [
            ("door", act.door),
            ("from", act.from),
            ("who", act.who),
            ("token_id", act.token_id),
            ("what", act.what),
            ("why", act.why),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            match value.char_indices().nth(MAX_CHARS) {
                Some((end, _)) => push_value(&mut line, &format!("{}…", &value[..end]), false),
                None => push_value(&mut line, value, false),
            }
        }
        line.push('\n');
        file.append(&line);
        if let Some(problem) = file.problem() {
            tracing::error!(%problem, "the audit log cannot be written");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_line_says_who_asked_for_what_and_cannot_be_torn_apart() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::in_dir(dir.path().join("logs"), Arc::new(SystemClock));
        let long = "x".repeat(MAX_CHARS + 1);
        for (who, why) in [("ada\noutcome=allowed", "token has expired"), (long.as_str(), "")] {
            log.record(&Act {
                outcome: Outcome::Denied,
                door: "mcp",
                from: "127.0.0.1:4711",
                who,
                token_id: "",
                what: "track_events",
                why,
            });
        }
        let path = dir.path().join("logs/audit.log");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with(
            r#" outcome=denied door=mcp from=127.0.0.1:4711 who="ada\noutcome=allowed" what=track_events why="token has expired""#
        ));
        assert!(!lines[1].contains(&long), "values are cut");
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }
}
