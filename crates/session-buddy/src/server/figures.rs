//! `/health` and `/metrics`. Counts come from the store, so that they survive restarts.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric_server::health::{HealthSource, Part, Report};
use oneiric_server::metrics::{Exposition, MetricsSource};
use session_store::model::DURATION_BOUNDS;
use session_store::{Counts, SessionStatus};

use crate::desk::{Desk, Shelf};

/// Longest time a look at the database may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Health and metrics of a desk.
pub struct Figures {
    desk: Arc<Desk>,
}

impl Figures {
    /// Figures of `desk`.
    #[must_use]
    pub const fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

/// The desk's store, as something to look at.
struct Behind(Arc<Desk>);

impl Shelf for Behind {
    fn store(&self) -> Result<Arc<dyn session_store::Store>> {
        self.0.store()
    }
}

impl HealthSource for Figures {
    fn check(&self) -> Pin<Box<dyn Future<Output = Report> + Send + '_>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let behind = Arc::clone(&desk);
            let look = move || behind.facts().database(&Behind(Arc::clone(&behind)));
            let Some(database) = within_limit(look).await else {
                let hint = "look for a program that locks the file";
                return desk.facts().report_with(vec![Part::failed("Database", "no answer", "2 seconds", hint)], None);
            };
            let behind = Arc::clone(&desk);
            let look = move || behind.facts().index(&Behind(Arc::clone(&behind)));
            let late =
                || Some(Part::off("Semantic index", "no answer within 2 seconds; text search answers meanwhile"));
            let index = within_limit(look).await.unwrap_or_else(late);
            desk.facts().report_with(database, index)
        })
    }
}

/// What `look` finds; `None` when that takes too long.
async fn within_limit<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::time::timeout(LOOK_LIMIT, tokio::task::spawn_blocking(look)).await.ok()?.ok()
}

impl MetricsSource for Figures {
    fn render(&self) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                let counts = desk.store()?.counts()?;
                Ok(render(&desk, &counts))
            })
            .await
            .map_err(|error| Fault::internal(format!("metrics: {error}")))?
        })
    }
}

fn render(desk: &Desk, counts: &Counts) -> String {
    let mut out = Exposition::new();
    sessions(&mut out, counts);
    events(&mut out, desk, counts);
    embeddings(&mut out, desk);
    out.finish()
}

fn sessions(out: &mut Exposition, counts: &Counts) {
    let mut totals: Vec<(&str, u64)> = Vec::new();
    // What was deleted was there: a counter does not fall.
    for row in counts.sessions.iter().chain(&counts.deleted_sessions) {
        match totals.iter_mut().find(|(component, _)| *component == row.component) {
            Some((_, total)) => *total += row.count,
            None => totals.push((&row.component, row.count)),
        }
    }
    if totals.is_empty() {
        // A family without samples would look as if nothing counted it.
        totals.push(("mahavishnu", 0));
    }
    let name = "mahavishnu_sessions_total";
    out.counter(name, "Total number of sessions");
    for (component, total) in totals {
        out.sample(name, &[("component", component)], total as f64);
    }
    let name = "mahavishnu_sessions_active";
    out.gauge(name, "Sessions that run now").sample(
        name,
        &[],
        counts.sessions_total(Some(SessionStatus::Active)) as f64,
    );
    let name = "mahavishnu_sessions_failed_total";
    let deleted = counts.deleted_sessions.iter().filter(|row| row.status == SessionStatus::Failed);
    let failed = counts.sessions_total(Some(SessionStatus::Failed)) + deleted.map(|row| row.count).sum::<u64>();
    out.counter(name, "Sessions that ended with a failure").sample(name, &[], failed as f64);
    let name = "mahavishnu_session_duration_seconds";
    out.histogram(name, "How long finished sessions took");
    for durations in &counts.durations {
        let mut total = 0;
        let cumulative: Vec<(f64, u64)> = DURATION_BOUNDS
            .iter()
            .zip(&durations.buckets)
            .map(|(bound, count)| {
                total += count;
                (*bound, total)
            })
            .collect();
        out.buckets(
            name,
            &[("component", &durations.component)],
            &cumulative,
            durations.sum_seconds,
            durations.count(),
        );
    }
}

/// Vectors that search by meaning asks.
fn embeddings(out: &mut Exposition, desk: &Desk) {
    if !desk.semantics().wanted() {
        return;
    }
    let Ok(store) = desk.store() else { return };
    let figures = desk.semantics().figures(store.as_ref());
    let name = "session_buddy_embeddings_texts_total";
    out.counter(name, "Texts that became vectors, since the start").sample(name, &[], figures.embedded as f64);
    let name = "session_buddy_embeddings_seconds_total";
    out.counter(name, "Time that took, since the start").sample(name, &[], figures.seconds);
    let name = "session_buddy_embeddings_vectors";
    out.gauge(name, "Vectors that searches can ask").sample(name, &[], figures.vectors as f64);
    let name = "session_buddy_embeddings_waiting";
    out.gauge(name, "Events that wait for their vectors, about").sample(name, &[], figures.waiting as f64);
    let name = "session_buddy_embeddings_size_bytes";
    out.gauge(name, "Size of the vectors").sample(name, &[], figures.bytes as f64);
}

fn events(out: &mut Exposition, desk: &Desk, counts: &Counts) {
    let name = "session_buddy_events_total";
    out.counter(name, "Stored events");
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for row in counts.events.iter().chain(&counts.deleted_events) {
        *totals.entry(&row.event_type).or_default() += row.count;
    }
    for (event_type, total) in totals {
        out.sample(name, &[("type", event_type)], total as f64);
    }
    let name = "session_buddy_archived_sessions";
    out.gauge(name, "Sessions in the archive").sample(name, &[], counts.archived_sessions as f64);
    let name = "session_buddy_redactions_total";
    out.counter(name, "Secrets that were replaced before anything was stored").sample(
        name,
        &[],
        counts.redactions as f64,
    );
    let name = "session_buddy_database_size_bytes";
    out.gauge(name, "Size of the database").sample(name, &[], counts.database_bytes as f64);
    let depth = desk.facts().spooled();
    let name = "session_buddy_spool_files";
    out.gauge(name, "Spool files of living and ended sessions").sample(name, &[], depth.0 as f64);
    let name = "session_buddy_spool_bytes";
    out.gauge(name, "Bytes in spool files").sample(name, &[], depth.1 as f64);
    let name = "session_buddy_ingest_duration_seconds";
    out.histogram(name, "Time to store what one tool call brought, since the start");
    desk.meters().ingest.write(out, name, &[]);
    let name = "session_buddy_search_duration_seconds";
    out.histogram(name, "Time to answer a search, since the start");
    for mode in ["text", "semantic", "hybrid"] {
        desk.meters().search(Some(mode)).write(out, name, &[("mode", mode)]);
    }
}
