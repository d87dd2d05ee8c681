//! A simulation of whole lives of workflows: random plans, random ends, kills at any moment, clocks that are set. Each seed is
//! one life; a failing one names its seed.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::workflows::plan::{Place, Policy, Task};

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000).plus(Duration::from_millis(millis))
}

fn command() -> Work {
    Work::Command { argv: vec!["true".into()], env: BTreeMap::new() }
}

fn random_plan(dice: &mut Dice) -> Plan {
    let repos = (0..1 + dice.below(5)).map(|n| {
        let n = u32::try_from(n).unwrap();
        let after = (0..n).filter(|_| dice.hits(25)).collect();
        Place { name: format!("r{n}"), dir: format!("/r{n}").into(), after }
    });
    let repos: Vec<Place> = repos.collect();
    let tasks = (0..1 + dice.below(4)).map(|n| {
        let n = u32::try_from(n).unwrap();
        let adapter = Work::Adapter { adapter: "fake".into(), target: "t".into(), parameters: serde_json::Value::Null };
        let work = match dice.below(8) {
            0 => Work::Approval { question: "go on?".into() },
            1 => adapter,
            _ => command(),
        };
        let policy = Policy {
            attempts: 1 + u32::try_from(dice.below(3)).unwrap(),
            backoff: 0.5,
            on_unknown: dice.pick(&[OnUnknown::Ask, OnUnknown::Retry, OnUnknown::Fail]),
            ..Policy::default()
        };
        Task {
            name: format!("t{n}"),
            work,
            once: dice.hits(20),
            after: (0..n).filter(|_| dice.hits(40)).collect(),
            policy,
        }
    });
    Plan {
        tasks: tasks.collect(),
        repos,
        parallel: 1 + u32::try_from(dice.below(4)).unwrap(),
        fail_fast: dice.hits(15),
        time_limit: dice.hits(10).then_some(20.0),
    }
}

/// When a step that waits may begin again, in milliseconds that have passed.
struct Wait {
    /// Not before; unknown when time leapt forward while nobody looked.
    from: Option<u64>,
    /// By then it may.
    by: u64,
    whole: u64,
}

/// The world around a machine: a journal that survives, attempts that run, and two clocks.
struct Life {
    dice: Dice,
    machine: Machine,
    plan: Plan,
    journal: Vec<(Timestamp, Fact)>,
    /// Attempts at work, local ones and those of another engine.
    at_work: BTreeSet<(StepIndex, u32)>,
    /// What has passed.
    millis: u64,
    /// How far the clock on the wall is from that, in milliseconds.
    skew: i64,
    succeeded: BTreeSet<StepIndex>,
    waits: BTreeMap<StepIndex, Wait>,
    /// Since when its time limit counts; the first is nothing when time leapt while nobody looked.
    limit_from: Option<(Option<u64>, u64)>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let plan = random_plan(&mut dice);
        let machine = Machine::new(plan.clone(), seed).unwrap();
        let (journal, at_work) = (Vec::new(), BTreeSet::new());
        Self {
            dice,
            machine,
            plan,
            journal,
            at_work,
            millis: 0,
            skew: 0,
            succeeded: BTreeSet::new(),
            waits: BTreeMap::new(),
            limit_from: None,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(at(self.millis).as_micros() + self.skew * 1000)
    }

    /// Somebody sets the clock by up to two hours, or the machine sleeps.
    fn set_clock(&mut self) -> i64 {
        let by = i64::try_from(self.dice.below(14_400_000)).unwrap() - 7_200_000;
        self.skew += by;
        by * 1000
    }

    /// Time leapt while nobody looked: how long something has waited cannot be told any more, but no wait is longer than it
    /// was from its beginning.
    fn nobody_looked(&mut self) {
        for wait in self.waits.values_mut() {
            (wait.from, wait.by) = (None, wait.by.max(self.millis + wait.whole));
        }
        if let Some((from, by)) = &mut self.limit_from {
            (*from, *by) = (None, (*by).max(self.millis));
        }
    }

    /// Writes facts, or is killed just before. Gives whether they are true.
    fn commit(&mut self, facts: Vec<Fact>) -> bool {
        if self.dice.hits(2) {
            self.kill();
            return false;
        }
        let now = self.now();
        for fact in facts {
            if let Fact::Ended { step, ending, again: None, .. } = &fact
                && ending.outcome == Outcome::Succeeded
            {
                self.succeeded.insert(*step);
            }
            if let Fact::Settled { step, decision: Decision::Done, .. } = &fact {
                self.succeeded.insert(*step);
            }
            match &fact {
                Fact::Ended { step, again: Some(again), .. } => {
                    let whole = u64::try_from(again.since(now).as_millis()).unwrap();
                    let wait = Wait { from: Some(self.millis + whole), by: self.millis + whole + 1, whole: whole + 1 };
                    self.waits.insert(*step, wait);
                }
                Fact::Started { .. } | Fact::Asked { .. } if self.limit_from.is_none() => {
                    self.limit_from = Some((Some(self.millis), self.millis));
                }
                Fact::Reopened { .. } => self.limit_from = None,
                _ => {}
            }
            self.journal.push((now, fact));
        }
        true
    }

