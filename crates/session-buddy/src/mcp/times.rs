//! `since` and `until`, as several tools take them.

use oneiric::clock::Timestamp;
use oneiric_server::mcp::ToolError;

/// Refuses a range that ends before it begins: an empty answer would say that there is nothing.
///
/// # Errors
/// Code `invalid_arguments`, naming both.
pub(crate) fn in_order(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<(), ToolError> {
    match (since, until) {
        (Some(since), Some(until)) if since > until => {
            let message = format!("since: {since} is later than until: {until}");
            Err(ToolError::new("invalid_arguments", message).with("field", "since").with("hint", "exchange them"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let (early, late) = (Timestamp::parse("2026-11-21T12:00:00Z"), Timestamp::parse("2026-11-22T12:00:00Z"));
        let error = in_order(late, early).unwrap_err();
        assert_eq!(error.code(), "invalid_arguments");
        assert!(error.message().contains("since: 2026-11-22") && error.message().contains("until: 2026-11-21"));
        for fine in [(early, late), (early, early), (late, None), (None, early), (None, None)] {
            assert!(in_order(fine.0, fine.1).is_ok(), "{fine:?}");
        }
    }
}
