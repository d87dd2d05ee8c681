//! Secrets that only their randomness gives away.
//!
//! A token is measured by two things: how many of its neighbouring letters hardly ever stand together in words, and
//! into how many pieces its changes between small letters, capitals and digits cut it. Names, paths and words score
//! below 0.6 nearly always, random text above 0.8 nearly always. Hexadecimal text is never called random: commits and
//! digests look the same as keys.

use super::public;

/// Shorter tokens are not looked at.
const MIN_TOKEN: usize = 20;
/// So many characters must be left when words, numbers and hashes are set aside.
const MIN_RANDOM: usize = 18;
/// The same for what could also be a path with model numbers in it.
const MIN_RANDOM_PATH: usize = 24;
/// From this score on a token is random.
const RANDOM: f32 = 0.8;
/// Below this score a part of a token is a word.
const WORDLIKE: f32 = 0.62;

/// For each letter, as bits, the letters that often follow it in English words and names in programs.
const COMMON: [u32; 26] = [
    0x01fe_bd7f,
    0x011e_4917,
    0x011e_cdbf,
    0x0016_493f,
    0x01ff_fdff,
    0x011e_493d,
    0x0016_69d1,
    0x001a_4111,
    0x02ae_fc7f,
    0x0000_0011,
    0x0004_0111,
    0x013c_4919,
    0x0014_d113,
    0x013e_ed7d,
    0x007e_fd7f,
    0x001e_c995,
    0x0010_0000,
    0x013e_fd7d,
    0x011c_fd9d,
    0x011e_d9bd,
    0x000e_b97f,
    0x0000_4111,
    0x0006_6191,
    0x0008_8134,
    0x0004_b910,
    0x0000_0111,
];

const fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

const IN_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = in_token(byte as u8);
        byte += 1;
    }
    table
};

/// Calls `found` with start and end of every random token. What is the base64 of readable text is random when `secret` says
/// so of that.
pub(super) fn scan(text: &[u8], secret: impl Fn(&str) -> bool, mut found: impl FnMut(usize, usize)) {
    let mut start = 0;
    while start < text.len() {
        // Tokens are long: look where one would end, and go on from the last byte that cannot be inside.
        let Some(window) = text.get(start..start + MIN_TOKEN) else { return };
        if let Some(last) = window.iter().rposition(|byte| !IN_TOKEN[usize::from(*byte)]) {
            start += last + 1;
            continue;
        }
        let mut end = start + MIN_TOKEN;
        while end < text.len() && IN_TOKEN[usize::from(text[end])] {
            end += 1;
        }
        let token = &text[start..end];
        let padding = text[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
        if is_random(token, padding > 0)
            && !is_public(text, start, token)
            && encoded_text(token).is_none_or(|plain| secret(&plain))
        {
            found(start, end + padding);
        }
        start = end;
    }
}

/// Whether a token is random once words, numbers and hashes in it are set aside. `padded` says that `=` follows it, which
/// no path has.
pub(super) fn is_random(token: &[u8], padded: bool) -> bool {
    if token.len() < MIN_TOKEN || is_hex(token) || is_ulid(token) || token.starts_with(b"0x") {
        return false;
    }
    let mut left = Shape::default();
    for part in token.split(|byte| !byte.is_ascii_alphanumeric()) {
        let shape = Shape::of(part);
        if !shape.is_explained(part) {
            left.add(&shape);
        }
    }
    let path = token.contains(&b'/') && !padded;
    left.is_random() && (!path || usize::from(left.length) >= MIN_RANDOM_PATH)
}

/// Counts that tell random text from words.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    length: u16,
    lower: u16,
    upper: u16,
    digits: u16,
    /// Neighbouring letters, and those among them that words hardly have.
    pairs: u16,
    rare: u16,
    /// Pieces by case and digits: `camelCase2` has three.
    pieces: u16,
    seen: u128,
}

impl Shape {
    fn of(part: &[u8]) -> Self {
        let mut shape = Self::default();
        // Longer tokens are as random as their beginning.
        let part = &part[..part.len().min(4096)];
        let mut before = 0_u8;
        for (at, &byte) in part.iter().enumerate() {
            shape.length += 1;
            shape.seen |= 1 << (byte & 127);
            let begins = match byte {
                b'0'..=b'9' => {
                    shape.digits += 1;
                    !before.is_ascii_digit()
                }
                b'A'..=b'Z' => {
                    shape.upper += 1;
                    let next_small = part.get(at + 1).is_some_and(u8::is_ascii_lowercase);
                    !before.is_ascii_uppercase() || next_small
                }
                _ => {
                    shape.lower += 1;
                    !before.is_ascii_alphabetic()
                }
            };
            shape.pieces += u16::from(begins);
            if before.is_ascii_alphabetic() && byte.is_ascii_alphabetic() {
                shape.pairs += 1;
                let row = COMMON[usize::from((before | 32) - b'a')];
                shape.rare += u16::from(row & (1 << ((byte | 32) - b'a')) == 0);
            }
            before = byte;
        }
        shape
    }

