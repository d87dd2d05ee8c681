//! The accept loop: connections within bounds, so that nobody can hold the server by doing nothing.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use oneiric::fault::{Fault, Result};
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Held;
use super::coming::Coming;
use super::heads::{MOST_HEAD_BYTES, MOST_HEADERS};
use super::listener::Listener;
use super::room::{Events, Room, Seat};
use super::stream::Stream;

/// Most connections at once, whatever the system allows.
const MOST_CONNECTIONS: u64 = 1_024;
/// Pause after a connection could not be accepted: the cause, such as no file descriptor left, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same trouble is not told again for this long: while descriptors are short, some connections are still accepted.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);
/// Time that the rest of a request's head has when the server ends, and each further piece of its body.
const LAST_PIECE: Duration = Duration::from_secs(1);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time until the head of a request is complete, from the moment at which the server waits for it. So a connection
    /// without requests is closed after it too.
    pub head: Duration,
    /// Longest time in which a client takes nothing of its answer.
    pub stall: Duration,
    /// For so long a connection keeps its seat from others without saying what it wants, or without the next piece of a body.
    pub breath: Duration,
    /// Connections at once.
    pub connections: usize,
}

impl Limits {
    /// A minute for both, a second for a breath, and at most half of the files that this process may open: the others are for databases, children
    /// and what requests need.
    #[must_use]
    pub fn of_this_process() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let connections = usize::try_from((files / 2).clamp(8, MOST_CONNECTIONS)).unwrap_or(8);
        let (minute, breath) = (Duration::from_secs(60), Duration::from_secs(1));
        Self { head: minute, stall: minute, breath, connections }
    }
}

/// Serves until `shutdown`, then lets requests under way finish.
///
/// # Errors
/// [`oneiric::fault::FaultKind::Unavailable`] when the socket cannot be used.
pub async fn serve(listener: Listener, router: Router, limits: Limits, shutdown: CancellationToken) -> Result<()> {
    let socket = TcpListener::from_std(listener.socket)
        .map_err(|error| Fault::unavailable(format!("cannot serve {}: {error}", listener.address)))?;
    let room = Room::new(limits.connections, limits.breath);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEAD_BYTES);
    let connections = TaskTracker::new();
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The other side went before it was let in.
            Err(error) if is_of_the_other_side(&error) => continue,
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= TROUBLE_PAUSE) {
                    told = Some(Instant::now());
                    tracing::warn!(%error, "connections cannot be accepted for now");
                }
                room.let_one_go();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let seat = tokio::select! {
            seat = room.seat() => seat,
            () = shutdown.cancelled() => break,
        };
        // Answers are short; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(connection(http.clone(), stream, peer, seat, service, limits.stall, shutdown.clone()));
    }
    drop(socket);
    connections.close();
    connections.wait().await;
    Ok(())
}

fn is_of_the_other_side(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Names a connection for as long as this process lives; addresses come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// A connection to its end.
async fn connection(
    http: http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    router: TowerToHyperService<Router>,
    stall: Duration,
    shutdown: CancellationToken,
) {
    let stream = Stream::new(stream, seat.clone(), stall);
    let (taken, id) = (seat.clone(), ConnectionId::next());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let under_way = taken.begin();
        let seat = taken.clone();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(id);
        let listens = request.method() == Method::GET;
        let answer = router.call(request.map(|body| Coming::new(body, seat.clone())));
        async move {
            answer.await.map(|answer| {
                if is_of_events(&answer) {
                    seat.set_events(if listens { Events::Listening } else { Events::Answer });
                }
                answer.map(|body| Held::new(body, under_way))
            })
        }
    });
    let mut connection = pin!(http.serve_connection(stream, service));
    tokio::select! {
        ended = connection.as_mut() => return said(ended),
        () = seat.wanted() => if seat.may_go() {
            return tracing::debug!(%peer, "a connection was let go for another");
        },
        () = shutdown.cancelled() => {}
    }
    // What is under way finishes, and nothing follows it.
    connection.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            ended = connection.as_mut() => return said(ended),
            // Bytes that come one by one make it no longer than the end may take as a whole.
            () = tokio::time::sleep(LAST_PIECE) => if seat.may_go() && !seat.is_sending_within(LAST_PIECE) {
                return;
            },
        }
    }
}

fn is_of_events(answer: &Response<Body>) -> bool {
    answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn said(ended: std::result::Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
