//! Entries of an input that is no terminal: lines until nothing is open, in bounded memory.

use std::io::{self, BufRead, Read};

use crate::entry::{Completeness, MAX_BYTES, examine};

/// Longest line that is held. One that is longer than an entry may be is refused when it is known where it ends.
const MAX_LINE: usize = 32 * MAX_BYTES;

/// What an input says next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// An entry, perhaps a longer one than may run.
    Entry(String),
    /// Nothing more.
    End,
    /// An entry that is too long to be held, or whose end does not come.
    Endless,
}

/// The next entry: lines until nothing is open and the next line is no part of a block. `ahead` is a line that was read and
/// belongs to the entry after this one.
pub(super) fn next_entry(input: &mut impl BufRead, ahead: &mut Option<String>) -> io::Result<Told> {
    let mut entry = String::new();
    let (mut state, mut needs_closing) = (Completeness::Complete, false);
    loop {
        let line = match ahead.take() {
            Some(line) => line,
            None => {
                let mut bytes = Vec::new();
                if input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut bytes)? == 0 {
                    return Ok(if entry.is_empty() { Told::End } else { Told::Entry(entry) });
                }
                if bytes.len() == MAX_LINE && !bytes.ends_with(b"\n") {
                    return Ok(Told::Endless);
                }
                String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()
            }
        };
        let continues = entry.is_empty()
            || state == Completeness::Open
            || line.is_empty()
            || line.starts_with([' ', '\t'])
            || line.starts_with("else")
            || line.starts_with("elif");
        if !continues {
            *ahead = Some(line);
            return Ok(Told::Entry(entry));
        }
        if !entry.is_empty() {
            entry.push('\n');
        }
        // Most lines of a long list close nothing, and need no look at all that came before.
        let look = !needs_closing || line.contains([')', ']', '}', '"', '\'']);
        entry.push_str(&line);
        if look {
            (state, needs_closing) = examine(entry.trim_end());
        }
        if !matches!(state, Completeness::Open | Completeness::Block) {
            return Ok(Told::Entry(entry));
        }
        if entry.len() > MAX_BYTES {
            return Ok(Told::Endless);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Told> {
        let (mut input, mut ahead, mut told) = (text.as_bytes(), None, Vec::new());
        loop {
            match next_entry(&mut input, &mut ahead).unwrap() {
                Told::End => return told,
                Told::Endless => {
                    told.push(Told::Endless);
                    return told;
                }
                entry @ Told::Entry(_) => told.push(entry),
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let expected: Vec<Told> = expected.iter().map(|entry| Told::Entry((*entry).to_owned())).collect();
        assert_eq!(entries(text), expected, "{text:?}");
    }

    #[test]
    fn lines_belong_together_until_nothing_is_open() {
        check("a\nb\n", &["a", "b"]);
        check("a\r\nb\r\n", &["a", "b"]);
        check("x = [\n1,\n'a',\n2]\nps()", &["x = [\n1,\n'a',\n2]", "ps()"]);
        check("x = 1 + \\\n2\nps()", &["x = 1 + \\\n2", "ps()"]);
        check("def f():\n  x\n\n  y\nps()", &["def f():\n  x\n\n  y", "ps()"]);
        check("if x:\n  a\nelse:\n  b\n\nps()", &["if x:\n  a\nelse:\n  b\n", "ps()"]);
        check("s = \'\'\'a\n%repos\n\'\'\'\nps()", &["s = \'\'\'a\n%repos\n\'\'\'", "ps()"]);
        check("for x in y:\n  z(", &["for x in y:\n  z("]);
    }

    #[test]
    fn what_does_not_end_is_given_up_and_what_is_too_long_is_told_whole() {
        let line = format!("x = '{}'\nps()\n", "a".repeat(MAX_BYTES));
        assert_eq!(entries(&line).len(), 2);
        let list = format!("x = [\n{}", "1,\n".repeat(MAX_BYTES));
        assert_eq!(entries(&list), [Told::Endless]);
        assert_eq!(entries(&"a".repeat(MAX_LINE + 1)), [Told::Endless]);
    }
}
