//! Secrets in rows: `INSERT INTO users (name, password) VALUES ('ada', '…')`.

use super::assign::Join;
use super::judge::{self, Quoted};
use super::names::{self, Class};
use super::{Span, effort};

/// A statement is followed at most this far.
const MAX_STATEMENT: usize = 64 * 1024;
/// Its table and columns.
const MAX_COLUMNS: usize = 2048;

/// Adds the secrets of the statement whose table begins at `from`; says up to where it was read.
pub(super) fn find(text: &[u8], from: usize, spans: &mut Vec<Span>) -> usize {
    let head = &text[from..text.len().min(from + MAX_COLUMNS)];
    effort::spend(head.len());
    let Some(open) = head.iter().position(|byte| matches!(byte, b'(' | b';' | b'\'')) else { return from };
    let Some(close) = head.iter().position(|byte| *byte == b')').filter(|close| *close > open) else { return from };
    let columns: Vec<Option<Class>> = head[open + 1..close]
        .split(|byte| *byte == b',')
        .map(|column| {
            let name = std::str::from_utf8(column).ok()?;
            names::classify(name.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        })
        .collect();
    let behind = head[close + 1..].trim_ascii_start();
    let values = behind.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"values"));
    if head[open] != b'(' || !values || columns.iter().all(Option::is_none) {
        return from;
    }
    let mut at = from + head.len() - behind.len() + 6;
    let limit = text.len().min(at + MAX_STATEMENT);
    let (mut column, mut depth) = (0, 0_usize);
    let begin = at;
    while at < limit {
        match text[at] {
            b'(' => {
                depth += 1;
                if depth == 1 {
                    column = 0;
                }
            }
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => column += 1,
            b';' => break,
            quote @ (b'\'' | b'"') if depth > 0 => {
                let end = closing(text, at, limit, quote);
                if let Some(Some(class)) = columns.get(column).filter(|_| depth == 1) {
                    let secret = &text[at + 1..end];
                    if judge::is_secret(*class, secret, Quoted::Verbatim, Join::Colon, true) {
                        spans.push(Span { start: at + 1, end, kind: class.kind() });
                    }
                }
                at = end;
            }
            byte if depth == 0 && !byte.is_ascii_whitespace() && byte != b',' => break,
            _ => {}
        }
        at += 1;
    }
    effort::spend(at.saturating_sub(begin));
    at.min(limit)
}

/// Where the quotes that open at `at` close.
fn closing(text: &[u8], at: usize, limit: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while end < limit {
        match text[end] {
            b'\\' => end += 1,
            byte if byte == quote && text.get(end + 1) == Some(&quote) => end += 1,
            byte if byte == quote => return end,
            _ => {}
        }
        end += 1;
    }
    end.min(limit)
}
