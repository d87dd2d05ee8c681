//! Mahavishnu: the admin shell over many repositories, and the commands around it.

mod access;
mod buddy;
mod cli;
mod desk;
mod drive;
mod engines;
mod journal;
mod log;
mod mcp;
mod page;
mod pools;
mod rest;
mod schedules;
mod server;
mod settings;
mod shell;
mod sweeps;
mod who;
mod works;
mod world;

use std::process::ExitCode;

use oneiric::settings::Surroundings;

fn main() -> ExitCode {
    // Where it cannot be, a write beyond the limit ends the program, as it would end any other.
    let _ = oneiric::file_limit::fail_writes();
    cli::main(Surroundings::from_process())
}
