//! `analytics_sessions`: figures over the sessions of the last days or hours.

use oneiric::clock::Timestamp;
use oneiric::fault::Fault;
use oneiric::zone::Zone;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_store::Store;
use session_store::analytics::Range;

use crate::desk::to_value;

/// Days that are looked at when nobody says.
const DEFAULT_DAYS: u64 = 7;

/// Arguments of `analytics_sessions`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsSessions {
    /// The last days; default 7
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3660))]
    pub(crate) range_days: Option<u64>,
    /// Instead: from this time on
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) component: Option<String>,
    #[serde(default)]
    pub(crate) project: Option<String>,
    /// Tell what failed
    #[serde(default)]
    pub(crate) errors: bool,
    /// Of days and hours: UTC (default), Europe/Berlin, local (the server's)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timezone: Option<String>,
}

/// The answer, as far as its schema tells.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `session_store::analytics::Analytics` of the same names")]
pub struct AnalyticsShape {
    pub totals: Map<String, Value>,
    pub active_now: u64,
    pub failure_rate: f64,
    pub durations: Map<String, Value>,
    pub by_component: Vec<Value>,
    pub by_day: Vec<Value>,
    pub by_hour: Vec<u64>,
    pub timezone: String,
}

impl AnalyticsSessions {
    pub(crate) fn run(self, store: &dyn Store, now: Timestamp) -> Result<Value, ToolError> {
        let range = match (self.range_days, self.since) {
            (Some(_), Some(_)) => {
                return Err(Fault::user("range_days and since both say where the range begins")
                    .hint("leave one of them out")
                    .into());
            }
            (days, None) => Range::last(days.unwrap_or(DEFAULT_DAYS), now)?,
            (None, Some(since)) => Range::since(since, now)?,
        };
        let zone = self.timezone.as_deref().map(Zone::parse).transpose();
        let zone = zone.map_err(|fault| {
            let told = Fault::user(format!("timezone: {}", fault.message()));
            told.hint(fault.advice().unwrap_or_default())
        })?;
        let zone = zone.unwrap_or_default();
        let component = self.component.filter(|component| component != "*");
        to_value(&store.analytics(&Range { component, project: self.project, errors: self.errors, zone, ..range })?)
    }
}
