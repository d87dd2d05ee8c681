//! Hints from a source that does as the test says.

use std::sync::mpsc::{Receiver, Sender, channel};

use oneiric::clock::{ManualClock, SystemClock, Timestamp};

use super::*;

/// What the next opening of a source gives, and what is heard then.
type Opened = Result<Receiver<Result<String, String>>, String>;

/// A source in the hands of a test.
pub(crate) struct Made {
    openings: Mutex<Receiver<Opened>>,
    opened: Arc<Mutex<usize>>,
}

struct Heard(Receiver<Result<String, String>>);

impl Made {
    /// The source, what says how it opens, and how often it was opened.
    pub(crate) fn new() -> (Self, Sender<Opened>, Arc<Mutex<usize>>) {
        let (say, openings) = channel();
        let opened = Arc::new(Mutex::new(0));
        (Self { openings: Mutex::new(openings), opened: Arc::clone(&opened) }, say, opened)
    }
}

impl Source for Made {
    fn open(&self) -> Result<Box<dyn Ear>, String> {
        let next = self.openings.lock().unwrap().recv().map_err(|_| "the test is over".to_owned())?;
        *self.opened.lock().unwrap() += 1;
        next.map(|heard| Box::new(Heard(heard)) as Box<dyn Ear>)
    }
}

impl Ear for Heard {
    fn hear(&mut self) -> Result<Option<String>, String> {
        match self.0.recv_timeout(Duration::from_millis(5)) {
            Ok(heard) => heard.map(Some),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err("it went away".into()),
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = SystemClock.monotonic() + Duration::from_secs(20);
    while !holds() {
        assert!(SystemClock.monotonic() < end, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn made() -> (Hints, Sender<Opened>, Arc<Mutex<usize>>, Arc<ManualClock>) {
    let (source, say, opened) = Made::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    (Hints::new("Engine", Box::new(source), Arc::clone(&clock) as Arc<dyn Clock>), say, opened, clock)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_hint_is_heard_by_whoever_watches_that_run_over_one_connection() {
    let (hints, say, opened, _) = made();
    let (tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    let (one, other) = (hints.subscribe("1").unwrap(), hints.subscribe("2").unwrap());
    until("it is up", || one.is_up() && other.is_up());
    for run in ["2", "unknown", "2"] {
        tell.send(Ok(run.to_owned())).unwrap();
    }
    assert!(other.wait(None, LONG));
    tell.send(Ok("1".to_owned())).unwrap();
    assert!(one.wait(None, LONG) && !one.wait(None, Duration::ZERO));
    assert_eq!(*opened.lock().unwrap(), 1);
}

#[test]
fn a_source_that_breaks_off_is_tried_again_more_and_more_rarely() {
    let (hints, say, opened, clock) = made();
    let watched = hints.subscribe("1").unwrap();
    let mut waits = Vec::new();
    for times in 1..=12 {
        say.send(Err("refused".to_owned())).unwrap();
        until("it is tried", || *opened.lock().unwrap() == times);
        until("that it broke off", || hints.shared.lock().retry.0 > clock.monotonic());
        let wait = hints.shared.lock().retry.0 - clock.monotonic();
        waits.push(wait.as_secs());
        clock.advance(wait);
        hints.shared.changed.notify_all();
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert!(!watched.is_up());
    let (tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    until("it is up", || watched.is_up());
    tell.send(Ok("1".to_owned())).unwrap();
    assert!(watched.wait(None, LONG));
    // One that closes at once each time is no better than one that refuses; one that held for long is.
    drop(tell);
    until("it is down", || hints.shared.lock().retry.0 > clock.monotonic());
    assert_eq!((hints.shared.lock().retry.0 - clock.monotonic()).as_secs(), 300);
    clock.advance(Duration::from_secs(300));
    let (tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    until("it is up", || watched.is_up());
    clock.advance(STEADY);
    drop(tell);
    until("it is down", || !watched.is_up() && hints.shared.lock().retry.0 > clock.monotonic());
    assert_eq!(hints.shared.lock().retry.0 - clock.monotonic(), AGAIN);
}

#[test]
fn nobody_listens_any_more_when_nobody_watches() {
    let (hints, say, opened, clock) = made();
    let (_tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    let watched = hints.subscribe("1").unwrap();
    until("it is up", || watched.is_up());
    drop(watched);
    clock.advance(LINGER);
    until("its thread ends", || !hints.shared.lock().listening);
    assert!(!hints.shared.up.load(Ordering::Acquire) && hints.shared.lock().watched.is_empty());
    let (_tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    let again = hints.subscribe("2").unwrap();
    until("it is up again", || again.is_up());
    assert_eq!(*opened.lock().unwrap(), 2);
    let shared = Arc::clone(&hints.shared);
    drop(hints);
    until("it ends with its engine", || !shared.lock().listening);
}

#[test]
fn a_raised_sign_ends_the_waiting_for_a_hint() {
    let (hints, _say, _, _) = made();
    let watched = hints.subscribe("1").unwrap();
    let stop = Stop::new().unwrap();
    stop.raise();
    assert!(!watched.wait(Some(&stop), LONG));
}
