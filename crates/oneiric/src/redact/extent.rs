//! Where a value begins and where it ends: in quotes, between tags, as a word of a shell, alone on its line.

use super::assign::{self, Join, MAX_VALUE, count, is_blank, is_quote};
use super::{code, structure};

/// White space before the value of an element, at most.
const MAX_INSET: usize = 64;

/// A value where it stands.
pub(super) struct Found {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
}

/// Where the value at `at` begins and ends.
pub(super) fn of(text: &[u8], at: usize, join: Join, whole_line: bool) -> Option<Found> {
    let limit = text.len().min(at + MAX_VALUE);
    let rest = text.get(at..limit)?;
    match join {
        Join::Element => {
            const CDATA: &[u8] = b"<![CDATA[";
            // The value may have a line of its own.
            let inset = rest.iter().take(MAX_INSET).take_while(|byte| byte.is_ascii_whitespace()).count();
            let cdata = if rest[inset..].starts_with(CDATA) { CDATA.len() } else { 0 };
            let start = at + inset + cdata;
            let value = &rest[inset + cdata..];
            let ends = |byte: &u8| matches!(byte, b'<' | b'\n') || (cdata > 0 && *byte == b']');
            let Some(end) = value.iter().position(ends) else {
                // Longer than any that is followed to its end.
                return (rest.len() == MAX_VALUE).then_some(Found { start, end: limit, quoted: true });
            };
            let behind = value[end..].trim_ascii_start();
            let closed = behind.starts_with(if cdata > 0 { b"]]>" } else { b"</" });
            let end = start + value[..end].trim_ascii_end().len();
            return closed.then_some(Found { start, end, quoted: true });
        }
        Join::Encoded => {
            let ends =
                |at: usize| rest[at..].starts_with(b"%22") || rest[at].is_ascii_whitespace() || is_quote(rest[at]);
            let end = (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
            return Some(Found { start: at, end: at + end, quoted: true });
        }
        Join::Fallback => {
            let end = rest.iter().position(|byte| matches!(byte, b'}' | b'\n')).unwrap_or(rest.len());
            return Some(Found { start: at, end: at + end, quoted: true });
        }
        _ => {}
    }
    // `b"…"`, `r'…'`, `f"…"`, `N'…'`, `$'…'`, `@"…"`
    let lead = usize::from(
        matches!(rest.first(), Some(b'b' | b'r' | b'f' | b'u' | b'N' | b'$' | b'@'))
            && rest.get(1).is_some_and(|byte| is_quote(*byte)),
    );
    let slashes = count(text, at + lead, |byte| byte == b'\\');
    let (before, name) = name_before(text, at);
    // In `"NAME=…"`, the next quote ends both.
    let in_quotes_whole = before.last().is_some_and(|byte| is_quote(*byte));
    if let Some(quote) = text.get(at + lead + slashes).copied().filter(|byte| is_quote(*byte)) {
        let found = in_quotes(text, at + lead + slashes, quote, slashes);
        let close = found.end + 1;
        if join == Join::Tight && !in_quotes_whole && lead + slashes == 0 && text.get(found.end) == Some(&quote) {
            let end = shell_word(text, at, close);
            if end > close {
                return Some(Found { start: at, end, quoted: true });
            }
        }
        return Some(found);
    }
    let line = match (join, before.last()) {
        (Join::Colon | Join::Spaced, _) if whole_line => line_value(rest, join),
        // `-e "NAME=x&y"`
        (Join::Tight, Some(quote)) if is_quote(*quote) => assignment_in_quotes(rest, *quote),
        _ => None,
    };
    // What ends at a blank and not at a bracket: `--password x`, `?password=x`.
    let argument = join == Join::Blank
        || (join == Join::Tight && (name.starts_with(b"--") || matches!(before.last(), Some(b'?' | b'&'))));
    let word = line.unwrap_or_else(|| unquoted(rest, join, whole_line && join == Join::Tight, argument));
    let plain = word > 0 && rest[..word].iter().all(|byte| byte.is_ascii_alphanumeric() || code::SIGNS.contains(byte));
    let end =
        if join == Join::Tight && plain && !in_quotes_whole { shell_word(text, at, at + word) } else { at + word };
    (word > 0).then_some(Found { start: at, end, quoted: end > at + word })
}

/// Where the word of a shell ends that begins at `start` and of which the first piece ends at `end`: quotes stand in it as
/// well as around it, `Win"ter 2024"'!'`.
fn shell_word(text: &[u8], start: usize, end: usize) -> usize {
    const MAX_PIECES: usize = 16;
    let stops = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || b";|&<>(),}]\\".contains(byte);
    let line = assign::line_before(text, start);
    // The quotes of a longer line cannot be counted.
    if line.len() >= assign::MAX_LINE {
        return end;
    }
    let mut at = end;
    for _ in 0..MAX_PIECES {
        let rest = &text[at..text.len().min(at + MAX_VALUE)];
        match rest {
            // The apostrophe of a sentence.
            [b'\'', b's', next, ..] if !next.is_ascii_alphanumeric() => break,
            // What goes on behind a list, a call or a text around.
            [b'"' | b'\'', b',' | b':' | b']' | b'}' | b')' | b' ', ..] => break,
            [quote @ (b'"' | b'\''), inside @ ..] if !assign::is_open(line, *quote) => {
                match inside.iter().position(|byte| byte == quote || *byte == b'\n') {
                    Some(close) if close > 0 && inside[close] == *quote => at += close + 2,
                    _ => break,
                }
            }
            [first, ..] if first.is_ascii_alphanumeric() => {
                at += rest.iter().position(stops).unwrap_or(rest.len());
            }
            _ => break,
        }
    }
    at
}

/// The name before a value, behind `=` or nothing, and what stands before it.
fn name_before(text: &[u8], at: usize) -> (&[u8], &[u8]) {
    let head = &text[at.saturating_sub(64)..at];
    let head = head.strip_suffix(b"=").unwrap_or(head);
    let name = head.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)).count();
    head.split_at(head.len() - name)
}

