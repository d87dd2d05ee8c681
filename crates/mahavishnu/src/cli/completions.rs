//! `completions`: for the system's shells.

use clap::CommandFactory;
use oneiric_shell::output::Output;

use super::Cli;

/// Print shell completions
#[derive(clap::Args, Debug)]
pub(super) struct Completions {
    /// Kind of shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(&self, output: &Output) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mahavishnu", &mut script);
        output.line(String::from_utf8_lossy(&script).trim_end());
    }
}
