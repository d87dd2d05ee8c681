//! A text as a person reads it: without the colours of a terminal and the numbers of lines, and with what its escapes
//! stand for. Secrets are found in it and taken out of the original.

use super::{Span, effort};

/// The control sequences of one string for the terminal's title, its links or its marks are not longer.
const MAX_STRING: usize = 4096;

/// A text, and where its pieces stand in the original.
#[derive(Default)]
pub(super) struct View {
    pub text: String,
    pieces: Vec<Piece>,
}

struct Piece {
    /// Where it begins in the view.
    at: usize,
    /// Where it stands in the original.
    from: usize,
    to: usize,
    /// Whether it reads the same there, byte for byte.
    same: bool,
}

impl View {
    /// `text` without control sequences, real ones and those written as escapes, and without the numbers of its lines;
    /// `None` when it has neither.
    pub(super) fn plain(text: &str, coloured: bool) -> Option<Self> {
        let bytes = text.as_bytes();
        let numbered = is_numbered(bytes);
        if !numbered && !coloured {
            return None;
        }
        effort::spend(bytes.len());
        let mut view = Self::default();
        // What a terminal does not show is text all the same, such as the address of a link.
        let mut aside = Vec::new();
        let (mut at, mut kept, mut line_begins) = (0, 0, true);
        while at < bytes.len() {
            let number = if numbered && line_begins { number(bytes, at).map(|(_, end)| end) } else { None };
            let sequence = if coloured { sequence(bytes, at) } else { None };
            line_begins = bytes[at] == b'\n';
            let end = match (number, sequence) {
                (Some(end), _) => end,
                (_, Some(sequence)) => sequence.end,
                _ => {
                    at += 1;
                    continue;
                }
            };
            view.keep(text, kept, at);
            if let (None, Some(Sequence { hidden, moves, .. })) = (number, sequence) {
                if moves {
                    view.put(' ', at, end);
                }
                aside.extend(hidden);
            }
            (at, kept) = (end, end);
        }
        if kept == 0 {
            return None;
        }
        view.keep(text, kept, bytes.len());
        for (from, to) in aside {
            view.put('\n', from, from);
            view.keep(text, from, to);
        }
        Some(view)
    }

    /// What the string of JSON between `from` and `to` of `text` stands for. An escape that is none is left out.
    pub(super) fn unescaped(text: &str, from: usize, to: usize) -> Self {
        let mut view = Self::default();
        let bytes = text.as_bytes();
        let (mut at, mut kept) = (from, from);
        while let Some(slash) = bytes[at..to].iter().position(|byte| *byte == b'\\') {
            view.keep(text, kept, at + slash);
            at += slash;
            let (length, character) = escape(&bytes[at..to]);
            if let Some(character) = character {
                view.put(character, at, at + length);
            }
            at = text.ceil_char_boundary(at + length).min(to);
            kept = at;
        }
        view.keep(text, kept, to);
        view
    }

    fn keep(&mut self, text: &str, from: usize, to: usize) {
        if from < to {
            self.pieces.push(Piece { at: self.text.len(), from, to, same: true });
            self.text.push_str(&text[from..to]);
        }
    }

    fn put(&mut self, character: char, from: usize, to: usize) {
        self.pieces.push(Piece { at: self.text.len(), from, to, same: false });
        self.text.push(character);
    }

    /// Where a stretch of the view stands in the original, with what was left out in between.
    pub(super) fn original(&self, span: Span) -> Option<Span> {
        let piece = |at: usize| self.pieces.get(self.pieces.partition_point(|piece| piece.at <= at).checked_sub(1)?);
        let (first, last) = (piece(span.start)?, piece(span.end.checked_sub(1)?)?);
        let start = if first.same { first.from + span.start - first.at } else { first.from };
        let end = if last.same { last.from + span.end - last.at } else { last.to };
        (start < end).then_some(Span { start, end, kind: span.kind })
    }
}

/// The length of the escape of JSON that `rest` begins with, and what it stands for.
fn escape(rest: &[u8]) -> (usize, Option<char>) {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let character = match rest.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => {
            let Some(first) = unit(0) else { return (2, None) };
            let pair = unit(6).filter(|_| (0xd800..0xdc00).contains(&first));
            let length = if pair.is_some() { 12 } else { 6 };
            let units = [Some(first), pair];
            return (length, char::decode_utf16(units.into_iter().flatten()).next().and_then(Result::ok));
        }
        Some(byte) if byte.is_ascii() => char::from(*byte),
        _ => return (1, None),
    };
    (2, Some(character))
}

