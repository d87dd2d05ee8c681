//! Secrets that are given a name: `password=…`, `"token": "…"`, `--api-key …`, in shells, JSON, YAML, Python, headers
//! and connection strings.

use super::judge;
use super::names::Class;
use super::{MARK, Span, structure};

/// Values are followed at most this far.
pub(super) const MAX_VALUE: usize = 8 * 1024;
/// Header lines are followed at most this far.
const MAX_HEADER: usize = 4 * 1024;

/// How name and value are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// `name=value`.
    Tight,
    /// `name = value`, `name := value`, `name => value`.
    Spaced,
    /// `name: value`.
    Colon,
    /// `--name value`, `ENV NAME value`.
    Blank,
    /// `${NAME:-value}`.
    Fallback,
    /// `<name>value</name>`.
    Element,
}

/// A value where it stands.
struct Found {
    start: usize,
    end: usize,
    quoted: bool,
}

/// The secret that is given to the name at `name_start..name_end`, whose class is `class`.
pub(super) fn value(text: &[u8], name_start: usize, name_end: usize, class: Class) -> Option<Span> {
    let name = &text[name_start..name_end];
    let before = name_start.checked_sub(1).map(|at| text[at]);
    let mut at = name_end;
    at += count(text, at, |byte| byte == b'\\');
    let quoted_name = matches!(text.get(at), Some(b'"' | b'\'' | b'`')) && matches!(before, Some(b'"' | b'\'' | b'`'));
    if quoted_name {
        at += 1;
    } else {
        at = name_end;
    }
    // `os.environ["NAME"] = …`
    at += count(text, at, |byte| byte == b']').min(1);
    let blanks = count(text, at, is_blank);
    let (join, mut at) = joined(text, name_start, at, blanks, class)?;
    at += count(text, at, is_blank);
    if join == Join::Colon {
        at = next_line(text, name_start, at).unwrap_or_else(|| after_type(text, at));
    }
    let in_header = join == Join::Colon || (class == Class::Authorization && has_scheme(text, at));
    if matches!(class, Class::Authorization | Class::Cookie) && in_header {
        return header(text, at, before, class);
    }
    if matches!(text.get(at), Some(b'|' | b'>')) && join == Join::Colon {
        return block(text, at, class);
    }
    let whole_line = join == Join::Tight && begins_line(text, name_start);
    let found = extent(text, at, join, whole_line)?;
    let secret = &text[found.start..found.end];
    let generic = join == Join::Colon && text.get(found.end) == Some(&b'<');
    let reference = !found.quoted && secret.len() < 256 && (generic || judge::is_code(class, secret, name, join));
    (!reference && judge::is_secret(class, secret, found.quoted, join, quoted_name)).then_some(Span {
        start: found.start,
        end: found.end,
        kind: class.kind(),
    })
}