    fn replayed(&self) -> Machine {
        let mut machine = Machine::new(self.plan.clone(), self.machine.seed).unwrap();
        for (at, fact) in &self.journal {
            machine.apply(fact, *at);
        }
        machine
    }

    /// The engine dies: local attempts die with it, those of another engine go on.
    fn kill(&mut self) {
        self.machine = self.replayed();
        let other = |step: StepIndex| {
            let cell = &self.machine.graph().cells[step as usize];
            self.machine.plan().task(cell).work.can_be_attached()
        };
        let remote: BTreeSet<(StepIndex, u32)> = self
            .machine
            .running()
            .filter(|step| other(*step))
            .map(|step| (step, self.machine.steps()[step as usize].attempt))
            .collect();
        self.at_work = remote;
        if self.dice.hits(20) {
            self.set_clock();
            self.nobody_looked();
        }
        let now = self.now();
        let mut facts = self.machine.adopted(now);
        facts.extend(self.machine.lost(now, |_| false));
        // A second kill at this point is tried too: what was not written is simply found again.
        self.commit(facts);
    }

    fn start(&mut self) {
        let now = self.now();
        let steps: Vec<StepIndex> = startable(&self.machine, now).take(self.machine.room()).collect();
        for step in steps {
            assert!(!self.succeeded.contains(&step), "a finished step began again");
            if self.machine.steps()[step as usize].state == StepState::Delayed {
                let early = self.waits.get(&step).and_then(|wait| wait.from).is_some_and(|from| self.millis < from);
                assert!(!early, "begun before its wait was over");
            }
            for need in &self.machine.graph().needs[step as usize] {
                assert_eq!(
                    self.machine.steps()[*need as usize].state,
                    StepState::Completed,
                    "begun before what it needs"
                );
            }
            let fact = self.machine.start(step, now);
            let attempt = self.machine.steps()[step as usize].attempt;
            if !self.commit(vec![fact.clone()]) {
                return;
            }
            if let Fact::Started { .. } = fact {
                assert!(!self.at_work.iter().any(|(other, _)| *other == step), "two attempts of one step at once");
                self.at_work.insert((step, attempt));
            }
        }
        assert!(self.machine.running.len() <= self.plan.parallel as usize, "more at once than the plan allows");
    }

    fn end_one(&mut self) {
        let open: Vec<(StepIndex, u32)> = self.at_work.iter().copied().collect();
        if open.is_empty() {
            return;
        }
        let (step, attempt) = self.dice.pick(&open);
        let outcome = match self.dice.below(10) {
            _ if self.machine.is_stopping() => Outcome::Cancelled,
            0 => Outcome::Failed,
            1 => Outcome::TimedOut,
            2 => Outcome::Crashed,
            _ => Outcome::Succeeded,
        };
        let now = self.now();
        let facts = self.machine.ended(step, attempt, Ending::of(outcome), now);
        assert!(!facts.is_empty(), "the end of an attempt at work changes nothing");
        self.at_work.remove(&(step, attempt));
        let repeated = self.machine.ended(step, attempt, Ending::of(Outcome::Failed), now);
        assert!(repeated.is_empty(), "an attempt ended twice");
        self.commit(facts);
    }

    /// The engine ends in good order: what runs here is ended and written, what another engine runs goes on.
    fn stop(&mut self) {
        let here: Vec<(StepIndex, u32)> = self.at_work.iter().copied().collect();
        for (step, attempt) in here {
            if self.machine.plan().task(&self.machine.graph().cells[step as usize]).work.can_be_attached() {
                continue;
            }
            let exit_code = self.dice.pick(&[Some(143), Some(0), None]);
            let ending = Ending { exit_code, ..Ending::of(Outcome::Cancelled) };
            let now = self.now();
            let facts = self.machine.interrupted(step, attempt, ending, now);
            assert!(!facts.is_empty(), "the end of an attempt at work changes nothing");
            self.at_work.remove(&(step, attempt));
            if !self.commit(facts) {
                return;
            }
        }
    }

    fn decide(&mut self) {
        let now = self.now();
        for step in 0..u32::try_from(self.machine.steps().len()).unwrap() {
            let facts = match self.machine.steps()[step as usize].state {
                StepState::Asking => {
                    let yes = self.dice.hits(80);
                    self.machine.answer(step, yes, "someone", now).unwrap()
                }
                StepState::Unknown => {
                    let decision = self.dice.pick(&[Decision::Retry, Decision::Done, Decision::Failed]);
                    self.machine.settle(step, decision, "someone", now).unwrap()
                }
                _ => continue,
            };
            if !self.commit(facts) {
                return;
            }
        }
    }

