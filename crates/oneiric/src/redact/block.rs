//! Key blocks: `-----BEGIN … KEY-----`, base64 in lines, `-----END … KEY-----`.

use super::Span;
use super::structure::find;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";

/// So long a run of base64 is no word; what short ones stand alone on a line may be the end of a key.
const LONG_RUN: usize = 16;
/// So long is every line of a certificate but the last.
const WHOLE_LINE: usize = 60;
/// A label such as `-----BEGIN RSA PRIVATE KEY-----` is not longer.
const MAX_LABEL: usize = 80;

/// A block where it stands.
pub(super) struct Block {
    pub start: usize,
    pub end: usize,
    pub private: bool,
    /// Whether there is more of it than its label.
    pub filled: bool,
}

/// The block that begins at `at`. It ends at its `-----END`; one that is only talked about or was cut off ends where the
/// next one begins, and a private one at the first line that is none of a key.
pub(super) fn beginning(text: &[u8], at: usize) -> Block {
    let body = label_end(text, at, BEGIN);
    let limit = find(&text[body..], BEGIN).map_or(text.len(), |offset| body + offset);
    let closing = find(&text[body..limit], END).map(|offset| body + offset);
    let private = find(&text[at..body], b"PRIVATE").is_some();
    let (reach, filled) =
        lines_of_key(&text[body..closing.unwrap_or(limit)], if private { LONG_RUN } else { WHOLE_LINE });
    let reach = body + reach;
    // The last line is short, and may stand behind the name of what printed it.
    const NEAR: usize = 256;
    let closes = |closing: &usize| !private || reach == *closing || (filled && closing - reach <= NEAR);
    let end = closing.filter(closes).map_or(reach, |closing| label_end(text, closing, END));
    Block { start: at, end, private, filled }
}

/// The part of a private key block before its end at `at`, when its beginning was cut off.
pub(super) fn ending(text: &[u8], at: usize) -> Option<Span> {
    let end = label_end(text, at, END);
    find(&text[at..end], b"PRIVATE")?;
    let inside = |byte: &u8| {
        byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || matches!(byte, b'+' | b'/' | b'=' | b'\\')
    };
    let length = text[..at].iter().rev().take(64 * 1024).take_while(|byte| inside(byte)).count();
    let before = &text[at - length..at];
    let (mut start, mut filled) = (at, false);
    let mut rest = before;
    loop {
        let line = (0..rest.len()).rev().find(|at| ends_line(rest, *at)).map_or(0, |at| at + 1);
        let Some(content) = line_of_key(&rest[line..], LONG_RUN) else { break };
        filled |= content;
        start = at - length + line;
        let Some(next) = line.checked_sub(1) else { break };
        rest = &rest[..next];
    }
    filled.then_some(Span { start, end, kind: "private-key" })
}

/// Where the label that begins at `at` with `word` ends, on the same line.
fn label_end(text: &[u8], at: usize, word: &[u8]) -> usize {
    let from = (at + word.len()).min(text.len());
    let rest = &text[from..text.len().min(at + MAX_LABEL)];
    let line = &rest[..rest.iter().position(|byte| matches!(byte, b'\n' | b'\r' | b'\\')).unwrap_or(rest.len())];
    match find(line, b"-----") {
        Some(dashes) => from + dashes + 5,
        // Cut off, or no label at all.
        None => from + find(line, b" KEY").map_or(0, |key| key + 4),
    }
}

/// How far lines of a key reach from the beginning of `body`, and whether any of them holds something.
fn lines_of_key(body: &[u8], least: usize) -> (usize, bool) {
    let (mut at, mut reach, mut filled) = (0, 0, false);
    while at < body.len() {
        let length = line_length(&body[at..]);
        match line_of_key(&body[at..at + length], least) {
            Some(true) => {
                filled = true;
                reach = at + length;
            }
            Some(false) => {}
            None => return (reach, filled),
        }
        at += length + 1;
    }
    (body.len(), filled)
}

/// The length of the first line of `text`.
fn line_length(text: &[u8]) -> usize {
    (0..text.len()).find(|at| ends_line(text, *at)).unwrap_or(text.len())
}

/// Whether a line ends with the byte at `at`; in JSON and in source code it ends with `\n` as well.
fn ends_line(text: &[u8], at: usize) -> bool {
    text[at] == b'\n' || (text[at] == b'n' && at > 0 && text[at - 1] == b'\\')
}

/// Whether a line is one of a key, and if so, whether it holds anything: base64, alone or behind what a program puts in
/// front of its lines, or a header. `least` is the length of a run that counts.
fn line_of_key(line: &[u8], least: usize) -> Option<bool> {
    const HEADERS: &[&[u8]] =
        &[b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:", b"Charset:", b"Hash:", b"MessageID:", b"Subject:"];
    let in_run = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let around = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b',' | b'+' | b'>' | b'#')
    };
    let front = line.iter().take_while(|byte| around(byte)).count();
    let back = line[front..].iter().rev().take_while(|byte| around(byte)).count();
    let line = &line[front..line.len() - back];
    if !line.iter().any(u8::is_ascii_alphanumeric) && line.len() < LONG_RUN {
        return Some(false);
    }
    if HEADERS.iter().any(|header| line.starts_with(header)) {
        return Some(true);
    }
    let (mut all, mut long) = (0, 0);
    for run in line.split(|byte| !in_run(*byte)) {
        all += run.len();
        if run.len() >= least {
            long += run.len();
        }
    }
    let alone = all == line.len() && least == LONG_RUN;
    let bytes = line.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    (alone || long * 2 >= bytes).then_some(true)
}
