//! Decides about one run of another engine: what to ask next, when, and what became of it. Does no input or output.
//!
//! An engine may vanish, be slow, fail, answer nonsense, or say for ever that something runs. So nothing is taken for an end
//! but a state that is one; what was asked to stop has stopped only when the engine says so; and each kind of silence has a
//! deadline, after which the run counts as crashed, with the reason.

use std::time::Duration;

use super::{Seen, Trouble};
use crate::workflows::fact::{Ending, Outcome};

/// Time between the first looks; doubled up to [`Rules::poll`].
const FIRST: Duration = Duration::from_millis(200);
/// Time until a question that came to nothing is asked again; doubled up to [`WORST`].
const AGAIN: Duration = Duration::from_millis(500);
/// Longest time until then.
const WORST: Duration = Duration::from_secs(15);
/// Looks in a row that do not find the run before it counts as lost.
const MISSING: u32 = 4;
/// Longest wait at once: deadlines are looked at in between.
const LONGEST: Duration = Duration::from_secs(1);
/// Time until a run that was asked to stop is asked again.
const INSIST: Duration = Duration::from_secs(10);

/// How a run is watched.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The engine's name.
    pub name: &'static str,
    /// Longest time between two looks.
    pub poll: Duration,
    /// The same while the engine gives hints of changes.
    pub rare: Duration,
    /// How long it may be silent while it says that it runs.
    pub liveness: Option<Duration>,
    /// The same, when there is reason to doubt it.
    pub doubt: Duration,
    /// How long no sensible answer may come.
    pub patience: Duration,
    /// The same, until the engine has taken the run.
    pub beginning: Duration,
    /// How long stopping may take.
    pub cancelling: Duration,
    /// Longest time of the run.
    pub limit: Option<Duration>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Begin the run, and tell what came of it by [`Watch::begun`].
    Begin,
    /// Ask whether it was begun, and tell by [`Watch::found`].
    Find,
    /// Ask for its state, and tell by [`Watch::seen`].
    Look,
    /// Ask to stop it, and tell by [`Watch::cancelled`].
    Cancel,
    /// Nothing for so long, or until it is to stop.
    Wait(Duration),
    /// It is over.
    End(Ending),
}

/// Why it is being stopped.
#[derive(Clone, Debug, PartialEq)]
enum Why {
    Asked,
    OutOfTime,
    /// It says that it runs, and does not.
    Dead(String),
}

#[derive(Clone, Debug)]
struct Stopping {
    why: Why,
    since: Duration,
    /// When it was last asked to.
    asked: Option<Duration>,
}

/// One run. Times are those of a monotonic clock.
#[derive(Clone, Debug)]
pub struct Watch {
    rules: Rules,
    begun_at: Duration,
    /// Whether the engine has given it an id.
    has_run: bool,
    /// Whether it may have been begun without an answer.
    perhaps: bool,
    stopping: Option<Stopping>,
    next_at: Duration,
    pace: Duration,
    /// Whether hints would come.
    listening: bool,
    /// When it was last looked at, what was seen, and how long after that a hint is heeded.
    looked: (Duration, Option<Seen>, Duration),
    /// Whether the next look is for a hint.
    hinted: bool,
    /// Since when no sensible answer came, how often, and what came instead.
    bad: Option<(Duration, u32, String)>,
    sign: Option<u64>,
    /// When it last came on.
    alive_at: Duration,
    /// When the doubt that there is began.
    doubt: Option<(Duration, String)>,
    /// Whether the engine was away since the run last came on.
    away: bool,
    missing: u32,
    verdict: Option<Ending>,
}

impl Watch {
    /// A run that is to be begun, or one that has an id already.
    #[must_use]
    pub fn new(rules: Rules, has_run: bool, now: Duration) -> Self {
        Self {
            rules,
            begun_at: now,
            has_run,
            perhaps: false,
            stopping: None,
            next_at: now,
            pace: FIRST,
            listening: false,
            looked: (now, None, FIRST),
            hinted: false,
            bad: None,
            sign: None,
            alive_at: now,
            doubt: None,
            away: false,
            missing: 0,
            verdict: None,
        }
    }

    /// What to do now; `stop` says whether it is to stop.
    pub fn next(&mut self, now: Duration, stop: bool) -> Move {
        if let Some(ending) = &self.verdict {
            return Move::End(ending.clone());
        }
        if self.stopping.is_none() {
            let late = self.rules.limit.is_some_and(|limit| now >= self.begun_at + limit);
            match (stop, late) {
                (true, _) => self.stop(Why::Asked, now),
                (_, true) => self.stop(Why::OutOfTime, now),
                _ => {}
            }
        }
        if let Some(ending) = self.given_up(now) {
            self.verdict = Some(ending.clone());
            return Move::End(ending);
        }
        let mut wait = self.next_at.saturating_sub(now);
        if !wait.is_zero() {
            if self.stopping.is_none()
                && let Some(limit) = self.rules.limit
            {
                wait = wait.min((self.begun_at + limit).saturating_sub(now));
            }
            return Move::Wait(wait.clamp(Duration::from_millis(1), LONGEST));
        }
        match &self.stopping {
            None if self.has_run => Move::Look,
            None => Move::Begin,
            Some(_) if !self.has_run => Move::Find,
            Some(Stopping { asked, .. }) => match asked {
                Some(at) if now < *at + INSIST => Move::Look,
                _ => Move::Cancel,
            },
        }
    }

