//! A picture that is drawn again and again until it is over, or someone has seen enough.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::Shell;
use crate::interpreter::{Frame, Live};
use crate::keys::Keys;
use crate::pager::rows_of;
use crate::program::Finished;
use crate::terminal::Terminal;

/// Time between two pictures.
const EVERY: Duration = Duration::from_millis(250);

impl Shell {
    /// Draws on a terminal until nothing changes any more, `q` or Ctrl-C; elsewhere once. What stays is the last picture.
    pub(super) fn watch(&self, live: &Live) -> Finished {
        let terminal = self.output.terminal();
        let keys = (terminal.width.is_some() && self.output.is_process() && io::stdin().is_terminal())
            .then(Keys::listen)
            .flatten();
        let mut drawn = 0;
        let mut out = io::stdout();
        let last = loop {
            let frame = match live.draw(self.output.terminal()) {
                Ok(frame) => frame,
                Err(fault) => return self.complain(fault.message(), fault.advice()),
            };
            let Some(keys) = keys.as_ref().filter(|_| !frame.over) else { break frame };
            let (text, rows) = fitted(&frame, self.output.terminal());
            let hint = self.output.terminal().faint("q ends");
            if write!(out, "{}{text}\n{hint}\r", up(drawn)).and_then(|()| out.flush()).is_err() {
                break frame;
            }
            drawn = rows;
            let key = keys.next(EVERY);
            if matches!(key, Some(b'q' | b'Q' | 0x1b | 0x04)) {
                break frame;
            }
            if self.interrupts.is_raised() {
                // Leaving is what Ctrl-C is for here; it is no failure.
                self.interrupts.clear();
                break frame;
            }
        };
        drop(keys);
        if drawn > 0 {
            let _ = write!(out, "{}", up(drawn)).and_then(|()| out.flush());
        }
        self.output.line(&last.text);
        super::completed()
    }
}

/// Back to where the last picture began, and everything below gone.
fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
}

/// As much as the screen holds above one line, and how many rows that is.
fn fitted(frame: &Frame, terminal: Terminal) -> (String, usize) {
    let (Some(height), Some(width)) = (terminal.height(), terminal.width) else {
        return (frame.text.clone(), frame.text.lines().count());
    };
    let room = usize::from(height.max(4)) - 2;
    let mut rows = 0;
    let mut lines = Vec::new();
    for line in frame.text.lines() {
        rows += rows_of(line, width);
        if rows > room {
            rows -= rows_of(line, width);
            lines.push("…");
            rows += 1;
            break;
        }
        lines.push(line);
    }
    (lines.join("\n"), rows)
}
