//! Words for a password in other languages, and what is told behind them: `Mot de passe : …`, `пароль: …`. As in English
//! prose, only what looks made up is one.

use super::{Span, assign, prose};

/// The words, as the prefilter looks for them: it does not look at the case of Latin letters.
pub(super) const WORDS: &[&str] = &[
    "kennwort",
    "mot de passe",
    "mot_de_passe",
    "contraseña",
    "contrasena",
    "senha",
    "wachtwoord",
    "hasło",
    "heslo",
    "пароль",
    "Пароль",
    "ПАРОЛЬ",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
];

/// What joins the word and the password, the longest first.
const JOINTS: &[&str] = &[
    ":", "：", "=>", "=", "->", "→", "ist:", "ist", "est", "es", "é", "è", "jest", "is", "je", "是", "为", "為", "は",
    "는", "은",
];

/// Words shorter than that are none.
const LEAST: usize = 6;

/// Whether a name is one of the words, alone or at the end of others.
pub(super) fn is_name(name: &str) -> bool {
    let ends = |word: &&str| {
        let start = name.len().checked_sub(word.len())?;
        let tail = name.get(start..)?.eq_ignore_ascii_case(word);
        (tail && !ends_in_letter(&name.as_bytes()[..start])).then_some(())
    };
    WORDS.iter().any(|word| ends(word).is_some())
}

/// The password that is told behind the word at `start..end`.
pub(super) fn value(text: &[u8], start: usize, end: usize) -> Option<Span> {
    if text[start].is_ascii() && ends_in_letter(&text[..start]) {
        return None;
    }
    let around = |byte: u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*' | b'\\');
    let mut at = end + assign::count(text, end, around).min(8);
    let joint = JOINTS.iter().find(|joint| text[at..].starts_with(joint.as_bytes())).map_or(0, |joint| joint.len());
    let latin = joint > 0 && text[at..at + joint].iter().all(u8::is_ascii_lowercase);
    at += joint;
    let gap = assign::count(text, at, around).min(8);
    // `esperar` is no `es`, and without a joint something stands between.
    if (latin || (joint == 0 && at == end)) && gap == 0 {
        return None;
    }
    at += gap;
    let ends = |byte: u8| byte.is_ascii_whitespace() || !byte.is_ascii() || b"\"'`|<>\\".contains(&byte);
    let word = &text[at..at + assign::count(text, at, |byte| !ends(byte)).min(128)];
    let word = prose::trim_end(word, b".,;:)?*");
    (word.len() >= LEAST && prose::is_shaped(word)).then_some(Span {
        start: at,
        end: at + word.len(),
        kind: "password",
    })
}

fn ends_in_letter(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
}
