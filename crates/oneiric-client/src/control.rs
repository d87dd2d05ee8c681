//! Starting a program's server in the background, and ending it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::paths::{FILE_MODE, Home, plain};
use oneiric::process::{Liveness, ProcessIdentity};
use oneiric::run_file::{self, ServerInfo};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process};

use crate::Peer;

/// Longest time that a server in the background gets to become healthy.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Time after which waiting for an end is told.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// Longest time that an end is waited for.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A program whose server is started and ended.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// Its name in files and commands: `session-buddy`.
    pub product: &'a str,
    /// Its name in sentences: `Session-Buddy`.
    pub title: &'a str,
    /// Its home.
    pub home: &'a Home,
}

impl Control<'_> {
    /// The server that runs.
    #[must_use]
    pub fn running(&self) -> Option<ServerInfo> {
        run_file::running(self.home, self.product)
    }

    /// Starts this program with `arguments` in the background and waits until its server is healthy.
    ///
    /// # Errors
    /// Conflict when one runs; else with the kind and the words with which it ended, or unavailable when it is not healthy
    /// in time.
    pub fn start(&self, arguments: &[String]) -> Result<ServerInfo> {
        if let Some(info) = self.running() {
            return Err(Fault::conflict(format!(
                "{} already runs for {}: process {} on {}",
                self.title,
                self.home.root().display(),
                info.pid,
                info.address
            ))
            .hint(format!("use it, or stop it with '{} mcp stop'", self.product)));
        }
        let mut said = self.said_file()?;
        let unusable = |error: std::io::Error| Fault::unavailable(format!("cannot start a process: {}", plain(&error)));
        let program = std::env::current_exe().map_err(unusable)?;
        let mut words: Vec<OsString> = arguments.iter().map(OsString::from).filter(|word| word != "--detach").collect();
        // Its standard input is nobody's, whatever this one's is.
        words.retain(|word| !word.to_string_lossy().starts_with("--transport"));
        words.push("--transport=http".into());
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(unusable)?)
            .process_group(0)
            .spawn()
            .map_err(unusable)?;
        self.await_health(&mut child, &mut said)
    }

    /// A file for what the server says before its log is open, and where a crash would show.
    fn said_file(&self) -> Result<File> {
        let folder = self.home.logs();
        self.home.ensure(&folder)?;
        let path = folder.join(format!("{}.stderr", self.product));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(FILE_MODE).open(&path).map_err(
                |error| {
                    Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(&error)))
                        .hint("make the home writable and free some space")
                },
            )?;
        // On a full disk it could not hold why the server does not start.
        let room = (&file).write_all(&[b'\n'; 4096]).and_then(|()| file.set_len(0)).and_then(|()| (&file).rewind());
        match room {
            Ok(()) => Ok(file),
            Err(_) => memfd_create("said", MemfdFlags::CLOEXEC).map(File::from).map_err(|error| {
                Fault::unavailable(format!("no file for what the server says: {}", plain(&error.into())))
            }),
        }
    }

    fn await_health(&self, child: &mut Child, said: &mut File) -> Result<ServerInfo> {
        let clock = SystemClock;
        let began = clock.monotonic();
        let mut failing = String::new();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                let last = last_words(said);
                let kind = match status.code() {
                    Some(1) => FaultKind::Denied,
                    Some(2) => FaultKind::User,
                    Some(3) => FaultKind::Config,
                    Some(5) => FaultKind::Conflict,
                    _ => FaultKind::Unavailable,
                };
                return Err(Fault::new(kind, last.unwrap_or_else(|| format!("the server ended at once ({status})"))));
            }
            if let Some(info) = self.running().filter(|info| info.pid == child.id()) {
                let health = Peer::new(&format!("http://{}", info.address), None).health(Duration::from_secs(2));
                let health = health.unwrap_or_default();
                if health["status"] == "healthy" {
                    return Ok(info);
                }
                let parts = health["failing"].as_array().into_iter().flatten().filter_map(|part| part.as_str());
                failing = parts.collect::<Vec<_>>().join(", ");
            }
            if clock.monotonic().saturating_sub(began) > START_LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                let failing = if failing.is_empty() { failing } else { format!(" (failing: {failing})") };
                return Err(Fault::unavailable(format!(
                    "the server was not healthy within {} s and was ended{failing}",
                    START_LIMIT.as_secs()
                ))
                .hint(format!("see '{0} health' and '{0} logs'", self.product)));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends a server and waits until it is gone. `note` is told when that takes long.
    ///
    /// # Errors
    /// Unavailable when it is not of this machine's view or does not end; denied when it may not be ended.
    pub fn end(&self, info: &ServerInfo, note: impl Fn(&str)) -> Result<()> {
        // It frees its home a moment before its end.
        let ended = || info.process.as_ref().is_none_or(|process| process.liveness(true) != Liveness::Alive);
        let gone = || self.running().is_none_or(|now| now.pid != info.pid) && ended();
        // The pid in the file may be another process's by now, or mean something else in this pid namespace.
        let same = match &info.process {
            Some(process) => process.liveness(true) == Liveness::Alive,
            None => ProcessIdentity::of(info.pid).is_some(),
        };
        let pid = i32::try_from(info.pid).ok().and_then(Pid::from_raw).filter(|_| same);
        let Some(pid) = pid else {
            return Err(Fault::unavailable(format!(
                "the server holds its home, but process {} is not its own here",
                info.pid
            ))
            .hint("it may run in a container or as another user: stop it there"));
        };
        kill_process(pid, Signal::TERM).map_err(|error| {
            Fault::denied(format!("process {} may not be ended: {}", info.pid, plain(&error.into())))
                .hint("stop it as the user who started it")
        })?;
        let clock = SystemClock;
        let began = clock.monotonic();
        let mut told = false;
        while !gone() {
            let waited = clock.monotonic().saturating_sub(began);
            if waited > TELL_AFTER && !told {
                note(&format!("Process {} is still ending; waiting up to {} s", info.pid, GIVE_UP_AFTER.as_secs()));
                told = true;
            }
            if waited > GIVE_UP_AFTER {
                let (pid, product) = (info.pid, self.product);
                let limit = GIVE_UP_AFTER.as_secs();
                return Err(Fault::unavailable(format!("process {pid} did not end within {limit} s"))
                    .hint(format!("see '{product} logs', then end it with: kill -9 {pid}")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// The error that the server printed, without its label.
fn last_words(said: &mut File) -> Option<String> {
    said.seek(SeekFrom::Start(0)).ok()?;
    let mut text = String::new();
    said.read_to_string(&mut text).ok()?;
    let line = text
        .lines()
        .rev()
        .find(|line| line.trim().starts_with("error: "))
        .or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()))?;
    Some(line.strip_prefix("error: ").unwrap_or(line).to_owned())
}
