//! One turn: inputs to facts, facts to the journal, then starts and stops.

use std::path::PathBuf;
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::Result;
use oneiric::paths::Home;

use super::super::alive::is_alive;
use super::super::output_path;
use super::super::runner::Job;
use super::crew::Order;
use super::wishes::wish;
use super::{ADOPT, AtWork, DURABLE, Driver, Input, LEAP, Live, PRUNE, REAP, SURVIVORS, Takes};
use crate::run::{Stop, end_survivors, reap_orphans, survivors};
use crate::workflows::Number;
use crate::workflows::fact::{Fact, StepState};
use crate::workflows::journal::{Asked, Claimed};
use crate::workflows::machine::Room;
use crate::workflows::plan::StepIndex;

/// How long after a folder was found leased by another engine it is asked for again.
const FOREIGN: Duration = Duration::from_millis(200);

/// A step that begins once the turn is written.
struct Start {
    number: Number,
    step: StepIndex,
    dir: Option<PathBuf>,
    stop: Stop,
}

/// Facts of one turn, a workflow after the other.
type News = Vec<(Number, Vec<Fact>)>;

impl Driver {
    /// One turn.
    ///
    /// # Errors
    /// When it could not be written. Then nothing was acted on and the machines are ahead of the journal.
    pub(super) fn turn(&mut self, inputs: &[Input]) -> Result<()> {
        let now = self.look_at_the_clock();
        let asked = self.look(inputs, now)?;
        let mut news: News = Vec::new();
        self.move_times(now, &mut news);
        let attach = self.adopt(now, &mut news);
        self.hear(inputs, now, &mut news);
        let answers = self.answer(asked, now, &mut news);
        while let Some(&(at, number)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(live) = self.live.get_mut(&number) {
                live.wake = None;
                news.push((number, live.machine.tick(now)));
                self.runnable.insert(number);
            }
        }
        self.mark_changed(&news);
        let mut starts = self.write(inputs, &answers, &news, now)?;
        starts.extend(attach);
        self.leapt = 0;
        self.act(inputs, &news, starts, now);
        self.keep_house();
        Ok(())
    }

    /// The time, and whether it has leapt: both clocks go on by the same, unless one is set or the machine sleeps.
    fn look_at_the_clock(&mut self) -> Timestamp {
        let (now, mono) = (self.config.clock.now(), self.config.clock.monotonic());
        let passed = i64::try_from(mono.saturating_sub(self.seen.1).as_micros()).unwrap_or(i64::MAX);
        let leap = now.as_micros().saturating_sub(self.seen.0.as_micros()).saturating_sub(passed);
        if leap.abs() >= LEAP {
            tracing::warn!(seconds = leap / 1_000_000, "the clock was set, or the machine slept");
            self.leapt = self.leapt.saturating_add(leap);
        }
        self.seen = (now, mono);
        now
    }

    /// Moves what waits for a time along with a clock that has leapt.
    fn move_times(&mut self, now: Timestamp, news: &mut News) {
        if self.leapt == 0 {
            return;
        }
        self.foreign.clear();
        for (&number, live) in &mut self.live {
            news.push((number, live.machine.clock_set(self.leapt, now)));
        }
    }

    /// Reads what others wrote since the last look.
    fn look(&mut self, inputs: &[Input], now: Timestamp) -> Result<Vec<Asked>> {
        for input in inputs {
            if let Input::Take(number) = input {
                self.take.insert(*number);
            }
        }
        let told = inputs.iter().any(|input| matches!(input, Input::Look | Input::Take(_)));
        let version = self.journal.version()?;
        let changed = told || self.version != Some(version);
        let since = self.config.clock.monotonic();
        let due = self.adopted_at.is_none_or(|at| since >= at + ADOPT);
        if !(changed || due) {
            return Ok(Vec::new());
        }
        if self.ending.is_none() {
            if self.config.takes == Takes::All {
                let dead = self.bury(None)?;
                let claimed = self.journal.claim(&dead, None, 10_000, now)?;
                self.claimed.extend(claimed);
            }
            for number in self.take.clone() {
                let dead = self.bury(Some(number))?;
                let claimed = self.journal.claim(&dead, Some(number), 1, now)?;
                self.claimed.extend(claimed);
                self.take.remove(&number);
            }
        }
        let asked = if changed { self.journal.requests()? } else { Vec::new() };
        (self.version, self.adopted_at) = (Some(version), Some(since));
        Ok(asked)
    }

