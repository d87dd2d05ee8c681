//! `session-buddy`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_buddy::cli::main()
}
