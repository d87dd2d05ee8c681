//! Runs of engines that vanish, are slow, fail, talk nonsense and lie, by the thousand.

use super::*;

/// Numbers by chance that are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What is really the case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    NotBegun,
    Waiting,
    Running,
    Over(Outcome),
    /// It died with the engine, which goes on saying that it runs.
    Dead,
}

struct Engine {
    dice: Dice,
    truth: Truth,
    /// When it ends by itself.
    until: Duration,
    /// Until when the engine does not answer.
    away: Duration,
    stops: bool,
    stopping: Option<Duration>,
    forgets: bool,
    refuses: bool,
    begins: u32,
    sign: u64,
}

impl Engine {
    fn new(mut dice: Dice) -> Self {
        let until = BEGUN + secs(dice.below(900));
        let (stops, forgets, refuses) = (dice.hits(80), dice.hits(5), dice.hits(5));
        Self {
            dice,
            truth: Truth::NotBegun,
            until,
            away: Duration::ZERO,
            stops,
            stopping: None,
            forgets,
            refuses,
            begins: 0,
            sign: 0,
        }
    }

    fn live(&mut self, now: Duration) {
        match self.truth {
            Truth::Waiting if self.dice.hits(40) => self.truth = Truth::Running,
            Truth::Running if self.dice.hits(1) && self.dice.hits(30) => self.truth = Truth::Dead,
            _ => {}
        }
        if self.truth == Truth::Running && self.dice.hits(20) {
            self.sign += 1;
        }
        let at_work = matches!(self.truth, Truth::Waiting | Truth::Running);
        if at_work && self.stopping.is_some_and(|at| now >= at) {
            self.truth = Truth::Over(Outcome::Cancelled);
        } else if self.truth == Truth::Running && now >= self.until {
            let all = [Outcome::Succeeded, Outcome::Failed, Outcome::Crashed, Outcome::Cancelled];
            self.truth = Truth::Over(all[self.dice.below(4) as usize]);
        }
        if self.dice.hits(1) {
            self.away = now + secs(self.dice.below(200));
        }
    }

    /// An answer that is none; the second says whether the question was heard.
    fn mishap(&mut self, now: Duration) -> Option<(Trouble, bool)> {
        if now < self.away {
            return Some((Trouble::Unreachable("away".into()), false));
        }
        match self.dice.below(100) {
            0 => Some((Trouble::Silent("slow".into()), self.dice.hits(50))),
            1 => Some((Trouble::Broken("500".into()), self.dice.hits(50))),
            2 => Some((Trouble::Broken("<html>".into()), self.dice.hits(50))),
            3 => Some((Trouble::Busy("503".into(), Some(secs(self.dice.below(20)))), false)),
            _ => None,
        }
    }

    fn begin(&mut self, now: Duration) -> Result<(), Trouble> {
        let mishap = self.mishap(now);
        if mishap.as_ref().is_none_or(|(_, heard)| *heard) && !self.refuses && self.truth == Truth::NotBegun {
            self.truth = Truth::Waiting;
            self.begins += 1;
        }
        match mishap {
            Some((trouble, _)) => Err(trouble),
            None if self.refuses => Err(Trouble::Refused("no such thing".into())),
            None => Ok(()),
        }
    }

    fn look(&mut self, now: Duration) -> Result<Seen, Trouble> {
        if let Some((trouble, _)) = self.mishap(now) {
            return Err(trouble);
        }
        Ok(match self.truth {
            _ if self.forgets && self.dice.hits(30) => Seen::Missing,
            Truth::NotBegun => Seen::Missing,
            Truth::Waiting => Seen::Waiting("Late".into()),
            Truth::Running | Truth::Dead => Seen::Working { sign: self.sign, doubt: None },
            Truth::Over(outcome) => Seen::Ended { outcome, note: Some("so".into()), result: None },
        })
    }

