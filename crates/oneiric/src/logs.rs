//! Logs: lines that `grep "session_id=abc123"` finds in a rotated file, and readable ones on standard error.
//!
//! Each line is redacted and then written by one `write(2)` to a file opened for appending, so several processes share
//! one file without mixing their lines. A log that cannot be written never fails the program.

pub(crate) mod file;
pub(crate) mod line;
mod read;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use self::file::LogFile;
use self::line::Fields;
pub use self::read::{Filter, Follow, Readable, read, readable};
use crate::clock::{Clock, SystemClock};
use crate::redact::Redactor;

/// How lines in the file look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `time=… level=INFO target=… msg="…" key=value`.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// The names that a setting may choose from.
    pub const NAMES: &'static [&'static str] = &["logfmt", "json"];

    /// From its name; anything but `json` is logfmt.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if name.eq_ignore_ascii_case("json") { Self::Json } else { Self::Logfmt }
    }
}

/// What is logged where.
#[derive(Clone)]
pub struct LogConfig {
    /// Names the file: `<dir>/<product>.log`.
    pub product: String,
    /// Where the file lies; without it there is none. It is made with its first line.
    pub dir: Option<PathBuf>,
    /// Least level in the file.
    pub level: LevelFilter,
    /// How lines in the file look.
    pub format: Format,
    /// Least level on standard error; without it nothing is written there.
    pub stderr: Option<LevelFilter>,
    /// A file that has grown to so many bytes is rotated.
    pub max_bytes: u64,
    /// So many rotated files are kept: `<product>.log.1` is the newest.
    pub keep: u32,
    /// Gives the time of each line.
    pub clock: Arc<dyn Clock>,
}

impl LogConfig {
    /// Lines from INFO on in `dir`, nothing on standard error, 5 files of 10 MiB.
    pub fn new(product: impl Into<String>, dir: Option<PathBuf>) -> Self {
        Self {
            product: product.into(),
            dir,
            level: LevelFilter::INFO,
            format: Format::default(),
            stderr: None,
            max_bytes: 10 * 1024 * 1024,
            keep: 5,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Tells how logging goes. Nothing has to be flushed: every line is written when it is logged.
#[derive(Clone)]
pub struct LogGuard {
    file: Option<Arc<LogFile>>,
}

impl LogGuard {
    /// The file that lines go to.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref().map(LogFile::path)
    }

    /// Why the last line that could not be written could not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.file.as_deref().and_then(LogFile::problem)
    }
}

/// Makes `config` hold for the whole process. Only the first call has an effect.
pub fn init(config: LogConfig) -> LogGuard {
    let (subscriber, guard) = subscriber(config);
    // A second call in one process (tests do that) keeps what is there.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}

/// A subscriber for `config`, to be used where [`init`] would reach too far.
pub fn subscriber(config: LogConfig) -> (impl Subscriber + Send + Sync, LogGuard) {
    let path = config.dir.as_ref().map(|dir| dir.join(format!("{}.log", config.product)));
    let file = path.map(|path| Arc::new(LogFile::new(path, config.max_bytes, config.keep)));
    let guard = LogGuard { file: file.clone() };
    (tracing_subscriber::registry().with(LogLayer { config, file }), guard)
}

/// From a name as settings and arguments give it: `TRACE DEBUG INFO WARN WARNING ERROR CRITICAL OFF`.
#[must_use]
pub fn parse_level(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" | "CRITICAL" => LevelFilter::ERROR,
        "OFF" => LevelFilter::OFF,
        _ => return None,
    })
}

/// Libraries that tell every step of theirs: only their warnings are of interest.
const TALKATIVE: &[&str] =
    &["hyper", "rmcp", "tower", "h2", "mio", "ureq", "rustls", "tokio", "axum", "starlark", "want"];

fn is_talk(meta: &Metadata<'_>) -> bool {
    let owner = meta.target().split("::").next().unwrap_or_default();
    *meta.level() > tracing::Level::WARN
        && TALKATIVE
            .iter()
            .any(|name| owner == *name || owner.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
}

struct LogLayer {
    config: LogConfig,
    file: Option<Arc<LogFile>>,
}

impl LogLayer {
    fn least(&self) -> LevelFilter {
        let file = if self.file.is_some() { self.config.level } else { LevelFilter::OFF };
        file.max(self.config.stderr.unwrap_or(LevelFilter::OFF))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *meta.level() <= self.least() && !is_talk(meta)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.least())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(own) = span.extensions().get::<Fields>() {
                fields.extend(own);
            }
        }
        event.record(&mut fields);
        fields.redact(&Redactor::standard());
        let meta = event.metadata();
        if let Some(file) = self.file.as_ref().filter(|_| *meta.level() <= self.config.level) {
            let now = self.config.clock.now();
            let line = match self.config.format {
                Format::Logfmt => fields.logfmt(now, meta),
                Format::Json => fields.json(now, meta),
            };
            file.append(&line);
        }
        if self.config.stderr.is_some_and(|least| *meta.level() <= least) {
            // Nobody is left to be told when standard error is closed.
            let _ = std::io::stderr().lock().write_all(fields.readable(meta).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
