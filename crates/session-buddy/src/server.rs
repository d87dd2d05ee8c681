//! The process that serves: which door it opens, what runs behind it, and how it ends.

pub mod access;
pub mod archive;
pub mod capture;
pub mod facts;
pub mod figures;
pub mod launch;
pub mod meaning;
pub mod meters;
pub mod model;
pub mod visitors;
mod words;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use oneiric::audit::AuditLog;
use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::process::ProcessIdentity;
use oneiric::run_file::{self, RunFile, ServerInfo};
use oneiric::secret::Secret;
use oneiric_server::http::{Auth, BindRequest, Gate, Listener, REQUEST_LIMIT, Site, bind, router, serve};
use oneiric_server::lifecycle::{Lifecycle, Parent, Signals};
use oneiric_server::mcp::{Endpoint, Fixture, Handler, serve_stdio};
use oneiric_server::rest::Api;
use oneiric_server::stdin::{Pieces, client_may_be_there, pieces};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, Shelf};
use crate::mcp::{CARD, Tools};
use crate::rest::lines::{Lines, descriptions};
use crate::{PRODUCT, VERSION};
use figures::Figures;
use launch::{Launch, Transport};
use visitors::{FrontDoor, Visitors};

/// Longest time that the end may take.
const END_LIMIT: Duration = Duration::from_secs(8);

