//! MCP over standard input and output: one message a line, nothing else.
//!
//! Unlike the library's own line transport, this one answers every line that is no message with a JSON-RPC error, also one
//! that is too long, and an early stray notification does not end the server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::Transport;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::envelope::{Envelope, refusal};
use super::handler::Handler;
use super::params;
use super::visit::Connection;
use crate::stdin::Pieces;

/// Longest message in bytes.
pub const MAX_LINE_BYTES: usize = super::MAX_BODY_BYTES;

/// Time for which calls that wait for lasting work go on after the input has ended. The library waits a second longer for them.
const LAST_WAIT: Duration = Duration::from_secs(4);

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
        begun: false,
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

struct Lines<W> {
    input: Pieces,
    splitter: Splitter,
    output: Arc<Mutex<W>>,
    begun: bool,
    shutdown: CancellationToken,
    /// Ends the waits of calls.
    waits: CancellationToken,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Transport<RoleServer> for Lines<W> {
    type Error = io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let output = Arc::clone(&self.output);
        async move { write_line(&output, &item).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            // Taking from the splitter and waiting for a piece are both safe to give up half-way.
            if self.shutdown.is_cancelled() {
                return None;
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
                    Ok(Some(message)) => {
                        let request = matches!(message, JsonRpcMessage::Request(_));
                        if self.begun || request {
                            self.begun = true;
                            return Some(message);
                        }
                    }
                    Ok(None) => {}
                    Err(error) => self.answer(*error).await?,
                },
                Line::TooLong => {
                    let message = format!("Invalid request: a message exceeds {MAX_LINE_BYTES} bytes");
                    self.answer(*refusal(None, ErrorData::invalid_request(message, None))).await?;
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.lock().await.flush().await
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> Lines<W> {
    async fn answer(&self, error: rmcp::model::JsonRpcError) -> Option<()> {
        write_line(&self.output, &ServerJsonRpcMessage::Error(error)).await.ok()
    }
}

async fn write_line<W: AsyncWrite + Send + Unpin>(output: &Mutex<W>, message: &ServerJsonRpcMessage) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut output = output.lock().await;
    output.write_all(&line).await?;
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
