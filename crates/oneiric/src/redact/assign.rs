//! Secrets that are given a name: `password=…`, `"token": "…"`, `--api-key …`, in shells, JSON, YAML, Python, headers
//! and connection strings.

use super::names::{self, Class};
use super::{MARK, Span, entropy, structure};

/// Values are followed at most this far.
const MAX_VALUE: usize = 8 * 1024;
/// Header lines are followed at most this far.
const MAX_HEADER: usize = 4 * 1024;

/// How name and value are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
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
        at = after_type(text, at);
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
    let reference = !found.quoted && secret.len() < 256 && (generic || is_code(class, secret, name, join));
    (!reference && is_secret_value(class, secret, &found, join, quoted_name)).then_some(Span {
        start: found.start,
        end: found.end,
        kind: class.kind(),
    })
}

/// Whether a text under a secret key is the secret itself: not empty, not a mask, not where to find it.
pub(super) fn is_literal(class: Class, text: &str) -> bool {
    let value = text.as_bytes();
    let place = class != Class::Password && is_place(value);
    !(is_masked(value) || structure::is_reference(value) || place || (text.starts_with(MARK) && text.ends_with(']')))
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
            b'\n' | b'\r' if !triple => break,
            _ => at += 1,
        }
    }
    Found { start, end: at.min(text.len()), quoted: true }
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
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b'\\' if line.get(at + 1).is_none_or(|next| matches!(next, b'n' | b't' | b'r' | b'\n' | b'\r')) => break,
            b'\\' => at += 1,
            b' ' | b'\t' | b'\n' | b'\r' | b'&' | b';' | b'|' | b'"' | b'\'' | b'`' | b'<' | b'>' => break,
            b')' | b']' | b'}' if !line[..at].iter().any(|byte| matches!(byte, b'(' | b'[' | b'{')) => break,
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
        && !is_masked(secret)
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

/// Whether a value without quotes is a piece of a program: a call, a field, a type, the name itself.
fn is_code(class: Class, value: &[u8], name: &[u8], join: Join) -> bool {
    const OWNERS: &[&[u8]] = &[
        b"self",
        b"this",
        b"os",
        b"env",
        b"process",
        b"args",
        b"opts",
        b"options",
        b"config",
        b"cfg",
        b"settings",
        b"ctx",
        b"req",
        b"request",
        b"params",
        b"props",
        b"state",
        b"secrets",
        b"std",
        b"cli",
        b"conf",
        b"data",
        b"form",
        b"user",
        b"event",
        b"import",
        b"typing",
        b"var",
        b"local",
        b"module",
        b"vault",
        b"input",
        b"body",
        b"json",
        b"session",
        b"app",
    ];
    const TYPES: &[&[u8]] = &[
        b"str",
        b"string",
        b"&str",
        b"text",
        b"int",
        b"integer",
        b"number",
        b"bool",
        b"boolean",
        b"bytes",
        b"any",
        b"object",
        b"secret",
        b"secretstr",
        b"password",
        b"token",
        b"varchar",
        b"option",
        b"optional",
        b"char",
        b"required",
        b"self",
    ];
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let first = &value[..value.iter().take_while(|byte| word(byte)).count()];
    let rest = &value[first.len()..];
    if !first.is_empty() && !first[0].is_ascii_digit() {
        let call = rest.first() == Some(&b'(') || (rest.first() == Some(&b'.') && value.contains(&b'('));
        if call || rest.starts_with(b"::") || rest.starts_with(b"->") {
            return join != Join::Tight || value.ends_with(b")") || rest.starts_with(b"(");
        }
        if matches!(rest.first(), Some(b'.' | b'[')) && OWNERS.iter().any(|owner| first.eq_ignore_ascii_case(owner)) {
            return true;
        }
    }
    let plain = value.strip_suffix(b",").unwrap_or(value);
    let stem = plain.split(|byte| matches!(byte, b'<' | b'[' | b'(')).next().unwrap_or_default();
    let is_type = join == Join::Colon && TYPES.iter().any(|kind| stem.eq_ignore_ascii_case(kind));
    let own_name = name.rsplit(|byte| *byte == b'.').next().unwrap_or(name);
    if is_type || plain == name || plain == own_name {
        return true;
    }
    // `token: CancellationToken`, `token = Name.Builtin`, `secret = {…}`
    let loose = matches!(join, Join::Spaced | Join::Colon);
    let letters = plain.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'));
    let named =
        || plain.contains(&b'.') || std::str::from_utf8(plain).is_ok_and(|plain| names::classify(plain).is_some());
    let opens = matches!(plain.first(), Some(b'{' | b'[' | b'('));
    loose && (opens || (class != Class::Password && letters && named()))
}

/// Whether a value is a secret of its class, and not a word, a number or a hint that stands in its place.
fn is_secret_value(class: Class, value: &[u8], found: &Found, join: Join, quoted_name: bool) -> bool {
    const WORDS: &[&[u8]] = &[
        b"true",
        b"false",
        b"null",
        b"none",
        b"nil",
        b"undefined",
        b"yes",
        b"no",
        b"on",
        b"off",
        b"required",
        b"optional",
    ];
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let all_digits = digits == value.len();
    if is_masked(value)
        || structure::is_reference(value)
        || value.starts_with(MARK.as_bytes())
        || WORDS.iter().any(|word| value.strip_suffix(b",").unwrap_or(value).eq_ignore_ascii_case(word))
        || (digits == 0 && !letters)
    {
        return false;
    }
    if class != Class::Password && is_place(value) {
        return false;
    }
    let length = value.len();
    let mixed = digits > 0 && letters;
    match class {
        Class::Password => true,
        Class::MaybePassword => {
            if is_place(value) || (all_digits && !found.quoted) {
                return false;
            }
            match join {
                Join::Tight | Join::Blank | Join::Element => length >= 4,
                _ => (found.quoted || quoted_name || mixed) && length >= 4,
            }
        }
        Class::Cookie => length >= 8 && value.contains(&b'='),
        Class::Secret | Class::Credential => length >= 4 && (found.quoted || !all_digits || length >= 8),
        Class::Key | Class::Token | Class::MaybeToken if !is_compact(value) => false,
        Class::Key | Class::Token => length >= 4 && !(all_digits && length < 6),
        Class::MaybeToken if join == Join::Blank => length >= 3,
        Class::MaybeToken => {
            let shaped = (length >= 8 && mixed) || length >= 16;
            shaped || (length >= 6 && !all_digits && (quoted_name || join == Join::Tight))
        }
        Class::Authorization => length >= 8 && mixed,
    }
}

/// Tokens and keys hold no blanks and no brackets; what does is a text or a pattern.
fn is_compact(value: &[u8]) -> bool {
    !value
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>'))
}

/// Stars, dots, crosses: somebody took it out already.
fn is_masked(value: &[u8]) -> bool {
    let masks = |byte: &u8| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'-' | b'_' | b' ' | b'#' | 0xe2 | 0x80 | 0xa2);
    value.is_empty() || value.iter().all(masks)
}

/// A file or an address, not what it holds. Base64 may begin with `/` as well, but does not read like a path.
fn is_place(value: &[u8]) -> bool {
    let path = ["/", "./", "../", "~/", "~\\", "C:\\"].iter().any(|start| value.starts_with(start.as_bytes()));
    let address = value.starts_with(b"http://") || value.starts_with(b"https://") || value.starts_with(b"file:");
    (path && !entropy::is_random(value, false)) || address
}
