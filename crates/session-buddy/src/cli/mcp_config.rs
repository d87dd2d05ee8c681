//! `mcp config`: the entry by which an MCP client finds this server, printed or written into the client's file.

mod clients;
mod entry;
mod jsonc;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use oneiric::fault::{Fault, Result};
use oneiric::paths::{plain, write_atomically};
use serde_json::Map;

use super::ask::Context;
use super::output::{emit, note};
use crate::PRODUCT;
use crate::server::access::Access;
use clients::{Client, Reach, Scope};

/// Largest file of a client that is changed, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Arguments of `mcp config`.
#[derive(Debug, Args)]
pub(super) struct McpConfigArgs {
    /// Client that the entry is for
    #[arg(long, value_enum, default_value = "claude-code")]
    client: Client,
    /// For all your work, or for the project in this directory
    #[arg(long, value_enum, default_value_t)]
    scope: Scope,
    /// The client starts the server and talks to it directly (the default)
    #[arg(long, conflicts_with = "http")]
    stdio: bool,
    /// The client calls a server that runs
    #[arg(long)]
    http: bool,
    /// Write the entry into the client's file; all else in it stays as it is
    #[arg(long)]
    install: bool,
    /// With --install: print what the file would be, and write nothing
    #[arg(long, requires = "install")]
    dry_run: bool,
}

/// Runs `mcp config`.
pub(super) fn run(args: &McpConfigArgs, context: &Context) -> Result<ExitCode> {
    let path = args
        .client
        .file(args.scope, &context.surroundings)
        .ok_or_else(|| Fault::user("this client has no file for a project").hint("leave out --scope project"))?;
    let reach = if args.http { called(context)? } else { started(args.scope, context) };
    let entry = args
        .client
        .entry(&reach)
        .ok_or_else(|| Fault::user("this client's file knows no servers over HTTP").hint("leave out --http"))?;
    if !args.install {
        let shown = if args.client.is_toml() {
            entry::set_toml("", args.client.key(), &entry).map_err(Fault::internal)?
        } else {
            entry::set_json("", args.client.key(), &entry).map_err(Fault::internal)?
        };
        note(&format!("This belongs into {}; --install writes it there.", path.display()));
        return emit(&shown);
    }
    let before = read(&path)?;
    let text = before.as_deref().unwrap_or_default();
    let changed = if args.client.is_toml() {
        entry::set_toml(text, args.client.key(), &entry)
    } else {
        entry::set_json(text, args.client.key(), &entry)
    };
    let changed = changed.map_err(|why| {
        Fault::config(format!("{} cannot be read: {why}", path.display())).hint("mend it first; it was left as it is")
    })?;
    if args.dry_run {
        return emit(&changed);
    }
    if before.as_deref() == Some(changed.as_str()) {
        return emit(&format!("{} has the entry already\n", path.display()));
    }
    let kept = write(&path, before.as_deref(), &changed, context)?;
    let also = kept.map(|kept| format!("; what it was is in {}", kept.display())).unwrap_or_default();
    emit(&format!("{} now names {PRODUCT}{also}\n", path.display()))
}

/// The client starts this program.
fn started(scope: Scope, context: &Context) -> Reach {
    let mut env = Map::new();
    if let Some(home) = context.surroundings.vars.get("SESSION_BUDDY_HOME").filter(|home| !home.is_empty()) {
        env.insert("SESSION_BUDDY_HOME".into(), context.surroundings.cwd.join(home).to_string_lossy().into());
    }
    // Programs with windows have another search path than terminals; a project's file is for other machines too.
    let own = std::env::current_exe().ok().filter(|_| scope == Scope::User);
    let command = own.map_or_else(|| PRODUCT.to_owned(), |path| path.to_string_lossy().into_owned());
    Reach::Stdio { command, env }
}

/// The client calls the server that runs, or would run.
fn called(context: &Context) -> Result<Reach> {
    let settings = &context.settings;
    let address = match context.server() {
        Some(info) => super::ask::reachable(&info.address),
        None => format!("{}:{}", settings.text("server.host"), settings.int("server.port")),
    };
    let token = Access::from_settings(settings)?.is_some();
    Ok(Reach::Http { url: format!("http://{address}/mcp"), token })
}

fn read(path: &Path) -> Result<Option<String>> {
    let unreadable = |why: &str| {
        Fault::config(format!("cannot read {}: {why}", path.display())).hint("mend it first; it was left as it is")
    };
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_FILE => return Err(unreadable("it is larger than 16 MiB")),
        Ok(found) if !found.is_file() => return Err(unreadable("it is no regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_ok() => {
            return Err(unreadable("it is a link to a file that does not exist"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&plain(&error))),
    }
    let bytes = fs::read(path).map_err(|error| unreadable(&plain(&error)))?;
    String::from_utf8(bytes).map(Some).map_err(|_| unreadable("it is no UTF-8 text"))
}

/// Writes the file at once or not at all. Gives the copy of what was there before.
fn write(path: &Path, before: Option<&str>, text: &str, context: &Context) -> Result<Option<PathBuf>> {
    let unwritable = |path: &Path, error: &std::io::Error| {
        Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(error)))
            .hint("make its folder writable and free some space")
    };
    // A link to a file elsewhere, as people keep their settings under version control, stays a link.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if let Some(folder) = real.parent() {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let mode = fs::metadata(&real).ok().map(|found| found.permissions().mode() & 0o7777);
    let kept = match before {
        None => None,
        Some(before) => {
            let stamp: String = context.now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
            let copy = unused(&real, &format!(".before-{stamp}"));
            write_atomically(&copy, before.as_bytes()).map_err(|error| unwritable(&copy, &error))?;
            Some(copy)
        }
    };
    write_atomically(&real, text.as_bytes()).map_err(|error| unwritable(&real, &error))?;
    if let Some(mode) = mode {
        fs::set_permissions(&real, fs::Permissions::from_mode(mode)).map_err(|error| unwritable(&real, &error))?;
    }
    Ok(kept)
}

/// `path` with `ending`, and a number when there is such a file already.
fn unused(path: &Path, ending: &str) -> PathBuf {
    let named = |number: usize| {
        let mut name = path.to_path_buf().into_os_string();
        name.push(ending);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    (1..).map(named).find(|copy| fs::symlink_metadata(copy).is_err()).unwrap_or_else(|| named(1))
}
