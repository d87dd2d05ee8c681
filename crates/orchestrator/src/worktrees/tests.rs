use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oneiric::clock::{Clock, SystemClock};

use super::*;
use crate::adapters::hints::tests::until;

fn git(dir: &Path, words: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

struct Place {
    _dir: tempfile::TempDir,
    repository: PathBuf,
    worktrees: Worktrees,
}

fn place(bounds: Bounds) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("shop");
    std::fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    std::fs::write(repository.join("a"), "a").unwrap();
    std::fs::write(repository.join(".gitignore"), "target\n").unwrap();
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "first"]);
    let worktrees = Worktrees::at(&Home::at(dir.path().join("home")), bounds);
    Place { repository, worktrees, _dir: dir }
}

fn small() -> Bounds {
    Bounds { most: 4, free: 0 }
}

fn take(place: &Place) -> Lease {
    place.worktrees.take("shop", &place.repository, SystemClock.now()).unwrap()
}

fn states(place: &Place) -> Vec<&'static str> {
    place.worktrees.list().iter().map(|worktree| worktree.state.name()).collect()
}

/// What becomes of each whose task is over. A process that another test begins has a copy of the locks until it runs its
/// program, so that a task may seem to be at work for a moment longer.
fn reclaimed(place: &Place, repository: Option<&str>, dry_run: bool) -> Vec<Reclaimed> {
    let told: Mutex<BTreeMap<String, Reclaimed>> = Mutex::default();
    until("no task to be at work", || {
        let (live, others): (Vec<_>, Vec<_>) =
            place.worktrees.reclaim(repository, dry_run).into_iter().partition(|row| row.why == "its task is at work");
        told.lock().unwrap().extend(others.into_iter().map(|row| (row.id.clone(), row)));
        live.is_empty()
    });
    told.into_inner().unwrap().into_values().collect()
}

#[test]
fn a_clean_one_is_used_again_with_its_ignored_files_and_at_the_newest_commit() {
    let place = place(small());
    let first = take(&place);
    std::fs::create_dir(first.path.join("target")).unwrap();
    let path = first.path.clone();
    assert_eq!(states(&place), ["live"]);
    drop(first);
    assert_eq!(states(&place), ["clean"]);
    std::fs::write(place.repository.join("b"), "b").unwrap();
    git(&place.repository, &["add", "."]);
    git(&place.repository, &["commit", "-q", "-m", "second"]);
    let again = take(&place);
    assert!(again.reused && again.path == path && again.path.join("b").exists() && again.path.join("target").exists());
    assert_eq!(again.changes(), None);
    let other = take(&place);
    assert!(!other.reused && other.path != path);
}

#[test]
fn what_exists_nowhere_else_is_neither_used_again_nor_removed() {
    let place = place(small());
    let (dirty, committed, merged) = (take(&place), take(&place), take(&place));
    std::fs::write(dirty.path.join("new"), "work").unwrap();
    for lease in [&committed, &merged] {
        std::fs::write(lease.path.join("c"), "c").unwrap();
        git(&lease.path, &["add", "."]);
        git(&lease.path, &["commit", "-q", "-m", "work"]);
    }
    std::fs::write(committed.path.join("d"), "d").unwrap();
    git(&committed.path, &["add", "."]);
    git(&committed.path, &["commit", "-q", "-m", "more"]);
    assert_eq!(committed.changes().unwrap(), "2 commits");
    assert_eq!(dirty.changes().unwrap(), "1 uncommitted file");
    git(&place.repository, &["merge", "-q", &merged.branch]);
    let kept = [dirty.path.clone(), committed.path.clone()];
    let gone = (merged.path.clone(), merged.branch.clone());
    assert!(place.worktrees.reclaim(None, false).iter().all(|row| !row.goes && row.state == "live"));
    drop((dirty, committed, merged));

    let told = reclaimed(&place, None, true);
    assert_eq!(told.iter().filter(|row| row.goes).count(), 1);
    assert!(gone.0.exists(), "a dry run removes nothing");
    let done = reclaimed(&place, Some("shop"), false);
    assert_eq!(done, told);
    assert!(kept.iter().all(|path| path.exists()) && !gone.0.exists());
    let branches = Git::at(&place.repository).line(&["branch", "--list", &gone.1]).unwrap();
    assert_eq!(branches, "", "the branch goes with its worktree");
    let mut states = states(&place);
    states.sort_unstable();
    assert_eq!(states, ["uncommitted", "unpushed"]);
}

