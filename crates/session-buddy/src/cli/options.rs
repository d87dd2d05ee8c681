//! Options that several commands have, and errors in the words of who typed them: the store and the tools name their
//! arguments, a command its options.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::moment;

/// Parses a count from 1 to `MOST`.
pub(super) fn count<const MOST: usize>(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    count.ok_or_else(|| format!("must be a number from 1 to {MOST}"))
}

/// Parses a number of rows to skip.
pub(super) fn rows(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "must be a number, 0 or more".to_owned())
}

/// The times of `--since` and `--until`.
///
/// # Errors
/// A wrong request: one is no time, or the range ends before it begins.
pub(super) fn times(
    since: Option<&str>,
    until: Option<&str>,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let parsed = |option: &str, text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        moment::parse(text, now).map(Some).map_err(|fault| of(option, fault))
    };
    let (from, to) = (parsed("--since", since)?, parsed("--until", until)?);
    match (from, to, since, until) {
        (Some(from), Some(to), Some(since), Some(until)) if from > to => Err(Fault::user(format!(
            "--since {} is later than --until {}: nothing can lie between",
            since.escape_debug(),
            until.escape_debug()
        ))
        .hint("exchange them; --since 7d --until 1d is from seven days ago to yesterday")),
        (from, to, ..) => Ok((from, to)),
    }
}

/// The fault with the option in place of the tool's argument that its message begins with; `options` pairs the two.
pub(super) fn told(fault: Fault, options: &[(&str, &str)]) -> Fault {
    let rest = |argument: &str| {
        let rest = fault.message().strip_prefix(argument)?;
        rest.starts_with([' ', ':', '[']).then(|| rest.to_owned())
    };
    match options.iter().find_map(|(argument, option)| Some(format!("{option}{}", rest(argument)?))) {
        Some(message) => renamed(fault, |_| message),
        None => fault,
    }
}

/// The fault of a value of `option`.
pub(super) fn of(option: &str, fault: Fault) -> Fault {
    renamed(fault, |message| format!("{option}: {message}"))
}

fn renamed(fault: Fault, message: impl FnOnce(&str) -> String) -> Fault {
    let told = Fault::new(fault.kind(), message(fault.message()));
    match fault.advice() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_begins_names_both_options() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        let (since, until) = times(Some("7d"), Some("1d"), now).unwrap();
        assert!(since < until);
        assert_eq!(times(Some("1h"), Some("1h"), now).unwrap().0, times(None, Some("1h"), now).unwrap().1);
        let fault = times(Some("1d"), Some("7d"), now).unwrap_err().to_string();
        assert!(fault.contains("--since 1d") && fault.contains("--until 7d"), "{fault}");
        let fault = times(None, Some("soon"), now).unwrap_err().to_string();
        assert!(fault.starts_with("--until: 'soon'") && fault.contains("24h"), "{fault}");
    }

    #[test]
    fn an_argument_is_told_as_the_option_that_stands_for_it() {
        let options = [("todos", "--todo"), ("max_tokens", "--max-tokens")];
        let told = |message: &str| told(Fault::user(message).hint("why"), &options).to_string();
        assert_eq!(told("max_tokens must be 1 to 9"), "--max-tokens must be 1 to 9; why");
        assert_eq!(told("todos: 9 are more than 8"), "--todo: 9 are more than 8; why");
        assert_eq!(told("todosx is none"), "todosx is none; why");
    }

    #[test]
    fn counts_say_their_range() {
        assert_eq!(count::<10>("10"), Ok(10));
        for wrong in ["0", "11", "-1", "x", ""] {
            assert_eq!(count::<10>(wrong), Err("must be a number from 1 to 10".to_owned()), "{wrong}");
        }
        assert!(rows("-1").is_err() && rows("0") == Ok(0));
    }
}
