//! `doctor`: looks at everything that can be wrong with a home, and mends what is safe to mend.

mod database;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric::paths::{DIR_MODE, FILE_MODE};
use oneiric::spool;
use oneiric_server::health::PartState;
use serde::Serialize;
use session_store::backup::Backups;
use session_store::sqlite::SqliteVectors;

use super::ask::Context;
use super::backup;
use super::output;
use crate::PRODUCT;
use crate::server::launch;
use crate::server::model::Choice;

/// Free space below which events may soon not be stored any more.
const LOW_SPACE: u64 = 256 * 1024 * 1024;
/// A backup older than this is told.
const OLD_BACKUP: Duration = Duration::from_secs(14 * 86_400);

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Mend what can be mended without losing anything
    #[arg(long)]
    fix: bool,
    /// Check every page and index entry of the database
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
    Fixed,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    fact: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// What was found so far.
struct Doctor<'d> {
    context: &'d Context,
    fix: bool,
    findings: Vec<Finding>,
}

/// Runs `doctor`: exit code 1 when something does not work.
pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<ExitCode> {
    let mut doctor = Doctor { context, fix: args.fix, findings: Vec::new() };
    doctor.home();
    doctor.space();
    doctor.database(args.deep);
    doctor.spools();
    doctor.server();
    doctor.backups();
    doctor.meaning();
    let failed = doctor.findings.iter().any(|finding| finding.state == State::Failed);
    if args.json {
        output::emit_json(&doctor.findings)?;
    } else {
        let lines: Vec<String> = doctor.findings.iter().map(line).collect();
        output::emit(&context.screen().lines(format!("{}\n", lines.join("\n"))))?;
    }
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn line(finding: &Finding) -> String {
    let mark = match finding.state {
        State::Ok => "✓",
        State::Warning => "!",
        State::Failed => "✗",
        State::Fixed => "✓ mended:",
    };
    let hint = finding.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{mark} {}: {}{hint}", finding.check, output::plain(&finding.fact))
}

impl Doctor<'_> {
    /// The model of search by meaning, and the file of vectors.
    fn meaning(&mut self) {
        let choice = Choice::new(&self.context.settings);
        let part = choice.part();
        let state = if choice.model.is_some() && part.state != PartState::Ok { State::Warning } else { State::Ok };
        self.say("Semantic search", state, part.fact, part.hint);
        let Ok(database) = backup::database(self.context) else { return };
        let path = database.with_file_name("vectors.db");
        if !path.exists() {
            return;
        }
        match SqliteVectors::look(&path) {
            Ok(None) => {
                self.ok("Vectors", format!("{} is sound", path.display()));
                self.orphans(&path, &database);
            }
            Ok(Some(wrong)) => self.broken_vectors(&path, wrong),
            Err(fault) => self.say("Vectors", State::Warning, fault.to_string(), None),
        }
    }

    /// A file of vectors that is no good: they are made again from the sessions.
    fn broken_vectors(&mut self, path: &Path, wrong: String) {
        let fact = format!("{} is damaged ({wrong})", path.display());
        if self.context.server().is_some() {
            // The server has it open: a new file beside that would be another one.
            let hint = "the server makes the file anew when it starts: session-buddy mcp restart".to_owned();
            return self.say("Vectors", State::Warning, fact, Some(hint));
        }
        if !self.fix {
            let hint = "session-buddy doctor --fix, or the next start of the server, makes it anew".to_owned();
            return self.say("Vectors", State::Warning, fact, Some(hint));
        }
        match SqliteVectors::replace(path, wrong) {
            Ok(_) => self.say("Vectors", State::Fixed, fact, None),
            Err(fault) => self.say("Vectors", State::Failed, format!("{fact}; {}", fault.message()), None),
        }
    }

    /// Vectors of events that are gone.
    fn orphans(&mut self, path: &Path, database: &Path) {
        if !database.exists() {
            // Whether it comes back is not known, and all vectors would count as orphans; nor is one made here.
            return;
        }
        let looked = self
            .context
            .own_desk()
            .and_then(|desk| desk.store())
            .and_then(|store| SqliteVectors::orphans(path, store.as_ref()));
        let orphans = match looked {
            Ok(orphans) => orphans,
            // What is wrong with the database was said before.
            Err(_) => return,
        };
        let count: usize = orphans.values().map(Vec::len).sum();
        if count == 0 {
            return;
        }
        let are = if count == 1 { "is" } else { "are" };
        let fact = format!("there are vectors of {} that {are} gone", counted(count as u64, "event", "events"));
        let mended = self.fix && SqliteVectors::open(path).and_then(|vectors| vectors.forget_orphans(&orphans)).is_ok();
        let hint = (!mended).then(|| "session-buddy doctor --fix, or a server in time, removes them".to_owned());
        self.say("Vectors", if mended { State::Fixed } else { State::Warning }, fact, hint);
    }

    fn say(&mut self, check: &'static str, state: State, fact: impl Into<String>, hint: Option<String>) {
        self.findings.push(Finding { check, state, fact: fact.into(), hint });
    }

    fn ok(&mut self, check: &'static str, fact: impl Into<String>) {
        self.say(check, State::Ok, fact, None);
    }

    /// Files that others could read, and a home that is not there.
    fn home(&mut self) {
        let root = self.context.settings.home().root().to_path_buf();
        if !root.is_dir() {
            let hint = "it is made with the first recording".to_owned();
            self.say("Home", State::Warning, format!("{} is not there yet", root.display()), Some(hint));
            return;
        }
        let open = open_to_others(&root);
        if open.is_empty() {
            self.ok("Home", format!("{}, private", root.display()));
            return;
        }
        let shown = open.first().map(|path| path.display().to_string()).unwrap_or_default();
        let fact = match open.len() {
            1 => format!("{shown} can be read by others"),
            count => format!("{count} files or folders can be read by others, such as {shown}"),
        };
        let closed = self.fix && open.iter().all(|path| close(path));
        let state = if closed { State::Fixed } else { State::Failed };
        let hint = (!closed).then(|| format!("chmod -R go-rwx {}, or session-buddy doctor --fix", root.display()));
        self.say("Home", state, fact, hint);
    }

    fn space(&mut self) {
        let root = self.context.settings.home().root().to_path_buf();
        let Some(stat) = root.ancestors().find_map(|path| rustix::fs::statvfs(path).ok()) else { return };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let fact = format!("{} free", backup::bytes(free));
        if free < LOW_SPACE {
            let hint = "free some space: session-buddy backup prune, archive or retention, then vacuum".to_owned();
            self.say("Disk space", State::Failed, fact, Some(hint));
        } else {
            self.ok("Disk space", fact);
        }
    }

    fn spools(&mut self) {
        for folder in launch::spools(&self.context.settings, &self.context.surroundings) {
            let orphans = spool::orphans(&folder).len();
            let set_aside = fs::read_dir(folder.join("quarantine")).map_or(0, Iterator::count);
            if orphans > 0 {
                let hint = "session-buddy list-sessions takes them in, or says why it cannot".to_owned();
                self.say(
                    "Spool",
                    State::Warning,
                    format!("{} in {}", counted(orphans, "file waits", "files wait"), folder.display()),
                    Some(hint),
                );
            } else if set_aside > 0 {
                let hint = format!("look at them in {}", folder.join("quarantine").display());
                self.say(
                    "Spool",
                    State::Warning,
                    format!("{} lines that cannot be stored", counted(set_aside, "file holds", "files hold")),
                    Some(hint),
                );
            } else {
                self.ok("Spool", format!("nothing waits in {}", folder.display()));
            }
        }
    }

    /// A run file without its server.
    fn server(&mut self) {
        if let Some(info) = self.context.server() {
            return self.ok("Server", format!("runs on {} (pid {})", info.address, info.pid));
        }
        let run = self.context.settings.home().run();
        let stale: Vec<PathBuf> = ["json", "pid"]
            .iter()
            .map(|end| run.join(format!("{PRODUCT}.{end}")))
            .filter(|path| path.exists())
            .collect();
        if stale.is_empty() {
            return self.ok("Server", "does not run");
        }
        let mended = self.fix && stale.iter().all(|path| fs::remove_file(path).is_ok());
        let hint = (!mended).then(|| "harmless; session-buddy doctor --fix removes it".to_owned());
        let state = if mended { State::Fixed } else { State::Warning };
        self.say("Server", state, "does not run, and was not ended in order: its run file is still there", hint);
    }

    fn backups(&mut self) {
        let home = self.context.settings.home().root().to_path_buf();
        let folder = backup::folder(&home);
        let left: usize = [&home, &folder].into_iter().map(|folder| Backups::leftovers(folder)).sum();
        if left > 0 {
            let mended =
                self.fix && [&home, &folder].into_iter().map(|folder| Backups::sweep(folder)).sum::<usize>() == left;
            let hint = (!mended).then(|| "session-buddy doctor --fix removes them".to_owned());
            let state = if mended { State::Fixed } else { State::Warning };
            self.say("Backups", state, format!("{left} were broken off and left files behind"), hint);
        }
        let newest = Backups::in_folder(&folder).newest().ok().flatten();
        let make = "make one: session-buddy backup create".to_owned();
        match newest {
            None => self.say("Backups", State::Warning, "there is none", Some(make)),
            Some(entry) if entry.incomplete => {
                let fact = format!("the newest, {}, is incomplete", entry.name);
                self.say("Backups", State::Warning, fact, Some(make));
            }
            Some(entry) if entry.written_at < self.context.now().minus(OLD_BACKUP) => {
                self.say(
                    "Backups",
                    State::Warning,
                    format!("the newest is of {}", entry.written_at.local()),
                    Some(make),
                );
            }
            Some(entry) => self.ok("Backups", format!("the newest is of {}", entry.written_at.local())),
        }
    }
}

/// What in a home other users could read. Links are not followed, and models are no secret.
fn open_to_others(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    let me = rustix::process::geteuid().as_raw();
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.uid() == me && !meta.is_symlink() && meta.permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if meta.is_dir() && !path.ends_with("models") {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    // What lies in a private home is private, whatever its own rights.
    if found.first().is_some_and(|first| first == root) { found } else { Vec::new() }
}

fn close(path: &Path) -> bool {
    let mode = if path.is_dir() { DIR_MODE } else { FILE_MODE };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
}
