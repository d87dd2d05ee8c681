//! The `git` program in one folder, with an end to its patience and without anything that asks or runs hooks.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs git in a folder.
pub(super) struct Git<'p> {
    dir: &'p Path,
}

impl<'p> Git<'p> {
    pub(super) const fn at(dir: &'p Path) -> Self {
        Self { dir }
    }

    /// What it prints, without the white space around it; else why it failed, in a line.
    pub(super) fn line(&self, words: &[&str]) -> Result<String, String> {
        if !self.dir.is_dir() {
            return Err(format!("{} is no folder", self.dir.display()));
        }
        let mut command = Command::new("git");
        // Whoever called this program may be at work in another repository.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        let done = command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"])
            .args(words)
            .current_dir(self.dir)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot start git: {}", oneiric::paths::plain(&error)))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let why = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("git failed").to_owned();
        Err(why.trim_start_matches("fatal: ").to_owned())
    }
}
