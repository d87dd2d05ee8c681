//! The command line: a file a command. Data goes to standard output, everything else to standard error.

mod analytics;
mod archive;
mod ask;
mod backup;
mod charts;
mod config;
mod control;
mod doctor;
mod eval;
mod events;
mod fold;
mod health;
mod links;
mod logs;
mod man;
mod mcp_config;
mod models;
mod options;
mod output;
mod progress;
mod remember;
mod resume;
mod retention;
mod search;
mod session;
mod sessions;
mod start;
mod sync;
mod token;
mod transfer;
mod turn;
mod vacuum;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use oneiric::fault::Result;
use oneiric::settings::Surroundings;

use ask::Context;

/// Keep work sessions and their events, and find them again
#[derive(Debug, Parser)]
#[command(name = "session-buddy", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Settings: session-buddy config. Exit codes: 0 done, 1 denied or unhealthy, 2 usage, 3 configuration, \
                        4 not found, 5 conflict, 6 unavailable."
)]
pub struct Cli {
    /// Act with this token's rights, where auth is on; also SESSION_BUDDY_TOKEN
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server in the foreground
    Start(start::StartArgs),
    /// Start, stop, restart or check the MCP server
    #[command(subcommand)]
    Mcp(McpCommand),
    /// Show whether the server and its parts work
    Health(health::HealthArgs),
    /// List sessions, newest first
    ListSessions(sessions::ListArgs),
    /// Show one session
    GetSession(sessions::GetArgs),
    /// List events of a session, or the newest of all
    ListEvents(events::ListArgs),
    /// Find events by words
    Search(search::SearchArgs),
    /// Move old sessions with their events to the archive
    ArchiveSessions(archive::ArchiveArgs),
    /// Move archived sessions back
    RestoreSessions(archive::RestoreArgs),
    /// Add a message to a session
    AddMessage(remember::MessageArgs),
    /// Record a test's result in a session
    StoreTestResult(remember::TestArgs),
    /// Keep the state of the work, to go on from later
    Checkpoint(remember::CheckpointArgs),
    /// Print a brief to go on from: last commands, unsolved errors, tests, to-dos
    Resume(resume::ResumeArgs),
    /// Open, end and link sessions
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Look for what is wrong with the home, the database and the spools, and mend it
    Doctor(doctor::DoctorArgs),
    /// Make, list, check, restore and delete backups of the database
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Delete old sessions and events by the rules of retention.*
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// Give free space of the database back and merge its search index
    Vacuum(vacuum::VacuumArgs),
    /// Get, list and check the models that search by meaning needs
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Show whether and when sessions were sent to Akosha
    SyncStatus(sync::StatusArgs),
    /// Send sessions to Akosha now
    SyncNow,
    /// Write sessions with their events as lines of JSON
    Export(transfer::ExportArgs),
    /// Read sessions that 'export' wrote; what is known already stays as it is
    Import(transfer::ImportArgs),
    /// Show figures over recorded sessions
    Analytics(analytics::AnalyticsArgs),
    /// Measure how well searches find what they should, on data with known answers
    Eval(eval::EvalArgs),
    /// Make a token for callers, signed with the server's secret
    GenerateToken(token::TokenArgs),
    /// Show every setting, its value and where it comes from
    Config(config::ConfigArgs),
    /// Show the server's log
    Logs(logs::LogsArgs),
    /// Print the manual page, or write a page a command
    Man(man::ManArgs),
    /// Print a completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum McpCommand {
    /// Start the server in the foreground
    Start(start::StartArgs),
    /// Stop the running server and wait for its end
    Stop,
    /// Stop the server if it runs, and start it again in the background
    Restart(start::StartArgs),
    /// Show whether the server and its parts work
    Health(health::HealthArgs),
    /// Print or write the entry by which an MCP client finds this server
    Config(mcp_config::McpConfigArgs),
    /// Serve the protocol's conformance suite
    #[command(hide = true)]
    ConformanceFixture(start::StartArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Fails only when nobody reads.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut surroundings = Surroundings::from_process();
    let token = cli.token;
    surroundings.args.extend(token.clone().map(|token| ("token".to_owned(), token)));
    let permitted = token::permit(&matches, token.as_deref(), &surroundings);
    let done = permitted.and_then(|ending| {
        let done = run(cli.command, surroundings);
        ending.tell(done.as_ref().err().map(|fault| fault.kind().code()));
        done
    });
    match done {
        Ok(code) => code,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "error: {fault}");
            ExitCode::from(fault.kind().exit_code())
        }
    }
}

