//! Health: parts, each with a state and a fact, and one verdict.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// It works.
    Ok,
    /// It is switched off or not built in; nothing is wrong.
    Off,
    /// It does not work, and should.
    Failed,
}

/// One part of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Part {
    /// As people read it: `Database`.
    pub name: String,
    /// Whether it works.
    pub state: PartState,
    /// A word for the state: `connected`, `enabled`, `healthy`, `disabled`.
    pub word: String,
    /// A fact that can be checked: an address, a path, a count, a setting.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fact: String,
    /// What to do when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Part {
    /// A part that works.
    pub fn ok(name: &str, word: &str, fact: impl Into<String>) -> Self {
        Self { name: name.into(), state: PartState::Ok, word: word.into(), fact: fact.into(), hint: None }
    }

    /// A part that is off; `fact` names the setting.
    pub fn off(name: &str, fact: impl Into<String>) -> Self {
        Self { name: name.into(), state: PartState::Off, word: "disabled".into(), fact: fact.into(), hint: None }
    }

    /// A part that should work and does not.
    pub fn failed(name: &str, word: &str, fact: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: PartState::Failed,
            word: word.into(),
            fact: fact.into(),
            hint: Some(hint.into()),
        }
    }

    /// One line for a terminal: `✓ Database: connected (sessions.db)`.
    #[must_use]
    pub fn line(&self) -> String {
        let mark = match self.state {
            PartState::Ok => "✓",
            PartState::Off => "-",
            PartState::Failed => "✗",
        };
        let mut line = format!("{mark} {}: {}", self.name, self.word);
        if !self.fact.is_empty() {
            line.push_str(&format!(" ({})", self.fact));
        }
        if let Some(hint) = &self.hint {
            line.push_str(&format!("; {hint}"));
        }
        line
    }
}

/// State of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// Version of the program.
    pub version: String,
    /// Name of the program.
    pub product: String,
    /// Parts, in the order in which they are shown.
    pub parts: Vec<Part>,
}

impl Report {
    /// A verdict over `parts`: healthy when none failed.
    #[must_use]
    pub fn over(product: &str, version: &str, parts: Vec<Part>) -> Self {
        let failed = parts.iter().any(|part| part.state == PartState::Failed);
        let status = if failed { "unhealthy" } else { "healthy" };
        Self { status: status.into(), version: version.into(), product: product.into(), parts }
    }

    /// Whether no part failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.parts.iter().all(|part| part.state != PartState::Failed)
    }

    /// Body of `/health`. Without `facts`, only the verdict and the names of failing parts.
    #[must_use]
    pub fn body(&self, facts: bool) -> Body<'_> {
        let failed = self.parts.iter().filter(|part| part.state == PartState::Failed);
        Body {
            status: &self.status,
            version: &self.version,
            product: &self.product,
            failing: failed.map(|part| part.name.as_str()).collect(),
            parts: facts.then_some(self.parts.as_slice()),
        }
    }
}

/// A report as JSON, the verdict first.
#[derive(Clone, Debug, Serialize)]
pub struct Body<'a> {
    status: &'a str,
    version: &'a str,
    product: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<&'a [Part]>,
}

/// Finds out how the parts are.
pub trait HealthSource: Send + Sync + 'static {
    /// Looks at every part, within about a second.
    fn check(&self) -> Pin<Box<dyn Future<Output = Report> + Send + '_>>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn one_failing_part_makes_the_whole_unhealthy_and_is_named() {
        let report = Report::over(
            "sample",
            "1.0",
            vec![
                Part::ok("Tracking", "enabled", ""),
                Part::failed("Database", "unreachable", "/x.db", "free the disk"),
            ],
        );
        // Facts stay with those who may read.
        let body = serde_json::to_string(&report.body(false)).unwrap();
        assert_eq!(body, r#"{"status":"unhealthy","version":"1.0","product":"sample","failing":["Database"]}"#);
        assert!(serde_json::to_string(&report.body(true)).unwrap().contains("/x.db"));
        assert_eq!(report.parts[1].line(), "✗ Database: unreachable (/x.db); free the disk");
        assert_eq!(report.parts[0].line(), "✓ Tracking: enabled");
    }

    #[test]
    fn a_part_that_is_off_is_no_failure() {
        let report = Report::over("sample", "1.0", vec![Part::off("Sync", "akosha_enabled = false")]);
        assert!(report.is_healthy());
        assert_eq!(report.parts[0].line(), "- Sync: disabled (akosha_enabled = false)");
    }
}
