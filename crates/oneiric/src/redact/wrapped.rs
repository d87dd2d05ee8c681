//! Secrets that programs hand on: wrapped, `password: Some("…")`, `[]byte("…")`; given to what sets them, `.password("…")`;
//! and beside a user's name, `SetBasicAuth("ada", "…")`. Tests hand on words as well, so that only what looks made up is one.

use super::assign::{self, Join};
use super::judge::Quoted;
use super::names::Class;
use super::{Span, code, extent, judge, prose};

/// Wrappers inside of each other, at most.
const MAX_DEPTH: usize = 3;
/// Names of wrappers and arguments are followed at most this far.
const MAX_WORD: usize = 64;

/// The secret in wrappers that begin at `at`: `String::from("…")`, `Some(Box::new("…"))`.
pub(super) fn value(text: &[u8], at: usize, class: Class) -> Option<Span> {
    const WRAPPERS: [&[u8]; 16] = [
        b"Some",
        b"Ok",
        b"new",
        b"from",
        b"of",
        b"byte",
        b"bytes",
        b"str",
        b"String",
        b"string",
        b"Secret",
        b"SecretStr",
        b"SecretString",
        b"Zeroizing",
        b"Ptr",
        b"Just",
    ];
    let mut at = at;
    for depth in 0..=MAX_DEPTH {
        if text.get(at).is_some_and(|byte| assign::is_quote(*byte)) {
            return if depth == 0 { None } else { literal(text, at, class) };
        }
        at += usize::from(text.get(at..)?.starts_with(b"[]")) * 2;
        let path = text[at..].iter().take(MAX_WORD);
        let path = path.take_while(|byte| byte.is_ascii_alphanumeric() || b"_.:".contains(byte)).count();
        let name = text[at..at + path].rsplit(|byte| matches!(byte, b'.' | b':')).next()?;
        if !WRAPPERS.contains(&name) || text.get(at + path) != Some(&b'(') {
            return None;
        }
        at += path + 1;
    }
    None
}

/// The secret that is given to the call of a name, of which the bracket stands at `at`: `set_password("…")`,
/// `.password("…")`.
pub(super) fn argument(text: &[u8], name: &[u8], at: usize, class: Class) -> Option<Span> {
    const SETTERS: [&[u8]; 9] =
        [b"set", b"with", b"change", b"update", b"check", b"verify", b"hash", b"enter", b"fill"];
    if text.get(at) != Some(&b'(') {
        return None;
    }
    let last = name.rsplit(|byte| *byte == b'.').next()?;
    let sets = SETTERS.iter().any(|word| last.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    let whole = [&b"password"[..], b"passwd", b"passphrase", b"pwd"].iter().any(|word| last.eq_ignore_ascii_case(word));
    if !(sets || whole) {
        return None;
    }
    let at = at + 1;
    let quote = text.get(at).is_some_and(|byte| assign::is_quote(*byte));
    let span = if quote { literal(text, at, class) } else { value(text, at, class) }?;
    matches!(text.get(span.end + 1), Some(b')' | b',' | b'.')).then_some(span)
}

/// The password behind a user's name, of which the first of two arguments begins at `at`: `("ada", "…")`.
pub(super) fn login(text: &[u8], at: usize) -> Option<Span> {
    let near = &text[at..text.len().min(at + MAX_WORD)];
    let comma =
        near.iter().position(|byte| matches!(byte, b',' | b'(' | b')' | b'\n')).filter(|at| near[*at] == b',')?;
    let at = at + comma + 1;
    let at = at + assign::blanks(text, at);
    let quote = text.get(at).is_some_and(|byte| assign::is_quote(*byte));
    if quote { literal(text, at, Class::Password) } else { value(text, at, Class::Password) }
}

/// The text in quotes at `at`, where it looks made up.
pub(super) fn literal(text: &[u8], at: usize, class: Class) -> Option<Span> {
    let found = extent::of(text, at, Join::Spaced, false).filter(|found| found.quoted)?;
    let secret = &text[found.start..found.end];
    let shaped = secret.len() < 256 && (prose::is_shaped(secret) || (secret.len() >= 8 && code::is_made_up(secret)));
    (shaped && judge::is_secret(class, secret, Quoted::Yes, Join::Spaced, true)).then_some(Span {
        start: found.start,
        end: found.end,
        kind: class.kind(),
    })
}
