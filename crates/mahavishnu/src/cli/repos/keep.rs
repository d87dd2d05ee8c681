//! `repos add|remove|import|scan`: the manifest, kept by commands.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::token::Scope;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::repos::edit::{Editor, NewRepository};
use orchestrator::repos::import::{Entry, import};
use orchestrator::repos::scan::{Kind, kind_of, scan};
use serde_json::json;

use super::super::format::Format;
use super::super::{Needs, Token};
use crate::world::World;

/// Keep the list of repositories, and show how they stand
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Repos {
    #[command(flatten)]
    token: Token,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Add a repository to the manifest
    Add {
        /// Its folder
        path: PathBuf,
        /// Its name; by default that of its folder
        #[arg(long)]
        name: Option<String>,
        /// What it is
        #[arg(long, default_value = "app")]
        role: String,
        /// A label; may be repeated
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// A short name
        #[arg(long)]
        nickname: Option<String>,
        /// One sentence
        #[arg(long, default_value = "")]
        description: String,
        /// A repository that comes before it; may be repeated
        #[arg(long, value_name = "NAME")]
        depends_on: Vec<String>,
    },
    /// Remove a repository from the manifest; its folder stays
    Remove {
        /// Its name or nickname
        name: String,
    },
    /// Add what another list names: a manifest, .mrconfig, vcstool's .repos, gita's repos.csv, or a path a line
    Import {
        /// The list
        file: PathBuf,
        /// What they are, where the list does not say it
        #[arg(long, default_value = "app")]
        role: String,
        /// A label for all of them; may be repeated
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Only say what would be added
        #[arg(long)]
        dry_run: bool,
        /// How to print the result
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Find repositories below a folder
    Scan {
        /// The folder
        dir: PathBuf,
        /// How many folders down
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=50))]
        depth: u32,
        /// Add those that the manifest does not have
        #[arg(long)]
        add: bool,
        /// What they are
        #[arg(long, default_value = "app")]
        role: String,
        /// A label for those that are added; may be repeated
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show branch, distance to the remote, changes and last commit; exit code 1 when one cannot be asked
    Status(super::status::Status),
}

impl Repos {
    pub(in crate::cli) fn needs(&self) -> Needs<'_> {
        let (what, scope) = match &self.action {
            None => ("repos", Scope::Read),
            Some(Action::Add { .. }) => ("repos add", Scope::Write),
            Some(Action::Remove { .. }) => ("repos remove", Scope::Write),
            Some(Action::Import { dry_run: true, .. }) => ("repos import", Scope::Read),
            Some(Action::Import { .. }) => ("repos import", Scope::Write),
            Some(Action::Scan { add: true, .. }) => ("repos scan", Scope::Write),
            Some(Action::Scan { .. }) => ("repos scan", Scope::Read),
            Some(Action::Status(_)) => ("repos status", Scope::Read),
        };
        self.token.needs(what, scope)
    }

    pub(in crate::cli) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let Some(action) = &self.action else {
            return super::show(world, None, None, output).map(|()| 0);
        };
        match action {
            Action::Add { path, name, role, tags, nickname, description, depends_on } => {
                let path = folder_of(world, path)?;
                let new = NewRepository {
                    name: name.clone().map_or_else(|| name_of(&path), Ok)?,
                    path: written(world, &path),
                    role: role.clone(),
                    tags: tags.clone(),
                    nickname: nickname.clone(),
                    description: description.clone(),
                    depends_on: depends_on.clone(),
                };
                let mut editor = Editor::open(&world.places())?;
                if let Some(known) = known_at(&editor, &path) {
                    return Err(Fault::conflict(format!("{} is listed already, as {known}", path.display())));
                }
                editor.add(&new)?;
                editor.save()?;
                output.line(&format!("Added {} to {}.", new.name, editor.file().display()));
                Ok(0)
            }
            Action::Remove { name } => {
                let mut editor = Editor::open(&world.places())?;
                let gone = editor.remove(name)?;
                editor.save()?;
                output.line(&format!(
                    "Removed {} from {}; {} stays.",
                    gone.name,
                    editor.file().display(),
                    gone.path.display()
                ));
                Ok(0)
            }
            Action::Import { file, role, tags, dry_run, format } => {
                let file = world.surroundings.cwd.join(file);
                let (source, entries) = import(&file, &world.surroundings.user_home)?;
                if *format == Format::Table {
                    output.error_line(&format!("{} is {} of {}.", file.display(), source.as_str(), entries.len()));
                }
                let entries = entries.into_iter().map(|mut entry| {
                    entry.tags.extend(tags.iter().filter(|tag| !entry.tags.contains(tag)).cloned().collect::<Vec<_>>());
                    entry
                });
                take(world, entries.collect(), role, *dry_run, *format, output)
            }
            Action::Scan { dir, depth, add, role, tags, format } => {
                let found = scan(&world.surroundings.cwd.join(dir), *depth as usize)?;
                for folder in found.unreadable.iter().take(5) {
                    output.error_line(&format!("cannot look into {}", folder.display()));
                }
                if found.cut {
                    output.error_line("There are too many folders; the rest was not looked into.");
                }
                if !add {
                    return found_ones(world, &found.found, *format, output).map(|()| 0);
                }
                let entries = found.found.into_iter().filter(|found| found.kind == Kind::Repository);
                let entries = entries.map(|found| Entry { path: found.path, tags: tags.clone(), ..Entry::default() });
                take(world, entries.collect(), role, false, *format, output)
            }
            Action::Status(status) => status.run(world, output),
        }
    }
}

