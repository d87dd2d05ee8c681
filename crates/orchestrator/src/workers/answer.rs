//! What an agent's program printed, read: the answer, whether it failed by its own account, and what it cost.
//!
//! Programs print plain text, one JSON document, a JSON array of messages, or a JSON document a line. All JSON is a list of
//! records here, and a [`AnswerSpec`] says where in a record the answer, the cost and the tokens are. What is read is bounded,
//! however much a program prints.

use std::collections::BTreeMap;

use oneiric::redact::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest answer that is kept, in bytes: its end.
const MAX_ANSWER: usize = 16 * 1024;
/// Longest document that is read.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
/// Most messages whose tokens are counted apart.
const MAX_MESSAGES: usize = 10_000;

/// Where the answer is in what a program prints. Paths are names and positions with dots between them (`usage.tokens`,
/// `items.-1.text`); `*` is every item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerSpec {
    /// Whether it prints JSON; else its text is the answer.
    pub json: bool,
    /// Only records in which this path has this value hold the answer: `type=result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Path of the answer; the last one that is found counts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Whether the answer comes in pieces, a record each; a record of another kind ends it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pieces: bool,
    /// Path of a value that is true, or a text, or an object with a `message`, when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Only records in which this path has this value say that it failed; as `when` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_when: Option<String>,
    /// Paths of why it failed, where `failed` does not tell; the first that is found counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<String>,
    /// Path of the cost so far, in US dollars; the last one counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Paths of numbers of tokens, which are added up over all records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Paths of numbers of tokens of a message under way, which are replaced by later ones of the same message, and by
    /// those of `tokens` once there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running_tokens: Vec<String>,
    /// Path of that message's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a task cost, as far as its program says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// US dollars.
    pub usd: f64,
    /// Tokens.
    pub tokens: u64,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { usd: self.usd + other.usd, tokens: self.tokens.saturating_add(other.tokens) }
    }

    /// Which of these limits is reached, in words. A limit of nothing is none.
    #[must_use]
    pub fn over(&self, max_usd: Option<f64>, max_tokens: Option<u64>) -> Option<String> {
        if let Some(max) = max_usd.filter(|max| self.usd > *max) {
            return Some(format!("{:.4} of {max:.4} US dollars are spent", self.usd));
        }
        let max = max_tokens.filter(|max| self.tokens > *max)?;
        Some(format!("{} of {max} tokens are spent", self.tokens))
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The answer, redacted and bounded.
    pub text: String,
    /// Why it failed by its own account.
    pub failed: Option<String>,
    /// Whether there should be an answer and none was found.
    pub missing: bool,
    /// What it cost.
    pub spent: Spent,
}

/// Reads what a program prints, as it comes.
#[derive(Debug)]
pub struct Meter<'s> {
    spec: &'s AnswerSpec,
    /// What has come since the last end of a line.
    open: Vec<u8>,
    /// A line is too long and is not read.
    skipping: bool,
    /// All of it, for a document over several lines.
    whole: Vec<u8>,
    /// The end of a text.
    tail: Vec<u8>,
    found: bool,
    text: Option<String>,
    /// Whether the last record was a piece of the answer.
    open_text: bool,
    failed: Option<String>,
    usd: f64,
    tokens: u64,
    running: BTreeMap<String, u64>,
}

impl<'s> Meter<'s> {
    /// A meter that has read nothing.
    #[must_use]
    pub const fn new(spec: &'s AnswerSpec) -> Self {
        Self {
            spec,
            open: Vec::new(),
            skipping: false,
            whole: Vec::new(),
            tail: Vec::new(),
            found: false,
            text: None,
            open_text: false,
            failed: None,
            usd: 0.0,
            tokens: 0,
            running: BTreeMap::new(),
        }
    }

