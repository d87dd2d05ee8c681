//! A connection's bytes, with a bound on how long its client may take none of them, and for clients that close their sending
//! side once their request is out.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::room::Seat;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A connection whose writes fail when nothing of them is taken for `limit`.
///
/// The end of what its client sends is kept back while an answer is owed: the library would take it for the client's leaving
/// and drop the request. A reset is told at once, and so is the end while events are streamed, which a client ends that way.
pub(super) struct Stream {
    io: TokioIo<TcpStream>,
    seat: Seat,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    sent: Sent,
    /// Something was written and not flushed, which the library does when it has written all of an answer.
    writing: bool,
    /// Whoever is to be told the end once it is flushed.
    reader: Option<Waker>,
}

/// How far the client has come with all that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// More may come.
    Some,
    /// All came, just now.
    All,
    /// All came, and whoever reads a body has had a turn since.
    AllLooked,
}

impl Stream {
    pub(super) fn new(io: TcpStream, seat: Seat, limit: Duration) -> Self {
        Self { io: TokioIo::new(io), seat, limit, waiting: None, sent: Sent::Some, writing: false, reader: None }
    }

    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.waiting.take().is_some() {
                self.seat.set_stuck(false);
            }
            return written;
        }
        let (limit, seat) = (self.limit, &self.seat);
        let waiting = self.waiting.get_or_insert_with(|| {
            seat.set_stuck(true);
            Box::pin(sleep(limit))
        });
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.sent == Sent::Some {
            // By a piece of its own, as the library's buffer does not tell how much came.
            let mut bytes = [MaybeUninit::<u8>::uninit(); PIECE_BYTES];
            let room = buffer.remaining().min(PIECE_BYTES);
            let mut piece = ReadBuf::uninit(&mut bytes[..room]);
            ready!(Pin::new(self.io.inner_mut()).poll_read(context, &mut piece))?;
            if !piece.filled().is_empty() || room == 0 {
                buffer.put_slice(piece.filled());
                return Poll::Ready(Ok(()));
            }
            self.sent = Sent::All;
        }
        if self.seat.owes_an_answer() {
            // The answer wakes the connection.
            return Poll::Pending;
        }
        if self.writing && self.seat.is_idle() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if self.sent == Sent::All && self.seat.awaits_body() {
            // The last of a body may lie ready for somebody who has not looked yet.
            self.sent = Sent::AllLooked;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing = true;
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if flushed.is_ready() {
            self.writing = false;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing = true;
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.bounded(context, written)
    }
}
