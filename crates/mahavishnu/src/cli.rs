//! The command line: a file a command. The same commands run inside the shell, in its process.

mod adapters;
mod completions;
mod config;
mod format;
pub(crate) mod health;
mod logs;
mod man;
pub(crate) mod mcp;
pub(crate) mod metrics;
mod pool;
mod report;
pub(crate) mod repos;
mod sessions;
mod stopping;
mod sweep;
mod test_tracking;
mod token;
pub(crate) mod workflow;
mod worktree;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use oneiric::fault::{Fault, Result};
use oneiric::secret::Secret;
use oneiric::settings::Surroundings;
use oneiric::token::Scope;
use oneiric_server::http::Ending;
use oneiric_shell::output::Output;
use oneiric_shell::terminal::{Terminal, printable_lines};

use crate::access::Giver;
use crate::world::World;

/// Admin shell over many repositories; what is done in it is kept by Session-Buddy
#[derive(Parser, Debug)]
#[command(name = "mahavishnu", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Open the admin shell; it is recorded as a session
    Shell(Shell),
    /// List repositories
    ListRepos(repos::ListRepos),
    /// Keep the list of repositories, and show how they stand
    Repos(repos::keep::Repos),
    /// List roles
    ListRoles(repos::ListRoles),
    /// Show one role and the repositories that have it
    ShowRole(repos::ShowRole),
    /// Run a command in many repositories, in the order of their dependencies
    Sweep(sweep::Sweep),
    /// Show and steer workflows
    Workflow(workflow::WorkflowCommand),
    /// Show the engines that work can be handed to
    Adapters(adapters::AdaptersCommand),
    /// Make and use pools of workers
    Pool(pool::PoolCommand),
    /// Show and clear away the worktrees of tasks
    Worktree(worktree::WorktreeCommand),
    /// List sessions: those that Session-Buddy keeps, or those that wait on the spool
    Sessions(sessions::Sessions),
    /// Send a probe session to Session-Buddy and read it back
    TestSessionTracking,
    /// Start the server, as `mcp start` does
    Start(mcp::Start),
    /// Start, stop and ask the MCP server
    Mcp(mcp::Mcp),
    /// Show whether everything works
    Health(health::Health),
    /// Show every setting with its value and where it came from
    Config(config::Config),
    /// Make a token
    GenerateToken(token::GenerateToken),
    /// Show the log
    Logs(logs::Logs),
    /// Show figures of workflows, steps, repositories and sessions
    Metrics(metrics::Metrics),
    /// Write a page with charts about workflows, steps and repositories
    Report(report::Report),
    /// Print shell completions
    Completions(completions::Completions),
    /// Print the manual page, or write a page a command
    Man(man::Man),
}

/// The commands that need no prefix in the shell, without `shell` itself.
pub(crate) const COMMANDS: [(&str, &str); 22] = [
    ("list-repos", "List repositories"),
    ("repos", "Keep the list of repositories, and show how they stand"),
    ("list-roles", "List roles"),
    ("show-role", "Show one role and the repositories that have it"),
    ("sweep", "Run a command in many repositories, in the order of their dependencies"),
    ("workflow", "Show and steer workflows"),
    ("adapters", "Show the engines that work can be handed to"),
    ("pool", "Make and use pools of workers"),
    ("worktree", "Show and clear away the worktrees of tasks"),
    ("sessions", "List sessions: those that Session-Buddy keeps, or those that wait on the spool"),
    ("test-session-tracking", "Send a probe session to Session-Buddy and read it back"),
    ("start", "Start the server, as `mcp start` does"),
    ("mcp", "Start, stop and ask the MCP server"),
    ("health", "Show whether everything works"),
    ("config", "Show every setting with its value and where it came from"),
    ("generate-token", "Make a token"),
    ("logs", "Show the log"),
    ("metrics", "Show figures of workflows, steps, repositories and sessions"),
    ("report", "Write a page with charts about workflows, steps and repositories"),
    ("completions", "Print shell completions"),
    ("man", "Print the manual page, or write a page a command"),
    ("help", "Explain a command's options"),
];

#[derive(clap::Args, Debug)]
struct Shell {
    /// Run this code and exit, instead of reading from standard input
    #[arg(short = 'c', value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    token: Token,
}