fn count(text: &[u8], from: usize, allowed: impl Fn(u8) -> bool) -> usize {
    text.get(from..).map_or(0, |rest| rest.iter().take(MAX_VALUE).take_while(|byte| allowed(**byte)).count())
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// How the value is joined to the name that ends before `at`, and where what follows begins.
fn joined(text: &[u8], name_start: usize, at: usize, blanks: usize, class: Class) -> Option<(Join, usize)> {
    let after = at + blanks;
    let rest = text.get(after..)?;
    let spaced =
        |tight: Join| if blanks > 0 || rest.get(1).is_some_and(|byte| is_blank(*byte)) { Join::Spaced } else { tight };
    match rest {
        [b'=', b'=' | b'>', ..] | [b':', b'=', ..] => return Some((Join::Spaced, after + 2)),
        [b'=', ..] => return Some((spaced(Join::Tight), after + 1)),
        [b':', b'-', ..] if blanks == 0 && text[..name_start].ends_with(b"${") => {
            return Some((Join::Fallback, after + 2));
        }
        [b':', b':', ..] => return None,
        [b':', ..] => return Some((Join::Colon, after + 1)),
        [b'%', b'3', b'D' | b'd', ..] => return Some((Join::Tight, after + 3)),
        [b'>', ..] if blanks == 0 && name_start > 0 && text[name_start - 1] == b'<' => {
            return Some((Join::Element, after + 1));
        }
        _ => {}
    }
    let next = rest.first()?;
    if blanks == 0 || matches!(next, b'\n' | b'\r' | b'-' | b'|' | b'&' | b';' | b'<' | b'>' | b')') {
        return None;
    }
    let name = &text[name_start..at];
    let flag = name.starts_with(b"-");
    let password = matches!(class, Class::Password | Class::MaybePassword);
    // SQL says `PASSWORD 'x'` and `IDENTIFIED BY 'x'`; redis `requirepass x`; netrc `login x password y`.
    let quoted = class == Class::Password && matches!(next, b'"' | b'\'');
    let statement = quoted || name.eq_ignore_ascii_case(b"requirepass") || name.eq_ignore_ascii_case(b"masterauth");
    (flag || statement || line_sets(text, name_start, password)).then_some((Join::Blank, after))
}

/// Whether the words before a name on its line are those of a statement that sets it to the next word.
fn line_sets(text: &[u8], name_start: usize, password: bool) -> bool {
    let line = line_before(text, name_start);
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let setter = [&b"ENV"[..], b"ARG", b"set", b"setx", b"setenv", b"export"];
    let sets = words.next().is_some_and(|word| setter.contains(&word)) && words.all(|word| word.starts_with(b"-"));
    sets || (password
        && (line.trim_ascii_start().starts_with(b"machine ") || structure::find(line, b"login ").is_some()))
}

fn line_before(text: &[u8], at: usize) -> &[u8] {
    let recent = &text[at.saturating_sub(512)..at];
    recent.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Whether an assignment stands alone at the beginning of its line, as in `.env` files: then its value may hold anything.
fn begins_line(text: &[u8], name_start: usize) -> bool {
    let before = line_before(text, name_start).trim_ascii();
    before.is_empty() || before == b"export"
}

/// Where the value of `name:` stands when it is alone on the next line, further in than the name: in YAML, and in JSON and
/// Python that somebody wrapped.
fn next_line(text: &[u8], name_start: usize, at: usize) -> Option<usize> {
    let rest = text.get(at..text.len().min(at + MAX_VALUE))?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    if !rest[..end].trim_ascii().is_empty() {
        return None;
    }
    let line = rest[end + 1..].split(|byte| *byte == b'\n').next()?;
    let inset = |line: &[u8]| line.iter().take_while(|byte| is_blank(**byte)).count();
    let value = line.trim_ascii();
    let open = is_quote(*value.first()?);
    // Not the first entry of a list or a map, nor a remark.
    let scalar = open
        || !(value.iter().any(u8::is_ascii_whitespace) || matches!(value[0], b'-' | b'#') || value.ends_with(b":"));
    let deeper = inset(line) > inset(line_before(text, name_start));
    let key = open && value.iter().rposition(|byte| is_quote(*byte)).is_some_and(|last| value[last..].contains(&b':'));
    (scalar && deeper && !key).then_some(at + end + 1 + inset(line))
}

/// Skips a type: `password: str = "x"`, `let password: &str = "x"`.
fn after_type(text: &[u8], at: usize) -> usize {
    let in_type = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'&' | b'\'' | b'_' | b'<' | b'>' | b'[' | b']' | b'.' | b':' | b' ' | b'|' | b'?')
    };
    let length = text[at..].iter().take(64).take_while(|byte| in_type(**byte)).count();
    let is_assigned =
        length > 1 && length < 60 && text.get(at + length) == Some(&b'=') && text[at + length - 1] == b' ';
    if !is_assigned || text.get(at + length + 1) == Some(&b'=') {
        return at;
    }
    let value = at + length + 1;
    value + count(text, value, is_blank)
}

/// Where the value at `at` begins and ends.
fn extent(text: &[u8], at: usize, join: Join, whole_line: bool) -> Option<Found> {
    let limit = text.len().min(at + MAX_VALUE);
    let rest = text.get(at..limit)?;
    match join {
        Join::Element => {
            let end = rest.iter().position(|byte| matches!(byte, b'<' | b'\n'))?;
            return rest[end..].starts_with(b"</").then_some(Found { start: at, end: at + end, quoted: true });
        }
        Join::Fallback => {
            let end = rest.iter().position(|byte| matches!(byte, b'}' | b'\n')).unwrap_or(rest.len());
            return Some(Found { start: at, end: at + end, quoted: true });
        }
        _ => {}
    }
    // `b"…"`, `r'…'`, `f"…"`, `$'…'`, `@"…"`
    let lead = usize::from(
        matches!(rest.first(), Some(b'b' | b'r' | b'f' | b'u' | b'$' | b'@'))
            && rest.get(1).is_some_and(|byte| is_quote(*byte)),
    );
    let slashes = count(text, at + lead, |byte| byte == b'\\');
    if let Some(quote) = text.get(at + lead + slashes).copied().filter(|byte| is_quote(*byte)) {
        return Some(in_quotes(text, at + lead + slashes, quote, slashes));
    }
    let word = unquoted(rest, join, whole_line);
    (word > 0).then_some(Found { start: at, end: at + word, quoted: false })
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
                // Inside quotes that are themselves escaped, the same escape closes them.
                if slashes > 0 && run <= slashes && text.get(at + run) == Some(&quote) {
                    break;
                }
                let literal = |next: &u8| run % 2 == 1 && slashes == 0 && *next != b'\n';
                at += run + usize::from(text.get(at + run).is_some_and(literal));
            }
            byte if byte == quote && (!triple || text[at..].starts_with(&[quote; 3])) => break,
            b'\n' | b'\r' if !triple => {
                at = later_line(&text[at..limit], quote).map_or(at, |length| at + length);
                break;
            }
            _ => at += 1,
        }
    }
    Found { start, end: at.min(text.len()), quoted: true }
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