/// The folder of a repository, resolved; the top of its working tree.
fn folder_of(world: &World, path: &Path) -> Result<PathBuf> {
    let given = world.surroundings.cwd.join(path);
    let real = std::fs::canonicalize(&given)
        .map_err(|error| Fault::not_found(format!("{}: {}", path.display(), oneiric::paths::plain(&error))))?;
    if kind_of(&real).is_some() {
        return Ok(real);
    }
    let above = real.ancestors().skip(1).find(|above| kind_of(above).is_some());
    Err(match above {
        Some(above) => Fault::user(format!("{} lies inside of a repository", real.display()))
            .hint(format!("add the repository: mahavishnu repos add {}", above.display())),
        None => Fault::user(format!("{} is no git repository", real.display())).hint("make it one with 'git init'"),
    })
}

/// A folder's name as a name of a repository.
fn name_of(path: &Path) -> Result<String> {
    let raw = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@') { c } else { '-' };
    let name: String = raw.trim_end_matches(".git").chars().map(plain).take(100).collect();
    let name = name.trim_start_matches('-').to_owned();
    if name.is_empty() {
        return Err(Fault::user(format!("{} gives no name", path.display())).hint("give one with --name"));
    }
    Ok(name)
}

/// A folder as it is written down: from `~` when it lies there, since the file may be shared with other machines.
fn written(world: &World, path: &Path) -> String {
    let home = std::fs::canonicalize(&world.surroundings.user_home);
    let below = home.ok().and_then(|home| path.strip_prefix(home).ok().map(|rest| format!("~/{}", rest.display())));
    below.filter(|path| path != "~/").unwrap_or_else(|| path.display().to_string())
}

fn known_at(editor: &Editor, path: &Path) -> Option<String> {
    let is_there = |known: &Path| known == path || std::fs::canonicalize(known).is_ok_and(|known| known == path);
    editor.manifest().repos.iter().find(|repo| is_there(&repo.path)).map(|repo| repo.name.clone())
}

