//! One process, from its start to its end and the end of everything that it started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::paths::plain;
use oneiric::redact::Redactor;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::conclusion::{End, Why};
use super::descendants::{Known, MARK, ask_all, below, end_all};
use super::orphans::AtWork;
use super::output::OutputKeeper;
use super::stop::Stop;
use super::terminal::{PlainText, TAKES_TERMINAL, open_pty};
use crate::workflows::fact::{Ending, Outcome};

/// How long output is waited for after the process has ended, when something that it started holds the pipe open.
const DRAIN: Duration = Duration::from_millis(200);
/// How often what a step left behind is looked for.
const ROUNDS: usize = 3;
/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// A process that is to run.
#[derive(Clone, Debug)]
pub struct CommandJob {
    /// Program first.
    pub argv: Vec<String>,
    /// Every variable that it gets.
    pub env: BTreeMap<OsString, OsString>,
    /// Where it runs.
    pub dir: PathBuf,
    /// Longest time.
    pub limit: Option<Duration>,
    /// Time between asking it to end and killing it.
    pub grace: Duration,
    /// What marks its processes.
    pub mark: String,
    /// Where its output is kept.
    pub output: PathBuf,
}

/// Hears what a process prints.
pub type Tap<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// What a process gets beside its variables, and who listens to it.
#[derive(Default)]
pub struct Around<'a> {
    /// What it reads from its standard input; nothing when absent. With a terminal it reads from that.
    pub input: Option<&'a str>,
    /// Columns and rows of the terminal that it runs on; a pipe when absent.
    pub terminal: Option<(u16, u16)>,
    /// Hears what it prints, as it comes.
    pub tap: Option<Tap<'a>>,
}

/// Runs it to its end. However it ends, nothing that it started runs afterwards: not in its process group, and not elsewhere.
#[must_use]
pub fn run_command(job: &CommandJob, stop: &Stop, redactor: &Redactor, clock: &dyn Clock) -> Ending {
    run_command_around(job, Around::default(), stop, redactor, clock)
}

/// The same with an input, on a terminal, or listened to.
#[must_use]
pub fn run_command_around(
    job: &CommandJob,
    around: Around<'_>,
    stop: &Stop,
    redactor: &Redactor,
    clock: &dyn Clock,
) -> Ending {
    let begun = clock.monotonic();
    let started =
        AtWork::begin(&job.dir, around.terminal.is_some(), || start(job, &around), |(child, _)| Pid::from_child(child));
    let ((child, reader), at_work) = match started {
        Ok(started) => started,
        Err(note) => return Ending { exit_code: Some(127), ..Ending::because(Outcome::Failed, note) },
    };
    let mut running = Running {
        job,
        child,
        reader: Some(reader),
        keeper: OutputKeeper::new(job.output.clone(), redactor),
        plain: around.terminal.map(|_| PlainText::default()),
        tap: around.tap,
        below: Vec::new(),
        at_work,
        asked_at: None,
        clock,
    };
    let why = running.watch(stop, begun);
    running.conclude(why)
}

fn start(job: &CommandJob, around: &Around<'_>) -> Result<(Child, OwnedFd), String> {
    let program = job.argv.first().ok_or("there is no command")?;
    if !job.dir.is_dir() {
        return Err(format!("{} is no folder", job.dir.display()));
    }
    if let Some(size) = around.terminal {
        let (master, slave) = open_pty(size).map_err(|error| format!("no terminal for it: {}", plain(&error)))?;
        let second = || slave.try_clone().map_err(|error| format!("no terminal for it: {}", plain(&error)));
        let mut command = Command::new(TAKES_TERMINAL[0]);
        command.args(&TAKES_TERMINAL[1..]).args(&job.argv).env_clear().envs(&job.env).env("TERM", "xterm-256color");
        let child = command
            .env(MARK, &job.mark)
            .env("PWD", &job.dir)
            .current_dir(&job.dir)
            .stdin(second()?)
            .stdout(second()?)
            .stderr(second()?)
            .spawn()
            .map_err(|error| format!("cannot start {}: {}", TAKES_TERMINAL[0], plain(&error)))?;
        return Ok((child, master));
    }
    let input = match around.input {
        Some(text) => Stdio::from(held(text).map_err(|error| format!("no input for it: {}", plain(&error)))?),
        None => Stdio::null(),
    };
    let pipe = || -> io::Result<(OwnedFd, OwnedFd, OwnedFd)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let second = writer.try_clone()?;
        Ok((reader, writer, second))
    };
    let (reader, out, err) = pipe().map_err(|error| format!("no pipe for its output: {}", plain(&error)))?;
    let child = Command::new(found(program, job))
        .arg0(program)
        .args(&job.argv[1..])
        .env_clear()
        .envs(&job.env)
        .env(MARK, &job.mark)
        .env("PWD", &job.dir)
        .current_dir(&job.dir)
        .stdin(input)
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {program}: {}", plain(&error)))?;
    Ok((child, reader))
}

