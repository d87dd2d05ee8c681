//! What a step prints, kept on disk: its beginning as it comes, and its end once it is known what the end is.
//!
//! Lines are made readable (bytes that are no UTF-8 are replaced) and redacted before they are written, a key of several
//! lines as a whole. What lies between beginning and end is counted, not kept, so that a step cannot fill the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use oneiric::count::counted;
use oneiric::paths::{ensure_private_dir, plain, private_file};
use oneiric::redact::Redactor;

use super::terminal::PlainText;

/// Bytes of the beginning that are kept.
pub const OUTPUT_HEAD: usize = 512 * 1024;
/// Bytes of the end that are kept.
pub const OUTPUT_TAIL: usize = 512 * 1024;
/// Longest line that is redacted as one; longer ones are taken apart.
const MAX_LINE: usize = 64 * 1024;
/// Most bytes that wait for the end of a key.
const MAX_KEY: usize = 2 * MAX_LINE;
/// Most bytes that wait for the end of another value, and most lines of one in quotes.
const MAX_VALUE: usize = 8 * 1024;
const MAX_QUOTED: usize = 16;
/// How far before its end a line without one is cut, the first of these that goes through no secret.
const CUTS: [usize; 4] = [1024, 2048, 8192, 32 * 1024];

/// A value whose end has not come yet; it began at `at`.
#[derive(Clone, Copy)]
enum Open {
    /// On the next line that says something.
    Next { at: usize },
    /// In lines further in than `deep`.
    Block { at: usize, deep: usize },
    /// In quotes.
    Quote { at: usize, quote: u8, lines: usize },
}

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
        let mut whole = match bytes.contains(&b'\n').then(|| self.open.iter().rposition(|byte| *byte == b'\n')) {
            Some(Some(end)) => end + 1,
            _ if self.open.len() >= MAX_LINE => self.cut(),
            _ => return,
        };
        if self.open.len() < MAX_KEY {
            whole = open_key(&self.open[..whole]).unwrap_or(whole);
        }
        // Other values over several lines are short; what only looks like the beginning of one must not hold back much.
        if self.open.len() < MAX_LINE {
            whole = open_value(&self.open[..whole]).unwrap_or(whole);
        }
        let rest = self.open.split_off(whole);
        let lines = std::mem::replace(&mut self.open, rest);
        self.keep(&lines);
    }

    /// Where a line that does not end is taken apart: where both sides are redacted as they are together.
    fn cut(&self) -> usize {
        let redacted = |bytes: &[u8]| self.redactor.text(&String::from_utf8_lossy(bytes)).into_owned();
        let whole = redacted(&self.open);
        let cuts = CUTS.map(|back| {
            let mut at = self.open.len().saturating_sub(back);
            while at > 0 && self.open.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
                at -= 1;
            }
            at
        });
        let clean = |at: &usize| redacted(&self.open[..*at]) + &redacted(&self.open[*at..]) == whole;
        cuts.into_iter().find(clean).unwrap_or(self.open.len())
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
            if self.left_out > 0 {
                // What follows does not continue it.
                self.left_out += tail.len() as u64;
                tail.clear();
            }
            tail.append(&mut self.older);
            tail.append(&mut self.newer);
            let mut from = tail.len().saturating_sub(OUTPUT_TAIL);
            if self.left_out > 0 || from > 0 {
                from += first_whole(&tail[from..]);
                let note =
                    format!("[{} left out here]\n", counted(self.left_out + from as u64, "byte is", "bytes are"));
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
            let shown: String = shown.chars().take(1_000).collect();
            let shown = String::from_utf8_lossy(&PlainText::default().read(shown.as_bytes())).into_owned();
            let shown = shown.lines().next_back().unwrap_or_default();
            self.last = shown.chars().filter(|c| !c.is_control()).take(300).collect();
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

/// Where the first whole line begins, or at least the first whole word: a cut one may hold half a secret.
fn first_whole(text: &[u8]) -> usize {
    let line = text.iter().position(|byte| *byte == b'\n');
    let word = || text.iter().take(MAX_LINE).position(u8::is_ascii_whitespace).unwrap_or(MAX_LINE.min(text.len()));
    line.map_or_else(word, |end| end + 1)
}

/// Where a private key begins whose end has not come yet.
fn open_key(lines: &[u8]) -> Option<usize> {
    const BEGIN: &[u8] = b"-----BEGIN";
    let find = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|window| window == word);
    let begin = lines.windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
    let (label, rest) = (&lines[begin..lines.len().min(begin + 80)], &lines[begin + BEGIN.len()..]);
    (find(label, b"PRIVATE") && !find(rest, b"-----END")).then_some(begin)
}

