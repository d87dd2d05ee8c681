use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use oneiric::fault::FaultKind;

use super::fact::{Ending, Outcome};
use super::journal::Journal;
use super::plan::{Place, Policy, Task, Work};
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((1_780_000_000 + second) * 1_000_000)
}

fn table() -> (tempfile::TempDir, Workflows) {
    let dir = tempfile::tempdir().unwrap();
    let table = Workflows::at(dir.path().join("home/mahavishnu.db"));
    (dir, table)
}

fn new(word: &str) -> NewWorkflow {
    let work = Work::Command { argv: vec![word.into()], env: BTreeMap::new() };
    let task = Task { name: word.into(), work, once: false, after: Vec::new(), policy: Policy::default() };
    let place = Place { name: "app".into(), dir: "/app".into(), after: Vec::new() };
    let plan = Plan { tasks: vec![task], repos: vec![place], parallel: 1, fail_fast: false, time_limit: None };
    NewWorkflow { plan, key: None, asked_by: "me".into(), schedule: None }
}

/// An engine's life for one workflow: claimed, begun, and ended so.
fn drive(table: &Workflows, number: Number, outcome: Outcome, second: i64) {
    let mut journal = Journal::open(table.path(), "e").unwrap();
    let mut claimed = journal.claim(&[], Some(number), 1, at(second)).unwrap();
    let machine = &mut claimed[0].machine;
    let mut facts = vec![machine.start(0, at(second))];
    facts.extend(machine.ended(0, 1, Ending { exit_code: Some(3), ..Ending::because(outcome, "no") }, at(second + 1)));
    let turn = journal.turn(true).unwrap();
    turn.write(number, machine, &facts, at(second + 1)).unwrap();
    turn.commit().unwrap();
}

