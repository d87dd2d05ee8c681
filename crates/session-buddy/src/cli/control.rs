//! `mcp stop` and `mcp restart`.

use std::process::ExitCode;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;
use oneiric::process::{Liveness, ProcessIdentity};
use oneiric::run_file::{self, ServerInfo};
use oneiric::settings::Surroundings;
use rustix::process::{Pid, Signal, kill_process};

use super::output::{self, note};
use super::start::{StartArgs, detach};
use crate::PRODUCT;
use crate::server::launch::{self, Transport};

/// Time after which waiting is told.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// Longest time that is waited.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs `mcp stop`.
pub(super) fn stop(surroundings: &Surroundings) -> Result<ExitCode> {
    let settings = launch::load(surroundings)?;
    let home = settings.home();
    let Some(info) = run_file::running(home, PRODUCT) else {
        return Err(Fault::unavailable(format!("Session-Buddy does not run for {}", home.root().display()))
            .hint("nothing to stop; 'session-buddy mcp start' starts it"));
    };
    end(home, &info)?;
    output::emit(&format!("Session-Buddy stopped (pid {})\n", info.pid))
}

/// Runs `mcp restart`.
pub(super) fn restart(args: &StartArgs, surroundings: &Surroundings) -> Result<ExitCode> {
    let settings = launch::load(surroundings)?;
    let home = settings.home();
    let former = run_file::running(home, PRODUCT);
    if let Some(info) = &former {
        end(home, info)?;
        note(&format!("Session-Buddy stopped (pid {})", info.pid));
    }
    let arguments = match &former {
        Some(info) if args.is_empty() && !info.arguments.is_empty() => info.arguments.clone(),
        _ => args.again(),
    };
    let started = detach(home, &arguments, Transport::Http)?;
    output::emit(&format!("Session-Buddy runs on {} (pid {})\n", started.address, started.pid))
}

/// Ends a server and waits until it is gone.
fn end(home: &Home, info: &ServerInfo) -> Result<()> {
    // It frees its home a moment before its end.
    let ended = || info.process.as_ref().is_none_or(|process| process.liveness(true) != Liveness::Alive);
    let gone = || run_file::running(home, PRODUCT).is_none_or(|now| now.pid != info.pid) && ended();
    // The pid in the file may be another process's by now, or mean something else in this pid namespace.
    let same = match &info.process {
        Some(process) => process.liveness(true) == Liveness::Alive,
        None => ProcessIdentity::of(info.pid).is_some(),
    };
    let pid = i32::try_from(info.pid).ok().and_then(Pid::from_raw).filter(|_| same);
    let Some(pid) = pid else {
        return Err(Fault::unavailable(format!(
            "the server holds its home, but process {} is not its own here",
            info.pid
        ))
        .hint("it may run in a container or as another user: stop it there"));
    };
    kill_process(pid, Signal::TERM).map_err(|error| {
        Fault::denied(format!("process {} may not be ended: {}", info.pid, oneiric::paths::plain(&error.into())))
            .hint("stop it as the user who started it")
    })?;
    let clock = SystemClock;
    let began = clock.monotonic();
    let mut told = false;
    while !gone() {
        let waited = clock.monotonic().saturating_sub(began);
        if waited > TELL_AFTER && !told {
            note(&format!("Process {} is still ending; waiting up to {} s", info.pid, GIVE_UP_AFTER.as_secs()));
            told = true;
        }
        if waited > GIVE_UP_AFTER {
            return Err(Fault::unavailable(format!(
                "process {} did not end within {} s",
                info.pid,
                GIVE_UP_AFTER.as_secs()
            ))
            .hint(format!("see 'session-buddy logs', then end it with: kill -9 {}", info.pid)));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
