//! What a step prints, kept on disk: its beginning as it comes, and its end once it is known what the end is.
//!
//! Lines are made readable (bytes that are no UTF-8 are replaced) and redacted before they are written. What lies between
//! beginning and end is counted, not kept, so that a step cannot fill the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use oneiric::paths::{ensure_private_dir, plain, private_file};
use oneiric::redact::Redactor;

/// Bytes of the beginning that are kept.
pub const OUTPUT_HEAD: usize = 512 * 1024;
/// Bytes of the end that are kept.
pub const OUTPUT_TAIL: usize = 512 * 1024;
/// Longest line that is redacted as one; longer ones are taken apart.
const MAX_LINE: usize = 64 * 1024;

/// Takes what a step prints.
pub(crate) struct OutputKeeper<'r> {
    path: PathBuf,
    file: Option<File>,
    redactor: &'r Redactor,
    /// What has come since the last end of a line.
    open: Vec<u8>,
    written: usize,
    /// The end so far, in two halves of [`OUTPUT_TAIL`] bytes: when the newer is full, the older is left out.
    older: Vec<u8>,
    newer: Vec<u8>,
    left_out: u64,
    total: u64,
    last: String,
    trouble: Option<String>,
}

impl<'r> OutputKeeper<'r> {
    pub(crate) fn new(path: PathBuf, redactor: &'r Redactor) -> Self {
        Self {
            path,
            file: None,
            redactor,
            open: Vec::new(),
            written: 0,
            older: Vec::new(),
            newer: Vec::new(),
            left_out: 0,
            total: 0,
            last: String::new(),
            trouble: None,
        }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        if self.written >= OUTPUT_HEAD {
            self.take_tail(bytes);
            return;
        }
        self.open.extend_from_slice(bytes);
        // Whole lines together, since some secrets take several.
        let whole = match self.open.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.open.len() >= MAX_LINE => self.open.len(),
            None => return,
        };
        let rest = self.open.split_off(whole);
        let lines = std::mem::replace(&mut self.open, rest);
        self.keep(&lines);
    }

    /// What may be left out is only carried, not read: it can come as fast as a pipe carries it.
    fn take_tail(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(OUTPUT_TAIL) {
            if self.newer.len() + piece.len() > OUTPUT_TAIL {
                self.left_out += self.older.len() as u64;
                self.older = std::mem::take(&mut self.newer);
            }
            self.newer.extend_from_slice(piece);
        }
    }

    /// Everything has been said. Gives the number of bytes, the last line, and what went wrong with keeping it.
    pub(crate) fn close(mut self) -> (u64, Option<String>, Option<String>) {
        let open = std::mem::take(&mut self.open);
        if self.written < OUTPUT_HEAD {
            self.keep(&open);
        } else {
            let mut tail = open;
            tail.append(&mut self.older);
            tail.append(&mut self.newer);
            let mut from = tail.len().saturating_sub(OUTPUT_TAIL);
            if self.left_out > 0 || from > 0 {
                // The first whole line; a cut one may hold half a secret.
                from += tail[from..].iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let note = format!("[{} bytes are left out here]\n", self.left_out + from as u64);
                self.write(note.as_bytes());
            }
            let tail = tail.split_off(from);
            self.keep(&tail);
        }
        let last = Some(self.last).filter(|last| !last.is_empty());
        (self.total, last, self.trouble)
    }

    fn keep(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(lines);
        let text = self.redactor.text(&text);
        if let Some(shown) = text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            self.last.clear();
            self.last.extend(shown.chars().take(300));
        }
        self.written += text.len();
        let text = text.into_owned();
        self.write(text.as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.trouble.is_some() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => open(&self.path).and_then(|mut file| {
                file.write_all(bytes)?;
                self.file = Some(file);
                Ok(())
            }),
        };
        if let Err(error) = written {
            self.trouble = Some(format!("its output could not be kept: {}", plain(&error)));
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        ensure_private_dir(parent)?;
    }
    private_file().write(true).create(true).truncate(true).open(path)
}

/// Reads what was kept of a step's output, from a byte on. Gives the text and where to go on; nothing was printed when there
/// is no file.
///
/// # Errors
/// When the file cannot be read.
pub fn read_output(path: &Path, from: u64) -> io::Result<(String, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((String::new(), from)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take((OUTPUT_HEAD + OUTPUT_TAIL + 2 * MAX_LINE) as u64).read_to_end(&mut bytes)?;
    let end = from + bytes.len() as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), end))
}