#[test]
fn reading_what_is_not_there_creates_nothing() {
    let (dir, table) = table();
    assert!(table.list(Which::All, 10).unwrap().is_empty());
    assert!(table.counts().unwrap().is_empty());
    assert_eq!(table.get("x").unwrap_err().kind(), FaultKind::NotFound);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn workflows_that_were_asked_for_together_are_told_apart_by_the_end_of_their_ids() {
    let (_dir, table) = table();
    let ids: Vec<String> = (0..5).map(|_| table.submit(&new("deploy"), "deploy", None, at(0)).unwrap().id).collect();
    for id in &ids {
        assert_eq!(table.get(&id[id.len() - 12..]).unwrap().id, *id);
    }
    assert_eq!(table.get(&ids[0][..13]).unwrap_err().kind(), FaultKind::Conflict);
    for wrong in ["", "e", "zzzz", "%%%%", "____________"] {
        assert_eq!(table.get(wrong).unwrap_err().kind(), FaultKind::NotFound, "{wrong}");
    }
}

#[test]
fn failures_come_in_the_order_of_their_ends() {
    let (_dir, table) = table();
    let [slow, quick, good] =
        ["slow", "quick", "good"].map(|word| table.submit(&new(word), word, None, at(0)).unwrap());
    drive(&table, quick.number, Outcome::Failed, 10);
    drive(&table, good.number, Outcome::Succeeded, 15);
    drive(&table, slow.number, Outcome::TimedOut, 20);
    let tasks: Vec<String> = table.failures(10).unwrap().into_iter().map(|workflow| workflow.task).collect();
    assert_eq!(tasks, ["slow", "quick"]);
    assert_eq!(table.failures(1).unwrap().len(), 1);
}

#[test]
fn a_workflow_is_found_by_its_beginning_with_its_steps_and_its_journal() {
    let (_dir, table) = table();
    let asked = table.submit(&new("deploy"), "deploy", None, at(0)).unwrap();
    assert_eq!(table.get(&asked.id).unwrap().status, Status::Pending);
    drive(&table, asked.number, Outcome::Failed, 1);
    let workflow = table.get(&asked.id[..20]).unwrap();
    assert_eq!((workflow.status, workflow.exit_code, workflow.progress), (Status::Failed, Some(3), 1.0));
    assert_eq!(workflow.error.as_deref(), Some("1 failed of 1 step; deploy in app: no"));
    assert_eq!((workflow.repo.as_str(), workflow.steps, workflow.failed), ("app", 1, 1));
    let (plan, steps) = table.steps(&workflow).unwrap();
    assert_eq!((plan.repos.len(), steps[0].1.state), (1, fact::StepState::Failed));
    let facts = table.facts(&workflow).unwrap();
    assert!(matches!(facts[..], [(_, Fact::Started { .. }), (_, Fact::Ended { .. }), (_, Fact::Finished { .. })]));
    assert_eq!(table.list(Which::Failed, 10).unwrap(), [workflow]);
    assert_eq!(table.counts().unwrap(), [(Status::Failed, 1)]);
}

#[test]
fn one_key_makes_one_workflow() {
    let (_dir, table) = table();
    let keyed = |word: &str| NewWorkflow { key: Some("nightly".into()), ..new(word) };
    let first = table.submit(&keyed("a"), "a", None, at(0)).unwrap();
    let second = table.submit(&keyed("a"), "a", None, at(1)).unwrap();
    assert_eq!((second.id.as_str(), second.existing), (first.id.as_str(), true));
    assert_eq!(table.submit(&keyed("b"), "b", None, at(2)).unwrap_err().kind(), FaultKind::Conflict);
    let long = NewWorkflow { key: Some("x".repeat(201)), ..new("a") };
    assert_eq!(table.submit(&long, "a", None, at(3)).unwrap_err().kind(), FaultKind::User);
    assert_eq!(table.list(Which::All, 10).unwrap().len(), 1);
}

#[test]
fn what_did_not_end_well_can_be_tried_again_and_nothing_else() {
    let (_dir, table) = table();
    let asked = table.submit(&new("x"), "x", None, at(0)).unwrap();
    let workflow = table.get(&asked.id).unwrap();
    assert_eq!(table.retry(&workflow, at(1)).unwrap_err().kind(), FaultKind::Conflict);
    drive(&table, asked.number, Outcome::Failed, 1);
    let failed = table.get(&asked.id).unwrap();
    table.retry(&failed, at(5)).unwrap();
    let workflow = table.get(&asked.id).unwrap();
    assert_eq!((workflow.status, workflow.ended_at, workflow.engine), (Status::Running, None, None));
    assert_eq!(workflow.started_at, None, "its time limit counts anew");
    // Whoever asks at the same time, with what was true a moment ago, finds that it goes on already.
    assert_eq!(table.retry(&failed, at(5)).unwrap_err().kind(), FaultKind::Conflict);
    let mut journal = Journal::open(table.path(), "f").unwrap();
    assert_eq!(journal.claim(&[], None, 10, at(6)).unwrap().len(), 1);
    assert!(journal.claim(&[], None, 10, at(6)).unwrap().is_empty(), "claimed once");
}

#[test]
fn the_newest_come_first_and_the_oldest_go() {
    let (_dir, table) = table();
    let old = table.submit(&new("old"), "old", None, at(0)).unwrap();
    drive(&table, old.number, Outcome::Succeeded, 1);
    let open = table.submit(&new("open"), "open", None, at(3)).unwrap();
    let late = at(2).plus(RETENTION + Duration::from_secs(60));
    let new = table.submit(&new("new"), "new", None, late).unwrap();
    assert_eq!(Journal::open(table.path(), "e").unwrap().prune(late).unwrap(), [old.id]);
    let ids: Vec<String> = table.list(Which::All, 10).unwrap().into_iter().map(|workflow| workflow.id).collect();
    assert_eq!(ids, [new.id, open.id], "what has not ended is kept however old it is");
}

#[test]
fn the_file_is_private_and_a_foreign_one_is_refused() {
    let (_dir, table) = table();
    table.submit(&new("x"), "x", None, at(0)).unwrap();
    assert_eq!(std::fs::metadata(table.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let connection = Connection::open(table.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(table.list(Which::All, 1).unwrap_err().kind(), FaultKind::Config);
    drop(connection);
    std::fs::write(table.path(), "this is no database at all, and long enough to be looked at as one").unwrap();
    let fault = table.list(Which::All, 1).unwrap_err();
    assert!(fault.message().ends_with("is damaged or no database"), "{fault}");
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let (_dir, table) = table();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let table = table.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    table.submit(&new("x"), &format!("{writer}.{n}"), None, at(n)).unwrap();
                }
            });
        }
    });
    assert_eq!(table.counts().unwrap(), [(Status::Pending, 160)]);
}