/// Serves until something ends it.
///
/// # Errors
/// Why it could not start: configuration, conflict (port or home taken), unavailable (database, home).
pub fn run(launch: Launch) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_stack_size(1024 * 1024)
        .thread_name(PRODUCT)
        .enable_all()
        .build()
        .map_err(|error| Fault::unavailable(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(async { Server::new(launch).run().await });
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

struct Server {
    launch: Launch,
    parent: Parent,
    lifecycle: Lifecycle,
    clock: Arc<dyn Clock>,
    shelf: Arc<archive::Later>,
    desk: Arc<Desk>,
    visitors: Arc<Visitors>,
}

/// An HTTP door that is open.
struct HttpDoor {
    closing: CancellationToken,
    run_file: RunFile,
}

impl Server {
    fn new(launch: Launch) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shelf = Arc::new(archive::Later::new(launch.archive.clone(), Arc::clone(&clock)));
        let desk = Desk::new(Arc::clone(&shelf) as Arc<dyn Shelf>, Arc::clone(&clock), launch.facts.clone())
            .written_by(launch.hand.clone())
            .keeping_by(launch.keeping.clone())
            .searching_by(Arc::clone(&launch.semantics));
        let desk = Arc::new(desk);
        let lifecycle = Lifecycle::new();
        let visitors = Visitors::new(launch.visits.clone(), Arc::clone(&desk), lifecycle.clone());
        Self { launch, parent: Parent::now(), lifecycle, clock, shelf, desk, visitors }
    }

    /// The protocol over the desk; clients that stay are announced to the visitors.
    fn handler(&self) -> Handler {
        let reception = FrontDoor(Arc::clone(&self.visitors));
        Tools::handler(Arc::clone(&self.desk), self.launch.profile).with_reception(Arc::new(reception))
    }

    /// Ends the sessions of clients that are still there.
    async fn all_go(&self, reason: &'static str) {
        let visitors = Arc::clone(&self.visitors);
        let _ = tokio::task::spawn_blocking(move || visitors.all_go(reason)).await;
    }

    async fn run(self) -> Result<()> {
        let signals = Signals::listen();
        let served = match self.launch.transport {
            Transport::Http => self.http(signals).await,
            Transport::Stdio => self.stdio(pieces(), signals).await,
            Transport::Auto if client_may_be_there() => self.either(signals).await,
            Transport::Auto => self.http(signals).await,
        };
        self.lifecycle.end();
        if !self.lifecycle.finished(END_LIMIT).await {
            tracing::warn!("some work did not end in time");
        }
        served
    }

    /// HTTP alone.
    async fn http(&self, mut signals: Signals) -> Result<()> {
        // Whoever starts a server by hand wants to know now that its database cannot be used.
        let door = self.open(&mut std::io::stdout(), || self.shelf.store().map(|_| ()))?;
        self.capture();
        let reason = signals.next().await;
        tracing::info!(reason, "ending");
        door.closing.cancel();
        self.all_go(reason).await;
        self.lifecycle.end();
        self.lifecycle.finished(END_LIMIT).await;
        drop(door.run_file);
        Ok(())
    }

    /// Standard input alone.
    async fn stdio(&self, input: Pieces, signals: Signals) -> Result<()> {
        self.warm_up();
        self.capture();
        self.client(input, signals).await
    }

    /// The client on standard input, to its end.
    async fn client(&self, input: Pieces, mut signals: Signals) -> Result<()> {
        self.desk.facts().serving("standard input and output");
        let served = serve_stdio(self.handler(), input, tokio::io::stdout(), self.lifecycle.token());
        let reason = tokio::select! {
            () = served => "end of input",
            reason = signals.next() => reason,
            () = self.parent.gone() => "parent is gone",
        };
        tracing::info!(reason, "ending");
        self.all_go(reason).await;
        Ok(())
    }

    /// HTTP until the first byte on standard input, which says that a client is there.
    async fn either(&self, mut signals: Signals) -> Result<()> {
        self.warm_up();
        self.capture();
        // Standard output belongs to the client that may come, and its handshake must not wait for the database.
        let door = match self.open(&mut std::io::stderr(), || Ok(())) {
            Ok(door) => Some(door),
            Err(fault) => {
                tracing::warn!(%fault, "no HTTP; waiting for a client on standard input");
                None
            }
        };
        let mut input = pieces();
        let first = tokio::select! {
            first = input.next() => first,
            reason = signals.next() => { tracing::info!(reason, "ending"); None }
            () = self.parent.gone() => { tracing::info!(reason = "parent is gone", "ending"); None }
        };
        if let Some(door) = door {
            door.closing.cancel();
            drop(door.run_file);
        }
        match first {
            Some(piece) => {
                input.put_back(piece);
                self.client(input, signals).await
            }
            None => Ok(()),
        }
    }

    fn listen(&self) -> Result<Listener> {
        let launch = &self.launch;
        if let Some(info) = run_file::running(&launch.home, PRODUCT) {
            return Err(Fault::conflict(format!(
                "Session-Buddy already runs for {}: process {} on {}",
                launch.home.root().display(),
                info.pid,
                info.address
            ))
            .hint("use it, or stop it with 'session-buddy mcp stop'"));
        }
        bind(&BindRequest {
            host: &launch.host,
            port: launch.port,
            authenticated: launch.access.is_some(),
            allow_insecure: launch.allow_insecure_bind,
        })
    }

    /// Opens the HTTP door after `before`, and says to `out` how far that has come.
    fn open(&self, out: &mut dyn Write, before: impl FnOnce() -> Result<()>) -> Result<HttpDoor> {
        let listener = self.listen()?;
        let address = listener.address;
        let _ = writeln!(out, "[INFO] Starting Session-Buddy MCP server on {address}");
        before()?;
        let door = self.serve(listener)?;
        let _ = writeln!(out, "[INFO] Session tracking enabled");
        let _ = writeln!(out, "[INFO] Ready to accept connections");
        let _ = out.flush();
        // After the lines that people wait for, which would else be torn apart where both go to one file.
        let launch = &self.launch;
        tracing::info!(%address, mode = launch.mode.as_str(), database = %launch.archive, auth = launch.access.is_some(), "serving");
        Ok(door)
    }

    fn serve(&self, listener: Listener) -> Result<HttpDoor> {
        let launch = &self.launch;
        let address = listener.address;
        let run_file = RunFile::claim(
            &launch.home,
            &ServerInfo {
                product: PRODUCT.into(),
                pid: std::process::id(),
                process: ProcessIdentity::current(),
                address: address.to_string(),
                transport: if launch.mcp { "http" } else { "http without mcp" }.into(),
                mode: launch.mode.as_str().into(),
                version: VERSION.into(),
                database: launch.archive.to_string(),
                arguments: launch.arguments.clone(),
                started_at: self.clock.now(),
            },
        )?;
        self.desk.facts().serving(&format!("http://{address}"));
        let auth = match &launch.access {
            Some(access) => {
                access.door(Arc::clone(&self.clock), AuditLog::in_dir(launch.home.logs(), Arc::clone(&self.clock)))
            }
            None => Auth::off(),
        };
        let closing = self.lifecycle.token().child_token();
        let handler = self.handler();
        let tools = Arc::new(Tools::new(Arc::clone(&self.desk)));
        let lines = Arc::new(Lines(Arc::clone(&self.desk)));
        let api = Api::new(CARD, tools, crate::rest::ROUTES, auth.clone(), Arc::clone(&self.clock))
            .with_bulk(descriptions(), lines);
        let figures = Arc::new(Figures::new(Arc::clone(&self.desk)));
        let site = Site {
            endpoint: launch.mcp.then(|| match launch.fixture {
                false => Endpoint::new(handler, auth.clone(), closing.clone()),
                true => Endpoint::new(
                    Fixture::over(handler, fresh_secret(self.clock.as_ref())),
                    auth.clone(),
                    closing.clone(),
                ),
            }),
            api: Some(api),
            auth,
            gate: Gate::new(&launch.host, !address.ip().is_loopback(), &launch.allowed_hosts),
            health: Arc::clone(&figures) as Arc<dyn oneiric_server::health::HealthSource>,
            metrics: figures,
            limit: REQUEST_LIMIT,
        };
        let until = closing.clone();
        self.lifecycle.spawn(async move {
            if let Err(fault) = serve(listener, router(site), until).await {
                tracing::error!(%fault, "HTTP ended");
            }
        });
        Ok(HttpDoor { closing, run_file })
    }

    fn capture(&self) {
        if let Some(spools) = &self.launch.spools {
            capture::start(&self.lifecycle, &self.desk, spools, &self.clock);
        }
        meaning::start(&self.lifecycle, &self.desk, &self.clock);
        words::start(&self.lifecycle, &self.desk);
    }

    /// Opens the store beside the handshake, not before it.
    fn warm_up(&self) {
        let shelf = Arc::clone(&self.shelf);
        self.lifecycle.spawn(async move {
            let opened = tokio::task::spawn_blocking(move || shelf.store().map(|_| ())).await;
            if let Ok(Err(fault)) = opened {
                tracing::error!(%fault, "the database cannot be used; tools will say so");
            }
        });
    }
}

/// A secret that lives as long as this process.
fn fresh_secret(clock: &dyn Clock) -> Secret {
    Secret::new([EventId::generate(clock.now()).to_string(), EventId::generate(clock.now()).to_string()].concat())
}
