//! Secrets whose name stands beside them as a value of its own: `["--password", "…"]`, `setenv("DB_PASSWORD", "…")`,
//! `name: DB_PASSWORD` above `value: …`, `process.env.API_KEY || '…'`.

use super::assign::{self, Join};
use super::judge::Quoted;
use super::names::{self, Class};
use super::{Span, extent, fields, judge, prose};

/// Between a name and its value so many blanks, line breaks and commas are passed over at most.
const MAX_GAP: usize = 64;

/// The secret beside the name `name_start..name_end`; what follows the name, with the quote that closes it, begins at `at`.
pub(super) fn value(text: &[u8], name_start: usize, name_end: usize, at: usize, class: Class) -> Option<Span> {
    let quoted = at > name_end;
    if let Some(span) = field(text, name_start, name_end, at, class) {
        return Some(span);
    }
    if text.get(at).is_some_and(|next| matches!(next, b'\r' | b'\n' | b'<'))
        && let Some(span) = fields::value(text, name_start, at, quoted, class)
    {
        return Some(span);
    }
    if quoted && text.get(at) == Some(&b',') {
        return element(text, name_start, name_end, at + 1, class);
    }
    fallback(text, name_start, name_end, at, class)
}

/// `name: DB_PASSWORD` and `value: …`, in YAML, JSON, XML and what looks like them.
fn field(text: &[u8], name_start: usize, name_end: usize, at: usize, class: Class) -> Option<Span> {
    if !is_field_of_name(text, name_start) {
        return None;
    }
    let gap = assign::count(text, at, |byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';')).min(MAX_GAP);
    let escaped = escaped_break(text, at + gap);
    let mut at = at + gap + escaped;
    // `<property name="db.password">…</property>`
    if gap == 0 && text.get(at) == Some(&b'>') {
        return assign::judged(text, at + 1, Join::Element, class, b"value");
    }
    if gap + escaped == 0 {
        return None;
    }
    at += around(text, at);
    let length = [&b"value"[..], b"val"]
        .iter()
        .find(|word| text.get(at..at + word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word)))?
        .len();
    at += length;
    at += around(text, at);
    if !matches!(text.get(at), Some(b':' | b'=')) {
        return None;
    }
    at += 1 + assign::blanks(text, at + 1);
    let name = &text[name_start..name_end];
    assign::judged(text, at, Join::Colon, class, name)
}

/// Whether what begins at `at` is the value of `name` or `key`.
fn is_field_of_name(text: &[u8], at: usize) -> bool {
    let head = &text[at.saturating_sub(24)..at];
    let trim = |bytes: &[u8]| -> usize {
        bytes
            .iter()
            .rposition(|byte| !matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'*'))
            .map_or(0, |last| last + 1)
    };
    let Some((b':' | b'=', head)) = head[..trim(head)].split_last() else { return false };
    let head = &head[..trim(head)];
    let word = head.len() - head.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    head[word..].eq_ignore_ascii_case(b"name") || head[word..].eq_ignore_ascii_case(b"key")
}

fn escaped_break(text: &[u8], at: usize) -> usize {
    let is_break = text.get(at) == Some(&b'\\') && matches!(text.get(at + 1), Some(b'n' | b't'));
    if is_break { 2 + assign::blanks(text, at + 2) } else { 0 }
}

/// Quotes, their escapes and blanks at `at`.
fn around(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().take(8).take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'\t')).count()
}

/// The next element of a list or the next argument of a call, in quotes.
fn element(text: &[u8], name_start: usize, name_end: usize, at: usize, class: Class) -> Option<Span> {
    let name = &text[name_start..name_end];
    let gap = assign::count(text, at, |byte| byte.is_ascii_whitespace()).min(MAX_GAP);
    let found = extent::of(text, at + gap, Join::Spaced, false).filter(|found| found.quoted)?;
    let secret = &text[found.start..found.end];
    let flag = name.starts_with(b"-");
    let constant = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    let first = || {
        let head = &text[name_start.saturating_sub(16)..name_start];
        let quotes = head.iter().rev().take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b' ')).count();
        head[..head.len() - quotes].last() == Some(&b'(')
    };
    let credentials =
        matches!(class, Class::Authorization | Class::Cookie) && secret.len() >= 8 && !secret.contains(&b' ');
    // A list of names: `["API_KEY", "DB_PASSWORD"]`.
    let letters = !secret.iter().any(u8::is_ascii_digit);
    let told = letters && std::str::from_utf8(secret).is_ok_and(|secret| names::classify(secret).is_some());
    let likely = if flag {
        // The key of an object, the name of the parameter, a text for people.
        let key = text.get(found.end + 1).is_some_and(|byte| *byte == b':');
        let spelled = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
        let bare: Vec<u8> = name.iter().skip_while(|byte| **byte == b'-').map(spelled).collect();
        let text_of_people = secret.contains(&b' ') && !secret.iter().any(u8::is_ascii_digit);
        !(secret.starts_with(b"-") || key || secret == bare || text_of_people)
    } else {
        // Elsewhere in a list stand names as well: `"password", "scram-sha-256"`.
        let plain = !secret.iter().any(|byte| matches!(byte, b'_' | b'-' | b'.'));
        !told
            && if first() {
                constant || credentials || prose::is_shaped(secret)
            } else {
                plain && prose::is_shaped(secret)
            }
    };
    (likely && judge::is_secret(class, secret, Quoted::Yes, Join::Spaced, true)).then_some(Span {
        start: found.start,
        end: found.end,
        kind: class.kind(),
    })
}

/// What is taken where a variable is not set: `process.env.API_KEY || '…'`.
fn fallback(text: &[u8], name_start: usize, name_end: usize, at: usize, class: Class) -> Option<Span> {
    let at = at + assign::count(text, at, |byte| matches!(byte, b' ' | b')')).min(8);
    let rest = text.get(at..)?;
    let at = at + [&b"|| "[..], b"?? ", b"or "].iter().find(|operator| rest.starts_with(operator))?.len();
    let at = at + assign::blanks(text, at);
    let quoted = matches!(text.get(at), Some(b'"' | b'\''));
    let span = assign::judged(text, at, Join::Spaced, class, &text[name_start..name_end]).filter(|_| quoted)?;
    (!text[span.start..span.end].iter().any(u8::is_ascii_whitespace)).then_some(span)
}
