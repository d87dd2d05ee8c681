//! mahavishnu
fn main() {}