#[test]
fn one_in_which_a_process_works_is_live_although_its_owner_is_gone() {
    let place = place(small());
    let lease = take(&place);
    let path = lease.path.clone();
    drop(lease);
    let mut child = Command::new("sleep").arg("60").current_dir(&path).spawn().unwrap();
    let told = reclaimed(&place, None, false);
    assert!(!told[0].goes && told[0].why.contains(&child.id().to_string()), "{told:?}");
    assert!(!take(&place).reused);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(reclaimed(&place, None, false).iter().all(|row| row.goes));
    assert!(!path.exists());
    assert!(place.worktrees.list().is_empty());
}

#[test]
fn two_equal_commits_of_two_tasks_do_not_make_each_other_safe() {
    let place = place(small());
    let (one, other) = (take(&place), take(&place));
    std::fs::write(one.path.join("c"), "c").unwrap();
    git(&one.path, &["add", "."]);
    git(&one.path, &["commit", "-q", "-m", "work"]);
    git(&other.path, &["reset", "-q", "--hard", &one.branch]);
    drop((one, other));
    assert!(reclaimed(&place, None, false).iter().all(|row| row.state == "unpushed" && !row.goes));
}

#[test]
fn there_are_never_more_than_allowed_however_many_ask_at_once() {
    let place = Arc::new(place(small()));
    let leases: Vec<_> = (0..4).map(|_| take(&place)).collect();
    let refused = place.worktrees.take("shop", &place.repository, SystemClock.now()).unwrap_err();
    assert!(refused.message().contains("4 worktrees"), "{refused:?}");
    let paths: std::collections::BTreeSet<_> = leases.iter().map(|lease| lease.path.clone()).collect();
    assert_eq!(paths.len(), 4);
    drop(leases);
    let taken = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (place, taken) = (Arc::clone(&place), Arc::clone(&taken));
            std::thread::spawn(move || {
                let lease = take(&place);
                taken.fetch_add(1, Ordering::Relaxed);
                lease
            })
        })
        .collect();
    let held: Vec<Lease> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let paths: std::collections::BTreeSet<_> = held.iter().map(|lease| lease.path.clone()).collect();
    assert_eq!((paths.len(), taken.load(Ordering::Relaxed)), (4, 4), "nobody shares one");
}

#[test]
fn what_was_broken_off_is_cleared_away_and_what_is_unreadable_stays() {
    let place = place(small());
    let lease = take(&place);
    let (path, folder) = (lease.path.clone(), lease.path.parent().unwrap().to_path_buf());
    drop(lease);
    std::fs::remove_file(path.join(".git")).unwrap();
    let told = reclaimed(&place, None, false);
    assert_eq!((told[0].state, told[0].goes), ("broken", false));
    // A maker that was killed before git was called, and one that was killed while git worked.
    std::fs::write(folder.join("half.lease"), "").unwrap();
    let note = Note {
        repository: place.repository.clone(),
        branch: format!("{BRANCH}half2"),
        ready: false,
        used_at: SystemClock.now(),
    };
    LeaseFile::claim(&folder, "half2").unwrap().unwrap().write(&note).unwrap();
    std::fs::create_dir(folder.join("half2")).unwrap();
    std::fs::write(folder.join("half2/a"), "a").unwrap();
    let gone: Vec<String> =
        reclaimed(&place, None, false).into_iter().filter(|row| row.goes).map(|row| row.id).collect();
    assert_eq!(gone, ["half", "half2"]);
    assert!(!folder.join("half2").exists() && path.exists());
}

#[test]
fn a_folder_that_is_no_repository_is_refused_and_names_cannot_lead_out() {
    let place = place(small());
    let empty = tempfile::tempdir().unwrap();
    assert!(place.worktrees.take("shop", empty.path(), SystemClock.now()).is_err());
    let lease = place.worktrees.take("../../x", &place.repository, SystemClock.now()).unwrap();
    assert!(lease.path.starts_with(&place.worktrees.root), "{}", lease.path.display());
}
