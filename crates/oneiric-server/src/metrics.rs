//! Metrics as Prometheus text, format 0.0.4.
//!
//! Most values come from a store at the moment of the scrape, so that they survive restarts; the writer therefore takes
//! values, and only latencies ([`Latency`]) are kept in memory.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oneiric::fault::Result;

/// Renders all metrics of a program.
pub trait MetricsSource: Send + Sync + 'static {
    /// The text of `/metrics`.
    fn render(&self) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>>;
}

/// Writes metric families.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that only grows; by convention its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> &mut Self {
        self.family(name, help, "counter")
    }

    /// A value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> &mut Self {
        self.family(name, help, "gauge")
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) -> &mut Self {
        let _ = writeln!(self.text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        self
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.text.push_str(name);
        if !labels.is_empty() {
            let shown: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.text, "{{{}}}", shown.join(","));
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// A histogram: upper bounds with the number of values at or below each, then the sum and number of all values.
    pub fn histogram(&mut self, name: &str, help: &str) -> &mut Self {
        self.family(name, help, "histogram")
    }

    /// Samples of the histogram begun last. `cumulative` holds (upper bound, values at or below it).
    pub fn buckets(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        cumulative: &[(f64, u64)],
        sum: f64,
        count: u64,
    ) -> &mut Self {
        let bucket = format!("{name}_bucket");
        for (bound, at_or_below) in cumulative {
            let bound = bound.to_string();
            let mut all = labels.to_vec();
            all.push(("le", &bound));
            self.sample(&bucket, &all, *at_or_below as f64);
        }
        let mut all = labels.to_vec();
        all.push(("le", "+Inf"));
        self.sample(&bucket, &all, count as f64);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count as f64)
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Upper bounds of latencies in seconds.
const BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Latencies since the start of the process.
#[derive(Debug, Default)]
pub struct Latency {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let slot = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[slot].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Writes its samples into the histogram begun last.
    pub fn write(&self, out: &mut Exposition, name: &str, labels: &[(&str, &str)]) {
        let mut total = 0;
        let mut cumulative = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            cumulative.push((*bound, total));
        }
        total += self.counts[BOUNDS.len()].load(Ordering::Relaxed);
        let sum = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        out.buckets(name, labels, &cumulative, sum, total);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_scrapers_and_the_guide_expect() {
        let mut out = Exposition::new();
        out.counter("a_total", "Total of a").sample("a_total", &[("component", "x\"y\\z\n")], 42.0);
        out.gauge("b", "b now").sample("b", &[], 0.5);
        assert_eq!(
            out.finish(),
            "# HELP a_total Total of a\n# TYPE a_total counter\na_total{component=\"x\\\"y\\\\z\\n\"} 42\n\
             # HELP b b now\n# TYPE b gauge\nb 0.5\n"
        );
    }

    #[test]
    fn buckets_of_a_histogram_add_up() {
        let latency = Latency::default();
        for millis in [0, 2, 30, 9_000] {
            latency.record(Duration::from_millis(millis));
        }
        let mut out = Exposition::new();
        out.histogram("h_seconds", "h");
        latency.write(&mut out, "h_seconds", &[("mode", "text")]);
        let text = out.finish();
        assert!(text.contains("h_seconds_bucket{mode=\"text\",le=\"0.0005\"} 1\n"), "{text}");
        assert!(text.contains("h_seconds_bucket{mode=\"text\",le=\"5\"} 3\n"), "{text}");
        assert!(text.contains("h_seconds_bucket{mode=\"text\",le=\"+Inf\"} 4\n"), "{text}");
        assert!(text.contains("h_seconds_sum{mode=\"text\"} 9.032\n"), "{text}");
    }
}
