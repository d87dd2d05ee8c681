//! The manifest of repositories: read, checked as a whole, selected from.
//!
//! It is `settings/ecosystem.yaml` below the working directory, else `settings/repos.yaml` there, else `repos.yaml` in
//! the program's home. The first that exists counts; a folder without any has no repositories.

mod check;
pub mod edit;
mod git;
pub mod import;
pub mod scan;
pub mod status;

use std::io;
use std::path::{Component, Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

/// Largest manifest that is read.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// Unique name.
    pub name: String,
    /// Folder, absolute.
    pub path: PathBuf,
    /// Name of the package it builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Short name, unique like the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// What it is in the ecosystem.
    pub role: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// One sentence.
    pub description: String,
    /// Names of repositories that come before it.
    pub depends_on: Vec<String>,
    /// Free word such as `active` or `archived`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Repository {
    /// Whether this is its name or its nickname.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.nickname.as_deref() == Some(name)
    }
}

/// What repositories of a kind do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Unique name.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// What they can do.
    pub capabilities: Vec<String>,
}

/// All repositories and roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The file; `None` when there is none.
    pub source: Option<PathBuf>,
    /// In the file's order.
    pub repos: Vec<Repository>,
    /// In the file's order.
    pub roles: Vec<Role>,
    /// Where the path of each repository is written: a line of the file, in the order of `repos`.
    lines: Vec<u64>,
}

/// Where manifests are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Working directory.
    pub cwd: PathBuf,
    /// The program's home.
    pub home: PathBuf,
    /// What `~` means.
    pub user_home: PathBuf,
}

impl Places {
    /// The files, first choice first.
    #[must_use]
    pub fn candidates(&self) -> [PathBuf; 3] {
        [self.cwd.join("settings/ecosystem.yaml"), self.cwd.join("settings/repos.yaml"), self.home.join("repos.yaml")]
    }
}

#[derive(Deserialize)]
struct RawManifest {
    #[serde(default, deserialize_with = "perhaps_empty")]
    repos: Vec<RawRepository>,
    #[serde(default, deserialize_with = "perhaps_empty")]
    roles: Vec<RawRole>,
}

/// `repos:` without anything behind it is an empty list.
fn perhaps_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRepository {
    name: Spanned<String>,
    path: Spanned<String>,
    package: Option<String>,
    nickname: Option<Spanned<String>>,
    role: Spanned<String>,
    #[serde(default)]
    tags: Vec<Spanned<String>>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    depends_on: Vec<Spanned<String>>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    capabilities: Vec<String>,
}

impl Manifest {
    /// Reads the manifest that counts at these places.
    ///
    /// # Errors
    /// [`oneiric::fault::FaultKind::Config`] that names file and line.
    pub fn load(places: &Places) -> Result<Self> {
        for file in places.candidates() {
            let unreadable = |error: io::Error| {
                Fault::config(format!("cannot read {}: {}", file.display(), plain(&error)))
                    .hint("make it readable, or move it away")
            };
            match std::fs::metadata(&file) {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(unreadable(error)),
                Ok(meta) if meta.len() > MAX_BYTES => {
                    let message = format!("{} has more than {} MiB", file.display(), MAX_BYTES >> 20);
                    return Err(
                        Fault::config(message).hint("a manifest is a list of repositories; move other data away")
                    );
                }
                Ok(_) => {
                    let text = text_of(std::fs::read(&file).map_err(unreadable)?, &file)?;
                    return Self::parse(&text, &file, &places.user_home);
                }
            }
        }
        Ok(Self::default())
    }