    /// What came of beginning it.
    pub fn begun(&mut self, answer: Result<(), Trouble>, now: Duration) {
        match answer {
            Ok(()) => {
                self.has_run = true;
                self.bad = None;
                (self.pace, self.alive_at) = (FIRST, now);
                self.next_at = now + FIRST;
            }
            Err(trouble) if trouble.may_pass() => {
                self.perhaps |= !matches!(trouble, Trouble::Unreachable(_) | Trouble::Busy(..));
                self.trouble(&trouble, now);
            }
            Err(trouble) if self.perhaps => {
                self.end(Outcome::Crashed, format!("it may have begun, without an answer: {}", trouble.text()));
            }
            Err(trouble) => self.end(Outcome::Failed, trouble.text().to_owned()),
        }
    }

    /// Whether it was begun.
    pub fn found(&mut self, answer: Result<bool, Trouble>, now: Duration) {
        match answer {
            Ok(true) => {
                self.has_run = true;
                self.bad = None;
                self.next_at = now;
            }
            Ok(false) => self.end_stopped(None),
            Err(Trouble::NotFound(_) | Trouble::Refused(_)) if !self.perhaps => self.end_stopped(None),
            Err(trouble) => self.trouble(&trouble, now),
        }
    }

    /// What the engine says of it.
    pub fn seen(&mut self, answer: Result<Seen, Trouble>, now: Duration) {
        let seen = match answer {
            Ok(seen) => seen,
            Err(trouble) => {
                self.away |= matches!(trouble, Trouble::Unreachable(_) | Trouble::Silent(_));
                self.trouble(&trouble, now);
                return;
            }
        };
        self.bad = None;
        self.missing = if seen == Seen::Missing { self.missing + 1 } else { 0 };
        self.next_at = now + self.pace;
        self.pace = (self.pace * 2).min(self.longest());
        let same = self.looked.1.as_ref() == Some(&seen);
        // Hints that tell of no change are heeded more and more rarely, so that a flood of them costs what polling does.
        let gap = match (same, std::mem::take(&mut self.hinted)) {
            (false, _) => FIRST,
            (true, true) => (self.looked.2 * 2).min(self.rules.poll),
            (true, false) => self.looked.2,
        };
        self.looked = (now, Some(seen.clone()), gap);
        match seen {
            Seen::Ended { outcome, note, result } => self.conclude(outcome, note, result),
            Seen::Missing if self.missing >= MISSING => {
                let name = self.rules.name;
                self.end(Outcome::Crashed, format!("{name} knows the run no more, so nobody can say how it ended"));
            }
            Seen::Missing => {}
            // Who waits is not silent; how long it may wait is the time limit's to say.
            Seen::Waiting(_) => (self.alive_at, self.doubt, self.sign) = (now, None, None),
            Seen::Working { sign, doubt } => self.working(sign, doubt, now),
        }
    }

