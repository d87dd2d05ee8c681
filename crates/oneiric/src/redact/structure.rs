//! Secrets that stand at a fixed place of a known form: URLs, key blocks, HTTP authorization.

use super::{Span, effort};

/// The password of a URL: `scheme://user:password@host`. It begins behind `://`, at `from`.
pub(super) fn url_password(text: &[u8], from: usize) -> Option<Span> {
    let rest = &text[from..];
    let stops = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>')
    };
    let authority = &rest[..rest.iter().take(2048).position(stops).unwrap_or(rest.len().min(2048))];
    let end = authority.iter().rposition(|byte| *byte == b'@')?;
    let start = match authority[..end].iter().position(|byte| *byte == b':') {
        Some(colon) => colon + 1,
        // A token in the place of the user: `https://TOKEN@host`.
        None if end >= 20 && authority[..end].iter().any(u8::is_ascii_digit) => 0,
        None => return None,
    };
    let secret = &authority[start..end];
    (!secret.is_empty() && !is_reference(secret) && !secret.starts_with(super::MARK.as_bytes())).then_some(Span {
        start: from + start,
        end: from + end,
        kind: "password",
    })
}

/// The password of a URL that stands encoded in another: `scheme%3A%2F%2Fuser%3Apassword%40host`; what follows `%3A%2F%2F`
/// begins at `from`.
pub(super) fn encoded_url_password(text: &[u8], from: usize) -> Option<Span> {
    const MAX: usize = 1024;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"%-._~!*'()+$,;@:=".contains(byte);
    let rest = &text[from..text.len().min(from + MAX)];
    let rest = &rest[..rest.iter().take_while(|byte| word(byte)).count()];
    let is = |three: &[u8], code: &[u8]| three.eq_ignore_ascii_case(code);
    let authority = &rest[..rest.windows(3).position(|three| is(three, b"%2F")).unwrap_or(rest.len())];
    let end = authority.windows(3).rposition(|three| is(three, b"%40"))?;
    let start = authority[..end].windows(3).position(|three| is(three, b"%3A"))? + 3;
    let secret = authority.get(start..end)?;
    (!secret.is_empty() && !is_reference(secret)).then_some(Span {
        start: from + start,
        end: from + end,
        kind: "password",
    })
}

/// What follows the word `Bearer` at `at`.
pub(super) fn bearer(text: &[u8], at: usize) -> Option<Span> {
    let (start, end) = credentials(text, at + "bearer".len())?;
    let token = &text[start..end];
    let long = token.len() >= 20 || (token.len() >= 8 && token.iter().any(u8::is_ascii_digit));
    long.then_some(Span { start, end, kind: "bearer-token" })
}

/// What follows the word `Basic` at `at`, when it is the base64 of `user:password`.
pub(super) fn basic(text: &[u8], at: usize) -> Option<Span> {
    let (start, end) = credentials(text, at + "basic".len())?;
    let decoded = base64(&text[start..end])?;
    decoded.contains(&b':').then_some(Span { start, end, kind: "basic-auth" })
}

/// Whether a whole text is the base64 of `user:password`.
pub(super) fn is_basic(text: &[u8]) -> bool {
    let readable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    text.len() >= 8 && base64(text).is_some_and(|plain| plain.contains(&b':') && plain.iter().all(readable))
}

fn credentials(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let blanks = text.get(from..)?.iter().take(8).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let start = from + blanks;
    let allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    let length = text[start..].iter().take_while(|byte| allowed(byte)).count();
    (blanks > 0 && length > 0).then_some((start, start + length))
}

/// The secret part of an address that posts into a chat: `https://hooks.slack.com/services/T0/B0/…`.
pub(super) fn webhook(text: &[u8], from: usize) -> Option<Span> {
    let rest = &text[from..text.len().min(from + 512)];
    let allowed = |at: &usize| match rest[*at] {
        b'\\' => rest.get(at + 1) == Some(&b'/'),
        byte => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'@'),
    };
    let length = (0..rest.len()).take_while(allowed).count();
    (length >= 16).then_some(Span { start: from, end: from + length, kind: "webhook" })
}

