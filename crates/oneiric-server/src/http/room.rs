//! Room for connections: each takes a seat, so that they never take the file descriptors that everything else needs.
//!
//! When all seats are taken, the connection that has been without a request for longest is let go. So those that only hold a
//! connection, or send a head byte by byte, stand in nobody's way; requests under way are never cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Seats for so many connections.
pub(super) struct Room {
    most: usize,
    state: Mutex<State>,
    /// A seat became free, or a connection idle.
    changed: Notify,
}

#[derive(Default)]
struct State {
    taken: usize,
    next: u64,
    /// Connections without a request, by since when.
    idle: BTreeMap<u64, Arc<Place>>,
}

/// What is known of a connection. Written while the room's state is held, but for `stuck`.
#[derive(Default)]
struct Place {
    /// Where it stands among the idle ones.
    number: AtomicU64,
    under_way: AtomicUsize,
    /// Its client does not take what it is sent.
    stuck: AtomicBool,
    leave: Notify,
}

/// A connection's place in the room, until this and its clones are dropped.
#[derive(Clone)]
pub(super) struct Seat(Arc<Taken>);

struct Taken {
    room: Arc<Room>,
    place: Arc<Place>,
}

/// A request under way: from its head to the last piece of its answer.
pub(super) struct UnderWay(Seat);

impl Room {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default(), changed: Notify::new() })
    }

    /// Takes a seat; lets an idle connection go for it, and waits while there is none. For one caller at a time.
    pub(super) async fn seat(self: &Arc<Self>) -> Seat {
        loop {
            // Made before the look, so that no change after it is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.taken < self.most {
                    return self.take(&mut state);
                }
                state.let_one_go();
            }
            changed.await;
        }
    }

    /// Lets the connection go that is idle for longest, if there is one.
    pub(super) fn let_one_go(&self) {
        self.state().let_one_go();
    }

    fn take(self: &Arc<Self>, state: &mut State) -> Seat {
        state.taken += 1;
        let place = Arc::new(Place::default());
        state.rest(&place);
        Seat(Arc::new(Taken { room: Arc::clone(self), place }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rest(&mut self, place: &Arc<Place>) {
        self.next += 1;
        place.number.store(self.next, Ordering::Relaxed);
        self.idle.insert(self.next, Arc::clone(place));
    }

    fn rouse(&mut self, place: &Place) {
        self.idle.remove(&place.number.load(Ordering::Relaxed));
    }

    fn let_one_go(&mut self) {
        // Whose answer is still on its way goes last.
        let free = self.idle.iter().find(|(_, place)| !place.stuck.load(Ordering::Relaxed));
        if let Some(number) = free.or_else(|| self.idle.first_key_value()).map(|(number, _)| *number)
            && let Some(place) = self.idle.remove(&number)
        {
            place.leave.notify_one();
        }
    }
}

impl Seat {
    /// A request begins.
    pub(super) fn begin(&self) -> UnderWay {
        let Taken { room, place } = self.0.as_ref();
        let mut state = room.state();
        if place.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            state.rouse(place);
        }
        drop(state);
        UnderWay(self.clone())
    }

    /// Waits until the room needs the seat.
    pub(super) async fn wanted(&self) {
        self.0.place.leave.notified().await;
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.0.place.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether its client still has to take something.
    pub(super) fn is_stuck(&self) -> bool {
        self.0.place.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        self.0.place.stuck.store(stuck, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Taken { room, place } = self.0.0.as_ref();
        let mut state = room.state();
        if place.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.rest(place);
            drop(state);
            room.changed.notify_waiters();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.taken -= 1;
        state.rouse(&self.place);
        drop(state);
        self.room.changed.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_longest_idle_connection_makes_room_and_a_busy_one_never() {
        let room = Room::new(3);
        let [first, second, third] = [(); 3].map(|()| now(room.seat()).unwrap());
        let busy = first.begin();
        drop(second.begin());
        assert!(now(room.seat()).is_none(), "nobody has left yet");
        assert!(now(first.wanted()).is_none() && now(second.wanted()).is_none(), "those were used later");
        assert!(now(third.wanted()).is_some());
        drop(third);
        let fourth = now(room.seat()).unwrap();
        let (_two, _four) = (second.begin(), fourth.begin());
        assert!(now(room.seat()).is_none());
        assert!([&first, &second, &fourth].iter().all(|seat| now(seat.wanted()).is_none()), "all are busy");
        drop(busy);
        assert!(now(room.seat()).is_none());
        assert!(now(first.wanted()).is_some(), "it became idle");
        drop(first);
        assert!(now(room.seat()).is_some());
    }

    #[test]
    fn a_client_that_still_takes_its_answer_goes_last() {
        let room = Room::new(2);
        let (taking, idle) = (now(room.seat()).unwrap(), now(room.seat()).unwrap());
        taking.set_stuck(true);
        room.let_one_go();
        assert!(now(taking.wanted()).is_none() && now(idle.wanted()).is_some());
        room.let_one_go();
        assert!(now(taking.wanted()).is_some());
    }
}
