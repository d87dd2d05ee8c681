//! Statements that set the name that stands in them to the next word: `ENV NAME value`, `aws configure set name value`,
//! `machine host login name password value`.

use super::names::Class;
use super::{Span, assign, structure};

/// Whether the words before a name on its line are those of a statement that sets it to the next word.
pub(super) fn sets(text: &[u8], name_start: usize, password: bool) -> bool {
    let line = assign::line_before(text, name_start);
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let setter = [&b"ENV"[..], b"ARG", b"set", b"setx", b"setenv", b"export"];
    let sets = words.next().is_some_and(|word| setter.contains(&word))
        && words.all(|word| word.starts_with(b"-"))
        && !tells(text, name_start);
    sets || configures(line)
        || (password
            && (line.trim_ascii_start().starts_with(b"machine ")
                || structure::find(line, b"login ").is_some()
                || (line.trim_ascii().is_empty() && login_above(text, name_start - line.len(), name_start))))
}

/// Whether the name at `name_start` goes on as a sentence does: `set password rules for the admin page`. A setting ends with its
/// value, and one of several words is no usual one.
fn tells(text: &[u8], name_start: usize) -> bool {
    let line =
        text[name_start..text.len().min(name_start + 256)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut is_plain =
        || words.next().is_some_and(|word| word.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_'));
    is_plain() && is_plain() && is_plain()
}

/// Whether a program's setting follows `line`: `aws configure set`, `git config --global`, `npm config set //host/:`.
pub(super) fn configures(line: &[u8]) -> bool {
    const CONFIGURES: [(&[u8], &[u8]); 8] = [
        (b"config", b"set"),
        (b"configure", b"set"),
        (b"user-secrets", b"set"),
        (b"npm", b"set"),
        (b"yarn", b"set"),
        (b"git", b"config"),
        (b"poetry", b"config"),
        (b"composer", b"config"),
    ];
    let whole = line.iter().rposition(u8::is_ascii_whitespace).map_or(&line[..0], |blank| &line[..blank]);
    let words = whole.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty() && !word.starts_with(b"-"));
    let mut words = words.take(2);
    let (last, before) = (words.next(), words.next());
    CONFIGURES.iter().any(|(program, verb)| before == Some(program) && last == Some(verb))
}

/// Whether the line that ends before `at` names who logs in, and nothing else, and the name at `name_start` and one word
/// stand below: in `.netrc`, and in tables.
fn login_above(text: &[u8], at: usize, name_start: usize) -> bool {
    let line =
        text[name_start..text.len().min(name_start + 256)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(3).count() != 2 {
        return false;
    }
    let Some(end) = at.checked_sub(1).filter(|end| text[*end] == b'\n') else { return false };
    let mut words = assign::line_before(text, end).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let (who, second) = (words.next().is_some(), words.next().is_some());
    (first == b"machine" && who) || (who && !second && [&b"login"[..], b"username", b"user"].contains(&first))
}

/// The password of `IDENTIFIED WITH plugin BY 'password'`, of which the plugin begins at `at`.
pub(super) fn identified_with(text: &[u8], at: usize) -> Option<Span> {
    let rest = &text[at..text.len().min(at + 64)];
    let plugin = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_'\"`".contains(byte)).count();
    let by = rest.get(plugin..plugin + 4)?;
    let by_end = at + plugin + 3;
    if by.eq_ignore_ascii_case(b" by ") { assign::value(text, at + plugin + 1, by_end, Class::Password) } else { None }
}