/// Adds what is not there yet, and says about each one what became of it. Exit code 1 when one could not be added.
fn take(world: &World, entries: Vec<Entry>, role: &str, dry_run: bool, format: Format, output: &Output) -> Result<i32> {
    let mut editor = Editor::open(&world.places())?;
    let mut table = Table::new(["Name", "Result", "Path", "Line", "Why"]).numeric(3).optional([3]);
    let (mut rows, mut added, mut refused) = (Vec::new(), 0, 0);
    // Those that depend on others come after them, whatever the list's order.
    let mut waiting = entries;
    loop {
        let (ready, later): (Vec<Entry>, Vec<Entry>) = waiting.iter().cloned().partition(|entry| {
            let listed =
                |name: &String| waiting.iter().any(|other| other != entry && other.name.as_ref() == Some(name));
            !entry.depends_on.iter().any(|name| listed(name) && editor.manifest().find(name).is_err())
        });
        let last = ready.is_empty();
        for entry in if last { &later } else { &ready } {
            let (name, result, why) = match add(world, &mut editor, entry, role) {
                Ok((name, true)) => (name, "added", String::new()),
                Ok((name, false)) => (name, "known", String::new()),
                Err(fault) if fault.kind() == FaultKind::Unavailable => return Err(fault),
                Err(fault) => (entry.name.clone().unwrap_or_default(), "refused", fault.to_string()),
            };
            added += u32::from(result == "added");
            refused += u32::from(result == "refused");
            let line = if entry.line > 0 { entry.line.to_string() } else { String::new() };
            table.row([name.as_str(), result, &entry.path.display().to_string(), &line, &why]);
            rows.push(json!({
                "name": name, "result": result, "path": entry.path, "line": entry.line, "why": why,
            }));
        }
        if last || later.is_empty() {
            break;
        }
        waiting = later;
    }
    if !dry_run && added > 0 {
        editor.save()?;
    }
    format.print(&rows, &table, "No repositories.", output)?;
    if format == Format::Table {
        let what = if dry_run { "would be added to" } else { "added to" };
        output.line(&format!("{added} {what} {}; {refused} refused.", editor.file().display()));
    }
    Ok(i32::from(refused > 0))
}

fn add(world: &World, editor: &mut Editor, entry: &Entry, role: &str) -> Result<(String, bool)> {
    let path = folder_of(world, &entry.path)?;
    if let Some(name) = known_at(editor, &path) {
        return Ok((name, false));
    }
    let free = |editor: &Editor, name: &str| !editor.manifest().repos.iter().any(|repo| repo.is_called(name));
    let name = match &entry.name {
        Some(name) => name.clone(),
        None => {
            let name = name_of(&path)?;
            let parent = path.parent().map(name_of).and_then(Result::ok).unwrap_or_default();
            let further = (2..1000).map(|n| format!("{name}-{n}"));
            let names = [name.clone(), format!("{parent}-{name}")].into_iter().chain(further);
            names.into_iter().find(|name| free(editor, name)).unwrap_or(name)
        }
    };
    let new = NewRepository {
        path: written(world, &path),
        role: entry.role.clone().unwrap_or_else(|| role.to_owned()),
        tags: entry.tags.clone(),
        nickname: entry.nickname.clone(),
        description: entry.description.clone(),
        depends_on: entry.depends_on.clone(),
        name,
    };
    editor.add(&new)?;
    Ok((new.name, true))
}

fn found_ones(
    world: &World,
    found: &[orchestrator::repos::scan::Found],
    format: Format,
    output: &Output,
) -> Result<()> {
    let manifest = world.manifest()?;
    let known: std::collections::BTreeMap<PathBuf, &str> = manifest
        .repos
        .iter()
        .map(|repo| (std::fs::canonicalize(&repo.path).unwrap_or_else(|_| repo.path.clone()), repo.name.as_str()))
        .collect();
    let mut table = Table::new(["Path", "Kind", "Listed as"]);
    let mut rows = Vec::new();
    for one in found {
        let kind = match one.kind {
            Kind::Repository => "repository",
            Kind::Worktree => "worktree",
            Kind::Bare => "bare",
        };
        let name = known.get(&one.path).copied();
        table.row([&one.path.display().to_string(), kind, name.unwrap_or_default()]);
        rows.push(json!({ "path": one.path, "kind": one.kind, "name": name }));
    }
    format.print(&rows, &table, "No repositories there.", output)?;
    let new = found.iter().filter(|one| one.kind == Kind::Repository && !known.contains_key(&one.path)).count();
    if format == Format::Table && new > 0 {
        output.error_line(&format!("{new} of them are not listed; --add adds them."));
    }
    Ok(())
}
