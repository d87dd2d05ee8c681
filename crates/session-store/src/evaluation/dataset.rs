//! Sessions and questions as lines of JSON.
//!
//! A session: `{"conversation", "session", "started_at", "turns": [{"id", "speaker", "text"}]}`. A question:
//! `{"conversation", "question", "category", "evidence_turns": [id], "evidence_sessions": [session]}`. Which one a line is
//! shows in its fields, so files may hold both.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::model::Granularity;

/// Longest line in bytes.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// A session of the data.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its project.
    pub conversation: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What was said.
    pub turns: Vec<Turn>,
}

/// What one said.
#[derive(Clone, Debug, Deserialize)]
pub struct Turn {
    id: String,
    /// Who.
    #[serde(default)]
    pub speaker: String,
    /// What.
    pub text: String,
}

/// A question of the data.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its project.
    pub conversation: String,
    /// What is asked.
    pub text: String,
    /// Its kind, in the words of the data.
    pub category: String,
    turns: Vec<String>,
    sessions: Vec<String>,
}

/// Sessions and questions.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// In the order of the files.
    pub sessions: Vec<Recorded>,
    /// In the order of the files.
    pub questions: Vec<Question>,
    session_numbers: HashMap<String, usize>,
    turn_numbers: HashMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Session {
        conversation: String,
        session: String,
        started_at: String,
        turns: Vec<Turn>,
    },
    Question {
        conversation: String,
        question: String,
        #[serde(default)]
        category: Value,
        #[serde(default)]
        evidence_turns: Vec<String>,
        #[serde(default)]
        evidence_sessions: Vec<String>,
    },
}

impl Dataset {
    /// Adds the lines of `reader`; `name` is for errors.
    ///
    /// # Errors
    /// `User`, naming the line, when one is neither a session nor a question; `Unavailable` when reading fails.
    pub fn read(&mut self, mut reader: impl BufRead, name: &str) -> Result<()> {
        for number in 1.. {
            let mut line = String::new();
            let read = reader.by_ref().take(MAX_LINE).read_line(&mut line).map_err(|error| {
                Fault::unavailable(format!("cannot read {name}, line {number}: {}", oneiric::paths::plain(&error)))
            })?;
            if read == 0 {
                break;
            }
            if read as u64 == MAX_LINE {
                return Err(Fault::user(format!("{name}, line {number} is longer than {MAX_LINE} bytes")));
            }
            if !line.trim().is_empty() {
                self.add(&line).map_err(|reason| {
                    Fault::user(format!("{name}, line {number}: {reason}"))
                        .hint("a line is a session with started_at and turns, or a question with its evidence")
                })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &str) -> std::result::Result<(), String> {
        match serde_json::from_str(line).map_err(|error| error.to_string())? {
            Line::Session { conversation, session, started_at, turns } => {
                let started_at =
                    moment(&started_at).ok_or_else(|| format!("started_at '{started_at}' is no time that is known"))?;
                if self.session_numbers.insert(session.clone(), self.sessions.len()).is_some() {
                    return Err(format!("session '{session}' stands there twice"));
                }
                for turn in &turns {
                    self.turn_numbers.insert(turn.id.clone(), self.turn_numbers.len());
                }
                self.sessions.push(Recorded { conversation, started_at, turns });
            }
            Line::Question { conversation, question, category, evidence_turns, evidence_sessions } => {
                let category = match category {
                    Value::Null => "-".to_owned(),
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.questions.push(Question {
                    conversation,
                    text: question,
                    category,
                    turns: evidence_turns,
                    sessions: evidence_sessions,
                });
            }
        }
        Ok(())
    }

    /// Numbers of the sessions or turns that answer a question; those that the data do not hold are left out.
    #[must_use]
    pub fn wanted(&self, question: &Question, by: Granularity) -> Vec<usize> {
        let (ids, numbers) = match by {
            Granularity::Event => (&question.turns, &self.turn_numbers),
            Granularity::Session => (&question.sessions, &self.session_numbers),
        };
        let mut wanted: Vec<usize> = ids.iter().filter_map(|id| numbers.get(id).copied()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Turns of all sessions.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.sessions.iter().map(|session| session.turns.len()).sum()
    }
}

/// A time stamp, or `1:56 pm on 8 May, 2023`.
fn moment(text: &str) -> Option<Timestamp> {
    if let Some(at) = Timestamp::parse(text) {
        return Some(at);
    }
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let [clock, half, "on", day, month, year] = words[..] else { return None };
    let (hour, minute) = clock.split_once(':')?;
    let hour = hour.parse::<u32>().ok()? % 12 + if half.eq_ignore_ascii_case("pm") { 12 } else { 0 };
    let month = crate::search::dates::month(&month.to_ascii_lowercase())?;
    let text =
        format!("{year}-{month:02}-{:02}T{hour:02}:{:02}:00Z", day.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
    Timestamp::parse(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_words_and_as_stamps() {
        assert_eq!(moment("1:56 pm on 8 May, 2023"), Timestamp::parse("2023-05-08T13:56:00Z"));
        assert_eq!(moment("12:09 am on 13 September, 2023"), Timestamp::parse("2023-09-13T00:09:00Z"));
        assert_eq!(moment("2023-05-08T13:56:00Z"), Timestamp::parse("2023-05-08T13:56:00Z"));
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn a_line_that_is_neither_is_named() {
        let mut data = Dataset::default();
        let fault = data.read(&b"\n{\"x\":1}\n"[..], "a.jsonl").unwrap_err();
        assert!(fault.to_string().contains("a.jsonl, line 2"), "{fault}");
    }
}