/// What stands behind the beginning of a value, up to the quote that ends its assignment when that stands in quotes:
/// brackets behind it belong to something else.
pub(super) fn within(text: &[u8], start: usize) -> &[u8] {
    let (before, _) = name_before(text, start);
    let rest = &text[start..];
    match before.last().filter(|byte| is_quote(**byte)) {
        Some(quote) => rest.split(|byte| byte == quote).next().unwrap_or_default(),
        None => rest,
    }
}

/// The length of a value whose assignment stands in quotes alone, and that holds what would else end it.
fn assignment_in_quotes(rest: &[u8], quote: u8) -> Option<usize> {
    let value = rest.split(|byte| *byte == quote || byte.is_ascii_whitespace()).next()?;
    let follows = |at: usize| matches!(value[at], b'&' | b';' | b',') && names_follow(&value[at + 1..]);
    let alone = rest.get(value.len()) == Some(&quote) && !(0..value.len()).any(follows);
    (alone && code::is_made_up(value)).then_some(value.len())
}

/// How much further than its first word, which ends at `end`, a value reaches that is alone on its line: `Winter 2024!`. A
/// command behind an assignment is no part of it: `PASSWORD=x make test`.
pub(super) fn more_words(text: &[u8], name_start: usize, end: usize, join: Join) -> usize {
    const MAX_WORDS: usize = 5;
    let line = |from: usize| {
        let rest = &text[from..text.len().min(from + 128)];
        rest.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default()
    };
    let rest = line(end);
    let rest = &rest[..structure::find(rest, b" #").unwrap_or(rest.len())].trim_ascii_end();
    let sign = |word: &[u8]| word.iter().any(|byte| b"!@#%^*".contains(byte));
    let number = |word: &[u8]| word.iter().take_while(|byte| byte.is_ascii_digit()).count() > 1;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.!@#%^*+~".contains(byte) || is_blank(*byte);
    let mut words = rest.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
    if !rest.first().is_some_and(|byte| is_blank(*byte)) || !rest.iter().all(plain) || words.clone().count() > MAX_WORDS
    {
        return 0;
    }
    let next = words.next().unwrap_or_default();
    let made_up = sign(next) || number(next);
    let whole = match join {
        Join::Colon => made_up || words.any(|word| sign(word) || number(word)),
        Join::Tight if assign::line_before(text, name_start).is_empty() => {
            let below = line(text.len().min(end + line(end).len() + 1));
            let above = name_start.checked_sub(1).map_or(&b""[..], |at| assign::line_before(text, at));
            made_up || (words.any(sign) && (is_setting(above) || is_setting(below)))
        }
        _ => false,
    };
    if whole { rest.len() } else { 0 }
}

