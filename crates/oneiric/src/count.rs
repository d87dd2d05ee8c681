//! Numbers of things in sentences.

use std::fmt::Display;

/// A count and what is counted, for people: `1 step`, `2 steps`; with a verb where there is one: `1 step waits`.
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_thing_is_not_many() {
        let said = [0_u64, 1, 2].map(|count| counted(count, "step waits", "steps wait"));
        assert_eq!(said, ["0 steps wait", "1 step waits", "2 steps wait"]);
    }
}
