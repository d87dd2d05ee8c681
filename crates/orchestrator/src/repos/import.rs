//! Lists of repositories that other tools keep: manifests of our own kind, mr (`.mrconfig`), vcstool (`.repos`), gita
//! (`repos.csv`), or a path a line.

use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::{expand_home, plain};
use serde::Deserialize;
use serde_json::Value;

/// Largest file that is read.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// An entry of such a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Line of the file, or 0.
    pub line: usize,
    /// Folder, absolute.
    pub path: PathBuf,
    /// Name, when the list has one.
    pub name: Option<String>,
    /// What it is, when the list says so.
    pub role: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Short name.
    pub nickname: Option<String>,
    /// One sentence.
    pub description: String,
    /// What comes before it.
    pub depends_on: Vec<String>,
}

/// Which kind of list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A manifest with `repos`.
    Manifest,
    /// vcstool's `repositories`.
    Vcstool,
    /// mr's sections.
    Mr,
    /// gita's table.
    Gita,
    /// A path a line.
    Lines,
}

impl Source {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "a manifest",
            Self::Vcstool => "a vcstool list",
            Self::Mr => "an mr configuration",
            Self::Gita => "a gita table",
            Self::Lines => "a list of paths",
        }
    }
}

/// Reads a list. Relative paths are relative to its folder.
///
/// # Errors
/// Not found; user, when it is no such list.
pub fn import(file: &Path, user_home: &Path) -> Result<(Source, Vec<Entry>)> {
    let unreadable =
        |error: std::io::Error| Fault::not_found(format!("cannot read {}: {}", file.display(), plain(&error)));
    let meta = std::fs::metadata(file).map_err(unreadable)?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(Fault::user(format!("{} is no list of repositories: no file of at most 4 MiB", file.display())));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    parse(&text, file, user_home)
}

/// Reads a list's text.
///
/// # Errors
/// As [`import`].
pub fn parse(text: &str, file: &Path, user_home: &Path) -> Result<(Source, Vec<Entry>)> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let place = |path: &str| super::clean(&folder.join(expand_home(path.trim(), user_home)));
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let source = match () {
        () if name.ends_with(".csv") => Source::Gita,
        () if has_key(text, "repositories") => Source::Vcstool,
        () if has_key(text, "repos") => Source::Manifest,
        () if text.lines().any(|line| is_section(line).is_some()) => Source::Mr,
        () => Source::Lines,
    };
    let entries = match source {
        Source::Manifest => manifest(text, file, &place)?,
        Source::Vcstool => vcstool(text, file, &place)?,
        Source::Mr => numbered(text)
            .filter_map(|(line, text)| Some((line, is_section(text)?)))
            .filter(|(_, section)| !matches!(*section, "DEFAULT" | "ALIAS"))
            .map(|(line, path)| Entry { line, path: place(path), ..Entry::default() })
            .collect(),
        Source::Gita => numbered(text)
            .filter_map(|(line, text)| {
                let mut cells = text.split(',').map(|cell| cell.trim().trim_matches('"'));
                let path = cells.next().filter(|path| !path.is_empty() && *path != "path")?;
                let name = cells.next().filter(|name| !name.is_empty()).map(str::to_owned);
                Some(Entry { line, path: place(path), name, ..Entry::default() })
            })
            .collect(),
        Source::Lines => {
            numbered(text).map(|(line, path)| Entry { line, path: place(path), ..Entry::default() }).collect()
        }
    };
    if entries.is_empty() {
        return Err(Fault::user(format!("{} lists no repositories", file.display())).hint(
            "it can be a manifest (repos), an mr configuration, a vcstool list, a gita table, or a path a line",
        ));
    }
    Ok((source, entries))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}

fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
}

fn is_section(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|name| !name.is_empty())
}

fn no_yaml(file: &Path, error: &serde_saphyr::Error) -> Fault {
    let line = error.location().map_or(0, |location| location.line());
    let what = error.without_snippet().to_string();
    let what = what.lines().next().unwrap_or("it is no YAML").to_owned();
    Fault::user(format!("{}:{line}: {what}", file.display()))
}

