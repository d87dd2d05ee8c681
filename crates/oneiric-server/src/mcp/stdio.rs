//! MCP over standard input and output: one message a line, nothing else.
//!
//! Unlike the library's own line transport, this one answers every line that is no message with a JSON-RPC error, also one
//! that is too long, and an early stray notification does not end the server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::Transport;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::envelope::{Envelope, refusal};
use super::handler::Handler;
use super::params;
use super::taking::{Giving, Taking};
use super::underway::{UnderWay, taken};
use super::visit::Connection;
use crate::stdin::Pieces;

/// Longest message in bytes.
pub const MAX_LINE_BYTES: usize = super::MAX_BODY_BYTES;

/// Time for which calls that wait for lasting work go on after the input has ended. The library waits a second longer for them.
const LAST_WAIT: Duration = Duration::from_secs(4);

/// Requests of the client that are under way at once, with those whose answers it has not taken. Beyond them nothing is read.
const MOST_UNDER_WAY: usize = 64;

/// Time for which a client whose input has ended may take nothing of its answers, before it is taken for gone.
const STILL_LIMIT: Duration = Duration::from_secs(60);

/// Time for what is still to be written at the end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Serves one client until its input ends or `shutdown`; nothing more is read then, and what was read is answered.
pub async fn serve_stdio<W>(handler: Handler, input: Pieces, output: W, shutdown: CancellationToken)
where
    W: AsyncWrite + Send + Unpin + 'static,
{
    let waits = shutdown.child_token();
    let handler = handler.until(waits.clone()).for_connection(Connection::Stdio);
    let transport = Lines {
        input,
        splitter: Splitter::new(MAX_LINE_BYTES),
        output: Arc::new(Mutex::new(output)),
        taking: Taking::new(),
        begun: false,
        under_way: UnderWay::default(),
        sent: 0,
        answering: None,
        shutdown,
        waits,
    };
    // Not `shutdown`: the library would break off what is under way.
    match serve_server_with_ct(handler, transport, CancellationToken::new()).await {
        Ok(running) => {
            let _ = running.waiting().await;
        }
        Err(error) => tracing::debug!(%error, "the client left before it said what it wants"),
    }
}

/// What goes on between a client's lines and the server's.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Doing {
    /// A request that has no answer yet.
    Asked(RequestId),
    /// A message that the client has not taken.
    Written(u64),
}

/// A message that is being written.
type Writing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

