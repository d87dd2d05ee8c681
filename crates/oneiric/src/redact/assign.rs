//! Secrets that are given a name: `password=…`, `"token": "…"`, `--api-key …`, in shells, JSON, YAML, Python, headers
//! and connection strings.

use super::judge::Quoted;
use super::names::{self, Class};
use super::{MARK, Span, command, fields, header, judge, pairs, prose, statement, structure};

/// Values are followed at most this far.
pub(super) const MAX_VALUE: usize = 64 * 1024;
/// White space before the value of an element, at most.
const MAX_INSET: usize = 64;

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
    /// `%22name%22%3A%22value%22`.
    Encoded,
}

/// A value where it stands.
pub(super) struct Found {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
}

/// [`value`] for the name at `name_start..name_end`, whatever its class.
pub(super) fn named(text: &[u8], name_start: usize, name_end: usize) -> Option<Span> {
    let name = std::str::from_utf8(&text[name_start..name_end]).ok()?;
    match names::classify(name) {
        Some(class) => value(text, name_start, name_end, class),
        None => {
            let (class, begin) = prose::spaced(text, name_start, name_end)?;
            value(text, begin, name_end, class)
        }
    }
}

/// The secret that is given to the name at `name_start..name_end`, whose class is `class`.
pub(super) fn value(text: &[u8], name_start: usize, name_end: usize, class: Class) -> Option<Span> {
    let before = name_start.checked_sub(1).map(|at| text[at]);
    let mut at = name_end;
    at += count(text, at, |byte| byte == b'\\');
    let quoted_name = matches!(text.get(at), Some(b'"' | b'\'' | b'`')) && matches!(before, Some(b'"' | b'\'' | b'`'));
    if quoted_name {
        at += 1;
    } else {
        at = name_end;
    }
    let behind = at;
    // `os.environ["NAME"] = …`
    at += count(text, at, |byte| byte == b']').min(1);
    // `**Password**: …`
    let emphasis = |at: usize| if before == Some(b'*') { count(text, at, |byte| byte == b'*').min(3) } else { 0 };
    at += emphasis(at);
    let blank = blanks(text, at);
    let Some((join, mut at)) = joined(text, name_start, at, blank, class) else {
        return pairs::value(text, name_start, name_end, behind, class)
            .or_else(|| prose::value(text, name_start, behind, class));
    };
    if join == Join::Colon {
        at += emphasis(at);
    }
    at += blanks(text, at);
    if matches!(join, Join::Colon | Join::Spaced | Join::Tight) {
        let here = if join == Join::Colon { after_type(text, at) } else { at };
        at = next_line(text, name_start, at, join).unwrap_or(here);
    }
    if !quoted_name && closes(text, name_start, at) {
        return None;
    }
    let in_header = join == Join::Colon || (class == Class::Authorization && header::has_scheme(text, at));
    if matches!(class, Class::Authorization | Class::Cookie) && in_header {
        return header::credentials(text, at, before, class);
    }
    if matches!(text.get(at), Some(b'|' | b'>')) && join == Join::Colon {
        return block(text, at, class);
    }
    let whole_line = begins_line(text, name_start, join);
    let name = &text[name_start..name_end];
    let found = match phrase(text, at, name, whole_line && join == Join::Colon) {
        Some(found) => found,
        None => extent(text, at, join, whole_line)?,
    };
    let span = judged_span(text, &found, join, class, name, quoted_name)?;
    Some(if found.quoted { fields::with_new(text, span) } else { span })
}

/// The value at `at`, of a name that stands elsewhere, when it is a secret.
pub(super) fn judged(text: &[u8], at: usize, join: Join, class: Class, name: &[u8]) -> Option<Span> {
    judged_span(text, &extent(text, at, join, false)?, join, class, name, true)
}

