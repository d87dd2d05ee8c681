//! A row of the route table.

use axum::http::StatusCode;
use axum::routing::MethodFilter;
use oneiric::clock::Timestamp;
use serde_json::{Map, Value};

/// Method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Arguments come as query parameters.
    Get,
    /// Arguments come as a JSON object.
    Post,
}

impl Verb {
    /// As HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    pub(super) const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

/// Which side of a route is lines of JSON of any length ([`super::Bulk`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// The answer.
    Given,
    /// The body.
    Taken,
}

/// What is known of a request beside its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Subject of the token; empty while auth is off.
    pub subject: &'a str,
    /// Header `Idempotency-Key`: the same key again is the same act.
    pub idempotency_key: Option<&'a str>,
    /// The time now.
    pub now: Timestamp,
}

/// Gives arguments that the caller left out.
pub type Fill = fn(&mut Map<String, Value>, &Asker<'_>);

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Method.
    pub verb: Verb,
    /// Below [`super::BASE`]; `{name}` is the tool's argument of that name.
    pub path: &'static str,
    /// Tool that answers.
    pub tool: &'static str,
    /// Name in the description; unique.
    pub id: &'static str,
    /// What it is good for, in a few words.
    pub summary: &'static str,
    /// Arguments (text) that hold unless the caller gives others.
    pub defaults: &'static [(&'static str, &'static str)],
    /// Arguments (text) that the route itself says. The caller cannot give them.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Arguments that the caller may leave out because `fill` gives them.
    pub filled: &'static [&'static str],
    /// Arguments that it takes although the tool's schema does not list them.
    pub unlisted: &'static [&'static str],
    /// Whether the tool judges fields itself that its schema does not list.
    pub open: bool,
    /// Gives what is left out.
    pub fill: Option<Fill>,
    /// Member of the answer that names what was made, and the path where it is, ending before that name.
    pub makes: Option<(&'static str, &'static str)>,
    /// Whether its answer or its body is lines.
    pub lines: Option<Lines>,
    /// Whether it may take longer than other requests.
    pub slow: bool,
}

impl Route {
    /// A route that reads.
    #[must_use]
    pub const fn get(path: &'static str, tool: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Get, path, tool, id, summary)
    }

    /// A route that adds.
    #[must_use]
    pub const fn post(path: &'static str, tool: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Verb::Post, path, tool, id, summary)
    }

    const fn new(verb: Verb, path: &'static str, tool: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            verb,
            path,
            tool,
            id,
            summary,
            defaults: &[],
            fixed: &[],
            filled: &[],
            unlisted: &[],
            open: false,
            fill: None,
            makes: None,
            lines: None,
            slow: false,
        }
    }

    /// 201 when it makes something with a place of its own.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        if self.makes.is_some() { StatusCode::CREATED } else { StatusCode::OK }
    }

    pub(super) fn complete(&self, given: &mut Map<String, Value>, asker: &Asker<'_>) {
        for (name, value) in self.fixed.iter().chain(self.defaults) {
            given.entry(*name).or_insert_with(|| (*value).into());
        }
        if let Some(fill) = self.fill {
            fill(given, asker);
        }
    }

    /// Where the thing is that `answer` says was made.
    pub(super) fn location(&self, answer: &Value) -> Option<String> {
        let (member, below) = self.makes?;
        Some(format!("{}{below}{}", super::BASE, answer.get(member)?.as_str()?))
    }

    /// Whether the caller cannot give this argument beside the path: it stands in it, or is what the route is about.
    pub(super) fn says(&self, name: &str) -> bool {
        self.in_path().any(|inside| inside == name) || self.fixed.iter().any(|(fixed, _)| *fixed == name)
    }

    /// Names in the path.
    pub(super) fn in_path(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