    /// More of it.
    pub fn take(&mut self, bytes: &[u8]) {
        if !self.spec.json {
            let bytes = &bytes[bytes.len().saturating_sub(MAX_ANSWER)..];
            self.tail.extend_from_slice(bytes);
            if self.tail.len() > 4 * MAX_ANSWER {
                self.tail.drain(..self.tail.len() - MAX_ANSWER);
            }
            return;
        }
        if !self.found && self.whole.len() < MAX_DOCUMENT {
            let room = MAX_DOCUMENT - self.whole.len();
            self.whole.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end]);
            let line = std::mem::take(&mut self.open);
            if !std::mem::take(&mut self.skipping) {
                self.document(&line);
            }
            rest = &rest[end + 1..];
        }
        self.line(rest);
    }

    fn line(&mut self, bytes: &[u8]) {
        if self.skipping || self.open.len() + bytes.len() > MAX_DOCUMENT {
            self.skipping = true;
            self.open = Vec::new();
        } else {
            self.open.extend_from_slice(bytes);
        }
    }

    fn document(&mut self, text: &[u8]) -> bool {
        let text = text.trim_ascii();
        if !matches!(text.first(), Some(b'{' | b'[')) {
            return false;
        }
        match serde_json::from_slice::<Value>(text) {
            Ok(Value::Array(items)) => items.iter().for_each(|item| self.record(item)),
            Ok(record) => self.record(&record),
            Err(_) => return false,
        }
        true
    }

    fn record(&mut self, record: &Value) {
        let spec = self.spec;
        let number = |path: &String| at(record, path).into_iter().filter_map(whole).fold(None, add);
        if let Some(tokens) = spec.tokens.iter().filter_map(number).fold(None, add) {
            self.tokens = self.tokens.saturating_add(tokens);
            self.found = true;
        }
        if let Some(tokens) = spec.running_tokens.iter().filter_map(number).fold(None, add) {
            let message = spec.message.as_ref().and_then(|path| at(record, path).first().map(|id| id.to_string()));
            let room = self.running.len() < MAX_MESSAGES;
            let message = message.unwrap_or_default();
            if room || self.running.contains_key(&message) {
                self.running.insert(message, tokens);
            }
        }
        if let Some(usd) = spec.cost.as_ref().and_then(|path| at(record, path).last().and_then(|cost| cost.as_f64())) {
            self.usd = if usd.is_finite() { usd.max(0.0) } else { 0.0 };
            self.found = true;
        }
        let fits = |when: &Option<String>| {
            when.as_ref().is_none_or(|when| {
                when.split_once('=')
                    .is_some_and(|(path, value)| at(record, path).iter().any(|is| is.as_str() == Some(value)))
            })
        };
        if fits(if spec.failed_when.is_some() { &spec.failed_when } else { &spec.when }) {
            self.failure(record);
        }
        let goes_on = std::mem::take(&mut self.open_text) && spec.pieces;
        if !fits(&spec.when) {
            return;
        }
        if let Some(found) = at(record, &spec.text).last() {
            (self.found, self.open_text) = (true, true);
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            match &mut self.text {
                // An answer that is longer than is kept is cut at its beginning.
                Some(text) if goes_on => {
                    text.push_str(&found);
                    if text.len() > 4 * MAX_ANSWER {
                        *text = end(text, MAX_ANSWER).to_owned();
                    }
                }
                text => *text = Some(found),
            }
        }
    }

    fn failure(&mut self, record: &Value) {
        let spec = self.spec;
        for failed in spec.failed.iter().flat_map(|path| at(record, path)) {
            let told = match failed {
                Value::Bool(true) => None,
                Value::String(why) if !why.is_empty() => Some(why.as_str()),
                Value::Object(fields) => fields.get("message").and_then(Value::as_str),
                _ => continue,
            };
            let why = told.or_else(|| {
                let texts = spec.reason.iter().flat_map(|path| at(record, path)).filter_map(Value::as_str);
                texts.into_iter().find(|text| !text.is_empty())
            });
            self.failed = Some(why.unwrap_or("it says that it failed").to_owned());
            self.found = true;
        }
    }

    /// What it cost so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let running = self.running.values().fold(0_u64, |sum, tokens| sum.saturating_add(*tokens));
        Spent { usd: self.usd, tokens: self.tokens.max(running) }
    }

    /// Everything has been said.
    #[must_use]
    pub fn close(mut self, redactor: &Redactor) -> Answer {
        if self.spec.json {
            let line = std::mem::take(&mut self.open);
            self.document(&line);
            if !self.found {
                let whole = std::mem::take(&mut self.whole);
                let start = whole.iter().position(|byte| matches!(byte, b'{' | b'['));
                self.document(&whole[start.unwrap_or(whole.len())..]);
            }
        } else {
            let tail = String::from_utf8_lossy(&self.tail);
            self.text = Some(tail.trim_end().to_owned());
        }
        let spent = self.spent();
        let missing = self.text.is_none() && !self.spec.text.is_empty();
        let text = self.text.unwrap_or_default();
        let failed = self.failed.map(|why| {
            let why: String = why.lines().next().unwrap_or_default().chars().take(300).collect();
            redactor.text(&why).into_owned()
        });
        Answer { text: end(&redactor.text(&text), MAX_ANSWER).to_owned(), failed, missing, spent }
    }
}

