//! The life of a serving process: which door it opens, what runs behind it, and how it ends. The same for every program.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;
use oneiric::process::ProcessIdentity;
use oneiric::run_file::{self, RunFile, ServerInfo};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::HealthSource;
use crate::http::{Auth, BindRequest, Gate, Limits, Listener, REQUEST_LIMIT, Site, bind, router, serve};
use crate::lifecycle::{Lifecycle, Parent, Signals};
use crate::mcp::{Endpoint, Fixture, Handler, serve_stdio};
use crate::metrics::MetricsSource;
use crate::rest::Api;
use crate::stdin::{Pieces, client_may_be_there, pieces};

/// Longest time that the end may take.
const END_LIMIT: Duration = Duration::from_secs(8);

/// The part of it that is left to tasks when the farewell takes all the time that it may.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// Reasons to end beside signals.
const END_OF_INPUT: &str = "end of input";
const PARENT_GONE: &str = "parent is gone";

/// Longest time that calls still under way keep the process after its end.
const LAST_READS: Duration = Duration::from_secs(2);

/// Which door a server opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Standard input when a client is there, else HTTP.
    Auto,
    /// HTTP.
    Http,
    /// Standard input.
    Stdio,
}

/// What is served. Its calls may block; they are made where that is allowed.
pub trait Program: Send + Sync + 'static {
    /// The protocol over its tools.
    fn handler(&self) -> Handler;
    /// The REST API, for callers whom `auth` lets in.
    fn api(&self, auth: &Auth) -> Option<Api>;
    /// How it is.
    fn health(&self) -> Arc<dyn HealthSource>;
    /// Its figures.
    fn metrics(&self) -> Arc<dyn MetricsSource>;
    /// Opens what everything depends on. Whoever starts a server by hand is told at once when that fails.
    ///
    /// # Errors
    /// Why it cannot be used now.
    fn prepare(&self) -> Result<()>;
    /// Begins what runs behind the door.
    fn begin(&self, lifecycle: &Lifecycle);
    /// It is served there now.
    fn serving(&self, place: &str);
    /// It ends; clients that are still there are let go.
    fn farewell(&self, reason: &'static str);
}

/// Where and how a program is served.
#[derive(Clone)]
pub struct Service {
    /// Its name in files: `session-buddy`.
    pub product: &'static str,
    /// Its name in sentences: `Session-Buddy`.
    pub title: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Home directory.
    pub home: Home,
    /// Door.
    pub transport: Transport,
    /// Host to listen on.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Further names of this server.
    pub allowed_hosts: Vec<String>,
    /// Whether an address that others can reach may be taken without auth.
    pub allow_insecure_bind: bool,
    /// Who may call.
    pub auth: Auth,
    /// Whether callers need a token.
    pub authenticated: bool,
    /// Whether MCP is offered over HTTP.
    pub mcp: bool,
    /// Whether the conformance suite's tools are served too.
    pub fixture: bool,
    /// A word for how it works: `standard`.
    pub mode: String,
    /// Where it keeps things, for people.
    pub database: String,
    /// Lines that say what works, before the last one.
    pub ready: Vec<String>,
    /// Arguments as given, for a restart.
    pub arguments: Vec<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Serves what `program` makes until something ends it. It is made inside the runtime, so its parts may keep a handle to it.
///
/// # Errors
/// Why it could not start: configuration, conflict (port or home taken), unavailable (database, home).
pub fn run(service: Service, program: impl FnOnce() -> Arc<dyn Program>, lifecycle: Lifecycle) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_stack_size(1024 * 1024)
        .thread_name(service.product)
        .enable_all()
        .build()
        .map_err(|error| Fault::unavailable(format!("cannot start threads: {error}")))?;
    let (ended, held) = runtime.block_on(async {
        // Asked first: it is not known any more once it is gone.
        let parent = Parent::now();
        Server { service, program: program(), lifecycle, parent, limit: END_LIMIT }.run().await
    });
    // What still reads keeps the database open; the last to close it leaves no log behind.
    runtime.shutdown_timeout(LAST_READS);
    drop(held);
    ended
}

