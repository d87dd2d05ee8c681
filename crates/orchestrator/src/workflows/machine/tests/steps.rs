//! What becomes of one step: failures, cancels, stops, and ends that nobody saw.

use super::*;

fn two(policy: &Policy) -> Machine {
    let task = |name: &str, after: &[u32]| Task {
        name: name.into(),
        work: command(),
        once: false,
        after: after.to_vec(),
        policy: policy.clone(),
    };
    let place = Place { name: "app".into(), dir: "/app".into(), after: Vec::new() };
    let tasks = vec![task("build", &[]), task("test", &[0])];
    Machine::new(Plan { tasks, repos: vec![place], parallel: 4, fail_fast: false, time_limit: None }, 7).unwrap()
}

#[test]
fn a_failure_is_tried_again_and_then_skips_what_waits_for_it() {
    let mut machine = two(&Policy { attempts: 2, ..Policy::default() });
    machine.start(0, at(0));
    let facts = machine.ended(0, 1, Ending::of(Outcome::Failed), at(10));
    assert!(matches!(&facts[..], [Fact::Ended { again: Some(_), .. }]));
    let due = machine.wake().unwrap();
    assert!(startable(&machine, at(10)).next().is_none() && startable(&machine, due).next() == Some(0));
    machine.start(0, due);
    let facts = machine.ended(0, 2, Ending::because(Outcome::Failed, "exit code 1: no"), at(5_000));
    assert!(matches!(
        &facts[..],
        [Fact::Ended { again: None, .. }, Fact::Dropped { step: 1, .. }, Fact::Finished { .. }]
    ));
    let Some(Fact::Finished { error, .. }) = facts.last() else { unreachable!() };
    assert_eq!(error.as_deref(), Some("1 failed, 1 skipped of 2 steps; build in app: exit code 1: no"));
    assert_eq!(machine.status(), Status::Failed);
    machine.retry(at(6_000)).unwrap();
    assert_eq!(startable(&machine, at(6_000)).collect::<Vec<_>>(), [0]);
    machine.start(0, at(6_000));
    let facts = machine.ended(0, 3, Ending::of(Outcome::Failed), at(6_001));
    assert!(matches!(&facts[..], [Fact::Ended { again: Some(_), .. }]), "earlier attempts are forgiven");
}

#[test]
fn a_cancelled_workflow_ends_when_its_last_step_has_stopped() {
    let mut machine = two(&Policy::default());
    machine.start(0, at(0));
    machine.cancel("me", at(1));
    assert!(machine.is_stopping() && !machine.status().is_final());
    assert!(machine.cancel("me", at(2)).is_empty());
    machine.ended(0, 1, Ending::of(Outcome::Cancelled), at(3));
    assert_eq!(machine.status(), Status::Cancelled);
}

#[test]
fn a_step_that_a_stop_ended_runs_again_and_the_attempt_does_not_count() {
    let mut machine = two(&Policy::default());
    machine.start(0, at(0));
    let ended = |exit_code| Ending { exit_code, ..Ending::of(Outcome::Cancelled) };
    let facts = machine.interrupted(0, 1, ended(Some(143)), at(5));
    assert!(matches!(&facts[..], [Fact::Interrupted { step: 0, attempt: 1, .. }]), "{facts:?}");
    assert_eq!(machine.startable(Room::Here, at(5)).collect::<Vec<_>>(), [0]);
    machine.start(0, at(6));
    assert_eq!((machine.steps()[0].attempt, machine.steps()[0].forgiven), (2, 1));
    let facts = machine.interrupted(0, 2, Ending::of(Outcome::Succeeded), at(7));
    assert!(matches!(&facts[..], [Fact::Ended { .. }]), "it was faster than the stop: {facts:?}");
    let mut machine = two(&Policy { on_unknown: OnUnknown::Fail, ..Policy::default() });
    machine.start(0, at(0));
    machine.interrupted(0, 1, ended(Some(143)), at(5));
    assert_eq!(machine.status(), Status::Failed);
}

#[test]
fn a_step_that_may_have_finished_is_asked_about() {
    let mut machine = two(&Policy::default());
    machine.start(0, at(0));
    machine.lost(at(1), |_| false);
    assert_eq!((machine.count(StepState::Unknown), machine.status()), (1, Status::Running));
    assert!(machine.settle(1, Decision::Done, "me", at(2)).unwrap_err().message().contains("waiting"));
    machine.settle(0, Decision::Done, "me", at(2)).unwrap();
    assert_eq!(startable(&machine, at(2)).collect::<Vec<_>>(), [1]);
}
