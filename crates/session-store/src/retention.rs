//! What is deleted when: whole finished sessions by project, and single types of events. Nothing is, unless a rule says so.

use std::collections::BTreeMap;

use oneiric::clock::Timestamp;
use oneiric::event::EventType;
use oneiric::fault::{Fault, Result};
use serde::{Deserialize, Serialize};

use crate::upkeep::{Amount, Progress, REST, Upkeep};

/// Most days that a rule can name.
const MAX_DAYS: u32 = 36_500;

/// Which rows are deleted, by age in days. Active sessions and their events never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// Whole sessions of projects that no other rule names.
    pub sessions: Option<u32>,
    /// Whole sessions by project; `None` keeps all of the project, its events too.
    pub projects: BTreeMap<String, Option<u32>>,
    /// Single events by type.
    pub events: BTreeMap<String, u32>,
}

/// What one rule deletes; what an earlier rule deletes is not counted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEffect {
    /// The rule as it was written, such as `retention.projects scratch=14`.
    pub rule: String,
    /// Whole sessions.
    pub sessions: u64,
    /// Events, those of the sessions among them.
    pub events: u64,
}

/// Where deleting goes on: which rule, and behind which event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the rule.
    pub rule: usize,
    /// The last event that was looked at.
    pub seq: i64,
}

impl RetentionRules {
    /// Rules as settings write them: `project=days` or `project=keep`, and `event_type=days`. `days` is for all other
    /// sessions; 0 keeps them.
    ///
    /// # Errors
    /// `Config`, naming the rule.
    pub fn parse(days: u32, projects: &[String], events: &[String]) -> Result<Self> {
        let mut rules = Self { sessions: (days > 0).then_some(days), ..Self::default() };
        for text in projects {
            let (name, age) = parted("retention.projects", text)?;
            let age = if age == "keep" { None } else { Some(days_of("retention.projects", text, age)?) };
            once("retention.projects", name, rules.projects.insert(name.to_owned(), age).is_some())?;
        }
        for text in events {
            let (name, age) = parted("retention.events", text)?;
            if matches!(name, EventType::SESSION_START | EventType::SESSION_END) {
                return Err(Fault::config(format!("retention.events: {name} belongs to its session"))
                    .hint("delete whole sessions by retention.days or retention.projects"));
            }
            if EventType::parse(name).is_err() {
                return Err(Fault::config(format!("retention.events: '{name}' is no event type"))
                    .hint("write a type in lower case, such as command=90"));
            }
            let age = days_of("retention.events", text, age)?;
            once("retention.events", name, rules.events.insert(name.to_owned(), age).is_some())?;
        }
        Ok(rules)
    }

    /// Whether nothing is ever deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_none() && self.projects.values().all(Option::is_none) && self.events.is_empty()
    }
}

/// Two rules for one name contradict each other, and guessing which one was meant may delete what was to be kept.
fn once(setting: &str, name: &str, twice: bool) -> Result<()> {
    if twice {
        return Err(Fault::config(format!("{setting}: '{name}' has more than one rule")).hint("write one rule for it"));
    }
    Ok(())
}

fn parted<'t>(setting: &str, text: &'t str) -> Result<(&'t str, &'t str)> {
    match text.rsplit_once('=') {
        // Several rules in one text would be one about a project of a strange name, and mean none of theirs.
        Some((name, _)) if name.contains([';', '\n']) || holds_a_rule(name) => {
            Err(Fault::config(format!("{setting}: '{text}' is more than one rule"))
                .hint("write a comma between two, or one an element of a list: scratch=14,ledger=keep"))
        }
        Some((name, age)) if !name.trim().is_empty() => Ok((name.trim(), age.trim())),
        _ => Err(Fault::config(format!("{setting}: '{text}' is no rule")).hint("write name=days, such as scratch=14")),
    }
}

fn holds_a_rule(name: &str) -> bool {
    let age = name.rsplit_once('=').and_then(|(_, rest)| rest.split_whitespace().next());
    age.is_some_and(|age| age == "keep" || age.strip_suffix('d').unwrap_or(age).parse::<u32>().is_ok())
}

fn days_of(setting: &str, text: &str, age: &str) -> Result<u32> {
    let days: Option<u32> = age.strip_suffix('d').unwrap_or(age).parse().ok();
    days.filter(|days| (1..=MAX_DAYS).contains(days)).ok_or_else(|| {
        Fault::config(format!("{setting}: '{text}' has no number of days from 1 to {MAX_DAYS}"))
            .hint("write name=days, such as scratch=14")
    })
}

/// Deletes what the rules mean, in batches.
///
/// # Errors
/// What the store says; batches before that stay deleted.
pub fn apply(
    store: &(impl Upkeep + ?Sized),
    rules: &RetentionRules,
    now: Timestamp,
    progress: Progress<'_>,
) -> Result<Amount> {
    let expected: u64 = store.retention_preview(rules, now)?.iter().map(|effect| effect.events).sum();
    let mut total = Amount::default();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let (amount, next) = store.retention_step(rules, now, at)?;
        total += amount;
        cursor = next;
        progress(total.events, expected.max(total.events));
        if amount != Amount::default() {
            std::thread::sleep(REST);
        }
    }
    Ok(total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_what_is_none_is_refused_by_name() {
        let text = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rules = RetentionRules::parse(0, &text(&["a=b=14", "ledger=keep"]), &text(&["command=90d"])).unwrap();
        assert_eq!(rules.projects, [("a=b".to_owned(), Some(14)), ("ledger".to_owned(), None)].into());
        assert_eq!((rules.sessions, rules.events["command"]), (None, 90));
        assert!(RetentionRules::parse(0, &[], &[]).unwrap().is_empty());
        for (projects, events) in [
            (&["scratch"][..], &[][..]),
            (&["a=keep", "a=3"], &[]),
            (&["a=3", " a =3"], &[]),
            (&[], &["command=90", "command=30"]),
            (&["x=0"], &[]),
            (&["=3"], &[]),
            (&[], &["command=keep"]),
            (&[], &["session_end=3"]),
            (&[], &["No Type=3"]),
        ] {
            let refused = RetentionRules::parse(0, &text(projects), &text(events)).unwrap_err();
            assert!(refused.to_string().contains("retention."), "{refused}");
        }
    }
}
