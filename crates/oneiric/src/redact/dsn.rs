//! Passwords in the addresses of databases that are no URLs: `user:password@tcp(host)`, `jdbc:oracle:thin:user/password@…`,
//! the lines of `.pgpass`.

use super::{MARK, Span, judge};

/// An address is followed at most this far.
const MAX_ADDRESS: usize = 256;

/// The password before `@tcp(` or `@unix(` at `at`.
pub(super) fn before_protocol(text: &[u8], at: usize) -> Option<Span> {
    let recent = &text[at.saturating_sub(MAX_ADDRESS)..at];
    let word = recent.rsplit(ends).next()?;
    let colon = word.iter().position(|byte| *byte == b':')?;
    let start = at - word.len() + colon + 1;
    (colon > 0 && !text[start..].starts_with(b"//")).then_some(())?;
    span(text, start, at)
}

/// The password behind `oracle:thin:`, which ends before `at`.
pub(super) fn oracle(text: &[u8], at: usize) -> Option<Span> {
    let rest = &text[at..text.len().min(at + MAX_ADDRESS)];
    let address = rest.split(ends).next()?;
    let slash = address.iter().position(|byte| *byte == b'/')?;
    let host = address.iter().rposition(|byte| *byte == b'@')?;
    if host < slash { None } else { span(text, at + slash + 1, at + host) }
}

/// The password of a line of `.pgpass`, of which the port between colons stands at `start..end`.
pub(super) fn pgpass(text: &[u8], start: usize, end: usize) -> Option<Span> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'*');
    let host = start.checked_sub(1).is_some_and(|before| plain(&text[before]));
    let rest = &text[end..text.len().min(end + MAX_ADDRESS)];
    let line = rest.split(ends).next()?;
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (database, user, password) = (fields.next()?, fields.next()?, fields.next()?);
    let named = |field: &[u8]| !field.is_empty() && field.iter().all(plain);
    (host && named(database) && named(user) && user.iter().any(u8::is_ascii_alphabetic)).then_some(())?;
    let start = end + line.len() - password.len();
    span(text, start, end + line.len())
}

fn ends(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'=' | b'<' | b'>')
}

fn span(text: &[u8], start: usize, end: usize) -> Option<Span> {
    let secret = &text[start..end];
    (!secret.is_empty() && !judge::is_reference(secret, false) && !secret.starts_with(MARK.as_bytes()))
        .then_some(Span { start, end, kind: "password" })
}
