//! `mcp stop` and `mcp restart`.

use std::process::ExitCode;

use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;
use oneiric::settings::Surroundings;
use oneiric_client::control::Control;
use oneiric_server::service::Transport;

use super::output::{self, note};
use super::start::{StartArgs, detach};
use crate::PRODUCT;
use crate::server::launch;

/// This program's server.
pub(super) fn of(home: &Home) -> Control<'_> {
    Control { product: PRODUCT, title: "Session-Buddy", home }
}

/// Runs `mcp stop`.
pub(super) fn stop(surroundings: &Surroundings) -> Result<ExitCode> {
    let settings = launch::load(surroundings)?;
    let control = of(settings.home());
    let Some(info) = control.running() else {
        return Err(Fault::unavailable(format!("Session-Buddy does not run for {}", control.home.root().display()))
            .hint("nothing to stop; 'session-buddy mcp start' starts it"));
    };
    control.end(&info, note)?;
    output::emit(&format!("Session-Buddy stopped (pid {})\n", info.pid))
}

/// Runs `mcp restart`.
pub(super) fn restart(args: &StartArgs, surroundings: &Surroundings) -> Result<ExitCode> {
    let settings = launch::load(surroundings)?;
    let control = of(settings.home());
    let former = control.running();
    if let Some(info) = &former {
        control.end(info, note)?;
        note(&format!("Session-Buddy stopped (pid {})", info.pid));
    }
    let arguments = match &former {
        Some(info) if args.is_empty() && !info.arguments.is_empty() => info.arguments.clone(),
        _ => args.again(),
    };
    let started = detach(control.home, &arguments, Transport::Http)?;
    output::emit(&format!("Session-Buddy runs on {} (pid {})\n", started.address, started.pid))
}