    fn cancel(&mut self, now: Duration) -> Result<(), Trouble> {
        if let Some((trouble, _)) = self.mishap(now) {
            return Err(trouble);
        }
        if self.stops && self.stopping.is_none() {
            self.stopping = Some(now + secs(self.dice.below(30)));
        }
        if matches!(self.truth, Truth::Over(_)) { Err(Trouble::Refused("it has ended".into())) } else { Ok(()) }
    }
}

/// What the clock says at first.
const BEGUN: Duration = Duration::from_secs(1000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules(limit: Option<Duration>) -> Rules {
    Rules {
        name: "Engine",
        poll: secs(2),
        rare: secs(20),
        liveness: Some(secs(600)),
        doubt: secs(120),
        patience: secs(300),
        beginning: secs(30),
        cancelling: secs(60),
        limit,
    }
}

fn live(seed: u64) {
    let mut dice = Dice(seed);
    let limit = dice.hits(30).then(|| secs(1 + dice.below(600)));
    let stop_at = dice.hits(30).then(|| secs(dice.below(600)));
    let mut engine = Engine::new(Dice(seed ^ 0xabcd));
    let mut now = BEGUN;
    let mut watch = Watch::new(rules(limit), false, now);
    let (mut asked, mut cancelled_at) = (0_u64, None);
    let begun = now;
    let ending = loop {
        assert!(now < begun + secs(3600), "it never ends: {watch:?} {:?}", engine.truth);
        engine.live(now);
        // Hints come as they like, true ones and others; they change nothing but when it is asked.
        if engine.dice.hits(10) {
            let listening = engine.dice.hits(70);
            watch.listening(listening, now);
        }
        if engine.dice.hits(20) {
            watch.hinted(now);
        }
        let stop = stop_at.is_some_and(|at| now >= begun + at);
        asked += 1;
        match watch.next(now, stop) {
            Move::Begin => watch.begun(engine.begin(now), now),
            Move::Find => {
                let found = match engine.mishap(now) {
                    Some((trouble, _)) => Err(trouble),
                    None => Ok(engine.truth != Truth::NotBegun),
                };
                watch.found(found, now);
            }
            Move::Look => {
                // A cold restart of whoever watches changes nothing but what it knew of time.
                if engine.dice.hits(1) {
                    watch = Watch::new(rules(limit), true, now);
                    cancelled_at = None;
                }
                watch.seen(engine.look(now), now);
            }
            Move::Cancel => {
                let gap = cancelled_at.map_or(Duration::MAX, |at| now.saturating_sub(at));
                assert!(gap >= AGAIN, "asked to stop again after {gap:?}");
                cancelled_at = Some(now);
                watch.cancelled(engine.cancel(now), now);
            }
            Move::Wait(wait) => {
                assert!(wait <= LONGEST && !wait.is_zero());
                asked -= 1;
                now += wait;
            }
            Move::End(ending) => break ending,
        }
    };
    let elapsed = (now - begun).as_secs();
    assert!(asked <= elapsed * 3 + 40, "{asked} questions in {elapsed} s");
    let note = ending.note.clone().unwrap_or_default();
    match ending.outcome {
        Outcome::Succeeded => assert_eq!(engine.truth, Truth::Over(Outcome::Succeeded)),
        Outcome::Failed => assert!(engine.refuses || engine.truth == Truth::Over(Outcome::Failed), "{ending:?}"),
        // What is called stopped has stopped, or never was.
        Outcome::Cancelled => assert!(
            matches!(engine.truth, Truth::Over(Outcome::Cancelled) | Truth::NotBegun),
            "{:?} {ending:?}",
            engine.truth
        ),
        Outcome::Crashed => assert!(!note.is_empty()),
        Outcome::TimedOut => {
            let stopped = matches!(engine.truth, Truth::Over(Outcome::Cancelled) | Truth::NotBegun);
            assert!(stopped || note.contains("did not confirm"), "{:?} {note}", engine.truth);
        }
    }
    assert!(engine.begins <= 1);
    assert_eq!(watch.next(now, true), Move::End(ending), "an end stays an end");
}

#[test]
fn ten_thousand_runs_of_engines_that_vanish_fail_and_lie_end_and_are_told_truly() {
    let first: u64 = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in first..first + 10_000 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} (run it alone with TESTKIT_SEED={seed})");
    }
}

