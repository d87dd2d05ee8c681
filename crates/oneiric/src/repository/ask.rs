//! Runs git with a time limit, in surroundings that cannot make it do anything but answer.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::{Clock, SystemClock};

/// What git printed.
pub(super) struct Answers {
    /// Output of `rev-parse`: as much as came in time, which may be nothing.
    pub identity: Vec<u8>,
    /// Output of `status`, when it came in time and git could tell.
    pub state: Option<Vec<u8>>,
}

/// Variables that would make git look at another repository than the one that `dir` is in.
const REDIRECTIONS: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
];

/// Asks for identity and state at once; both end within `limit`.
pub(super) fn both(dir: &Path, limit: Duration) -> Answers {
    let clock = SystemClock;
    let deadline = clock.monotonic() + limit;
    // `rev-parse` runs nothing that a repository's configuration names, so it may also name a repository that
    // belongs to somebody else. `status` may run filters and keeps git's own check of ownership.
    let mut identity = Question::ask(
        dir,
        &[
            "-c",
            "safe.directory=*",
            "rev-parse",
            "--path-format=absolute",
            "--git-common-dir",
            "--is-inside-work-tree",
            "--show-cdup",
            "HEAD",
            "--symbolic-full-name",
            "HEAD",
        ],
    );
    let mut state = Question::ask(
        dir,
        &[
            "-c",
            "core.fsmonitor=false",
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=normal",
            "--ignore-submodules=dirty",
            "--no-renames",
            "--no-ahead-behind",
        ],
    );
    let mut open: Vec<&mut Question> = identity.iter_mut().chain(state.iter_mut()).collect();
    while !open.is_empty() {
        let left = deadline.saturating_sub(clock.monotonic());
        if left.is_zero() || !read_what_came(&mut open, left) {
            break;
        }
        open.retain(|question| !question.ended);
    }
    drop(open);
    let state = state.and_then(|question| {
        let known = question.ended;
        let (printed, success) = question.finish();
        (known && (success || has_change(&printed))).then_some(printed)
    });
    Answers { identity: identity.map(|question| question.finish().0).unwrap_or_default(), state }
}

struct Question {
    child: Child,
    output: ChildStdout,
    printed: Vec<u8>,
    /// All output that is needed is there.
    ended: bool,
}

impl Question {
    fn ask(dir: &Path, args: &[&str]) -> Option<Self> {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(args);
        for name in REDIRECTIONS {
            command.env_remove(name);
        }
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().ok()?;
        let output = child.stdout.take()?;
        Some(Self { child, output, printed: Vec::new(), ended: false })
    }

    fn read(&mut self) {
        let mut buffer = [0_u8; 4096];
        match self.output.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.printed.extend_from_slice(&buffer[..count]);
                // One change answers the question; a tree with a million of them need not list the rest.
                self.ended = has_change(&self.printed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
    }

    /// Ends the process, with all that it started, when it has not ended by itself; says whether it succeeded.
    fn finish(self) -> (Vec<u8>, bool) {
        let Self { mut child, output, printed, ended } = self;
        let stopped = !ended || has_change(&printed);
        if stopped && let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        drop(output);
        if ended {
            let success = child.wait().is_ok_and(|status| status.success());
            return (printed, success);
        }
        // A process that hangs in the kernel dies when the kernel lets it: somebody else waits for that.
        std::thread::spawn(move || child.wait());
        (printed, false)
    }
}

/// Whether `status` output holds a complete line that is no header.
fn has_change(printed: &[u8]) -> bool {
    let mut lines = printed.split_inclusive(|byte| *byte == b'\n').peekable();
    lines.peek().is_some_and(|first| first.starts_with(b"# "))
        && lines.any(|line| line.ends_with(b"\n") && !line.starts_with(b"#"))
}

/// Waits until something can be read, at most `left`. `false` when waiting itself fails.
fn read_what_came(open: &mut [&mut Question], left: Duration) -> bool {
    let timeout = rustix::event::Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let ready: Vec<bool> = {
        let mut fds: Vec<PollFd<'_>> =
            open.iter().map(|question| PollFd::from_borrowed_fd(question.output.as_fd(), PollFlags::IN)).collect();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
            Err(rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        }
    };
    for (question, _) in open.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
        question.read();
    }
    true
}
