//! What the place that output goes to can show: its width, and whether colours mean anything there.

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

/// `text` without characters that move a cursor or change a terminal's state; line feeds become spaces.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `text` without control characters other than line feeds and tabs.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
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
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
        assert_eq!(printable_lines("a\u{7}\nb"), "a\u{fffd}\nb");
    }
}
