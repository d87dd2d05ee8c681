//! A process that runs beside the test, in a process group of its own, and never longer than the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::{eventually, monotonic};

/// Time for a process's output to end after the process itself did.
const AFTERMATH: Duration = Duration::from_secs(5);

/// A process with pipes on its streams. Dropping it kills its whole group and reaps it, also when the test panics.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    what: String,
    ended: Option<ExitStatus>,
}

impl Running {
    pub(crate) fn spawn(mut command: Command, stdin: Stdio, what: &str) -> Self {
        crate::signals::hear();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, stderr: Some(stderr), what: what.into(), ended: None }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = kill_process(self.pid(), signal);
        }
    }

    /// `kill -9` and reap.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(AFTERMATH);
    }

    /// Writes a line to its input.
    ///
    /// # Errors
    /// When it no longer reads.
    pub fn send(&mut self, line: &str) -> std::io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(std::io::ErrorKind::BrokenPipe.into()) };
        stdin.write_all(line.as_bytes())?;
        stdin.write_all(b"\n")?;
        stdin.flush()
    }

    /// Ends its input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Its input, to be written from another thread.
    ///
    /// # Panics
    /// When it was taken or has none.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap_or_else(|| panic!("{} has no input pipe", self.what))
    }

    /// Its next line of output, with the line feed. `None` at the end of its output.
    ///
    /// # Panics
    /// When neither comes within `limit`.
    pub fn next_line(&mut self, limit: Duration) -> Option<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{} said nothing for {limit:?}", self.what),
        }
    }

    /// Lines that have come already.
    pub fn lines_so_far(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("waiting for a child");
        }
        self.ended.is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`; it is killed then, and what it said is in the message.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = monotonic() + limit;
        while !self.has_ended() {
            if monotonic() >= end {
                self.kill_group();
                let (stdout, stderr) = self.rest();
                panic!("{} still ran after {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.what);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ended.expect("just seen")
    }

    /// What is left of its output and all it wrote to standard error, once it has ended.
    ///
    /// # Panics
    /// When its output does not end soon after it: a child of it lives on.
    pub fn rest(&mut self) -> (String, String) {
        let mut stdout = String::new();
        let end = monotonic() + AFTERMATH;
        loop {
            match self.lines.recv_timeout(end.saturating_sub(monotonic())) {
                Ok(line) => stdout.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} ended, and a child of it holds its output", self.what),
            }
        }
        let Some(stderr) = self.stderr.take() else { return (stdout, String::new()) };
        eventually(AFTERMATH, &format!("the end of what {} says", self.what), || stderr.is_finished().then_some(()));
        (stdout, stderr.join().unwrap_or_default())
    }

    fn kill_group(&mut self) {
        // The group's number stays taken while its leader is not reaped, so this cannot hit anybody else.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        if self.ended.is_none() {
            self.kill_group();
        }
    }
}
