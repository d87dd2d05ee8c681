//! `list-repos`, `list-roles`, `show-role`, and `%repos`.

pub(super) mod keep;
mod status;

use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_shell::nearest::nearest;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::repos::{Manifest, Repository};

pub(crate) use self::status::{asking, say_where};

use super::format::Format;
use super::{Needs, Token};
use crate::world::World;

/// Missing folders that are named.
const WARNINGS: usize = 20;

/// List repositories
#[derive(clap::Args, Debug)]
pub(super) struct ListRepos {
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those with this role
    #[arg(long)]
    role: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    token: Token,
}

/// List roles
#[derive(clap::Args, Debug)]
pub(super) struct ListRoles {
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    token: Token,
}

/// Show one role
#[derive(clap::Args, Debug)]
pub(super) struct ShowRole {
    /// Its name
    name: String,
    #[command(flatten)]
    token: Token,
}

impl ListRepos {
    pub(super) fn needs(&self) -> Needs<'_> {
        self.token.needs("list-repos", Scope::Read)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        list(world, self.tag.as_deref(), self.role.as_deref(), self.format, output)
    }
}

impl ListRoles {
    pub(super) fn needs(&self) -> Needs<'_> {
        self.token.needs("list-roles", Scope::Read)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let manifest = world.manifest()?;
        let mut table = Table::new(["Role", "Repositories", "Capabilities", "Description"]).numeric(1);
        let rows = roles(&manifest);
        for row in &rows {
            let text = |name: &str| oneiric_shell::table::cell_text(&row[name]);
            let capabilities = row["capabilities"].as_array().into_iter().flatten().filter_map(|word| word.as_str());
            let capabilities = capabilities.collect::<Vec<_>>().join(", ");
            table.row([text("name"), text("repositories"), capabilities, text("description")]);
        }
        self.format.print(&rows, &table, &Manifest::how_to_begin(&world.places()), output)
    }
}

impl ShowRole {
    pub(super) fn needs(&self) -> Needs<'_> {
        self.token.needs("show-role", Scope::Read)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let manifest = world.manifest()?;
        let names = manifest.role_names();
        if !names.contains(&self.name.as_str()) {
            let near = nearest(&self.name, names.iter().copied());
            let hint = match (near.first(), names.is_empty()) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, true) => "the manifest has no roles".to_owned(),
                (None, false) => format!("there are: {}", names.join(", ")),
            };
            return Err(Fault::not_found(format!("no role '{}'", self.name)).hint(hint));
        }
        output.line(&output.terminal().strong(&self.name));
        if let Some(role) = manifest.roles.iter().find(|role| role.name == self.name) {
            if !role.description.is_empty() {
                output.line(&role.description);
            }
            if !role.capabilities.is_empty() {
                output.line(&format!("Capabilities: {}", role.capabilities.join(", ")));
            }
        }
        let repos = manifest.select(None, Some(&self.name))?;
        output.line(&match repos.is_empty() {
            true => "No repository has it.".to_owned(),
            false => table(&repos).render(output.terminal()),
        });
        Ok(())
    }
}

/// Roles as rows for programs.
pub(crate) fn roles(manifest: &Manifest) -> Vec<serde_json::Value> {
    let row = |name: &str| {
        let declared = manifest.roles.iter().find(|role| role.name == name);
        serde_json::json!({
            "name": name,
            "repositories": manifest.repos.iter().filter(|repo| repo.role == name).count(),
            "capabilities": declared.map(|role| role.capabilities.clone()).unwrap_or_default(),
            "description": declared.map(|role| role.description.clone()).unwrap_or_default(),
        })
    };
    manifest.role_names().into_iter().map(row).collect()
}

/// `%repos`: the repositories as a table.
pub(crate) fn show(world: &World, tag: Option<&str>, role: Option<&str>, output: &Output) -> Result<()> {
    list(world, tag, role, Format::Table, output)
}

fn list(world: &World, tag: Option<&str>, role: Option<&str>, format: Format, output: &Output) -> Result<()> {
    let manifest = world.manifest()?;
    let repos = manifest.select(tag, role)?;
    let none = match manifest.repos.is_empty() {
        true => Manifest::how_to_begin(&world.places()),
        false => "No repository has both that tag and that role.".to_owned(),
    };
    format.print(&repos, &table(&repos), &none, output)?;
    let missing: Vec<String> = repos.iter().filter_map(|repo| manifest.missing(repo)).collect();
    for what in missing.iter().take(WARNINGS) {
        output.error_line(&format!("warning: {what}"));
    }
    if missing.len() > WARNINGS {
        output.error_line(&format!("warning: {} more folders are missing", missing.len() - WARNINGS));
    }
    Ok(())
}

/// Repositories as a table. A folder that is not there is said to be missing.
pub(crate) fn table(repos: &[&Repository]) -> Table {
    let nicknames = repos.iter().any(|repo| repo.nickname.is_some());
    let with_nickname = |name: &str, nickname: &str| {
        std::iter::once(name.to_owned()).chain(nicknames.then(|| nickname.to_owned())).collect::<Vec<_>>()
    };
    let rest = ["Role", "Tags", "Path", "Description"].map(str::to_owned);
    let mut table = Table::new(with_nickname("Name", "Nickname").into_iter().chain(rest));
    for repo in repos {
        let missing = if repo.path.is_dir() { "" } else { " (missing)" };
        let rest = [
            repo.role.clone(),
            repo.tags.join(", "),
            format!("{}{missing}", repo.path.display()),
            repo.description.clone(),
        ];
        let nickname = repo.nickname.as_deref().unwrap_or_default();
        table.row(with_nickname(&repo.name, nickname).into_iter().chain(rest));
    }
    table
}
