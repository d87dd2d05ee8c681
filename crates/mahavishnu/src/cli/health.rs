//! `health`: every part with a fact, and one verdict.

use std::time::Duration;

use oneiric::fault::Result;
use oneiric::run_file;
use oneiric_client::{Peer, PeerError};
use oneiric_server::health::{Part, Report};
use oneiric_shell::output::Output;
use orchestrator::adapters::{Kind, State};
use orchestrator::workflows::is_disk_full;
use serde_json::Map;

use super::format::json;
use super::test_tracking::switched_off;
use crate::access;
use crate::buddy;
use crate::engines;
use crate::world::World;

const SERVER: &str = "Mahavishnu MCP server";
const AUTHENTICATION: &str = "Authentication";
const ADAPTERS: &str = "Adapters";

/// How long the server may take to look at its parts, engines among them.
const ASKING: Duration = Duration::from_secs(5);

/// Show whether everything works
#[derive(clap::Args, Debug)]
pub(super) struct Health {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Health {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let report = report(world);
        if self.json {
            output.line(&json(&report.body(true))?);
        } else {
            output.line(&format!("Status: {}", report.status));
            let address = run_file::running(world.settings.home(), "mahavishnu").map(|server| server.address);
            output.line(&format!("MCP Server: {}", address.unwrap_or_else(|| "not running".to_owned())));
            for part in &report.parts {
                output.line(&part.line());
            }
        }
        Ok(i32::from(!report.is_healthy()))
    }
}

/// Server, authentication, session tracking and adapters, as the running server has them.
pub(super) fn of_server(world: &World) -> [Part; 4] {
    let Some(peer) = super::mcp::own_server(world) else {
        return [server(world), authentication(world), tracking(world), adapters(world)];
    };
    let asked = peer.call_tool("health_check", Map::new(), ASKING);
    let told = asked.map(|answer| serde_json::from_value::<Report>(answer).map(|report| report.parts));
    let (server, told) = match told {
        Ok(Ok(parts)) => (server(world), parts),
        Ok(Err(error)) => {
            let hint = "'mahavishnu mcp restart' starts it again in this version";
            (Part::failed(SERVER, "of another version", error.to_string(), hint), Vec::new())
        }
        Err(PeerError::Denied(why)) => {
            let hint = "set MAHAVISHNU_AUTH_SECRET to the secret that the server has";
            (Part::failed(SERVER, "tells nothing", why, hint), Vec::new())
        }
        Err(error) => {
            let hint = "look at 'mahavishnu logs', or 'mahavishnu mcp restart'";
            (Part::failed(SERVER, "does not answer", error.to_string(), hint), Vec::new())
        }
    };
    let of = |name: &str| {
        let found = told.iter().find(|part| part.name == name).cloned();
        found.unwrap_or_else(|| Part { word: "not known".into(), ..Part::off(name, "") })
    };
    // Whether sessions are recorded is up to whoever opens a shell.
    [server, of(AUTHENTICATION), tracking(world), of(ADAPTERS)]
}

/// Every part.
pub(crate) fn report(world: &World) -> Report {
    let parts = vec![
        server(world),
        authentication(world),
        session_buddy(world),
        tracking(world),
        repositories(world),
        workflows(world),
        adapters(world),
    ];
    Report::over("mahavishnu", env!("CARGO_PKG_VERSION"), parts)
}

/// Mahavishnu's own server.
fn server(world: &World) -> Part {
    let running = run_file::running(world.settings.home(), "mahavishnu");
    let place = running.map(|server| (format!("{}, process {}", server.address, server.pid), server.address));
    let (fact, address) = match (place, world.serving()) {
        (Some((fact, _)), Some(_)) => return Part::ok(SERVER, "healthy", fact),
        (None, Some(_)) => return Part::ok(SERVER, "healthy", "on standard input and output"),
        (Some(place), None) => place,
        (None, None) => {
            return Part::failed(
                SERVER,
                "not running",
                "the shell and most commands work without",
                "start it: 'mahavishnu mcp start --detach'",
            );
        }
    };
    let hint = "look at 'mahavishnu logs', or 'mahavishnu mcp restart'";
    match Peer::new(&format!("http://{address}"), None).health(ASKING) {
        Ok(health) => match health["status"].as_str() {
            Some("healthy") => Part::ok(SERVER, "healthy", fact),
            status => Part::failed(SERVER, status.unwrap_or("unknown"), fact, hint),
        },
        Err(error) => Part::failed(SERVER, "does not answer", error.to_string(), hint),
    }
}

