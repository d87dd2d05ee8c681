//! `start` and `mcp start`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use oneiric::fault::{Fault, Result};
use oneiric::logs;
use oneiric::paths::Home;
use oneiric::run_file::ServerInfo;
use oneiric::settings::{Settings, Surroundings};
use oneiric_server::service::Transport;

use super::output;
use crate::PRODUCT;
use crate::server;
use crate::server::launch::{self, Launch, Wishes};

/// Arguments of `start`.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct StartArgs {
    /// Keep sessions on disk (standard), or in memory without auth (lite)
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Offer MCP (the default)
    #[arg(long, conflicts_with = "no_mcp")]
    mcp: bool,
    /// Offer no MCP over HTTP; REST, /health and /metrics stay
    #[arg(long)]
    no_mcp: bool,
    /// Port to listen on; 0 takes a free one [default: 8678]
    #[arg(long, allow_negative_numbers = true)]
    port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// sqlite, postgresql (not in this build) or the path of a SQLite file
    #[arg(long, value_name = "sqlite|postgresql|PATH")]
    database: Option<String>,
    /// Ask callers for no token
    #[arg(long)]
    no_auth: bool,
    /// Use no model; searches go by words alone
    #[arg(long)]
    no_intelligence: bool,
    /// Accepted; analytics need no preparation in this version
    #[arg(long)]
    analytics: bool,
    /// auto serves MCP over standard input when a client is there, else HTTP
    #[arg(long, value_enum)]
    transport: Option<TransportArg>,
    /// Start in the background; return once it is healthy
    #[arg(long)]
    detach: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    Standard,
    Lite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransportArg {
    Auto,
    Http,
    Stdio,
}

impl StartArgs {
    /// As settings, the highest layer.
    fn settings(&self) -> Vec<(String, String)> {
        let mut given = Vec::new();
        let mut set = |path: &str, value: String| given.push((path.to_owned(), value));
        match self.mode {
            Some(ModeArg::Standard) => set("mode", "standard".into()),
            Some(ModeArg::Lite) => set("mode", "lite".into()),
            None => {}
        }
        match self.transport {
            Some(TransportArg::Auto) => set("server.transport", "auto".into()),
            Some(TransportArg::Http) => set("server.transport", "http".into()),
            Some(TransportArg::Stdio) => set("server.transport", "stdio".into()),
            None => {}
        }
        if let Some(port) = self.port {
            set("server.port", port.to_string());
        }
        if let Some(host) = &self.host {
            set("server.host", host.clone());
        }
        match self.database.as_deref() {
            Some("sqlite") => set("database.type", "sqlite".into()),
            Some("postgresql" | "postgres") => set("database.type", "postgresql".into()),
            Some(path) => {
                set("database.type", "sqlite".into());
                set("database.path", path.to_owned());
            }
            None => {}
        }
        if self.no_intelligence {
            set("intelligence.enabled", "false".into());
        }
        given
    }

    /// As arguments again, without `--detach`.
    pub(super) fn again(&self) -> Vec<String> {
        let mut words = vec!["start".to_owned()];
        let mut flag = |given: bool, name: &str| {
            if given {
                words.push(name.to_owned());
            }
        };
        flag(self.mcp, "--mcp");
        flag(self.no_mcp, "--no-mcp");
        flag(self.no_auth, "--no-auth");
        flag(self.no_intelligence, "--no-intelligence");
        flag(self.analytics, "--analytics");
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push(format!("--{name}={value}"));
            }
        };
        let word =
            |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| value().map(|value| value.get_name().to_owned());
        option("mode", word(&|| self.mode.and_then(|mode| mode.to_possible_value())));
        option("transport", word(&|| self.transport.and_then(|transport| transport.to_possible_value())));
        option("port", self.port.map(|port| port.to_string()));
        option("host", self.host.clone());
        option("database", self.database.clone());
        words
    }

    /// Whether anything was asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.again().len() == 1
    }
}

