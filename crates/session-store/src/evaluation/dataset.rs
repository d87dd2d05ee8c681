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
    session_numbers: Numbers,
    turn_numbers: Numbers,
}

/// Numbers of what stands in the data, by conversation and id. Different conversations may use the same ids.
#[derive(Clone, Debug, Default)]
struct Numbers(HashMap<(String, String), usize>);

impl Numbers {
    /// The next number for an id; `false` when it has one.
    fn add(&mut self, conversation: &str, id: &str) -> bool {
        let next = self.0.len();
        self.0.insert((conversation.to_owned(), id.to_owned()), next).is_none()
    }

    fn get(&self, conversation: &str, id: &str) -> Option<usize> {
        self.0.get(&(conversation.to_owned(), id.to_owned())).copied()
    }
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
                if !self.session_numbers.add(&conversation, &session) {
                    return Err(format!("session '{session}' stands there twice"));
                }
                if let Some(turn) = turns.iter().find(|turn| !self.turn_numbers.add(&conversation, &turn.id)) {
                    return Err(format!("turn '{}' stands there twice", turn.id));
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
        let mut wanted: Vec<usize> = ids.iter().filter_map(|id| numbers.get(&question.conversation, id)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Questions of which nothing that answers them is in the data. They are not asked.
    #[must_use]
    pub fn unanswered(&self, by: Granularity) -> usize {
        self.questions.iter().filter(|question| self.wanted(question, by).is_empty()).count()
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
    fn ids_count_within_their_conversation_and_once() {
        let session = |conversation: &str, session: &str, turn: &str| {
            format!(
                r#"{{"conversation":"{conversation}","session":"{session}","started_at":"2026-01-01T00:00:00Z","turns":[{{"id":"{turn}","text":"x"}}]}}"#
            )
        };
        let asked = r#"{"conversation":"b","question":"x?","evidence_turns":["1"],"evidence_sessions":["s","t"]}"#;
        let stray = r#"{"conversation":"a","question":"x?","evidence_turns":["2"],"evidence_sessions":["t"]}"#;
        let lines = [session("a", "s", "1"), session("b", "s", "1"), asked.into(), stray.into()].join("\n");
        let mut data = Dataset::default();
        data.read(lines.as_bytes(), "data").unwrap();
        for by in [Granularity::Event, Granularity::Session] {
            assert_eq!((data.wanted(&data.questions[0], by), data.unanswered(by)), (vec![1], 1));
        }
        for again in [session("a", "s", "9"), session("a", "z", "1")] {
            let fault = data.clone().read(again.as_bytes(), "data").unwrap_err();
            assert!(fault.to_string().contains("twice"), "{fault}");
        }
    }

    #[test]
    fn a_line_that_is_neither_is_named() {
        let mut data = Dataset::default();
        let fault = data.read(&b"\n{\"x\":1}\n"[..], "a.jsonl").unwrap_err();
        assert!(fault.to_string().contains("a.jsonl, line 2"), "{fault}");
    }
}
