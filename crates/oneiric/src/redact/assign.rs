//! Secrets that are given a name: `password=…`, `"token": "…"`, `--api-key …`, in shells, JSON, YAML, Python, headers
//! and connection strings.

use super::extent::{self, Found};
use super::judge::Quoted;
use super::names::{self, Class};
use super::{MARK, Span, command, fields, header, judge, pairs, prose, statement, wrapped};

/// Values are followed at most this far.
pub(super) const MAX_VALUE: usize = 64 * 1024;

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

/// [`value`] for the name at `name_start..name_end`, whatever its class.
pub(super) fn named(text: &[u8], name_start: usize, name_end: usize) -> Option<Span> {
    // `${NAME-x}`: elsewhere a name may hold `-`.
    let dash = || text[name_start..name_end].iter().position(|byte| *byte == b'-');
    let in_braces = text[..name_start].ends_with(b"${");
    let name_end = if in_braces { dash().map_or(name_end, |dash| name_start + dash) } else { name_end };
    let name = std::str::from_utf8(&text[name_start..name_end]).ok()?;
    match names::classify(name) {
        Some(class) => value(text, name_start, name_end, class),
        None => {
            let (class, begin) = prose::spaced(text, name_start, name_end)?;
            value(text, begin, name_end + prose::numbered(text, name_end), class)
        }
    }
}

/// The secret that is given to the name at `name_start..name_end`, whose class is `class`.
pub(super) fn value(text: &[u8], name_start: usize, name_end: usize, class: Class) -> Option<Span> {
    let before = name_start.checked_sub(1).map(|at| text[at]);
    if before == Some(b':') && is_in_resource_name(text, name_start) {
        return None;
    }
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
            .or_else(|| wrapped::argument(text, &text[name_start..name_end], behind, class))
            .or_else(|| prose::value(text, name_start, behind, class));
    };
    if join == Join::Colon {
        at += emphasis(at);
    }
    at += blanks(text, at);
    if join == Join::Colon && begins_line(text, name_start, join) {
        at += before_scalar(text, at);
    }
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
    if let Some(span) = wrapped::value(text, at, class) {
        return Some(span);
    }
    let whole_line = begins_line(text, name_start, join);
    let name = &text[name_start..name_end];
    let name = if is_line_of_diff(text, name_start) { &name[1..] } else { name };
    let found = match extent::phrase(text, at, name, whole_line && join == Join::Colon) {
        Some(found) => found,
        None => extent::of(text, at, join, whole_line)?,
    };
    if join == Join::Spaced && !found.quoted && is_in_tuple(text, name_start, &text[found.start..found.end]) {
        return None;
    }
    if class == Class::Credential
        && join == Join::Colon
        && let Some(span) = prose::pair(text, at, class.kind())
    {
        return Some(span);
    }
    let mut span = judged_span(text, &found, join, class, name, (quoted_name, whole_line))?;
    if whole_line && !found.quoted && class == Class::Password {
        span.end += extent::more_words(text, name_start, span.end, join);
    }
    Some(if found.quoted { fields::with_new(text, span) } else { span })
}

/// Whether a name stands in the name of a resource: `arn:aws:secretsmanager:…:secret:db-AbCdEf`.
fn is_in_resource_name(text: &[u8], name_start: usize) -> bool {
    let near = &text[name_start.saturating_sub(128)..name_start];
    let word = near.rsplit(|byte| byte.is_ascii_whitespace() || is_quote(*byte) || b"=(,".contains(byte)).next();
    word.is_some_and(|word| word.starts_with(b"arn:"))
}

/// Whether names are set to other names: `username, password = un, pw`.
fn is_in_tuple(text: &[u8], name_start: usize, value: &[u8]) -> bool {
    let name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.');
    let before = line_before(text, name_start).trim_ascii();
    let names =
        before.strip_suffix(b",").is_some_and(|names| names.iter().all(|byte| name(byte) || b", (+-".contains(byte)));
    names && value.strip_suffix(b",").unwrap_or(value).iter().all(name)
}

/// Whether the `-` that begins a name is the sign of a line that a diff takes out.
fn is_line_of_diff(text: &[u8], name_start: usize) -> bool {
    let line = name_start == 0 || text[name_start - 1] == b'\n';
    line && text[name_start] == b'-' && text.get(name_start + 1) != Some(&b'-')
}

/// The value at `at`, of a name that stands elsewhere, when it is a secret.
pub(super) fn judged(text: &[u8], at: usize, join: Join, class: Class, name: &[u8]) -> Option<Span> {
    judged_span(text, &extent::of(text, at, join, false)?, join, class, name, (true, false))
}

fn judged_span(
    text: &[u8],
    found: &Found,
    join: Join,
    class: Class,
    name: &[u8],
    (quoted_name, whole_line): (bool, bool),
) -> Option<Span> {
    let secret = &text[found.start..found.end];
    let generic = join == Join::Colon && text.get(found.end) == Some(&b'<');
    let flag = name.starts_with(b"--") || (name.starts_with(b"-") && matches!(join, Join::Blank | Join::Tight));
    // `MAX_TOKEN = 137,`, `KEY: u32 = 3226494487;`
    let number = || {
        let ended =
            matches!((join, text.get(found.end)), (Join::Spaced, Some(b',' | b';')) | (Join::Colon, Some(b';')));
        let hexadecimal = secret.strip_prefix(b"0x").is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        ended && (hexadecimal || secret.iter().all(u8::is_ascii_digit))
    };
    let code = || {
        generic
            || number()
            || (!flag && judge::is_code(class, extent::within(text, found.start), secret.len(), name, join))
            // A line of its own is more likely one of settings than a sentence.
            || (!(whole_line && name.first().is_some_and(u8::is_ascii_lowercase)) && judge::is_talk(&text[found.end..], class, secret, join))
    };
    let reference = !found.quoted && secret.len() < 256 && code();
    let single = found.quoted && (quoted_name && join == Join::Colon || text[found.start - 1] == b'\'');
    let quoted = match (found.quoted, single) {
        (false, _) => Quoted::No,
        (true, false) => Quoted::Yes,
        (true, true) => Quoted::Verbatim,
    };
    // `API key: …` is prose too.
    let likely =
        class != Class::MaybeKey || !name.contains(&b' ') || prose::is_shaped(secret) || prose::is_long_key(secret);
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
    is_open(line_before(text, name_start), quote)
}

