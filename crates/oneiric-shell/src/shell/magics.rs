//! Magics of every shell: `%help_shell`, `%who`, `%history` and `%timeit`.

use std::time::Duration;

use super::{Shell, completed};
use crate::interpreter::{Statement, Trouble};
use crate::program::{Finished, Magic};

/// Them.
pub(crate) const MAGICS: [Magic; 4] = [
    Magic { name: "help_shell", arguments: "[name]", doc: "Explain the shell, or one function, magic or command" },
    Magic { name: "history", arguments: "[n] [-g PATTERN]", doc: "Show the newest entries, or those that hold a text" },
    Magic { name: "timeit", arguments: "[-n LOOPS] CODE", doc: "Run code again and again and tell how long it takes" },
    Magic { name: "who", arguments: "", doc: "List the variables that this session has made" },
];

/// Entries that `%history` shows when no number is given.
const SHOWN: usize = 50;
/// Runs whose spread is told.
const ROUNDS: usize = 5;
/// How long one round should take at least, so that the clock's grain does not matter.
const ROUND: Duration = Duration::from_millis(100);
/// Most loops of a round.
const MAX_LOOPS: u32 = 100_000;

impl Shell {
    pub(super) fn who(&self) -> Finished {
        let names = self.interpreter.variables();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.output.line(&if names.is_empty() { "No variables yet.".to_owned() } else { names.join("  ") });
        completed()
    }

    /// `%history [n] [-g PATTERN]`.
    pub(super) fn history(&self, words: &[String]) -> Finished {
        let mut count = None;
        let mut pattern = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (word.as_str(), word.parse::<usize>()) {
                ("-g", _) => {
                    let rest: Vec<&str> = words.by_ref().map(String::as_str).collect();
                    if rest.is_empty() {
                        return self.complain("%history: -g needs a text", Some("for instance: %history -g sweep"));
                    }
                    pattern = Some(rest.join(" "));
                }
                (_, Ok(number)) => count = Some(number),
                (other, Err(_)) => {
                    let message = format!("%history: '{other}' is no number");
                    return self.complain(&message, Some("write %history [n] [-g PATTERN]"));
                }
            }
        }
        let found: Vec<(usize, &String)> = self
            .past
            .iter()
            .enumerate()
            .filter(|(_, entry)| pattern.as_deref().is_none_or(|pattern| holds(entry, pattern)))
            .collect();
        let skip = found.len().saturating_sub(count.unwrap_or(if pattern.is_some() { usize::MAX } else { SHOWN }));
        let lines: Vec<String> = found[skip..]
            .iter()
            .map(|(number, entry)| format!("{:>5}  {}", number + 1, entry.replace('\n', "\n       ")))
            .collect();
        let text = if lines.is_empty() { "No entries.".to_owned() } else { lines.join("\n") };
        self.output.page(&crate::terminal::printable_lines(&text));
        completed()
    }

    /// `%timeit [-n LOOPS] CODE`.
    pub(super) fn timeit(&mut self, arguments: &str) -> Finished {
        let mut code = arguments.trim();
        let mut loops = None;
        if let Some(rest) = code.strip_prefix("-n") {
            let rest = rest.trim_start();
            let (number, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            match number.parse::<u32>() {
                Ok(number) if (1..=MAX_LOOPS).contains(&number) => loops = Some(number),
                _ => return self.complain(&format!("%timeit: -n takes 1 to {MAX_LOOPS}, not '{number}'"), None),
            }
            code = after.trim();
        }
        if code.is_empty() {
            return self.complain("%timeit needs code", Some("for instance: %timeit ps()"));
        }
        let statements = match self.interpreter.split(code, 0, 0) {
            Ok(statements) => statements,
            Err(trouble) => return self.failed(&trouble),
        };
        // What it is worth is not shown, so its showing is not timed.
        let statements: Vec<Statement> =
            statements.into_iter().map(|statement| Statement { is_expression: false, ..statement }).collect();
        match self.rounds(&statements, loops) {
            Ok((loops, mut rounds)) => {
                rounds.sort_unstable();
                let (best, worst) = (rounds[0], rounds[rounds.len() - 1]);
                let mean = rounds.iter().sum::<Duration>() / u32::try_from(rounds.len()).unwrap_or(1);
                let text = format!(
                    "{} a run (best {}, worst {}; {} rounds of {loops})",
                    span(mean),
                    span(best),
                    span(worst),
                    rounds.len()
                );
                self.output.line(&text);
                completed()
            }
            Err(trouble) => self.failed(&trouble),
        }
    }

    /// Loops of a round, and what one run took on average in each round.
    fn rounds(&mut self, statements: &[Statement], loops: Option<u32>) -> Result<(u32, Vec<Duration>), Trouble> {
        let mut loops_now = loops.unwrap_or(1);
        let first = loop {
            let took = self.round(statements, loops_now)?;
            if loops.is_some() || took >= ROUND || loops_now >= MAX_LOOPS {
                break took;
            }
            loops_now = (loops_now * 10).min(MAX_LOOPS);
        };
        let mut rounds = vec![first / loops_now];
        // What takes long is not run five times without being asked for.
        let more = if first > ROUND * 20 && loops.is_none() { 0 } else { ROUNDS - 1 };
        for _ in 0..more {
            rounds.push(self.round(statements, loops_now)? / loops_now);
        }
        Ok((loops_now, rounds))
    }

    fn round(&mut self, statements: &[Statement], loops: u32) -> Result<Duration, Trouble> {
        let begin = self.clock.monotonic();
        for _ in 0..loops {
            for statement in statements {
                self.interpreter.run(statement, &self.output, self.interrupts.flag())?;
            }
        }
        Ok(self.clock.monotonic().saturating_sub(begin))
    }
}

/// Whether an entry holds a pattern: its parts between `*` in their order, in letters of either case.
fn holds(entry: &str, pattern: &str) -> bool {
    let entry = entry.to_lowercase();
    let mut rest = entry.as_str();
    pattern.to_lowercase().split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// A span with three digits and its unit.
fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (number, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if number >= 100.0 { 0 } else { usize::from(number < 10.0) + 1 };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_in_either_case_and_across_stars() {
        assert!(holds("sweep --tag rust -- cargo test", "SWEEP*cargo"));
        assert!(holds("ps()", "s("));
        assert!(!holds("cargo sweep", "sweep*cargo"));
    }

    #[test]
    fn spans_have_three_digits() {
        assert_eq!(span(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(span(Duration::from_millis(123)), "123 ms");
        assert_eq!(span(Duration::from_nanos(45_600)), "45.6 µs");
    }
}
