//! Processes on terminals of tmux, which a person can look into while they run.
//!
//! The programs there are children of tmux's server, not of this process: their end is learned from the kernel by a process
//! descriptor, their exit code from tmux, and they carry the same mark as every other step, so that they are ended with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::paths::plain;
use oneiric::redact::Redactor;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::conclusion::{End, Why};
use super::descendants::{Known, MARK, ask_all, below, end_all};
use super::orphans::AtWork;
use super::output::OutputKeeper;
use super::process::CommandJob;
use super::stop::Stop;
use super::terminal::PlainText;
use crate::workflows::fact::{Ending, Outcome};

/// Longest path of a socket that the kernel takes.
const SOCKET: usize = 100;
/// Runs a program and notes how it ended: the file first, then the program with its arguments.
const NOTE: &str = r#"f=$1; shift; "$@"; s=$?; echo $s >"$f"; exit $s"#;
/// How long tmux may take to know that a program has ended.
const LEARN: Duration = Duration::from_secs(2);
/// Silence after which tmux has passed on all that it had.
const QUIET: Duration = Duration::from_millis(100);
/// How long the end of the output is waited for.
const DRAIN: Duration = Duration::from_secs(1);

/// A tmux server of our own.
#[derive(Clone, Debug)]
pub struct Tmux {
    program: PathBuf,
    socket: PathBuf,
    environment: BTreeMap<OsString, OsString>,
}

impl Tmux {
    /// The server behind this socket. Nothing is started until a program runs in it.
    ///
    /// # Errors
    /// When the socket's path is too long for the kernel.
    pub fn new(program: PathBuf, socket: PathBuf, environment: BTreeMap<OsString, OsString>) -> Result<Self, String> {
        if socket.as_os_str().len() > SOCKET {
            return Err(format!("{} is too long for a socket", socket.display()));
        }
        Ok(Self { program, socket, environment })
    }

    /// What a person types to look into a session.
    #[must_use]
    pub fn attach_line(&self, session: &str) -> String {
        format!("tmux -S {} attach -t {session}", self.socket.display())
    }

    /// Ends the server with all that runs in it.
    pub fn end(&self) {
        if self.socket.exists() {
            let _ = self.tell(&["kill-server"]);
            let _ = std::fs::remove_file(&self.socket);
        }
    }

    fn tell<S: AsRef<std::ffi::OsStr>>(&self, words: &[S]) -> Result<String, String> {
        let done = Command::new(&self.program)
            .arg("-S")
            .arg(&self.socket)
            .args(["-f", "/dev/null"])
            .args(words)
            .env_clear()
            .envs(&self.environment)
            .env_remove("TMUX")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot start tmux: {}", plain(&error)))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
        }
        Err(format!("tmux: {}", String::from_utf8_lossy(&done.stderr).trim()))
    }
}

