//! Whether what is given to the name of a secret is one: not a word, a variable, a path, a piece of a program.

use super::assign::Join;
use super::names::{self, Class};
use super::{MARK, entropy, structure};

/// Whether a text under a secret key is the secret itself: not empty, not a mask, not where to find it.
pub(super) fn is_literal(class: Class, text: &str) -> bool {
    let value = text.as_bytes();
    let place = class != Class::Password && is_place(value);
    !(is_masked(value) || structure::is_reference(value) || place || (text.starts_with(MARK) && text.ends_with(']')))
}

/// Whether a value without quotes is a piece of a program: a call, a field, a type, the name itself.
pub(super) fn is_code(class: Class, value: &[u8], name: &[u8], join: Join) -> bool {
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
pub(super) fn is_secret(class: Class, value: &[u8], quoted: bool, join: Join, quoted_name: bool) -> bool {
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
            if is_place(value) || (all_digits && !quoted) {
                return false;
            }
            match join {
                Join::Tight | Join::Blank | Join::Element => length >= 4,
                _ => (quoted || quoted_name || mixed) && length >= 4,
            }
        }
        Class::Cookie => length >= 8 && value.contains(&b'='),
        Class::Secret | Class::Credential => length >= 4 && (quoted || !all_digits || length >= 8),
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
pub(super) fn is_masked(value: &[u8]) -> bool {
    let masks = |byte: &u8| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'-' | b'_' | b' ' | b'#' | 0xe2 | 0x80 | 0xa2);
    value.is_empty() || value.iter().all(masks)
}

/// A file or an address, not what it holds. Base64 may begin with `/` as well, but does not read like a path.
fn is_place(value: &[u8]) -> bool {
    let path = ["/", "./", "../", "~/", "~\\", "C:\\"].iter().any(|start| value.starts_with(start.as_bytes()));
    let address = value.starts_with(b"http://") || value.starts_with(b"https://") || value.starts_with(b"file:");
    (path && !entropy::is_random(value, false)) || address
}
