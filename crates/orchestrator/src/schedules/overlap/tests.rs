//! Runs that are due while an earlier one has not ended, over real tables: two who look, kills, time without anyone, runs that
//! take longer than the time between two.

use std::collections::BTreeMap;
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::Result;
use oneiric::zone::Zone;

use super::super::{Cron, NewSchedule, Schedule, Schedules};
use super::*;
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::journal::{Asked, Claimed, Journal, Number};
use crate::workflows::machine::Machine;
use crate::workflows::plan::{Place, Plan, Policy, Task, Work};
use crate::workflows::{Request, Status, Which, Workflow, Workflows};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn plan(_: &Schedule) -> Result<(Plan, String)> {
    let work = Work::Command { argv: vec!["true".into()], env: BTreeMap::new() };
    let task = Task { name: "t".into(), work, once: false, after: Vec::new(), policy: Policy::default() };
    let place = Place { name: "shop".into(), dir: "/".into(), after: Vec::new() };
    Ok((Plan { tasks: vec![task], repos: vec![place], parallel: 1, fail_fast: false, time_limit: None }, "t".into()))
}

/// A schedule, those who look at it, and an engine.
struct World {
    _dir: tempfile::TempDir,
    schedules: Schedules,
    workflows: Workflows,
    journal: Journal,
    at_work: BTreeMap<Number, Machine>,
}

impl World {
    fn new(misfire: Misfire, overlap: Overlap, now: Timestamp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("mahavishnu.db");
        let schedules = Schedules::at(&database);
        let new = NewSchedule {
            name: "often".into(),
            cron: "*/5 * * * *".into(),
            zone: "UTC".into(),
            misfire,
            overlap,
            work: serde_json::json!({}),
            title: "t".into(),
            asked_by: "ada".into(),
        };
        schedules.add(&new, now).unwrap();
        let journal = Journal::open(&database, "e").unwrap();
        Self { _dir: dir, schedules, workflows: Workflows::at(&database), journal, at_work: BTreeMap::new() }
    }

    fn schedule(&self) -> Schedule {
        self.schedules.get("often").unwrap()
    }

    fn look(&self, now: Timestamp) -> usize {
        self.schedules.look(now, &plan).unwrap().begun.len()
    }

    /// The engine takes what it may, and does what it is asked to.
    fn engine(&mut self, now: Timestamp) {
        for Claimed { number, machine, .. } in self.journal.claim(&[], None, 1000, now).unwrap() {
            self.at_work.insert(number, machine);
        }
        for Asked { number, workflow, request } in self.journal.requests().unwrap() {
            assert!(matches!(request, Ok(Request::Cancel { .. })), "{request:?}");
            let mut facts = Vec::new();
            if let Some(machine) = self.at_work.get_mut(&workflow) {
                facts = machine.cancel("schedule", now);
            }
            let turn = self.journal.turn(false).unwrap();
            if let Some(machine) = self.at_work.get(&workflow) {
                turn.write(workflow, machine, &facts, now).unwrap();
            }
            turn.answered(number, None, now).unwrap();
            turn.commit().unwrap();
            self.at_work.remove(&workflow);
        }
    }

    fn end(&mut self, number: Number, now: Timestamp) {
        let mut machine = self.at_work.remove(&number).unwrap();
        let mut facts = vec![machine.start(0, now)];
        facts.extend(machine.ended(0, 1, Ending::of(Outcome::Succeeded), now));
        let turn = self.journal.turn(false).unwrap();
        turn.write(number, &machine, &facts, now).unwrap();
        turn.commit().unwrap();
    }

    fn all(&self) -> Vec<Workflow> {
        let mut all = self.workflows.list(Which::All, 10_000).unwrap();
        all.sort_by_key(|workflow| workflow.number);
        all
    }
}

#[test]
fn a_run_is_skipped_while_an_earlier_one_has_not_ended_and_that_is_told() {
    let mut world = World::new(Misfire::Latest, Overlap::Skip, at("2026-11-22T12:01:00Z"));
    assert_eq!(world.look(at("2026-11-22T12:05:00Z")), 1);
    world.engine(at("2026-11-22T12:05:00Z"));
    assert_eq!(world.look(at("2026-11-22T12:10:00Z")) + world.look(at("2026-11-22T12:15:01Z")), 0);
    let (schedule, [first]) = (world.schedule(), <[Workflow; 1]>::try_from(world.all()).unwrap());
    assert_eq!((schedule.skipped, schedule.skipped_due), (2, Some(at("2026-11-22T12:15:00Z"))));
    assert_eq!((schedule.skipped_for.as_ref(), schedule.left_out), (Some(&first.id), 0));
    assert_eq!(world.schedules.open_runs(&schedule).unwrap().len(), 1);
    world.end(first.number, at("2026-11-22T12:19:00Z"));
    assert_eq!(world.look(at("2026-11-22T12:20:00Z")), 1);
    assert_eq!(world.schedule().skipped, 2);
}

