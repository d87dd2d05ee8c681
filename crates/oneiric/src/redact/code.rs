//! What programs write where a secret could stand, and what is made up although it has brackets as programs have.

use super::{effort, structure};

/// An expression is followed at most this far.
const MAX_EXPRESSION: usize = 512;
/// What generators of passwords put between letters, and programs seldom do.
pub(super) const SIGNS: &[u8] = b"!@#$%^&*+~";

/// A piece of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Names joined by dots: `config.password`.
    Path,
    /// The same with calls or items: `hash(password)`, `parts[1].text`.
    Call,
}

/// The expression that the value at the beginning of `text` is, whole. The value has `length` bytes, but a call may go on
/// behind the blank that ends the value.
pub(super) fn expression(text: &[u8], length: usize) -> Option<Expression> {
    let near = &text[..text.len().min(MAX_EXPRESSION)];
    let end = (0..near.len()).find(|at| ends_line(near, *at));
    let line = &near[..end.unwrap_or(near.len())];
    effort::spend(line.len());
    let cut = end.is_none() && text.len() > near.len();
    // `&config::ApiKey`
    let lead = usize::from(line.first() == Some(&b'&') && structure::find(line, b"::").is_some());
    let mut at = lead + word(line, lead);
    if at == lead || line[lead].is_ascii_digit() {
        return None;
    }
    let mut kind = Expression::Path;
    loop {
        let rest = &line[at..];
        let joint = match rest {
            [b'(' | b'[', ..] => {
                let Some(group) = closed(rest) else {
                    let value = &line[..length.min(line.len())];
                    return (cut || goes_on(&rest[1..], value)).then_some(Expression::Call);
                };
                if is_odd(&rest[1..group - 1]) {
                    return None;
                }
                kind = Expression::Call;
                at += group;
                continue;
            }
            [b'!', b'(' | b'[', ..] => {
                at += 1;
                continue;
            }
            [b':', b':', b'<', ..] => {
                at += 2 + rest.iter().skip(2).take_while(|byte| **byte != b'(').count();
                continue;
            }
            [b':', b':', ..] | [b'-', b'>', ..] | [b'?', b'.', ..] => 2,
            [b'.', ..] => 1,
            _ => 0,
        };
        let name = if joint > 0 { word(line, at + joint) } else { 0 };
        if name == 0 {
            break;
        }
        at += joint + name;
    }
    let rest = line.get(at..length.min(line.len())).unwrap_or_default();
    // `password!` of TypeScript, but not a name with a number.
    let numbered = line[..at].iter().any(u8::is_ascii_digit);
    let closing = |byte: &u8| b",;:?.)]}\"'`\\".contains(byte) || (*byte == b'!' && !numbered);
    let operator = kind == Expression::Call
        && rest.len() > 1
        && rest.first().is_some_and(|byte| b"+-*/|&=<>?:".contains(byte))
        && !rest.iter().any(|byte| byte.is_ascii_digit() || b"!@#$%^~".contains(byte));
    // `x=f()#remark`
    let remark = line[..at].ends_with(b"()") && rest.first() == Some(&b'#');
    let function = line.starts_with(b"function(");
    (function || remark || operator || rest.iter().all(closing)).then_some(kind)
}

