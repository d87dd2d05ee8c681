//! `/health` and `/metrics`. Counts come from the database, so that they survive restarts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric_server::health::{HealthSource, Part, Report};
use oneiric_server::metrics::{Exposition, MetricsSource};

use crate::desk::Desk;
use crate::drive::PRODUCT;
use crate::mcp::repos::health;
use crate::world::World;

/// Longest time a look at the parts may take.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// The span of the figures that are not those of now.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Health and metrics of a desk.
pub(super) struct Figures {
    desk: Arc<Desk>,
}

impl Figures {
    pub(super) const fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

impl HealthSource for Figures {
    fn check(&self) -> Pin<Box<dyn Future<Output = Report> + Send + '_>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let looking = tokio::task::spawn_blocking(move || own_parts(desk.world()));
            match tokio::time::timeout(LOOK_LIMIT, looking).await {
                Ok(Ok(report)) => report,
                _ => Report::over(
                    PRODUCT,
                    env!("CARGO_PKG_VERSION"),
                    vec![Part::failed("Database", "no answer", "3 seconds", "look for a program that locks the file")],
                ),
            }
        })
    }
}

/// This program's own parts: a peer that is down does not make this server unhealthy.
fn own_parts(world: &World) -> Report {
    let report = health(world);
    let parts = report.parts.into_iter().map(|part| match part.name.as_str() {
        "Session-Buddy" if part.state == oneiric_server::health::PartState::Failed => {
            // Its word stays: it is not disabled.
            Part { word: part.word, ..Part::off("Session-Buddy", part.fact) }
        }
        _ => part,
    });
    Report::over(PRODUCT, env!("CARGO_PKG_VERSION"), parts.collect())
}

impl MetricsSource for Figures {
    fn render(&self) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || render(desk.world()))
                .await
                .map_err(|error| Fault::internal(format!("metrics: {error}")))?
        })
    }
}

fn render(world: &World) -> Result<String> {
    let mut out = Exposition::new();
    let name = "mahavishnu_workflows";
    out.gauge(name, "Workflows in the database, by state");
    let counts = world.workflows().counts()?;
    for status in orchestrator::workflows::Status::ALL {
        let count = counts.iter().find(|(known, _)| *known == status).map_or(0, |(_, count)| *count);
        #[allow(clippy::cast_precision_loss, reason = "counts of rows")]
        out.sample(name, &[("status", status.as_str())], count as f64);
    }
    let now = world.clock.now();
    crate::cli::metrics::expose(&world.workflows().figures(now.minus(DAY), now)?, &mut out);
    let depth = oneiric::spool::depth(&world.settings.home().spool());
    #[allow(clippy::cast_precision_loss, reason = "sizes of files")]
    for (name, help, value) in [
        ("mahavishnu_spool_files", "Spool files of living and ended sessions", depth.files as f64),
        ("mahavishnu_spool_bytes", "Bytes in spool files", depth.bytes as f64),
    ] {
        out.gauge(name, help).sample(name, &[], value);
    }
    Ok(out.finish())
}
