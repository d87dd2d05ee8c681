//! Leases of repositories under kills: engines that begin and end steps, die in the middle of a turn or between two, and take
//! over what the dead ones drove.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::workflows::plan::{Place, Plan, Policy, Task, Work};
use crate::workflows::{NewWorkflow, Workflows};

/// SplitMix64: a seed gives one life.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((1_780_000_000 + second) * 1_000_000)
}

const FOLDERS: [&str; 3] = ["/a", "/b", "/c"];

/// A workflow with a step in each folder.
fn submit(table: &Workflows) -> Number {
    let work = Work::Command { argv: vec!["true".into()], env: BTreeMap::new() };
    let task = Task { name: "t".into(), work, once: false, after: Vec::new(), policy: Policy::default() };
    let place = |dir: &str| Place { name: dir.into(), dir: dir.into(), after: Vec::new() };
    let repos = FOLDERS.map(place).to_vec();
    let plan = Plan { tasks: vec![task], repos, parallel: 8, fail_fast: false, time_limit: None };
    let new = NewWorkflow { plan, key: None, asked_by: "me".into(), schedule: None };
    table.submit(&new, "t", None, at(0)).unwrap().number
}

/// An engine: its connection, and the steps that it believes to be at work in their folders.
struct Engine {
    journal: Journal,
    name: String,
    drives: BTreeSet<Number>,
    holds: BTreeSet<(&'static str, Number, StepIndex)>,
}

fn live(seed: u64) {
    let mut chance = Chance(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mahavishnu.db");
    let table = Workflows::at(&path);
    let numbers: Vec<Number> = (0..3).map(|_| submit(&table)).collect();
    let mut born = 0;
    let mut engine = || {
        born += 1;
        let name = format!("e{born}");
        let journal = Journal::open(&path, &name).unwrap();
        Engine { journal, name, drives: BTreeSet::new(), holds: BTreeSet::new() }
    };
    let mut engines = [engine(), engine()];
    let mut dead: Vec<String> = Vec::new();
    for _ in 0..60 {
        let which = chance.below(2);
        // Killed: what it did not write is not true, and what it ran has ended before anybody takes over.
        if chance.below(12) == 0 {
            let gone = std::mem::replace(&mut engines[which], engine());
            dead.push(gone.name);
            continue;
        }
        let others: BTreeSet<&'static str> = engines[1 - which].holds.iter().map(|(dir, ..)| *dir).collect();
        let one = &mut engines[which];
        if chance.below(4) == 0 {
            for claimed in one.journal.claim(&dead, None, 10, at(1)).unwrap() {
                assert!(one.drives.insert(claimed.number), "seed {seed}: claimed twice");
            }
            continue;
        }
        let folder = chance.below(3);
        let (dir, step) = (FOLDERS[folder], u32::try_from(folder).unwrap());
        let Some(number) = one.drives.iter().copied().nth(chance.below(numbers.len())) else { continue };
        let written = chance.below(6) > 0;
        let turn = one.journal.turn(false).unwrap();
        if one.holds.contains(&(dir, number, step)) {
            turn.release(Path::new(dir), number, step).unwrap();
            if written {
                turn.commit().unwrap();
                one.holds.remove(&(dir, number, step));
            }
            continue;
        }
        let mine = one.holds.iter().any(|(held, ..)| *held == dir);
        let holder = turn.lease(Path::new(dir), number, step, at(2)).unwrap();
        match holder {
            None => {
                assert!(!mine && !others.contains(dir), "seed {seed}: two at work in {dir}");
                if written {
                    turn.commit().unwrap();
                    one.holds.insert((dir, number, step));
                }
            }
            // A dead one's, until its workflow is taken over, or until somebody finds that it is gone.
            Some(holder) if dead.contains(&holder) => {
                turn.break_lease(Path::new(dir)).unwrap();
                assert_eq!(turn.lease(Path::new(dir), number, step, at(2)).unwrap(), None, "seed {seed}");
                if written {
                    turn.commit().unwrap();
                    one.holds.insert((dir, number, step));
                }
            }
            Some(_) => assert!(mine || others.contains(dir), "seed {seed}: {dir} is free and not given"),
        }
    }
}

#[test]
fn no_two_engines_work_in_one_repository_and_no_lease_outlives_its_engine() {
    let first: u64 = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in first..first + 60 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} (run it alone with TESTKIT_SEED={seed})");
    }
}
