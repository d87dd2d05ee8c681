//! The process that serves: MCP and REST doors over the desk, and the engine that drives workflows.

mod access;
mod figures;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::fault::Result;
use oneiric::secret::Secret;
use oneiric_server::health::HealthSource;
use oneiric_server::http::Auth;
use oneiric_server::lifecycle::Lifecycle;
use oneiric_server::mcp::{Handler, Profile};
use oneiric_server::metrics::MetricsSource;
use oneiric_server::rest::Api;
use oneiric_server::service::{self, Program, Service, Transport};
use orchestrator::engine::{Engine, Takes};
use orchestrator::schedules::{Clockwork, Schedule};

use self::figures::Figures;
use crate::desk::Desk;
use crate::drive::{self, PRODUCT};
use crate::mcp::{CARD, Tools};
use crate::world::World;

/// How long steps may still run when the server ends. What is cut off runs again with the next one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// What the command line says beyond settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) no_auth: bool,
    pub(crate) transport: Option<Transport>,
    /// What is said when it serves.
    pub(crate) warning: Option<String>,
    /// Serve the conformance suite's tools, too.
    pub(crate) fixture: bool,
    /// Arguments as given, for a restart.
    pub(crate) arguments: Vec<String>,
}

/// Serves until something ends it.
///
/// # Errors
/// Why it could not start.
pub(crate) fn run(world: Arc<World>, wishes: Wishes) -> Result<()> {
    let settings = &world.settings;
    let secret = if wishes.no_auth { None } else { access::secret(settings)? };
    world.begins_serving(secret.is_some());
    let auth = crate::access::auth(&world, secret.as_ref());
    let lifecycle = Lifecycle::new();
    let service = Service {
        product: PRODUCT,
        title: "Mahavishnu",
        version: env!("CARGO_PKG_VERSION"),
        home: settings.home().clone(),
        transport: wishes.transport.unwrap_or(Transport::Auto),
        host: wishes.host.unwrap_or_else(|| settings.text("host").to_owned()),
        port: wishes.port.unwrap_or_else(|| u16::try_from(settings.int("port")).unwrap_or(8680)),
        allowed_hosts: settings.list("server.allowed_hosts"),
        allow_insecure_bind: settings.bool("server.allow_insecure_bind"),
        auth,
        authenticated: secret.is_some(),
        mcp: true,
        fixture: wishes.fixture,
        mode: "standard".into(),
        database: world.workflows().path().display().to_string(),
        ready: vec!["Workflow engine started".into()],
        arguments: wishes.arguments,
        clock: Arc::clone(&world.clock),
    };
    let profile = Profile::parse(settings.text("mcp.tool_profile")).unwrap_or_default();
    let server = Server {
        desk: Arc::new(Desk::new(Arc::clone(&world))),
        world,
        profile,
        secret,
        engine: Mutex::default(),
        clockwork: Mutex::default(),
        warning: wishes.warning,
    };
    service::run(service, || Arc::new(server), lifecycle)
}

struct Server {
    world: Arc<World>,
    desk: Arc<Desk>,
    profile: Profile,
    /// Signs tokens, when callers need one.
    secret: Option<Secret>,
    engine: Mutex<Option<Engine>>,
    clockwork: Mutex<Option<Clockwork>>,
    warning: Option<String>,
}

impl Program for Server {
    fn handler(&self) -> Handler {
        let handler = Tools::handler(Arc::clone(&self.desk), self.profile);
        match &self.secret {
            Some(secret) => handler.sealing_with(secret),
            None => handler,
        }
    }

    fn api(&self, auth: &Auth) -> Option<Api> {
        let tools = Arc::new(Tools::new(Arc::clone(&self.desk), self.profile));
        Some(Api::new(CARD, tools, crate::rest::ROUTES, auth.clone(), Arc::clone(&self.world.clock)))
    }

    fn health(&self) -> Arc<dyn HealthSource> {
        Arc::new(Figures::new(Arc::clone(&self.desk)))
    }

    fn metrics(&self) -> Arc<dyn MetricsSource> {
        Arc::new(Figures::new(Arc::clone(&self.desk)))
    }

    /// Opens the database and starts the engine, which takes what nobody drives.
    fn prepare(&self) -> Result<()> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if engine.is_none() {
            self.world.serve_pools()?;
            let started = Engine::start(drive::engine_config(&self.world, Takes::All))?;
            self.world.hear_trouble(started.trouble());
            *engine = Some(started);
        }
        let mut clockwork = self.clockwork.lock().unwrap_or_else(PoisonError::into_inner);
        if clockwork.is_none() {
            let world = Arc::clone(&self.world);
            let planner = move |schedule: &Schedule| crate::schedules::plan_of(&world, schedule);
            let database = self.world.workflows().path().to_path_buf();
            *clockwork = Some(Clockwork::start(database, Arc::clone(&self.world.clock), Arc::new(planner))?);
        }
        Ok(())
    }

    fn begin(&self, _: &Lifecycle) {}

    fn serving(&self, _: &str) {
        if let Some(warning) = &self.warning {
            tracing::warn!("{warning}");
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(std::io::stderr(), "[WARN] {warning}");
        }
    }

    fn farewell(&self, _: &'static str) {
        drop(self.clockwork.lock().unwrap_or_else(PoisonError::into_inner).take());
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = engine {
            engine.end(PATIENCE);
        }
        if let Some(pools) = self.world.served_pools() {
            pools.end(PATIENCE);
        }
    }
}
