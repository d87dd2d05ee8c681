//! Short lives of pools under a driver that breaks, dawdles and answers late. Whatever happens: no more workers than allowed,
//! every task ends exactly once, nobody does two things at once, and a closed pool leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Lives in a run of the tests.
const LIVES: u64 = 10_000;

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        (!among.is_empty()).then(|| among[usize::try_from(self.below(among.len() as u64)).unwrap()])
    }
}

/// What a driver knows.
#[derive(Default)]
struct Driven {
    starting: BTreeSet<WorkerId>,
    present: BTreeSet<WorkerId>,
    leaving: BTreeSet<WorkerId>,
    busy: BTreeMap<WorkerId, TaskId>,
    open: BTreeSet<TaskId>,
    ended: BTreeSet<TaskId>,
    stopped: BTreeSet<TaskId>,
    closed: bool,
}

impl Driven {
    fn act(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            assert!(!self.closed, "something is done after the end: {deed:?}");
            match deed {
                Deed::Hire { worker } => assert!(self.starting.insert(worker)),
                Deed::Assign { worker, task } => {
                    assert!(self.present.contains(&worker), "a task for worker {worker}, who is not there");
                    assert!(self.open.contains(&task), "task {task} has ended or was never given");
                    assert!(!self.busy.values().any(|busy| *busy == task), "task {task} is given twice");
                    assert!(self.busy.insert(worker, task).is_none(), "worker {worker} does two things");
                }
                Deed::Stop { task } => {
                    assert!(self.busy.values().any(|busy| *busy == task));
                    self.stopped.insert(task);
                }
                Deed::Dismiss { worker } => {
                    assert!(!self.busy.contains_key(&worker), "worker {worker} is let go at work");
                    assert!(self.present.remove(&worker));
                    self.leaving.insert(worker);
                }
                Deed::Refuse { task, .. } => self.end(task),
                Deed::Closed => self.closed = true,
            }
        }
    }

    fn end(&mut self, task: TaskId) {
        assert!(self.open.remove(&task), "task {task} ends that was not open");
        assert!(self.ended.insert(task), "task {task} ends twice");
    }

    fn lose(&mut self, worker: WorkerId) {
        self.starting.remove(&worker);
        self.present.remove(&worker);
        self.busy.remove(&worker);
    }
}

fn check(machine: &Machine, driven: &Driven, highest: usize, seed: u64) {
    let held = driven.starting.len() + driven.present.len() + driven.leaving.len();
    assert_eq!(machine.workers().len(), held, "seed {seed}");
    assert!(held <= highest, "seed {seed}: {held} workers, {highest} are allowed");
    assert!(machine.waiting() <= machine.limits().queue, "seed {seed}");
    assert_eq!(machine.waiting() + machine.busy(), driven.open.len(), "seed {seed}: a task is lost");
    let idle = driven.present.iter().any(|worker| !driven.busy.contains_key(worker));
    let few = driven.present.len() + driven.starting.len() <= machine.limits().max as usize;
    assert!(!(idle && few && machine.waiting() > 0), "seed {seed}: someone idles while tasks wait");
}

fn live(seed: u64) {
    let mut chance = Chance(seed);
    let max = u32::try_from(1 + chance.below(5)).unwrap();
    let limits = Limits {
        min: u32::try_from(chance.below(u64::from(max) + 1)).unwrap(),
        max,
        queue: usize::try_from(1 + chance.below(8)).unwrap(),
        idle: Duration::from_secs(chance.below(30)),
        selector: [Selector::RoundRobin, Selector::LeastLoaded, Selector::Random, Selector::Affinity]
            [usize::try_from(chance.below(4)).unwrap()],
        max_usd: None,
        max_tokens: chance.one_in(3).then(|| chance.below(200)),
    };
    let breaks = if chance.one_in(3) { 3 } else { 50 };
    let mut machine = Machine::new(limits, seed);
    let (mut driven, mut now, mut next) = (Driven::default(), Duration::ZERO, 0);
    // Workers from before scaling down are held until they are done.
    let mut highest = max as usize;
    let deeds = machine.apply(Word::Tick, now);
    driven.act(deeds);
    for step in 0..80 {
        now += Duration::from_millis(chance.below(2000));
        let closing = step > 60;
        let starting: Vec<WorkerId> = driven.starting.iter().copied().collect();
        let leaving: Vec<WorkerId> = driven.leaving.iter().copied().collect();
        let busy: Vec<(WorkerId, TaskId)> = driven.busy.iter().map(|(worker, task)| (*worker, *task)).collect();
        let word = match chance.below(if closing { 6 } else { 12 }) {
            0 => chance.pick(&starting).map(|worker| match chance.one_in(breaks) {
                true => {
                    driven.lose(worker);
                    Word::Lost { worker, why: "broken".into() }
                }
                false => {
                    driven.starting.remove(&worker);
                    driven.present.insert(worker);
                    Word::Ready { worker }
                }
            }),
            1 | 2 => chance.pick(&busy).map(|(worker, task)| {
                if chance.one_in(breaks) {
                    driven.lose(worker);
                    return Word::Lost { worker, why: "broken".into() };
                }
                driven.busy.remove(&worker);
                driven.end(task);
                let spent = Spent { usd: 0.0, tokens: chance.below(10) };
                Word::Finished { worker, task, crashed: chance.one_in(breaks), spent }
            }),
            3 => chance.pick(&leaving).map(|worker| {
                driven.leaving.remove(&worker);
                Word::Gone { worker }
            }),
            4 => Some(Word::Tick),
            5 if closing => Some(Word::Close { now: chance.one_in(2) }),
            5 if chance.one_in(10) => {
                let max = u32::try_from(chance.below(6)).unwrap();
                highest = highest.max(max as usize);
                Some(Word::Scale { min: u32::try_from(chance.below(6)).unwrap(), max })
            }
            6 => {
                let open: Vec<TaskId> = driven.open.iter().copied().collect();
                chance.pick(&open).filter(|_| chance.one_in(3)).map(|task| Word::Withdraw { task })
            }
            _ => {
                next += 1;
                driven.open.insert(next);
                Some(Word::Submit { task: next, key: chance.one_in(2).then(|| chance.below(3).to_string()) })
            }
        };
        if let Some(word) = word {
            let deeds = machine.apply(word, now);
            driven.act(deeds);
            check(&machine, &driven, highest, seed);
        }
    }
    end_of_life(&mut machine, &mut driven, now, seed);
}

