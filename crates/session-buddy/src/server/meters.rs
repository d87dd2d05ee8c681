//! Latencies since the start of the process.

use oneiric_server::metrics::Latency;

/// What is measured while it happens; everything else is counted in the store.
#[derive(Debug, Default)]
pub struct Meters {
    /// Storing what came through a tool.
    pub ingest: Latency,
    /// Text searches.
    pub search: Latency,
}
