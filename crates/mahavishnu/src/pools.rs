//! Pools: those of the running server, else what a command does in its own process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric_client::PeerError;
use orchestrator::engine::{CommandRunner, Job, Runner};
use orchestrator::pools::{PoolRequest, PoolRunner, Pools, PoolsConfig};
use orchestrator::repos::Manifest;
use orchestrator::run::Stop;
use orchestrator::workers::{TerminalKind, Terminals, Workshop};
use orchestrator::workflows::fact::{Ending, Outcome};
use orchestrator::worktrees::{Bounds, Worktrees};
use serde_json::Value;

use crate::world::World;

/// Name of the server's tool that takes [`PoolRequest`]s.
pub(crate) const TOOL: &str = "pool";
/// Longest wait for an answer: more than closing takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What pools are made with in this world.
pub(crate) fn config(world: &World, serves: bool) -> PoolsConfig {
    let settings = &world.settings;
    let size = |path: &str| u16::try_from(settings.int(path)).unwrap_or(80);
    let kind = settings.text("terminal.adapter_preference");
    let refused = match kind {
        _ if !settings.bool("terminal.enabled") => {
            Some("terminal.enabled is false; MAHAVISHNU_TERMINAL__ENABLED=true turns terminals on".to_owned())
        }
        "iterm2" => Some("iTerm2 is a program of macOS; set terminal.adapter_preference to auto".to_owned()),
        "mcpretentious" => {
            Some("mcpretentious is not done by this version; set terminal.adapter_preference to auto".to_owned())
        }
        _ => None,
    };
    let terminals = Terminals {
        refused,
        kind: match kind {
            "tmux" => TerminalKind::Tmux,
            "pty" => TerminalKind::Pty,
            _ => TerminalKind::Auto,
        },
        size: (size("terminal.default_columns"), size("terminal.default_rows")),
        socket: std::path::PathBuf::new(),
    };
    let shop = Workshop {
        environment: CommandRunner::inherited(std::env::vars_os()),
        terminals,
        redactor: world.redactor(),
        clock: Arc::clone(&world.clock),
    };
    let places = world.places();
    PoolsConfig {
        home: settings.home().clone(),
        shop,
        bounds: bounds(world),
        repositories: Arc::new(move |name| {
            let manifest = Manifest::load(&places)?;
            manifest.find(name).map(|repo| (repo.name.clone(), repo.path.clone()))
        }),
        remote: settings
            .bool("adapters.prefect_enabled")
            .then(|| -> Arc<dyn Runner> { Arc::new(crate::engines::runner(world)) }),
        serves,
    }
}

fn bounds(world: &World) -> Bounds {
    Bounds {
        most: usize::try_from(world.settings.int("worktrees.max_per_repo")).unwrap_or(32),
        free: world.settings.int("worktrees.min_free_mb").unsigned_abs() << 20,
    }
}

/// The worktrees of this home.
pub(crate) fn worktrees(world: &World) -> Worktrees {
    Worktrees::at(world.settings.home(), bounds(world))
}

/// Asks the pools of the running server.
///
/// # Errors
/// Unavailable when no server runs; what the server says.
pub(crate) fn ask(world: &World, request: &PoolRequest) -> Result<Value> {
    let Some(server) = crate::cli::mcp::own_server(world) else {
        return Err(Fault::unavailable("no server runs, and pools belong to it")
            .hint("start it: 'mahavishnu mcp start --detach'; without one, 'pool execute' does a task once"));
    };
    let Value::Object(arguments) = request.write() else {
        return Err(Fault::internal("a request that is no object"));
    };
    server.call_tool(TOOL, arguments, PATIENCE).map_err(|error| match error {
        PeerError::Tool { .. } => error.into(),
        error => Fault::unavailable(format!("the server: {error}")).hint("look at 'mahavishnu mcp health'"),
    })
}

/// Runs steps of workers in the pools of this process, which are made when the first such step comes.
struct OwnPools {
    config: PoolsConfig,
    runner: OnceLock<Result<PoolRunner>>,
}

impl OwnPools {
    fn new(world: &World) -> Self {
        Self { config: config(world, false), runner: OnceLock::new() }
    }
}

impl Runner for OwnPools {
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        let open = || Pools::open(self.config.clone()).map(|pools| PoolRunner::new(Arc::new(pools)));
        match self.runner.get_or_init(open) {
            Ok(runner) => runner.run(job, stop, bound),
            Err(fault) => Ending::because(Outcome::Crashed, fault.message()),
        }
    }
}

/// What runs steps of workers: the pools of this process when it is the server, else its own for as long as it runs.
pub(crate) fn runner(world: &World) -> Arc<dyn Runner> {
    match world.served_pools() {
        Some(pools) => Arc::new(PoolRunner::new(pools)),
        None => Arc::new(OwnPools::new(world)),
    }
}