    /// Reads a manifest's text. `file` is named in errors; its folder is what relative paths are relative to.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn parse(text: &str, file: &Path, user_home: &Path) -> Result<Self> {
        let raw: Option<RawManifest> = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let what = error.without_snippet().to_string();
            let what = what.lines().next().unwrap_or("it is no YAML").to_owned();
            check::wrong(file, line, &what)
                .hint("repos[] takes name, path, role, tags[], description, package, nickname, depends_on[], status")
        })?;
        let raw = raw.unwrap_or(RawManifest { repos: Vec::new(), roles: Vec::new() });
        check::check(&raw, file)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let lines: Vec<u64> = raw.repos.iter().map(|repo| repo.path.referenced.line()).collect();
        let values = |items: Vec<Spanned<String>>| items.into_iter().map(|item| item.value).collect();
        let repos: Vec<Repository> = raw
            .repos
            .into_iter()
            .map(|repo| Repository {
                path: clean(&folder.join(oneiric::paths::expand_home(&repo.path.value, user_home))),
                name: repo.name.value,
                package: repo.package,
                nickname: repo.nickname.map(|nickname| nickname.value),
                role: repo.role.value,
                tags: values(repo.tags),
                description: repo.description,
                depends_on: values(repo.depends_on),
                status: repo.status,
            })
            .collect();
        check::folders(&repos, &lines, file)?;
        let roles = raw.roles.into_iter().map(|role| Role {
            name: role.name.value,
            description: role.description,
            capabilities: role.capabilities,
        });
        Ok(Self { source: Some(file.to_path_buf()), repos, roles: roles.collect(), lines })
    }

    /// Repositories with this tag and this role, in the file's order.
    ///
    /// # Errors
    /// Not found, with the names there are, when no repository has the tag or nothing has the role.
    pub fn select(&self, tag: Option<&str>, role: Option<&str>) -> Result<Vec<&Repository>> {
        let known = self.tags();
        if let Some(tag) = tag.filter(|tag| !known.contains(tag)) {
            return Err(unknown("repository has the tag", tag, &known));
        }
        let roles = self.role_names();
        if let Some(role) = role.filter(|role| !roles.contains(role)) {
            return Err(unknown("repository has the role", role, &roles));
        }
        let has_tag = |repo: &&Repository| tag.is_none_or(|tag| repo.tags.iter().any(|has| has == tag));
        let has_role = |repo: &&Repository| role.is_none_or(|role| repo.role == role);
        Ok(self.repos.iter().filter(has_tag).filter(has_role).collect())
    }

    /// The repository with this name or nickname.
    ///
    /// # Errors
    /// Not found, with the names there are.
    pub fn find(&self, name: &str) -> Result<&Repository> {
        self.repos.iter().find(|repo| repo.is_called(name)).ok_or_else(|| {
            let names: Vec<&str> = self.repos.iter().map(|repo| repo.name.as_str()).collect();
            unknown("repository is called", name, &names)
        })
    }

    /// What is wrong with the folder of a repository, if it is not there: where its path is written, and the path.
    #[must_use]
    pub fn missing(&self, repo: &Repository) -> Option<String> {
        if repo.path.is_dir() {
            return None;
        }
        let what = if repo.path.exists() { "is no folder" } else { "does not exist" };
        let known = self.repos.iter().position(|known| known.name == repo.name);
        let place = match (&self.source, known.and_then(|number| self.lines.get(number))) {
            (Some(file), Some(line)) if *line > 0 => format!("{}:{line}: ", file.display()),
            _ => String::new(),
        };
        Some(format!("{place}{} {what}", repo.path.display()))
    }

    /// All tags, sorted.
    #[must_use]
    pub fn tags(&self) -> Vec<&str> {
        sorted(self.repos.iter().flat_map(|repo| repo.tags.iter().map(String::as_str)))
    }

    /// All roles that are declared or used, sorted.
    #[must_use]
    pub fn role_names(&self) -> Vec<&str> {
        let declared = self.roles.iter().map(|role| role.name.as_str());
        sorted(declared.chain(self.repos.iter().map(|repo| repo.role.as_str())))
    }

    /// What to say when there is no repository, and what to do.
    #[must_use]
    pub fn how_to_begin(places: &Places) -> String {
        format!("No repositories. {}", Self::how_to_list(places))
    }

    /// How repositories come into the manifest.
    #[must_use]
    pub fn how_to_list(places: &Places) -> String {
        let [first, _, last] = places.candidates();
        format!(
            "'mahavishnu repos scan FOLDER --add' finds them and lists them. Or list them in {} or {}:\n\n  repos:\n    - name: {}\n      path: {}\n      role: app\n      tags: [example]\n      description: What it is for",
            first.display(),
            last.display(),
            places.cwd.file_name().map_or_else(|| "example".into(), |name| name.to_string_lossy()),
            places.cwd.display(),
        )
    }
}

/// A manifest's bytes as text.
fn text_of(bytes: Vec<u8>, file: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        check::wrong(file, line, "what stands there is no UTF-8").hint("write the file in UTF-8")
    })
}

/// A path without `.` and `..` as far as its text alone tells; a folder that need not exist cannot be resolved.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Most names that are told of many.
const TOLD: usize = 12;

fn unknown(what: &str, name: &str, known: &[&str]) -> Fault {
    let fault = Fault::not_found(format!("no {what} '{}'", name.escape_debug()));
    match known {
        [] => fault,
        few if few.len() <= TOLD => fault.hint(format!("there are: {}", few.join(", "))),
        many => {
            let typed = name.to_lowercase();
            let alike = |known: &&&str| {
                let known = known.to_lowercase();
                known.contains(&typed) || (known.len() > 2 && typed.contains(&known))
            };
            let near: Vec<&str> = many.iter().filter(alike).take(TOLD).copied().collect();
            let count = many.len();
            fault.hint(match near.as_slice() {
                [] => format!("there are {count}, {} among them", many[..TOLD].join(", ")),
                near => format!("of {count} these are like it: {}", near.join(", ")),
            })
        }
    }
}

#[cfg(test)]
mod tests;