/// Leniently: another program's manifest may have fields that this one does not know.
fn manifest(text: &str, file: &Path, place: &dyn Fn(&str) -> PathBuf) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct List {
        repos: Vec<Repo>,
    }
    #[derive(Deserialize)]
    struct Repo {
        name: Option<String>,
        path: serde_saphyr::Spanned<String>,
        role: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
        nickname: Option<String>,
        #[serde(default)]
        description: String,
        #[serde(default)]
        depends_on: Vec<String>,
    }
    let list: List = serde_saphyr::from_str(text).map_err(|error| no_yaml(file, &error))?;
    let entry = |repo: Repo| Entry {
        line: usize::try_from(repo.path.referenced.line()).unwrap_or(0),
        path: place(&repo.path.value),
        name: repo.name,
        role: repo.role,
        tags: repo.tags,
        nickname: repo.nickname,
        description: repo.description,
        depends_on: repo.depends_on,
    };
    Ok(list.repos.into_iter().map(entry).collect())
}

fn vcstool(text: &str, file: &Path, place: &dyn Fn(&str) -> PathBuf) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct List {
        repositories: std::collections::BTreeMap<String, Value>,
    }
    let list: List = serde_saphyr::from_str(text).map_err(|error| no_yaml(file, &error))?;
    let line_of = |key: &str| {
        let is_key = |line: &str| line.trim().trim_end_matches(':').trim_matches(['"', '\'']) == key;
        text.lines().position(is_key).map_or(0, |line| line + 1)
    };
    let is_git = |value: &Value| value["type"].as_str().is_none_or(|kind| kind == "git");
    let entries = list.repositories.iter().filter(|(_, value)| is_git(value));
    Ok(entries.map(|(path, _)| Entry { line: line_of(path), path: place(path), ..Entry::default() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, file: &str) -> (Source, Vec<(usize, String)>) {
        let (source, entries) = parse(text, Path::new(file), Path::new("/home/ada")).unwrap();
        (source, entries.iter().map(|entry| (entry.line, entry.path.display().to_string())).collect())
    }

    fn at(entries: &[(usize, &str)]) -> Vec<(usize, String)> {
        entries.iter().map(|(line, path)| (*line, (*path).to_owned())).collect()
    }

    #[test]
    fn the_lists_of_other_tools_are_understood() {
        let mr = "[DEFAULT]\ngit_gc = git gc\n\n[src/shop]\ncheckout = git clone x\n[~/site]\n";
        assert_eq!(
            paths(mr, "/home/ada/.mrconfig"),
            (Source::Mr, at(&[(4, "/home/ada/src/shop"), (6, "/home/ada/site")]))
        );
        let vcs = "repositories:\n  src/core:\n    type: git\n    url: https://x\n  old:\n    type: hg\n";
        assert_eq!(paths(vcs, "/w/all.repos"), (Source::Vcstool, at(&[(2, "/w/src/core")])));
        assert_eq!(
            paths("/a/shop,shop,,\n/a/core,core,m,x\n", "/c/repos.csv"),
            (Source::Gita, at(&[(1, "/a/shop"), (2, "/a/core")]))
        );
        assert_eq!(
            paths("# mine\n../x\n\n~/y\n", "/w/list.txt"),
            (Source::Lines, at(&[(2, "/x"), (4, "/home/ada/y")]))
        );
        let own = "repos:\n  - name: a\n    path: a\n    unknown: 3\n    tags: [x]\n";
        assert_eq!(paths(own, "/w/repos.yaml"), (Source::Manifest, at(&[(3, "/w/a")])));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "# nothing\n", "repos: 3\n", "repositories: [x]\n", "repos: []\n"] {
            assert!(parse(text, Path::new("/w/x"), Path::new("/home")).is_err(), "{text}");
        }
    }
}
