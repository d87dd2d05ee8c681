//! Where a shell's words go: to standard output or a buffer, and at the same time into the excerpt that is
//! recorded with the command.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::interrupt::Interrupts;
use crate::pager::{Pager, rows_of};
use crate::terminal::{Terminal, steerless};

/// Most bytes that are held back to be shown page by page.
const MAX_HELD: usize = 8 << 20;

/// Beginning of what a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// At most as many bytes as the capture's cap, cut at a character.
    pub text: String,
    /// Bytes printed in all.
    pub total_bytes: u64,
}

/// A shell's output. Clones write to the same place.
#[derive(Clone)]
pub struct Output {
    inner: Arc<Mutex<Inner>>,
    terminal: Terminal,
}

struct Inner {
    target: Target,
    capture: Option<Capture>,
    /// What is held back until it is known whether it fits the screen.
    held: Option<Vec<u8>>,
    pager: Option<Pager>,
    interrupts: Option<Interrupts>,
    broken: bool,
    muted: bool,
}

enum Target {
    Process,
    Buffers { out: Vec<u8>, err: Vec<u8> },
}

struct Capture {
    bytes: Vec<u8>,
    cap: usize,
    total: u64,
}

impl Output {
    /// The process's standard output and standard error.
    #[must_use]
    pub fn process(terminal: Terminal) -> Self {
        Self::to(Target::Process, terminal)
    }

    /// Memory, for tests and for callers that show the text themselves.
    #[must_use]
    pub fn buffer(terminal: Terminal) -> Self {
        Self::to(Target::Buffers { out: Vec::new(), err: Vec::new() }, terminal)
    }

    fn to(target: Target, terminal: Terminal) -> Self {
        let inner =
            Inner { target, capture: None, held: None, pager: None, interrupts: None, broken: false, muted: false };
        Self { inner: Arc::new(Mutex::new(inner)), terminal }
    }

    /// What the output can show now.
    #[must_use]
    pub fn terminal(&self) -> Terminal {
        if matches!(self.lock().target, Target::Process) { self.terminal.refreshed() } else { self.terminal }
    }

    /// Prints `text` and a line feed. Of control sequences only colours pass.
    pub fn line(&self, text: &str) {
        let text = steerless(text);
        let mut inner = self.lock();
        inner.write(text.as_bytes(), false);
        inner.write(b"\n", false);
        inner.flush();
    }

    /// Prints `text` and a line feed as an error. Of control sequences only colours pass.
    pub fn error_line(&self, text: &str) {
        let text = steerless(text);
        let mut inner = self.lock();
        inner.write(text.as_bytes(), true);
        inner.write(b"\n", true);
        inner.flush();
    }

    /// Leaves the line on which a terminal showed a key such as `^C`, when one was pressed.
    pub(crate) fn after_key(&self, pressed: bool) {
        let mut inner = self.lock();
        if pressed && self.terminal.width.is_some() && matches!(inner.target, Target::Process) {
            inner.pass(b"\n", true);
            inner.flush();
        }
    }

    /// From now on text that does not fit the screen goes through `pager`.
    pub(crate) fn page_by(&self, pager: Pager) {
        self.lock().pager = Some(pager);
    }

    /// Whoever prints here can ask whether Ctrl-C was pressed.
    pub(crate) fn heed(&self, interrupts: &Interrupts) {
        self.lock().interrupts = Some(interrupts.clone());
    }

