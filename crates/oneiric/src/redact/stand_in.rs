//! What stands in the place of a secret: what a program fills in later, what somebody put there when he took it out, what is
//! said to people.

use super::names;

/// Whether a value is filled in later: `:password` and `@password` of SQL, `%s`, `%(name)s`, `{password}`; and
/// what stands for any.
pub(super) fn is_filled_in(value: &[u8]) -> bool {
    let letters = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let named =
        |name: &[u8]| letters(name) && std::str::from_utf8(name).is_ok_and(|name| names::classify(name).is_some());
    match value {
        // What `sed` and `grep` look for.
        [b'.', b'*' | b'+', b'/' | b'|' | b'#' | b',', ..] => true,
        [b'%', kind] => kind.is_ascii_alphabetic(),
        [b'%', b'(', name @ .., b')', b's'] => letters(name),
        [b':' | b'@', first, rest @ ..] if first.is_ascii_alphabetic() => {
            (rest.len() < 2 && rest.iter().all(u8::is_ascii_alphanumeric)) || named(&value[1..])
        }
        [b'{', name @ .., b'}'] => {
            let name = name.strip_suffix(b"!r").unwrap_or(name);
            name.iter().all(u8::is_ascii_digit) || name.split(|byte| *byte == b'.').all(letters)
        }
        _ => false,
    }
}

/// Whether somebody took the secret out already: `[FILTERED]`, `<redacted>`.
pub(super) fn is_taken_out(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"redacted", b"filtered", b"masked", b"hidden", b"removed", b"censored"];
    let around = |byte: &u8| b"[]<>()*".contains(byte);
    let front = value.iter().take_while(|byte| around(byte)).count();
    let back = value[front..].iter().rev().take_while(|byte| around(byte)).count();
    let word = &value[front..value.len() - back];
    front > 0 && back > 0 && WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether a text in quotes is said to people: `Forgot your password?`, `Password is required`. A passphrase is made of words
/// too, but not of these.
pub(super) fn is_message(value: &[u8]) -> bool {
    const SAYS: [&str; 12] = [
        "required",
        "must be",
        "must not",
        "must contain",
        "cannot be",
        "can't be",
        "invalid",
        "incorrect",
        "is missing",
        "not match",
        "don't match",
        "at least",
    ];
    const NAMES: [&str; 4] = ["password", "passwords", "passphrase", "passcode"];
    const MAX: usize = 256;
    if value.len() > MAX || !value.contains(&b' ') {
        return false;
    }
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let text = text.to_ascii_lowercase();
    let letters = |word: &str| {
        word.trim_matches(['.', ',', '!', '?', ':', '\'', '*', '…']).chars().all(|c| c.is_alphabetic() || c == '\'')
    };
    let says = SAYS.iter().any(|part| text.contains(part));
    let number = |word: &str| says && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = text.split_ascii_whitespace();
    let named = words.clone().any(|word| NAMES.contains(&word.trim_matches(['.', ',', '!', '?', ':', '*', '…'])));
    (named || says) && words.all(|word| letters(word) || number(word))
}
