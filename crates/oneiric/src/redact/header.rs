//! Credentials in the headers of HTTP: `Authorization: Bearer …`, `Cookie: …`.

use super::assign;
use super::names::Class;
use super::{MARK, Span, judge};

/// The credentials of an HTTP header: what follows the scheme, to the end of quotes or line.
pub(super) fn credentials(text: &[u8], at: usize, before: Option<u8>, class: Class) -> Option<Span> {
    let slashes = assign::count(text, at, |byte| byte == b'\\');
    let opening = text.get(at + slashes).copied().filter(|byte| assign::is_quote(*byte));
    let (start, quote) = match opening {
        Some(quote) => (at + slashes + 1, Some(quote)),
        None => (at, before.filter(|byte| assign::is_quote(*byte))),
    };
    let rest = text.get(start..text.len().min(start + assign::MAX_VALUE))?;
    // An object or a list that tells of the header.
    if opening.is_none()
        && matches!(rest, [b'{' | b'[', next, ..] if assign::is_quote(*next) || next.is_ascii_whitespace())
    {
        return None;
    }
    let ends = |byte: &u8| Some(*byte) == quote || matches!(byte, b'\n' | b'\r');
    let mut end = rest.iter().position(ends).unwrap_or(rest.len());
    end -= rest[..end].iter().rev().take_while(|byte| matches!(byte, b'\\' | b' ' | b',')).count();
    let line = &rest[..end];
    if class == Class::Cookie {
        let real = line.contains(&b'=') && line.len() >= 6 && !line.starts_with(MARK.as_bytes());
        return real.then_some(Span { start, end: start + end, kind: class.kind() });
    }
    let scheme = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let is_scheme = scheme > 0 && line.get(scheme) == Some(&b' ');
    let from = if is_scheme { scheme + 1 } else { 0 };
    // A header that is only talked about: `Authorization: required for all requests`.
    let secret = line.get(from..).unwrap_or_default().trim_ascii_start();
    let prose = is_scheme && !is_known_scheme(&line[..scheme]);
    let word = secret.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let talk = word.len() < secret.len() && word.iter().all(u8::is_ascii_lowercase);
    if (prose && !line.iter().any(u8::is_ascii_digit)) || talk {
        return None;
    }
    let start = start + end - secret.len();
    let only_scheme = !is_scheme && is_known_scheme(secret);
    (!secret.is_empty()
        && !only_scheme
        && !stands_for(secret)
        && !judge::is_masked(secret)
        && !judge::is_word(secret.split(|byte| b",;)}]".contains(byte)).next().unwrap_or_default())
        && !judge::is_reference(secret, false)
        && !secret.starts_with(MARK.as_bytes()))
    .then_some(Span { start, end: start + secret.len(), kind: class.kind() })
}

/// Whether the credentials of a header begin with what stands in their place: `<token>`, `{secret}`.
fn stands_for(secret: &[u8]) -> bool {
    let name = secret
        .iter()
        .skip(1)
        .take(40)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_-. ".contains(byte))
        .count();
    let close = secret.get(name + 1);
    name > 0
        && matches!((secret[0], close), (b'<', Some(b'>')) | (b'{', Some(b'}')))
        && !secret[1..=name].iter().any(u8::is_ascii_digit)
}

fn is_known_scheme(word: &[u8]) -> bool {
    let known = [&b"bearer"[..], b"basic", b"token", b"digest", b"apikey", b"negotiate", b"aws4-hmac-sha256", b"key"];
    known.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Whether what stands at `at`, in quotes or not, begins with an authentication scheme.
pub(super) fn has_scheme(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let rest = &rest[rest.iter().take(4).take_while(|byte| assign::is_quote(**byte) || **byte == b'\\').count()..];
    let word = rest.iter().take(20).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    rest.get(word) == Some(&b' ') && is_known_scheme(&rest[..word])
}
