//! Terminals for processes that want one, and what they show as plain text.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What a command line begins with to get its standard input as its own terminal: a session is made by whoever is in none
/// of its own, which only the new process itself can do.
pub(super) const TAKES_TERMINAL: [&str; 3] = ["setsid", "--ctty", "--wait"];

/// A terminal of so many columns and rows: the end that shows and the end that a process gets.
pub(super) fn open_pty((columns, rows): (u16, u16)) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
    tcsetwinsize(&slave, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok((master, slave))
}

/// Takes colours, movements of the cursor and titles out of what a terminal shows. A line that is written over ends there.
#[derive(Debug, Default)]
pub(super) struct PlainText {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After a carriage return: what comes next says what it meant.
    Return,
    /// After ESC.
    Escape,
    /// Within a control sequence, until its final byte.
    Control,
    /// Within a string (a title), until BEL or ESC \.
    Title,
    TitleEscape,
    /// One more byte belongs to the sequence.
    One,
}

impl PlainText {
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Return, b'\r') => State::Return,
                (State::Text | State::Return, 0x1b) => State::Escape,
                (State::Text, b'\r') => State::Return,
                (State::Text | State::Return, byte) => {
                    if self.state == State::Return && byte != b'\n' {
                        text.push(b'\n');
                    }
                    if byte >= 0x20 || matches!(byte, b'\n' | b'\t') {
                        text.push(byte);
                    }
                    State::Text
                }
                (State::Escape, b'[') => State::Control,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Title,
                (State::Escape, b'(' | b')' | b'*' | b'+' | b'#' | b'%' | b' ') => State::One,
                (State::Control, 0x20..=0x3f) => State::Control,
                (State::Title, 0x1b) => State::TitleEscape,
                (State::Title, byte) if byte != 0x07 => State::Title,
                (State::TitleEscape, byte) if byte != b'\\' => State::Title,
                _ => State::Text,
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_shows_is_read_as_plain_text_also_in_pieces() {
        let shown =
            "\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07half 10%\rhalf 99%\r\r\n\x1b(Bgrün\x1bM\x1bPdata\x1b\\.\t!\x08\n";
        let wanted = "red\nhalf 10%\nhalf 99%\ngrün.\t!\n";
        for size in 1..shown.len() {
            let mut plain = PlainText::default();
            let text: Vec<u8> = shown.as_bytes().chunks(size).flat_map(|piece| plain.read(piece)).collect();
            assert_eq!(String::from_utf8(text).unwrap(), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn a_terminal_has_the_size_that_was_asked_for() {
        let (_master, slave) = open_pty((100, 30)).unwrap();
        let size = rustix::termios::tcgetwinsize(&slave).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (100, 30));
    }
}
