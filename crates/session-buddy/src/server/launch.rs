//! Everything a server needs to know before it starts, decided from settings and arguments.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::SystemClock;
use oneiric::event::UserIdentity;
use oneiric::fault::{Fault, Result};
use oneiric::paths::{Home, expand_home};
use oneiric::process::username;
use oneiric::settings::{Settings, Surroundings};
use oneiric_server::mcp::Profile;
use oneiric_server::service::Transport;
use session_store::retention::RetentionRules;

use super::access::Access;
use super::archive::Archive;
use super::facts::{Facts, authentication};
use super::meaning::Semantics;
use super::model::Choice;
use super::visitors::Own;
use crate::mcp::keeping::Keeping;
use crate::settings::CATALOG;

/// Whether sessions are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On disk.
    Standard,
    /// In memory, without auth, writing nothing but run files and logs.
    Lite,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Lite => "lite",
        }
    }
}

/// What the command line says beyond settings.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// `--no-auth`
    pub no_auth: bool,
    /// `--no-mcp`
    pub no_mcp: bool,
    /// Arguments as given, for a restart.
    pub arguments: Vec<String>,
}

/// A server to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Home directory.
    pub home: Home,
    /// Mode.
    pub mode: Mode,
    /// Door.
    pub transport: Transport,
    /// Host to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Further names of this server.
    pub allowed_hosts: Vec<String>,
    /// `server.allow_insecure_bind`.
    pub allow_insecure_bind: bool,
    /// Auth, when it is on.
    pub access: Option<Access>,
    /// Where sessions are kept.
    pub archive: Archive,
    /// Spools to take events from; `None` when none may be emptied.
    pub spools: Option<Vec<PathBuf>>,
    /// Whose the sessions of MCP clients are, and whether they open and end by themselves.
    pub visits: Own,
    /// Tools that MCP clients see in the list.
    pub profile: Profile,
    /// Whether the conformance suite's tools are served too.
    pub fixture: bool,
    /// Whether MCP is offered over HTTP.
    pub mcp: bool,
    /// Arguments as given.
    pub arguments: Vec<String>,
    /// Backups, and the rules of retention.
    pub keeping: Keeping,
    /// Facts for health.
    pub facts: Facts,
    /// Search by meaning.
    pub semantics: Arc<Semantics>,
    /// Whose hand writes what clients add.
    pub hand: session_store::remember::Hand,
}

impl Launch {
    /// Decides.
    ///
    /// # Errors
    /// Configuration: what cannot be done as asked.
    pub fn new(settings: &Settings, surroundings: &Surroundings, wishes: Wishes) -> Result<Self> {
        let mode = if settings.text("mode") == "lite" { Mode::Lite } else { Mode::Standard };
        let access = if wishes.no_auth || mode == Mode::Lite { None } else { Access::from_settings(settings)? };
        // An in-memory store would lose what a spool keeps safe.
        let spools = (mode == Mode::Standard).then(|| spools(settings, surroundings));
        let auth = authentication(Ok(access.as_ref()));
        let facts = Facts::new(settings, mode.as_str(), auth, spools.clone().unwrap_or_default());
        let archive = if mode == Mode::Lite { Archive::Memory } else { archive(settings)? };
        Ok(Self {
            semantics: Arc::new(Semantics::new(Choice::new(settings), &archive, Arc::new(SystemClock))),
            keeping: Keeping::new(settings, &archive),
            home: settings.home().clone(),
            mode,
            transport: match settings.text("server.transport") {
                "http" => Transport::Http,
                "stdio" => Transport::Stdio,
                _ => Transport::Auto,
            },
            host: settings.text("server.host").to_owned(),
            port: u16::try_from(settings.int("server.port")).unwrap_or(crate::settings::DEFAULT_PORT),
            allowed_hosts: settings.list("server.allowed_hosts"),
            allow_insecure_bind: settings.bool("server.allow_insecure_bind"),
            access,
            archive,
            spools,
            visits: Own {
                cwd: surroundings.cwd.clone(),
                user: UserIdentity {
                    username: username(&surroundings.vars),
                    home: surroundings.user_home.to_string_lossy().into_owned(),
                },
                opens: settings.bool("session_tracking.auto_init"),
                ends: settings.bool("session_tracking.auto_cleanup"),
                idle: Duration::from_secs(settings.int("session_tracking.idle_timeout").unsigned_abs()),
            },
            profile: Profile::parse(settings.text("mcp.tool_profile")).unwrap_or_default(),
            fixture: false,
            mcp: !wishes.no_mcp,
            arguments: wishes.arguments,
            facts,
            hand: crate::hand::of_process(surroundings),
        })
    }
}

/// Where sessions are kept on disk.
///
/// # Errors
/// Configuration: PostgreSQL, which this build has no store for.
pub fn archive(settings: &Settings) -> Result<Archive> {
    if settings.text("database.type") == "postgresql" {
        let source = settings.source("database.type");
        return Err(Fault::config(format!(
            "this build has no PostgreSQL store (database.type = postgresql, {source})"
        ))
        .hint("use --database sqlite, or set database.type to sqlite"));
    }
    let cache_pages = u32::try_from(settings.int("cache.size")).unwrap_or(u32::MAX);
    Ok(Archive::File { path: settings.path("database.path"), cache_pages })
}

/// Spool folders to take events from: by default this home's own and Mahavishnu's, whose shells leave theirs there.
#[must_use]
pub fn spools(settings: &Settings, surroundings: &Surroundings) -> Vec<PathBuf> {
    let named = settings.list("capture.spools");
    if !named.is_empty() {
        return named.iter().map(|path| surroundings.cwd.join(expand_home(path, &surroundings.user_home))).collect();
    }
    let shells = match surroundings.vars.get("MAHAVISHNU_HOME").filter(|home| !home.is_empty()) {
        Some(home) => surroundings.cwd.join(expand_home(home, &surroundings.user_home)),
        None => surroundings.user_home.join(".mahavishnu"),
    };
    vec![settings.home().spool(), Home::at(shells).spool()]
}

/// Loads the settings of this program.
///
/// # Errors
/// Configuration.
pub fn load(surroundings: &Surroundings) -> Result<Settings> {
    let settings = Settings::load(&CATALOG, surroundings)?;
    for name in ["retention.projects", "retention.events"] {
        let rules = settings.list(name);
        let checked = match name {
            "retention.projects" => RetentionRules::parse(0, &rules, &[]),
            _ => RetentionRules::parse(0, &[], &rules),
        };
        // The rule is quoted: in its file it is soon found.
        checked.map_err(|fault| {
            let told = Fault::config(format!("{}: {}", settings.source(name), fault.message()));
            told.hint(fault.advice().unwrap_or("see docs/operations.md"))
        })?;
    }
    Ok(settings)
}