/// Who gave the command.
#[derive(Clone, Copy, Debug)]
enum Caller<'a> {
    /// A process of its own.
    Process,
    /// The shell, with the token that it was opened with.
    Shell(Option<&'a Secret>),
}

/// The program.
pub(crate) fn main(surroundings: Surroundings) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::process(Terminal::of(io::stdout(), &surroundings.vars));
    let code = World::new(surroundings).and_then(|world| {
        crate::log::begin(&world);
        run(&Arc::new(world), cli.command, Caller::Process, &output)
    });
    ExitCode::from(u8::try_from(conclude(code, &output)).unwrap_or(1))
}

/// A command line inside the shell, which was opened with this token.
pub(crate) fn run_in_shell(world: &Arc<World>, words: &[String], token: Option<&Secret>, output: &Output) -> i32 {
    let line = std::iter::once(OsString::from("mahavishnu")).chain(words.iter().map(OsString::from));
    match Cli::try_parse_from(line) {
        Ok(cli) => conclude(run(world, cli.command, Caller::Shell(token), output), output),
        Err(error) => {
            let styled = error.render();
            let text = if output.terminal().colour { styled.ansi().to_string() } else { styled.to_string() };
            let text = text.trim_end();
            if error.use_stderr() {
                output.error_line(text)
            } else {
                output.line(text)
            }
            error.exit_code()
        }
    }
}

fn conclude(code: Result<i32>, output: &Output) -> i32 {
    match code {
        Ok(code) => code,
        Err(fault) => {
            crate::log::fault(&fault);
            let terminal = output.terminal();
            output.error_line(&format!("{} {}", terminal.error("error:"), printable_lines(fault.message())));
            if let Some(hint) = fault.advice() {
                output.error_line(&format!("{} {}", terminal.strong("help:"), printable_lines(hint)));
            }
            i32::from(fault.kind().exit_code())
        }
    }
}

/// Runs a command that its giver may give, and tells the audit log how it ended.
fn run(world: &Arc<World>, command: Command, caller: Caller<'_>, output: &Output) -> Result<i32> {
    let ending = match command.needs() {
        Some(Needs { what, scope, token }) => {
            let giver = match caller {
                Caller::Process => Giver::Process(token),
                Caller::Shell(own) => Giver::Shell(token.or(own.map(Secret::expose))),
            };
            crate::access::permit(world, giver, what, scope)?
        }
        None => Ending::default(),
    };
    let done = act(world, command, caller, output);
    ending.tell(done.as_ref().err().map(|fault| fault.kind().code()));
    done
}

fn act(world: &Arc<World>, command: Command, caller: Caller<'_>, output: &Output) -> Result<i32> {
    // Not in the shell, whose user may start in the background what is to stay.
    if matches!(caller, Caller::Process)
        && matches!(command, Command::Sweep(_) | Command::Workflow(_) | Command::Start(_) | Command::Mcp(_))
    {
        orchestrator::run::adopt_orphans();
    }
    match command {
        Command::Shell(_) if matches!(caller, Caller::Shell(_)) => {
            Err(Fault::user("this is the shell already").hint("open another one in another terminal"))
        }
        Command::Shell(shell) => {
            let token = shell.token.token.map(Secret::new);
            crate::shell::run(world, shell.code.as_deref(), token, output)
        }
        Command::ListRepos(command) => command.run(world, output).map(|()| 0),
        Command::Repos(command) => command.run(world, output),
        Command::ListRoles(command) => command.run(world, output).map(|()| 0),
        Command::ShowRole(command) => command.run(world, output).map(|()| 0),
        Command::Sweep(command) => command.run(world, output),
        Command::Workflow(command) => command.run(world, output),
        Command::Adapters(command) => command.run(world, output),
        Command::Pool(command) => command.run(world, output),
        Command::Worktree(command) => command.run(world, output).map(|()| 0),
        Command::Sessions(command) => command.run(world, output).map(|()| 0),
        Command::TestSessionTracking => Ok(test_tracking::run(world, output)),
        Command::Start(command) => command.run(world, output).map(|()| 0),
        Command::Mcp(command) => command.run(world, output),
        Command::Health(command) => command.run(world, output),
        Command::Config(command) => command.run(world, output).map(|()| 0),
        Command::GenerateToken(command) => command.run(world, output).map(|()| 0),
        Command::Logs(command) => command.run(world, output).map(|()| 0),
        Command::Metrics(command) => command.run(world, output).map(|()| 0),
        Command::Report(command) => command.run(world, output).map(|()| 0),
        Command::Man(command) => command.run(output).map(|()| 0),
        Command::Completions(command) => {
            command.run(output);
            Ok(0)
        }
    }
}

