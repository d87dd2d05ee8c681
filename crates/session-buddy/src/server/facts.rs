//! What is true of this process, told as health. Settings that this version cannot honour are told as such.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use oneiric::count::counted;
use oneiric::fault::Fault;
use oneiric::settings::Settings;
use oneiric::spool;
use oneiric_server::health::{Part, Report};
use oneiric_server::lifecycle::Fallen;
use session_store::{Damage, Page, SessionFilter, SessionStatus};

use super::access::Access;
use super::meaning::Semantics;
use super::model::Choice;
use crate::desk::Shelf;
use crate::{PRODUCT, VERSION};

/// Whether callers need a token, and can have one.
#[must_use]
pub fn authentication(access: Result<Option<&Access>, &Fault>) -> Part {
    const NAME: &str = "Authentication";
    match access {
        Ok(Some(_)) => Part::ok(NAME, "enabled", "tokens signed with auth_secret"),
        Ok(None) => Part::off(NAME, "auth_enabled = false"),
        Err(fault) => {
            Part::failed(NAME, "broken", fault.message(), fault.advice().unwrap_or("set SESSION_BUDDY_SECRET"))
        }
    }
}

/// Facts for health reports. Cheap to clone; clones share what is being served.
#[derive(Clone, Debug)]
pub struct Facts {
    serving: Arc<Mutex<Option<String>>>,
    mode: &'static str,
    auth: Part,
    spools: Vec<PathBuf>,
    model: Choice,
    optional: Vec<Part>,
    semantics: Option<Arc<Semantics>>,
    fallen: Fallen,
}

impl Facts {
    /// Facts by `settings`, and `auth` of [`authentication`]; nothing is served yet.
    #[must_use]
    pub fn new(settings: &Settings, mode: &'static str, auth: Part, spools: Vec<PathBuf>) -> Self {
        Self {
            serving: Arc::new(Mutex::new(None)),
            mode,
            auth,
            spools,
            model: Choice::new(settings),
            optional: optional(settings),
            semantics: None,
            fallen: Fallen::default(),
        }
    }

    /// With the background work that stopped in the report.
    #[must_use]
    pub fn of_work(mut self, fallen: Fallen) -> Self {
        self.fallen = fallen;
        self
    }

    /// With the state of the vectors in the report.
    #[must_use]
    pub fn of_semantics(mut self, semantics: Arc<Semantics>) -> Self {
        self.semantics = Some(semantics);
        self
    }