/// Runs `start`.
pub(super) fn run(args: &StartArgs, surroundings: Surroundings) -> Result<ExitCode> {
    let (launch, settings) = plan(args, surroundings)?;
    if args.detach {
        let started = detach(&launch.home, &args.again(), launch.transport)?;
        return output::emit(&format!("Session-Buddy runs on {} (pid {})\n", started.address, started.pid));
    }
    start_logging(&launch, &settings);
    server::run(launch)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves what the conformance suite asks for, beside everything else and behind the same door.
pub(super) fn run_fixture(args: &StartArgs, surroundings: Surroundings) -> Result<ExitCode> {
    let (mut launch, settings) = plan(args, surroundings)?;
    launch.fixture = true;
    launch.transport = Transport::Http;
    start_logging(&launch, &settings);
    server::run(launch)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks everything that can be checked before a server starts.
fn plan(args: &StartArgs, mut surroundings: Surroundings) -> Result<(Launch, Settings)> {
    surroundings.args.extend(args.settings());
    let settings = launch::load(&surroundings)?;
    let wishes = Wishes { no_auth: args.no_auth, no_mcp: args.no_mcp, arguments: args.again() };
    let launch = Launch::new(&settings, &surroundings, wishes)?;
    Ok((launch, settings))
}

fn start_logging(launch: &Launch, settings: &Settings) {
    let level = logs::parse_level(settings.text("log.level")).unwrap_or(tracing::level_filters::LevelFilter::INFO);
    let mut config = logs::LogConfig::new(PRODUCT, Some(launch.home.logs()));
    config.level = level;
    config.stderr = Some(level);
    logs::init(config);
}

/// Starts a server in the background and waits until it is healthy.
pub(super) fn detach(home: &Home, arguments: &[String], transport: Transport) -> Result<ServerInfo> {
    if transport == Transport::Stdio {
        return Err(
            Fault::user("a server on standard input cannot run in the background").hint("leave out --transport stdio")
        );
    }
    super::control::of(home).start(arguments)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use clap::Parser;
    use oneiric::fault::FaultKind;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: StartArgs,
    }

    fn parse(words: &[&str]) -> StartArgs {
        Line::try_parse_from(std::iter::once("start").chain(words.iter().copied())).unwrap().args
    }

    #[test]
    fn a_restart_has_the_same_arguments() {
        let words =
            ["--mode=lite", "--mcp", "--port", "8679", "--host=127.0.0.1", "--no-auth", "--analytics", "--detach"];
        let first = parse(&words);
        let again = first.again();
        assert!(!again.contains(&"--detach".to_owned()), "{again:?}");
        let second = parse(&again[1..].iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(second.again(), again);
        assert_eq!(second.settings(), first.settings());
    }

    #[test]
    fn postgresql_is_a_configuration_error_that_says_so() {
        let surroundings =
            Surroundings { cwd: "/nonexistent".into(), user_home: "/nonexistent".into(), ..Surroundings::default() };
        let fault = plan(&parse(&["--database", "postgresql"]), surroundings).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Config);
        assert!(fault.to_string().contains("PostgreSQL"), "{fault}");
    }

    #[test]
    fn a_secret_alone_turns_auth_on_and_no_auth_turns_it_off() {
        let with = |name: &str, secret: &str| Surroundings {
            vars: [(name.to_owned(), secret.to_owned())].into(),
            cwd: "/nonexistent".into(),
            user_home: "/nonexistent".into(),
            args: Vec::new(),
        };
        let secret = "pC4vN8qLr2Zx7TtYw9Kd3Hs6Bf1Gj5Me0Ua";
        for name in ["SESSION_BUDDY_SECRET", "SESSION_BUDDY_AUTH_SECRET"] {
            assert!(plan(&parse(&[]), with(name, secret)).unwrap().0.access.is_some(), "{name}");
            assert!(plan(&parse(&["--no-auth"]), with(name, secret)).unwrap().0.access.is_none());
            assert!(plan(&parse(&["--mode=lite"]), with(name, secret)).unwrap().0.access.is_none());
        }
        for weak in ["short", "change-me-in-production"] {
            let fault = plan(&parse(&[]), with("SESSION_BUDDY_SECRET", weak)).unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Config);
            assert!(!fault.to_string().contains(weak) || weak == "short", "{fault}");
        }
        assert_eq!(
            plan(&parse(&[]), with("SESSION_BUDDY_AUTH_ENABLED", "true")).unwrap_err().kind(),
            FaultKind::Config
        );
    }

    #[test]
    fn lite_mode_keeps_nothing_and_empties_no_spool() {
        let surroundings =
            Surroundings { cwd: "/nonexistent".into(), user_home: "/nonexistent".into(), ..Surroundings::default() };
        let (launch, _) = plan(&parse(&["--mode=lite"]), surroundings).unwrap();
        assert_eq!((launch.archive.to_string().as_str(), launch.spools), ("memory", None));
    }
}