/// Whether a line is one of a file of settings, `NAME=value`.
fn is_setting(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b'_');
    let name = name.count();
    name > 0 && line.get(name) == Some(&b'=') && !line.iter().any(|byte| is_blank(*byte) || b"$`(".contains(byte))
}

/// A value in quotes, of which the opening one stands at `open` behind `slashes` backslashes.
fn in_quotes(text: &[u8], open: usize, quote: u8, slashes: usize) -> Found {
    let triple = slashes == 0 && text.get(open + 1) == Some(&quote) && text.get(open + 2) == Some(&quote);
    let start = if triple { open + 3 } else { open + 1 };
    let limit = text.len().min(start + MAX_VALUE);
    let mut at = start;
    while at < limit {
        match text[at] {
            b'\\' => {
                let run = count(text, at, |byte| byte == b'\\');
                // Inside quotes that are themselves escaped, the same escape closes them, and a longer one none.
                let closes = run <= slashes || run % 2 == 0;
                if slashes > 0 && closes && text.get(at + run) == Some(&quote) {
                    break;
                }
                let literal = |next: &u8| run % 2 == 1 && *next != b'\n' && (slashes == 0 || *next == quote);
                at += run + usize::from(text.get(at + run).is_some_and(literal));
            }
            byte if byte == quote && (!triple || text[at..].starts_with(&[quote; 3])) => {
                let inside = if slashes == 0 && !triple && at > start { quote_inside(&text[at..limit]) } else { 0 };
                if inside == 0 {
                    break;
                }
                at += inside;
            }
            b'\n' | b'\r' if !triple => {
                at = later_line(&text[at..limit], quote).map_or(at, |length| at + length);
                break;
            }
            _ => at += 1,
        }
    }
    Found { start, end: at.min(text.len()), quoted: true }
}

/// The length of what stands for a single quote between single quotes: `'\''` in shells, `''` in YAML and SQL.
fn quote_inside(rest: &[u8]) -> usize {
    match rest {
        [b'\'', b'\\', b'\'', b'\'', ..] => 4,
        [b'\'', b'\'', next, ..] if next.is_ascii_alphanumeric() => 2,
        _ => 0,
    }
}

/// How far quotes reach that do not end on their line, when they end on one of the next ones and nothing goes on behind
/// them there. An apostrophe in prose is followed by more words.
fn later_line(rest: &[u8], quote: u8) -> Option<usize> {
    const MOST: usize = 16;
    let close = rest.iter().position(|byte| *byte == quote)?;
    let lines = rest[..close].iter().filter(|byte| **byte == b'\n').count();
    let ends =
        matches!(rest.get(close + 1), None | Some(b'\n' | b'\r' | b';' | b',' | b')' | b'&' | b'|' | b'}' | b']'));
    (lines <= MOST && ends).then_some(close)
}

/// The words of a passphrase, up to a remark.
pub(super) fn phrase(text: &[u8], at: usize, name: &[u8], whole_line: bool) -> Option<Found> {
    let is_phrase = name.len() >= 6 && name[name.len() - 6..].eq_ignore_ascii_case(b"phrase");
    let line = text[at..text.len().min(at + MAX_VALUE)].split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    if !whole_line || !is_phrase || line.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()) {
        return None;
    }
    let end = structure::find(line, b" #").unwrap_or(line.len());
    Some(Found { start: at, end: at + line[..end].trim_ascii_end().len(), quoted: false })
}

