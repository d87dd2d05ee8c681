//! Secrets that a command line writes to another program's standard input: `echo … | docker login --password-stdin`,
//! `sudo -S … <<< …`.

use super::{MARK, Span, judge, structure};

/// What says that a program reads a secret from its standard input, and what of that is secret: all of it, or what follows
/// a character.
pub(super) const READERS: &[(&str, Option<u8>)] = &[
    ("--password-stdin", None),
    ("--with-token", None),
    ("--token-stdin", None),
    ("--secret-stdin", None),
    ("passwd --stdin", None),
    ("--passphrase-fd 0", None),
    ("--passphrase-fd=0", None),
    ("sudo -S", None),
    ("sudo --stdin", None),
    ("chpasswd", Some(b':')),
];

/// A line is followed at most this far, back and on.
const MAX_LINE: usize = 1024;

/// The secret that the line of `at..end`, where a program is told to read one, gives to it.
pub(super) fn secret(text: &[u8], at: usize, end: usize, behind: Option<u8>) -> Option<Span> {
    let before = text.get(at.saturating_sub(MAX_LINE)..at)?;
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let begin = at - line.len();
    let found = piped(line).map(|(from, to)| (begin + from, begin + to));
    let (start, end) = found.or_else(|| here(text, end))?;
    let mut secret = &text[start..end];
    let mut start = start;
    if let Some(separator) = behind {
        let skipped = secret.iter().position(|byte| *byte == separator)? + 1;
        start += skipped;
        secret = &secret[skipped..];
    }
    (!secret.is_empty() && !judge::is_reference(secret, false) && !secret.starts_with(MARK.as_bytes()))
        .then_some(Span { start, end: start + secret.len(), kind: "password" })
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

/// The word behind `<<<` on the rest of the line.
fn here(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = &text[from..text.len().min(from + MAX_LINE)];
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut at = structure::find(line, b"<<<")? + 3;
    at += line[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (start, end) = bare(line, at, word(line, at, line.len()));
    Some((from + start, from + end))
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