/// Whatever state it is in, closing it comes to an end when workers answer at all.
fn end_of_life(machine: &mut Machine, driven: &mut Driven, mut now: Duration, seed: u64) {
    if !driven.closed {
        let deeds = machine.apply(Word::Close { now: seed.is_multiple_of(2) }, now);
        driven.act(deeds);
    }
    for _ in 0..1000 {
        if driven.closed {
            break;
        }
        now += Duration::from_secs(1);
        let word = if let Some(worker) = driven.starting.pop_first() {
            driven.present.insert(worker);
            Word::Ready { worker }
        } else if let Some((worker, task)) = driven.busy.pop_first() {
            driven.end(task);
            Word::Finished { worker, task, crashed: false, spent: Spent::default() }
        } else if let Some(worker) = driven.leaving.pop_first() {
            Word::Gone { worker }
        } else {
            assert!(machine.wake().is_some(), "seed {seed}: it waits for nothing");
            Word::Tick
        };
        let deeds = machine.apply(word, now);
        driven.act(deeds);
    }
    assert!(driven.closed && machine.life() == Life::Closed, "seed {seed}: it does not come to an end");
    assert!(driven.open.is_empty() && machine.workers().is_empty(), "seed {seed}");
}

#[test]
fn pools_keep_their_promises_through_ten_thousand_short_lives() {
    let given = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = given.map_or(1..=LIVES, |seed| seed..=seed);
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "run again with TESTKIT_SEED={seed}");
    }
}

fn limits(min: u32, max: u32) -> Limits {
    Limits {
        min,
        max,
        queue: 10,
        idle: Duration::from_secs(60),
        selector: Selector::LeastLoaded,
        max_usd: None,
        max_tokens: None,
    }
}

#[test]
fn a_pool_grows_with_its_work_and_shrinks_after_a_rest() {
    let mut machine = Machine::new(limits(1, 3), 1);
    let at = Duration::from_secs;
    assert_eq!(machine.apply(Word::Tick, at(0)), [Deed::Hire { worker: 1 }]);
    machine.apply(Word::Ready { worker: 1 }, at(0));
    assert_eq!(machine.apply(Word::Submit { task: 1, key: None }, at(1)), [Deed::Assign { worker: 1, task: 1 }]);
    assert_eq!(machine.apply(Word::Submit { task: 2, key: None }, at(1)), [Deed::Hire { worker: 2 }]);
    assert_eq!(machine.apply(Word::Ready { worker: 2 }, at(1)), [Deed::Assign { worker: 2, task: 2 }]);
    let done = |worker, task| Word::Finished { worker, task, crashed: false, spent: Spent::default() };
    assert_eq!(machine.apply(done(1, 1), at(2)), []);
    assert_eq!(machine.apply(done(2, 2), at(2)), []);
    assert_eq!(machine.wake(), Some(at(62)));
    assert_eq!(machine.apply(Word::Tick, at(61)), []);
    assert_eq!(machine.apply(Word::Tick, at(62)), [Deed::Dismiss { worker: 2 }]);
}

#[test]
fn workers_that_cannot_be_had_are_tried_more_and_more_rarely_and_waiting_tasks_are_told() {
    let mut machine = Machine::new(limits(0, 2), 1);
    let (mut now, mut tries) = (Duration::ZERO, 0);
    machine.apply(Word::Submit { task: 1, key: None }, now);
    let refused = loop {
        tries += 1;
        let deeds = machine.apply(Word::Lost { worker: tries, why: "no program claude".into() }, now);
        if let Some(Deed::Refuse { why, .. }) = deeds.first() {
            break why.clone();
        }
        now = machine.wake().unwrap();
        assert!(machine.apply(Word::Tick, now).iter().any(|deed| matches!(deed, Deed::Hire { .. })));
    };
    assert_eq!((refused.as_str(), tries), ("no worker can be had: no program claude", 3));
    assert_eq!(now, Duration::from_secs(3));
}

#[test]
fn a_used_up_budget_stops_what_waits_and_what_comes() {
    let mut machine = Machine::new(Limits { max_tokens: Some(100), ..limits(1, 1) }, 1);
    let now = Duration::ZERO;
    machine.apply(Word::Tick, now);
    machine.apply(Word::Ready { worker: 1 }, now);
    machine.apply(Word::Submit { task: 1, key: None }, now);
    machine.apply(Word::Submit { task: 2, key: None }, now);
    let spent = Spent { usd: 0.0, tokens: 101 };
    let deeds = machine.apply(Word::Finished { worker: 1, task: 1, crashed: false, spent }, now);
    assert!(matches!(&deeds[..], [Deed::Refuse { task: 2, why }] if why.contains("101 of 100 tokens")), "{deeds:?}");
    let deeds = machine.apply(Word::Submit { task: 3, key: None }, now);
    assert!(matches!(&deeds[..], [Deed::Refuse { task: 3, .. }]));
}