struct Server {
    service: Service,
    program: Arc<dyn Program>,
    lifecycle: Lifecycle,
    parent: Parent,
    /// Longest time that the end may take.
    limit: Duration,
}

/// An HTTP door that is open.
struct HttpDoor {
    closing: CancellationToken,
    run_file: RunFile,
}

/// Why a server that ran has to end.
struct Ending {
    reason: &'static str,
    /// Kept to the very end where HTTP was served: until then nobody else may serve this home.
    run_file: Option<RunFile>,
}

impl Server {
    /// Serves to the end. Says what is to be held until the process ends.
    async fn run(self) -> (Result<()>, Option<RunFile>) {
        let signals = Signals::listen();
        let served = match self.service.transport {
            Transport::Http => self.http(signals).await,
            Transport::Stdio => self.stdio(pieces(), signals).await,
            Transport::Auto if client_may_be_there() => self.either(pieces(), signals).await,
            Transport::Auto => self.http(signals).await,
        };
        match served {
            Ok(ending) => (Ok(()), self.end(ending).await),
            Err(fault) => {
                self.lifecycle.end();
                self.lifecycle.finished(self.limit).await;
                (Err(fault), None)
            }
        }
    }

    /// Lets clients go that are still there, then all tasks, and takes no longer for both than the end may. The run file comes back
    /// when the farewell still goes on, as nobody else may serve this home beside it.
    async fn end(&self, ending: Ending) -> Option<RunFile> {
        tracing::info!(reason = ending.reason, "ending");
        let deadline = Instant::now() + self.limit;
        let (program, reason) = (Arc::clone(&self.program), ending.reason);
        let farewell = tokio::task::spawn_blocking(move || program.farewell(reason));
        // What it does not get done is what a server that was killed leaves, and the next one finds that.
        let cut = tokio::time::timeout_at(deadline - LAST_TASKS.min(self.limit / 2), farewell).await.is_err();
        if cut {
            tracing::warn!("clients were not let go in time; another program may hold the database");
        }
        self.lifecycle.end();
        if !self.lifecycle.finished(deadline.saturating_duration_since(Instant::now())).await {
            tracing::warn!("some work did not end in time");
        }
        ending.run_file.filter(|_| cut)
    }

    /// HTTP alone.
    async fn http(&self, mut signals: Signals) -> Result<Ending> {
        let door = self.open(&mut std::io::stdout(), || self.program.prepare())?;
        self.program.begin(&self.lifecycle);
        let reason = signals.next().await;
        door.closing.cancel();
        Ok(Ending { reason, run_file: Some(door.run_file) })
    }

    /// Standard input alone.
    async fn stdio(&self, input: Pieces, signals: Signals) -> Result<Ending> {
        self.warm_up();
        self.program.begin(&self.lifecycle);
        Ok(self.client(input, signals).await)
    }

    /// The client on standard input, to its end.
    async fn client(&self, input: Pieces, mut signals: Signals) -> Ending {
        self.program.serving("standard input and output");
        let closing = self.lifecycle.token().child_token();
        // A task of its own, so that what is under way is still answered while the others end.
        let serving = serve_stdio(self.program.handler(), input, tokio::io::stdout(), closing.clone());
        let reason = tokio::select! {
            _ = self.lifecycle.spawn(serving) => END_OF_INPUT,
            reason = signals.next() => reason,
            () = self.parent.gone() => PARENT_GONE,
        };
        closing.cancel();
        Ending { reason, run_file: None }
    }

