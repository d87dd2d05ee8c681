//! `mcp` and `start`: the server's life, its health, and calls of tools.

use clap::{Subcommand, ValueEnum};
use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_client::Peer;
use oneiric_client::control::Control;
use oneiric_server::health::PartState;
use oneiric_server::service::Transport;
use oneiric_shell::output::Output;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

use super::format::json;
use super::stopping::AtWork;
use super::{Needs, Token, health};
use crate::buddy;
use crate::drive::PRODUCT;
use crate::server::{self, Wishes};
use crate::world::World;

/// Start, stop and ask the MCP server
#[derive(clap::Args, Debug)]
pub(super) struct Mcp {
    #[command(subcommand)]
    command: McpCommand,
}

#[derive(Subcommand, Debug)]
enum McpCommand {
    /// Start the server
    Start(Start),
    /// Stop the server
    Stop,
    /// Stop the server and start it again in the background
    Restart(Start),
    /// Serve what the protocol's conformance suite asks for beside the own tools
    #[command(hide = true)]
    ConformanceFixture(Start),
    /// Show server, authentication, session tracking and adapters
    Health,
    /// Call a tool of this server, or of Session-Buddy's, and print its answer
    CallTool {
        /// Name, such as list_workflows or list_sessions
        name: String,
        /// Arguments as a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        token: Token,
    },
}

/// Start the server
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Start {
    /// Port to listen on; 0 takes a free one [default: 8680]
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// Ask callers for no token
    #[arg(long)]
    no_auth: bool,
    /// auto serves MCP over standard input when a client is there, else HTTP
    #[arg(long, value_enum)]
    transport: Option<TransportArg>,
    /// Tell where the metrics are: at /metrics of the server, since this version gives them no port of their own
    #[arg(long)]
    metrics_enabled: bool,
    /// Start in the background; return once it is healthy
    #[arg(long)]
    detach: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransportArg {
    Auto,
    Http,
    Stdio,
}

impl Start {
    /// As arguments again, without `--detach`.
    fn again(&self) -> Vec<String> {
        let mut words = vec!["start".to_owned()];
        words.extend(self.port.map(|port| format!("--port={port}")));
        words.extend(self.host.as_ref().map(|host| format!("--host={host}")));
        words.extend(self.no_auth.then(|| "--no-auth".to_owned()));
        words.extend(self.metrics_enabled.then(|| METRICS_ENABLED.to_owned()));
        words
    }

    pub(super) fn run(&self, world: &Arc<World>, output: &Output) -> Result<()> {
        self.serve(world, false, output)
    }

    fn serve(&self, world: &Arc<World>, fixture: bool, output: &Output) -> Result<()> {
        if self.detach {
            if self.transport == Some(TransportArg::Stdio) {
                return Err(Fault::user("a server on standard input cannot run in the background")
                    .hint("leave out --transport stdio"));
            }
            let started = control(world).start(&self.again())?;
            warn(world, &self.again(), output);
            output.line(&format!("Mahavishnu runs on {} (pid {})", started.address, started.pid));
            return Ok(());
        }
        let transport = self.transport.map(|transport| match transport {
            TransportArg::Auto => Transport::Auto,
            TransportArg::Http => Transport::Http,
            TransportArg::Stdio => Transport::Stdio,
        });
        let wishes = Wishes {
            host: self.host.clone(),
            port: self.port,
            no_auth: self.no_auth,
            warning: no_listener(world, self.metrics_enabled),
            transport,
            fixture,
            arguments: self.again(),
        };
        server::run(Arc::clone(world), wishes)
    }
}

/// The option that asks for the metrics.
const METRICS_ENABLED: &str = "--metrics-enabled";

/// What is said to whoever wants metrics on a port of their own.
fn no_listener(world: &World, asked: bool) -> Option<String> {
    (asked || world.settings.bool("observability.metrics_enabled")).then(|| {
        format!(
            "metrics have no port of their own in this version, so nothing listens on {}; they are at /metrics of the server's own address",
            world.settings.int("observability.metrics_port")
        )
    })
}

/// Says the same of a server that was started with these arguments in the background, which is heard by nobody.
fn warn(world: &World, arguments: &[String], output: &Output) {
    if let Some(warning) = no_listener(world, arguments.iter().any(|word| word == METRICS_ENABLED)) {
        output.error_line(&format!("warning: {warning}"));
    }
}

fn control(world: &World) -> Control<'_> {
    Control { product: PRODUCT, title: "Mahavishnu", home: world.settings.home() }
}

