//! `health`: every part with a fact, and one verdict.

use oneiric::fault::Result;
use oneiric::run_file;
use oneiric_server::health::{Part, Report};
use oneiric_shell::output::Output;
use orchestrator::adapters::{Kind, State};
use orchestrator::workflows::is_disk_full;

use super::format::json;
use super::test_tracking::switched_off;
use crate::access;
use crate::buddy;
use crate::engines;
use crate::world::World;

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
pub(super) fn server(world: &World) -> Part {
    const NAME: &str = "Mahavishnu MCP server";
    match run_file::running(world.settings.home(), "mahavishnu") {
        Some(server) => Part::ok(NAME, "healthy", format!("{}, process {}", server.address, server.pid)),
        None => Part {
            word: "not running".into(),
            ..Part::off(NAME, "the shell and the commands work without; 'mahavishnu mcp start' starts it")
        },
    }
}

/// Whether commands ask for a token, and could check one.
pub(super) fn authentication(world: &World) -> Part {
    const NAME: &str = "Authentication";
    if !world.settings.bool("auth.enabled") {
        return Part::off(NAME, "auth_enabled = false");
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
pub(super) fn tracking(world: &World) -> Part {
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
pub(super) fn adapters(world: &World) -> Part {
    const NAME: &str = "Adapters";
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
