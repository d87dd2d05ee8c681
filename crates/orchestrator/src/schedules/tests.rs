use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric::clock::Clock as _;
use serde_json::json;

use super::*;
use crate::workflows::plan::{Place, Plan, Policy, Task, Work};
use crate::workflows::{NewWorkflow, Which};

struct World {
    dir: tempfile::TempDir,
    schedules: Schedules,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let schedules = Schedules::at(dir.path().join("home/mahavishnu.db"));
        Self { dir, schedules }
    }

    fn workflows(&self) -> Vec<Workflow> {
        Workflows::at(self.dir.path().join("home/mahavishnu.db")).list(Which::All, 1000).unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn new(name: &str, misfire: Misfire) -> NewSchedule {
    NewSchedule {
        name: name.into(),
        cron: "0 3 * * *".into(),
        zone: "UTC".into(),
        misfire,
        overlap: Overlap::usual(misfire),
        work: json!({"command": ["true"]}),
        title: "true".into(),
        asked_by: "ada".into(),
    }
}

fn plan_of(word: &str) -> (Plan, String) {
    let work = Work::Command { argv: vec![word.into()], env: std::collections::BTreeMap::new() };
    let task = Task { name: word.into(), work, once: false, after: Vec::new(), policy: Policy::default() };
    let place = Place { name: "shop".into(), dir: "/".into(), after: Vec::new() };
    (Plan { tasks: vec![task], repos: vec![place], parallel: 1, fail_fast: false, time_limit: None }, word.into())
}

fn plan(_: &Schedule) -> Result<(Plan, String)> {
    Ok(plan_of("true"))
}

#[test]
fn a_due_run_begins_once_also_when_two_look() {
    let world = World::new();
    let other = world.schedules.clone();
    world.schedules.add(&new("night", Misfire::Latest), at("2026-11-22T12:00:00Z")).unwrap();
    let look = world.schedules.look(at("2026-11-23T02:59:59Z"), &plan).unwrap();
    assert_eq!((look.begun.len(), look.next), (0, Some(at("2026-11-23T03:00:00Z"))));
    assert_eq!(world.schedules.look(at("2026-11-23T03:00:00Z"), &plan).unwrap().begun.len(), 1);
    assert_eq!(other.look(at("2026-11-23T03:00:00.2Z"), &plan).unwrap().begun.len(), 0);
    let [workflow] = <[Workflow; 1]>::try_from(world.workflows()).unwrap();
    assert_eq!((workflow.schedule.as_deref(), workflow.asked_by.as_deref()), (Some("night"), Some("ada")));
    let night = other.get("night").unwrap();
    assert_eq!(night.last_workflow.as_ref(), Some(&workflow.id));
    assert_eq!((night.last_due, night.next), (Some(at("2026-11-23T03:00:00Z")), Some(at("2026-11-24T03:00:00Z"))));
    assert_eq!(other.runs(&night, 5).unwrap().len(), 1);
}

#[test]
fn a_kill_between_the_run_and_the_cursor_does_not_double_it_even_if_the_plan_has_changed() {
    let world = World::new();
    let schedule = world.schedules.add(&new("night", Misfire::Latest), at("2026-11-22T12:00:00Z")).unwrap();
    let due = at("2026-11-23T03:00:00Z");
    let (plan, title) = plan_of("earlier");
    let begun =
        NewWorkflow { plan, key: Some(schedule.key(due)), asked_by: "ada".into(), schedule: Some("night".into()) };
    Workflows::at(&world.schedules.path).submit(&begun, &title, None, due).unwrap();
    assert_eq!(world.schedules.look(due.plus(Duration::from_secs(5)), &super::tests::plan).unwrap().begun.len(), 0);
    assert_eq!(world.workflows().len(), 1);
    assert!(world.schedules.get("night").unwrap().last_workflow.is_some());
}

#[test]
fn missed_runs_go_by_the_policy_and_are_counted() {
    for (misfire, runs, left_out) in [(Misfire::Skip, 0, 4), (Misfire::Latest, 1, 3), (Misfire::All, 4, 0)] {
        let world = World::new();
        world.schedules.add(&new("night", misfire), at("2026-11-22T12:00:00Z")).unwrap();
        let look = world.schedules.look(at("2026-11-26T12:00:00Z"), &plan).unwrap();
        assert_eq!((look.begun.len(), look.left_out), (runs, left_out));
        assert_eq!(world.schedules.get("night").unwrap().left_out, left_out as u64);
        assert_eq!(world.schedules.look(at("2026-11-26T12:00:01Z"), &plan).unwrap().begun.len(), 0);
    }
}

#[test]
fn what_cannot_be_planned_is_told_and_tried_again_only_when_it_is_due_again() {
    let world = World::new();
    world.schedules.add(&new("night", Misfire::Latest), at("2026-11-22T12:00:00Z")).unwrap();
    let asked = Mutex::new(0);
    let wrong = |_: &Schedule| {
        *asked.lock().unwrap() += 1;
        Err(Fault::not_found("no repository has the tag 'rust'"))
    };
    for second in 0..3 {
        world.schedules.look(at("2026-11-23T03:00:00Z").plus(Duration::from_secs(second)), &wrong).unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), 1);
    let night = world.schedules.get("night").unwrap();
    assert_eq!(night.error.as_deref(), Some("no repository has the tag 'rust'"));
    world.schedules.look(at("2026-11-24T03:00:00Z"), &plan).unwrap();
    assert_eq!(world.schedules.get("night").unwrap().error, None);
}

