//! Whether what is given to the name of a secret is one: not a word, a variable, a path, a piece of a program.

use super::assign::Join;
use super::code::{self, Expression};
use super::names::{self, Class};
use super::{MARK, entropy, prose, stand_in, structure};

/// Whether a text under a secret key is the secret itself: not empty, not a mask, not where to find it.
pub(super) fn is_literal(class: Class, text: &str) -> bool {
    let value = text.as_bytes();
    let place = class != Class::Password && is_place(value);
    let kind = match class {
        Class::MaybeKey => is_key(value),
        Class::MaybeSecret => prose::is_shaped(value),
        _ => true,
    };
    kind && !(is_masked(value)
        || stand_in::is_message(value)
        || is_reference(value, true)
        || place
        || (text.starts_with(MARK) && text.ends_with(']')))
}

/// Whether a value only says where the secret is. In data and between single quotes nothing is replaced, so that there
/// a name with digits behind `$` is a secret that happens to begin with it.
pub(super) fn is_reference(value: &[u8], verbatim: bool) -> bool {
    match value {
        [b'$', rest @ ..] if !rest.is_empty() && rest.len() <= 2 && rest.iter().all(u8::is_ascii_digit) => true,
        // `$request->password`, `$data[…]`
        [b'$', b'(', rest @ ..] if verbatim && !rest.contains(&b')') => false,
        [b'$', first, rest @ ..] if first.is_ascii_alphabetic() && !structure::is_reference(value) => {
            let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            matches!(&rest[name..], [b'-', b'>', ..] | [b'-'] | [b'[' | b':' | b'.', ..])
                && !rest.iter().any(|byte| b"!@#^~".contains(byte))
        }
        [b'$', rest @ ..] if verbatim && has_digit_and_small(rest) => false,
        [b'%' | b'<', rest @ .., b'%' | b'>']
            if verbatim && prose::is_shaped(rest) && !rest.iter().any(|byte| b"-_ ".contains(byte)) =>
        {
            false
        }
        _ => structure::is_reference(value) || stand_in::is_filled_in(value),
    }
}

fn has_digit_and_small(name: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.iter().all(word) && name.iter().any(u8::is_ascii_digit) && name.iter().any(u8::is_ascii_lowercase)
}

/// Whether a value without quotes behind a colon is the first word of a sentence: `wrong password: try again`.
pub(super) fn is_talk(rest: &[u8], class: Class, value: &[u8], join: Join) -> bool {
    let words = join == Join::Colon && value.iter().all(u8::is_ascii_lowercase) && rest.first() == Some(&b' ');
    let line = rest[..rest.len().min(80)].split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    let next = line.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let goes_on = next > 0 && matches!(line.get(next), None | Some(b' ' | b'.' | b',' | b'!' | b'?'));
    words && goes_on && class != Class::Authorization && !line.iter().any(|byte| matches!(byte, b':' | b'='))
}