#[test]
fn queued_runs_begin_one_after_the_other_and_can_be_cancelled_before() {
    let mut world = World::new(Misfire::Latest, Overlap::Queue, at("2026-11-22T12:01:00Z"));
    for minute in [5, 10, 15] {
        assert_eq!(world.look(at(&format!("2026-11-22T12:{minute:02}:00Z"))), 1);
        world.engine(at("2026-11-22T12:15:00Z"));
        assert_eq!(world.at_work.len(), 1);
    }
    let [first, second, third] = <[Workflow; 3]>::try_from(world.all()).unwrap();
    assert_eq!([first.queued, second.queued, third.queued], [false, true, true]);
    let cancel = Request::Cancel { by: "ada".into() };
    world.workflows.ask(&second, &cancel, at("2026-11-22T12:16:00Z")).unwrap();
    world.engine(at("2026-11-22T12:16:00Z"));
    assert_eq!(world.workflows.get(&second.id).unwrap().status, Status::Cancelled);
    assert_eq!(world.at_work.keys().collect::<Vec<_>>(), [&first.number]);
    world.end(first.number, at("2026-11-22T12:17:00Z"));
    world.engine(at("2026-11-22T12:17:00Z"));
    assert_eq!(world.at_work.keys().collect::<Vec<_>>(), [&third.number]);
}

#[test]
fn a_run_that_takes_the_place_of_earlier_ones_begins_when_they_have_stopped() {
    let mut world = World::new(Misfire::Latest, Overlap::Replace, at("2026-11-22T12:01:00Z"));
    world.look(at("2026-11-22T12:05:00Z"));
    world.engine(at("2026-11-22T12:05:00Z"));
    world.look(at("2026-11-22T12:10:00Z"));
    assert!(
        world.journal.claim(&[], None, 10, at("2026-11-22T12:10:00Z")).unwrap().is_empty(),
        "it has not stopped yet"
    );
    world.engine(at("2026-11-22T12:10:00Z"));
    world.engine(at("2026-11-22T12:10:01Z"));
    let states: Vec<Status> = world.all().iter().map(|workflow| workflow.status).collect();
    assert_eq!((states[0], world.at_work.len()), (Status::Cancelled, 1));
}

#[test]
fn no_more_runs_wait_than_are_of_any_use() {
    let mut now = at("2026-11-22T12:01:00Z");
    let world = World::new(Misfire::All, Overlap::Queue, now);
    for _ in 0..3 {
        now = now.plus(Duration::from_secs(60 * 5 * 60));
        world.look(now);
    }
    assert_eq!((world.all().len(), world.schedule().skipped), (MAX_QUEUED, 80));
}

/// xorshift: a seed gives one life.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn live(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let misfire = [Misfire::Skip, Misfire::Latest, Misfire::All][chance.below(3)];
    let fitting: Vec<Overlap> = Overlap::ALL.into_iter().filter(|overlap| overlap.goes_with(misfire)).collect();
    let overlap = fitting[chance.below(fitting.len())];
    let created = at("2026-11-22T12:01:00Z");
    let mut world = World::new(misfire, overlap, created);
    let mut now = created;
    for _ in 0..30 {
        now = now.plus(Duration::from_secs(match chance.below(10) {
            0 => 60 * chance.below(120) as u64,
            1..=5 => chance.below(300) as u64,
            _ => 1 + chance.below(40) as u64,
        }));
        match chance.below(8) {
            // Killed after the first of the runs that are due, before the cursor moves.
            0 => {
                let schedule = world.schedule();
                let due = schedule.due(now).unwrap();
                if let Some(first) = due.fire.first() {
                    world.schedules.run(&schedule, *first, now, &plan).unwrap();
                }
            }
            1..=4 => drop(world.look(now)),
            _ => {
                world.engine(now);
                assert!(overlap == Overlap::Allow || world.at_work.len() <= 1, "seed {seed}: {overlap:?}, two at once");
                let ending: Vec<Number> = world.at_work.keys().copied().filter(|_| chance.below(3) == 0).collect();
                ending.into_iter().for_each(|number| world.end(number, now));
            }
        }
    }
    world.look(now);
    let (schedule, all) = (world.schedule(), world.all());
    let cron = Cron::parse(&schedule.cron).unwrap();
    let zone = Zone::parse("UTC").unwrap();
    let due = cron.after(created, zone.rules()).take_while(|at| *at <= schedule.cursor).count() as u64;
    let told = all.len() as u64 + schedule.skipped + schedule.left_out;
    assert_eq!(told, due, "seed {seed}: a run is lost, doubled or counted twice ({misfire:?}, {overlap:?})");
    assert!(overlap != Overlap::Allow || schedule.skipped == 0);
    // Whatever waits comes to its turn.
    for _ in 0..=all.len() + 1 {
        world.engine(now);
        let ending: Vec<Number> = world.at_work.keys().copied().collect();
        ending.into_iter().for_each(|number| world.end(number, now));
    }
    assert!(world.all().iter().all(|workflow| workflow.status.is_final()), "seed {seed}: one waits for ever");
}

#[test]
fn every_run_that_is_due_begins_or_is_told_as_left_out_in_many_lives() {
    let first: u64 = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in first..first + 100 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} (run it alone with TESTKIT_SEED={seed})");
    }
}
