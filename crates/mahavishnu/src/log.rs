//! Where this program logs: `/var/log/mahavishnu` when that folder is there and may be written, else the home.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneiric::fault::{Fault, FaultKind};
use oneiric::logs::{self, Format, LogConfig};
use tracing::level_filters::LevelFilter;

use crate::world::World;

/// Names the log file.
pub(crate) const PRODUCT: &str = "mahavishnu";

/// The machine's folder for this program's logs. It is used, never made: who wants it makes it.
const SYSTEM: &str = "/var/log/mahavishnu";

/// Folder of the log file.
pub(crate) fn dir(world: &World) -> PathBuf {
    if let Some(dir) = world.settings.opt_path("log.dir") {
        return dir;
    }
    let system = Path::new(SYSTEM);
    let usable = rustix::fs::access(system, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    if usable { system.to_path_buf() } else { world.settings.home().logs() }
}

/// Begins to log.
pub(crate) fn begin(world: &World) {
    let settings = &world.settings;
    let mut level = logs::parse_level(settings.text("log.level")).unwrap_or(LevelFilter::INFO);
    if settings.bool("debug") {
        level = level.max(LevelFilter::DEBUG);
    }
    if settings.bool("trace_sessions") {
        level = LevelFilter::TRACE;
    }
    let mut config = LogConfig::new(PRODUCT, Some(dir(world)));
    config.level = level;
    config.format = Format::parse(settings.text("log.format"));
    config.clock = Arc::clone(&world.clock);
    logs::init(config);
}

/// Logs why a command failed. Wrong requests are their user's, the rest is for whoever runs the machine.
pub(crate) fn fault(fault: &Fault) {
    let (kind, message) = (fault.kind().code(), fault.message());
    match fault.kind() {
        FaultKind::User | FaultKind::NotFound | FaultKind::Conflict | FaultKind::Denied => {
            tracing::warn!(kind, "{message}");
        }
        FaultKind::Config | FaultKind::Unavailable | FaultKind::Internal => tracing::error!(kind, "{message}"),
    }
}