    fn turn(&mut self) {
        self.millis += self.dice.below(400);
        let now = self.now();
        let facts = self.machine.tick(now);
        if !self.commit(facts) {
            return;
        }
        self.check_times();
        if self.dice.hits(2) {
            let by = self.set_clock();
            let now = self.now();
            let facts = self.machine.clock_set(by, now);
            if self.dice.hits(10) {
                // Killed between the leap and the word of it.
                self.nobody_looked();
                self.kill();
            } else if !self.commit(facts) {
                self.nobody_looked();
            }
            return;
        }
        let now = self.now();
        match self.dice.below(100) {
            0 => {
                let facts = self.machine.cancel("someone", now);
                self.commit(facts);
            }
            1..=3 => self.kill(),
            4..=14 => self.decide(),
            15 => self.stop(),
            16..=60 => self.start(),
            _ => self.end_one(),
        }
        if !self.machine.status().is_final() {
            return;
        }
        assert!(self.at_work.is_empty(), "ended while something is at work");
    }

    /// Nothing waits for longer than it had to, no limit comes early or late, nothing took less than no time.
    fn check_times(&self) {
        let now = self.now();
        let open = !(self.machine.status().is_final() || self.machine.is_stopping());
        let startable: BTreeSet<StepIndex> = startable(&self.machine, now).collect();
        for (step, row) in (0_u32..).zip(self.machine.steps()) {
            if open && row.state == StepState::Delayed && self.millis > self.waits[&step].by {
                assert!(startable.contains(&step), "it waits for ever: until {:?}, now {now}", row.until);
            }
            if let (Some(began), Some(ended)) = (row.started_at, row.ended_at) {
                assert!(began <= ended, "it ended before it began: {row:?}");
            }
        }
        if let (Some((from, by)), Some(limit)) = (self.limit_from, self.plan.time_limit.map(seconds)) {
            let limit = u64::try_from(limit.as_millis()).unwrap();
            assert!(!open || self.millis <= by + limit, "its time is over and nobody says so");
            let early = from.is_some_and(|from| self.millis < from + limit);
            assert!(!(early && self.machine.out_of_time), "its time is not over yet");
        }
    }

    fn check(&self) {
        let again = self.replayed();
        assert_eq!(again.steps, self.machine.steps, "the journal tells something else");
        assert_eq!(again.standing(), self.machine.standing());
        assert_eq!(again.open_needs, self.machine.open_needs);
        assert_eq!(
            (&again.ready, &again.delayed, &again.running, &again.coded),
            (&self.machine.ready, &self.machine.delayed, &self.machine.running, &self.machine.coded)
        );
        let code = |step: &Step| step.ending.as_ref().and_then(|ending| ending.exit_code);
        let bad = self.machine.steps.iter().filter(|step| step.state != StepState::Completed).find_map(code);
        assert_eq!(self.machine.exit_code(), bad.or((self.machine.status == Status::Completed).then_some(0)));
        assert_eq!(again.counts, self.machine.counts);
        let rows = (0_u32..).zip(self.machine.steps.clone()).filter(|(_, step)| *step != Step::default());
        let restored = Machine::restore(self.plan.clone(), self.machine.seed, rows, self.machine.standing()).unwrap();
        assert_eq!(
            (&restored.ready, &restored.open_needs),
            (&again.ready, &again.open_needs),
            "rows tell something else"
        );
    }
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    for turn in 0.. {
        assert!(turn < 20_000, "it never ends: {:?}", life.machine.counts);
        life.turn();
        if turn % 16 == 0 {
            life.check();
        }
        if life.machine.status().is_final() {
            if life.dice.hits(30) && life.machine.status() != Status::Completed {
                let now = life.now();
                let facts = life.machine.retry(now).unwrap();
                life.commit(facts);
                continue;
            }
            break;
        }
    }
    life.check();
    let machine = &life.machine;
    let all_well = machine.steps.iter().all(|step| step.state == StepState::Completed);
    assert_eq!(machine.status() == Status::Completed, all_well);
    assert!(machine.steps.iter().all(|step| step.state.is_final()));
}

#[test]
fn ten_thousand_lives_with_kills_at_any_moment_keep_every_promise() {
    let first: u64 = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in first..first + 10_000 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} (run it alone with TESTKIT_SEED={seed})");
    }
}

fn startable(machine: &Machine, now: Timestamp) -> impl Iterator<Item = StepIndex> + '_ {
    Room::ALL.into_iter().flat_map(move |room| machine.startable(room, now))
}
