//! `export` and `import`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use oneiric::clock::{Clock, SystemClock};
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::id::SessionId;
use oneiric::paths::{plain, private_file};
use oneiric_client::Peer;
use session_store::transfer::{
    FORMAT, Header, Import, Line, MAX_LINE_BYTES, Report, Selection, Trouble, VERSION, check_headers,
};
use session_store::{SessionFilter, Store};

use super::ask::Context;
use super::options;
use super::output::note;
use super::progress::Progress;
use super::turn;

/// Lines that were not taken and are told one by one.
const TOLD: u64 = 50;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Only this session, by its id or a beginning of it; may be repeated
    #[arg(long = "session", value_name = "ID")]
    sessions: Vec<String>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Only this component
    #[arg(long)]
    component: Option<String>,
    /// Started at or after: 24h, 7d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Started before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Archived sessions too
    #[arg(long)]
    archived: bool,
    /// Write to this file (0600) instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file when it exists
    #[arg(long, requires = "output")]
    force: bool,
}

/// Runs `export`.
pub(super) fn export(args: &ExportArgs, context: &Context) -> Result<ExitCode> {
    let (since, until) = options::times(args.since.as_deref(), args.until.as_deref(), context.now())?;
    let selection = Selection {
        sessions: args.sessions.clone(),
        filter: SessionFilter {
            project: args.project.clone(),
            component: args.component.clone(),
            since,
            until,
            ..SessionFilter::default()
        },
        archived: args.archived,
    };
    let source = Source::of(context, "export")?;
    match &args.output {
        None => {
            let written = write(&source, &selection, &mut BufWriter::new(std::io::stdout().lock()));
            match written {
                Ok(_) => Ok(ExitCode::SUCCESS),
                Err(Broken::Pipe) => Ok(ExitCode::SUCCESS),
                Err(Broken::Fault(fault)) => Err(fault),
            }
        }
        Some(path) => {
            let (sessions, events) = to_path(&source, &selection, &context.surroundings.cwd.join(path), args.force)?;
            let (sessions, events) = (counted(sessions, "session", "sessions"), counted(events, "event", "events"));
            note(&format!("Exported {sessions} with {events} to {}", path.display()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A server's routes.
const EXPORT: &str = "/api/v1/export";
const IMPORT: &str = "/api/v1/import";

/// Where sessions are.
enum Source {
    Store(Arc<dyn Store>),
    /// In the memory of the running server.
    Server(Box<Peer>),
}

impl Source {
    fn of(context: &Context, command: &str) -> Result<Self> {
        match context.server().filter(|info| info.database == "memory" && info.transport.starts_with("http")) {
            Some(info) => Ok(Self::Server(Box::new(context.peer(&info)?))),
            None => Ok(Self::Store(context.own_store(command)?)),
        }
    }

    fn export(&self, selection: &Selection, show: &mut dyn FnMut(Line) -> Result<()>) -> Result<()> {
        match self {
            Self::Store(store) => store.export(selection, show),
            Self::Server(peer) => from_server(peer, selection, show),
        }
    }
}

fn from_server(peer: &Peer, selection: &Selection, show: &mut dyn FnMut(Line) -> Result<()>) -> Result<()> {
    let filter = &selection.filter;
    let mut query: Vec<(&str, String)> = selection.sessions.iter().map(|id| ("session", id.clone())).collect();
    let mut narrow = |name: &'static str, value: Option<String>| query.extend(value.map(|value| (name, value)));
    narrow("project", filter.project.clone());
    narrow("component", filter.component.clone());
    narrow("since", filter.since.map(|at| at.to_string()));
    narrow("until", filter.until.map(|at| at.to_string()));
    narrow("archived", selection.archived.then(|| "true".to_owned()));
    let broken = |why: &str| Fault::unavailable(format!("the server's export broke off: {why}")).hint("try again");
    let mut input = BufReader::new(peer.read_lines(EXPORT, &query).map_err(Fault::from)?);
    let mut text = String::new();
    loop {
        text.clear();
        let most = MAX_LINE_BYTES as u64 + 1;
        let count = input.by_ref().take(most).read_line(&mut text).map_err(|error| broken(&plain(&error)))?;
        if count == 0 {
            return Ok(());
        }
        show(Line::parse(text.trim_end()).map_err(|why| broken(&why))?)?;
    }
}

/// Why an export ended early.
enum Broken {
    /// The reader left, which is its right.
    Pipe,
    Fault(Fault),
}

/// Writes the lines; gives sessions and events.
fn write(source: &Source, selection: &Selection, out: &mut dyn Write) -> Result<(u64, u64), Broken> {
    let (mut sessions, mut events, mut all) = (0, 0, 0);
    let mut gone = false;
    let mut progress = Progress::new("Exporting", "events");
    let mut failed = |error: &std::io::Error| {
        gone = error.kind() == ErrorKind::BrokenPipe;
        Fault::unavailable(format!("cannot write the export: {}", plain(error)))
    };
    let shown = source.export(selection, &mut |line| {
        let text = line.text().map_err(|error| Fault::internal(format!("cannot write JSON: {error}")))?;
        match &line {
            Line::Header(header) => all = header.events,
            Line::Session(_) => sessions += 1,
            Line::Event(_) => events += 1,
        }
        progress.tell(events, all);
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(|error| failed(&error))
    });
    match shown.and_then(|()| out.flush().map_err(|error| failed(&error))) {
        Ok(()) => Ok((sessions, events)),
        Err(_) if gone => Err(Broken::Pipe),
        Err(fault) => Err(Broken::Fault(fault)),
    }
}

/// Writes to the file at `path`. Devices, such as `/dev/null`, are written to as they are; nothing else that is there and is no
/// file is touched.
fn to_path(source: &Source, selection: &Selection, path: &Path, force: bool) -> Result<(u64, u64)> {
    let named = |what: &str| Fault::user(format!("{} {what}", path.display()));
    let linked = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let kind = match std::fs::metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(_) if linked => return Err(named("is a link to a file that does not exist").hint("name the file itself")),
        Err(_) => return to_file(source, selection, path),
    };
    if kind.is_char_device() {
        let refused = |error: &std::io::Error| unwritable(path, error);
        let mut out = BufWriter::new(File::options().write(true).open(path).map_err(|error| refused(&error))?);
        return match write(source, selection, &mut out) {
            Ok(counts) => Ok(counts),
            Err(Broken::Fault(fault)) => Err(fault),
            Err(Broken::Pipe) => Err(Fault::unavailable(format!("cannot write {}", path.display()))),
        };
    }
    if kind.is_dir() {
        return Err(named("is a folder").hint("name a file"));
    }
    if !kind.is_file() {
        return Err(named("is no regular file").hint("without --output, the export goes to standard output"));
    }
    if !force {
        return Err(Fault::conflict(format!("{} exists", path.display())).hint("name another file, or add --force"));
    }
    // A link to a file elsewhere stays a link.
    let real = std::fs::canonicalize(path).map_err(|error| unwritable(path, &error))?;
    to_file(source, selection, &real)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(error)))
}

/// Writes a file that is whole or not there: under another name first.
fn to_file(source: &Source, selection: &Selection, path: &Path) -> Result<(u64, u64)> {
    let refused = |error: &std::io::Error| unwritable(path, error);
    let Some(name) = path.file_name() else {
        return Err(Fault::user(format!("{} is no file", path.display())));
    };
    // In a folder of everybody's, the name may be taken on purpose.
    let id = SessionId::generate(SystemClock.now());
    let part = path.with_file_name(format!(".{}.{id}.part", name.to_string_lossy()));
    let done = (|| {
        let file = private_file().write(true).create_new(true).open(&part).map_err(|error| refused(&error))?;
        let mut out = BufWriter::new(file);
        let counts = match write(source, selection, &mut out) {
            Ok(counts) => counts,
            Err(Broken::Fault(fault)) => return Err(fault),
            Err(Broken::Pipe) => return Err(Fault::unavailable(format!("cannot write {}", path.display()))),
        };
        let file = out.into_inner().map_err(|error| refused(error.error()))?;
        file.sync_all().and_then(|()| std::fs::rename(&part, path)).map_err(|error| refused(&error))?;
        Ok(counts)
    })();
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// A file that 'export' wrote; - reads standard input
    file: PathBuf,
}

/// Runs `import`.
pub(super) fn import(args: &ImportArgs, context: &Context) -> Result<ExitCode> {
    let (mut input, size): (Box<dyn BufRead>, u64) = if args.file.as_os_str() == "-" {
        (Box::new(BufReader::new(std::io::stdin())), 0)
    } else {
        let path = context.surroundings.cwd.join(&args.file);
        let file = File::open(&path).map_err(|error| refused(&path, &error))?;
        let meta = file.metadata().map_err(|error| refused(&path, &error))?;
        if meta.is_dir() {
            return Err(Fault::user(format!("{} is a folder", path.display())).hint("name a file that 'export' wrote"));
        }
        let mut input = BufReader::with_capacity(256 * 1024, file);
        // A pipe can be read only once.
        if meta.is_file() {
            check_headers(&mut input)?;
            input.rewind().map_err(|error| refused(&path, &error))?;
        }
        (Box::new(input), meta.len())
    };
    // Before the database is opened: what a restore replaces is not to be imported into. Memory has no file to restore.
    let database = super::backup::database(context).ok();
    let _turn = database.as_deref().map(turn::together).transpose()?;
    let store = match Source::of(context, "import")? {
        Source::Store(store) => store,
        Source::Server(peer) => return into_server(&peer, input),
    };
    let mut rejected = 0;
    let mut told = |trouble: Trouble| {
        rejected += 1;
        if rejected <= TOLD {
            note(&format!("line {}: {}", trouble.line, super::output::plain(&trouble.reason)));
        }
    };
    let mut progress = Progress::new("Importing", "bytes");
    let mut stored = 0;
    let report = Import::new(store.as_ref(), &mut told).run(input.as_mut(), &mut |so_far| {
        stored = so_far.events;
        progress.tell(so_far.bytes, size.max(so_far.bytes));
    });
    drop(progress);
    summary(&report.map_err(|fault| {
        if stored == 0 {
            return fault;
        }
        note(&format!("{} of it are in the database", counted(stored, "event", "events")));
        fault.hint("mend that, then import the same again: it adds the rest")
    })?)
}

/// Into a server that keeps its sessions in its memory.
fn into_server(peer: &Peer, input: Box<dyn BufRead>) -> Result<ExitCode> {
    let answer = peer.send_lines(IMPORT, input).map_err(Fault::from)?;
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let troubles = answer["troubles"].as_array().map(Vec::as_slice).unwrap_or_default();
    for trouble in troubles {
        let reason = super::output::plain(trouble["reason"].as_str().unwrap_or_default());
        note(&format!("line {}: {reason}", trouble["line"]));
    }
    let (sessions, stored, duplicates) = (number("sessions"), number("stored"), number("duplicates"));
    let events = if answer["complete"] == true { 0 } else { u64::MAX };
    let header = Header { format: FORMAT.to_owned(), version: VERSION, sessions, events };
    summary(&Report { sessions, stored, duplicates, rejected: number("rejected"), header: Some(header) })
}

fn refused(path: &Path, error: &std::io::Error) -> Fault {
    let message = format!("cannot read {}: {}", path.display(), plain(error));
    if error.kind() == ErrorKind::NotFound { Fault::not_found(message) } else { Fault::unavailable(message) }
}

fn summary(report: &Report) -> Result<ExitCode> {
    if report.rejected > TOLD {
        note(&format!("… and {}", counted(report.rejected - TOLD, "more line", "more lines")));
    }
    let text = format!(
        "{}, {} stored, {} known already, {} rejected\n",
        counted(report.sessions, "session", "sessions"),
        counted(report.stored, "event", "events"),
        report.duplicates,
        counted(report.rejected, "line", "lines")
    );
    if report.header.is_none() && report.sessions == 0 && report.rejected == 0 {
        return Err(Fault::user("this is no export of Session-Buddy: there is nothing in it")
            .hint("write one with 'session-buddy export'"));
    }
    let done = super::output::emit(&text)?;
    if report.rejected > 0 {
        return Err(Fault::user(format!("{} could not be taken", counted(report.rejected, "line", "lines")))
            .hint("the others are stored; mend the lines above and import again"));
    }
    if !report.complete() {
        return Err(Fault::user("the export ends before all that its first line promises")
            .hint("what came is stored; import the whole file to add the rest"));
    }
    Ok(done)
}