/// The same of Discord, `/api/webhooks/<number>/<token>`: other programs call the paths that they are posted to so.
pub(super) fn discord_webhook(text: &[u8], from: usize) -> Option<Span> {
    let number = text[from..].iter().take(24).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.get(from + number..)?;
    // As PHP writes JSON, `\/`.
    let slash = rest.iter().take(3).take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = rest[slash..].iter().take(128).take_while(|byte| allowed(byte)).count();
    let end = from + number + slash + length;
    (number >= 6 && slash > 0 && length >= 16).then_some(Span { start: from, end, kind: "webhook" })
}

/// The number and the secret of a Telegram bot in an address: `https://api.telegram.org/bot123456789:AA…/sendMessage`.
pub(super) fn bot(text: &[u8], from: usize) -> Option<Span> {
    let digits = text[from..].iter().take(12).take_while(|byte| byte.is_ascii_digit()).count();
    let secret = text.get(from + digits..)?.strip_prefix(b":")?;
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = secret.iter().take(64).take_while(|byte| allowed(byte)).count();
    (digits >= 6 && length >= 20).then_some(Span { start: from, end: from + digits + 1 + length, kind: "bot-token" })
}

/// What Docker keeps a login as, `"auth": "<base64 of user:password>"`; the name ends at `from`.
pub(super) fn docker_auth(text: &[u8], from: usize) -> Option<Span> {
    const MAX: usize = 2048;
    let rest = &text[from..text.len().min(from + MAX)];
    let skip = |rest: &[u8], allowed: &[u8]| rest.iter().take_while(|byte| allowed.contains(byte)).count();
    let colon = skip(rest, b" \t");
    let value = rest.get(colon..)?.strip_prefix(b":")?;
    let blanks = skip(value, b" \t\n\r\\");
    let value = value.get(blanks..)?.strip_prefix(b"\"")?;
    let length = value.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count();
    let start = from + colon + 1 + blanks + 1;
    is_basic(&value[..length]).then_some(Span { start, end: start + length, kind: "basic-auth" })
}

/// Three base64url parts of which the first is a JSON object: a JSON Web Token, cut off or not. When it is none, up to
/// where nothing that begins there is one either.
pub(super) fn jwt(text: &[u8], at: usize) -> Result<Span, usize> {
    if !text[at..].starts_with(b"eyJ") || super::prefix::follows_word(text, at) {
        return Err(at);
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    let part = |from: usize| {
        let length = text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| allowed(byte)).count());
        effort::spend(length);
        length
    };
    let header = part(at);
    let dot = at + header;
    // What begins later in the same run is shorter, and followed by the same.
    if header < 10 || text.get(dot) != Some(&b'.') {
        return Err(dot);
    }
    let payload = part(dot + 1);
    if payload < 8 {
        return Err(dot);
    }
    let mut end = dot + 1 + payload;
    if text.get(end) == Some(&b'.') {
        end += 1 + part(end + 1);
    }
    Ok(Span { start: at, end, kind: "jwt" })
}

/// Whether a value only says where the secret is: `$NAME`, `${NAME}`, `$(command)`, `%NAME%`, `{{ name }}`, `<name>`.
pub(super) fn is_reference(value: &[u8]) -> bool {
    let name = |bytes: &[u8]| {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        !bytes.is_empty() && !bytes[0].is_ascii_digit() && bytes.iter().all(word)
    };
    let between = |open: &[u8], close: &[u8]| {
        value.len() > open.len() + close.len() && value.starts_with(open) && value.ends_with(close)
    };
    match value {
        [b'$', b'{', ..] => between(b"${", b"}") && !value.windows(2).any(|two| two == b":-"),
        [b'$', b'(', ..] => true,
        [b'$', rest @ ..] => name(rest),
        [b'%', rest @ .., b'%'] => name(rest),
        [b'{', b'{', ..] => true,
        [b'<', ..] => between(b"<", b">"),
        _ => false,
    }
}

/// Decodes base64 in either alphabet, with or without padding. `None` when it is not base64.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if digits % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in &text[..digits] {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = ((bits << 6) | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or(0));
        }
    }
    Some(bytes)
}

pub(super) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