/// A control sequence of a terminal.
#[derive(Clone, Copy)]
struct Sequence {
    end: usize,
    /// Whether it moves what follows away from what stands before.
    moves: bool,
    /// The string in it.
    hidden: Option<(usize, usize)>,
}

/// What control sequences begin with, as programs and people write it down; `[`, `]` or `(` follows.
pub(super) const WRITTEN: &[&str] =
    &["\x1b[", "\x1b]", "\x1b(", "\\u001b", "\\x1b", "\\033", "\\e[", "\\e]", "\\u{1b}", "^[[", "\u{241b}["];

/// The control sequence that begins at `at`.
fn sequence(text: &[u8], at: usize) -> Option<Sequence> {
    const MAX_SLASHES: usize = 16;
    let rest = &text[at..];
    let real = rest[0] == 0x1b;
    let begin = match rest {
        [0x1b, ..] => 1,
        [b'^', b'[', b'[', ..] => 2,
        [0xe2, 0x90, 0x9b, ..] => 3,
        [b'\\', ..] => {
            let slashes = rest.iter().take(MAX_SLASHES).take_while(|byte| **byte == b'\\').count();
            let written = &rest[slashes..];
            let is = |word: &&&[u8]| written.get(..word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word));
            let words: [&[u8]; 5] = [b"u001b", b"x1b", b"033", b"e", b"u{1b}"];
            slashes + words.iter().find(is)?.len()
        }
        _ => return None,
    };
    let shown = |end: usize, moves: bool| Sequence { end, moves, hidden: None };
    match rest.get(begin)? {
        // The set of signs that is chosen has a letter or digit for its name.
        b'(' if real && rest.get(begin + 1).is_some_and(u8::is_ascii_alphanumeric) => {
            Some(shown(at + begin + 2, false))
        }
        b'[' => {
            let parameters = &rest[begin + 1..];
            let length = parameters.iter().take(64).take_while(|byte| (0x20..0x40).contains(*byte)).count();
            let last = *parameters.get(length)?;
            // Written down it may be something else: a pattern, a path.
            let usual = if length > 0 { b"mKJHABCDGhl".contains(&last) } else { b"mKJH".contains(&last) };
            let usual = usual && parameters[..length].iter().all(|byte| byte.is_ascii_digit() || b";:?".contains(byte));
            let ends = if real { last.is_ascii_alphabetic() } else { usual };
            ends.then(|| shown(at + begin + 1 + length + 1, !matches!(last, b'm' | b'K')))
        }
        b']' if real => {
            let string = &rest[begin + 1..rest.len().min(begin + 1 + MAX_STRING)];
            let length = string.iter().position(|byte| matches!(byte, 0x07 | 0x1b | b'\n'))?;
            let closing = match string[length..] {
                [0x07, ..] => 1,
                [0x1b, b'\\', ..] => 2,
                _ => return None,
            };
            let from = at + begin + 1;
            Some(Sequence { end: from + length + closing, moves: false, hidden: Some((from, from + length)) })
        }
        b']' => {
            let digits = rest[begin + 1..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
            let opens = digits > 0 && rest.get(begin + 1 + digits) == Some(&b';');
            opens.then(|| shown(at + begin + 1 + digits + 1, true))
        }
        _ => None,
    }
}

/// Whether lines begin with their numbers, as in the files that agents are shown; a heading may stand above.
pub(super) fn is_numbered(text: &[u8]) -> bool {
    const HEADING: usize = 3;
    const MAX_LINE: usize = 4096;
    let mut before = None;
    let mut rest = text;
    for _ in 0..HEADING + 2 {
        let here = number(rest, 0).map(|(number, _)| number);
        if before.zip(here).is_some_and(|(before, here): (u32, u32)| before + 1 == here) {
            return true;
        }
        before = here;
        let Some(end) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else { return false };
        rest = &rest[end + 1..];
    }
    false
}

/// The number that the line at `at` begins with, and where its text begins: behind `12→`, a tab, `12:`, `12 |`.
fn number(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = &text[at..text.len().min(at + 32)];
    let inset = rest.iter().take(12).take_while(|byte| **byte == b' ').count();
    let digits = rest[inset..].iter().take(7).take_while(|byte| byte.is_ascii_digit()).count();
    let behind = inset + digits;
    let number = std::str::from_utf8(&rest[inset..behind]).ok()?.parse().ok()?;
    let sign = match &rest[behind..] {
        [0xe2, 0x86, 0x92, ..] => 3,
        [b'\t' | b':' | b'|', ..] => 1,
        [b' ', b'|', ..] => 2,
        _ => return None,
    };
    Some((number, at + behind + sign))
}