/// The length of a value without quotes that is alone on the line of its name, as in YAML; it may hold anything but blanks,
/// and brackets as long as they are not those of a program.
fn line_value(rest: &[u8], join: Join) -> Option<usize> {
    let line = rest.split(|byte| matches!(byte, b'\n' | b'\r')).next()?.trim_ascii_end();
    if line.iter().any(u8::is_ascii_whitespace) || structure::find(line, b"\\n").is_some() {
        return None;
    }
    // What may close a list, a call or a text around.
    let kept = line.iter().rposition(|byte| !b",;:.)]}\"'`\\".contains(byte))?;
    let brackets = line.iter().any(|byte| matches!(byte, b'<' | b'(' | b'[' | b'{'));
    let in_brackets = line.windows(2).any(|two| matches!(two, [b'(' | b'[', quote] if is_quote(*quote)));
    let code = || [&b"&&"[..], b"||", b"->", b"=>", b"::"].iter().any(|sign| structure::find(line, sign).is_some());
    if in_brackets
        || (join == Join::Spaced && code())
        || ((brackets || join == Join::Spaced) && !code::is_made_up(line.strip_suffix(b",").unwrap_or(line)))
    {
        return None;
    }
    Some(kept + 1)
}

/// The length of a value without quotes at the beginning of `line`, which goes on with what follows the line.
fn unquoted(line: &[u8], join: Join, whole_line: bool, argument: bool) -> usize {
    if whole_line {
        let end = line.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(line.len());
        let whole = line[..end].trim_ascii_end();
        let commands = structure::find(whole, b"&&").or_else(|| structure::find(whole, b"||"));
        let made_up = |from: usize| {
            let command = &whole[from + 2..];
            command.first().is_some_and(u8::is_ascii_digit) || command.iter().any(|byte| b"!@#%^*(".contains(byte))
        };
        if commands.is_none_or(made_up) && !whole.iter().any(u8::is_ascii_whitespace) {
            return whole.len();
        }
    }
    let (mut at, mut opened) = (0, false);
    while at < line.len() {
        match line[at] {
            b'\\' if line.get(at + 1).is_none_or(|next| matches!(next, b'n' | b't' | b'r' | b'\n' | b'\r')) => break,
            b'\\' if ends_escaped(&line[at..]) => break,
            // A bracket behind a backslash opens all the same.
            b'\\' => {
                at += 1;
                opened |= matches!(line[at], b'(' | b'[' | b'{');
            }
            byte if ends_word(byte) => break,
            b'(' | b'[' | b'{' => opened = true,
            b')' | b']' | b'}' if !opened => {
                let rest = &line[at + 1..];
                let word = line[at] == b')' && rest.first().is_some_and(u8::is_ascii_alphanumeric);
                // Once a bracket belongs to the word, all do.
                opened = word || (argument && word_goes_on(rest));
                if !opened {
                    break;
                }
            }
            b',' if line.get(at + 1).is_none_or(|next| is_blank(*next)) || names_follow(&line[at + 1..]) => break,
            _ => {}
        }
        at += 1;
    }
    let value = &line[..at.min(line.len())];
    match join {
        // Prose ends its sentences.
        Join::Colon if value.len() > 1 => value.strip_suffix(b".").unwrap_or(value).len(),
        _ => value.len(),
    }
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'&' | b';' | b'|' | b'"' | b'\'' | b'`' | b'<' | b'>')
}

/// Whether letters or digits follow behind a bracket before the word ends: neither an address in Markdown nor a field.
fn word_goes_on(rest: &[u8]) -> bool {
    let field = rest.first().is_some_and(|byte| b"].,:/-".contains(byte));
    !field && rest.iter().take(64).take_while(|byte| !ends_word(**byte)).any(u8::is_ascii_alphanumeric)
}

/// Whether an escaped quote closes a string here, in JSON that is a text.
fn ends_escaped(rest: &[u8]) -> bool {
    let slashes = rest.iter().take(16).take_while(|byte| **byte == b'\\').count();
    rest.get(slashes) == Some(&b'"') && rest.get(slashes + 1).is_none_or(|next| b",}]) \n\\".contains(next))
}

/// Whether what follows a comma is the next `name=`.
fn names_follow(rest: &[u8]) -> bool {
    let name = rest
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    name > 0 && matches!(rest.get(name), Some(b'=' | b':'))
}