    /// What came of asking it to stop.
    pub fn cancelled(&mut self, answer: Result<(), Trouble>, now: Duration) {
        match answer {
            Err(trouble) if trouble.may_pass() || matches!(trouble, Trouble::Denied(_)) => self.trouble(&trouble, now),
            // What refuses to stop has perhaps ended; only a look tells.
            Ok(()) | Err(_) => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.asked = Some(now);
                }
                self.bad = None;
                self.pace = FIRST;
                self.next_at = now + FIRST;
            }
        }
    }

    /// The engine hints that something has changed. An engine that is away is not asked more often for that.
    pub fn hinted(&mut self, now: Duration) {
        if self.has_run && self.bad.is_none() {
            self.next_at = self.next_at.min(now.max(self.looked.0 + self.looked.2));
            self.hinted = true;
            self.pace = self.pace.min(self.rules.poll);
        }
    }

    /// Whether a hint would come if something changed now. Without, it is looked at as often as ever.
    pub fn listening(&mut self, listening: bool, now: Duration) {
        self.listening = listening;
        if !listening && self.bad.is_none() {
            self.next_at = self.next_at.min(now + self.rules.poll);
            self.pace = self.pace.min(self.rules.poll);
        }
    }

    const fn longest(&self) -> Duration {
        if self.listening { self.rules.rare } else { self.rules.poll }
    }

    /// It has written something.
    pub fn heard(&mut self, now: Duration) {
        (self.alive_at, self.doubt, self.away) = (now, None, false);
    }

    fn working(&mut self, sign: u64, doubt: Option<String>, now: Duration) {
        if self.sign.replace(sign).is_some_and(|before| before != sign) {
            self.heard(now);
        }
        let doubt = doubt.or_else(|| self.away.then(|| format!("{} was away meanwhile", self.rules.name)));
        self.doubt = doubt.map(|why| match self.doubt.take() {
            Some((since, _)) => (since, why),
            None => (now, why),
        });
        if self.stopping.is_some() {
            return;
        }
        let silent = |limit: Duration| now >= self.alive_at + limit;
        let name = self.rules.name;
        let why = match (&self.doubt, self.rules.liveness) {
            (Some((since, why)), _) if now >= *since + self.rules.doubt && silent(self.rules.doubt) => {
                Some(format!("{name} says that it runs, but {why}"))
            }
            (_, Some(limit)) if silent(limit) => {
                Some(format!("{name} says that it runs, but nothing was heard of it for {} s", limit.as_secs()))
            }
            _ => None,
        };
        if let Some(why) = why {
            self.stop(Why::Dead(why), now);
            self.next_at = now;
        }
    }

    fn stop(&mut self, why: Why, now: Duration) {
        self.stopping = Some(Stopping { why, since: now, asked: None });
        // What was being waited for is not any more, but an engine that is away is not asked more often.
        if self.bad.is_none() {
            self.next_at = now;
        }
    }

    /// Deadlines of silence.
    fn given_up(&self, now: Duration) -> Option<Ending> {
        let name = self.rules.name;
        if let Some(Stopping { why, since, .. }) = &self.stopping
            && now >= *since + self.rules.cancelling
        {
            let seconds = self.rules.cancelling.as_secs();
            let last = self.bad.as_ref().map(|(.., text)| format!("; {text}")).unwrap_or_default();
            if !self.has_run && !self.perhaps {
                return Some(self.stopped(None));
            }
            let (outcome, first) = match why {
                Why::Asked => (Outcome::Crashed, "it was to stop".to_owned()),
                Why::OutOfTime => (Outcome::TimedOut, self.too_long()),
                Why::Dead(why) => (Outcome::Crashed, why.clone()),
            };
            let note = format!("{first}; within {seconds} s {name} did not confirm that it has stopped{last}");
            return Some(Ending::because(outcome, note));
        }
        let (since, _, text) = self.bad.as_ref()?;
        let patience = if self.has_run { self.rules.patience } else { self.rules.beginning };
        if self.stopping.is_some() || now < *since + patience {
            return None;
        }
        let what = match (self.has_run, self.perhaps) {
            (true, _) => "no sensible answer about the run, which may still be at work",
            (false, true) => "no sensible answer to beginning it, so it may have begun",
            (false, false) => "it was not begun",
        };
        Some(Ending::because(Outcome::Crashed, format!("{what}, for {} s: {text}", patience.as_secs())))
    }

    fn conclude(&mut self, outcome: Outcome, note: Option<String>, result: Option<serde_json::Value>) {
        let ending = match outcome {
            Outcome::Cancelled if self.stopping.is_some() => self.stopped(None),
            _ => Ending { note, result, ..Ending::of(outcome) },
        };
        self.verdict = Some(ending);
    }

    fn end_stopped(&mut self, note: Option<String>) {
        self.verdict = Some(self.stopped(note));
    }

    fn stopped(&self, note: Option<String>) -> Ending {
        let (outcome, why) = match self.stopping.as_ref().map(|stopping| &stopping.why) {
            Some(Why::OutOfTime) => (Outcome::TimedOut, self.too_long()),
            Some(Why::Dead(why)) => (Outcome::Crashed, why.clone()),
            Some(Why::Asked) | None => (Outcome::Cancelled, "stopped".to_owned()),
        };
        Ending::because(outcome, note.unwrap_or(why))
    }

    fn too_long(&self) -> String {
        format!("took longer than {} s", self.rules.limit.unwrap_or_default().as_secs_f64())
    }

    fn end(&mut self, outcome: Outcome, note: String) {
        self.verdict = Some(Ending::because(outcome, note));
    }

    fn trouble(&mut self, trouble: &Trouble, now: Duration) {
        let (since, count) = self.bad.as_ref().map_or((now, 0), |(since, count, _)| (*since, *count));
        self.bad = Some((since, count + 1, trouble.text().to_owned()));
        let again = (AGAIN * 2_u32.saturating_pow(count.min(8))).min(WORST);
        let asked = match trouble {
            Trouble::Busy(_, Some(wait)) => *wait,
            _ => Duration::ZERO,
        };
        self.next_at = now + again.max(asked);
    }
}

#[cfg(test)]
mod tests;
