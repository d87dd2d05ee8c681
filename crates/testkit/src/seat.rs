//! A program on a terminal of its own, and a person before it: keys go in, what is shown comes out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wait::eventually;

/// Longest wait for what a busy machine shows late.
const LIMIT: Duration = Duration::from_secs(60);
/// How a program asks where the cursor is, and an answer.
const WHERE: (&[u8], &[u8]) = (b"\x1b[6n", b"\x1b[1;1R");

/// A program that runs on a terminal. Dropping it ends the program with all that it left in its session's groups.
#[derive(Debug)]
pub struct Seat {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
    what: String,
    /// Bytes of what was shown that have been looked at.
    seen: usize,
    ended: Option<ExitStatus>,
}

impl Seat {
    /// Starts a command on a terminal of so many columns and rows.
    pub(crate) fn take(mut command: Command, (columns, rows): (u16, u16), what: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other end");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave: OwnedFd = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("its size");
        let second = || slave.try_clone().expect("a second descriptor");
        let child = command.stdin(second()).stdout(second()).stderr(second()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        drop((command, slave));
        let keys = File::from(master);
        let (mut reader, mut answers) = (keys.try_clone().expect("a reader"), keys.try_clone().expect("a writer"));
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            // The terminal is gone when nobody has its other end.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let asked = buffer[..count].windows(WHERE.0.len()).filter(|window| *window == WHERE.0).count();
                for _ in 0..asked {
                    let _ = answers.write_all(WHERE.1);
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keys, shown, what: what.to_owned(), seen: 0, ended: None }
    }

    /// Process id of the program.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types this. `\x03` is Ctrl-C, `\x04` is Ctrl-D, `\r` is Enter.
    pub fn keys(&mut self, keys: &str) {
        let _ = self.keys.write_all(keys.as_bytes());
    }

    /// All that was shown so far, as it came.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until this is shown after what was waited for before.
    ///
    /// # Panics
    /// When it is not.
    pub fn sees(&mut self, text: &str) {
        let what = format!("'{text}' on the terminal of {}", self.what);
        let found = self.wait(&what, |rest| {
            let at = rest.windows(text.len()).position(|window| window == text.as_bytes());
            at.map(|at| at + text.len())
        });
        self.seen += found;
    }

    fn wait(&mut self, what: &str, find: impl Fn(&[u8]) -> Option<usize>) -> usize {
        let shown = Arc::clone(&self.shown);
        let seen = self.seen;
        let look = || find(&shown.lock().unwrap_or_else(PoisonError::into_inner)[seen..]);
        let end = crate::wait::monotonic() + LIMIT;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(crate::wait::monotonic() < end, "waited for {what}; it shows:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn end(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.what);
        let (child, ended) = (&mut self.child, &mut self.ended);
        eventually(LIMIT, &what, || {
            if ended.is_none() {
                *ended = child.try_wait().expect("waiting for a child");
            }
            *ended
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