struct Lines<W> {
    input: Pieces,
    splitter: Splitter,
    output: Arc<Mutex<W>>,
    taking: Taking,
    begun: bool,
    under_way: UnderWay<Doing>,
    /// Messages that were given to be written.
    sent: u64,
    /// The answer to a line that is no message.
    answering: Option<Writing>,
    shutdown: CancellationToken,
    /// Ends the waits of calls.
    waits: CancellationToken,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Transport<RoleServer> for Lines<W> {
    type Error = io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let answered = match &item {
            JsonRpcMessage::Response(answer) => Some(&answer.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        // Before it is written: whoever has read it may use its id again.
        if let Some(id) = answered {
            self.under_way.end(&Doing::Asked(id.clone()));
        }
        self.sent += 1;
        let (output, writing) = (Arc::clone(&self.output), self.under_way.hold(Doing::Written(self.sent)));
        let giving = self.taking.begin();
        async move {
            let _writing = writing;
            write_line(&output, &item, &giving).await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            // Everything here may be given up half-way, and is gone on with by the next call.
            let Self { input, answering, under_way, shutdown, waits, taking, .. } = self;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                ready = ready(answering, under_way) => ready?,
                () = abandoned(input, waits, taking) => return None,
            }
            let Some(line) = self.splitter.next() else {
                let piece = tokio::select! {
                    piece = self.input.next() => piece,
                    () = self.shutdown.cancelled() => continue,
                };
                let Some(piece) = piece else {
                    if self.splitter.end() {
                        continue;
                    }
                    let waits = self.waits.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(LAST_WAIT).await;
                        waits.cancel();
                    });
                    return None;
                };
                self.splitter.push(&piece);
                continue;
            };
            match line {
                Line::Whole(text) => match read(&text) {
                    Ok(Some(message)) => match &message {
                        JsonRpcMessage::Request(request) if !self.under_way.begin(Doing::Asked(request.id.clone())) => {
                            self.answer(*taken(request.id.clone()));
                        }
                        JsonRpcMessage::Request(_) => {
                            self.begun = true;
                            return Some(message);
                        }
                        _ if self.begun => {
                            self.note(&message);
                            return Some(message);
                        }
                        _ => {}
                    },
                    Ok(None) => {}
                    Err(error) => self.answer(*error),
                },
                Line::TooLong => {
                    let message = format!("Invalid request: a message exceeds {MAX_LINE_BYTES} bytes");
                    self.answer(*refusal(None, ErrorData::invalid_request(message, None)));
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        let flushing = async { self.output.lock().await.flush().await };
        // A client that takes nothing holds nobody.
        tokio::time::timeout(LAST_WRITE, flushing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> Lines<W> {
    /// A request that the client cancels gets no answer.
    fn note(&self, message: &ClientJsonRpcMessage) {
        if let JsonRpcMessage::Notification(notification) = message
            && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(id) = &cancelled.params.request_id
        {
            self.under_way.end(&Doing::Asked(id.clone()));
        }
    }

    /// Answers what the library does not get to see, before the next line is read.
    fn answer(&mut self, error: rmcp::model::JsonRpcError) {
        let (output, giving) = (Arc::clone(&self.output), self.taking.begin());
        let answering = async move { write_line(&output, &ServerJsonRpcMessage::Error(error), &giving).await };
        self.answering = Some(Box::pin(answering));
    }
}

/// Waits until the next line may be read: what this transport has to say itself is written, and requests under way are not too
/// many. `None` when nothing can be written any more.
async fn ready(answering: &mut Option<Writing>, under_way: &UnderWay<Doing>) -> Option<()> {
    if let Some(writing) = answering {
        let written = writing.await;
        *answering = None;
        written.ok()?;
    }
    under_way.fewer_than(MOST_UNDER_WAY).await;
    Some(())
}

/// Waits until nothing more comes and the client takes nothing of what is there for it. Calls that only wait for lasting work
/// stop to wait meanwhile: others that were sent before the end want their places.
async fn abandoned(input: &Pieces, waits: &CancellationToken, taking: &Taking) {
    loop {
        tokio::time::sleep(LAST_WAIT).await;
        if !input.has_ended() {
            continue;
        }
        waits.cancel();
        if taking.stands_still() >= STILL_LIMIT {
            tracing::warn!(
                seconds = STILL_LIMIT.as_secs(),
                "the client is gone and takes no answers; what else it sent is not read"
            );
            return;
        }
    }
}

async fn write_line<W: AsyncWrite + Send + Unpin>(
    output: &Mutex<W>,
    message: &ServerJsonRpcMessage,
    giving: &Giving,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut output = output.lock().await;
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        let taken = output.write(rest).await?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        giving.taken();
        rest = &rest[taken..];
    }
    output.flush().await
}

/// Reads a line. `Ok(None)` is a notification this server has no use for.
fn read(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Box<rmcp::model::JsonRpcError>> {
    let envelope = Envelope::read(line)?;
    let read = serde_json::from_slice::<ClientJsonRpcMessage>(line);
    let understood = read.as_ref().is_ok_and(|message| match message {
        JsonRpcMessage::Request(request) => !matches!(request.request, ClientRequest::CustomRequest(_)),
        _ => envelope.id.is_none() || envelope.method.is_none(),
    });
    if let (Some(id), Some(method)) = (&envelope.id, &envelope.method) {
        let fault = if understood { params::fault } else { params::refused };
        if let Some(message) = fault(method, envelope.params) {
            return Err(refusal(Some(id.clone()), ErrorData::invalid_params(message, None)));
        }
    }
    match read {
        Ok(message) => Ok(Some(message)),
        Err(_) if envelope.id.is_none() && envelope.method.is_some() => Ok(None),
        Err(error) => Err(refusal(envelope.id, ErrorData::invalid_request(format!("Invalid request: {error}"), None))),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// Cuts a stream into lines of bounded length.
struct Splitter {
    limit: usize,
    pending: Vec<u8>,
    ready: std::collections::VecDeque<Line>,
    skipping: bool,
}

impl Splitter {
    fn new(limit: usize) -> Self {
        Self { limit, pending: Vec::new(), ready: std::collections::VecDeque::new(), skipping: false }
    }

    fn next(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    /// Nothing more comes: what is pending is a line, too. Says whether there is one.
    fn end(&mut self) -> bool {
        self.push(b"\n");
        !self.ready.is_empty()
    }

    fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (part, rest, complete) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&piece[..end], &piece[end + 1..], true),
                None => (piece, &piece[piece.len()..], false),
            };
            piece = rest;
            if !self.skipping {
                if self.pending.len() + part.len() > self.limit {
                    self.pending = Vec::new();
                    self.skipping = true;
                    self.ready.push_back(Line::TooLong);
                } else {
                    self.pending.extend_from_slice(part);
                }
            }
            if complete {
                let whole = std::mem::take(&mut self.pending);
                let skipped = std::mem::take(&mut self.skipping);
                if !skipped && whole.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    self.ready.push_back(Line::Whole(whole));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_needs_no_end() {
        let mut splitter = Splitter::new(8);
        splitter.push(b"one\ntwo");
        assert_eq!(splitter.next(), Some(Line::Whole(b"one".to_vec())));
        assert!(splitter.next().is_none() && splitter.end());
        assert_eq!(splitter.next(), Some(Line::Whole(b"two".to_vec())));
        assert!(!splitter.end());
    }

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let text = b"one\r\n\n0123456789\ntwo\n";
        let mut all = Vec::new();
        for size in 1..=text.len() {
            let mut splitter = Splitter::new(8);
            let mut lines = Vec::new();
            for piece in text.chunks(size) {
                splitter.push(piece);
                lines.extend(std::iter::from_fn(|| splitter.next()));
            }
            all.push(lines);
        }
        let expected = vec![Line::Whole(b"one\r".to_vec()), Line::TooLong, Line::Whole(b"two".to_vec())];
        assert!(all.iter().all(|lines| *lines == expected), "{all:?}");
    }
}
