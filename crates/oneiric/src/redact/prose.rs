//! Secrets that a sentence or a table tells: `The password is …`, `password for prod: …`, `| DB_PASSWORD | … |`,
//! `API key: …`. There a name is followed by words as often as by a secret, so the value must look made up.

use super::names::{self, Class};
use super::{MARK, Span, judge, prefix, structure};

/// So much of a line is read behind a name.
const MAX_LINE: usize = 256;
/// Shorter words are never taken for secrets in prose.
const MIN_SHAPED: usize = 6;
/// The same where nothing joins the name and the word behind it.
const MIN_BARE: usize = 7;
/// Between a name and the colon behind what it is for, at most.
const MAX_PURPOSE: usize = 40;

/// The class of a name of several words whose last one, at `start..end`, names no secret alone, and where it begins:
/// `API key`, `Secret Access Key`; `?key=` in a query.
pub(super) fn spaced(text: &[u8], start: usize, end: usize) -> Option<(Class, usize)> {
    const KINDS: [&[u8]; 11] = [
        b"api",
        b"access",
        b"secret",
        b"private",
        b"signing",
        b"encryption",
        b"auth",
        b"master",
        b"account",
        b"unseal",
        b"recovery",
    ];
    if !text[start..end].eq_ignore_ascii_case(b"key") {
        return None;
    }
    let before = *text.get(start.checked_sub(1)?)?;
    if matches!(before, b'?' | b'&') && text.get(end) == Some(&b'=') {
        let value =
            text[end + 1..].iter().take(128).take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        let value = &text[end + 1..end + 1 + value.count()];
        let known = prefix::RULES.iter().any(|rule| value.starts_with(rule.prefix.as_bytes()));
        return (is_shaped(value) && !known).then_some((Class::MaybeKey, start));
    }
    if before != b' ' {
        return None;
    }
    let word = text[..start - 1].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let begin = start - 1 - word;
    let kind = &text[begin..start - 1];
    KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known)).then_some((Class::MaybeKey, begin))
}

/// The secret that is told behind the name that ends before `at`.
pub(super) fn value(text: &[u8], name_start: usize, at: usize, class: Class) -> Option<Span> {
    let password = matches!(class, Class::Password | Class::MaybePassword);
    if !password && !matches!(class, Class::Secret | Class::Key | Class::MaybeKey | Class::Token | Class::MaybeToken) {
        return None;
    }
    let line = &text[at..text.len().min(at + MAX_LINE)];
    let line = line.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let rest = line.trim_ascii_start();
    let blanks = line.len() - rest.len();
    let in_table = || super::assign::line_before(text, name_start).trim_ascii_start().starts_with(b"|");
    let (skip, least) = if rest.starts_with(b"|") && in_table() {
        (1, MIN_SHAPED)
    } else if blanks == 0 {
        return None;
    } else if class == Class::MaybePassword {
        // To pass something is no password.
        (if rest.starts_with(b"is ") { 3 } else { return None }, MIN_SHAPED)
    } else if let Some(joint) = joint(rest) {
        (joint, MIN_SHAPED)
    } else if let Some(purpose) = purpose(rest) {
        (purpose, MIN_SHAPED)
    } else if password {
        (0, MIN_BARE)
    } else {
        return None;
    };
    let rest = &rest[skip..];
    let lead = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*')).count();
    let ends =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'|' | b'<' | b'>' | b'\\');
    let word = &rest[lead..];
    let word = &word[..word.iter().position(ends).unwrap_or(word.len())];
    let word = trim_end(word, b".,;:)?*");
    let start = at + blanks + skip + lead;
    (word.len() >= least && is_shaped(word)).then_some(Span { start, end: start + word.len(), kind: class.kind() })
}

/// The length of the word or sign that says what a name stands for.
fn joint(rest: &[u8]) -> Option<usize> {
    const JOINTS: [&[u8]; 9] =
        [b"is: ", b"is ", b"ist ", b"was ", b"-> ", b"- ", "\u{2192} ".as_bytes(), "\u{2013} ".as_bytes(), b"to "];
    let told = JOINTS.iter().find(|joint| rest.starts_with(joint)).map_or(0, |joint| joint.len());
    let more = told + told_at_length(&rest[told..]);
    (more > 0).then_some(more)
}

/// The length of what says that a secret was set: `has been changed to `, `is now set to: `. It ends with `to` or `now`.
fn told_at_length(rest: &[u8]) -> usize {
    const WORDS: [&[u8]; 12] =
        [b"has", b"been", b"was", b"is", b"now", b"changed", b"set", b"reset", b"updated", b"rotated", b"to", b"to:"];
    let (mut at, mut length) = (0, 0);
    while let Some(blank) = rest[at..].iter().take(8).position(|byte| *byte == b' ') {
        let word = &rest[at..at + blank];
        if !WORDS.contains(&word) {
            break;
        }
        at += blank + 1;
        if matches!(word, b"to" | b"to:" | b"now") {
            length = at;
        }
    }
    length
}