/// The end of a text, at most so many bytes.
fn end(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn add(sum: Option<u64>, number: u64) -> Option<u64> {
    Some(sum.unwrap_or(0).saturating_add(number))
}

fn whole(value: &Value) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}

/// What a path leads to.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    if path.is_empty() {
        return Vec::new();
    }
    let mut found = vec![value];
    for part in path.split('.') {
        found = found
            .into_iter()
            .flat_map(|value| -> Vec<&Value> {
                match value {
                    Value::Object(fields) if part == "*" => fields.values().collect(),
                    Value::Array(items) if part == "*" => items.iter().collect(),
                    Value::Object(fields) => fields.get(part).into_iter().collect(),
                    Value::Array(items) => match part.parse::<i64>() {
                        Ok(n) if n < 0 => {
                            let back = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
                            items.len().checked_sub(back).and_then(|n| items.get(n)).into_iter().collect()
                        }
                        Ok(n) => usize::try_from(n).ok().and_then(|n| items.get(n)).into_iter().collect(),
                        Err(_) => Vec::new(),
                    },
                    _ => Vec::new(),
                }
            })
            .take(MAX_MESSAGES)
            .collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::Profiles;

    fn read(profile: &str, printed: &[u8], size: usize) -> Answer {
        let profiles = Profiles::built_in();
        let spec = &profiles.find(profile).unwrap().answer;
        let mut meter = Meter::new(spec);
        printed.chunks(size).for_each(|piece| meter.take(piece));
        meter.close(&Redactor::standard())
    }

    #[test]
    fn messages_of_agents_are_read_in_whatever_pieces_they_come() {
        let claude = concat!(
            "warning: something\n",
            r#"{"type":"assistant","message":{"id":"m1","usage":{"input_tokens":5,"cache_read_input_tokens":0,"output_tokens":10}}}"#,
            "\n",
            r#"{"type":"assistant","message":{"id":"m1","usage":{"input_tokens":5,"output_tokens":12}}}"#,
            "\n",
            r#"{"type":"result","is_error":false,"result":"Done: ü","total_cost_usd":0.25,"usage":{"input_tokens":5,"cache_read_input_tokens":1000,"output_tokens":15}}"#,
        );
        for size in [1, 7, 64, 4096] {
            let answer = read("claude", claude.as_bytes(), size);
            assert_eq!(answer.text, "Done: ü");
            assert_eq!((answer.spent.tokens, answer.failed), (1020, None));
            assert!((answer.spent.usd - 0.25).abs() < 1e-9);
        }
        let codex = concat!(
            r#"{"type":"item.completed","item":{"type":"reasoning","text":"hm"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"type":"agent_message","text":"fixed"}}"#,
            "\n",
            r#"{"type":"turn.completed","usage":{"input_tokens":100,"output_tokens":7}}"#,
            "\n",
            r#"{"type":"turn.completed","usage":{"input_tokens":10,"output_tokens":3}}"#,
            "\n",
        );
        let answer = read("codex", codex.as_bytes(), 9);
        assert_eq!((answer.text.as_str(), answer.spent.tokens), ("fixed", 120));
        let gemini = concat!(
            "Ripgrep is not available.\n",
            r#"{"type":"message","role":"user","content":"tidy up"}"#,
            "\n",
            r#"{"type":"message","role":"assistant","content":"I look","delta":true}"#,
            "\n",
            r#"{"type":"tool_use","tool_name":"glob"}"#,
            "\n",
            r#"{"type":"message","role":"assistant","content":"All is ","delta":true}"#,
            "\n",
            r#"{"type":"message","role":"assistant","content":"tidy.","delta":true}"#,
            "\n",
            r#"{"type":"result","status":"success","stats":{"total_tokens":10}}"#,
        );
        let answer = read("gemini", gemini.as_bytes(), 10);
        assert_eq!((answer.text.as_str(), answer.spent.tokens, answer.failed), ("All is tidy.", 10, None));
    }

    #[test]
    fn agents_that_fail_say_why_each_in_its_own_way() {
        let claude = r#"{"type":"result","is_error":true,"result":"API Error: 400 no","usage":{"input_tokens":1}}"#;
        let over = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.5}"#;
        let codex = r#"{"type":"turn.failed","error":{"message":"refused"}}"#;
        let gemini = r#"{"type":"result","status":"error","error":{"type":"unknown","message":"refused"}}"#;
        let qwen = r#"{"type":"result","is_error":true,"error":{"message":"refused"}}"#;
        let said = [("claude", claude), ("claude", over), ("codex", codex), ("gemini", gemini), ("qwen", qwen)];
        let why = said.map(|(profile, text)| read(profile, text.as_bytes(), 64).failed.unwrap_or_default());
        assert_eq!(why, ["API Error: 400 no", "error_max_budget_usd", "refused", "refused", "refused"]);
        // What a tool of an agent came to grief with is no failure of the agent.
        let tool = r#"{"type":"item.completed","item":{"type":"error","message":"x"},"error":{"message":"y"}}"#;
        assert_eq!(read("codex", tool.as_bytes(), 64).failed, None);
    }

    #[test]
    fn one_document_over_several_lines_is_read_with_what_was_printed_before_it() {
        let spec = AnswerSpec {
            json: true,
            text: "response".into(),
            tokens: vec!["stats.*.total".into()],
            ..AnswerSpec::default()
        };
        let mut meter = Meter::new(&spec);
        let printed =
            "Loaded.\n{\n  \"response\": \"yes\",\n  \"stats\": {\"a\": {\"total\": 4}, \"b\": {\"total\": 6}}\n}\n";
        printed.as_bytes().chunks(10).for_each(|piece| meter.take(piece));
        let answer = meter.close(&Redactor::standard());
        assert_eq!((answer.text.as_str(), answer.spent.tokens), ("yes", 10));
    }

    #[test]
    fn garbage_and_floods_cost_bounded_memory_and_no_answer_is_made_up() {
        let profiles = Profiles::built_in();
        let mut meter = Meter::new(&profiles.find("claude").unwrap().answer);
        let flood = vec![b'{'; 1024 * 1024];
        (0..20).for_each(|_| meter.take(&flood));
        assert!(meter.open.len() + meter.whole.len() <= 2 * MAX_DOCUMENT);
        meter.take(b"\n{\"type\":\"result\",\"result\":\"still read\"}\n{\"type\":\"result\"\xff\n[[[");
        assert_eq!(meter.close(&Redactor::standard()).text, "still read");
        let nothing = Answer { missing: true, ..Answer::default() };
        assert_eq!(read("claude", b"\xff\xfe[1,2]\n{}\nnull\n", 3), nothing);
        let text = read("shell", &"x".repeat(100_000).into_bytes(), 5000);
        assert_eq!(text.text.len(), MAX_ANSWER);
    }

    #[test]
    fn what_looks_like_a_secret_is_not_in_an_answer() {
        let answer = read("shell", b"token ghp_0123456789abcdefghijklmnopqrstuvwxyzAB\n", 100);
        assert!(!answer.text.contains("ghp_0123456789"), "{}", answer.text);
    }

    #[test]
    fn limits_that_are_passed_are_named() {
        let spent = Spent { usd: 0.5, tokens: 100 };
        assert_eq!(spent.over(Some(0.5), Some(100)), None);
        assert_eq!(spent.over(None, Some(99)).unwrap(), "100 of 99 tokens are spent");
        assert!(spent.over(Some(0.4), None).unwrap().contains("US dollars"));
    }
}
