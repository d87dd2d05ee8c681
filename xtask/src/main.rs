//! Development tasks, run as `cargo xtask TASK`:
//!
//! - `bench` measures the real programs and prints each figure beside its limit,
//! - `tidy` checks what the compiler cannot: who may depend on whom, file sizes and names, paths in the documents,
//! - `docs` writes the reference pages from what the programs say of themselves.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a task is for")]

mod bench;
mod docs;
mod http;
mod json;
mod mcp;
mod program;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// What a task gives: nothing, or a sentence that says what went wrong.
pub(crate) type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: cargo xtask <task>

  bench [--quick] [--only NAME]... [--json FILE] [--scale big] [--clean]
      Measure the release binaries; NAME is one of: size server shell list search ingest store
  tidy
      Check rules that the compiler does not know
  docs [--check]
      Write docs/reference/*.md, or fail when a committed page is out of date";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = arguments.split_first().map_or(("", &[][..]), |(task, rest)| (task.as_str(), rest));
    let done = match task {
        "bench" => bench::run(rest),
        "tidy" => tidy::run(rest),
        "docs" => docs::run(rest),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(true)
        }
        other => Err(format!("no task '{other}'\n{USAGE}").into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
