//! Passwords and keys as generators make them: of every sign that there is, and none of it may be left.

use super::*;

/// What Django makes its keys of.
const DJANGO: &str = "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)";
const SIGNED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*()";
const WORD_PRESS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*()-_ []{}<>~`+=,.;:/?|";

/// Where a value stands, what it is made of, how long it is, and what it does not begin or end with there.
const PLACES: &[(&str, &str, usize, &str)] = &[
    // What ends with a bracket may be a call.
    ("SECRET_KEY = '…'", DJANGO, 50, ""),
    ("SECRET_KEY = \"…\"", DJANGO, 50, ""),
    ("API_KEY='…'", SIGNED, 16, ")"),
    ("{\"api_key\": \"…\"}", SIGNED, 16, ")"),
    ("API_TOKEN=\"…\"", SIGNED, 16, "$)"),
    ("db_password = '…'", WORD_PRESS, 20, " <{"),
    ("tool --password '…'", SIGNED, 16, ""),
    ("connect(password='…', port=1)", SIGNED, 16, ""),
    // A shell, YAML and a query read some of the signs themselves.
    ("DB_PASSWORD=…", SIGNED, 16, "$()"),
    ("DB_HOST=h\nDB_PASSWORD=…\nDB_PORT=1", SIGNED, 12, "$()"),
    ("password: …", SIGNED, 16, "!@#$%&*()"),
    ("db:\n  password: …\n  port: 1", SIGNED, 16, "!@#$%&*()"),
    ("API_KEY=…", SIGNED, 16, "$()"),
    ("https://x/?password=…&x=1", SIGNED, 16, "$()#&"),
    ("tool --password=… -v", SIGNED, 16, "$()&"),
    ("define('AUTH_KEY', '…');", WORD_PRESS, 64, " "),
    ("define( 'LOGGED_IN_SALT',  '…' );", WORD_PRESS, 64, " "),
];

#[test]
fn nothing_is_left_of_what_a_generator_makes() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 40).unwrap()
    };
    let mut left = Vec::new();
    for (place, alphabet, length, not_around) in PLACES {
        let signs = alphabet.as_bytes();
        let mut count = 0;
        while count < 300 {
            let value: String = (0..*length).map(|_| char::from(signs[random() % signs.len()])).collect();
            let ends = |c: char| not_around.contains(c);
            // What ends a query ends its value.
            let cut = (not_around.contains('$') && value.contains("&&"))
                || not_around.contains('&') && place.contains('=') && value.contains(['&', '#']);
            let mixed =
                value.contains(|c: char| c.is_ascii_digit()) && value.contains(|c: char| c.is_ascii_alphabetic());
            if !mixed || cut || value.starts_with(ends) || value.ends_with(ends) {
                continue;
            }
            count += 1;
            let text = place.replace('…', &value);
            let out = redacted(&text);
            let kept = (0..=value.len() - 5).any(|at| out.contains(&value[at..at + 5]));
            if kept || redacted(&out) != out {
                left.push(format!("{text:?} became {out:?}"));
            }
        }
    }
    assert!(left.is_empty(), "{}\n{}", left.len(), left.join("\n"));
}
