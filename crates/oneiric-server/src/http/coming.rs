//! A request's body as its connection sees it: whether the server waits for more of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::room::Seat;

/// The body of a request, which tells its connection's seat while somebody waits for it.
pub(super) struct Coming {
    body: Incoming,
    seat: Seat,
    awaited: bool,
    /// Bytes that came since its seat was told last.
    came: u64,
}

impl Coming {
    pub(super) const fn new(body: Incoming, seat: Seat) -> Self {
        Self { body, seat, awaited: false, came: 0 }
    }

    fn note(&mut self, awaited: bool) {
        if std::mem::replace(&mut self.awaited, awaited) != awaited {
            self.seat.set_awaited(awaited, std::mem::take(&mut self.came));
        }
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.came += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        self.note(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.note(false);
    }
}