    fn add(&mut self, other: &Self) {
        self.length = self.length.saturating_add(other.length);
        self.lower = self.lower.saturating_add(other.lower);
        self.upper = self.upper.saturating_add(other.upper);
        self.digits = self.digits.saturating_add(other.digits);
        self.pairs = self.pairs.saturating_add(other.pairs);
        self.rare = self.rare.saturating_add(other.rare);
        self.pieces = self.pieces.saturating_add(other.pieces);
        self.seen |= other.seen;
    }

    fn score(&self) -> f32 {
        let rare = if self.pairs == 0 { 0.0 } else { f32::from(self.rare) / f32::from(self.pairs) };
        rare + 1.5 * f32::from(self.pieces) / f32::from(self.length.max(1))
    }

    /// Whether a part is a word, a number, a hash or too short to say.
    fn is_explained(&self, part: &[u8]) -> bool {
        let letters_of_one_case = self.digits == 0 && (self.lower == 0 || self.upper == 0);
        self.length <= 2
            || self.digits == self.length
            || (letters_of_one_case && self.length <= 5)
            || (self.length >= 6 && self.digits > 0 && is_hex(part))
            || self.score() < WORDLIKE
    }

    fn is_random(&self) -> bool {
        let distinct = self.seen.count_ones();
        let length = usize::from(self.length);
        if length < MIN_RANDOM || distinct < if length < 28 { 10 } else { 12 } {
            return false;
        }
        let score = self.score();
        match (self.lower, self.upper, self.digits) {
            (2.., 2.., 1..) => score >= RANDOM,
            (2.., 2.., 0) => length >= 24 && score >= RANDOM + 0.15,
            (_, 0..=1, 3..) | (0..=1, _, 3..) => length >= 24 && self.digits * 5 <= self.length * 3 && score >= RANDOM,
            _ => false,
        }
    }
}

fn is_hex(token: &[u8]) -> bool {
    token.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

/// Time-ordered ids of 26 capitals and digits, which many programs print.
fn is_ulid(token: &[u8]) -> bool {
    token.len() == 26 && token[0] <= b'7' && token.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Random text that is published on purpose: digests, public keys, symbol names, places in the web.
fn is_public(text: &[u8], start: usize, token: &[u8]) -> bool {
    const BEGINNINGS: &[&[u8]] = &[
        b"sha1-",
        b"sha256-",
        b"sha384-",
        b"sha512-",
        b"AAAAB3NzaC1",
        b"AAAAC3NzaC1",
        b"AAAAE2VjZHNh",
        b"AAAAG",
        b"_ZN",
        b"_R",
        b"Qm",
        b"bafy",
        b"bafk",
        b"ZN",
    ];
    const BEFORE: &[&[u8]] =
        &[b"SHA256:", b"h1:", b"MD5:", b"sha256:", b"sha512:", b";base64,", b"sha256-", b"sha512-"];
    let before = &text[..start];
    BEGINNINGS.iter().any(|beginning| token.starts_with(beginning) && (*beginning != b"Qm" || token.len() == 46))
        || BEFORE.iter().any(|prefix| before.ends_with(prefix))
        || token.windows(10).any(|window| window == b"nix/store/")
        || public::is_id(token)
        || public::is_field(text, start, token.len())
        || public::is_known_host(before)
        || is_in_url_path(before)
}

/// Whether the text before a token, back to the last blank or quote, is a URL that has not come to its query yet.
fn is_in_url_path(before: &[u8]) -> bool {
    let stops = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'(');
    let recent = &before[before.len().saturating_sub(2048)..];
    let word = recent.rsplit(stops).next().unwrap_or_default();
    let Some(scheme) = word.windows(3).rposition(|window| window == b"://") else { return false };
    let place = &word[scheme + 3..];
    place.contains(&b'.') && !place.iter().any(|byte| matches!(byte, b'?' | b'#' | b'='))
}

/// The readable text that a token is the base64 of. It is no secret by itself, but may hold one.
fn encoded_text(token: &[u8]) -> Option<String> {
    let bytes = super::structure::base64(token).filter(|bytes| !bytes.is_empty())?;
    let readable = |byte: &u8| (32..127).contains(byte) || matches!(byte, b'\n' | b'\r' | b'\t');
    bytes.iter().all(readable).then(|| String::from_utf8(bytes).ok())?
}
