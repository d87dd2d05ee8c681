//! The other engines, as the settings describe them.

use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use oneiric::settings::Settings;
use orchestrator::adapters::{AdapterSettings, Adapters, Kind, State};
use orchestrator::engine::AdapterRunner;

use crate::world::World;

/// How long a question whether an engine is there may take.
pub(crate) const PROBE: Duration = Duration::from_secs(2);

/// All engines of the settings. Nothing is connected yet.
pub(crate) fn adapters(settings: &Settings, clock: Arc<dyn Clock>) -> Adapters {
    Adapters::new(settings.home().clone(), Kind::ALL.map(|kind| of(settings, kind)).into(), clock)
}

fn of(settings: &Settings, kind: Kind) -> AdapterSettings {
    let path = |name: &str| format!("adapters.{kind}_{name}");
    let seconds = |name: &str| Duration::from_secs(settings.int(name).unsigned_abs());
    let liveness = seconds(&path("liveness_seconds"));
    AdapterSettings {
        kind,
        enabled: settings.bool(&path("enabled")),
        url: settings.text(&path("url")).to_owned(),
        auth: settings.secret(&path("auth")).cloned(),
        poll: seconds("adapters.poll_seconds"),
        liveness: Some(liveness).filter(|liveness| !liveness.is_zero()),
        doubt: seconds("adapters.doubt_seconds"),
        patience: seconds("adapters.patience_seconds"),
        cancelling: seconds("adapters.cancel_seconds"),
    }
}

/// What hands steps and tasks to them.
pub(crate) fn runner(world: &World) -> AdapterRunner {
    AdapterRunner { adapters: world.adapters(), redactor: world.redactor(), clock: Arc::clone(&world.clock) }
}

/// Refuses what cannot begin: an engine that is disabled, or away, or has no such target.
///
/// # Errors
/// Config, unavailable, denied, not found; with what to do.
pub(crate) fn check(world: &World, adapter: &str, target: &str) -> Result<Kind> {
    let adapters = world.adapters();
    let (settings, remote) = adapters.enabled(adapter)?;
    let kind = settings.kind;
    if let State::Unreachable(trouble, since) = adapters.state(adapter, PROBE)? {
        return Err(Fault::from(trouble).hint(format!(
            "unreachable since {}; start it, or set adapters.{kind}_url ({})",
            since.local(),
            settings.url
        )));
    }
    let targets = remote.targets().map_err(Fault::from)?;
    let named = |name: &str| name == target || name.split_once('/').is_some_and(|(_, id)| id == target);
    let bounded = targets.len() >= 200;
    if bounded || targets.iter().any(|known| named(&known.name)) || (kind == Kind::Prefect && !target.contains('/')) {
        return Ok(kind);
    }
    let known: Vec<&str> = targets.iter().take(8).map(|known| known.name.as_str()).collect();
    let hint = match known.is_empty() {
        true => format!("it has none: {kind} runs {}", kind.targets()),
        false => format!("it has {}; 'mahavishnu adapters verify {kind}' shows all", known.join(", ")),
    };
    Err(Fault::not_found(format!("{kind} has nothing called '{target}'")).hint(hint))
}
