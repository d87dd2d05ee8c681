//! What the place that output goes to can show: its width, and whether colours mean anything there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::AsFd;

/// Abilities of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None` when the output is no terminal, so that lines stay whole for other programs.
    pub width: Option<u16>,
    /// Whether to colour.
    pub colour: bool,
}

impl Terminal {
    /// No terminal: whole lines, no colours.
    pub const PLAIN: Self = Self { width: None, colour: false };

    /// Looks at `output` and the variables `COLUMNS`, `NO_COLOR` and `TERM`.
    pub fn of(output: impl AsFd, vars: &BTreeMap<String, String>) -> Self {
        let fd = output.as_fd();
        if !rustix::termios::isatty(fd) {
            return Self::PLAIN;
        }
        let told = rustix::termios::tcgetwinsize(fd).map(|size| size.ws_col).unwrap_or(0);
        let set = vars.get("COLUMNS").and_then(|text| text.parse().ok()).unwrap_or(0);
        let width = [told, set, 80].into_iter().find(|&columns| columns >= 20).unwrap_or(80);
        let plain = vars.get("NO_COLOR").is_some_and(|text| !text.is_empty())
            || vars.get("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        Self { width: Some(width), colour: !plain }
    }

    /// The same with the width that standard output has by now: people resize their windows.
    #[must_use]
    pub fn refreshed(self) -> Self {
        let told = self.width.and_then(|_| rustix::termios::tcgetwinsize(std::io::stdout()).ok());
        match told.map(|size| size.ws_col) {
            Some(width) if width >= 20 => Self { width: Some(width), ..self },
            _ => self,
        }
    }

    /// Rows that standard output has, when it is a terminal that tells.
    #[must_use]
    pub fn height(self) -> Option<u16> {
        let told = self.width.and_then(|_| rustix::termios::tcgetwinsize(std::io::stdout()).ok());
        told.map(|size| size.ws_row).filter(|&rows| rows > 0)
    }

    /// `text` in bold red, as errors are shown.
    #[must_use]
    pub fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// `text` in bold.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` in a faint colour.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `text` in green.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `text` in one line, without anything that moves a cursor or changes a terminal's state.
#[must_use]
pub fn printable(text: &str) -> String {
    printable_lines(text).replace(['\n', '\t'], " ")
}

/// `text` without anything that moves a cursor or changes a terminal's state. Colours and other sequences are left out, a
/// line that was written over ends there, and what else no terminal shows becomes a replacement character.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    shown(text, false)
}

/// [`printable_lines`] that lets colours through: for text that this program made, with the words of others in it.
#[must_use]
pub(crate) fn steerless(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || turns_text(c));
    if text.chars().all(harmless) { Cow::Borrowed(text) } else { Cow::Owned(shown(text, true)) }
}

fn shown(text: &str, colours: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\x1b' => {
                let length = sequence(rest);
                if colours && is_colour(&rest[..length]) {
                    shown.push_str(&rest[..length]);
                }
                length
            }
            '\r' => {
                if !rest[1..].starts_with(['\n', '\r']) && rest.len() > 1 {
                    shown.push('\n');
                }
                1
            }
            c => {
                let hidden = (c.is_control() && !matches!(c, '\n' | '\t')) || turns_text(c);
                shown.push(if hidden { '\u{fffd}' } else { c });
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    shown
}

/// Bytes of the control sequence that `text` begins with. One that does not end is as long as what belongs to it.
fn sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    let end = match bytes.get(1) {
        Some(b'[') => {
            let inner = bytes[2..].iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
            2 + inner + usize::from(bytes.get(2 + inner).is_some_and(|byte| (0x40..=0x7e).contains(byte)))
        }
        // A string such as a title: to BEL or ESC \, or to the end of its line.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let inner = bytes[2..].iter().take_while(|byte| !matches!(byte, 0x07 | 0x1b | b'\n')).count();
            match &bytes[2 + inner..] {
                [0x07, ..] => 3 + inner,
                [0x1b, b'\\', ..] => 4 + inner,
                _ => 2 + inner,
            }
        }
        Some(0x20..=0x2f) => 2 + usize::from(bytes.get(2).is_some_and(|byte| (0x30..=0x7e).contains(byte))),
        Some(0x30..=0x7e) => 2,
        _ => 1,
    };
    end.min(text.len())
}

/// Whether a sequence only says how what follows looks.
fn is_colour(sequence: &str) -> bool {
    let inner = sequence.strip_prefix("\x1b[").and_then(|rest| rest.strip_suffix('m'));
    inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')))
}

/// Characters that turn the order of those around them, so that a line reads otherwise than it is.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_gets_neither_width_nor_colour() {
        let vars = BTreeMap::from([("TERM".to_owned(), "xterm".to_owned()), ("COLUMNS".to_owned(), "70".to_owned())]);
        let Ok(file) = std::fs::File::open("/dev/null") else { unreachable!("every system has /dev/null") };
        assert_eq!(Terminal::of(file, &vars), Terminal::PLAIN);
        assert_eq!(Terminal::PLAIN.error("x"), "x");
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{7}"), "ab c\u{fffd}");
        assert_eq!(printable_lines("a\u{7}\nb\tc\r\nd\re\r"), "a\u{fffd}\nb\tc\nd\ne");
        for (text, seen) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\y", "xy"),
            ("\u{1b}]0;no end\nnext", "\nnext"),
            ("\u{1b}(Bx\u{1b}7y\u{1b}", "xy"),
            ("\u{1b}[31", ""),
            ("\u{1b}ä\u{9b}31m", "ä\u{fffd}31m"),
            ("pay \u{202e}eil a\u{2066}", "pay \u{fffd}eil a\u{fffd}"),
        ] {
            assert_eq!(printable_lines(text), seen, "{text:?}");
        }
    }

    #[test]
    fn own_colours_pass_and_nothing_else() {
        assert_eq!(steerless("\u{1b}[1;31merror:\u{1b}[0m \u{1b}[2J\u{1b}]0;x\u{7}y"), "\u{1b}[1;31merror:\u{1b}[0m y");
        assert!(matches!(steerless("plain\tä\n"), Cow::Borrowed(_)));
    }
}
