//! The history file: one entry a line, redacted before it reaches the disk, readable for its owner alone.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use oneiric::paths;
use oneiric::redact::Redactor;

/// A file of earlier entries. What cannot be read or written is left out: a shell without history is still a shell.
pub(super) struct HistoryFile {
    path: Option<PathBuf>,
    redactor: Arc<Redactor>,
}

impl HistoryFile {
    pub(super) fn new(path: Option<PathBuf>, redactor: Arc<Redactor>) -> Self {
        Self { path, redactor }
    }

    /// The newest `keep` entries, oldest first. A file that grew to twice that is cut back.
    pub(super) fn load(&self, keep: usize) -> Vec<String> {
        let Some(path) = &self.path else { return Vec::new() };
        let Ok(bytes) = fs::read(path) else { return Vec::new() };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let newest = &lines[lines.len().saturating_sub(keep)..];
        if lines.len() > keep * 2 {
            let _ = paths::write_atomically(path, (newest.join("\n") + "\n").as_bytes());
        }
        newest.iter().map(|line| decode(line)).collect()
    }

    pub(super) fn append(&self, entry: &str) {
        let entry = entry.trim_end();
        let Some(path) = &self.path else { return };
        if entry.trim().is_empty() {
            return;
        }
        let line = encode(&self.redactor.text(entry)) + "\n";
        let _ = path.parent().map(paths::ensure_private_dir);
        // One write in append mode: several shells may share the file.
        let _ = paths::private_file()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

fn encode(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "")
}

fn decode(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
            other => entry.push(other),
        }
    }
    entry
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(dir: &tempfile::TempDir) -> HistoryFile {
        HistoryFile::new(Some(dir.path().join("home/history")), Arc::new(Redactor::standard()))
    }

    #[test]
    fn entries_come_back_as_they_were_also_with_several_lines() {
        let dir = tempfile::tempdir().unwrap();
        let entries = ["ps()", "for x in y:\n    print('a\\nb')", "!echo \\\\"];
        for entry in entries {
            file(&dir).append(entry);
        }
        file(&dir).append("  ");
        assert_eq!(file(&dir).load(10), entries);
        assert_eq!(file(&dir).load(1), entries[2..]);
        let mode = fs::metadata(dir.path().join("home/history")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_grew_is_cut_back() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..25 {
            file(&dir).append(&format!("entry {n}"));
        }
        assert_eq!(file(&dir).load(10).len(), 10);
        let left = fs::read_to_string(dir.path().join("home/history")).unwrap();
        assert_eq!(left.lines().count(), 10);
        assert!(left.ends_with("entry 24\n"));
    }

    #[test]
    fn secrets_never_reach_the_file() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir).append("!curl -H 'Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345' x");
        let text = fs::read_to_string(dir.path().join("home/history")).unwrap();
        assert!(!text.contains("ghp_0123456789"), "{text}");
        assert!(text.contains("curl"));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_no_fault() {
        let history = HistoryFile::new(Some("/proc/nowhere/history".into()), Arc::new(Redactor::standard()));
        history.append("ps()");
        assert!(history.load(5).is_empty());
    }
}
