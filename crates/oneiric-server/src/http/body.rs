//! Reading a request body within bounds of size and time, and what goes with the body of an answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

/// What reading a body came to.
#[derive(Debug)]
pub(crate) enum ReadBody {
    /// All of it.
    Complete(Vec<u8>),
    /// More than allowed.
    TooLarge,
    /// The sender went away, or takes too long.
    Broken,
}

/// How many times the limit is read and thrown away, so that a client that is still sending gets to see the answer.
const DRAIN_FACTOR: usize = 8;

/// Reads at most `limit` bytes.
pub(crate) async fn read_body(body: Body, limit: usize) -> ReadBody {
    read(body, limit, limit, || std::future::ready(())).await
}

/// How many bytes of a body are kept before it counts as a large one.
const SMALL: usize = 64 * 1024;
/// Longest time for a body of somebody who may turn out to be nobody.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(10);
/// Large bodies of unknown callers at once, because each is held in memory as a whole.
const UNKNOWN_AT_ONCE: usize = 4;

/// Room for the large bodies of callers who are not known before their body is read.
pub(crate) struct Unknown {
    room: Semaphore,
    limit: Duration,
}

impl Default for Unknown {
    fn default() -> Self {
        Self { room: Semaphore::new(UNKNOWN_AT_ONCE), limit: UNKNOWN_LIMIT }
    }
}

impl Unknown {
    /// Reads at most `limit` bytes for a short time. What comes with a large body holds its room.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> (ReadBody, Option<SemaphorePermit<'_>>) {
        let mut permit = None;
        let reading = read(body, limit, SMALL, || async { permit = self.room.acquire().await.ok() });
        let read = timeout(self.limit, reading).await.unwrap_or(ReadBody::Broken);
        (read, permit)
    }
}

/// Reads at most `limit` bytes, and asks for room when there are more than `small`.
async fn read<F: Future<Output = ()>>(
    mut body: Body,
    limit: usize,
    small: usize,
    room: impl FnOnce() -> F,
) -> ReadBody {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > limit.saturating_mul(DRAIN_FACTOR) {
        // More than would be thrown away: waiting for it helps nobody.
        return ReadBody::TooLarge;
    }
    let mut kept = Vec::with_capacity(expected.min(small));
    let mut room = Some(room);
    let mut seen = 0_usize;
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let data = match frame {
            None if seen > limit => return ReadBody::TooLarge,
            None => return ReadBody::Complete(kept),
            Some(Err(_)) => return ReadBody::Broken,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        seen = seen.saturating_add(data.len());
        if seen > small
            && let Some(room) = room.take()
        {
            room().await;
        }
        if seen <= limit {
            kept.extend_from_slice(&data);
        } else {
            kept = Vec::new();
            if seen > limit.saturating_mul(DRAIN_FACTOR) {
                return ReadBody::TooLarge;
            }
        }
    }
}

/// Longest time in which nothing of a body comes that somebody waits for.
pub(super) const PIECE_LIMIT: Duration = Duration::from_secs(10);

/// Whether a request's body came in time.
#[derive(Clone, Default)]
pub(super) struct Arrival(Arc<State>);

#[derive(Default)]
struct State {
    awaited: AtomicBool,
    late: AtomicBool,
}

impl Arrival {
    /// Whether somebody waits for more of it.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed)
    }

    /// Whether it took too long, and was given up.
    pub(super) fn is_late(&self) -> bool {
        self.0.late.load(Ordering::Relaxed)
    }

    /// `body`, which breaks when nothing of it comes for `piece`, or all of it has not come after `whole`.
    pub(super) fn bound(&self, body: Body, piece: Duration, whole: Duration) -> Body {
        let until = Box::pin(sleep_until(Instant::now() + whole));
        Body::new(Bounded { body, arrival: self.clone(), until, limit: piece, piece: None })
    }
}

/// A body with bounds of time.
struct Bounded {
    body: Body,
    arrival: Arrival,
    until: Pin<Box<Sleep>>,
    limit: Duration,
    /// Runs while somebody waits for a piece.
    piece: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.arrival.0.awaited.store(frame.is_pending(), Ordering::Relaxed);
        if frame.is_ready() {
            self.piece = None;
            return frame;
        }
        let limit = self.limit;
        let piece = self.piece.get_or_insert_with(|| Box::pin(sleep(limit)));
        if piece.as_mut().poll(context).is_pending() && self.until.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.arrival.0.late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Longest time for it: whoever may not call does not get to hold a connection by sending slowly.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// Throws away what a refused client is still sending, so that it gets to see why; at most `limit` bytes.
pub(super) async fn discard(mut body: Body, limit: usize) {
    let reading = async {
        let mut seen = 0_usize;
        while seen <= limit
            && let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            seen = seen.saturating_add(frame.data_ref().map_or(0, |data| data.len()));
        }
    };
    let _ = timeout(DISCARD_LIMIT, reading).await;
}

/// The body of an answer, and what is kept until it is sent or given up.
pub(crate) struct Held<T> {
    body: Body,
    _kept: T,
}

impl<T> Held<T> {
    pub(crate) const fn new(body: Body, kept: T) -> Self {
        Self { body, _kept: kept }
    }
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_or_too_large() {
        assert!(matches!(read_body(Body::from("12345"), 5).await, ReadBody::Complete(all) if all == b"12345"));
        assert!(matches!(read_body(Body::from("123456"), 5).await, ReadBody::TooLarge));
    }

    /// A body that never comes.
    struct Never;

    impl HttpBody for Never {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_is_given_up_and_told_apart_from_one_that_broke() {
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(3_600));
        for (piece, whole) in [(short, long), (long, short)] {
            let arrival = Arrival::default();
            let body = arrival.bound(Body::new(Never), piece, whole);
            assert!(matches!(read_body(body, 5).await, ReadBody::Broken));
            assert!(arrival.is_late() && arrival.is_awaited());
        }
        let whole = Arrival::default();
        assert!(matches!(read_body(whole.bound(Body::from("1"), short, short), 5).await, ReadBody::Complete(_)));
        assert!(!whole.is_late() && !whole.is_awaited());
    }

    #[tokio::test]
    async fn large_bodies_of_unknown_callers_wait_for_each_other_and_small_ones_do_not() {
        let unknown = Unknown { limit: Duration::from_secs(60), ..Unknown::default() };
        let hasty = Duration::from_millis(20);
        let large = || Body::from(vec![b'x'; SMALL + 1]);
        let mut held = Vec::new();
        for _ in 0..UNKNOWN_AT_ONCE {
            let (read, permit) = unknown.read(large(), 2 * SMALL).await;
            assert!(matches!(read, ReadBody::Complete(all) if all.len() == SMALL + 1));
            held.push(permit.unwrap());
        }
        let more = timeout(hasty, unknown.read(large(), 2 * SMALL)).await;
        assert!(more.is_err(), "there is no room");
        assert!(matches!(unknown.read(Body::from("small"), SMALL).await, (ReadBody::Complete(_), None)));
        held.pop();
        assert!(matches!(unknown.read(large(), 2 * SMALL).await, (ReadBody::Complete(_), Some(_))));
        let unknown = Unknown { limit: hasty, ..Unknown::default() };
        assert!(matches!(unknown.read(Body::new(Never), SMALL).await, (ReadBody::Broken, None)));
    }
}