/// Runs a process on a terminal of tmux to its end, under a session's name that nobody else has meanwhile. As
/// [`super::run_command`] otherwise.
#[must_use]
pub fn run_in_tmux(
    tmux: &Tmux,
    session: &str,
    (columns, rows): (u16, u16),
    job: &CommandJob,
    stop: &Stop,
    redactor: &Redactor,
    clock: &dyn Clock,
) -> Ending {
    let begun = clock.monotonic();
    let pipe = tmux.socket.with_extension(format!("{session}.out"));
    let status = tmux.socket.with_extension(format!("{session}.status"));
    let _ = std::fs::remove_file(&status);
    let start = || {
        open_fifo(&pipe)
            .map_err(|error| format!("no pipe for its output: {}", plain(&error)))
            .and_then(|reader| Ok((begin(tmux, session, (columns, rows), job, (&pipe, &status))?, reader)))
    };
    let ((pid, reader), at_work) = match AtWork::begin(&job.dir, true, start, |(pid, _)| *pid) {
        Ok(started) => started,
        Err(note) => {
            let _ = tmux.tell(&["kill-session", "-t", session]);
            let _ = std::fs::remove_file(&pipe);
            return Ending::because(Outcome::Crashed, note);
        }
    };
    let keeper = OutputKeeper::new(job.output.clone(), redactor);
    let mut pane = Pane {
        job,
        pid,
        reader: Some(reader),
        connected: false,
        keeper,
        plain: PlainText::default(),
        below: Vec::new(),
        asked_at: None,
        clock,
    };
    let why = pane.watch(stop, begun);
    let end = learn(tmux, session, &status, clock);
    // What tmux has not passed on when its session ends is lost.
    pane.drain(QUIET);
    let _ = tmux.tell(&["kill-session", "-t", session]);
    pane.drain(DRAIN);
    let _ = std::fs::remove_file(&pipe);
    let _ = std::fs::remove_file(&status);
    if why.is_some() {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let waited = pane.asked_at.map_or(Duration::ZERO, |asked| clock.monotonic().saturating_sub(asked));
    let mut rest = std::mem::take(&mut pane.below);
    rest.extend(at_work.left_behind(&job.mark, true));
    end_all(&job.mark, &rest, job.grace.saturating_sub(waited), clock);
    end.conclude(why, job.limit, pane.keeper)
}

/// The pipe is opened for reading before anyone writes to it, without waiting for that.
fn open_fifo(path: &Path) -> io::Result<OwnedFd> {
    let _ = std::fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// One list of commands, which tmux does as a whole before it looks at what the program printed, or whether it ended.
fn begin(
    tmux: &Tmux,
    session: &str,
    (columns, rows): (u16, u16),
    job: &CommandJob,
    (pipe, status): (&Path, &Path),
) -> Result<Pid, String> {
    if !job.dir.is_dir() {
        return Err(format!("{} is no folder", job.dir.display()));
    }
    let mut words: Vec<OsString> = ["new-session", "-d", "-s", session, "-x"].map(OsString::from).to_vec();
    words.extend([columns.to_string().into(), "-y".into(), rows.to_string().into(), "-c".into()]);
    words.push(job.dir.clone().into());
    let mark = (OsString::from(MARK), OsString::from(&job.mark));
    let own = job.env.iter().filter(|(name, value)| tmux.environment.get(*name) != Some(value));
    for (name, value) in own.map(|(name, value)| (name.clone(), value.clone())).chain([mark]) {
        let mut pair = name;
        pair.push("=");
        pair.push(value);
        words.extend(["-e".into(), word(pair)]);
    }
    words.extend(["sh", "-c", NOTE, "sh"].map(OsString::from));
    words.push(status.into());
    words.extend(job.argv.iter().map(|argument| word(argument.into())));
    let keep = format!("exec cat >{}", quoted(&pipe.to_string_lossy()));
    let then = [
        vec![";", "set-option", "-w", "-t", session, "remain-on-exit", "on"],
        vec![";", "pipe-pane", "-t", session, &keep],
        vec![";", "display-message", "-p", "-t", session, "#{pane_pid}"],
    ];
    words.extend(then.into_iter().flatten().map(OsString::from));
    let said = tmux.tell(&words)?;
    let pid = said.parse::<i32>().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| format!("tmux does not tell which process it started, but '{said}'"))
}

/// A semicolon at the end of a word would end the command.
fn word(word: OsString) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = word.as_os_str().as_bytes().to_vec();
    if bytes.last() == Some(&b';') {
        bytes.insert(bytes.len() - 1, b'\\');
    }
    OsString::from_vec(bytes)
}

fn quoted(text: &str) -> String {
    // tmux expands formats in it first.
    format!("'{}'", text.replace('\'', r"'\''").replace('#', "##"))
}