/// Whether a value without quotes is a piece of a program: a call, a field, a type, the name itself.
/// It has `length` bytes at the beginning of `text`.
pub(super) fn is_code(class: Class, text: &[u8], length: usize, name: &[u8], join: Join) -> bool {
    let value = &text[..length];
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
    const KEYWORDS: &[&[u8]] = &[
        b"match",
        b"if",
        b"impl",
        b"await",
        b"new",
        b"fn",
        b"async",
        b"function",
        b"return",
        b"unsafe",
        b"move",
        b"dyn",
        b"lambda",
        b"not",
        b"yield",
        b"typeof",
        b"case",
        b"when",
        b"mut",
        b"ref",
        b"const",
        b"static",
    ];
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let first = &value[..value.iter().take_while(|byte| word(byte)).count()];
    let rest = &value[first.len()..];
    let plain = value.strip_suffix(b",").unwrap_or(value);
    let stem = plain.split(|byte| matches!(byte, b'<' | b'[' | b'(' | b'|')).next().unwrap_or_default();
    let own_name = name.rsplit(|byte| *byte == b'.').next().unwrap_or(name);
    // `config.password`, `password = password[1:]`
    let owner = first == own_name || OWNERS.iter().any(|owner| first.eq_ignore_ascii_case(owner));
    let borrowed = value.starts_with(b"&") && !matches!(join, Join::Tight | Join::Blank);
    match code::expression(text, value.len()) {
        Some(Expression::Path) if borrowed => return true,
        Some(Expression::Call) => return true,
        Some(Expression::Path) if rest.starts_with(b".") && owner => return true,
        Some(Expression::Path) if rest.starts_with(b"::") || rest.starts_with(b"->") => return join != Join::Tight,
        _ => {}
    }
    let is_type = join == Join::Colon && TYPES.iter().any(|kind| stem.eq_ignore_ascii_case(kind));
    if is_type || plain == name || plain == own_name {
        return true;
    }
    // `token: CancellationToken`, `token = Name.Builtin`, `secret = {…}`
    let loose = matches!(join, Join::Spaced | Join::Colon);
    if !loose {
        return false;
    }
    let opens = matches!(plain.first(), Some(b'{' | b'[' | b'('));
    // A password that begins with a bracket: nothing closes it.
    let open_secret = opens
        && ((class == Class::Password && prose::is_shaped(&plain[1..]))
            || (plain.iter().any(|byte| b"!@#$%^*".contains(byte))
                && code::closed(plain).is_none()
                && code::is_made_up(plain)));
    let keyword = KEYWORDS.contains(&plain);
    let cmdlet = join == Join::Spaced && is_cmdlet(plain);
    (opens && !open_secret) || keyword || cmdlet || is_identifier(class, plain)
}

/// Whether a value is what programs call things: a field, a type, another secret.
fn is_identifier(class: Class, value: &[u8]) -> bool {
    let value = match value {
        [b'*' | b'&', rest @ ..] if class != Class::Password => rest,
        _ => value,
    };
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !value.iter().all(word) || value.first().is_none_or(u8::is_ascii_digit) {
        return false;
    }
    let told = || {
        let parts = std::str::from_utf8(value).unwrap_or_default().split('.');
        // A word alone is a password, however it ends.
        let named = |part: &&str| part.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let mut parts =
            parts.filter(|part| class != Class::Password || named(part) || part.len() < value.len()).take(8);
        parts.any(|part| names::classify(part).is_some())
    };
    let letters = value.iter().all(|byte| !byte.is_ascii_digit());
    let constant = value.contains(&b'_') && !value.iter().any(u8::is_ascii_lowercase);
    if class == Class::Password {
        // `hashedPassword`, `other.password`
        return letters && told();
    }
    let token = matches!(class, Class::Token | Class::MaybeToken);
    // `semi_token: Semi`, `colon2_token: node.colon2_token`, `token: u64`
    let kind = value[0].is_ascii_uppercase() && value[value.len() - 1].is_ascii_lowercase();
    let counted = value[0].is_ascii_uppercase() && value.len() <= 8 && value.ends_with(b"2");
    let primitive = value.starts_with(b"__u") || value == b"write" || value == b"read";
    (letters && (value.contains(&b'.') || told() || kind || constant || (token && value.len() <= 4)))
        || (token && (counted || primitive || (value.contains(&b'.') && told())))
}

/// `ConvertTo-SecureString`, `Read-Host`: what PowerShell calls, not what it is given.
fn is_cmdlet(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let named = |part: Option<&[u8]>| {
        part.is_some_and(|part| {
            part.len() > 2 && part[0].is_ascii_uppercase() && part.iter().all(u8::is_ascii_alphabetic)
        })
    };
    named(parts.next()) && named(parts.next()) && parts.next().is_none()
}

/// What stands around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    No,
    Yes,
    /// By quotes in which nothing is replaced.
    Verbatim,
}

