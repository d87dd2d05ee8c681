//! A hermetic set of homes: a user, both programs, a port, and a working directory, all below one temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use oneiric::paths::Home;
use oneiric::run_file;
use rustix::process::{Pid, Signal, kill_process};

use crate::program::Program;
use crate::{binaries, ports};

/// Homes for one test. The folder goes when this is dropped, and with it a server that was started in the background.
#[derive(Debug)]
pub struct TestHome {
    folder: Option<tempfile::TempDir>,
    root: PathBuf,
    port: u16,
    vars: BTreeMap<String, String>,
}

impl Drop for TestHome {
    fn drop(&mut self) {
        let home = Home::at(self.session_buddy_home());
        // The lock that this asks for is held by nobody but the server itself, so no stranger is hit.
        let server = run_file::running(&home, "session-buddy").and_then(|info| i32::try_from(info.pid).ok());
        if let Some(pid) = server.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Default for TestHome {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHome {
    /// Fresh, empty homes.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("home-").tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("its path");
        let mut home = Self::below(root);
        home.folder = Some(folder);
        home
    }

    /// [`TestHome::new`], with a shell whose end waits for a busy server as long as it takes: for tests that look at once
    /// at what was delivered.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn patient() -> Self {
        Self::new().with_var("MAHAVISHNU_SESSION__EXIT_DEADLINE_MS", "30000")
    }

    /// Homes below a folder that the test looks after, such as a small file system.
    ///
    /// # Panics
    /// When the folders cannot be made.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let port = ports::free();
        let mut home = Self { folder: None, root, port, vars: BTreeMap::new() };
        fs::create_dir_all(home.user()).expect("the user's home");
        fs::create_dir_all(home.work()).expect("a working directory");
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let inherited = std::env::var("PATH").unwrap_or_default();
        // Nothing else is inherited: a variable of the person who runs the tests must not change what they see.
        for (name, value) in [
            ("PATH", format!("{}:{inherited}", binaries::folder().display())),
            ("HOME", text(home.user())),
            ("SESSION_BUDDY_HOME", text(home.session_buddy_home())),
            ("MAHAVISHNU_HOME", text(home.mahavishnu_home())),
            ("ONEIRIC_HOME", text(home.user().join(".oneiric"))),
            ("SESSION_BUDDY_PORT", port.to_string()),
            ("USER", "ada".into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "dumb".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ] {
            home.vars.insert(name.into(), value);
        }
        home
    }

    /// Sets a variable for every program of this home.
    #[must_use]
    pub fn with_var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// Sets a variable from now on.
    pub fn set_var(&mut self, name: &str, value: impl Into<String>) {
        self.vars.insert(name.into(), value.into());
    }

    /// Takes a variable away from now on.
    pub fn clear_var(&mut self, name: &str) {
        self.vars.remove(name);
    }

    /// What programs of this home find in their environment.
    #[must_use]
    pub fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// The port of this home's Session-Buddy.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything of this home is below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `$HOME`.
    #[must_use]
    pub fn user(&self) -> PathBuf {
        self.root.join("user")
    }

    /// The working directory that programs start in.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// `~/.session-buddy`.
    #[must_use]
    pub fn session_buddy_home(&self) -> PathBuf {
        self.user().join(".session-buddy")
    }

    /// `~/.mahavishnu`.
    #[must_use]
    pub fn mahavishnu_home(&self) -> PathBuf {
        self.user().join(".mahavishnu")
    }

    /// Session-Buddy's database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.session_buddy_home().join("sessions.db")
    }

    /// The folder of accepted events that nobody has acknowledged yet.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.mahavishnu_home().join("spool")
    }

    /// Spool files that wait.
    #[must_use]
    pub fn waiting_spools(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.spool()).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "spool"))
            .collect();
        files.sort();
        files
    }

    /// `session-buddy` with arguments.
    #[must_use]
    pub fn session_buddy<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        self.program(&binaries::path("session-buddy").to_string_lossy(), args)
    }

    /// `mahavishnu` with arguments.
    #[must_use]
    pub fn mahavishnu<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        self.program(&binaries::path("mahavishnu").to_string_lossy(), args)
    }

    /// `/bin/sh -c script`, with both programs on the path.
    #[must_use]
    pub fn sh(&self, script: &str) -> Program {
        // Looked up here, so that a missing program is told as such and not as "not found" by the shell.
        let _ = (binaries::path("session-buddy"), binaries::path("mahavishnu"));
        self.program("/bin/sh", ["-c", script])
    }

    /// Any program in this home's surroundings.
    #[must_use]
    pub fn program<A: AsRef<str>>(&self, program: &str, args: impl IntoIterator<Item = A>) -> Program {
        Program::new(program, &self.vars, &self.work()).args(args)
    }

    /// Sessions as `list-sessions --format json` gives them; `more` are further arguments.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn sessions(&self, more: &[&str]) -> Vec<serde_json::Value> {
        self.list(["list-sessions", "--format", "json", "--limit", "1000"].iter().chain(more))
    }

    /// Events of one session, oldest first, as `list-events --format json` gives them.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn events(&self, session: &str) -> Vec<serde_json::Value> {
        self.list(["list-events", "--format", "json", "--limit", "10000", "--session-id", session].iter())
    }

    fn list<'a>(&self, args: impl Iterator<Item = &'a &'a str>) -> Vec<serde_json::Value> {
        match self.session_buddy(args.copied()).run().expect_success().json() {
            serde_json::Value::Array(rows) => rows,
            other => panic!("a list was expected, not {other}"),
        }
    }
}