/// Whether a quote is open at the end of `line`.
pub(super) fn is_open(line: &[u8], quote: u8) -> bool {
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

pub(super) fn is_blank(byte: u8) -> bool {
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
    let in_braces = blanks == 0 && text[..name_start].ends_with(b"${");
    let constant = || !text[name_start..at].iter().any(u8::is_ascii_lowercase);
    match rest {
        [b'=', b'=' | b'>', ..] | [b':', b'=', ..] => return Some((Join::Spaced, after + 2)),
        [b'=', ..] => return Some((spaced(Join::Tight), after + 1)),
        [b':', b'-', ..] if in_braces => return Some((Join::Fallback, after + 2)),
        [b'-', ..] if in_braces => return Some((Join::Fallback, after + 1)),
        // `NAME ?= x` of make, `NAME+=x` and `NAME[0]=x` of shells.
        [b'?', b'=', ..] => return Some((spaced(Join::Tight), after + 2)),
        [b'+', b'=', ..] if blanks == 0 && constant() => return Some((Join::Tight, after + 2)),
        [b'[', index, b']', b'=', ..] if blanks == 0 && index.is_ascii_digit() && constant() => {
            return Some((Join::Tight, after + 4));
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
    if let Some(length) = typed(rest) {
        return Some((Join::Spaced, after + length));
    }
    let next = rest.first()?;
    if blanks == 0 || matches!(next, b'\n' | b'\r' | b'-' | b'|' | b'&' | b';' | b'<' | b'>' | b')') {
        return None;
    }
    let define = || line_before(text, name_start).trim_ascii() == b"#define";
    if is_quote(*next) && define() && wrapped::literal(text, after, class).is_some() {
        return Some((Join::Blank, after));
    }
    let name = &text[name_start..at];
    // `pulumi config set --secret NAME VALUE`
    if name == b"--secret" && statement::configures(line_before(text, name_start)) {
        return None;
    }
    let flag = name.starts_with(b"-") && !is_line_of_diff(text, name_start);
    let password = matches!(class, Class::Password | Class::MaybePassword);
    // SQL says `PASSWORD 'x'` and `IDENTIFIED BY 'x'`; redis `requirepass x`; netrc `login x password y`.
    let quoted = class == Class::Password && matches!(next, b'"' | b'\'');
    let statement = quoted || name.eq_ignore_ascii_case(b"requirepass") || name.eq_ignore_ascii_case(b"masterauth");
    (flag || statement || statement::sets(text, name_start, password)).then_some((Join::Blank, after))
}

/// The length of the type and the `=` that stand between a name and its text in quotes: `var password string = "x"`,
/// `char password[32] = "x"`.
fn typed(rest: &[u8]) -> Option<usize> {
    const TYPES: [&[u8]; 4] = [b"string", b"String", b"*string", b"[]byte"];
    let array = || {
        let size = rest.strip_prefix(b"[")?.iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
        (rest.get(size + 1) == Some(&b']')).then_some(size + 2)
    };
    let kind = TYPES.iter().find(|kind| rest.starts_with(kind)).map(|kind| kind.len()).or_else(array)?;
    let sign = kind + rest[kind..].iter().take(8).take_while(|byte| is_blank(**byte)).count();
    let value = rest.get(sign..)?.strip_prefix(b"=")?;
    let blank = value.iter().take(8).take_while(|byte| is_blank(**byte)).count();
    matches!(value.get(blank), Some(b'"' | b'`' | b'[')).then_some(sign + 1)
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

/// Bytes of a line that are looked back at.
pub(super) const MAX_LINE: usize = 512;

/// What stands before `at` on its line, or the end of it.
pub(super) fn line_before(text: &[u8], at: usize) -> &[u8] {
    let recent = &text[at.saturating_sub(MAX_LINE)..at];
    recent.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Whether an assignment stands alone at the beginning of its line, as in `.env` and YAML files: then its value may hold
/// anything.
fn begins_line(text: &[u8], name_start: usize, join: Join) -> bool {
    let before = || line_before(text, name_start).trim_ascii();
    match join {
        Join::Tight => matches!(before(), b"" | b"export" | b"-"),
        Join::Colon => matches!(before(), b"" | b"-"),
        Join::Spaced => before().is_empty(),
        _ => false,
    }
}

/// The length of what YAML has between a colon and the value: a tag (`!!str x`), an anchor (`&a x`), a remark above the value.
fn before_scalar(text: &[u8], at: usize) -> usize {
    let rest = &text[at..text.len().min(at + 128)];
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"#") && is_blank(text[at - 1]) {
        return line.len();
    }
    let word = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    let (head, value) = line.split_at(word);
    let name =
        |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let known = match head {
        [b'!', b'!', tag @ ..] => name(tag),
        // Not the types of Rust.
        [b'&', anchor @ ..] => name(anchor) && !matches!(anchor, b"mut" | b"dyn" | b"str"),
        _ => false,
    };
    let value = value.trim_ascii();
    if known && !value.is_empty() && !value.starts_with(b"=") { word + blanks(text, at + word) } else { 0 }
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