    /// Engines that were killed, after what they left running has ended: else a step could run twice at the same time.
    fn bury(&self, only: Option<Number>) -> Result<Vec<String>> {
        let mut engines = self.journal.engines(only)?;
        engines.retain(|id| !is_alive(&self.config.home, id));
        for engine in &engines {
            let ended = end_survivors(&format!("{engine}/"), SURVIVORS, self.config.clock.as_ref());
            if ended > 0 {
                tracing::warn!(engine, processes = ended, "ended what a killed engine left running");
            }
        }
        Ok(engines)
    }

    /// Workflows that are driven here from now on. Gives steps that another engine still runs, to be attached to.
    fn adopt(&mut self, now: Timestamp, news: &mut News) -> Vec<Start> {
        let mut attach = Vec::new();
        for Claimed { number, id, mut machine, before } in std::mem::take(&mut self.claimed) {
            if before.is_some() {
                tracing::warn!(workflow = id, "goes on after its engine ended");
            }
            let mut facts = machine.adopted(now);
            facts.extend(machine.lost(now, |_| false));
            // Its time may have passed while nobody looked, and no timer is set for what is over.
            facts.extend(machine.tick(now));
            news.push((number, facts));
            attach.extend(machine.running().map(|step| (number, step)));
            self.live.insert(number, Live { id, machine, wake: None });
            self.runnable.insert(number);
        }
        if std::mem::take(&mut self.reloaded) {
            for (&number, live) in &mut self.live {
                let at_work = &self.at_work;
                let mut facts = live.machine.adopted(now);
                facts.extend(live.machine.lost(now, |step| at_work.contains_key(&(number, step))));
                facts.extend(live.machine.tick(now));
                news.push((number, facts));
                attach.extend(live.machine.running().map(|step| (number, step)));
            }
        }
        attach.retain(|at| !self.at_work.contains_key(at));
        let with_stop = |(number, step)| Stop::new().ok().map(|stop| Start { number, step, dir: None, stop });
        attach.into_iter().filter_map(with_stop).collect()
    }

    fn hear(&mut self, inputs: &[Input], now: Timestamp, news: &mut News) {
        for input in inputs {
            match input {
                Input::Ended { number, step, attempt, ending, at } => {
                    if let Some(live) = self.live.get_mut(number) {
                        // When it ended, not when that could be written.
                        let ago = self.config.clock.monotonic().saturating_sub(*at);
                        let began = live.machine.steps().get(*step as usize).and_then(|step| step.started_at);
                        let now = now.minus(ago).max(began.unwrap_or(now).min(now));
                        let ending = ending.clone();
                        let facts = match self.interrupted.contains(&(*number, *step, *attempt)) {
                            true => {
                                let step_name = live.machine.label(*step);
                                tracing::warn!(workflow = live.id, step = step_name, "ended by the stop of the engine");
                                live.machine.interrupted(*step, *attempt, ending, now)
                            }
                            false => live.machine.ended(*step, *attempt, ending, now),
                        };
                        news.push((*number, facts));
                    }
                }
                Input::Bound { number, step, attempt, run, .. } => {
                    if let Some(live) = self.live.get_mut(number) {
                        news.push((*number, live.machine.bound(*step, *attempt, run, now)));
                    }
                }
                Input::Look | Input::Take(_) | Input::End(_) => {}
            }
        }
    }

    fn answer(&mut self, asked: Vec<Asked>, now: Timestamp, news: &mut News) -> Vec<(i64, Option<String>)> {
        let mut answers = Vec::new();
        for Asked { number, workflow, request } in asked {
            let answer = match (request, self.live.get_mut(&workflow)) {
                (Err(error), _) => Err(format!("the request cannot be understood: {error}")),
                (Ok(_), None) => Err("the workflow has ended".to_owned()),
                (Ok(request), Some(live)) => {
                    wish(&mut live.machine, &request, now).map(|facts| news.push((workflow, facts)))
                }
            };
            answers.push((number, answer.err()));
        }
        answers
    }

    fn mark_changed(&mut self, news: &News) {
        for (number, facts) in news {
            if !facts.is_empty() {
                self.runnable.insert(*number);
            }
        }
    }

