//! Connections that hold the server by doing nothing, or by being many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use http_body::Frame;
use oneiric_server::http::{BindRequest, Limits, bind, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_millis(100);
const LONGER: Duration = Duration::from_millis(400);
const MINUTE: Duration = Duration::from_secs(60);

struct Serving {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    /// Lets requests of `/gate` through, one each.
    gate: Arc<Semaphore>,
    /// Says that a request has come to `/gate`, or listens at `/events`.
    came: mpsc::UnboundedReceiver<()>,
    /// Says that such a request is over.
    went: mpsc::UnboundedReceiver<()>,
}

/// Says when it is dropped.
struct Here(mpsc::UnboundedSender<()>);

impl Drop for Here {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Events that never happen.
struct Quiet(#[allow(dead_code, reason = "dropped with it")] Here);

impl HttpBody for Quiet {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

impl Serving {
    fn start(limits: Limits) -> Self {
        let listener =
            bind(&BindRequest { host: "127.0.0.1", port: 0, authenticated: false, allow_insecure: false }).unwrap();
        let (address, shutdown) = (listener.address, CancellationToken::new());
        let gate = Arc::new(Semaphore::new(0));
        let (coming, came) = mpsc::unbounded_channel();
        let (going, went) = mpsc::unbounded_channel();
        let events = {
            let (coming, going) = (coming.clone(), going.clone());
            move || {
                let body = Body::new(Quiet(Here(going.clone())));
                coming.send(()).unwrap();
                async { ([("content-type", "text/event-stream")], body) }
            }
        };
        let waiting = {
            let gate = Arc::clone(&gate);
            move || {
                let (gate, coming, here) = (Arc::clone(&gate), coming.clone(), Here(going.clone()));
                async move {
                    let _here = here;
                    coming.send(()).unwrap();
                    gate.acquire().await.unwrap().forget();
                    "through"
                }
            }
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
            .route(
                "/slow",
                get(|| async {
                    tokio::time::sleep(LONGER).await;
                    "slow"
                }),
            )
            .route("/pieces", get(|| async { Body::new(pieces()) }))
            .route("/large", get(|| async { vec![b'x'; 32 << 20] }))
            .route("/take", post(take))
            .route("/events", get(events.clone()).post(events))
            .route("/gate", get(waiting));
        let until = shutdown.clone();
        let ended = tokio::spawn(async move { serve(listener, router, limits, until).await.unwrap() });
        Self { address, shutdown, ended, gate, came, went }
    }

    fn bounded(connections: usize) -> Self {
        Self::start(Limits { head: MINUTE, stall: MINUTE, breath: LIMIT, connections })
    }

    fn hasty() -> Self {
        Self::start(Limits { head: LIMIT, stall: LIMIT, breath: LIMIT, connections: 64 })
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap();
    }
}

/// Says how long a body is.
async fn take(body: Body) -> String {
    to_bytes(body, 1 << 20).await.map_or_else(|_| "broken".into(), |all| all.len().to_string())
}

/// Two pieces with more than the limit between them.
fn pieces() -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Send + 'static {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in ["one ", "two"] {
            tokio::time::sleep(LONGER).await;
            sender.send(piece).await.unwrap();
        }
    });
    Pieces(receiver)
}

struct Pieces(mpsc::Receiver<&'static str>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// Sends a request for `path` and reads its answer up to `end`; the connection stays.
async fn ask(stream: &mut TcpStream, path: &str, end: &str) -> String {
    write(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    until(stream, end).await
}

/// What comes up to `end`, or to the end of the connection.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.ends_with(end) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
    text
}

/// Waits until the server closes the connection; nothing may come before.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A connection that is dropped with bytes unread is reset.
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[tokio::test]
async fn half_a_head_and_silence_are_closed_after_the_limit() {
    let serving = Serving::hasty();
    let (mut silent, mut half) = (serving.connect().await, serving.connect().await);
    write(&mut half, "GET / HTTP/1.1\r\nHost: loc").await;
    closed(&mut silent).await;
    closed(&mut half).await;
    let mut dripping = serving.connect().await;
    write(&mut dripping, "GET / HTTP/1.1\r\n").await;
    // Bytes that keep coming do not make it longer.
    while dripping.write_all(b"x: y\r\n").await.is_ok() {
        tokio::time::sleep(LIMIT / 10).await;
    }
    serving.end().await;
}

#[tokio::test]
async fn a_connection_without_further_requests_is_closed_after_the_limit() {
    let serving = Serving::hasty();
    let mut stream = serving.connect().await;
    for _ in 0..2 {
        assert!(ask(&mut stream, "/", "hello").await.starts_with("HTTP/1.1 200 OK"));
    }
    closed(&mut stream).await;
    serving.end().await;
}

#[tokio::test]
async fn what_is_under_way_may_take_longer_than_the_limit() {
    let serving = Serving::hasty();
    let (mut slow, mut pieces, mut taking) =
        (serving.connect().await, serving.connect().await, serving.connect().await);
    let give = async {
        write(&mut taking, "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n").await;
        for piece in ["ab", "cd"] {
            tokio::time::sleep(LONGER).await;
            write(&mut taking, piece).await;
        }
        until(&mut taking, "\r\n4").await
    };
    let (slow, pieces, given) =
        tokio::join!(ask(&mut slow, "/slow", "slow"), ask(&mut pieces, "/pieces", "0\r\n\r\n"), give);
    assert!(slow.ends_with("\r\n\r\nslow"), "{slow}");
    assert!(pieces.ends_with("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"), "{pieces}");
    assert!(given.ends_with("\r\n\r\n4"), "{given}");
    serving.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let serving = Serving::hasty();
    let mut stream = serving.connect().await;
    write(&mut stream, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = [0; 8];
    stream.read_exact(&mut first).await.unwrap();
    // Waits for the connection, which nobody reads from, to be given up.
    serving.end().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 32 << 20, "{}", rest.len());
}

#[tokio::test]
async fn the_end_finishes_requests_and_waits_for_no_idle_connection() {
    let mut serving = Serving::bounded(64);
    let (fresh, mut idle, mut half, mut busy) =
        (serving.connect().await, serving.connect().await, serving.connect().await, serving.connect().await);
    ask(&mut idle, "/", "hello").await;
    write(&mut half, "GET / HTTP/1.1\r\n").await;
    write(&mut busy, "GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    serving.came.recv().await.unwrap();
    serving.shutdown.cancel();
    for mut stream in [fresh, idle, half] {
        closed(&mut stream).await;
    }
    assert!(!serving.ended.is_finished());
    serving.gate.add_permits(1);
    assert!(until(&mut busy, "through").await.ends_with("through"));
    closed(&mut busy).await;
    serving.end().await;
}

#[tokio::test]
async fn more_connections_than_the_limit_take_turns() {
    let serving = Serving::bounded(4);
    let mut held = Vec::new();
    for number in 0..40 {
        let mut stream = serving.connect().await;
        if number % 2 == 0 {
            write(&mut stream, "GET / HTTP/1.1\r\nHos").await;
        }
        held.push(stream);
    }
    let mut stream = serving.connect().await;
    let peer = stream.local_addr().unwrap().to_string();
    assert!(ask(&mut stream, "/peer", &peer).await.ends_with(&peer));
    for mut stream in held.drain(..37) {
        closed(&mut stream).await;
    }
    // Those that came last still have their seats.
    write(&mut held[1], "t: localhost\r\n\r\n").await;
    assert!(until(&mut held[1], "hello").await.ends_with("hello"));
    serving.end().await;
}

#[tokio::test]
async fn of_many_who_come_at_once_all_are_heard() {
    let serving = Serving::start(Limits { head: MINUTE, stall: MINUTE, breath: MINUTE, connections: 2 });
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = serving.connect().await;
        assert!(ask(&mut stream, "/", "hello").await.ends_with("hello"));
        idle.push(stream);
    }
    let mut many = Vec::new();
    for _ in 0..12 {
        let mut stream = serving.connect().await;
        write(&mut stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        many.push(stream);
    }
    for mut stream in many {
        assert!(until(&mut stream, "hello").await.ends_with("hello"));
    }
    serving.end().await;
}

#[tokio::test]
async fn requests_under_way_keep_their_seats_and_others_wait() {
    let mut serving = Serving::bounded(2);
    let (mut first, mut second) = (serving.connect().await, serving.connect().await);
    for stream in [&mut first, &mut second] {
        write(stream, "GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        serving.came.recv().await.unwrap();
    }
    let mut third = serving.connect().await;
    write(&mut third, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    serving.gate.add_permits(1);
    assert!(until(&mut third, "hello").await.ends_with("hello"), "served when one of them was done");
    serving.gate.add_permits(1);
    for stream in [&mut first, &mut second] {
        assert!(until(stream, "through").await.ends_with("through"));
    }
    serving.end().await;
}

#[tokio::test]
async fn a_client_that_has_sent_all_it_will_gets_its_answer() {
    let mut serving = Serving::bounded(64);
    let post = "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd";
    let chunked = "POST /take HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let twice = format!("{get}{get}");
    for (request, end) in [(get, "hello"), (post, "\r\n4"), (chunked, "\r\n4"), (twice.as_str(), "hello")] {
        let mut stream = serving.connect().await;
        write(&mut stream, request).await;
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(end), "{request}: {answer}");
        assert_eq!(answer.matches("200 OK").count(), request.matches("Host").count(), "{answer}");
    }
    let mut large = serving.connect().await;
    write(&mut large, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    large.shutdown().await.unwrap();
    let mut all = Vec::new();
    large.read_to_end(&mut all).await.unwrap();
    assert!(all.len() > 32 << 20, "{}", all.len());
    // The answer comes long after the client's last word.
    let mut waiting = serving.connect().await;
    write(&mut waiting, "GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    waiting.shutdown().await.unwrap();
    serving.came.recv().await.unwrap();
    tokio::time::sleep(LIMIT).await;
    serving.gate.add_permits(1);
    assert!(until(&mut waiting, "through").await.ends_with("through"));
    closed(&mut waiting).await;
    serving.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_between_requests_gives_its_seat_back() {
    let serving = Serving::bounded(64);
    for end in ["hello", "slow", "0\r\n\r\n"] {
        let path = if end == "hello" {
            "/"
        } else if end == "slow" {
            "/slow"
        } else {
            "/pieces"
        };
        let mut stream = serving.connect().await;
        ask(&mut stream, path, end).await;
        stream.shutdown().await.unwrap();
        // Long before the limit of a head, which is a minute.
        tokio::time::timeout(Duration::from_secs(20), closed(&mut stream)).await.unwrap();
    }
    serving.end().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_to_whoever_reads_it() {
    let serving = Serving::bounded(64);
    let mut stream = serving.connect().await;
    write(&mut stream, "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabcd").await;
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.contains("\r\n4"), "{answer}");
    serving.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_events_and_a_reset_its_request() {
    let mut serving = Serving::bounded(64);
    for method in ["GET", "POST"] {
        let mut stream = serving.connect().await;
        let head = format!("{method} /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        write(&mut stream, &head).await;
        until(&mut stream, "\r\n\r\n").await;
        serving.came.recv().await.unwrap();
        drop(stream);
        serving.went.recv().await.unwrap();
    }
    let mut stream = serving.connect().await;
    write(&mut stream, "GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    serving.came.recv().await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    serving.went.recv().await.unwrap();
    serving.end().await;
}

#[tokio::test]
async fn bodies_that_do_not_come_make_room_for_others() {
    let serving = Serving::bounded(2);
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut stream = serving.connect().await;
        write(&mut stream, "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").await;
        held.push(stream);
    }
    let mut stream = serving.connect().await;
    assert!(ask(&mut stream, "/", "hello").await.ends_with("hello"));
    serving.end().await;
}

#[tokio::test]
async fn streams_of_events_make_room_for_others() {
    let mut serving = Serving::bounded(4);
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = serving.connect().await;
        write(&mut stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        serving.came.recv().await.unwrap();
        held.push(stream);
    }
    let mut stream = serving.connect().await;
    assert!(ask(&mut stream, "/", "hello").await.ends_with("hello"));
    serving.end().await;
}

#[tokio::test]
async fn the_end_waits_for_no_body_that_does_not_come() {
    let serving = Serving::bounded(64);
    let mut half = serving.connect().await;
    write(&mut half, "POST /take HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
        .await;
    assert!(until(&mut half, "\r\n\r\n").await.starts_with("HTTP/1.1 100"), "it is waited for");
    write(&mut half, "{").await;
    serving.end().await;
    closed(&mut half).await;
}
