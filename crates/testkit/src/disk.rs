//! Small and read-only file systems, and the namespaces of the kernel that tests need.
//!
//! A test that mounts runs in a mount namespace of its own: it starts its own executable again under `unshare`, for that
//! one test, so that no mount is left behind however it ends, and no privilege is needed where user namespaces are allowed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "TESTKIT_MOUNT_NAMESPACE";

/// Whether the caller should go on: `true` inside the namespace. Outside it, runs the test named `test` inside one and
/// says `false` when that passed.
///
/// # Panics
/// When the test fails inside, and when there can be no namespace while `CI` is set.
#[must_use]
pub fn inside_mount_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let probe = "d=$(mktemp -d) && mount -t tmpfs -o size=64k none $d && umount $d && rmdir $d";
    let Some(flags) = possible(["-m", "-rm"], probe, test) else { return false };
    let executable = std::env::current_exe().expect("a test knows its own path");
    let done = Command::new("unshare")
        .arg(flags)
        .arg(executable)
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare ran a moment ago");
    let stdout = String::from_utf8_lossy(&done.stdout);
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{test} failed in its mount namespace\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{test} is not the test's full name\n{stdout}\n{stderr}");
    false
}

/// Arguments of `unshare` that make the program after them the first of a process namespace, whose group and session number
/// is 0 there as it was made outside. Nothing where there can be none.
///
/// # Panics
/// When there can be none while `CI` is set.
#[must_use]
pub fn process_namespace(test: &str) -> Option<[&'static str; 2]> {
    possible(["-pf", "-rpf"], "true", test).map(|flags| [flags, "--mount-proc"])
}

/// The first of these flags of `unshare` under which the probe succeeds.
#[allow(clippy::print_stderr, reason = "the reason why a test could not be run")]
fn possible(flags: [&'static str; 2], probe: &str, test: &str) -> Option<&'static str> {
    let found = flags.into_iter().find(|flags| {
        Command::new("unshare").args([flags, "sh", "-c", probe]).output().is_ok_and(|done| done.status.success())
    });
    if found.is_none() {
        let why = "this needs 'unshare' and 'mount' (util-linux) and either root or user namespaces";
        assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
        eprintln!("{test} was not run: {why}");
    }
    found
}

/// Whether the file system of `dir` has files without a name (`O_TMPFILE`).
#[must_use]
pub fn knows_nameless_files(dir: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open(dir, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600)).is_ok()
}

/// A file system in memory, of a given size, in a folder of its own.
#[derive(Debug)]
pub struct SmallDisk {
    root: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl SmallDisk {
    /// Mounts one. Only inside a mount namespace.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn of_kib(kib: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("disk-").tempdir().expect("a temporary folder");
        let mut disk = Self::mount(&folder.path().canonicalize().expect("its path"), kib);
        disk.folder = Some(folder);
        disk
    }

    /// Mounts one on an existing folder.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn mount(root: &Path, kib: u32) -> Self {
        assert!(std::env::var_os(INSIDE).is_some(), "mounting belongs into a mount namespace");
        let size = format!("size={kib}k,mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &size, "none", &root.to_string_lossy()]);
        Self { root: root.to_path_buf(), folder: None }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fills it to the last byte. Drop or remove the ballast to have room again.
    ///
    /// # Panics
    /// When not even an empty file can be made.
    #[must_use]
    pub fn fill(&self) -> Ballast {
        let path = self.root.join("ballast");
        let mut file = File::create(&path).expect("a file for ballast");
        for size in [64 * 1024, 4 * 1024, 512, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        Ballast { path }
    }

    /// Makes it read-only, or writable again.
    ///
    /// # Panics
    /// When it cannot be remounted.
    pub fn set_read_only(&self, read_only: bool) {
        // Of the mount and not of the file system, which a user namespace would not allow.
        let mode = if read_only { "remount,bind,ro" } else { "remount,bind,rw" };
        run("mount", &["-o", mode, &self.root.to_string_lossy()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.root).output();
        drop(self.folder.take());
    }
}

/// A file that takes all room.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}
