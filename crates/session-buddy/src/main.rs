//! `session-buddy`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Where it cannot be, a write beyond the limit ends the program, as it would end any other.
    let _ = oneiric::file_limit::fail_writes();
    session_buddy::cli::main()
}