    /// Whether Ctrl-C was pressed in the shell that this output belongs to: work that prints here should end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.lock().interrupts.as_ref().is_some_and(Interrupts::is_raised)
    }

    /// Whether this is the process's own output.
    #[must_use]
    pub(crate) fn is_process(&self) -> bool {
        matches!(self.lock().target, Target::Process)
    }

    /// Prints whole text, through the pager when there is one and the text does not fit the screen.
    pub fn page(&self, text: &str) {
        self.hold();
        self.line(text);
        self.release();
    }

    /// Holds back what is printed from here on; without a pager nothing is held.
    pub(crate) fn hold(&self) {
        let mut inner = self.lock();
        if inner.pager.is_some() && inner.held.is_none() {
            inner.held = Some(Vec::new());
        }
    }

    /// Shows what was held back.
    pub(crate) fn release(&self) {
        let (held, pager) = {
            let mut inner = self.lock();
            (inner.held.take(), inner.pager.clone())
        };
        let Some(held) = held.filter(|held| !held.is_empty()) else { return };
        let terminal = self.terminal();
        if let (Some(pager), Some(rows), Some(columns)) = (pager, terminal.height(), terminal.width) {
            let text = String::from_utf8_lossy(&held);
            if rows_of(&text, columns) >= usize::from(rows) && pager.show(&text, rows, columns) {
                return;
            }
        }
        let mut inner = self.lock();
        inner.pass(&held, false);
        inner.flush();
    }

    /// Passes bytes of a child process on.
    pub fn bytes(&self, bytes: &[u8], as_error: bool) {
        let mut inner = self.lock();
        inner.write(bytes, as_error);
        inner.flush();
    }

    /// Begins to keep the first `cap` bytes of what is printed.
    pub fn begin_capture(&self, cap: usize) {
        self.lock().capture = Some(Capture { bytes: Vec::new(), cap, total: 0 });
    }

    /// What was printed since [`Output::begin_capture`].
    #[must_use]
    pub fn end_capture(&self) -> Excerpt {
        let Some(capture) = self.lock().capture.take() else { return Excerpt::default() };
        let text = match std::str::from_utf8(&capture.bytes) {
            Ok(text) => text.to_owned(),
            // The cap may have cut a character; anything else that is no UTF-8 was so at its source.
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(&capture.bytes[..error.valid_up_to()]).into_owned()
            }
            Err(_) => String::from_utf8_lossy(&capture.bytes).into_owned(),
        };
        Excerpt { text, total_bytes: capture.total }
    }

    /// Whether nobody reads standard output any more (a closed pipe).
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.lock().broken
    }

    /// What a buffer holds: (output, errors). Empty for the process's own output.
    #[must_use]
    pub fn contents(&self) -> (String, String) {
        match &self.lock().target {
            Target::Process => (String::new(), String::new()),
            Target::Buffers { out, err } => {
                (String::from_utf8_lossy(out).into_owned(), String::from_utf8_lossy(err).into_owned())
            }
        }
    }

    /// An output to the same place that can be silenced by itself.
    #[must_use]
    pub(crate) fn branch(&self) -> Branch {
        Branch { output: self.clone(), open: Arc::new(std::sync::atomic::AtomicBool::new(true)) }
    }

    /// Silences everything from here on, for a process that is about to end.
    pub fn mute(&self) {
        self.lock().muted = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An output that can be cut off from its place: a statement that cannot be stopped loses its voice.
#[derive(Clone)]
pub(crate) struct Branch {
    output: Output,
    open: Arc<std::sync::atomic::AtomicBool>,
}

impl Branch {
    pub(crate) fn line(&self, text: &str) {
        if self.open.load(std::sync::atomic::Ordering::Acquire) {
            self.output.line(text);
        }
    }

    pub(crate) fn terminal(&self) -> Terminal {
        self.output.terminal()
    }

    pub(crate) fn cut(&self) {
        self.open.store(false, std::sync::atomic::Ordering::Release);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.output.is_broken()
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8], as_error: bool) {
        if self.muted {
            return;
        }
        if let Some(capture) = &mut self.capture {
            capture.total = capture.total.saturating_add(bytes.len() as u64);
            let room = capture.cap.saturating_sub(capture.bytes.len()).min(bytes.len());
            capture.bytes.extend_from_slice(&bytes[..room]);
        }
        if let Some(held) = self.held.as_mut().filter(|_| !as_error) {
            held.extend_from_slice(bytes);
            if held.len() > MAX_HELD {
                // More than anybody pages through.
                let held = self.held.take().unwrap_or_default();
                self.pass(&held, false);
            }
            return;
        }
        self.pass(bytes, as_error);
    }

    /// To where it goes in the end.
    fn pass(&mut self, bytes: &[u8], as_error: bool) {
        match &mut self.target {
            Target::Buffers { err, .. } if as_error => err.extend_from_slice(bytes),
            Target::Buffers { out, .. } => out.extend_from_slice(bytes),
            Target::Process => {
                let written = if as_error { io::stderr().write_all(bytes) } else { io::stdout().write_all(bytes) };
                if !as_error && written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                    self.broken = true;
                }
            }
        }
    }

    fn flush(&mut self) {
        if matches!(self.target, Target::Process) && !self.muted {
            let flushed = io::stdout().flush();
            if flushed.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                self.broken = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_at_a_character_and_knows_the_whole_size() {
        let output = Output::buffer(Terminal::PLAIN);
        output.begin_capture(5);
        output.line("aaaäbbb");
        let excerpt = output.end_capture();
        assert_eq!(excerpt.text, "aaaä");
        assert_eq!(excerpt.total_bytes, 9);
        output.begin_capture(4);
        output.line("aaaä");
        assert_eq!(output.end_capture().text, "aaa");
    }

    #[test]
    fn errors_and_output_go_different_ways_and_into_one_excerpt() {
        let output = Output::buffer(Terminal::PLAIN);
        output.begin_capture(100);
        output.line("out");
        output.error_line("err");
        assert_eq!(output.contents(), ("out\n".into(), "err\n".into()));
        assert_eq!(output.end_capture().text, "out\nerr\n");
    }

    #[test]
    fn a_cut_branch_is_silent_and_the_rest_goes_on() {
        let output = Output::buffer(Terminal::PLAIN);
        let branch = output.branch();
        branch.line("one");
        branch.cut();
        branch.line("two");
        output.line("three");
        assert_eq!(output.contents().0, "one\nthree\n");
    }
}
