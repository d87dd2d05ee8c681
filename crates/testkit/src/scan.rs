//! Looking through every byte below a folder, and through the processes of this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes that are shown on both sides of a hit.
const AROUND: usize = 60;

/// Everything below `root`, folders included, links not followed.
#[must_use]
pub fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether a process has this text in its arguments.
#[must_use]
pub fn runs(text: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
}

/// Ids of processes that have this text in their arguments, separated by blanks.
#[must_use]
pub fn pids(text: &str) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    named
        .filter(|(_, path)| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .map(|(pid, _)| pid)
        .collect()
}

/// Files below `root` that hold `needle`, each with what stands around it; a name that holds it counts too.
///
/// # Panics
/// When a file cannot be read: then nothing is known.
#[must_use]
pub fn files_with(root: &Path, needle: &str) -> Vec<(PathBuf, String)> {
    let hit = |path: PathBuf| {
        if path.to_string_lossy().contains(needle) {
            return Some((path, "its name".to_owned()));
        }
        if !path.is_file() {
            return None;
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // It may have gone since it was listed.
            Err(error) => return if path.exists() { panic!("cannot read {}: {error}", path.display()) } else { None },
        };
        let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes())?;
        let around = &bytes[at.saturating_sub(AROUND)..bytes.len().min(at + needle.len() + AROUND)];
        Some((path, String::from_utf8_lossy(around).replace(|c: char| c.is_control(), " ")))
    };
    tree(root).into_iter().filter_map(hit).collect()
}

/// What below `root` (itself included) others than the owner can touch, with its mode.
#[must_use]
pub fn open_to_others(root: &Path) -> Vec<(PathBuf, u32)> {
    let mut paths = tree(root);
    paths.push(root.to_path_buf());
    let mode = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).ok()?;
        let mode = meta.permissions().mode() & 0o777;
        (!meta.is_symlink() && mode & 0o077 != 0).then_some((path, mode))
    };
    paths.into_iter().filter_map(mode).collect()
}
