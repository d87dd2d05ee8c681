//! Sessions and events that look like a developer's, the same at every run.
//!
//! Words follow Zipf's law with Mandelbrot's offset, as they do in real text; among them stand identifiers, paths and
//! error messages. Two further words stand in a known share of all events. Everything is a function of a number, so
//! that a query can be taken from an event without keeping two million texts.

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::id::{EventId, SessionId};
use serde_json::{Map, Value, json};

use crate::Result;

/// Changes when the same numbers give other events.
pub(crate) const VERSION: u32 = 1;

/// Events of a session, its start and end included.
pub(crate) const EVENTS_A_SESSION: u64 = 20;

/// Stands in every tenth event.
pub(crate) const TENTH: &str = "rebalance";
/// Stands in every fourth event.
pub(crate) const FOURTH: &str = "workspace";

const VOCABULARY: usize = 40_000;
/// 2026-01-01T00:00:00Z in seconds.
const EPOCH: u64 = 1_767_225_600;

/// SplitMix64 (Steele, Lea, Flood 2014): a generator that needs no dependency and starts well from any number.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A row of numbers that `seed` alone decides.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// One of `items`.
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.next() as usize % items.len()]
    }

    /// A number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The words, and how often each comes.
#[derive(Debug)]
pub(crate) struct Corpus {
    words: Vec<String>,
    cumulative: Vec<f64>,
}

