//! Reading a request body within a bound.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};

/// What reading a body came to.
#[derive(Debug)]
pub(crate) enum ReadBody {
    /// All of it.
    Complete(Vec<u8>),
    /// More than allowed.
    TooLarge,
    /// The sender went away.
    Broken,
}

/// How many times the limit is read and thrown away, so that a client that is still sending gets to see the answer.
const DRAIN_FACTOR: usize = 8;

/// Reads at most `limit` bytes.
pub(crate) async fn read_body(mut body: Body, limit: usize) -> ReadBody {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > limit.saturating_mul(DRAIN_FACTOR) {
        // More than would be thrown away: waiting for it helps nobody.
        return ReadBody::TooLarge;
    }
    let mut kept = Vec::with_capacity(expected.min(limit));
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

/// Longest time for it: whoever may not call does not get to hold a connection by sending slowly.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// Throws away what a refused client is still sending, so that it gets to see why; at most `limit` bytes.
pub(crate) async fn discard(mut body: Body, limit: usize) {
    let reading = async {
        let mut seen = 0_usize;
        while seen <= limit
            && let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            seen = seen.saturating_add(frame.data_ref().map_or(0, |data| data.len()));
        }
    };
    let _ = tokio::time::timeout(DISCARD_LIMIT, reading).await;
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
}