    /// HTTP until the first byte on standard input, which says that a client is there.
    async fn either(&self, mut input: Pieces, mut signals: Signals) -> Result<Ending> {
        self.warm_up();
        self.program.begin(&self.lifecycle);
        // Standard output belongs to the client that may come, and its handshake must not wait for the database.
        let door = match self.open(&mut std::io::stderr(), || Ok(())) {
            Ok(door) => Some(door),
            Err(fault) => {
                tracing::warn!(%fault, "no HTTP; waiting for a client on standard input");
                None
            }
        };
        let first = tokio::select! {
            first = input.next() => first.ok_or(END_OF_INPUT),
            reason = signals.next() => Err(reason),
            () = self.parent.gone() => Err(PARENT_GONE),
        };
        let run_file = door.map(|door| {
            door.closing.cancel();
            door.run_file
        });
        match first {
            Ok(piece) => {
                drop(run_file);
                input.put_back(piece);
                Ok(self.client(input, signals).await)
            }
            Err(reason) => Ok(Ending { reason, run_file }),
        }
    }

    fn listen(&self) -> Result<Listener> {
        let service = &self.service;
        if let Some(info) = run_file::running(&service.home, service.product) {
            return Err(Fault::conflict(format!(
                "{} already runs for {}: process {} on {}",
                service.title,
                service.home.root().display(),
                info.pid,
                info.address
            ))
            .hint(format!("use it, or stop it with '{} mcp stop'", service.product)));
        }
        bind(&BindRequest {
            host: &service.host,
            port: service.port,
            authenticated: service.authenticated,
            allow_insecure: service.allow_insecure_bind,
        })
    }

    /// Opens the HTTP door after `before`, and says to `out` how far that has come.
    fn open(&self, out: &mut dyn Write, before: impl FnOnce() -> Result<()>) -> Result<HttpDoor> {
        let listener = self.listen()?;
        let address = listener.address;
        let service = &self.service;
        let _ = writeln!(out, "[INFO] Starting {} MCP server on {address}", service.title);
        before()?;
        let door = self.serve(listener)?;
        for line in &service.ready {
            let _ = writeln!(out, "[INFO] {line}");
        }
        let _ = writeln!(out, "[INFO] Ready to accept connections");
        let _ = out.flush();
        // After the lines that people wait for, which would else be torn apart where both go to one file.
        tracing::info!(%address, mode = service.mode, database = service.database, auth = service.authenticated, "serving");
        Ok(door)
    }

    fn serve(&self, listener: Listener) -> Result<HttpDoor> {
        let service = &self.service;
        let address = listener.address;
        let run_file = RunFile::claim(
            &service.home,
            &ServerInfo {
                product: service.product.into(),
                pid: std::process::id(),
                process: ProcessIdentity::current(),
                address: address.to_string(),
                transport: if service.mcp { "http" } else { "http without mcp" }.into(),
                mode: service.mode.clone(),
                version: service.version.into(),
                database: service.database.clone(),
                arguments: service.arguments.clone(),
                started_at: service.clock.now(),
            },
        )?;
        self.program.serving(&format!("http://{address}"));
        let auth = service.auth.clone();
        let closing = self.lifecycle.token().child_token();
        let endpoint = || {
            let handler = self.program.handler().until(closing.clone());
            match service.fixture {
                false => Endpoint::new(handler, auth.clone(), closing.clone()),
                true => Endpoint::new(Fixture::over(handler), auth.clone(), closing.clone()),
            }
        };
        let site = Site {
            endpoint: service.mcp.then(endpoint),
            api: self.program.api(&auth).map(|api| api.until(closing.clone())),
            auth,
            gate: Gate::new(&service.host, !address.ip().is_loopback(), &service.allowed_hosts),
            health: self.program.health(),
            metrics: self.program.metrics(),
            limit: REQUEST_LIMIT,
        };
        let until = closing.clone();
        self.lifecycle.spawn(async move {
            if let Err(fault) = serve(listener, router(site), Limits::of_this_process(), until).await {
                tracing::error!(%fault, "HTTP ended");
            }
        });
        Ok(HttpDoor { closing, run_file })
    }

    /// Prepares beside the handshake, not before it.
    fn warm_up(&self) {
        let program = Arc::clone(&self.program);
        self.lifecycle.spawn(async move {
            let prepared = tokio::task::spawn_blocking(move || program.prepare()).await;
            if let Ok(Err(fault)) = prepared {
                tracing::error!(%fault, "the database cannot be used; tools will say so");
            }
        });
    }
}

#[cfg(test)]
mod tests;