/// Watches until the end, with an engine that always says the same.
fn follow(
    watch: &mut Watch,
    mut now: Duration,
    answer: impl Fn(Duration) -> Result<Seen, Trouble>,
) -> (Ending, Duration) {
    loop {
        match watch.next(now, false) {
            Move::Look => watch.seen(answer(now), now),
            Move::Cancel => watch.cancelled(Ok(()), now),
            Move::Wait(wait) => now += wait,
            Move::End(ending) => return (ending, now),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_run_that_says_for_ever_that_it_runs_is_stopped_and_called_crashed() {
    let mut watch = Watch::new(rules(None), true, secs(0));
    let (ending, at) = follow(&mut watch, secs(0), |_| Ok(Seen::Working { sign: 1, doubt: None }));
    assert_eq!(ending.outcome, Outcome::Crashed);
    let note = ending.note.unwrap();
    assert!(note.contains("nothing was heard of it for 600 s") && note.contains("did not confirm"), "{note}");
    assert!(at >= secs(660) && at < secs(700), "{at:?}");
}

#[test]
fn doubt_shortens_the_wait_for_a_sign_of_life() {
    let doubt = Some("the server was started anew meanwhile".to_owned());
    let mut watch = Watch::new(rules(None), true, secs(0));
    let (ending, at) = follow(&mut watch, secs(0), |_| Ok(Seen::Working { sign: 1, doubt: doubt.clone() }));
    assert!(ending.note.unwrap().contains("started anew") && at < secs(200), "{at:?}");
    // An engine that was away and takes the run up again is believed.
    let mut watch = Watch::new(rules(None), true, secs(0));
    let (ending, _) = follow(&mut watch, secs(0), |now| match now.as_secs() {
        0..20 => Ok(Seen::Working { sign: 1, doubt: None }),
        20..40 => Err(Trouble::Unreachable("away".into())),
        40..120 => Ok(Seen::Working { sign: 1, doubt: None }),
        120..400 => Ok(Seen::Working { sign: 2, doubt: None }),
        _ => Ok(Seen::Ended { outcome: Outcome::Succeeded, note: None, result: None }),
    });
    assert_eq!(ending.outcome, Outcome::Succeeded);
}

#[test]
fn an_engine_that_is_away_is_given_up_after_its_time_and_not_before() {
    let mut watch = Watch::new(rules(None), true, secs(0));
    let (ending, at) = follow(&mut watch, secs(0), |_| Err(Trouble::Unreachable("nobody listens".into())));
    assert_eq!(ending.outcome, Outcome::Crashed);
    assert!(ending.note.unwrap().contains("may still be at work") && (300..320).contains(&at.as_secs()));
}

#[test]
fn what_was_never_handed_over_is_cancelled_at_once() {
    let mut watch = Watch::new(rules(None), false, secs(0));
    assert_eq!(watch.next(secs(0), false), Move::Begin);
    watch.begun(Err(Trouble::Unreachable("nobody listens".into())), secs(0));
    assert!(matches!(watch.next(secs(0), true), Move::Wait(_)));
    assert_eq!(watch.next(secs(1), true), Move::Find);
    watch.found(Ok(false), secs(1));
    assert!(matches!(watch.next(secs(1), true), Move::End(Ending { outcome: Outcome::Cancelled, .. })));
}

#[test]
fn an_end_that_comes_while_it_is_stopped_is_told_as_it_is() {
    let mut watch = Watch::new(rules(None), true, secs(0));
    assert_eq!(watch.next(secs(0), true), Move::Cancel);
    watch.cancelled(Err(Trouble::Refused("it has ended".into())), secs(0));
    watch.seen(Ok(Seen::Ended { outcome: Outcome::Succeeded, note: None, result: None }), secs(1));
    assert!(matches!(watch.next(secs(1), true), Move::End(Ending { outcome: Outcome::Succeeded, .. })));
}

/// Looks at a run that changes at `changes` and nowhere else, until after the last change; hints come when `hint` says so.
/// Gives how many looks there were, and how long after each change it was known.
fn observe(watch: &mut Watch, changes: &[u64], hint: impl Fn(&mut Watch, Duration)) -> (usize, Vec<Duration>) {
    let (mut now, mut looks, mut known) = (Duration::ZERO, 0, Vec::new());
    let end = secs(*changes.last().unwrap());
    let state = |now: Duration| changes.iter().filter(|at| now >= secs(**at)).count();
    while known.len() < changes.len() {
        hint(watch, now);
        match watch.next(now, false) {
            Move::Look => {
                looks += 1;
                let at = state(now);
                if at > known.len() {
                    known.push(now - secs(changes[at - 1]));
                }
                watch.seen(Ok(Seen::Working { sign: at as u64, doubt: None }), now);
            }
            Move::Wait(wait) => now += wait.min(Duration::from_millis(50)),
            other => panic!("{other:?}"),
        }
        assert!(now < end + secs(60), "{known:?}");
    }
    (looks, known)
}

#[test]
fn with_hints_a_run_is_looked_at_less_often_and_its_changes_are_known_sooner() {
    let changes = [100, 300, 500];
    let unlimited = Rules { liveness: None, ..rules(None) };
    let mut alone = Watch::new(unlimited.clone(), true, secs(0));
    let (without, late) = observe(&mut alone, &changes, |_, _| {});
    let mut hinted = Watch::new(unlimited, true, secs(0));
    let (with, soon) = observe(&mut hinted, &changes, |watch, now| {
        watch.listening(true, now);
        if changes.iter().any(|at| now == secs(*at)) {
            watch.hinted(now);
        }
    });
    assert!(with * 5 < without, "{with} looks with hints, {without} without");
    assert!(soon.iter().all(|late| *late <= FIRST), "{soon:?}");
    assert!(late.iter().all(|late| *late <= secs(2)) && late.iter().any(|late| *late > FIRST), "{late:?}");
}

#[test]
fn hints_that_are_lost_or_end_or_come_in_floods_cost_nothing_but_time() {
    let changes = [100, 300, 500];
    let unlimited = Rules { liveness: None, ..rules(None) };
    // Promised and never given.
    let mut silent = Watch::new(unlimited.clone(), true, secs(0));
    let (_, known) = observe(&mut silent, &changes, |watch, now| watch.listening(true, now));
    assert!(known.iter().all(|late| *late <= secs(20)), "{known:?}");
    // Given up in the midst: from then on as if there had never been any.
    let mut ended = Watch::new(unlimited.clone(), true, secs(0));
    let (_, known) = observe(&mut ended, &changes, |watch, now| watch.listening(now < secs(299), now));
    assert!(known[1..].iter().all(|late| *late <= secs(2)), "{known:?}");
    // Twenty in a second.
    let mut alone = Watch::new(unlimited.clone(), true, secs(0));
    let (without, _) = observe(&mut alone, &changes, |_, _| {});
    let mut flooded = Watch::new(unlimited, true, secs(0));
    let (with, _) = observe(&mut flooded, &changes, |watch, now| {
        watch.listening(true, now);
        watch.hinted(now);
    });
    assert!(with < without + 40, "{with} looks in a flood of hints, {without} without");
}

#[test]
fn a_hint_does_not_hurry_an_engine_that_asks_for_patience() {
    let mut watch = Watch::new(rules(None), true, secs(0));
    watch.seen(Err(Trouble::Busy("503".into(), Some(secs(60)))), secs(0));
    watch.hinted(secs(1));
    watch.listening(false, secs(1));
    assert!(matches!(watch.next(secs(59), false), Move::Wait(_)));
    assert_eq!(watch.next(secs(60), false), Move::Look);
}