/// Where the lines begin that may be redacted otherwise once more has come: the name of a secret whose value stands on the
/// next lines, or in quotes that are still open.
fn open_value(lines: &[u8]) -> Option<usize> {
    let recent = lines.len().saturating_sub(MAX_VALUE);
    let mut begin = recent;
    let mut open = None;
    for line in lines[recent..].split_inclusive(|byte| *byte == b'\n') {
        let (text, inset) = (line.trim_ascii(), line.len() - line.trim_ascii_start().len());
        open = match open {
            // The value goes on in lines further in.
            Some(Open::Block { at, deep }) if text.is_empty() || inset > deep => Some(Open::Block { at, deep }),
            Some(Open::Next { at }) if text.is_empty() => Some(Open::Next { at }),
            Some(Open::Quote { at, quote, lines }) if lines < MAX_QUOTED && !text.contains(&quote) => {
                Some(Open::Quote { at, quote, lines: lines + 1 })
            }
            _ => opens(text, begin, inset),
        };
        begin += line.len();
    }
    match open? {
        Open::Next { at } | Open::Block { at, .. } | Open::Quote { at, .. } => Some(at),
    }
}

/// What a line opens that begins at `at`.
fn opens(line: &[u8], at: usize, deep: usize) -> Option<Open> {
    // Most lines end otherwise, and are asked no more.
    let bare = line.strip_suffix(b"|").or_else(|| line.strip_suffix(b"|-")).or_else(|| line.strip_suffix(b">-"));
    let bare = bare.or_else(|| line.strip_suffix(b">")).map(<[u8]>::trim_ascii_end);
    if let Some(name) = bare.and_then(|line| line.strip_suffix(b":")) {
        return is_secret_name(name).then_some(Open::Block { at, deep });
    }
    if let Some(name) = line.strip_suffix(b":") {
        return is_secret_name(name).then_some(Open::Next { at });
    }
    let (place, quote) =
        line.iter().enumerate().find(|(_, byte)| matches!(byte, b'"' | b'\'')).map(|(at, b)| (at, *b))?;
    let name = line[..place].trim_ascii_end();
    let name = name.strip_suffix(b"=").or_else(|| name.strip_suffix(b":"))?;
    let closed = line[place + 1..].contains(&quote);
    (!closed && is_secret_name(name)).then_some(Open::Quote { at, quote, lines: 0 })
}