/// How a program ended: what the shell around it noted, else what tmux says, as exit code or signal. tmux alone loses the
/// end of a program now and then.
fn learn(tmux: &Tmux, session: &str, status: &Path, clock: &dyn Clock) -> End {
    let deadline = clock.monotonic() + LEARN;
    let ask = ["display-message", "-p", "-t", session, "#{pane_dead_status}/#{pane_dead_signal}"];
    loop {
        let noted = std::fs::read_to_string(status).ok().and_then(|text| text.trim().parse::<i32>().ok());
        if let Some(noted) = noted {
            return End::Code(noted);
        }
        let said = match tmux.tell(&ask) {
            Ok(said) => said,
            Err(error) => return End::Unknown(format!("its end cannot be learned: {error}")),
        };
        let mut parts = said.split('/');
        let mut number = || parts.next().and_then(|part| part.parse::<i32>().ok());
        let (status, signal) = (number(), number());
        match (status, signal) {
            (_, Some(signal)) if signal > 0 => return End::Signal(signal),
            (Some(code), _) => return End::Code(code),
            _ if clock.monotonic() >= deadline => return End::Unknown("tmux does not tell how it ended".to_owned()),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Pane<'a> {
    job: &'a CommandJob,
    pid: Pid,
    /// Until its end is reached.
    reader: Option<OwnedFd>,
    /// Whether tmux has opened the other end of the pipe. Before that, the pipe looks as it does at its end.
    connected: bool,
    keeper: OutputKeeper<'a>,
    plain: PlainText,
    /// What it had started when it was asked to end.
    below: Vec<Known>,
    /// When it was asked to end.
    asked_at: Option<Duration>,
    clock: &'a dyn Clock,
}

impl Pane<'_> {
    fn watch(&mut self, stop: &Stop, begun: Duration) -> Option<Why> {
        // A process that cannot be opened has ended; tmux reaps it only when it has read all that it showed.
        let Ok(pidfd) = pidfd_open(self.pid, PidfdFlags::empty()) else { return None };
        let (mut why, mut kill_at) = (None, None);
        loop {
            let now = self.clock.monotonic();
            if why.is_none() {
                why = match self.job.limit {
                    _ if stop.is_raised() => Some(Why::Stopped),
                    Some(limit) if now >= begun + limit => Some(Why::OutOfTime),
                    _ => None,
                };
                if why.is_some() {
                    self.below = below(self.pid);
                    let _ = kill_process_group(self.pid, Signal::TERM);
                    ask_all(&self.job.mark, &self.below);
                    self.asked_at = Some(now);
                    kill_at = Some(now + self.job.grace);
                }
            }
            if kill_at.is_some_and(|at| now >= at) {
                let _ = kill_process_group(self.pid, Signal::KILL);
                kill_at = Some(now + Duration::from_secs(1));
            }
            let deadline = kill_at.or_else(|| self.job.limit.map(|limit| begun + limit));
            let wait = deadline.and_then(|at| Timespec::try_from(at.saturating_sub(now)).ok());
            let ended = {
                let mut looked = vec![PollFd::new(&pidfd, PollFlags::IN)];
                if why.is_none() {
                    looked.push(PollFd::from_borrowed_fd(stop.descriptor(), PollFlags::IN));
                }
                if let Some(reader) = &self.reader {
                    looked.push(PollFd::new(reader, PollFlags::IN));
                }
                let _ = poll(&mut looked, wait.as_ref());
                let pipe = if self.reader.is_some() { looked.last() } else { None };
                self.connected |= pipe.is_some_and(|pipe| pipe.revents().contains(PollFlags::HUP));
                !looked[0].revents().is_empty()
            };
            self.read_some();
            if ended {
                return why;
            }
        }
    }

    fn read_some(&mut self) -> bool {
        let Some(reader) = &self.reader else { return false };
        let mut buffer = [0_u8; 64 * 1024];
        match rustix::io::read(reader, &mut buffer) {
            Ok(0) => {
                if self.connected {
                    self.reader = None;
                }
                false
            }
            Ok(count) => {
                self.connected = true;
                self.keeper.take(&self.plain.read(&buffer[..count]));
                true
            }
            Err(rustix::io::Errno::AGAIN) => {
                self.connected = true;
                false
            }
            Err(rustix::io::Errno::INTR) => false,
            Err(_) => {
                self.reader = None;
                false
            }
        }
    }

    /// Reads until the pipe's end, or until nothing has come for so long.
    fn drain(&mut self, quiet: Duration) {
        let mut deadline = self.clock.monotonic() + DRAIN;
        loop {
            if self.read_some() {
                deadline = self.clock.monotonic() + quiet;
                continue;
            }
            let left = deadline.saturating_sub(self.clock.monotonic());
            let Some(reader) = &self.reader else { break };
            if left.is_zero() {
                break;
            }
            if !self.connected {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let left = Timespec::try_from(left.min(quiet)).ok();
            let mut looked = [PollFd::new(reader, PollFlags::IN)];
            let _ = poll(&mut looked, left.as_ref());
            if looked[0].revents().is_empty() {
                break;
            }
        }
    }
}
