//! Single keys from the terminal, without Enter, while something is shown. Ctrl-C stays a signal.

use std::io;
use std::time::Duration;

use oneiric::process::own_group;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Keys of standard input; the terminal is as before when this is dropped.
pub(crate) struct Keys {
    before: Termios,
}

impl Keys {
    /// Begins to listen; nothing when standard input is no terminal, or belongs to somebody else now.
    pub(crate) fn listen() -> Option<Self> {
        let input = io::stdin();
        let before = tcgetattr(&input).ok()?;
        if tcgetpgrp(&input).ok()?.as_raw_nonzero().get() != own_group() {
            return None;
        }
        let mut single = before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &single).ok()?;
        Some(Self { before })
    }

    /// The next key, if one comes within `wait`. A signal ends the wait.
    pub(crate) fn next(&self, wait: Duration) -> Option<u8> {
        let input = io::stdin();
        let limit = Timespec::try_from(wait).ok()?;
        let mut waiting = [PollFd::new(&input, PollFlags::IN)];
        if poll(&mut waiting, Some(&limit)).ok()? == 0 {
            return None;
        }
        let mut byte = [0];
        match rustix::io::read(&input, &mut byte) {
            Ok(1) => Some(byte[0]),
            // The terminal is gone: as if someone had left.
            Ok(_) => Some(b'q'),
            Err(_) => None,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
