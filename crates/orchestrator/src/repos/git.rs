//! The `git` program over many repositories: with an end to its patience, a bound on what it prints, and without anything
//! that asks or runs programs of the repository.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use oneiric::paths::plain;
use rustix::process::{Pid, Signal, kill_process_group};

/// Most bytes that are read of an answer.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;
/// Most bytes that are read of a complaint.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It took too long; it was ended with all that it started.
    Late,
    /// What it says.
    Failed(String),
}

/// What git prints in that folder, at most 8 MiB of it.
pub(super) fn ask(dir: &Path, words: &[&str], limit: Duration) -> Result<Vec<u8>, NoAnswer> {
    let mut command = Command::new("git");
    // Whoever called this program may be at work in another repository.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        if name != "GIT_SSH_COMMAND" && name != "GIT_SSL_CAINFO" {
            command.env_remove(name);
        }
    }
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
    }
    let failed = |error: std::io::Error| NoAnswer::Failed(format!("cannot start git: {}", plain(&error)));
    let mut child = command
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"])
        .args(["-c", "maintenance.auto=false"])
        .args(words)
        .current_dir(dir)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (told, heard) = channel();
    let wait = move || {
        let complaint = std::thread::spawn(move || read(stderr, MAX_COMPLAINT));
        let answer = read(stdout, MAX_ANSWER);
        let end = child.wait();
        let _ = told.send((answer, complaint.join().unwrap_or_default(), end));
    };
    std::thread::Builder::new().name("git".into()).spawn(wait).map_err(failed)?;
    let Ok((answer, complaint, end)) = heard.recv_timeout(limit) else {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        return Err(NoAnswer::Late);
    };
    // One that printed too much was ended by the closed pipe.
    if end.is_ok_and(|end| end.success()) || answer.len() as u64 >= MAX_ANSWER {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&complaint);
    let line = said.lines().map(str::trim).find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let line = line.or_else(|| said.lines().map(str::trim).rfind(|line| !line.is_empty())).unwrap_or("git failed");
    Err(NoAnswer::Failed(line.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()))
}

fn read(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut found = Vec::new();
    if let Some(from) = from {
        let _ = from.take(most).read_to_end(&mut found);
    }
    found
}
