//! `health`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use oneiric::fault::Result;
use oneiric::run_file::ServerInfo;
use oneiric_client::PeerError;
use oneiric_server::health::{Body, Part, PartState, Report};
use serde::Serialize;
use serde_json::Map;

use super::ask::{Context, read};
use super::output;
use crate::desk::{Desk, Request};
use crate::server::launch;
use crate::{PRODUCT, VERSION};

/// Longest time that the server gets to tell how it is.
const LIMIT: Duration = Duration::from_secs(3);

/// Name of the part that is the server itself.
const SERVER: &str = "Session-Buddy MCP server";

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: Body<'a>,
    mcp_server: &'a str,
}

/// Runs `health`: exit code 0 when healthy, else 1.
pub(super) fn run(args: &HealthArgs, context: &Context) -> Result<ExitCode> {
    let (server, report) = look(context)?;
    let code = if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if args.json {
        output::emit_json(&Whole { report: report.body(true), mcp_server: &server })?;
    } else {
        output::emit(&context.screen().lines(as_text(&server, &report)))?;
    }
    Ok(code)
}

fn as_text(server: &str, report: &Report) -> String {
    let mut text = format!("Status: {}\nMCP Server: {server}\n", report.status);
    for part in &report.parts {
        text.push_str(&part.line());
        text.push('\n');
    }
    text
}

/// A line about the server, and its report or one that is made without it.
fn look(context: &Context) -> Result<(String, Report)> {
    let Some(info) = context.server() else {
        let report = without_server(context, None);
        return Ok(("not running; start it with 'session-buddy mcp start'".into(), report));
    };
    let running =
        format!("running on {} (pid {}, {} mode, version {})", info.address, info.pid, info.mode, info.version);
    let answered = if info.transport == "http" {
        match context.peer(&info)?.call_tool("health_check", Map::new(), LIMIT) {
            Err(PeerError::Denied(why)) => return Ok((running, verdict(context, &info, &why)?)),
            answered => answered.map_err(|error| error.to_string()),
        }
    } else {
        context.peer(&info)?.health(LIMIT).map_err(|error| error.to_string())
    };
    match answered.and_then(|answer| read::<Report>(answer).map_err(|fault| fault.to_string())) {
        Ok(report) => Ok((running, report)),
        Err(why) => {
            let failed = Part::failed(
                SERVER,
                "not answering",
                why,
                "see 'session-buddy logs', then 'session-buddy mcp restart'",
            );
            Ok((running, without_server(context, Some(failed))))
        }
    }
}

/// What a server says that wants a token and got none, or a wrong one: how it is, and what fails.
fn verdict(context: &Context, info: &ServerInfo, why: &str) -> Result<Report> {
    let answer = match context.peer(info)?.health(LIMIT) {
        Ok(answer) => answer,
        Err(error) => {
            let hint = "see 'session-buddy logs', then 'session-buddy mcp restart'";
            let failed = Part::failed(SERVER, "not answering", error.to_string(), hint);
            return Ok(without_server(context, Some(failed)));
        }
    };
    let failing: Vec<&str> =
        answer["failing"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    let mut parts = Vec::new();
    if !failing.contains(&SERVER) {
        parts.push(Part::ok(SERVER, "healthy", info.address.clone()));
    }
    parts.extend(failing.iter().map(|name| Part::failed(name, "failed", "", "see 'session-buddy logs'")));
    parts.push(Part::ok("Authentication", "enabled", format!("more is told to callers with a token: {why}")));
    Ok(Report::over(PRODUCT, VERSION, parts))
}

/// What can be said of the rest when the server cannot be asked.
fn without_server(context: &Context, server: Option<Part>) -> Report {
    let told = |desk: Desk| {
        // A report asks nobody; nobody has asked before.
        desk.semantics().look();
        desk.answer(Request::HealthCheck)
    };
    let mut report = match context.own_desk().map(told) {
        Ok(Ok(answer)) => read(answer).unwrap_or_else(|_| Report::over(PRODUCT, VERSION, Vec::new())),
        Ok(Err(error)) => Report::over(PRODUCT, VERSION, vec![broken(error.message())]),
        Err(fault) => {
            let spools = launch::spools(&context.settings, &context.surroundings);
            let shelf = Unopened(fault);
            context.facts(spools).report(&shelf)
        }
    };
    if let Some(server) = server {
        match report.parts.first_mut() {
            Some(first) if first.state == PartState::Failed => *first = server,
            _ => report.parts.insert(0, server),
        }
    }
    Report::over(PRODUCT, VERSION, report.parts)
}

fn broken(why: &str) -> Part {
    Part::failed("Database", "unavailable", why, "see 'session-buddy logs'")
}

/// A store that could not be opened.
struct Unopened(oneiric::fault::Fault);

impl crate::desk::Shelf for Unopened {
    fn store(&self) -> Result<std::sync::Arc<dyn session_store::Store>> {
        Err(self.0.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_text_begins_with_the_status_and_the_server() {
        let report = Report::over(
            PRODUCT,
            "1.0",
            vec![
                Part::ok("Session-Buddy MCP server", "healthy", "http://127.0.0.1:8678"),
                Part::ok("Database", "connected", "sqlite"),
                Part::off("Crackerjack", "crackerjack_enabled = false"),
            ],
        );
        assert_eq!(
            as_text("running on 127.0.0.1:8678", &report),
            "Status: healthy\nMCP Server: running on 127.0.0.1:8678\n\
             ✓ Session-Buddy MCP server: healthy (http://127.0.0.1:8678)\n✓ Database: connected (sqlite)\n\
             - Crackerjack: disabled (crackerjack_enabled = false)\n"
        );
    }
}