#[test]
fn a_paused_schedule_rests_and_what_it_slept_through_is_left_out() {
    let world = World::new();
    world.schedules.add(&new("night", Misfire::All), at("2026-11-22T12:00:00Z")).unwrap();
    assert_eq!(world.schedules.pause("night", true, at("2026-11-22T13:00:00Z")).unwrap().next, None);
    assert_eq!(world.schedules.look(at("2026-11-24T12:00:00Z"), &plan).unwrap(), Look::default());
    let night = world.schedules.pause("night", false, at("2026-11-24T12:00:00Z")).unwrap();
    assert_eq!(night.next, Some(at("2026-11-25T03:00:00Z")));
    // Going on twice is going on once: a run that is late stays due.
    world.schedules.pause("night", false, at("2026-11-25T12:00:00Z")).unwrap();
    assert_eq!(world.schedules.look(at("2026-11-25T12:00:00Z"), &plan).unwrap().begun.len(), 1);
}

#[test]
fn names_times_and_zones_are_checked_and_a_name_is_free_again_after_removal() {
    let world = World::new();
    let now = at("2026-11-22T12:00:00Z");
    assert!(world.schedules.list().unwrap().is_empty());
    for wrong in [
        NewSchedule { name: "a b".into(), ..new("x", Misfire::Skip) },
        NewSchedule { cron: "0 3 * *".into(), ..new("x", Misfire::Skip) },
        NewSchedule { zone: "Mars/Olympus".into(), ..new("x", Misfire::Skip) },
        NewSchedule { overlap: Overlap::Skip, ..new("x", Misfire::All) },
    ] {
        assert_eq!(world.schedules.add(&wrong, now).unwrap_err().kind(), oneiric::fault::FaultKind::User);
    }
    let first = world.schedules.add(&new("x", Misfire::Skip), now).unwrap();
    assert!(world.schedules.add(&new("x", Misfire::Skip), now).unwrap_err().message().contains("already"));
    assert_eq!(world.schedules.get("y").unwrap_err().to_string(), "no schedule 'y'; there are: x");
    world.schedules.remove("x").unwrap();
    let second = world.schedules.add(&new("x", Misfire::Skip), now).unwrap();
    assert_ne!(first.key(now), second.key(now));
    assert_eq!(second.preview(now, 2).unwrap(), [at("2026-11-23T03:00:00Z"), at("2026-11-24T03:00:00Z")]);
}

#[test]
fn a_clockwork_begins_what_is_due_and_ends_when_it_is_dropped() {
    let world = World::new();
    let clock = Arc::new(oneiric::clock::ManualClock::at(at("2026-11-22T12:00:00Z")));
    world.schedules.add(&new("night", Misfire::Latest), clock.now()).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let planner = move |schedule: &Schedule| {
        let _ = told.send(schedule.name.clone());
        plan(schedule)
    };
    clock.set_wall(at("2026-11-23T03:00:00Z"));
    let clockwork = Clockwork::start(world.schedules.path.clone(), clock, Arc::new(planner)).unwrap();
    assert_eq!(heard.recv_timeout(Duration::from_secs(60)).unwrap(), "night");
    drop(clockwork);
    assert_eq!(world.workflows().len(), 1);
}
