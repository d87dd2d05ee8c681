//! Running a program to its end: input, time limit, and everything it said.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::running::Running;
use crate::seat::Seat;
use crate::wait::monotonic;

/// Time that a program has unless a test says otherwise. A program that needs longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A program about to run.
#[derive(Debug, Clone)]
pub struct Program {
    path: String,
    args: Vec<String>,
    vars: BTreeMap<String, String>,
    cwd: PathBuf,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

impl Program {
    pub(crate) fn new(path: &str, vars: &BTreeMap<String, String>, cwd: &Path) -> Self {
        Self { path: path.into(), args: vec![], vars: vars.clone(), cwd: cwd.into(), stdin: None, limit: LIMIT }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<str>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn without_var(mut self, name: &str) -> Self {
        self.vars.remove(name);
        self
    }

    /// Starts in `dir`.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Gives it this input by a pipe that then ends. Without it, input is `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Time after which it counts as hanging.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear().envs(&self.vars).current_dir(&self.cwd);
        command
    }

    /// Starts it with pipes on all three streams; the test talks with it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(&self) -> Running {
        Running::spawn(self.command(), Stdio::piped(), &self.to_string())
    }

    /// [`Program::spawn`] without input: `/dev/null`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn_without_input(&self) -> Running {
        Running::spawn(self.command(), Stdio::null(), &self.to_string())
    }

    /// Starts it on a terminal of so many columns and rows.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn at_terminal(&self, size: (u16, u16)) -> Seat {
        // A session with that terminal is made by whoever is in none of its own, which only the new process can do.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", &self.path]).args(&self.args);
        command.env_clear().envs(&self.vars).env("TERM", "xterm-256color").current_dir(&self.cwd);
        Seat::take(command, size, &self.to_string())
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, runs over its limit, or leaves a child behind that holds its output.
    #[must_use]
    pub fn run(&self) -> Finished {
        let began = monotonic();
        let mut running = match &self.stdin {
            Some(input) => {
                let mut running = self.spawn();
                let mut pipe = running.take_stdin();
                let input = input.clone();
                // A program that ends early does not read all of it, which is its right.
                std::thread::spawn(move || std::io::Write::write_all(&mut pipe, &input));
                running
            }
            None => self.spawn_without_input(),
        };
        let status = running.wait(self.limit);
        let took = monotonic().saturating_sub(began);
        let (stdout, stderr) = running.rest();
        Finished { what: self.to_string(), code: status.code(), status: status.to_string(), stdout, stderr, took }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Path::new(&self.path).file_name().unwrap_or_default();
        write!(f, "{} {}", name.to_string_lossy(), self.args.join(" "))
    }
}

/// What came of a program.
#[derive(Debug, Clone)]
pub struct Finished {
    what: String,
    status: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Time from start to end.
    pub took: Duration,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, status, stdout, stderr, took, .. } = self;
        write!(f, "$ {what}\n({status} after {took:?})\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

impl Finished {
    /// Exit code 0.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect_success(&self) -> &Self {
        self.expect_code(0)
    }

    /// This exit code.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// One line on standard error that holds all of `parts`, and nothing that only a developer understands.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn expect_one_clear_line(&self, parts: &[&str]) -> &Self {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 1, "one line on standard error was expected: {self}");
        for part in parts {
            assert!(
                lines[0].to_lowercase().contains(&part.to_lowercase()),
                "'{part}' is missing in the message: {self}"
            );
        }
        self.expect_no_internals()
    }

    /// Nothing of panics, back traces, error structures or the operating system's error numbers.
    ///
    /// # Panics
    /// When there is.
    pub fn expect_no_internals(&self) -> &Self {
        for internal in ["panicked", "backtrace", "os error", "Error {", "Err(", "unwrap", "RUST_"] {
            let found = self.stderr.contains(internal) || self.stdout.contains(internal);
            assert!(!found, "'{internal}' is not for people: {self}");
        }
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// Both streams, for looking through.
    #[must_use]
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}
