//! Latencies since the start of the process.

use oneiric_server::metrics::Latency;

/// What is measured while it happens; everything else is counted in the store.
#[derive(Debug, Default)]
pub struct Meters {
    /// Storing what came through a tool.
    pub ingest: Latency,
    /// Searches that words alone answered.
    pub text: Latency,
    /// Searches that meaning alone answered.
    pub semantic: Latency,
    /// Searches that words and meaning answered together.
    pub hybrid: Latency,
}

impl Meters {
    /// Where a search counts, by the mode that its answer names.
    #[must_use]
    pub fn search(&self, mode: Option<&str>) -> &Latency {
        match mode {
            Some("hybrid") => &self.hybrid,
            Some("semantic") => &self.semantic,
            _ => &self.text,
        }
    }
}