/// Whether commands ask for a token, and could check one.
fn authentication(world: &World) -> Part {
    const NAME: &str = AUTHENTICATION;
    let on = world.serving().unwrap_or_else(|| world.settings.bool("auth.enabled"));
    if !on {
        let option = world.settings.bool("auth.enabled");
        return Part::off(NAME, if option { "the server was started with --no-auth" } else { "auth_enabled = false" });
    }
    match access::secret(&world.settings) {
        Ok(_) => Part::ok(NAME, "enabled", world.settings.text("auth.algorithm")),
        Err(fault) => Part::failed(NAME, "broken", fault.message(), fault.advice().unwrap_or("set it")),
    }
}

fn session_buddy(world: &World) -> Part {
    const NAME: &str = "Session-Buddy";
    let peer = world.peer();
    match peer.health(world.patience()) {
        Ok(health) => {
            let version = health["version"].as_str().unwrap_or("of an unknown version");
            match health["status"].as_str() {
                Some("healthy") => Part::ok(NAME, "connected", format!("{}, {version}", peer.base())),
                status => Part::failed(
                    NAME,
                    status.unwrap_or("unknown"),
                    peer.base(),
                    "look at 'session-buddy health'; what happens meanwhile waits on the spool",
                ),
            }
        }
        Err(error) => Part::failed(NAME, "not connected", error.to_string(), buddy::advice(&error)),
    }
}

/// Whether sessions are recorded and where they wait.
fn tracking(world: &World) -> Part {
    const NAME: &str = "Session tracking";
    if let Some((name, source)) = switched_off(&world.settings, &world.shared) {
        return Part::off(NAME, format!("{name} = false, set by {source}"));
    }
    let spool = world.settings.home().spool();
    if let Err(fault) = writable(&spool, world) {
        return Part::failed(NAME, "impaired", fault, "make the home writable, or move it by MAHAVISHNU_HOME");
    }
    let depth = oneiric::spool::depth(&spool);
    let waiting = match depth.files {
        0 => "nothing waits on the spool".to_owned(),
        1 => format!("1 session, {} bytes wait on the spool", depth.bytes),
        files => format!("{files} sessions, {} bytes wait on the spool", depth.bytes),
    };
    Part::ok(NAME, "enabled", format!("to {}, {waiting}", world.peer().base()))
}

fn writable(spool: &std::path::Path, world: &World) -> Result<(), String> {
    world.settings.home().ensure(spool).map_err(|fault| fault.message().to_owned())?;
    rustix::fs::access(spool, rustix::fs::Access::WRITE_OK)
        .map_err(|error| format!("{} cannot be written: {}", spool.display(), std::io::Error::from(error)))
}

fn repositories(world: &World) -> Part {
    const NAME: &str = "Repositories";
    match world.manifest() {
        Err(fault) => Part::failed(NAME, "broken", fault.message(), fault.advice().unwrap_or("mend the manifest")),
        Ok(manifest) => match &manifest.source {
            Some(file) => Part::ok(NAME, "listed", format!("{}, {}", manifest.repos.len(), file.display())),
            None => Part {
                word: "none".into(),
                ..Part::off(NAME, "no manifest; 'mahavishnu list-repos' says how to begin")
            },
        },
    }
}

fn workflows(world: &World) -> Part {
    const NAME: &str = "Workflows";
    let table = world.workflows();
    let full = || format!("the disk of {} is full", table.path().display());
    if let Some(why) = world.trouble().or_else(|| is_disk_full(table.path()).then(full)) {
        let hint = "free some space: what ends meanwhile is written as soon as there is room";
        return Part::failed(NAME, "cannot be written", why, hint);
    }
    match table.counts() {
        Ok(counts) if counts.is_empty() => Part::ok(NAME, "ready", "none yet"),
        Ok(counts) => {
            let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
            Part::ok(NAME, "ready", counts.join(", "))
        }
        Err(fault) => Part::failed(NAME, "broken", fault.message(), fault.advice().unwrap_or("mend it")),
    }
}

/// The engines that work can be handed to, asked now.
fn adapters(world: &World) -> Part {
    const NAME: &str = ADAPTERS;
    let states = world.adapters().states(engines::PROBE);
    let said = |(kind, state): &(Kind, State)| match state {
        State::Unreachable(trouble, since) => {
            format!("{kind} (unreachable: {}, since {})", trouble.text(), since.local())
        }
        State::Active(_) | State::Disabled => format!("{kind} ({})", state.word()),
    };
    let word = states.iter().map(said).collect::<Vec<_>>().join(", ");
    let is = |wanted: &str| states.iter().any(|(_, state)| state.word() == wanted);
    match (is("unreachable"), is("active")) {
        (true, _) => Part::failed(NAME, &word, "", "'mahavishnu adapters verify' tells more"),
        (false, true) => Part::ok(NAME, &word, ""),
        (false, false) => Part { word, ..Part::off(NAME, "") },
    }
}
