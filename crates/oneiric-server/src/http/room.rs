//! Room for connections: each takes a seat, so that they never take the file descriptors that everything else needs.
//!
//! When all seats are taken, one is let go that nobody works for: the connection that has been without a request for longest,
//! else the one whose client has sent nothing of a request's body for longest or sends it byte by byte, else, while streams of
//! events have more than half of the seats, the oldest of them, whose client opens another. So those that only hold a connection,
//! send slowly or listen stand in nobody's way; a request that the server works at and an answer on its way are never cut. Who has
//! just come is given a breath to say what it wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Bytes of a body that have to come in a second that it is waited for, while others want the seat.
const PACE: u64 = 16 * 1024;

/// Seats for so many connections.
pub(super) struct Room {
    most: usize,
    /// For so long a connection keeps its seat without saying what it wants, or without the next piece of a body.
    breath: Duration,
    state: Mutex<State>,
    /// A seat became free, or a connection such that it may be let go.
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    places: BTreeMap<u64, Place>,
}

/// What is known of a connection.
#[derive(Default)]
struct Place {
    /// When it came to stand as it does, by numbers that grow.
    since: u64,
    requests: usize,
    /// When it came, unless a request has come by it since.
    fresh: Option<Instant>,
    /// Since when the server waits for more of a request's body.
    awaited: Option<Instant>,
    /// How long it waited for pieces of that body that have come, and how many bytes they have.
    waited: Duration,
    came: u64,
    /// Whether the answer under way is a stream of events, and whether one that a client opened only to listen.
    events: Option<Events>,
    /// Its client does not take what it is sent.
    stuck: bool,
    /// It was told to go.
    leaving: bool,
    leave: Arc<Notify>,
}

/// A stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// The answer to a call.
    Answer,
    /// What else happens; a client that loses it opens it again.
    Listening,
}

/// A connection's place in the room, until this and its clones are dropped.
#[derive(Clone)]
pub(super) struct Seat(Arc<Taken>);

struct Taken {
    room: Arc<Room>,
    number: u64,
    leave: Arc<Notify>,
}

/// A request under way: from its head to the last piece of its answer.
pub(super) struct UnderWay(Seat);