/// The password of a pair behind `creds:`, `user / password`.
pub(super) fn pair(text: &[u8], at: usize, kind: &'static str) -> Option<Span> {
    let line = &text[at..text.len().min(at + MAX_LINE)];
    let line = line.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let slash = structure::find(line, b" / ")?;
    let word = line[slash + 3..].split(u8::is_ascii_whitespace).next()?;
    let word = trim_end(word, b".,;:)?*\"'`");
    let start = at + slash + 3;
    (!line[..slash].contains(&b' ') && is_shaped(word)).then_some(Span { start, end: start + word.len(), kind })
}

/// The length of what a secret is for, with the colon or `=` behind it: `for prod:`, `(staging):`.
fn purpose(rest: &[u8]) -> Option<usize> {
    const BEGINNINGS: [&[u8]; 4] = [b"for ", b"of ", b"on ", b"("];
    BEGINNINGS
        .iter()
        .any(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
        .then_some(())?;
    let head = &rest[..rest.len().min(MAX_PURPOSE)];
    let end = head.windows(2).position(|two| matches!(two, b": " | b"= ")).map(|end| end + 1);
    end.or_else(|| structure::find(head, b" is ").map(|end| end + 4))
        .or_else(|| structure::find(head, b" ist ").map(|end| end + 5))
}

/// Whether a word looks made up: letters mixed with digits or signs, and neither a size, the name of an algorithm, an
/// address nor a call.
pub(super) fn is_shaped(word: &[u8]) -> bool {
    const ALGORITHMS: [&[u8]; 22] = [
        b"base64",
        b"base32",
        b"base58",
        b"sha1",
        b"sha224",
        b"sha256",
        b"sha384",
        b"sha512",
        b"argon2",
        b"argon2i",
        b"argon2d",
        b"argon2id",
        b"pbkdf2",
        b"oauth2",
        b"ed25519",
        b"x25519",
        b"secp256k1",
        b"x509",
        b"aes128",
        b"aes256",
        b"1password",
        b"utf8",
    ];
    let core = trim_end(word, b".,;:!?");
    if core.len() < MIN_SHAPED
        || judge::is_masked(core)
        || judge::is_reference(core, false)
        || core.starts_with(MARK.as_bytes())
        || core
            .iter()
            .any(|byte| matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'/' | b'<' | b'>' | b'=' | b' '))
        || structure::find(core, b"::").is_some()
        || core[0] == b'&'
    {
        return false;
    }
    let stem = core.split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
    if ALGORITHMS.iter().any(|known| stem.eq_ignore_ascii_case(known)) {
        return false;
    }
    let letters = core.iter().any(|byte| byte.is_ascii_alphabetic());
    let number = core.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let unit = core[number..].iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-');
    let address = core.iter().filter(|byte| **byte == b'@').count() == 1 && core.contains(&b'.');
    let signs = core[1..].iter().any(|byte| b"!#$%^&*+~".contains(byte));
    let digits = core.iter().any(u8::is_ascii_digit);
    letters && (digits || signs) && !(number > 0 && unit) && !address && !is_field(core)
}

/// Whether a word is base64 of a length that only keys have, and no path.
pub(super) fn is_long_key(word: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| word.iter().any(test);
    word.len() >= 20
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
        && !word.starts_with(b"/")
}

/// The length of the number of a key, of which there are several: `Unseal Key 1: …`.
pub(super) fn numbered(text: &[u8], at: usize) -> usize {
    let Some(rest) = text.get(at..).and_then(|rest| rest.strip_prefix(b" ")) else { return 0 };
    let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && rest.get(digits) == Some(&b':') { digits + 1 } else { 0 }
}

/// Whether a word is a field of something, `node.colon2_token`, or a name of a secret itself.
fn is_field(word: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !word.iter().all(plain) || !word.iter().any(|byte| matches!(byte, b'_' | b'.')) {
        return false;
    }
    std::str::from_utf8(word)
        .is_ok_and(|word| word.split('.').next_back().is_some_and(|last| names::classify(last).is_some()))
}

/// `word` without what of `signs` it ends in.
pub(super) fn trim_end<'w>(word: &'w [u8], signs: &[u8]) -> &'w [u8] {
    &word[..word.iter().rposition(|byte| !signs.contains(byte)).map_or(0, |last| last + 1)]
}
