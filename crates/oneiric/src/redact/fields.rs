//! Secrets in fields of which one part is the name and another one the value: forms, property lists, settings in XML, changes
//! that a plan shows.

use super::assign;
use super::judge::{self, Quoted};
use super::names::Class;
use super::{MARK, Span, structure};

/// Fields are followed at most this far.
const MAX: usize = 4096;

/// The value of the field that the name which ends before `at` is of: of a form when it stood in quotes, else of XML.
pub(super) fn value(text: &[u8], name_start: usize, at: usize, quoted: bool, class: Class) -> Option<Span> {
    let (start, end) = if quoted { of_form(text, name_start, at)? } else { of_elements(text, at)? };
    let secret = &text[start..end];
    judge::is_secret(class, secret, Quoted::Verbatim, assign::Join::Colon, true).then_some(Span {
        start,
        end,
        kind: class.kind(),
    })
}

/// `Content-Disposition: form-data; name="password"`, an empty line, and the value.
fn of_form(text: &[u8], name_start: usize, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..text.len().min(at + MAX)];
    let gap = [&b"\r\n\r\n"[..], b"\n\n"].iter().find(|gap| rest.starts_with(gap))?.len();
    structure::find(assign::line_before(text, name_start), b"form-data")?;
    let value = rest[gap..].split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    Some((at + gap, at + gap + value.len()))
}

/// `<key>password</key><string>…</string>`, `<name>db.password</name> <value>…</value>`.
fn of_elements(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..text.len().min(at + MAX)];
    let closing = [&b"</key>"[..], b"</name>", b"</Key>", b"</Name>", b"</string>"];
    let name = closing.iter().find(|tag| rest.starts_with(tag))?.len();
    let gap = rest[name..].iter().take(64).take_while(|byte| byte.is_ascii_whitespace()).count();
    let opening = [&b"<string>"[..], b"<value>", b"<Value>"];
    let tag = opening.iter().find(|tag| rest[name + gap..].starts_with(tag))?.len();
    let from = name + gap + tag;
    let length = rest[from..].iter().position(|byte| *byte == b'<')?;
    rest[from + length..].starts_with(b"</").then_some((at + from, at + from + length))
}

/// `span` with the new value of a change: `password = "old" -> "new"`.
pub(super) fn with_new(text: &[u8], span: Span) -> Span {
    const CHANGE: &[u8] = b"\" -> \"";
    let rest = &text[span.end..text.len().min(span.end + MAX)];
    if !rest.starts_with(CHANGE) {
        return span;
    }
    let value = &rest[CHANGE.len()..];
    let ends = |at: &usize| value[*at] == b'\n' || (value[*at] == b'"' && (*at == 0 || value[*at - 1] != b'\\'));
    let end = (0..value.len()).find(ends).unwrap_or(value.len());
    if value.starts_with(MARK.as_bytes()) {
        return span;
    }
    Span { end: span.end + CHANGE.len() + end, ..span }
}