    /// Writes the turn, with the steps that begin in it.
    fn write(
        &mut self,
        inputs: &[Input],
        answers: &[(i64, Option<String>)],
        news: &News,
        now: Timestamp,
    ) -> Result<Vec<Start>> {
        let freed: Vec<(Number, StepIndex)> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Ended { number, step, .. } => Some((*number, *step)),
                _ => None,
            })
            .collect();
        let freed_dirs: Vec<(PathBuf, Number, StepIndex)> =
            freed.iter().filter_map(|at| Some((self.at_work.get(at)?.dir.clone()?, at.0, at.1))).collect();
        // A step of a workflow that was let go tells nothing when it ends, and its folder is free all the same.
        let nothing = freed_dirs.is_empty() && answers.is_empty() && news.iter().all(|(_, facts)| facts.is_empty());
        let may_start = self.ending.is_none() && !self.runnable.is_empty() && self.has_room(&freed);
        let candidates = if may_start { self.candidates(&freed, &freed_dirs, now) } else { Vec::new() };
        if nothing && candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mono = self.config.clock.monotonic();
        let durable = mono >= self.durable_at + DURABLE;
        let turn = self.journal.turn(durable)?;
        for (dir, number, step) in &freed_dirs {
            turn.release(dir, *number, *step)?;
        }
        let mut started: Vec<(Number, Vec<Fact>)> = Vec::new();
        let mut starts = Vec::new();
        for (number, step, dir) in candidates {
            let Some(live) = self.live.get_mut(&number) else { continue };
            if let Some(dir) = &dir
                && let Some(holder) = turn.lease(dir, number, step, now)?
                && !(is_gone(&self.config.home, &holder) && {
                    turn.break_lease(dir)?;
                    turn.lease(dir, number, step, now)?.is_none()
                })
            {
                self.foreign.insert(dir.clone(), now.plus(FOREIGN));
                self.timers.insert((now.plus(FOREIGN), number));
                continue;
            }
            let fact = live.machine.start(step, now);
            if matches!(fact, Fact::Started { .. }) {
                starts.push(Start { number, step, dir, stop: Stop::new()? });
            }
            match started.last_mut() {
                Some((last, facts)) if *last == number => facts.push(fact),
                _ => started.push((number, vec![fact])),
            }
        }
        for (number, facts) in news.iter().chain(&started).filter(|(_, facts)| !facts.is_empty()) {
            if let Some(live) = self.live.get(number) {
                turn.write(*number, &live.machine, facts, now)?;
            }
        }
        for (request, error) in answers {
            turn.answered(*request, error.as_deref(), now)?;
        }
        turn.commit()?;
        if durable {
            (self.durable_at, self.dirty) = (mono, false);
        } else {
            self.dirty = true;
        }
        Ok(starts)
    }

    fn has_room(&self, freed: &[(Number, StepIndex)]) -> bool {
        !freed.is_empty() || self.local < self.config.capacity || self.remote < self.config.remote_capacity
    }

    /// Steps that begin now: oldest workflow first, as many as there is room for, none in a folder that is taken.
    fn candidates(
        &mut self,
        freed: &[(Number, StepIndex)],
        freed_dirs: &[(PathBuf, Number, StepIndex)],
        now: Timestamp,
    ) -> Vec<(Number, StepIndex, Option<PathBuf>)> {
        let gone = |local: bool| {
            freed.iter().filter(|at| self.at_work.get(at).is_some_and(|work| work.local == local)).count()
        };
        // By the room that steps take; to ask a person takes none.
        let mut left = [
            (self.config.capacity + gone(true)).saturating_sub(self.local),
            (self.config.remote_capacity + gone(false)).saturating_sub(self.remote),
            usize::MAX,
        ];
        let mut taken: std::collections::HashSet<PathBuf> = std::collections::HashSet::new();
        let mut found = Vec::new();
        let mut exhausted = Vec::new();
        for &number in &self.runnable {
            if left[Room::Here as usize] == 0 && left[Room::Elsewhere as usize] == 0 {
                break;
            }
            let Some(live) = self.live.get(&number) else {
                exhausted.push(number);
                continue;
            };
            let mut queues = Room::ALL.map(|room| live.machine.startable(room, now).peekable());
            if queues.iter_mut().all(|queue| queue.peek().is_none()) {
                exhausted.push(number);
                continue;
            }
            let mut most = live.machine.room();
            // Those without room are left alone, else a long queue would be walked through in every turn.
            while most > 0 {
                let open = Room::ALL.into_iter().filter(|room| left[*room as usize] > 0);
                let first = open.filter_map(|room| Some((*queues[room as usize].peek()?, room))).min_by_key(|at| at.0);
                let Some((step, room)) = first else { break };
                queues[room as usize].next();
                let cell = &live.machine.graph().cells[step as usize];
                let task = live.machine.plan().task(cell);
                let wants = task.work.is_in_folder() && task.policy.exclusive;
                let dir = live.machine.plan().place(cell).filter(|_| wants).map(|place| place.dir.clone());
                if let Some(dir) = &dir {
                    let mine = self.busy.contains_key(dir) && !freed_dirs.iter().any(|(free, ..)| free == dir);
                    let foreign = self.foreign.get(dir).is_some_and(|until| *until > now);
                    if mine || foreign || !taken.insert(dir.clone()) {
                        continue;
                    }
                }
                if room != Room::Nobodys {
                    left[room as usize] -= 1;
                    most -= 1;
                }
                found.push((number, step, dir));
            }
        }
        for number in exhausted {
            self.runnable.remove(&number);
        }
        found
    }

    /// The turn is written: now it is done.
    fn act(&mut self, inputs: &[Input], news: &News, starts: Vec<Start>, now: Timestamp) {
        for input in inputs {
            let Input::Ended { number, step, attempt, .. } = input else { continue };
            let known = self.at_work.get(&(*number, *step)).is_some_and(|work| work.attempt == *attempt);
            if known && let Some(work) = self.at_work.remove(&(*number, *step)) {
                let count = if work.local { &mut self.local } else { &mut self.remote };
                *count = count.saturating_sub(1);
                if let Some(dir) = work.dir {
                    self.busy.remove(&dir);
                }
            }
        }
        let mut touched: Vec<Number> = news.iter().map(|(number, _)| *number).collect();
        for start in starts {
            touched.push(start.number);
            self.begin(start);
        }
        touched.sort_unstable();
        touched.dedup();
        for number in touched {
            let Some(live) = self.live.get_mut(&number) else { continue };
            if live.machine.is_stopping() {
                for step in live.machine.running() {
                    if let Some(work) = self.at_work.get(&(number, step)) {
                        work.stop.raise();
                    }
                }
            }
            if let Some(wake) = live.wake.take() {
                self.timers.remove(&(wake, number));
            }
            if live.machine.status().is_final() {
                tracing::info!(workflow = live.id, status = %live.machine.status(), "ended");
                self.live.remove(&number);
                self.runnable.remove(&number);
                continue;
            }
            // What is due now has been looked at; a step that waits for room or a folder is found without a timer.
            if let Some(wake) = live.machine.wake().filter(|wake| *wake > now) {
                live.wake = Some(wake);
                self.timers.insert((wake, number));
            }
        }
    }

    fn begin(&mut self, start: Start) {
        let Start { number, step, dir, stop } = start;
        let Some(live) = self.live.get(&number) else { return };
        let machine = &live.machine;
        let row = &machine.steps()[step as usize];
        if row.state != StepState::Running {
            return;
        }
        let cell = &machine.graph().cells[step as usize];
        let (task, place) = (machine.plan().task(cell), machine.plan().place(cell));
        let local = Room::of(&task.work) == Room::Here;
        let job = Job {
            workflow: live.id.clone(),
            step,
            attempt: row.attempt,
            work: task.work.clone(),
            repo: place.map(|place| place.name.clone()).unwrap_or_default(),
            dir: place.map(|place| place.dir.clone()),
            policy: task.policy.clone(),
            mark: format!("{}/{}/{step}/{}/", self.id, live.id, row.attempt),
            output: output_path(&self.config.home, &live.id, step, row.attempt),
            run: row.run.clone(),
        };
        let count = if local { &mut self.local } else { &mut self.remote };
        *count += 1;
        if let Some(dir) = &dir {
            self.busy.insert(dir.clone(), (number, step));
        }
        let attachable = task.work.can_be_attached();
        let work = AtWork { attempt: row.attempt, stop: stop.clone(), dir, local, attachable };
        self.at_work.insert((number, step), work);
        self.crew.give(Order { number, job, stop });
    }

    /// What can wait: a durable mark after work, and the removal of what is too old.
    fn keep_house(&mut self) {
        let mono = self.config.clock.monotonic();
        if self.dirty && mono >= self.durable_at + DURABLE && self.journal.make_durable().is_ok() {
            (self.durable_at, self.dirty) = (mono, false);
        }
        if mono >= self.reaped_at + REAP {
            self.reaped_at = mono;
            reap_orphans();
        }
        if self.config.takes == Takes::All && self.pruned_at.is_none_or(|at| mono >= at + PRUNE) {
            self.pruned_at = Some(mono);
            match self.journal.prune(self.config.clock.now()) {
                Ok(gone) => {
                    for id in gone {
                        let _ = std::fs::remove_dir_all(self.config.home.root().join("workflows").join(id));
                    }
                }
                Err(fault) => tracing::warn!(%fault, "old workflows could not be removed"),
            }
        }
    }
}

/// Whether an engine and all that it started are gone.
fn is_gone(home: &Home, engine: &str) -> bool {
    !is_alive(home, engine) && survivors(&format!("{engine}/")).is_empty()
}
