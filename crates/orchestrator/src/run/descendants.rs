//! Processes of a step beyond its own group: children that made a group or session of their own.
//!
//! Every process of a step inherits the variable [`MARK`], so those of one step are found whatever they did since, also by
//! an engine that comes after a killed one. Only processes of the same user are seen, which is all a step can have made.

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

/// Ends all processes whose mark begins so: asks them, waits for `grace`, kills what is left. Gives how many there were.
pub fn end_survivors(mark: &str, grace: Duration, clock: &dyn Clock) -> usize {
    let found = survivors(mark);
    if found.is_empty() {
        return 0;
    }
    for pid in &found {
        let _ = kill_process(*pid, Signal::TERM);
    }
    let deadline = clock.monotonic() + grace;
    let mut left = survivors(mark);
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
            left = survivors(mark);
        }
        if clock.monotonic() >= deadline + Duration::from_secs(5) {
            break;
        }
    }
    found.len()
}

/// A zombie is dead: it waits for its parent to look, which may be a process that never does.
fn is_alive(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