fn judged_span(text: &[u8], found: &Found, join: Join, class: Class, name: &[u8], quoted_name: bool) -> Option<Span> {
    let secret = &text[found.start..found.end];
    let generic = join == Join::Colon && text.get(found.end) == Some(&b'<');
    let flag = name.starts_with(b"-");
    // `MAX_TOKEN = 137,`, `KEY: u32 = 3226494487;`
    let number = || {
        let ended =
            matches!((join, text.get(found.end)), (Join::Spaced, Some(b',' | b';')) | (Join::Colon, Some(b';')));
        ended && secret.iter().all(u8::is_ascii_digit)
    };
    let code = || {
        generic
            || number()
            || (!flag && judge::is_code(class, secret, name, join))
            || judge::is_talk(&text[found.end..], class, secret, join)
    };
    let reference = !found.quoted && secret.len() < 256 && code();
    let single = found.quoted && (quoted_name && join == Join::Colon || text[found.start - 1] == b'\'');
    let quoted = match (found.quoted, single) {
        (false, _) => Quoted::No,
        (true, false) => Quoted::Yes,
        (true, true) => Quoted::Verbatim,
    };
    // `API key: …` is prose too.
    let likely = class != Class::MaybeKey || !name.contains(&b' ') || prose::is_shaped(secret);
    (!reference && likely && judge::is_secret(class, secret, quoted, join, quoted_name)).then_some(Span {
        start: found.start,
        end: found.end,
        kind: class.kind(),
    })
}

/// Whether a quote at `at` closes one that is open before the name on its line: `grep 'password=' file`.
fn closes(text: &[u8], name_start: usize, at: usize) -> bool {
    let Some(quote) = text.get(at).copied().filter(|byte| is_quote(*byte)) else { return false };
    if !text.get(at + 1).is_none_or(|next| next.is_ascii_whitespace() || b"),;]}:|&>$.+\"'".contains(next)) {
        return false;
    }
    let line = line_before(text, name_start);
    let in_word = |at: usize| line.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut open = false;
    for (at, byte) in line.iter().enumerate() {
        if *byte == quote {
            let apostrophe = at > 0 && in_word(at - 1) && in_word(at + 1);
            open ^= !apostrophe && (at == 0 || line[at - 1] != b'\\');
        }
    }
    open
}

pub(super) fn count(text: &[u8], from: usize, allowed: impl Fn(u8) -> bool) -> usize {
    text.get(from..).map_or(0, |rest| rest.iter().take(MAX_VALUE).take_while(|byte| allowed(**byte)).count())
}

/// Blanks at `at`, and line breaks that are continued.
pub(super) fn blanks(text: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        let more = count(text, at, is_blank);
        let more = more + command::continued(text, at + more);
        if more == 0 {
            return at - from;
        }
        at += more;
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_quote(byte: u8) -> bool {
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
        // The colon of Chinese and Japanese.
        [0xef, 0xbc, 0x9a, ..] => return Some((Join::Colon, after + 3)),
        [b'%', b'2', b'2', b'%', b'3', b'A' | b'a', b'%', b'2', b'2', ..] => return Some((Join::Encoded, after + 9)),
        [b'%', b'3', b'D' | b'd', ..] => return Some((Join::Tight, after + 3)),
        [b'>', ..] if blanks == 0 && begins_element(text, name_start) => return Some((Join::Element, after + 1)),
        // `<password encrypted="false">…`
        [byte, ..] if blanks > 0 && byte.is_ascii_alphabetic() && begins_element(text, name_start) => {
            let tag = &rest[..rest.len().min(256)];
            let end = tag.iter().position(|byte| matches!(byte, b'>' | b'<' | b'\n'))?;
            let opens = tag[end] == b'>' && tag[end - 1] != b'/';
            return opens.then_some((Join::Element, after + end + 1));
        }
        _ => {}
    }
    let next = rest.first()?;
    if blanks == 0 || matches!(next, b'\n' | b'\r' | b'-' | b'|' | b'&' | b';' | b'<' | b'>' | b')') {
        return None;
    }
    let name = &text[name_start..at];
    // `pulumi config set --secret NAME VALUE`
    if name == b"--secret" && statement::configures(line_before(text, name_start)) {
        return None;
    }
    let flag = name.starts_with(b"-");
    let password = matches!(class, Class::Password | Class::MaybePassword);
    // SQL says `PASSWORD 'x'` and `IDENTIFIED BY 'x'`; redis `requirepass x`; netrc `login x password y`.
    let quoted = class == Class::Password && matches!(next, b'"' | b'\'');
    let statement = quoted || name.eq_ignore_ascii_case(b"requirepass") || name.eq_ignore_ascii_case(b"masterauth");
    (flag || statement || statement::sets(text, name_start, password)).then_some((Join::Blank, after))
}

