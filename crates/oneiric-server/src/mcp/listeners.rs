//! Streams of events by which clients of transport sessions listen: how many each has, as a client keeps one and opens another
//! when that broke; and that they end when the server begins to.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderValue;
use http_body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Streams of one transport session. A client that resumes what a call had begun to tell listens there beside its own stream.
const MOST_STREAMS: usize = 4;

/// The streams that clients listen to, by transport session.
pub(super) struct Listeners {
    streams: Mutex<HashMap<HeaderValue, VecDeque<Weak<Listener>>>>,
    end: CancellationToken,
}

/// A stream, until it is ended for a newer one.
#[derive(Default)]
struct Listener(Mutex<Told>);

#[derive(Default)]
struct Told {
    events: Option<Body>,
    reader: Option<Waker>,
}

impl Listeners {
    /// Streams that end at `end`.
    pub(super) fn until(end: CancellationToken) -> Self {
        Self { streams: Mutex::default(), end }
    }

    /// Ends the oldest streams of a session that has as many as it may. To be done before the library opens the next one, which
    /// is told what happens only when no older one is there to be told.
    pub(super) fn make_room(&self, session: &HeaderValue) {
        self.trim(session, MOST_STREAMS - 1);
    }

    /// `events`, as a stream of this session.
    pub(super) fn hold(&self, session: HeaderValue, events: Body) -> Body {
        let listener = Arc::new(Listener(Mutex::new(Told { events: Some(events), reader: None })));
        locked(&self.streams).entry(session.clone()).or_default().push_back(Arc::downgrade(&listener));
        self.trim(&session, MOST_STREAMS);
        Body::new(Listening { listener, end: Box::pin(self.end.clone().cancelled_owned()) })
    }

    fn trim(&self, session: &HeaderValue, most: usize) {
        let mut ended = Vec::new();
        let mut all = locked(&self.streams);
        all.retain(|_, streams| {
            streams.retain(|stream| stream.strong_count() > 0);
            !streams.is_empty()
        });
        if let Some(streams) = all.get_mut(session) {
            let many = streams.len().saturating_sub(most);
            ended.extend(streams.drain(..many).filter_map(|stream| stream.upgrade()));
        }
        drop(all);
        for listener in ended {
            let told = std::mem::take(&mut *locked(&listener.0));
            drop(told.events);
            if let Some(reader) = told.reader {
                reader.wake();
            }
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half-way while it is held.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a stream.
struct Listening {
    listener: Arc<Listener>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for Listening {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let mut told = locked(&self.listener.0);
        let Some(events) = &mut told.events else { return Poll::Ready(None) };
        let frame = Pin::new(events).poll_frame(context);
        told.reader = Some(context.waker().clone());
        frame
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    /// Nothing happens.
    struct Quiet(#[allow(dead_code, reason = "dropped with it")] Arc<()>);

    impl HttpBody for Quiet {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn the_oldest_stream_of_a_session_goes_for_a_new_one() {
        let end = CancellationToken::new();
        let listeners = Listeners::until(end.clone());
        let (one, other) = (HeaderValue::from_static("one"), HeaderValue::from_static("other"));
        let open = |session: &HeaderValue| {
            let alive = Arc::new(());
            listeners.make_room(session);
            let body = listeners.hold(session.clone(), Body::new(Quiet(Arc::clone(&alive))));
            (alive, body)
        };
        let elsewhere = open(&other);
        let mut streams: VecDeque<_> = (0..MOST_STREAMS).map(|_| open(&one)).collect();
        assert!(streams.iter().all(|(alive, _)| Arc::strong_count(alive) == 2));
        let (alive, body) = streams.pop_front().unwrap();
        let reading = tokio::spawn(axum::body::to_bytes(body, 10));
        tokio::task::yield_now().await;
        listeners.make_room(&one);
        assert_eq!(Arc::strong_count(&alive), 1, "ended before the next one is opened");
        assert_eq!(reading.await.unwrap().unwrap(), "", "its client is told");
        assert!(streams.iter().chain([&elsewhere]).all(|(alive, _)| Arc::strong_count(alive) == 2));
        let (_alive, last) = streams.pop_back().unwrap();
        end.cancel();
        assert_eq!(axum::body::to_bytes(last, 10).await.unwrap(), "", "the server ends");
        drop((streams, elsewhere));
        listeners.make_room(&one);
        assert!(locked(&listeners.streams).is_empty());
    }
}
