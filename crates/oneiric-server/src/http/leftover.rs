//! What is left of a request's body once its answer is there. Most clients send all of a body before they read: one that is still
//! sending meets a closed connection, and never sees why it is refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use http_body::{Frame, SizeHint};

use super::body::discard;

/// What nobody has read of a request's body.
#[derive(Clone, Default)]
pub(super) struct Leftover(Arc<Mutex<Option<Body>>>);

impl Leftover {
    /// `body`, of which the rest is left here when its reader has had enough.
    pub(super) fn of(&self, headers: &HeaderMap, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        // Such a client sends nothing before it is told to.
        let wanted = !headers.contains_key(header::EXPECT);
        Body::new(Read { body: Some(body), wanted, left: self.clone() })
    }

    /// Throws it away, at most `limit` bytes, so that whoever still sends gets to read the answer.
    pub(super) async fn discard(self, limit: usize) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = left {
            discard(body, limit).await;
        }
    }
}

/// A body that is read.
struct Read {
    /// Nothing once it has ended.
    body: Option<Body>,
    /// Whether its client sends without a further word.
    wanted: bool,
    left: Leftover,
}

impl HttpBody for Read {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        // One that was waited for and did not come was given up, and is not waited for again.
        self.wanted = frame.is_ready();
        if !matches!(frame, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if self.wanted && !self.is_end_stream() {
            *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}
