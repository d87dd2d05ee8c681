//! `generate-token`, and what a token that is given allows.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args};
use oneiric::audit::AuditLog;
use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, Result};
use oneiric::moment;
use oneiric::process;
use oneiric::secret::Secret;
use oneiric::settings::Surroundings;
use oneiric::token::Scope;
use oneiric_server::http::{Ending, Visit};

use super::ask::Context;
use super::output;
use crate::server::access::{Access, PROGRAMS};
use crate::server::launch;

/// The longest life of a token.
const MAX_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Arguments of `generate-token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// What its bearer may do: read, write, admin; each includes those before it
    #[arg(long, alias = "scope", value_parser = PossibleValuesParser::new(Scope::NAMES), value_delimiter = ',', default_values = ["read", "write"])]
    scopes: Vec<String>,
    /// How long it lives, such as 15m, 8h or 30d; by default auth.expire_minutes
    #[arg(long, value_name = "SPAN")]
    expires: Option<String>,
    /// Program that the token is for
    #[arg(long, value_parser = PossibleValuesParser::new(PROGRAMS), default_value = crate::PRODUCT)]
    audience: String,
    /// Who its bearer is; by default the user
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

/// Runs `generate-token`: the token alone on standard output.
pub(super) fn run(args: &TokenArgs, context: &Context) -> Result<ExitCode> {
    let settings = &context.settings;
    let access = Access::for_signing(settings)?;
    let life = match &args.expires {
        Some(text) => {
            moment::parse_span(text).filter(|span| *span >= Duration::from_secs(1) && *span <= MAX_LIFE).ok_or_else(
                || Fault::user(format!("--expires {text}: no time span from 1s to 365d")).hint("such as 15m"),
            )?
        }
        None => Duration::from_secs(60 * settings.int("auth.expire_minutes").unsigned_abs()),
    };
    let subject = args.subject.clone().unwrap_or_else(|| process::username(&context.surroundings.vars));
    if subject.is_empty() || subject.len() > 128 || subject.chars().any(char::is_control) {
        return Err(Fault::user("--subject: must be 1 to 128 characters without control characters"));
    }
    let token = access.token(&subject, &args.audience, &Scope::named(&args.scopes), context.now(), life)?;
    output::emit(&format!("{token}\n"))
}

/// What a command takes. Those that only handle this program's own process or settings need no right.
fn needed(command: &str, rest: &ArgMatches) -> Option<Scope> {
    match command {
        "doctor" if rest.get_flag("fix") => Some(Scope::Admin),
        "models" if matches!(rest.subcommand_name(), Some("pull" | "import")) => Some(Scope::Write),
        "session" if rest.subcommand_name() == Some("links") => Some(Scope::Read),
        "start" | "mcp" | "config" | "completions" | "generate-token" | "man" => None,
        "health" | "list-sessions" | "get-session" | "list-events" | "search" | "logs" | "resume" | "export"
        | "analytics" | "eval" | "models" | "doctor" | "sync-status" => Some(Scope::Read),
        "archive-sessions" | "restore-sessions" | "backup" | "retention" | "vacuum" => Some(Scope::Admin),
        _ => Some(Scope::Write),
    }
}

/// Whether the token that was `given`, if any, or that of the settings allows the command of `matches`. Without one a command
/// acts with the right of whoever can read the secret.
///
/// # Errors
/// Denied, as the server would say it, with a line in the audit log; configuration.
pub(super) fn permit(matches: &ArgMatches, given: Option<&str>, surroundings: &Surroundings) -> Result<Ending> {
    let Some((command, rest)) = matches.subcommand() else { return Ok(Ending::default()) };
    let Some(needed) = needed(command, rest) else { return Ok(Ending::default()) };
    let settings = launch::load(surroundings)?;
    // An empty one is a bad one: whoever writes --token "$TOKEN" does not mean every right.
    let token = match given {
        Some(given) => Secret::new(given),
        None => match settings.secret("token") {
            Some(token) => token.clone(),
            None => return Ok(Ending::default()),
        },
    };
    let Some(access) = Access::from_settings(&settings)? else { return Ok(Ending::default()) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let auth = access.door(Arc::clone(&clock), AuditLog::in_dir(settings.home().logs(), clock));
    let visit = Visit { door: "cli", from: "local", what: command };
    auth.by_argument(visit, Some(token.expose()))
        .and_then(|caller| auth.permit(visit, &caller, needed))
        .map_err(|refused| Fault::denied(refused.message()).hint("'session-buddy generate-token' makes a good one"))
}