/// The length of a value without quotes at the beginning of `line`, which goes on with what follows the line.
fn unquoted(line: &[u8], join: Join, whole_line: bool) -> usize {
    if whole_line {
        let end = line.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(line.len());
        let whole = line[..end].trim_ascii_end();
        let commands = structure::find(whole, b"&&").or_else(|| structure::find(whole, b"||"));
        if commands.is_none() && !whole.iter().any(u8::is_ascii_whitespace) {
            return whole.len();
        }
    }
    let (mut at, mut opened) = (0, false);
    while at < line.len() {
        match line[at] {
            b'\\' if line.get(at + 1).is_none_or(|next| matches!(next, b'n' | b't' | b'r' | b'\n' | b'\r')) => break,
            // A bracket behind a backslash opens all the same.
            b'\\' => {
                at += 1;
                opened |= matches!(line[at], b'(' | b'[' | b'{');
            }
            b' ' | b'\t' | b'\n' | b'\r' | b'&' | b';' | b'|' | b'"' | b'\'' | b'`' | b'<' | b'>' => break,
            b'(' | b'[' | b'{' => opened = true,
            b')' | b']' | b'}' if !opened => break,
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

/// Whether what follows a comma is the next `name=`.
fn names_follow(rest: &[u8]) -> bool {
    let name = rest
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    name > 0 && matches!(rest.get(name), Some(b'=' | b':'))
}

/// The credentials of an HTTP header: what follows the scheme, to the end of quotes or line.
fn header(text: &[u8], at: usize, before: Option<u8>, class: Class) -> Option<Span> {
    let slashes = count(text, at, |byte| byte == b'\\');
    let opening = text.get(at + slashes).copied().filter(|byte| is_quote(*byte));
    let (start, quote) = match opening {
        Some(quote) => (at + slashes + 1, Some(quote)),
        None => (at, before.filter(|byte| is_quote(*byte))),
    };
    let rest = text.get(start..text.len().min(start + MAX_HEADER))?;
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
    (!secret.is_empty()
        && !judge::is_masked(secret)
        && !structure::is_reference(secret)
        && !secret.starts_with(MARK.as_bytes()))
    .then_some(Span { start, end: start + secret.len(), kind: class.kind() })
}

fn is_known_scheme(word: &[u8]) -> bool {
    let known = [&b"bearer"[..], b"basic", b"token", b"digest", b"apikey", b"negotiate", b"aws4-hmac-sha256", b"key"];
    known.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Whether what stands at `at`, in quotes or not, begins with an authentication scheme.
fn has_scheme(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let rest = &rest[rest.iter().take(4).take_while(|byte| is_quote(**byte) || **byte == b'\\').count()..];
    let word = rest.iter().take(20).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    rest.get(word) == Some(&b' ') && is_known_scheme(&rest[..word])
}

/// A YAML block below `name: |`.
fn block(text: &[u8], at: usize, class: Class) -> Option<Span> {
    let head = count(text, at, |byte| !matches!(byte, b'\n'));
    if head > 4 {
        return None;
    }
    let mut end = at + head;
    let mut start = None;
    for line in text.get(at + head + 1..)?.split_inclusive(|byte| *byte == b'\n').take(256) {
        let indented = line.first().is_some_and(|byte| is_blank(*byte));
        if !indented && !line.trim_ascii().is_empty() {
            break;
        }
        let begin = end + 1;
        if start.is_none() {
            start = Some(begin + line.len() - line.trim_ascii_start().len());
        }
        end = begin + line.len() - 1;
    }
    let start = start?;
    let body = text.get(start..end.min(text.len()))?.trim_ascii_end();
    (!body.is_empty() && !body.starts_with(MARK.as_bytes())).then_some(Span {
        start,
        end: start + body.len(),
        kind: class.kind(),
    })
}