/// Whether a name is that of an element of XML, behind `<` and the prefix of a namespace.
fn begins_element(text: &[u8], name_start: usize) -> bool {
    let head = &text[name_start.saturating_sub(32)..name_start];
    let prefix = match head.split_last() {
        Some((b':', prefix)) => prefix,
        _ => return head.ends_with(b"<"),
    };
    let word = prefix.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    word > 0 && prefix[..prefix.len() - word].ends_with(b"<")
}

pub(super) fn line_before(text: &[u8], at: usize) -> &[u8] {
    let recent = &text[at.saturating_sub(512)..at];
    recent.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Whether an assignment stands alone at the beginning of its line, as in `.env` and YAML files: then its value may hold
/// anything.
fn begins_line(text: &[u8], name_start: usize, join: Join) -> bool {
    let before = || line_before(text, name_start).trim_ascii();
    match join {
        Join::Tight => matches!(before(), b"" | b"export"),
        Join::Colon => matches!(before(), b"" | b"-"),
        _ => false,
    }
}

/// Where the value of `name:` stands when it is alone on the next line, further in than the name: in YAML, and in JSON and
/// Python that somebody wrapped.
fn next_line(text: &[u8], name_start: usize, at: usize, join: Join) -> Option<usize> {
    let rest = text.get(at..text.len().min(at + MAX_VALUE))?;
    let end = rest.iter().position(|byte| !byte.is_ascii_whitespace() || *byte == b'\n')?;
    if rest[end] != b'\n' {
        return None;
    }
    let line = rest[end + 1..].split(|byte| *byte == b'\n').next()?;
    let inset = |line: &[u8]| line.iter().take_while(|byte| is_blank(**byte)).count();
    let value = line.trim_ascii();
    let open = is_quote(*value.first()?);
    // Not the first entry of a list or a map, nor a remark.
    let scalar = open
        || join == Join::Colon
            && !(value.iter().any(u8::is_ascii_whitespace) || matches!(value[0], b'-' | b'#') || value.ends_with(b":"));
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
pub(super) fn extent(text: &[u8], at: usize, join: Join, whole_line: bool) -> Option<Found> {
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
            let ends = |byte: &u8| matches!(byte, b'<' | b']' | b'\n');
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
    if let Some(quote) = text.get(at + lead + slashes).copied().filter(|byte| is_quote(*byte)) {
        return Some(in_quotes(text, at + lead + slashes, quote, slashes));
    }
    let line = if whole_line && join == Join::Colon { line_value(rest) } else { None };
    let word = line.unwrap_or_else(|| unquoted(rest, join, whole_line && join == Join::Tight));
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
fn phrase(text: &[u8], at: usize, name: &[u8], whole_line: bool) -> Option<Found> {
    let is_phrase = name.len() >= 6 && name[name.len() - 6..].eq_ignore_ascii_case(b"phrase");
    let line = text[at..text.len().min(at + MAX_VALUE)].split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    if !whole_line || !is_phrase || line.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()) {
        return None;
    }
    let end = structure::find(line, b" #").unwrap_or(line.len());
    Some(Found { start: at, end: at + line[..end].trim_ascii_end().len(), quoted: false })
}

/// The length of a value without quotes that is alone on the line of its name, as in YAML; it may hold anything but blanks.
fn line_value(rest: &[u8]) -> Option<usize> {
    let line = rest.split(|byte| matches!(byte, b'\n' | b'\r')).next()?.trim_ascii_end();
    let plain = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'<' | b'(' | b'[' | b'{');
    if !line.iter().all(plain) || structure::find(line, b"\\n").is_some() {
        return None;
    }
    // What may close a list, a call or a text around.
    let kept = line.iter().rposition(|byte| !b",;:.)]}\"'`\\".contains(byte))?;
    Some(kept + 1)
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
            b'\\' if ends_escaped(&line[at..]) => break,
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
