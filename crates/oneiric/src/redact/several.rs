//! Secrets under a name that says that they are several: `passwords:` above a list, `api_keys = ["…"]`, `secrets:` above names
//! and values. Lists of names and of files stand there as often, so each item must look made up.

use super::names::{self, Class};
use super::{Span, effort, prose};

/// A list is followed at most this far.
const MAX_LIST: usize = 2048;

/// The class of each of what `name` names.
pub(super) fn class(name: &str) -> Option<Class> {
    let single = name.strip_suffix(['s', 'S'])?;
    // `pass` is no plural.
    names::classify(single).filter(|class| matches!(class, Class::Password | Class::Secret | Class::Key))
}

/// Adds the secrets in the list or below the name of `class` at `name_start..name_end`.
pub(super) fn find(text: &[u8], name_start: usize, name_end: usize, class: Class, spans: &mut Vec<Span>) {
    let limit = text.len().min(name_end + MAX_LIST);
    let mut at = name_end + usize::from(matches!(text.get(name_end), Some(b'"' | b'\'')));
    at += blanks(&text[at..limit]);
    if !matches!(text.get(at), Some(b':' | b'=')) || at >= limit {
        return;
    }
    at += 1;
    at += blanks(&text[at..limit]);
    effort::spend(limit - at);
    match text.get(at) {
        Some(b'[') => in_brackets(text, at + 1, limit, class, spans),
        Some(b'\n' | b'\r') => below(text, name_start, at, limit, class, spans),
        _ => {}
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

fn in_brackets(text: &[u8], from: usize, limit: usize, class: Class, spans: &mut Vec<Span>) {
    let list = &text[from..limit];
    let list = &list[..list.iter().position(|byte| matches!(byte, b']' | b'[' | b'{' | b'(')).unwrap_or(list.len())];
    let mut at = from;
    for item in list.split(|byte| *byte == b',') {
        spans.extend(secret(text, at, item, class));
        at += item.len() + 1;
    }
}

fn below(text: &[u8], name_start: usize, at: usize, limit: usize, class: Class, spans: &mut Vec<Span>) {
    let line_start =
        text[..name_start].iter().rev().take(128).take_while(|byte| matches!(byte, b' ' | b'-' | b'"' | b'\''));
    let inset = line_start.count();
    let mut at = at + usize::from(text[at] == b'\r') + 1;
    while at < limit {
        let line = text[at..limit].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let indent = blanks(line);
        let content = &line[indent..];
        let item = content.strip_prefix(b"- ");
        let deeper = indent > inset || (item.is_some() && indent == inset);
        if !deeper && !content.trim_ascii().is_empty() {
            return;
        }
        let value = match item {
            Some(item) => Some(item),
            // `name: value`
            None => super::structure::find(content, b": ").map(|colon| &content[colon + 2..]),
        };
        if let Some(value) = value {
            let start = at + line.len() - value.len();
            spans.extend(secret(text, start, value, class));
        }
        at += line.len() + 1;
    }
}

/// The secret that `item` at `start` is.
fn secret(text: &[u8], start: usize, item: &[u8], class: Class) -> Option<Span> {
    let front = item.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let item = item[front..].trim_ascii_end();
    let start = start + front;
    let (start, word) = match item {
        [quote @ (b'"' | b'\''), inner @ ..] => (start + 1, inner.split(|byte| byte == quote).next()?),
        _ => (start, item.split(u8::is_ascii_whitespace).next()?),
    };
    let word = word.strip_suffix(b",").unwrap_or(word);
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte);
    let constant = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let name = (word.iter().all(plain) || word.iter().all(constant))
        && std::str::from_utf8(word).is_ok_and(|word| names::classify_any(word).is_some());
    // What is called something has no capitals and no signs: `db-password-2`, `v2alpha1`.
    let short = word.len() < 12 || word.iter().any(|byte| b"-_.".contains(byte));
    let called = class != Class::Password && word.iter().all(plain) && short;
    let closed = text.get(start + word.len()) != Some(&b':');
    (prose::is_shaped(word) && !name && !called && closed).then_some(Span {
        start,
        end: start + word.len(),
        kind: class.kind(),
    })
}