impl Mcp {
    /// A tool takes what it takes by every door. Those of Session-Buddy are called with this program's own rights there.
    pub(super) fn needs(&self) -> Option<Needs<'_>> {
        let McpCommand::CallTool { name, token, .. } = &self.command else { return None };
        let tool = crate::mcp::descriptions().into_iter().find(|tool| tool.name == name);
        let (what, scope) = tool.map_or(("mcp call-tool", Scope::Write), |tool| (tool.name, tool.scope));
        Some(token.needs(what, scope))
    }

    pub(super) fn run(&self, world: &Arc<World>, output: &Output) -> Result<i32> {
        match &self.command {
            McpCommand::Start(start) => start.run(world, output).map(|()| 0),
            McpCommand::ConformanceFixture(start) => start.serve(world, true, output).map(|()| 0),
            McpCommand::Stop => {
                let control = control(world);
                let Some(info) = control.running() else {
                    let home = world.settings.home().root().display();
                    return Err(Fault::unavailable(format!("Mahavishnu does not run for {home}"))
                        .hint("nothing to stop; 'mahavishnu mcp start' starts it"));
                };
                let at_work = AtWork::of(world, info.pid);
                at_work.announce(output);
                control.end(&info, |note| output.error_line(note))?;
                at_work.tell(world, output);
                output.line(&format!("Mahavishnu stopped (pid {})", info.pid));
                Ok(0)
            }
            McpCommand::Restart(start) => {
                let control = control(world);
                let former = control.running();
                if let Some(info) = &former {
                    let at_work = AtWork::of(world, info.pid);
                    at_work.announce(output);
                    control.end(info, |note| output.error_line(note))?;
                    at_work.tell(world, output);
                    output.error_line(&format!("Mahavishnu stopped (pid {})", info.pid));
                }
                let arguments = match &former {
                    Some(info) if start.again().len() == 1 && !info.arguments.is_empty() => info.arguments.clone(),
                    _ => start.again(),
                };
                let started = control.start(&arguments)?;
                warn(world, &arguments, output);
                output.line(&format!("Mahavishnu runs on {} (pid {})", started.address, started.pid));
                Ok(0)
            }
            McpCommand::Health => {
                let parts = health::of_server(world);
                for part in &parts {
                    output.line(&part.line());
                }
                Ok(i32::from(parts.iter().any(|part| part.state == PartState::Failed)))
            }
            McpCommand::CallTool { name, arguments, .. } => {
                let arguments: Map<String, Value> = serde_json::from_str(arguments).map_err(|error| {
                    Fault::user(format!("the arguments are no JSON object: {error}"))
                        .hint("write for instance '{\"limit\": 5}'")
                })?;
                let answer = if is_own_tool(name) {
                    let server = own_server(world).ok_or_else(|| {
                        Fault::unavailable(format!("no server runs, and {name} is a tool of it"))
                            .hint("start it: 'mahavishnu mcp start --detach'")
                    })?;
                    server.call_tool(name, arguments, Duration::from_secs(60)).map_err(Fault::from)?
                } else {
                    world.peer().call_tool(name, arguments, world.patience()).map_err(buddy::explain)?
                };
                output.line(&json(&answer)?);
                Ok(0)
            }
        }
    }
}

/// Whether this program's own server has a tool of that name, and Session-Buddy has not.
fn is_own_tool(name: &str) -> bool {
    const SHARED: [&str; 2] = ["list_sessions", "health_check"];
    crate::mcp::descriptions().iter().any(|tool| tool.name == name) && !SHARED.contains(&name)
}

/// This program's own server, as a peer that is asked with a token when there is a secret.
pub(crate) fn own_server(world: &World) -> Option<Peer> {
    let info = control(world).running()?;
    let token = crate::access::own_tokens(world);
    Some(Peer::new(&format!("http://{}", info.address), token))
}
