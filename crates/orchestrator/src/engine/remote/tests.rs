//! A run of another engine, driven by a clock that stands still unless the test moves it.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use oneiric::clock::{ManualClock, Timestamp};

use super::*;
use crate::adapters::hints::Hints;
use crate::adapters::hints::tests::{Made, until};
use crate::adapters::watch::Rules;
use crate::adapters::{Found, Seen, Target};

/// An engine that says that its run is at work until it is over.
struct Engine {
    hints: Hints,
    over: Mutex<bool>,
    looks: Mutex<usize>,
    reads: Mutex<usize>,
}

impl Remote for Engine {
    fn verify(&self, _: Duration) -> Result<Found, Trouble> {
        Ok(Found { version: String::new(), notes: Vec::new() })
    }

    fn targets(&self) -> Result<Vec<Target>, Trouble> {
        Ok(Vec::new())
    }

    fn find(&self, _: &Order) -> Result<Option<String>, Trouble> {
        Ok(None)
    }

    fn begin(&self, _: &Order) -> Result<String, Trouble> {
        Ok("r".to_owned())
    }

    fn look(&self, _: &str) -> Result<Seen, Trouble> {
        *self.looks.lock().unwrap() += 1;
        Ok(match *self.over.lock().unwrap() {
            true => Seen::Ended { outcome: Outcome::Succeeded, note: None, result: None },
            false => Seen::Working { sign: 1, doubt: None },
        })
    }

    fn cancel(&self, _: &str) -> Result<(), Trouble> {
        Ok(())
    }

    fn read(&self, _: &str, reading: &mut Reading) -> Result<String, Trouble> {
        *self.reads.lock().unwrap() += 1;
        reading.complete = true;
        Ok(String::new())
    }

    fn hints(&self) -> Option<&Hints> {
        Some(&self.hints)
    }
}

#[test]
fn a_change_is_known_by_a_hint_long_before_the_next_poll() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    let (source, say, _) = Made::new();
    let (tell, heard) = channel();
    say.send(Ok(heard)).unwrap();
    let engine = Engine {
        hints: Hints::new("Engine", Box::new(source), Arc::clone(&clock) as Arc<dyn Clock>),
        over: Mutex::new(false),
        looks: Mutex::new(0),
        reads: Mutex::new(0),
    };
    let hour = Duration::from_secs(3600);
    let rules = Rules {
        name: "Engine",
        poll: hour,
        rare: hour,
        liveness: None,
        doubt: hour,
        patience: hour,
        beginning: hour,
        cancelling: hour,
        limit: None,
    };
    let (dir, redactor, nothing) = (tempfile::tempdir().unwrap(), Redactor::standard(), Map::new());
    let order = Order { key: "k", workflow: "w", repo: "", dir: None, target: "t", parameters: &nothing };
    let stop = Stop::new().unwrap();
    let looks = || *engine.looks.lock().unwrap();
    std::thread::scope(|scope| {
        let errand = Errand {
            remote: &engine,
            order,
            run: None,
            watch: Watch::new(rules, false, clock.monotonic()),
            keeper: OutputKeeper::new(dir.path().join("log"), &redactor),
            reading: Reading::default(),
            read_at: None,
            pace: hour,
            paces: (hour, hour),
            hints: None,
            well: false,
            clock: clock.as_ref(),
        };
        let ending = scope.spawn(|| errand.go(&stop, &|_| {}));
        // It is looked at 0.2, 0.6 and 1.4 s after its beginning; the next look would be at 3 s.
        until("three looks", || {
            clock.advance(Duration::from_millis(if looks() < 3 { 10 } else { 0 }));
            looks() == 3
        });
        clock.advance(Duration::from_secs(1));
        *engine.over.lock().unwrap() = true;
        tell.send(Ok("r".to_owned())).unwrap();
        // Whether the third look counts as one before or after that second, a hint is heeded 0.2 s after it.
        let moved = Cell::new(0);
        until("its end", || {
            if moved.replace(moved.get() + 1) < 20 {
                clock.advance(Duration::from_millis(10));
            }
            ending.is_finished()
        });
        assert_eq!((ending.join().unwrap().outcome, looks()), (Outcome::Succeeded, 4));
    });
    assert!(*engine.reads.lock().unwrap() <= 2, "its log is not read more often for a hint");
}
