//! Which process this is, beyond its id, so that "its process is gone" is a fact and never a guess.
//!
//! A pid alone is reused; together with the machine's boot, the pid namespace and the start time it is not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A process, told apart from any other that had or will have its pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Inode of the pid namespace.
    pub pid_namespace: u64,
}

/// What can be said of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It ended.
    Gone,
    /// It belongs to another boot record or namespace than can be seen from here.
    Unknown,
}

impl ProcessIdentity {
    /// The calling process. `None` where the kernel does not tell (no `/proc`).
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process that has `pid` now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_ticks: start_ticks(pid)?, boot_id: boot_id()?, pid_namespace: pid_namespace()? })
    }

    /// Whether this process still runs.
    ///
    /// `same_host` says that the identity was taken on this machine: then another boot id means that the machine was
    /// started anew since, so the process is gone.
    #[must_use]
    pub fn liveness(&self, same_host: bool) -> Liveness {
        match boot_id() {
            Some(boot) if boot == self.boot_id => {}
            Some(_) if same_host => return Liveness::Gone,
            _ => return Liveness::Unknown,
        }
        if pid_namespace() != Some(self.pid_namespace) {
            return Liveness::Unknown;
        }
        if start_ticks(self.pid) == Some(self.start_ticks) { Liveness::Alive } else { Liveness::Gone }
    }
}

/// This machine's name.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `linux-x86_64` and the like.
#[must_use]
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Login name by the environment or the user database, or the number where there is none.
#[must_use]
pub fn username(vars: &BTreeMap<String, String>) -> String {
    let named = ["USER", "LOGNAME"].iter().filter_map(|name| vars.get(*name)).find(|name| !name.is_empty());
    let id = rustix::process::getuid().as_raw();
    named
        .cloned()
        .or_else(|| name_of(&std::fs::read_to_string("/etc/passwd").ok()?, id))
        .unwrap_or_else(|| format!("uid-{id}"))
}

fn name_of(passwd: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

/// The process group of the caller. 0 when it was made outside of this container or other process namespace, as that of
/// whatever starts programs there may be: a number that rustix takes for impossible.
#[must_use]
pub fn own_group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// The session of the caller. 0 as in [`own_group`].
#[must_use]
pub fn own_session() -> i32 {
    nix::unistd::getsid(None).map_or(0, nix::unistd::Pid::as_raw)
}

fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

fn pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// Start time of a process that runs; `None` when it ended, also when it is a zombie that nobody has reaped.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command's name in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_alive_and_an_ended_one_is_gone() {
        assert_eq!(ProcessIdentity::current().unwrap().liveness(true), Liveness::Alive);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(identity.liveness(true), Liveness::Gone);
    }

    #[test]
    fn a_user_number_has_its_name_from_the_user_database() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\nbroken\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ada"));
        assert_eq!(name_of(passwd, 7), None);
    }

    #[test]
    fn a_reused_pid_is_another_process_and_another_boot_ends_all() {
        let me = ProcessIdentity::current().unwrap();
        let earlier = ProcessIdentity { start_ticks: me.start_ticks.wrapping_sub(1), ..me.clone() };
        assert_eq!(earlier.liveness(true), Liveness::Gone);
        let other_boot = ProcessIdentity { boot_id: "other".into(), ..me };
        assert_eq!(other_boot.liveness(true), Liveness::Gone);
        assert_eq!(other_boot.liveness(false), Liveness::Unknown);
    }
}
