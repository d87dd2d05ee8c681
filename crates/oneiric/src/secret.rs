//! Secrets that do not show themselves, and the test of whether one is worth the name.

use std::fmt;

use crate::count::counted;

/// What is printed in place of a secret.
pub const MASK: &str = "********";

/// A secret value. `Debug` and `Display` print [`MASK`], and it cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for signing and for sending, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Compares without telling by its duration where the first difference is. Lengths are not hidden.
#[must_use]
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left.iter().zip(right).fold(0_u8, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    std::hint::black_box(difference) == 0
}

/// The least length of a secret that signs tokens, in characters.
pub const MIN_SECRET_CHARS: usize = 32;

/// Whether `secret` may sign tokens: long enough, not a template that somebody forgot to fill in, not a repetition.
///
/// # Errors
/// Why not, as a clause that goes on after the secret's name; it never quotes the secret.
pub fn check_secret_strength(secret: &str) -> Result<(), String> {
    if is_placeholder(secret) {
        return Err("is a placeholder, not a secret".to_owned());
    }
    let length = secret.chars().count();
    if length < MIN_SECRET_CHARS {
        return Err(format!(
            "has {}; it needs at least {MIN_SECRET_CHARS}",
            counted(length, "character", "characters")
        ));
    }
    if secret.trim() != secret {
        return Err("begins or ends with a blank".to_owned());
    }
    if is_repetition(secret) {
        return Err("repeats a few characters and can be guessed".to_owned());
    }
    Ok(())
}

/// Words that stand in templates where a secret belongs; compared without case and punctuation.
fn is_placeholder(secret: &str) -> bool {
    const WHOLE: &[&str] = &[
        "secret",
        "test",
        "password",
        "token",
        "example",
        "default",
        "admin",
        "none",
        "null",
        "todo",
        "xxx",
        "mysecret",
        "supersecret",
        "jwtsecret",
        "devsecret",
        "testsecret",
        "secretkey",
        "samesecretonbothsides",
        "securepassword",
    ];
    const PARTS: &[&str] = &[
        "changeme",
        "changethis",
        "changeit",
        "replaceme",
        "replacethis",
        "yoursecret",
        "your32char",
        "yourjwtsecret",
        "yourpassword",
        "yourtoken",
        "yourkey",
        "32charsecret",
        "32charactersecret",
        "insertsecret",
        "placeholder",
        "secrethere",
        "notasecret",
        "donotuse",
        "samesecretonboth",
        "fillmein",
    ];
    let trimmed = secret.trim();
    let template = |open: char, close: char| trimmed.starts_with(open) && trimmed.ends_with(close);
    if template('<', '>') || template('{', '}') || trimmed.starts_with("${") || trimmed.starts_with("$(") {
        return true;
    }
    let plain: String = trimmed.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let stem = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    plain.is_empty()
        || WHOLE.contains(&plain.as_str())
        || WHOLE.contains(&stem)
        || PARTS.iter().any(|part| plain.contains(part))
}

/// Few different characters, or one block said over and over, or a plain count such as `0123456789…`.
fn is_repetition(secret: &str) -> bool {
    let chars: Vec<char> = secret.chars().collect();
    let mut distinct = chars.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 8 {
        return true;
    }
    let period = |size: usize| chars.iter().zip(chars.iter().skip(size)).all(|(a, b)| a == b);
    if (1..=chars.len() / 2).any(period) {
        return true;
    }
    let steps = chars.windows(2).filter(|pair| (pair[1] as u32).wrapping_sub(pair[0] as u32) == 1).count();
    steps * 4 >= (chars.len() - 1) * 3
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter2-hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "******** ******** Some(********)");
        assert_eq!(secret.expose(), "hunter2-hunter2");
    }

    #[test]
    fn equality_in_constant_time_is_still_equality() {
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd") && !constant_time_eq(b"abc", b"abcd"));
    }

    #[test]
    fn templates_and_short_or_guessable_secrets_are_refused() {
        for weak in [
            "",
            "secret",
            "test",
            "Secret123",
            "change-me-in-production",
            "CHANGE_ME_TO_SOMETHING_LONG_AND_RANDOM_PLEASE",
            "<your-32-char-secret>",
            "your-secret-here",
            "your-secret",
            "<32-char-secret>",
            "same-secret-on-both-sides",
            "$(python -c 'import secrets; print(secrets.token_urlsafe(32))')",
            "${APP_AUTH_SECRET}",
            "kJ8s0Qpz71LmXc4vTn2bYw9",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefgh1abcdefgh1abcdefgh1abcdefgh1abcdefgh1",
            "0123456789012345678901234567890123456789",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            " kJ8s0Qpz71LmXc4vTn2bYw9RfHgD3eUa5iO6",
        ] {
            let refusal = check_secret_strength(weak).unwrap_err();
            assert!(weak.len() < 8 || !refusal.contains(weak), "{refusal} quotes the secret");
        }
    }

    #[test]
    fn a_generated_secret_is_accepted() {
        for strong in [
            "fX3dU0p7Q_8mZ-1rT5yB6nC2vK9sLwEhJgAoIqRtYxM",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ] {
            assert_eq!(check_secret_strength(strong), Ok(()));
        }
    }
}
