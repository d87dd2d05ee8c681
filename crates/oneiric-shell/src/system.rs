//! `!command`: a command line of the system's shell, in a process group of its own, with the terminal when there is one.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use oneiric::process::own_group;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, waitpid};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

use crate::interrupt::Interrupts;
use crate::output::Output;

/// How a system command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether it reads what the shell reads; otherwise its input is empty.
    pub shares_input: bool,
    /// Whether its output goes straight to the terminal, unseen by the shell.
    pub direct: bool,
}

/// How a system command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub exit_code: i32,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// Whether it was stopped by a key, and ended for that.
    pub stopped: bool,
    /// What else is to be said.
    pub note: Option<String>,
}

/// How long output is read after the command itself ended, for what it left running in the background.
const AFTERMATH: Duration = Duration::from_millis(250);

/// Runs `command` by `/bin/sh -c` and waits for its end.
///
/// # Errors
/// When `/bin/sh` cannot be started.
pub fn run(command: &str, plan: Plan, output: &Output, interrupts: &Interrupts) -> io::Result<Ended> {
    let terminal = plan.shares_input.then(Foreground::take_note).flatten();
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).process_group(0);
    shell.stdin(if plan.shares_input { Stdio::inherit() } else { Stdio::null() });
    if !plan.direct {
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = shell.spawn()?;
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(io::Error::other("the child has no process id"));
    };
    interrupts.set_group(pid.as_raw_nonzero().get());
    if let Some(terminal) = &terminal {
        terminal.give(pid);
    }
    let pumps = pump(&mut child, output);
    let ended = wait(pid, &pumps, terminal.as_ref(), interrupts);
    interrupts.set_group(0);
    if let Some(terminal) = &terminal {
        terminal.take_back();
    }
    // Whoever still holds the pipes was left in the background; it keeps running, its output ends here.
    pumps.finish();
    ended
}

fn wait(pid: Pid, pumps: &Pumps, terminal: Option<&Foreground>, interrupts: &Interrupts) -> io::Result<Ended> {
    let mut pause = Duration::from_millis(1);
    let mut told = false;
    let mut note = None;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(None) => {}
            Ok(Some((_, status))) if status.stopped() => {
                // There is no job control here: a stopped command would never be heard of again.
                let _ = kill_process_group(pid, Signal::TERM);
                let _ = kill_process_group(pid, Signal::CONT);
                note = Some("stopped commands cannot be continued in this shell, so it was ended".to_owned());
            }
            Ok(Some((_, status))) => return Ok(ending(status, told, note)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // With the terminal in its hands the command hears Ctrl-C itself.
        if terminal.is_none() && interrupts.is_raised() && !told {
            let _ = kill_process_group(pid, Signal::INT);
            told = true;
        }
        // Output that ends is a sign that the command is about to end too.
        pause =
            if pumps.pause(pause) { Duration::from_micros(200) } else { (pause * 2).min(Duration::from_millis(20)) };
    }
}

fn ending(status: WaitStatus, told: bool, note: Option<String>) -> Ended {
    let stopped = note.is_some();
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended { exit_code: code, interrupted: told && code != 0, stopped, note },
        (None, Some(signal)) => {
            let interrupted = signal == Signal::INT.as_raw();
            let note = note.or_else(|| (!interrupted).then(|| format!("ended by signal {signal}")));
            Ended { exit_code: 128 + signal, interrupted, stopped, note }
        }
        (None, None) => Ended { exit_code: 1, interrupted: false, stopped, note },
    }
}

/// Threads that pass a child's output on.
struct Pumps {
    running: std::cell::Cell<usize>,
    ends: mpsc::Receiver<()>,
}

fn pump(child: &mut Child, output: &Output) -> Pumps {
    let (end, ends) = mpsc::channel();
    let mut running = 0;
    let mut start = |source: Option<Box<dyn Read + Send>>, as_error: bool| {
        let Some(mut source) = source else { return };
        let (output, end) = (output.clone(), end.clone());
        let pump = move || {
            let mut buffer = [0; 8192];
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => output.bytes(&buffer[..length], as_error),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            let _ = end.send(());
        };
        if std::thread::Builder::new().name("output".into()).spawn(pump).is_ok() {
            running += 1;
        }
    };
    start(child.stdout.take().map(|pipe| Box::new(pipe) as _), false);
    start(child.stderr.take().map(|pipe| Box::new(pipe) as _), true);
    Pumps { running: std::cell::Cell::new(running), ends }
}