/// Whether the redactor takes out what is given to the name at the end of a line.
fn is_secret_name(before: &[u8]) -> bool {
    let word = before.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    let word = String::from_utf8_lossy(&word[word.len().saturating_sub(128)..]);
    let word = word.trim_matches(['"', '\'']);
    let asked = format!("{word}=\"q1w2e3r4t5y6\"");
    Redactor::standard().counted(&asked).1 > 0
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
    // A byte that is no UTF-8 became three.
    file.take((OUTPUT_HEAD + 3 * OUTPUT_TAIL + MAX_KEY) as u64).read_to_end(&mut bytes)?;
    let end = from + bytes.len() as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

    /// What is kept of these pieces, and how many bytes there were.
    fn kept(pieces: impl IntoIterator<Item = Vec<u8>>) -> (String, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let redactor = Redactor::standard();
        let mut keeper = OutputKeeper::new(path.clone(), &redactor);
        for piece in pieces {
            keeper.take(&piece);
        }
        let (bytes, _, trouble) = keeper.close();
        assert_eq!(trouble, None);
        (std::fs::read_to_string(path).unwrap_or_default(), bytes)
    }

    #[test]
    fn a_key_that_comes_line_by_line_is_no_more_kept_than_one_that_comes_at_once() {
        let body = ["q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C2v3B4n5M6q7W8e9R0t1Y2"; 6];
        let mut lines = vec!["before\n".to_owned(), "-----BEGIN RSA PRIVATE KEY-----\n".to_owned()];
        lines.extend(body.map(|line| format!("{line}\n")));
        lines.extend(["-----END RSA PRIVATE KEY-----\n".to_owned(), "after\n".to_owned()]);
        let (text, _) = kept(lines.iter().map(|line| line.clone().into_bytes()));
        assert_eq!(text, kept([lines.concat().into_bytes()]).0);
        assert!(text.starts_with("before\n") && text.ends_with("after\n"), "{text}");
        assert!(!text.contains("q1W2e3"), "{text}");
        // One that never ends is not waited for.
        let (text, _) = kept(lines[..4].iter().map(|line| line.clone().into_bytes()));
        assert!(text.starts_with("before\n") && !text.contains("q1W2e3"), "{text}");
    }

    #[test]
    fn a_value_on_later_lines_is_no_more_kept_when_it_comes_later() {
        for (pieces, rest) in [
            (&["db:\n  password:\n", "    Sw06pass!\n", "  port: 1\n"][..], "  port: 1\n"),
            (&["PASSWORD=\"one\n", "Sw06pass! two\"\n", "ls\n"], "ls\n"),
            (&["password: |\n", "    Sw06pass!\n", "    Sw06pass!\n", "port: 1\n"], "port: 1\n"),
            (&["api_key:\n", "\n", "  Sw06pass!1\n"], ""),
        ] {
            let (text, _) = kept(pieces.iter().map(|piece| piece.as_bytes().to_vec()));
            assert_eq!(text, kept([pieces.concat().into_bytes()]).0);
            assert!(text.ends_with(rest), "{text}");
            if !pieces[1].trim().is_empty() {
                assert!(!text.contains("Sw06pass"), "{text}");
            }
        }
    }

    #[test]
    fn ordinary_output_is_not_held_back() {
        for lines in [
            "running 3 tests:\n",
            "it's a quote\n",
            "say \"this\n",
            "name: |\n",
            "PASSWORD=\"$X\"\n",
            "port:\n",
            "password: \"x1\"\n",
        ] {
            assert_eq!(open_value(lines.as_bytes()), None, "{lines}");
        }
        // Nor is more held back than a value can be long.
        let many = "password: |\n".to_owned() + &"  x\n".repeat(MAX_VALUE);
        assert_eq!(open_value(many.as_bytes()), None);
        assert_eq!(open_value(b"a\npassword:\n"), Some(2));
    }

    #[test]
    fn a_secret_in_a_line_without_an_end_is_not_taken_apart() {
        for before in (MAX_LINE - 120..MAX_LINE + 60).step_by(7) {
            let line = format!("{} {TOKEN} {}", "x ".repeat(before / 2), "y ".repeat(MAX_LINE));
            for size in [line.len(), 4096, 1000] {
                let (text, bytes) = kept(line.as_bytes().chunks(size).map(<[u8]>::to_vec));
                assert!(!text.contains("ghp_") && !text.contains("IJ0123"), "{before} {size}");
                assert_eq!(bytes, line.len() as u64);
                assert!(text.contains("x  [redacted:") && text.ends_with("y y "), "{before} {size}");
            }
        }
    }

    #[test]
    fn beginning_and_end_are_kept_of_lines_of_one_line_and_of_noise() {
        let lines: Vec<u8> = (0..400_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let one = vec![b'z'; 5_000_000];
        let noise: Vec<u8> =
            (0..5_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (whole, end) in [(lines, "line 399999\n"), (one, "zzz"), (noise, "")] {
            let (text, bytes) = kept(whole.chunks(65_536).map(<[u8]>::to_vec));
            assert_eq!(bytes, whole.len() as u64);
            assert!(text.contains(" bytes are left out here]\n") && text.ends_with(end), "{end}");
            assert!(text.len() < OUTPUT_HEAD + 3 * OUTPUT_TAIL + MAX_KEY, "{} bytes", text.len());
            assert!(text.len() > OUTPUT_HEAD + OUTPUT_TAIL / 2, "{} bytes", text.len());
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "ä€𝄞".repeat(20_000);
        let (text, _) = kept(line.as_bytes().chunks(1023).map(<[u8]>::to_vec));
        assert_eq!(text, line);
    }
}
