//! Text that is longer than the screen: by the user's pager, or by one that is built in.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use crate::interrupt::Interrupts;
use crate::keys::Keys;

/// Shows long text on a terminal.
#[derive(Clone, Debug)]
pub struct Pager {
    /// A command line for `/bin/sh`; the built-in one when there is none.
    pub command: Option<String>,
    /// Raised by Ctrl-C, which ends the built-in one.
    pub interrupts: Interrupts,
}

impl Pager {
    /// Shows `text`, which does not fit. Says whether it was shown.
    pub(crate) fn show(&self, text: &str, rows: u16, columns: u16) -> bool {
        match self.command.as_deref() {
            Some(command) => with_program(command, text) || self.screen_by_screen(text, rows, columns),
            None => self.screen_by_screen(text, rows, columns),
        }
    }

    fn screen_by_screen(&self, text: &str, rows: u16, columns: u16) -> bool {
        let Some(keys) = Keys::listen() else { return false };
        let mut out = io::stdout();
        let room = usize::from(rows.max(2)) - 1;
        let mut left = room;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if writeln!(out, "{line}").is_err() {
                return true;
            }
            left = left.saturating_sub(screen_rows(line, columns));
            let next = lines.peek().map_or(0, |line| screen_rows(line, columns));
            if next == 0 || left >= next {
                continue;
            }
            let _ = write!(out, "\x1b[7m-- more: Space a page, Enter a line, q ends --\x1b[0m");
            let _ = out.flush();
            let key = loop {
                if self.interrupts.is_raised() {
                    self.interrupts.clear();
                    break b'q';
                }
                if let Some(key) = keys.next(Duration::from_millis(100)) {
                    break key;
                }
            };
            let _ = write!(out, "\r\x1b[K");
            match key {
                b'q' | b'Q' | 0x1b | 0x04 => {
                    let _ = out.flush();
                    return true;
                }
                b'\n' | b'\r' | b'j' => left = next,
                _ => left = room,
            }
        }
        let _ = out.flush();
        true
    }
}

/// Hands `text` to a program that has the terminal. Says whether it could be started and knew what to do.
fn with_program(command: &str, text: &str) -> bool {
    let mut pager = Command::new("/bin/sh");
    pager.arg("-c").arg(command).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Colours as colours, and nothing cleared away at the end.
        pager.env("LESS", "RX");
    }
    let Ok(mut child) = pager.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // Whoever has seen enough closes the pipe.
        let _ = input.write_all(text.as_bytes());
    }
    loop {
        match child.wait() {
            // The shell's words for a program that is not there or cannot be run.
            Ok(status) => return !matches!(status.code(), Some(126 | 127)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// Rows that `text` takes on a screen with so many columns.
pub(crate) fn rows_of(text: &str, columns: u16) -> usize {
    text.lines().map(|line| screen_rows(line, columns)).sum()
}

/// Rows of one line; what colours it takes no room.
fn screen_rows(line: &str, columns: u16) -> usize {
    let mut width = 0;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            let _ = chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            width += c.width().unwrap_or(0);
        }
    }
    width.div_ceil(usize::from(columns.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_screen() {
        assert_eq!(rows_of("a\nb\n", 80), 2);
        assert_eq!(rows_of(&"x".repeat(81), 80), 2);
        assert_eq!(rows_of("\u{1b}[1mabcd\u{1b}[0m", 4), 1);
        assert_eq!(rows_of("日本", 3), 2);
    }
}
