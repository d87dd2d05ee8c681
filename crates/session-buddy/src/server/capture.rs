//! Background work: takes events out of spools that their owners left, and notices sessions whose process is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::process::{Liveness, ProcessIdentity, hostname};
use oneiric::spool;
use oneiric_server::lifecycle::Lifecycle;
use session_store::{Store, StoreSink};

use crate::desk::Desk;

/// Time between looks at the spools.
const DRAIN_EVERY: Duration = Duration::from_secs(1);
/// Time between looks at the processes of active sessions.
const LIVENESS_EVERY: Duration = Duration::from_secs(5);
/// Longest time that one batch out of a spool may take.
const BATCH_LIMIT: Duration = Duration::from_secs(5);

/// Starts both.
pub(crate) fn start(lifecycle: &Lifecycle, desk: &Arc<Desk>, spools: &[PathBuf], clock: &Arc<dyn Clock>) {
    let (at, spools, time) = (Arc::clone(desk), spools.to_vec(), Arc::clone(clock));
    let mut told: Option<String> = None;
    lifecycle.every("spools", DRAIN_EVERY, move || {
        let trouble = match at.store() {
            Ok(store) => drain(&store, &spools, time.as_ref()),
            Err(fault) => Some(fault.to_string()),
        };
        // Said once, not every second.
        if trouble != told {
            match &trouble {
                Some(trouble) => tracing::warn!(%trouble, "spooled events wait"),
                None => tracing::info!("spooled events are taken again"),
            }
            told = trouble;
        }
    });
    let (at, time) = (Arc::clone(desk), Arc::clone(clock));
    lifecycle.every("liveness", LIVENESS_EVERY, move || {
        if let Ok(store) = at.store() {
            mark_stale(store.as_ref(), time.as_ref());
        }
    });
}

/// Delivers what orphaned spool files hold. Says what stands in the way, when something does.
pub(crate) fn drain(store: &Arc<dyn Store>, spools: &[PathBuf], clock: &dyn Clock) -> Option<String> {
    let mut trouble = None;
    for folder in spools {
        if spool::orphans(folder).is_empty() {
            continue;
        }
        let sink = StoreSink::new(Arc::clone(store));
        let report = spool::drain(folder, &sink, clock, BATCH_LIMIT);
        if report.events + report.rejected > 0 {
            tracing::info!(
                folder = %folder.display(),
                sessions = report.sessions,
                events = report.events,
                duplicates = report.duplicates,
                rejected = report.rejected,
                "spool delivered"
            );
        }
        for file in &report.quarantined {
            tracing::warn!(file = %file.display(), "lines that cannot be stored were put aside");
        }
        if let Some(error) = report.error {
            trouble = Some(format!("{}: {error}", folder.display()));
        }
    }
    trouble
}

/// Gives sessions whose process is gone the status `stale`. Only processes of this machine can be judged.
pub(crate) fn mark_stale(store: &dyn Store, clock: &dyn Clock) {
    let here = hostname();
    let judge = |process: &ProcessIdentity, host: &str| {
        if host == here { process.liveness(true) } else { Liveness::Unknown }
    };
    match store.mark_stale(&judge, clock.now()) {
        Ok(gone) => {
            for session_id in gone {
                tracing::info!(%session_id, "session is stale: its process is gone");
            }
        }
        Err(fault) => tracing::debug!(%fault, "liveness of sessions is not known"),
    }
}