/// The program's file, by the PATH that it gets itself. A name alone would be looked for in a copy of this whole process,
/// which takes longer than a short step.
fn found(program: &str, job: &CommandJob) -> PathBuf {
    let runs = |file: &PathBuf| file.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0);
    let path = job.env.get(OsStr::new("PATH")).filter(|_| !program.contains('/'));
    path.and_then(|path| std::env::split_paths(path).map(|dir| job.dir.join(dir).join(program)).find(runs))
        .unwrap_or_else(|| program.into())
}

/// A text that can be read from its beginning and was never on a disk.
fn held(text: &str) -> io::Result<std::fs::File> {
    use std::io::{Seek, Write};
    let mut file = std::fs::File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

struct Running<'a> {
    job: &'a CommandJob,
    child: Child,
    /// Until its end is reached.
    reader: Option<OwnedFd>,
    keeper: OutputKeeper<'a>,
    /// For what a terminal shows.
    plain: Option<PlainText>,
    tap: Option<Tap<'a>>,
    /// What it had started when it was asked to end.
    below: Vec<Known>,
    at_work: AtWork,
    /// When it was asked to end.
    asked_at: Option<Duration>,
    clock: &'a dyn Clock,
}

impl Running<'_> {
    /// Waits for the process's end, or ends it.
    fn watch(&mut self, stop: &Stop, begun: Duration) -> Option<Why> {
        let group = Pid::from_child(&self.child);
        let pidfd = pidfd_open(group, PidfdFlags::empty()).ok();
        let mut why = None;
        let mut kill_at: Option<Duration> = None;
        loop {
            let now = self.clock.monotonic();
            if why.is_none() {
                why = match self.job.limit {
                    _ if stop.is_raised() => Some(Why::Stopped),
                    Some(limit) if now >= begun + limit => Some(Why::OutOfTime),
                    _ => None,
                };
                if why.is_some() {
                    self.below = below(group);
                    let _ = kill_process_group(group, Signal::TERM);
                    // Those that left the group have the same time, not theirs after its.
                    ask_all(&self.job.mark, &self.below);
                    self.asked_at = Some(now);
                    kill_at = Some(now + self.job.grace);
                }
            }
            if kill_at.is_some_and(|at| now >= at) {
                let _ = kill_process_group(group, Signal::KILL);
                kill_at = Some(now + Duration::from_secs(1));
            }
            let deadline = kill_at.or_else(|| self.job.limit.map(|limit| begun + limit));
            // Without a descriptor for the process its end is looked for now and then.
            let nap = pidfd.is_none().then_some(Duration::from_millis(10));
            let wait = deadline.map(|at| at.saturating_sub(now)).into_iter().chain(nap).min();
            let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
            let ended = {
                let mut looked = Vec::with_capacity(3);
                let ended = pidfd.as_ref().map(|pidfd| {
                    looked.push(PollFd::new(pidfd, PollFlags::IN));
                    0
                });
                if why.is_none() {
                    looked.push(PollFd::from_borrowed_fd(stop.descriptor(), PollFlags::IN));
                }
                if let Some(reader) = &self.reader {
                    looked.push(PollFd::new(reader, PollFlags::IN));
                }
                let _ = poll(&mut looked, wait.as_ref());
                ended.map(|at| !looked[at].revents().is_empty())
            };
            self.read_some();
            let over = match ended {
                Some(ended) => ended,
                None => matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)),
            };
            if over {
                return why;
            }
        }
    }

    /// Reads what there is, without waiting. Forgets the pipe at its end.
    fn read_some(&mut self) -> bool {
        let Some(reader) = &self.reader else { return false };
        let mut buffer = [0_u8; BUFFER];
        match rustix::io::read(reader.as_fd(), &mut buffer) {
            Ok(0) => self.reader = None,
            Ok(count) => {
                let bytes = match &mut self.plain {
                    Some(plain) => &plain.read(&buffer[..count])[..],
                    None => &buffer[..count],
                };
                self.keeper.take(bytes);
                if let Some(tap) = &mut self.tap {
                    tap(bytes);
                }
                return true;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.reader = None,
        }
        false
    }

    fn conclude(mut self, why: Option<Why>) -> Ending {
        let status = self.child.wait();
        if why.is_some() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        self.end_rest(why.is_some());
        self.drain();
        let end = match status {
            Ok(status) => match status.code() {
                Some(code) => End::Code(code),
                None => End::Signal(status.signal().unwrap_or_default()),
            },
            Err(error) => End::Unknown(format!("its end cannot be learned: {}", plain(&error))),
        };
        end.conclude(why, self.job.limit, self.keeper)
    }

    /// Ends what it left behind, within what is left of its grace.
    fn end_rest(&mut self, marked: bool) {
        let waited = self.asked_at.map_or(Duration::ZERO, |asked| self.clock.monotonic().saturating_sub(asked));
        let mut grace = self.job.grace.saturating_sub(waited);
        let mut rest = std::mem::take(&mut self.below);
        // Once more for what was born or orphaned meanwhile.
        for round in 0..ROUNDS {
            rest.extend(self.at_work.left_behind(&self.job.mark, marked && round == 0));
            if rest.is_empty() {
                break;
            }
            end_all(&self.job.mark, &rest, grace, self.clock);
            grace = Duration::ZERO;
            rest.clear();
        }
    }

    /// Takes what is still in the pipe, and a little longer what those say who hold it open.
    fn drain(&mut self) {
        let deadline = self.clock.monotonic() + DRAIN;
        loop {
            // A process ends before all that it wrote is read, but what is left then fits into the pipe.
            let left = deadline.saturating_sub(self.clock.monotonic());
            if self.read_some() && !left.is_zero() {
                continue;
            }
            let (Some(reader), false) = (&self.reader, left.is_zero()) else { break };
            let _ = poll(&mut [PollFd::new(reader, PollFlags::IN)], Timespec::try_from(left).ok().as_ref());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use oneiric::clock::SystemClock;

    use super::*;

    /// Runs a program with this `PATH` in a folder with three programs, and gives how it ended and what it printed.
    fn run(argv: &[&str], path: Option<&str>) -> (Ending, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode, says) in
            [("bin/tool", 0o755, "bin"), ("other/tool", 0o755, "other"), ("plain/tool", 0o644, "no")]
        {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("#!/bin/sh\necho {says}")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let full = |path: &str| path.replace("DIR", &dir.path().to_string_lossy());
        let job = CommandJob {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: path.map(|path| ("PATH".into(), full(path).into())).into_iter().collect(),
            dir: dir.path().to_owned(),
            limit: None,
            grace: Duration::from_secs(1),
            mark: format!("{}/", dir.path().display()),
            output: dir.path().join("printed"),
        };
        let ending = run_command(&job, &Stop::new().unwrap(), &Redactor::standard(), &SystemClock);
        (ending, fs::read_to_string(&job.output).unwrap_or_default())
    }

    #[test]
    fn a_program_is_found_by_the_path_that_it_gets_itself_and_called_by_its_own_name() {
        for (path, said) in
            [("DIR/bin:DIR/other", "bin"), ("DIR/plain:DIR/none:other", "other"), ("/nowhere:DIR/bin", "bin")]
        {
            let (ending, printed) = run(&["tool"], Some(path));
            assert_eq!((ending.outcome, printed.trim()), (Outcome::Succeeded, said), "{path}: {ending:?}");
        }
        assert_eq!(run(&["./other/tool"], Some("DIR/bin")).1.trim(), "other");
        let (_, printed) = run(&["sh", "-c", "echo $0"], Some("/usr/bin:/bin"));
        assert_eq!(printed.trim(), "sh");
    }

    #[test]
    fn a_program_that_no_folder_of_its_path_has_is_told() {
        for path in ["DIR/plain", "/nowhere", ""] {
            let (ending, printed) = run(&["tool"], Some(path));
            assert_eq!((ending.outcome, ending.exit_code), (Outcome::Failed, Some(127)), "{path}: {ending:?}");
            assert!(ending.note.unwrap().starts_with("cannot start tool: ") && printed.is_empty(), "{path}");
        }
    }
}