/// The length of the word of letters, digits and `_` at `at`.
fn word(line: &[u8], at: usize) -> usize {
    line[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// Whether a line ends at `at`, also where a text in quotes tells of it.
fn ends_line(text: &[u8], at: usize) -> bool {
    matches!(text[at], b'\n' | b'\r') || (text[at] == b'\\' && matches!(text.get(at + 1), Some(b'n' | b'r')))
}

/// The length of a group in brackets that begins with `rest`, when it is closed on its line.
pub(super) fn closed(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            quote @ (b'"' | b'\'' | b'`') => {
                at += rest[at + 1..].iter().position(|byte| *byte == quote).map_or(0, |length| length + 1);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether a call goes on with the next line. `rest` follows its bracket on the line.
fn goes_on(rest: &[u8], value: &[u8]) -> bool {
    let signs = || value.iter().any(|byte| b"@#$%^~".contains(byte));
    let numbered = value.contains(&b'!') && value.iter().any(u8::is_ascii_digit);
    match rest.trim_ascii_end() {
        [] | [b'"' | b'\'' | b'`' | b'\\', ..] | [.., b','] => true,
        [.., b'(' | b'[' | b'{' | b'|' | b'=' | b'>' | b'+'] if !signs() && !numbered => true,
        _ => !value.iter().any(|byte| byte.is_ascii_digit() || b"!@#$%^~".contains(byte)),
    }
}

/// Whether what stands between brackets is nothing that a program writes there.
fn is_odd(inside: &[u8]) -> bool {
    let first = inside.first().is_some_and(|byte| b"%^=,;)".contains(byte));
    first || inside.last().is_some_and(|byte| b"!#%^$@+=~-".contains(byte))
}

/// Whether a value with brackets or blanks in it is what a generator makes: no pattern, no template, no piece of a
/// program, no text.
pub(super) fn is_made_up(value: &[u8]) -> bool {
    const RANGES: [&[u8]; 9] =
        [b"[a-z", b"[A-Z", b"[0-9", b"[a-f", b"[A-F", b"a-zA-Z", b"A-Za-z", b"a-z0-9", b"A-Z0-9"];
    const PATTERNS: [&[u8]; 3] = [b"(?", b".*", b"\\"];
    let count = |test: fn(&u8) -> bool| value.iter().filter(|byte| test(byte)).count();
    let holds = |patterns: &[&[u8]]| patterns.iter().any(|pattern| structure::find(value, pattern).is_some());
    let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
    if digits == 0 || letters == 0 {
        return false;
    }
    // The keys of WordPress hold every sign that there is, and hardly a blank.
    let distinct = (b'!'..=b'~').filter(|byte| byte.is_ascii_punctuation() && value.contains(byte)).count();
    let quoted = value.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\n'));
    let blanks = count(u8::is_ascii_whitespace);
    let noise = value.len() >= 32
        && count(u8::is_ascii_uppercase) > 2
        && distinct > 5
        && count(u8::is_ascii_punctuation) * 8 >= value.len()
        && blanks * 12 <= value.len()
        && !quoted;
    if blanks > 0 || holds(&RANGES) || holds(&PATTERNS) || noise {
        return noise && (distinct > 11 || !holds(&RANGES));
    }
    let bracket = |byte: &u8| b"()[]{}<>".contains(byte);
    let plain = || value.iter().all(|byte| byte.is_ascii_alphanumeric() || bracket(byte));
    let even = || count(|byte| b"([{<".contains(byte)) == count(|byte| b")]}>".contains(byte));
    let program = || has_blank_to_fill(value) || (even() && expression(value, value.len()).is_some());
    let signs = signs(value);
    signs > 2 || ((signs > 0 || plain()) && !program())
}

/// How many different signs of generators a value holds.
pub(super) fn signs(value: &[u8]) -> usize {
    SIGNS.iter().filter(|sign| value.contains(sign)).count()
}

/// Whether a name in brackets stands where something is to be filled in: `{user}:{id}`, `<token1>`, `[key2]`.
fn has_blank_to_fill(value: &[u8]) -> bool {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-:,$|".contains(byte);
    let enclosed = matches!(
        (value.first(), value.last()),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'('), Some(b')')) | (Some(b'<'), Some(b'>'))
    );
    let mut open = None;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'{' | b'<' | b'[' => open = Some(at),
            b'}' | b'>' | b']' if open.is_some_and(|open| value[open + 1].is_ascii_alphabetic()) => return true,
            b'(' if at > 0 && value[at - 1] == b'%' => open = Some(at),
            b')' if open.is_some_and(|open| value[open] == b'(') => return true,
            byte if !in_name(byte) => open = None,
            _ => {}
        }
    }
    enclosed
}
