//! Threads that run steps. They are made when they are needed and wait for the next step afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use oneiric::clock::Clock;

use super::super::runner::{Job, Runner};
use super::Input;
use crate::run::Stop;
use crate::workflows::Number;
use crate::workflows::fact::{Ending, Outcome};

/// A step for a thread.
pub(super) struct Order {
    pub(super) number: Number,
    pub(super) job: Job,
    pub(super) stop: Stop,
}

pub(super) struct Crew {
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    inbox: Sender<Input>,
    orders: Option<Sender<Order>>,
    taken: Arc<Mutex<Receiver<Order>>>,
    /// Threads that wait for an order, minus orders that wait for a thread.
    free: Arc<AtomicUsize>,
}

impl Crew {
    pub(super) fn new(runner: Arc<dyn Runner>, clock: Arc<dyn Clock>, inbox: Sender<Input>) -> Self {
        let (orders, taken) = channel();
        Self { runner, clock, inbox, orders: Some(orders), taken: Arc::new(Mutex::new(taken)), free: Arc::default() }
    }

    pub(super) fn give(&self, order: Order) {
        let reserved = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        if reserved.is_err()
            && let Err(error) = self.hire()
        {
            let Order { number, job, .. } = order;
            let ending = Ending::because(Outcome::Crashed, format!("no thread to run it: {error}"));
            let at = self.clock.monotonic();
            let _ = self.inbox.send(Input::Ended { number, step: job.step, attempt: job.attempt, ending, at });
            return;
        }
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Lets the threads go, each after its step.
    pub(super) fn dismiss(&mut self) {
        self.orders = None;
    }

    fn hire(&self) -> std::io::Result<()> {
        let (runner, clock, inbox) = (Arc::clone(&self.runner), Arc::clone(&self.clock), self.inbox.clone());
        let (taken, free) = (Arc::clone(&self.taken), Arc::clone(&self.free));
        let work = move || {
            loop {
                let order = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Order { number, job, stop }) = order else { break };
                let (step, attempt) = (job.step, job.attempt);
                let bound = |run: &str| {
                    let (written, done) = channel();
                    let run = run.to_owned();
                    if inbox.send(Input::Bound { number, step, attempt, run, written }).is_ok() {
                        let _ = done.recv();
                    }
                };
                let run = std::panic::AssertUnwindSafe(|| runner.run(&job, &stop, &bound));
                let ending = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                    Ending::because(Outcome::Crashed, "the engine failed while it ran; the log has more")
                });
                free.fetch_add(1, Ordering::AcqRel);
                if inbox.send(Input::Ended { number, step, attempt, ending, at: clock.monotonic() }).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("step".into()).stack_size(512 * 1024).spawn(work).map(drop)
    }
}
