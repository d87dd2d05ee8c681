//! What steps leave behind: children whose own parent has ended, also those that hide from groups, sessions and marks.
//!
//! A process that has called [`adopt_orphans`] becomes the parent of such children, so that they are known by that. One with
//! a mark belongs to the step of that mark. One without was started with an empty environment: it belongs to the step whose
//! group it is still in, else to the one in whose folder it works, or to the only one at work that began before it did; while
//! there are several of these, it is ended with the last of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oneiric::process::{own_group, own_session};
use rustix::process::{Pid, WaitOptions, getpid, getuid, set_child_subreaper, waitpid};

use super::descendants::{Known, Stat, below, mark_of, stat, survivors};

/// Whether orphans come to this process. The kernel knows that of a process, so there is one such word for all.
static ADOPTS: AtomicBool = AtomicBool::new(false);
/// The roots of steps at work in this process, in the order in which they began.
static AT_WORK: Mutex<BTreeMap<u64, Root>> = Mutex::new(BTreeMap::new());
/// Orphans that may belong to steps which are still at work, or did when they ended.
static LEFT: Mutex<Vec<Known>> = Mutex::new(Vec::new());
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// From now on this process is the parent of whatever its descendants leave behind. Not for a process whose user starts
/// others in it that are to stay.
pub fn adopt_orphans() {
    ADOPTS.store(set_child_subreaper(Some(getpid())).is_ok(), Ordering::Release);
}

/// Takes note of orphans that have ended, which would else stay as zombies.
pub fn reap_orphans() {
    if ADOPTS.load(Ordering::Acquire) {
        for (pid, stat) in children(0) {
            reap(pid, &stat);
        }
    }
}

#[derive(Clone, Debug)]
struct Root {
    pid: i32,
    begun: u64,
    dir: PathBuf,
}

/// A step at work, known by its first process until this is dropped.
#[derive(Debug)]
pub(super) struct AtWork {
    number: u64,
    root: Root,
}

impl AtWork {
    /// Starts the first process of a step. One that gets a `session` of its own looks like an orphan until it is known.
    pub(super) fn begin<T>(
        dir: &Path,
        session: bool,
        start: impl FnOnce() -> Result<T, String>,
        pid: impl Fn(&T) -> Pid,
    ) -> Result<(T, Self), String> {
        let held = session.then(roots);
        let started = start()?;
        let pid = pid(&started).as_raw_nonzero().get();
        let root = Root { pid, begun: stat(pid).map_or(0, |stat| stat.begun), dir: dir.to_path_buf() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        held.unwrap_or_else(roots).insert(number, root.clone());
        Ok((started, Self { number, root }))
    }

    /// What this step has left behind, now that its first process has ended. With `anywhere`, also what has the mark and is
    /// no child of this process.
    pub(super) fn left_behind(&self, mark: &str, anywhere: bool) -> Vec<Known> {
        // Of two that end together, the one that comes second finds nobody else.
        roots().remove(&self.number);
        let adopts = ADOPTS.load(Ordering::Acquire);
        let mut found: Vec<Known> = Vec::new();
        if anywhere || !adopts {
            found.extend(survivors(mark).into_iter().filter_map(Known::of));
        }
        if !adopts {
            return found;
        }
        for (pid, stat) in children(self.root.pid) {
            let Some(known) = Pid::from_raw(pid).map(|pid| Known { pid, begun: stat.begun }) else { continue };
            if reap(pid, &stat) || found.contains(&known) || !self.is_mine(pid, &stat, mark) {
                continue;
            }
            found.push(known);
            found.extend(below(known.pid));
        }
        for known in self.left_before() {
            found.push(known);
            found.extend(below(known.pid));
        }
        found
    }

    fn is_mine(&self, pid: i32, stat: &Stat, mark: &str) -> bool {
        let own = || std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == getuid().as_raw());
        if let Some(theirs) = mark_of(pid) {
            return theirs.starts_with(mark) && own();
        }
        if stat.group == self.root.pid {
            return own();
        }
        // What this process starts for itself stays in its session. The server of tmux does not, and is nobody's step.
        let hidden = stat.session != own_session() && stat.begun >= self.root.begun && own();
        if !hidden || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("tmux")) {
            return false;
        }
        let roots = roots();
        if roots.values().any(|root| root.pid == pid) {
            return false;
        }
        let dir = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let here =
            dir.starts_with(&self.root.dir) && !self.others(stat.begun, &roots).any(|root| dir.starts_with(&root.dir));
        if here || self.others(stat.begun, &roots).next().is_none() {
            return true;
        }
        left().extend(Pid::from_raw(pid).map(|pid| Known { pid, begun: stat.begun }));
        false
    }

    /// What earlier ends left, which can belong to no other step any more.
    fn left_before(&self) -> Vec<Known> {
        let mut left = left();
        left.retain(|known| known.is_same());
        if left.is_empty() {
            return Vec::new();
        }
        let roots = roots();
        left.extract_if(.., |known| self.others(known.begun, &roots).next().is_none()).collect()
    }

    /// Other steps at work that began before this moment.
    fn others<'r>(&self, begun: u64, roots: &'r BTreeMap<u64, Root>) -> impl Iterator<Item = &'r Root> + use<'r> {
        let own = self.number;
        let other = move |(number, root): &(&u64, &Root)| **number != own && root.begun <= begun;
        roots.iter().filter(other).map(|(_, root)| root)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        roots().remove(&self.number);
    }
}

fn roots() -> MutexGuard<'static, BTreeMap<u64, Root>> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left() -> MutexGuard<'static, Vec<Known>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Children of this process that came after the process `since`. Their numbers are higher, unless these began anew.
fn children(since: i32) -> Vec<(i32, Stat)> {
    let last =
        std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').nth(4)?.trim().parse().ok());
    let since = if last.is_some_and(|last: i32| last >= since) { since } else { 0 };
    let own = getpid().as_raw_nonzero().get();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let child = |pid: i32| Some((pid, stat(pid).filter(|stat| stat.parent == own)?));
    pids.filter(|pid| *pid > since).filter_map(child).collect()
}

/// Takes note of the end of an orphan. Who started a child itself waits for it, and must find it: it is in this process's
/// group or the first of its own in this session, or it is the root of a step.
fn reap(pid: i32, stat: &Stat) -> bool {
    if !matches!(stat.state, 'Z' | 'X') {
        return false;
    }
    let started_here = stat.session == own_session() && (stat.group == pid || stat.group == own_group());
    if !started_here {
        let roots = roots();
        if !roots.values().any(|root| root.pid == pid) {
            let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }
    true
}
