//! Secrets that a command line writes to another program's standard input: `echo … | docker login --password-stdin`,
//! `sudo -S … <<< …`.

use super::{MARK, Span, judge, structure};

/// What says that a program reads a secret from its standard input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// The words of the command.
    pub words: &'static str,
    reads: Reads,
}

/// When a program reads a secret, and what of what it reads is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    Always,
    /// Always; what follows a character.
    After(u8),
    /// With the option `-S`.
    Sudo,
    /// When it stands right behind a pipe.
    Piped,
}

const fn reader(words: &'static str, reads: Reads) -> Reader {
    Reader { words, reads }
}

/// All readers.
pub(super) const READERS: &[Reader] = &[
    reader("--password-stdin", Reads::Always),
    reader("--with-token", Reads::Always),
    reader("--token-stdin", Reads::Always),
    reader("--secret-stdin", Reads::Always),
    reader("passwd --stdin", Reads::Always),
    reader("--passphrase-fd 0", Reads::Always),
    reader("--passphrase-fd=0", Reads::Always),
    reader("--data-file=-", Reads::Always),
    reader("secret create ", Reads::Always),
    reader("secret set ", Reads::Always),
    reader("secret put ", Reads::Always),
    reader("sudo -", Reads::Sudo),
    reader("passwd ", Reads::Piped),
    reader("chpasswd", Reads::After(b':')),
];

/// A line is followed at most this far, back and on.
const MAX_LINE: usize = 1024;
/// A document in a command is followed at most this far.
const MAX_DOCUMENT: usize = 4096;

/// The secret that the line of `at..end`, where a program is told to read one, gives to it.
pub(super) fn secret(text: &[u8], at: usize, end: usize, reader: &Reader) -> Option<Span> {
    // `sudo -s` is something else.
    if &text[at..end] != reader.words.as_bytes() || (reader.reads == Reads::Sudo && !asks_standard_input(text, end - 1))
    {
        return None;
    }
    if reader.reads == Reads::Piped && !is_behind_pipe(&text[at.saturating_sub(32)..at]) {
        return None;
    }
    let before = text.get(at.saturating_sub(MAX_LINE)..at)?;
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let begin = at - line.len();
    let found = piped(line).map(|(from, to)| (begin + from, begin + to));
    let (start, end) = found.or_else(|| here(text, end))?;
    let mut secret = &text[start..end];
    let mut start = start;
    if let Reads::After(separator) = reader.reads {
        let skipped = secret.iter().position(|byte| *byte == separator)? + 1;
        start += skipped;
        secret = &secret[skipped..];
    }
    (!secret.is_empty() && !judge::is_reference(secret, false) && !secret.starts_with(MARK.as_bytes()))
        .then_some(Span { start, end: start + secret.len(), kind: "password" })
}

/// Whether the options of `sudo` from `at` on have `-S` among them: `-kS`, `-u root -S`, `-p '' -S`.
fn asks_standard_input(text: &[u8], at: usize) -> bool {
    let line = text[at..text.len().min(at + 128)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut value = false;
    for word in line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()) {
        match word {
            b"--stdin" => return true,
            [b'-', b'-', ..] => value = false,
            [b'-', letters @ .., last] => {
                let short = letters.iter().chain([last]).all(u8::is_ascii_alphabetic);
                if short && (letters.contains(&b'S') || *last == b'S') {
                    return true;
                }
                value = matches!(last, b'u' | b'p' | b'g' | b'U' | b'h' | b'C' | b'r' | b't' | b'T' | b'D' | b'R');
            }
            _ if value => value = false,
            _ => return false,
        }
    }
    false
}

/// Whether a line ends in a pipe into the program that follows, as itself or another user.
fn is_behind_pipe(line: &[u8]) -> bool {
    let Some(pipe) = line.iter().rposition(|byte| *byte == b'|') else { return false };
    let between = line[pipe + 1..].trim_ascii();
    !line[pipe..].contains(&b'\n') && (between.is_empty() || between == b"sudo" || between.ends_with(b"/bin/"))
}

/// What `echo` or `printf` writes into the pipe that `line` ends behind.
fn piped(line: &[u8]) -> Option<(usize, usize)> {
    let pipe = line.iter().rposition(|byte| *byte == b'|')?;
    let writes = |program: &[u8]| {
        let found = |at: &usize| {
            line[*at..pipe].starts_with(program) && at.checked_sub(1).is_none_or(|before| !in_word(line[before]))
        };
        (0..pipe).rev().find(found).map(|at| at + program.len())
    };
    let from = writes(b"echo ").max(writes(b"printf "))?;
    let mut at = from;
    // Options, and the format of `printf '%s\n' …`.
    loop {
        at += line[at..pipe].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let word = word(line, at, pipe);
        let more = line[word..pipe].iter().any(|byte| !byte.is_ascii_whitespace());
        if word == at || !(line[at] == b'-' || (line[at..word].contains(&b'%') && more)) {
            break;
        }
        at = word;
    }
    // Something may stand between: `echo … | base64 -d | …`.
    let mut end = at;
    while end < pipe {
        let next = word(line, end, pipe);
        if next == end {
            if matches!(line[end], b'|' | b';' | b'&') {
                break;
            }
            end += 1;
        } else {
            end = next;
        }
    }
    Some(bare(line, at, end))
}

/// The word behind `<<<` on the rest of the line, or the document that begins below at `<<EOF`.
fn here(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = &text[from..text.len().min(from + MAX_LINE)];
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut at = structure::find(line, b"<<")? + 2;
    let word_follows = line.get(at) == Some(&b'<');
    at += usize::from(word_follows || line.get(at) == Some(&b'-'));
    at += line[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (start, end) = bare(line, at, word(line, at, line.len()));
    if word_follows {
        return Some((from + start, from + end));
    }
    let closing = &line[start..end];
    let begin = from + line.len() + 1;
    let below = text.get(begin..text.len().min(begin + MAX_DOCUMENT)).filter(|_| !closing.is_empty())?;
    let mut length = 0;
    for line in below.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii() == closing {
            return Some((begin, begin + below[..length].trim_ascii_end().len()));
        }
        length += line.len();
    }
    None
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Where the word at `at` ends; quotes keep blanks together.
fn word(line: &[u8], at: usize, limit: usize) -> usize {
    let (mut at, mut quote) = (at, None);
    while at < limit {
        match (quote, line[at]) {
            (None, b' ' | b'\t' | b'|' | b';' | b'&' | b')') => break,
            (_, b'\\') => at += 1,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    at.min(limit)
}

/// Without blanks and quotes around.
fn bare(line: &[u8], start: usize, end: usize) -> (usize, usize) {
    let around = |byte: &u8| matches!(byte, b'"' | b'\'' | b' ' | b'\t' | b'\\');
    let front = line[start..end].iter().take_while(|byte| around(byte)).count();
    let back = line[start + front..end].iter().rev().take_while(|byte| around(byte)).count();
    (start + front, end - back)
}