impl Pumps {
    /// Waits a moment, less when an output ends. Says whether one did.
    fn pause(&self, limit: Duration) -> bool {
        if self.running.get() == 0 {
            std::thread::sleep(limit);
            return false;
        }
        match self.ends.recv_timeout(limit) {
            Ok(()) => self.running.set(self.running.get() - 1),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => self.running.set(0),
        }
        true
    }

    fn finish(&self) {
        while self.running.get() > 0 && self.ends.recv_timeout(AFTERMATH).is_ok() {
            self.running.set(self.running.get() - 1);
        }
    }
}

/// The terminal, when this process has it in the foreground.
struct Foreground {
    owner: Pid,
    settings: Option<Termios>,
}

impl Foreground {
    fn take_note() -> Option<Self> {
        let input = io::stdin();
        let owner = tcgetpgrp(input.as_fd()).ok()?;
        let foreground = owner.as_raw_nonzero().get() == own_group();
        foreground.then(|| Self { owner, settings: tcgetattr(input.as_fd()).ok() })
    }

    fn give(&self, group: Pid) {
        let _ = tcsetpgrp(io::stdin().as_fd(), group);
        // It may have been stopped for reading before the terminal was its own.
        let _ = kill_process_group(group, Signal::CONT);
    }

    fn take_back(&self) {
        // A process in the background that takes the terminal is stopped by SIGTTOU unless it blocks that signal.
        let mut stop = SigSet::empty();
        stop.add(NixSignal::SIGTTOU);
        let blocked = stop.thread_block().is_ok();
        let _ = tcsetpgrp(io::stdin().as_fd(), self.owner);
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, settings);
        }
        if blocked {
            let _ = stop.thread_unblock();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::terminal::Terminal;

    const PLAN: Plan = Plan { shares_input: false, direct: false };

    fn sh(command: &str) -> (Ended, String, String) {
        let output = Output::buffer(Terminal::PLAIN);
        let ended = run(command, PLAN, &output, &Interrupts::detached()).unwrap();
        let (out, err) = output.contents();
        (ended, out, err)
    }

    #[test]
    fn output_errors_and_exit_code_come_back() {
        let (ended, out, err) = sh("echo out; echo err >&2; exit 3");
        assert_eq!((ended.exit_code, out.as_str(), err.as_str()), (3, "out\n", "err\n"));
    }

    #[test]
    fn input_is_empty_when_it_is_not_shared() {
        assert_eq!(sh("cat; echo done").1, "done\n");
    }

    #[test]
    fn a_signal_is_an_exit_code_and_a_note() {
        let (ended, ..) = sh("kill -9 $$");
        assert_eq!((ended.exit_code, ended.note.as_deref()), (137, Some("ended by signal 9")));
    }

    #[test]
    fn what_is_left_in_the_background_does_not_hold_the_shell() {
        let clock = oneiric::clock::SystemClock;
        let start = oneiric::clock::Clock::monotonic(&clock);
        let (ended, out, _) = sh("sleep 30 & echo $!");
        assert_eq!(ended.exit_code, 0);
        assert!(oneiric::clock::Clock::monotonic(&clock) - start < Duration::from_secs(10));
        let left: i32 = out.trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn an_interrupt_ends_the_whole_group() {
        // As in the program: a handled signal is at its default again in a child, an ignored one (a test in the
        // background) would stay ignored.
        let heard = std::sync::Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGINT, heard).unwrap();
        let interrupts = Interrupts::detached();
        interrupts.raise();
        let output = Output::buffer(Terminal::PLAIN);
        let ended = run("sleep 30 | sleep 30", PLAN, &output, &interrupts).unwrap();
        assert!(ended.interrupted, "{ended:?}");
        assert_eq!(ended.exit_code, 130);
    }

    #[test]
    fn much_output_is_passed_on_whole() {
        let (ended, out, _) = sh("head -c 1000000 /dev/zero | tr '\\0' x");
        assert_eq!((ended.exit_code, out.len()), (0, 1_000_000));
    }
}