/// Options that a command takes to prove who asks.
#[derive(clap::Args, Debug)]
struct Token {
    /// Token, when auth is on; MAHAVISHNU_TOKEN does the same
    #[arg(long = "token", value_name = "TOKEN", global = true)]
    token: Option<String>,
}

/// What a command takes.
#[derive(Clone, Copy, Debug)]
struct Needs<'a> {
    /// Its name in the audit log.
    what: &'static str,
    scope: Scope,
    /// The token that it was given.
    token: Option<&'a str>,
}

impl Token {
    fn needs(&self, what: &'static str, scope: Scope) -> Needs<'_> {
        Needs { what, scope, token: self.token.as_deref() }
    }
}

impl Command {
    /// What it takes; nothing for those that only handle this program's own process or settings, or show whether all works.
    fn needs(&self) -> Option<Needs<'_>> {
        Some(match self {
            Self::Shell(command) => command.token.needs("shell", Scope::Read),
            Self::Mcp(command) => return command.needs(),
            Self::ListRepos(command) => command.needs(),
            Self::Repos(command) => command.needs(),
            Self::ListRoles(command) => command.needs(),
            Self::ShowRole(command) => command.needs(),
            Self::Sweep(command) => command.needs(),
            Self::Workflow(command) => command.needs(),
            Self::Pool(command) => command.needs(),
            Self::Worktree(command) => command.needs(),
            Self::Adapters(command) => command.token.needs("adapters", Scope::Read),
            Self::Sessions(command) => command.token.needs("sessions", Scope::Read),
            Self::Logs(command) => command.token.needs("logs", Scope::Read),
            Self::Metrics(command) => command.token.needs("metrics", Scope::Read),
            Self::Report(command) => command.token.needs("report", Scope::Read),
            _ => return None,
        })
    }
}

/// Subcommands, options and values that may follow `words`.
pub(crate) fn complete(words: &[&str]) -> Vec<String> {
    let mut command = Cli::command();
    command.build();
    let mut at = &command;
    for word in words {
        if let Some(below) = at.find_subcommand(word) {
            at = below;
        }
    }
    let last = words.last().copied().unwrap_or_default();
    let values = |option: &clap::Arg| -> Vec<String> {
        option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    };
    let asked = at
        .get_arguments()
        .filter(|option| option.get_num_args().is_some_and(|count| count.takes_values()))
        .find(|option| option.get_long().is_some_and(|long| last.strip_prefix("--") == Some(long)));
    if let Some(option) = asked {
        return values(option);
    }
    let below = at.get_subcommands().map(|below| below.get_name().to_owned());
    let options = at.get_arguments().filter_map(|option| option.get_long()).map(|long| format!("--{long}"));
    let places = at.get_positionals().flat_map(values);
    below.chain(options).chain(places).filter(|word| !words.contains(&word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_shell_knows_every_command() {
        let mut command = Cli::command();
        command.build();
        let mut all: Vec<(String, String)> = command
            .get_subcommands()
            .filter(|below| !matches!(below.get_name(), "shell" | "help"))
            .map(|below| (below.get_name().to_owned(), below.get_about().map(ToString::to_string).unwrap_or_default()))
            .collect();
        all.push(("help".into(), "Explain a command's options".into()));
        let known: Vec<(String, String)> =
            COMMANDS.iter().map(|(name, doc)| ((*name).to_owned(), (*doc).to_owned())).collect();
        assert_eq!(known, all);
    }

    #[test]
    fn completion_follows_the_command_tree() {
        assert!(complete(&["mcp"]).contains(&"health".to_owned()));
        assert!(complete(&["list-repos"]).contains(&"--tag".to_owned()));
        assert_eq!(complete(&["list-repos", "--format"]), ["table", "json", "csv"]);
        assert!(!complete(&["list-repos", "--tag"]).contains(&"--tag".to_owned()));
    }
}
