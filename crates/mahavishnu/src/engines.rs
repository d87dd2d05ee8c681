//! The other engines, as the settings describe them.

use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::Result;
use oneiric::settings::Settings;
use orchestrator::adapters::{AdapterSettings, Adapters, Kind};
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
    world.adapters().offer(adapter, target, PROBE).map(|(kind, _)| kind)
}
