//! `mcp health` and `mcp call-tool`.

use clap::Subcommand;
use oneiric::fault::{Fault, Result};
use oneiric_server::health::PartState;
use oneiric_shell::output::Output;
use serde_json::{Map, Value};

use super::format::json;
use super::health;
use crate::buddy;
use crate::world::World;

/// Ask about MCP
#[derive(clap::Args, Debug)]
pub(super) struct Mcp {
    #[command(subcommand)]
    command: McpCommand,
}

#[derive(Subcommand, Debug)]
enum McpCommand {
    /// Show server, authentication, session tracking and adapters
    Health,
    /// Call a tool of Session-Buddy's MCP server and print its answer
    CallTool {
        /// Name, such as list_sessions
        name: String,
        /// Arguments as a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
    },
}

impl Mcp {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        match &self.command {
            McpCommand::Health => {
                let parts = [
                    health::server(world),
                    health::authentication(world),
                    health::tracking(world),
                    health::adapters(world),
                ];
                for part in &parts {
                    output.line(&part.line());
                }
                Ok(i32::from(parts.iter().any(|part| part.state == PartState::Failed)))
            }
            McpCommand::CallTool { name, arguments } => {
                let arguments: Map<String, Value> = serde_json::from_str(arguments).map_err(|error| {
                    Fault::user(format!("the arguments are no JSON object: {error}"))
                        .hint("write for instance '{\"limit\": 5}'")
                })?;
                let answer = world.peer().call_tool(name, arguments, world.patience()).map_err(buddy::explain)?;
                output.line(&json(&answer)?);
                Ok(0)
            }
        }
    }
}