/// Whether a value is a secret of its class, and not a word, a number or a hint that stands in its place.
pub(super) fn is_secret(class: Class, value: &[u8], quoted: Quoted, join: Join, quoted_name: bool) -> bool {
    // What requests of browsers say about credentials.
    const MODES: &[&[u8]] = &[b"include", b"same-origin", b"omit"];
    let (verbatim, quoted) = (quoted == Quoted::Verbatim, quoted != Quoted::No);
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let all_digits = digits == value.len();
    if is_masked(value)
        || is_reference(value, verbatim)
        || value.starts_with(MARK.as_bytes())
        || is_word(prose::trim_end(value, b",;'\"`"))
        || (digits == 0 && !letters)
    {
        return false;
    }
    if (class != Class::Password && is_place(value)) || (quoted && stand_in::is_message(value)) {
        return false;
    }
    let length = value.len();
    let mixed = digits > 0 && letters;
    match class {
        Class::Password => true,
        Class::MaybePassword => {
            if is_place(value) || (all_digits && !quoted && !(join == Join::Tight && length >= 6)) {
                return false;
            }
            match join {
                Join::Tight | Join::Blank | Join::Element => length >= 4,
                _ => (quoted || quoted_name || mixed) && length >= 4,
            }
        }
        Class::Cookie => length >= 8 && value.contains(&b'='),
        Class::Credential if MODES.iter().any(|mode| value.eq_ignore_ascii_case(mode)) => false,
        Class::Secret | Class::Credential => length >= 4 && (quoted || !all_digits || length >= 8),
        Class::Key | Class::MaybeKey | Class::Token | Class::MaybeToken | Class::Signature
            if !is_compact(value) && !code::is_made_up(value) =>
        {
            false
        }
        // A number in a program.
        Class::Key | Class::Token if all_digits && !quoted && join == Join::Spaced => false,
        Class::Key | Class::Token => length >= 4 && !(all_digits && length < 6),
        Class::MaybeKey => is_key(value),
        Class::MaybeSecret => prose::is_shaped(value),
        Class::MaybeToken if join == Join::Blank => length >= 3,
        Class::MaybeToken => {
            let close = quoted_name || join == Join::Tight;
            (mixed && length >= if close { 6 } else { 8 }) || (length >= 16 && !is_phrase(value))
        }
        Class::Signature => length >= 16 && mixed,
        Class::Authorization => length >= 8 && mixed,
    }
}

/// Whether a value only says whether or that there is a secret.
pub(super) fn is_word(value: &[u8]) -> bool {
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
        b"inherit",
    ];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a value looks like a key rather than a name: `theme-preference`, `user_settings`.
fn is_key(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    (letters && digits > 1 && value.len() >= 8) || value.ends_with(b"=") || (value.len() >= 16 && !is_phrase(value))
}

/// Whether a value is letters that are joined to words.
fn is_phrase(value: &[u8]) -> bool {
    let joint = |byte: &u8| matches!(byte, b'-' | b'_' | b'.' | b':' | b'/');
    value.iter().any(joint) && value.iter().all(|byte| byte.is_ascii_alphabetic() || joint(byte))
}

/// Tokens and keys hold no blanks and no brackets; what does is a text or a pattern.
fn is_compact(value: &[u8]) -> bool {
    !value
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>'))
}

/// Stars, dots, crosses, or a word that says so: somebody took it out already.
pub(super) fn is_masked(value: &[u8]) -> bool {
    let masks =
        |byte: &u8| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'-' | b'_' | b' ' | b'#' | 0xe2 | 0x80 | 0xa2 | 0xa6);
    value.iter().all(masks) || stand_in::is_taken_out(value)
}

/// A file or an address, not what it holds. Base64 may begin with `/` as well, but does not read like a path.
fn is_place(value: &[u8]) -> bool {
    let path = ["/", "./", "../", "~/", "~\\", "C:\\"].iter().any(|start| value.starts_with(start.as_bytes()));
    let address = value.starts_with(b"http://") || value.starts_with(b"https://") || value.starts_with(b"file:");
    (path && !entropy::is_random(value, false) && code::signs(value) < 3) || address
}