impl Room {
    pub(super) fn new(most: usize, breath: Duration) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), breath, state: Mutex::default(), changed: Notify::new() })
    }

    /// Takes a seat; lets a connection go for it, and waits while there is none that may. For one caller at a time.
    pub(super) async fn seat(self: &Arc<Self>) -> Seat {
        loop {
            // Made before the look, so that no change after it is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.places.len() < self.most {
                    return self.take(&mut state);
                }
                state.let_one_go(self.most, self.breath);
            }
            // Silence is no change: time alone tells.
            let _ = timeout(self.breath, changed).await;
        }
    }

    /// Lets a connection go that nobody works for, if there is one.
    pub(super) fn let_one_go(&self) {
        self.state().let_one_go(self.most, self.breath);
    }

    fn take(self: &Arc<Self>, state: &mut State) -> Seat {
        let number = state.number();
        let place = Place { since: number, fresh: Some(Instant::now()), ..Place::default() };
        let leave = Arc::clone(&place.leave);
        state.places.insert(number, place);
        Seat(Arc::new(Taken { room: Arc::clone(self), number, leave }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn let_one_go(&mut self, most: usize, breath: Duration) {
        // Whoever was told to go is about to.
        if self.places.values().any(|place| place.leaving && place.may_go()) {
            return;
        }
        let listening = |place: &Place| place.events == Some(Events::Listening);
        let streams = self.places.values().filter(|place| listening(place)).count();
        let now = Instant::now();
        let rank = |place: &Place| match place.awaited {
            _ if place.is_idle() => (!place.stuck && !place.may_speak(now, breath)).then_some((0, place.since)),
            Some(since) => place.is_slow(since, now, breath).then_some((1, place.since)),
            None => (listening(place) && streams > most / 2).then_some((2, place.since)),
        };
        let free = self.places.values_mut().filter(|place| !place.leaving);
        if let Some((_, place)) = free.filter_map(|place| Some((rank(place)?, place))).min_by_key(|(rank, _)| *rank) {
            place.leaving = true;
            place.leave.notify_one();
        }
    }
}

impl Place {
    const fn is_idle(&self) -> bool {
        self.requests == 0
    }

    /// Whether it has just come: its first request may be on its way, or lie there unread.
    fn may_speak(&self, now: Instant, breath: Duration) -> bool {
        self.fresh.is_some_and(|came| now.saturating_duration_since(came) < breath)
    }

    /// Whether a body that is waited for since `since` comes too slowly for others to wait for its seat.
    fn is_slow(&self, since: Instant, now: Instant, breath: Duration) -> bool {
        let pause = now.saturating_duration_since(since);
        let waited = self.waited + pause;
        pause >= breath || waited >= breath && self.came < PACE.saturating_mul(waited.as_secs())
    }

    /// Whether it would cut nothing that the server works at.
    fn may_go(&self) -> bool {
        self.is_idle() && !self.stuck || self.awaited.is_some() || self.events == Some(Events::Listening)
    }
}

impl Seat {
    /// Reads or changes what is known of this connection; others may take a look at it afterwards when that says so.
    fn with<T>(&self, act: impl FnOnce(&mut Place, u64) -> (T, bool)) -> Option<T> {
        let Taken { room, number, .. } = self.0.as_ref();
        let mut state = room.state();
        let since = state.number();
        let (done, changed) = act(state.places.get_mut(number)?, since);
        drop(state);
        if changed {
            room.changed.notify_waiters();
        }
        Some(done)
    }

    fn is(&self, what: impl FnOnce(&Place) -> bool) -> bool {
        self.with(|place, _| (what(place), false)).unwrap_or_default()
    }

    /// A request begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.with(|place, _| {
            place.requests += 1;
            (place.fresh, place.waited, place.came) = (None, Duration::ZERO, 0);
            ((), false)
        });
        UnderWay(self.clone())
    }

    /// The server waits for more of a request's body, or no longer; so many bytes of it `came` since the last word.
    pub(super) fn set_awaited(&self, awaited: bool, came: u64) {
        self.with(|place, since| {
            place.since = since;
            place.waited += place.awaited.map(|since| since.elapsed()).unwrap_or_default();
            place.came += came;
            place.awaited = awaited.then(Instant::now);
            ((), false)
        });
    }

    /// The answer under way is a stream of events.
    pub(super) fn set_events(&self, events: Events) {
        self.with(|place, since| {
            (place.since, place.events) = (since, Some(events));
            ((), true)
        });
    }

    /// Waits until the room needs the seat.
    pub(super) async fn wanted(&self) {
        self.0.leave.notified().await;
    }

    /// Whether the connection may be dropped: nothing that the server works at would be cut.
    pub(super) fn may_go(&self) -> bool {
        self.is(Place::may_go)
    }

    /// Whether a request is under way that came whole and is answered by one piece of text, not by events as they happen.
    pub(super) fn owes_an_answer(&self) -> bool {
        self.is(|place| place.requests > 0 && place.events.is_none() && place.awaited.is_none())
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.is(Place::is_idle)
    }

    /// Whether the server waits for more of a request's body.
    pub(super) fn awaits_body(&self) -> bool {
        self.is(|place| place.awaited.is_some())
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        self.with(|place, _| {
            place.stuck = stuck;
            ((), !stuck)
        });
    }

    /// Whether its client has sent a piece of a request's body within this time, which the server takes.
    pub(super) fn is_sending_within(&self, time: Duration) -> bool {
        self.is(|place| place.awaited.is_some_and(|since| since.elapsed() < time))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.with(|place, since| {
            place.requests = place.requests.saturating_sub(1);
            let idle = place.is_idle();
            if idle {
                (place.since, place.events, place.awaited) = (since, None, None);
            }
            ((), idle)
        });
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.state().places.remove(&self.number);
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

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room_and_a_busy_one_never() {
        let room = Room::new(3, Duration::ZERO);
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

    #[tokio::test]
    async fn a_client_that_still_takes_its_answer_is_not_let_go() {
        let room = Room::new(2, Duration::ZERO);
        let (taking, idle) = (now(room.seat()).unwrap(), now(room.seat()).unwrap());
        taking.set_stuck(true);
        room.let_one_go();
        assert!(now(taking.wanted()).is_none() && now(idle.wanted()).is_some());
        drop(idle);
        let busy = now(room.seat()).unwrap();
        let _answer = busy.begin();
        room.let_one_go();
        assert!(now(taking.wanted()).is_none() && now(busy.wanted()).is_none());
        taking.set_stuck(false);
        room.let_one_go();
        assert!(now(taking.wanted()).is_some(), "it has all of it");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_makes_room_for_others() {
        for (breath, goes) in [(Duration::ZERO, true), (Duration::from_secs(3_600), false)] {
            let room = Room::new(3, breath);
            let seats = [(); 3].map(|()| now(room.seat()).unwrap());
            let _requests = seats.iter().map(Seat::begin).collect::<Vec<UnderWay>>();
            for stopped in [0, 1, 0] {
                seats[stopped].set_awaited(false, 0);
                seats[stopped].set_awaited(true, 0);
            }
            room.let_one_go();
            assert_eq!(now(seats[1].wanted()).is_some(), goes, "nothing of it came for longest");
            assert!(now(seats[0].wanted()).is_none() && now(seats[2].wanted()).is_none());
            seats[0].set_awaited(false, 0);
            room.let_one_go();
            assert!(now(seats[0].wanted()).is_none() && now(seats[2].wanted()).is_none(), "both are worked at");
        }
    }

    #[tokio::test]
    async fn who_has_just_come_may_say_what_it_wants() {
        let room = Room::new(2, Duration::from_secs(3_600));
        let [first, second] = [(); 2].map(|()| now(room.seat()).unwrap());
        room.let_one_go();
        assert!(now(first.wanted()).is_none() && now(second.wanted()).is_none(), "their requests may lie there");
        drop(second.begin());
        room.let_one_go();
        assert!(now(first.wanted()).is_none() && now(second.wanted()).is_some());
    }

    #[tokio::test]
    async fn a_body_that_comes_byte_by_byte_makes_room_for_others() {
        let breath = Duration::from_secs(60);
        let start = Instant::now();
        let place = |waited: u64, came: u64| Place { waited: Duration::from_secs(waited), came, ..Place::default() };
        let slow = |place: &Place| place.is_slow(start, start, breath);
        assert!(!slow(&place(59, 1)), "a breath");
        assert!(slow(&place(60, 60)) && !slow(&place(60, 1 << 20)));
        assert!(place(0, 1 << 30).is_slow(start, start + breath, breath), "nothing more comes");
    }

    #[tokio::test]
    async fn streams_of_events_have_half_of_the_seats_when_others_want_them() {
        let room = Room::new(4, Duration::ZERO);
        let seats = [(); 4].map(|()| now(room.seat()).unwrap());
        let _requests = seats.iter().map(Seat::begin).collect::<Vec<UnderWay>>();
        for (seat, events) in seats.iter().zip([Events::Answer, Events::Listening, Events::Listening]) {
            seat.set_events(events);
        }
        room.let_one_go();
        assert!(seats.iter().all(|seat| now(seat.wanted()).is_none()), "two of four may stay");
        seats[3].set_events(Events::Listening);
        room.let_one_go();
        assert!(now(seats[1].wanted()).is_some(), "the oldest");
        assert!([0, 2, 3].iter().all(|one| now(seats[*one].wanted()).is_none()));
    }
}