impl Corpus {
    /// Makes the vocabulary.
    pub(crate) fn new() -> Self {
        let words = (0..VOCABULARY).map(word).collect();
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (0..VOCABULARY)
            .map(|rank| {
                sum += 1.0 / (rank as f64 + 2.7);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        Self { words, cumulative }
    }

    /// The word of that rank; 0 is the most frequent.
    pub(crate) fn ranked(&self, rank: usize) -> &str {
        &self.words[rank % self.words.len()]
    }

    fn zipf(&self, dice: &mut Dice) -> &str {
        let share = dice.fraction();
        self.ranked(self.cumulative.partition_point(|upto| *upto < share))
    }

    /// Text of the event of that number: 6 to 24 words.
    pub(crate) fn text(&self, event: u64) -> String {
        let mut dice = Dice::new(event);
        let count = 6 + dice.below(19);
        let mut text = String::with_capacity(192);
        for _ in 0..count {
            if !text.is_empty() {
                text.push(' ');
            }
            match dice.below(100) {
                0..=89 => text.push_str(self.zipf(&mut dice)),
                kind => text.push_str(&self.special(kind, &mut dice)),
            }
        }
        // Start and end of a session hold no text, so the others hold these words a little more often.
        let texts = EVENTS_A_SESSION - 2;
        if dice.below(texts * 10) < EVENTS_A_SESSION {
            text.push(' ');
            text.push_str(TENTH);
        }
        if dice.below(texts * 4) < EVENTS_A_SESSION {
            text.push(' ');
            text.push_str(FOURTH);
        }
        text
    }

    /// An identifier, a path, a flag or an error message.
    fn special(&self, kind: u64, dice: &mut Dice) -> String {
        let (a, b) = (self.zipf(dice).to_owned(), self.zipf(dice));
        match kind {
            90..=92 => format!("{a}_{b}"),
            93 => {
                let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
                format!("{}{}", capital(&a), capital(b))
            }
            94..=96 => format!("src/{a}/{b}.{}", dice.pick(&["rs", "py", "ts", "md"])),
            97 => format!("E{:04}:", dice.below(800)),
            _ => (*dice.pick(&["error:", "failed", "warning:", "not", "found", "timeout", "denied"])).to_owned(),
        }
    }

    /// The session of that number with all its events, as a shell delivers it.
    pub(crate) fn session(&self, number: u64) -> Result<EventBatch> {
        let first = number * EVENTS_A_SESSION;
        let mut events = vec![self.event(number, first, EventType::SESSION_START, start(number))?];
        for event in first + 1..first + EVENTS_A_SESSION - 1 {
            let (kind, data) = self.middle(event);
            events.push(self.event(number, event, kind, data)?);
        }
        let end = json!({
            "reason": "exit", "status": "ended", "exit_code": 0, "command_count": EVENTS_A_SESSION - 4,
            "duration_seconds": (EVENTS_A_SESSION * 2) as f64,
        });
        events.push(self.event(number, first + EVENTS_A_SESSION - 1, EventType::SESSION_END, end)?);
        Ok(EventBatch { session_id: SessionId::parse(id(number, 0))?, events })
    }

    fn event(&self, session: u64, number: u64, kind: &'static str, data: Value) -> Result<Event> {
        let Value::Object(data) = data else { return Err("an event's data is an object".into()) };
        Ok(Event {
            event_id: EventId::parse(id(session, number + 1))?,
            event_type: EventType::known(kind),
            timestamp: time(session, number % EVENTS_A_SESSION),
            sequence: Some(number % EVENTS_A_SESSION),
            data,
        })
    }

    fn middle(&self, event: u64) -> (&'static str, Value) {
        let text = self.text(event);
        match event % EVENTS_A_SESSION {
            7 => (EventType::ERROR, json!({ "message": text })),
            13 => (EventType::MESSAGE, json!({ "text": text })),
            _ => {
                let milliseconds = (event % 977) as f64 / 4.0;
                let command = json!({
                    "command": text, "kind": "statement", "exit_code": 0, "outcome": "completed", "duration_ms": milliseconds,
                });
                (EventType::COMMAND, command)
            }
        }
    }

    /// A batch of `count` commands for a session that lives outside the numbered ones.
    pub(crate) fn commands(&self, session: &SessionId, first: u64, count: u64) -> Result<EventBatch> {
        let mut events = Vec::new();
        for number in first..first + count {
            let mut data = Map::new();
            data.insert("command".into(), self.text(number).into());
            data.insert("kind".into(), "statement".into());
            data.insert("exit_code".into(), 0.into());
            data.insert("outcome".into(), "completed".into());
            data.insert("duration_ms".into(), ((number % 977) as f64 / 4.0).into());
            events.push(Event {
                event_id: EventId::parse(format!("{}-{number:012x}", &session.as_str()[..23]))?,
                event_type: EventType::known(EventType::COMMAND),
                timestamp: Timestamp::from_micros(((EPOCH + 40_000_000) * 1_000_000 + number * 1_000) as i64),
                sequence: Some(number),
                data,
            });
        }
        Ok(EventBatch { session_id: session.clone(), events })
    }
}

/// Data of a session's start.
pub(crate) fn start(number: u64) -> Value {
    let component = if number % 10 < 7 { "mahavishnu" } else { "session-buddy" };
    let project = format!("project-{:03}", number % 200);
    json!({
        "event_version": "1.0", "component_name": component, "session_type": "admin_shell",
        "shell_type": "MahavishnuShell", "pid": 1000 + number % 30_000,
        "user": { "username": "measurer", "home": "/home/measurer" }, "hostname": "bench",
        "environment": { "platform": "linux-x86_64", "cwd": format!("/home/measurer/{project}") },
        "project": project, "metadata": { "env": { "SHELL": "/bin/bash" }, "git_branch": "main" },
    })
}

/// Time of an event: a session a minute, an event every two seconds.
pub(crate) fn time(session: u64, event: u64) -> Timestamp {
    Timestamp::from_micros(((EPOCH + session * 60 + event * 2) * 1_000_000) as i64)
}

/// Ids shaped and ordered like those of version 7: the time first.
pub(crate) fn id(session: u64, below: u64) -> String {
    let milliseconds = (EPOCH + session * 60) * 1000;
    let tail = Dice::new(session ^ (below << 32)).next();
    format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        milliseconds >> 16,
        milliseconds & 0xffff,
        tail & 0xfff,
        (tail >> 12) & 0xfff,
        below
    )
}

/// A pronounceable word for a rank; frequent words are short, and no two are the same.
fn word(rank: usize) -> String {
    const HEADS: [&str; 16] = ["b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "k", "w"];
    const HEARTS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let mut left = rank + 80;
    let mut word = String::new();
    while left > 0 {
        word.push_str(HEADS[left % 16]);
        left /= 16;
        word.push_str(HEARTS[left % 5]);
        left /= 5;
    }
    // A last consonant that no English ending has, so that stems stay apart.
    word.push('n');
    word
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_distinct_and_texts_are_the_same_at_every_run() {
        let corpus = Corpus::new();
        assert_eq!(corpus.words.iter().collect::<HashSet<_>>().len(), VOCABULARY);
        assert_eq!(corpus.text(17), Corpus::new().text(17));
        assert_ne!(corpus.text(17), corpus.text(18));
    }

    #[test]
    fn known_words_stand_in_their_share_of_all_events() {
        let corpus = Corpus::new();
        let mut found = [0_usize; 2];
        for session in 0..1_000 {
            for event in corpus.session(session).unwrap().events {
                let text = Value::Object(event.data).to_string();
                found[0] += usize::from(text.contains(TENTH));
                found[1] += usize::from(text.contains(FOURTH));
            }
        }
        assert!((1_850..2_150).contains(&found[0]), "{found:?} of 20000");
        assert!((4_750..5_250).contains(&found[1]), "{found:?} of 20000");
    }

    #[test]
    fn ids_are_unique_and_sort_by_time() {
        let corpus = Corpus::new();
        let mut ids = HashSet::new();
        for session in 0..200 {
            for event in corpus.session(session).unwrap().events {
                assert!(ids.insert(event.event_id.to_string()));
            }
        }
        assert!(id(1, 0) < id(2, 0));
    }

    #[test]
    fn texts_have_between_six_and_twenty_six_words() {
        let corpus = Corpus::new();
        for event in 0..2_000 {
            let count = corpus.text(event).split(' ').count();
            assert!((6..=26).contains(&count), "{count}");
        }
    }
}