    /// Says what is served now.
    pub fn serving(&self, where_: &str) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(where_.to_owned());
    }

    /// Looks at every part.
    #[must_use]
    pub fn report(&self, shelf: &dyn Shelf) -> Report {
        self.report_with(self.database(shelf), self.index(shelf))
    }

    /// The parts about the database. Waits as long as another program locks it.
    pub(super) fn database(&self, shelf: &dyn Shelf) -> Vec<Part> {
        // Totals stand in a table of their own: a look at the newest session tells whether the rows can be read.
        let looked = shelf.store().and_then(|store| {
            store.sessions(&SessionFilter::default(), Page::first(1))?;
            Ok((store.info()?, store.counts()?))
        });
        let (info, counts) = match looked {
            Ok(found) => found,
            Err(fault) => {
                let hint = fault.advice().unwrap_or("see the log").to_owned();
                return vec![
                    Part::failed("Database", "unavailable", fault.message(), hint),
                    Part::failed("Session tracking", "waiting", "events stay in their spools", "mend the database"),
                ];
            }
        };
        let size = counts.database_bytes as f64 / (1024.0 * 1024.0);
        let archived = match counts.archived_sessions {
            0 => String::new(),
            some => format!(" ({some} archived)"),
        };
        let fact = format!(
            "{} {}, {}{archived}, {}, {size:.1} MiB",
            info.backend,
            info.location,
            counted(counts.sessions_total(None), "session", "sessions"),
            counted(counts.events_total(), "event", "events")
        );
        let database = if info.writable {
            Part::ok("Database", "connected", fact)
        } else {
            Part::failed("Database", "read-only", fact, "make the file and its folder writable, and free some space")
        };
        let mut parts = vec![database];
        parts.extend(info.damage.as_ref().map(damaged));
        parts.push(self.tracking(counts.sessions_total(Some(SessionStatus::Active))));
        parts
    }

    /// The part about the vectors, when there are to be any. Waits as [`Facts::database`].
    pub(super) fn index(&self, shelf: &dyn Shelf) -> Option<Part> {
        let semantics = self.semantics.as_ref()?;
        semantics.part(shelf.store().ok()?.as_ref())
    }

    /// The report with these parts about the database and the vectors. Waits for nothing.
    pub(super) fn report_with(&self, database: Vec<Part>, index: Option<Part>) -> Report {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let server = match serving {
            Some(address) => Part::ok(
                "Session-Buddy MCP server",
                "healthy",
                format!("{address}, pid {}, {} mode", std::process::id(), self.mode),
            ),
            None => {
                Part::failed("Session-Buddy MCP server", "not running", "", "start it with 'session-buddy mcp start'")
            }
        };
        let mut parts = vec![server];
        parts.extend(database);
        parts.push(self.auth.clone());
        parts.push(self.semantics.as_ref().map_or_else(|| self.model.part(), |semantics| semantics.model_part()));
        parts.extend(index);
        let fallen = self.fallen.names();
        if !fallen.is_empty() {
            const MEND: &str = "restart the server; 'session-buddy logs' says what happened";
            parts.push(Part::failed("Background work", "stopped", fallen.join(", "), MEND));
        }
        parts.extend(self.optional.iter().cloned());
        Report::over(PRODUCT, VERSION, parts)
    }

    /// Files and bytes in the spools that are watched.
    #[must_use]
    pub fn spooled(&self) -> (usize, u64) {
        let depths = self.spools.iter().map(|folder| spool::depth(folder));
        depths.fold((0, 0), |sum, depth| (sum.0 + depth.files, sum.1 + depth.bytes))
    }

    fn tracking(&self, active: u64) -> Part {
        let (files, bytes) = self.spooled();
        let spooled = match files {
            0 => "nothing waits in spools".to_owned(),
            _ => format!("{}, {bytes} bytes", counted(files, "spool file", "spool files")),
        };
        Part::ok(
            "Session tracking",
            "enabled",
            format!("{}, {spooled}", counted(active, "active session", "active sessions")),
        )
    }
}

/// What a write or a search met, and what helps.
fn damaged(damage: &Damage) -> Part {
    let name = if damage.derived { "Search index" } else { "Sessions and events" };
    let waits = if damage.writing { "; events wait in their spools" } else { "" };
    let hint = if damage.derived {
        "'session-buddy doctor --fix' makes it anew; nothing is lost"
    } else {
        "'session-buddy doctor' says what is damaged and what helps"
    };
    Part::failed(name, "damaged", format!("{}{waits}", damage.said), hint)
}

/// Parts that can be switched on, and are not built yet: said so, whatever the setting.
fn optional(settings: &Settings) -> Vec<Part> {
    let said = |name: &str, setting: &str, otherwise: &str| {
        let flat = setting.replace('.', "_");
        let fact = if settings.bool(setting) {
            format!("{flat} = true, but this version cannot do it{otherwise}")
        } else {
            format!("{flat} = false{otherwise}")
        };
        Part::off(name, fact)
    };
    let mut parts = vec![said("Crackerjack", "crackerjack.enabled", ""), said("Akosha sync", "akosha.enabled", "")];
    parts.push(if settings.bool("session_tracking.auto_init") {
        let ends = if settings.bool("session_tracking.auto_cleanup") { "end with their clients" } else { "stay open" };
        Part::ok("Sessions of MCP clients", "automatic", format!("in git repositories; they {ends}"))
    } else {
        Part::off("Sessions of MCP clients", "session_tracking_auto_init = false; clients call track_session_start")
    });
    parts
}
