//! Processes of a step beyond its own group: children that made a group or session of their own.
//!
//! Every process of a step inherits the variable [`MARK`], so those of one step are found whatever they did since, also by
//! an engine that comes after a killed one. Only processes of the same user are seen, which is all a step can have made.
//! One that was started with an empty environment has no mark, and is known by its parents ([`below`]) as long as they live,
//! and as an orphan (`orphans.rs`) afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use oneiric::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};

/// Variable that every process of a step inherits.
pub(super) const MARK: &str = "MAHAVISHNU_STEP_ID";

/// Processes whose mark begins so, without the calling one.
#[must_use]
pub fn survivors(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let own = rustix::process::getpid();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&wanted))
    })
    .filter_map(Pid::from_raw)
    .filter(|pid| *pid != own)
    .collect()
}

/// A process, which another one with the same number cannot be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pid: Pid,
    /// Ticks of the machine's clock when it began.
    pub(super) begun: u64,
}

impl Known {
    /// A process that lives, or has not been waited for.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Some(Self { pid, begun: stat(pid.as_raw_nonzero().get())?.begun })
    }

    pub(super) fn is_same(self) -> bool {
        stat(self.pid.as_raw_nonzero().get()).is_some_and(|stat| stat.begun == self.begun)
    }
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    /// How it is: a letter.
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Ticks of the machine's clock when it began.
    pub(super) begun: u64,
}

pub(super) fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        begun: fields.get(19)?.parse().ok()?,
    })
}

/// The mark of a process; none when it has none, or its environment may not be read.
pub(super) fn mark_of(pid: i32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let name = format!("{MARK}=").into_bytes();
    let found = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(name.as_slice()))?;
    Some(String::from_utf8_lossy(found).into_owned())
}

/// All processes that this one started, and those that they started, as far as nobody between them has ended.
pub(super) fn below(root: Pid) -> Vec<Known> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut children: BTreeMap<i32, Vec<(i32, u64)>> = BTreeMap::new();
    for pid in pids {
        if let Some(Stat { parent, begun, .. }) = stat(pid) {
            children.entry(parent).or_default().push((pid, begun));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for (pid, begun) in children.remove(&parent).unwrap_or_default() {
            open.push(pid);
            found.extend(Pid::from_raw(pid).map(|pid| Known { pid, begun }));
        }
    }
    found
}

/// Asks processes to end: all with this mark, and those that are known besides.
pub(super) fn ask_all(mark: &str, known: &[Known]) {
    for pid in survivors(mark).into_iter().chain(known.iter().filter(|known| known.is_same()).map(|known| known.pid)) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Ends all processes whose mark begins so: asks them, waits for `grace`, kills what is left. Gives how many there were.
pub fn end_survivors(mark: &str, grace: Duration, clock: &dyn Clock) -> usize {
    end_all(mark, &[], grace, clock)
}

/// [`end_survivors`], and of those that are known besides.
pub(super) fn end_all(mark: &str, known: &[Known], grace: Duration, clock: &dyn Clock) -> usize {
    let look = || {
        let mut found = survivors(mark);
        for known in known {
            if known.is_same() && is_alive(known.pid) && !found.contains(&known.pid) {
                found.push(known.pid);
            }
        }
        found
    };
    let found = look();
    if found.is_empty() {
        return 0;
    }
    for pid in &found {
        let _ = kill_process(*pid, Signal::TERM);
    }
    let deadline = clock.monotonic() + grace;
    let mut left = look();
    while !left.is_empty() {
        if clock.monotonic() >= deadline {
            // Whoever forks while it is killed is found by the next look.
            for pid in &left {
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
        left.retain(|pid| is_alive(*pid));
        if left.is_empty() {
            left = look();
        }
        if clock.monotonic() >= deadline + Duration::from_secs(5) {
            break;
        }
    }
    found.len()
}

/// A zombie is dead: it waits for its parent to look, which may be a process that never does.
fn is_alive(pid: Pid) -> bool {
    !matches!(stat(pid.as_raw_nonzero().get()), None | Some(Stat { state: 'Z' | 'X', .. }))
}
