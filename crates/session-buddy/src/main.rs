//! session-buddy
fn main() {}
