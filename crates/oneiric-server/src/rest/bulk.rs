//! Routes whose answer or body is lines of JSON of any length: written and read piece by piece, in bounded memory.

use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use oneiric::fault::Fault;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Problem;
use crate::mcp::{ToolError, json as json_response};

/// What lines of JSON are called.
pub(super) const LINES: &str = "application/x-ndjson";
/// Longest wait for the other side to take or give a piece.
const PIECE_LIMIT: Duration = Duration::from_secs(30);
/// Pieces on their way at once.
const WAITING: usize = 4;
/// Bytes of a piece that is written.
const PIECE_BYTES: usize = 64 * 1024;
/// Of these at once, because each holds a thread and a view of the store.
pub(super) const AT_ONCE: usize = 2;
/// Longest time that all of a body may take.
pub(crate) const BODY_LIMIT: Duration = Duration::from_secs(3_600);

/// Takes a line; an error says that nobody wants more.
pub type Show<'a> = &'a mut dyn FnMut(&str) -> Result<(), Fault>;

/// What a program does behind such routes. Calls block.
pub trait Bulk: Send + Sync + 'static {
    /// Shows the lines of the answer of `tool`.
    ///
    /// # Errors
    /// What the caller should read. After the first line it only ends the answer.
    fn give(&self, tool: &str, arguments: Map<String, Value>, show: Show<'_>) -> Result<(), ToolError>;

    /// Reads the lines that came for `tool`; gives the answer.
    ///
    /// # Errors
    /// What the caller should read.
    fn take(&self, tool: &str, lines: &mut dyn BufRead) -> Result<Value, ToolError>;
}

type Piece = Result<Bytes, ToolError>;

/// Answers with lines. `permit` is held for as long as they are written.
pub(super) async fn give(
    bulk: Arc<dyn Bulk>,
    tool: &'static str,
    arguments: Map<String, Value>,
    permit: impl Send + 'static,
) -> Result<Response<Body>, Problem> {
    let (sender, mut pieces) = mpsc::channel::<Piece>(WAITING);
    let whole = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&whole);
    let mut outlet = Outlet { sender: Some(sender), runtime: Handle::current(), limit: PIECE_LIMIT };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let given = bulk.give(tool, arguments, &mut |line| {
            piece.extend_from_slice(line.as_bytes());
            piece.push(b'\n');
            if piece.len() < PIECE_BYTES { Ok(()) } else { outlet.send(Ok(std::mem::take(&mut piece).into())) }
        });
        // Fails only when nobody reads.
        let sent = match given {
            Ok(()) if piece.is_empty() => Ok(()),
            Ok(()) => outlet.send(Ok(piece.into())),
            Err(error) => outlet.send(Err(error)),
        };
        written.store(sent.is_ok(), Ordering::Release);
    });
    let first = pieces.recv().await.transpose().map_err(Problem::from)?;
    let mut response = Response::new(Body::new(Pieces { first, pieces, whole }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(response)
}

/// Where blocking code puts pieces of an answer.
struct Outlet {
    /// Nothing once nobody reads.
    sender: Option<mpsc::Sender<Piece>>,
    runtime: Handle,
    limit: Duration,
}

impl Outlet {
    /// Waits until the piece is taken up. Once one was not in time, none is any more, and nobody waits again.
    fn send(&mut self, piece: Piece) -> Result<(), Fault> {
        let sent = self.sender.as_ref().is_some_and(|sender| {
            let sending = async { tokio::time::timeout(self.limit, sender.send(piece)).await };
            matches!(self.runtime.block_on(sending), Ok(Ok(())))
        });
        if !sent {
            self.sender = None;
        }
        sent.then_some(()).ok_or_else(|| Fault::unavailable("nobody reads the answer"))
    }
}

/// The body of an answer; it breaks off when something fails on the way, so that nobody takes a part for the whole.
struct Pieces {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Piece>,
    /// Whether all that was to be said was sent.
    whole: Arc<AtomicBool>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(Ok(piece)) => Some(Ok(Frame::data(piece))),
            Some(Err(error)) => Some(Err(io::Error::other(error.message().to_owned()))),
            None if self.whole.load(Ordering::Acquire) => None,
            None => Some(Err(io::Error::other("the answer broke off"))),
        })
    }
}

/// Reads a body of lines.
pub(super) async fn take(
    bulk: Arc<dyn Bulk>,
    tool: &'static str,
    headers: &HeaderMap,
    mut body: Body,
    permit: impl Send + 'static,
) -> Result<Response<Body>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if ![LINES, "application/jsonl"].contains(&essence.as_str()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body has to be lines of JSON",
        )
        .with("hint", "send Content-Type: application/x-ndjson"));
    }
    let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let taking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        bulk.take(tool, &mut Input { piece: Bytes::new(), pieces })
    });
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let piece = match tokio::time::timeout(PIECE_LIMIT, frame).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
            Ok(Some(Err(_))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came for 30 seconds")),
        };
        let broken = piece.is_err();
        // The reader may have seen enough.
        if sender.send(piece).await.is_err() || broken {
            break;
        }
    }
    drop(sender);
    match taking.await {
        Ok(Ok(answer)) => Ok(json_response(StatusCode::OK, answer.to_string())),
        Ok(Err(error)) => Err(Problem::from(error)),
        Err(error) => {
            tracing::error!(%error, "a body of lines was not read to its end");
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "it failed unexpectedly; the log says more",
            ))
        }
    }
}

/// A body as blocking code reads it.
struct Input {
    piece: Bytes,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(&[]),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.piece.split_to(amount.min(self.piece.len()));
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_who_took_too_long_is_waited_for_once() {
        let (sender, mut pieces) = mpsc::channel::<Piece>(1);
        let (runtime, limit) = (Handle::current(), Duration::from_millis(1));
        let mut outlet = Outlet { sender: Some(sender), runtime, limit };
        let sending = tokio::task::spawn_blocking(move || {
            outlet.send(Ok("one".into())).unwrap();
            assert!(outlet.send(Ok("two".into())).is_err(), "nobody takes it");
            outlet
        });
        let mut outlet = sending.await.unwrap();
        assert_eq!(pieces.recv().await.unwrap().unwrap(), "one");
        let sending = tokio::task::spawn_blocking(move || outlet.send(Ok("three".into())));
        assert!(sending.await.unwrap().is_err(), "its place is free by now");
        assert!(pieces.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_part_is_not_taken_for_the_whole() {
        for whole in [true, false] {
            let (sender, pieces) = mpsc::channel::<Piece>(1);
            sender.send(Ok("one".into())).await.unwrap();
            drop(sender);
            let body = Body::new(Pieces { first: None, pieces, whole: Arc::new(AtomicBool::new(whole)) });
            assert_eq!(axum::body::to_bytes(body, 9).await.is_ok(), whole);
        }
    }
}
