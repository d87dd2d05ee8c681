//! The process that serves: which door it opens, what runs behind it, and how it ends.

pub mod access;
pub mod archive;
pub mod capture;
pub mod facts;
pub mod figures;
mod index;
pub mod launch;
pub mod meaning;
pub mod meters;
pub mod model;
pub mod visitors;

use std::sync::Arc;

use oneiric::audit::AuditLog;
use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::Result;
use oneiric_server::health::HealthSource;
use oneiric_server::http::Auth;
use oneiric_server::lifecycle::Lifecycle;
use oneiric_server::mcp::Handler;
use oneiric_server::metrics::MetricsSource;
use oneiric_server::rest::Api;
use oneiric_server::service::{self, Program, Service};

use crate::desk::{Desk, Shelf};
use crate::mcp::{CARD, Tools};
use crate::rest::lines::{Lines, descriptions};
use crate::{PRODUCT, VERSION};
use figures::Figures;
use launch::Launch;
use visitors::{FrontDoor, Visitors};

/// Serves until something ends it.
///
/// # Errors
/// Why it could not start: configuration, conflict (port or home taken), unavailable (database, home).
pub fn run(launch: Launch) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let audit = AuditLog::in_dir(launch.home.logs(), Arc::clone(&clock));
    let auth = match &launch.access {
        Some(access) => access.door(Arc::clone(&clock), audit),
        None => Auth::quiet(Arc::new(audit)),
    };
    let service = Service {
        product: PRODUCT,
        title: "Session-Buddy",
        version: VERSION,
        home: launch.home.clone(),
        transport: launch.transport,
        host: launch.host.clone(),
        port: launch.port,
        allowed_hosts: launch.allowed_hosts.clone(),
        allow_insecure_bind: launch.allow_insecure_bind,
        auth,
        authenticated: launch.access.is_some(),
        mcp: launch.mcp,
        fixture: launch.fixture,
        mode: launch.mode.as_str().into(),
        database: launch.archive.to_string(),
        ready: vec!["Session tracking enabled".into()],
        arguments: launch.arguments.clone(),
        clock: Arc::clone(&clock),
    };
    let lifecycle = Lifecycle::new();
    let behind = lifecycle.clone();
    service::run(service, move || Arc::new(Server::new(launch, clock, &behind)), lifecycle)
}

struct Server {
    launch: Launch,
    clock: Arc<dyn Clock>,
    shelf: Arc<archive::Later>,
    desk: Arc<Desk>,
    visitors: Arc<Visitors>,
}

impl Server {
    fn new(launch: Launch, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> Self {
        let shelf = Arc::new(archive::Later::new(launch.archive.clone(), Arc::clone(&clock)));
        let facts = launch.facts.clone().of_work(lifecycle.fallen());
        let desk = Desk::new(Arc::clone(&shelf) as Arc<dyn Shelf>, Arc::clone(&clock), facts)
            .written_by(launch.hand.clone())
            .keeping_by(launch.keeping.clone())
            .searching_by(Arc::clone(&launch.semantics));
        let desk = Arc::new(desk);
        let visitors = Visitors::new(launch.visits.clone(), Arc::clone(&desk), lifecycle.clone());
        Self { launch, clock, shelf, desk, visitors }
    }
}

impl Program for Server {
    /// The protocol over the desk; clients that stay are announced to the visitors.
    fn handler(&self) -> Handler {
        let reception = FrontDoor(Arc::clone(&self.visitors));
        Tools::handler(Arc::clone(&self.desk), self.launch.profile).with_reception(Arc::new(reception))
    }

    fn api(&self, auth: &Auth) -> Option<Api> {
        let tools = Arc::new(Tools::new(Arc::clone(&self.desk)));
        let lines = Arc::new(Lines(Arc::clone(&self.desk)));
        let api = Api::new(CARD, tools, crate::rest::ROUTES, auth.clone(), Arc::clone(&self.clock));
        Some(api.with_bulk(descriptions(), lines))
    }

    fn health(&self) -> Arc<dyn HealthSource> {
        Arc::new(Figures::new(Arc::clone(&self.desk)))
    }

    fn metrics(&self) -> Arc<dyn MetricsSource> {
        Arc::new(Figures::new(Arc::clone(&self.desk)))
    }

    fn prepare(&self) -> Result<()> {
        self.shelf.store().map(|_| ())
    }

    fn begin(&self, lifecycle: &Lifecycle) {
        if let Some(spools) = &self.launch.spools {
            capture::start(lifecycle, &self.desk, spools, &self.clock);
        }
        meaning::start(lifecycle, &self.desk, &self.clock);
        index::start(lifecycle, &self.desk);
    }

    fn serving(&self, place: &str) {
        self.desk.facts().serving(place);
    }

    fn farewell(&self, reason: &'static str) {
        self.visitors.all_go(reason);
    }
}