fn run(command: Command, surroundings: Surroundings) -> Result<ExitCode> {
    match command {
        Command::Start(args) | Command::Mcp(McpCommand::Start(args)) => start::run(&args, surroundings),
        Command::Mcp(McpCommand::Config(args)) => mcp_config::run(&args, &Context::new(surroundings)?),
        Command::Mcp(McpCommand::ConformanceFixture(args)) => start::run_fixture(&args, surroundings),
        Command::Mcp(McpCommand::Stop) => control::stop(&surroundings),
        Command::Mcp(McpCommand::Restart(args)) => control::restart(&args, &surroundings),
        Command::Health(args) | Command::Mcp(McpCommand::Health(args)) => {
            health::run(&args, &Context::new(surroundings)?)
        }
        Command::ListSessions(args) => sessions::list(&args, &Context::new(surroundings)?),
        Command::GetSession(args) => sessions::get(&args, &Context::new(surroundings)?),
        Command::ListEvents(args) => events::run(&args, &Context::new(surroundings)?),
        Command::Search(args) => search::run(&args, &Context::new(surroundings)?),
        Command::ArchiveSessions(args) => archive::archive(&args, &Context::new(surroundings)?),
        Command::RestoreSessions(args) => archive::restore(&args, &Context::new(surroundings)?),
        Command::AddMessage(args) => remember::message(&args, &Context::new(surroundings)?),
        Command::StoreTestResult(args) => remember::test_result(&args, &Context::new(surroundings)?),
        Command::Checkpoint(args) => remember::checkpoint(&args, &Context::new(surroundings)?),
        Command::Resume(args) => resume::run(&args, &Context::new(surroundings)?),
        Command::Session(command) => session::run(&command, &Context::new(surroundings)?),
        Command::Backup(command) => backup::run(&command, &Context::new(surroundings)?),
        Command::Retention(command) => retention::run(&command, &Context::new(surroundings)?),
        Command::Doctor(args) => doctor::run(&args, &Context::new(surroundings)?),
        Command::Vacuum(args) => vacuum::run(&args, &Context::new(surroundings)?),
        Command::Models(command) => models::run(&command, &Context::new(surroundings)?),
        Command::SyncStatus(args) => sync::status(&args, &Context::new(surroundings)?),
        Command::SyncNow => sync::now(&Context::new(surroundings)?),
        Command::Man(args) => man::run(&args),
        Command::Export(args) => transfer::export(&args, &Context::new(surroundings)?),
        Command::Import(args) => transfer::import(&args, &Context::new(surroundings)?),
        Command::Analytics(args) => analytics::run(&args, &Context::new(surroundings)?),
        Command::Eval(args) => eval::run(&args, &Context::new(surroundings)?),
        Command::GenerateToken(args) => token::run(&args, &Context::new(surroundings)?),
        Command::Config(args) => config::run(&args, &surroundings),
        Command::Logs(args) => logs::run(&args, &Context::new(surroundings)?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), crate::PRODUCT, &mut script);
            output::emit(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_is_as_agreed() {
        let mut command = Cli::command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help());
        for name in ["start", "list-sessions", "list-events", "search", "logs"] {
            let sub = command.find_subcommand_mut(name).unwrap();
            insta::assert_snapshot!(format!("help_{name}"), sub.clone().term_width(100).render_help());
        }
    }

    #[test]
    fn the_guides_lines_are_understood() {
        for line in [
            "start --mode=standard --mcp",
            "start --mode=standard --mcp --port 8678",
            "start --mode=standard --mcp --analytics --database postgresql",
            "start --mode=lite --no-intelligence",
            "start --mode=lite --no-auth",
            "start --mode=standard --database sqlite",
            "start --port 8679",
            "mcp start",
            "mcp stop",
            "mcp restart",
            "mcp health",
            "health",
            "health --json",
            "list-sessions --type admin_shell --limit 5",
            "list-sessions --type admin_shell --limit 1 --format json",
            "list-sessions --status active",
            "get-session abc123",
            "get-session abc123 --format json",
            "list-events",
            "list-events --session-id abc123",
            "search workflow --search-type text",
            "analytics sessions",
            "analytics sessions --range 30d",
            "add-message --session my-project Manual",
            "list-sessions --token abc",
            "generate-token",
            "generate-token --scopes read,write --expires 8h --audience mahavishnu",
            "config",
            "logs --tail 50",
            "archive-sessions --days 30",
            "sync-status",
            "sync-now",
            "completions bash",
            "session end abc123 --status failed --note why",
        ] {
            let words = std::iter::once("session-buddy").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
