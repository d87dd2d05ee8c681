//! How many rows of a list an answer holds.

use oneiric_server::mcp::ToolError;

/// Most rows of a list.
const MAX_ROWS: u32 = 1_000;

/// As many as `wanted` says in the field `name`, or `usual`.
///
/// # Errors
/// Code `invalid_arguments`: none, or more than an answer holds.
pub(super) fn rows(name: &str, wanted: Option<u32>, usual: u32) -> Result<usize, ToolError> {
    let count = wanted.unwrap_or(usual);
    if !(1..=MAX_ROWS).contains(&count) {
        let message = format!("{name}: must be 1 to {MAX_ROWS}");
        return Err(ToolError::new("invalid_arguments", message).with("field", name));
    }
    Ok(count as usize)
}
