//! Changes of the manifest's text: an entry more, an entry less, everything else as it was, comments and order included.
//! Whatever comes out is read again before it is written.

use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths::{Home, plain, private_file};
use rustix::fs::{FlockOperation, flock};
use serde_saphyr::Spanned;

use super::{Manifest, Places, Repository};

/// An entry that is to be added. `path` is written as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRepository {
    /// Unique name.
    pub name: String,
    /// Folder: absolute, from `~`, or relative to the manifest.
    pub path: String,
    /// What it is.
    pub role: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Short name.
    pub nickname: Option<String>,
    /// One sentence.
    pub description: String,
    /// What comes before it.
    pub depends_on: Vec<String>,
}

/// The manifest, to be changed by one process at a time.
#[derive(Debug)]
pub struct Editor {
    file: PathBuf,
    user_home: PathBuf,
    text: String,
    manifest: Manifest,
    _lock: std::fs::File,
}

impl Editor {
    /// Opens the manifest that counts at these places; without any, the one in the home will be made.
    ///
    /// # Errors
    /// Config, when it is wrong already; unavailable, when the home cannot be written.
    pub fn open(places: &Places) -> Result<Self> {
        let home = Home::at(places.home.clone());
        home.ensure(&places.home)?;
        let lock = places.home.join("repos.lock");
        let fault = |error: std::io::Error| {
            Fault::unavailable(format!("cannot write {}: {}", lock.display(), plain(&error)))
                .hint("make the home writable and free some space, or move the home")
        };
        let held = private_file().write(true).create(true).truncate(false).open(&lock).map_err(fault)?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| fault(error.into()))?;
        let manifest = Manifest::load(places)?;
        let file = manifest.source.clone().unwrap_or_else(|| places.home.join("repos.yaml"));
        let text = match &manifest.source {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Fault::config(format!("cannot read {}: {}", file.display(), plain(&error))))?,
            None => "# Repositories; 'mahavishnu repos add' keeps this list, and so can you.\nrepos: []\n".to_owned(),
        };
        Ok(Self { file, user_home: places.user_home.clone(), text, manifest, _lock: held })
    }

    /// The manifest with the changes so far.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file that will be written.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds an entry at the end of the list.
    ///
    /// # Errors
    /// Conflict, when name or folder are there already; user, when something of it is wrong.
    pub fn add(&mut self, new: &NewRepository) -> Result<()> {
        for name in std::iter::once(&new.name).chain(&new.nickname) {
            if let Some(known) = self.manifest.repos.iter().find(|repo| repo.is_called(name)) {
                return Err(Fault::conflict(format!("'{name}' is the name of {} already", known.path.display()))
                    .hint("give another one with --name"));
            }
        }
        for needed in &new.depends_on {
            self.manifest.find(needed)?;
        }
        let changed = with_entry(&self.text, new).ok_or_else(|| self.unusual())?;
        let before = self.manifest.repos.clone();
        let is_as_meant = |after: &[Repository]| {
            after.len() == before.len() + 1
                && after[..before.len()] == before[..]
                && after[before.len()].name == new.name
        };
        self.take(changed, &is_as_meant)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// Not found; conflict, when others depend on it.
    pub fn remove(&mut self, name: &str) -> Result<Repository> {
        let repo = self.manifest.find(name)?.clone();
        let needed: Vec<&str> = self
            .manifest
            .repos
            .iter()
            .filter(|other| other.depends_on.contains(&repo.name))
            .map(|other| other.name.as_str())
            .collect();
        if !needed.is_empty() {
            return Err(Fault::conflict(format!("{} depends on {}", needed.join(", "), repo.name))
                .hint(format!("remove that from depends_on in {} first", self.file.display())));
        }
        let line = line_of(&self.text, &repo.name);
        let changed = line.and_then(|line| without_entry(&self.text, line)).ok_or_else(|| self.unusual())?;
        let left: Vec<Repository> = self.manifest.repos.iter().filter(|other| **other != repo).cloned().collect();
        self.take(changed, &|after: &[Repository]| after == left)?;
        Ok(repo)
    }

    /// Writes the changes at once: readers see the old text or the new.
    ///
    /// # Errors
    /// Unavailable, when the file cannot be written; it is then as it was.
    pub fn save(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        // A link stays one, and its file keeps its access rights.
        let real = std::fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let mode = std::fs::metadata(&real).map(|meta| meta.permissions().mode()).ok();
        oneiric::paths::write_atomically(&real, self.text.as_bytes())
            .and_then(|()| match mode {
                Some(mode) => std::fs::set_permissions(&real, std::fs::Permissions::from_mode(mode & 0o777)),
                None => Ok(()),
            })
            .map_err(|error| {
                Fault::unavailable(format!("cannot write {}: {}", real.display(), plain(&error)))
                    .hint("make it and its folder writable")
            })
    }

    fn take(&mut self, changed: String, is_as_meant: &dyn Fn(&[Repository]) -> bool) -> Result<()> {
        let manifest = Manifest::parse(&changed, &self.file, &self.user_home).map_err(|fault| {
            Fault::user(without_place(&self.file, fault.message()))
                .hint(fault.advice().unwrap_or("nothing was changed"))
        })?;
        if !is_as_meant(&manifest.repos) {
            return Err(self.unusual());
        }
        (self.text, self.manifest) = (changed, manifest);
        Ok(())
    }

    fn unusual(&self) -> Fault {
        Fault::config(format!("{} is written in a way that cannot be edited safely", self.file.display()))
            .hint("write repos as a list with one entry a line (- name: …), or edit it by hand")
    }
}

/// The line in the changed text means nothing to who never saw that text.
fn without_place(file: &Path, message: &str) -> String {
    let rest = message.strip_prefix(&file.display().to_string()).and_then(|rest| rest.strip_prefix(':'));
    let words = rest.and_then(|rest| rest.split_once(": ")).filter(|(line, _)| line.parse::<u64>().is_ok());
    words.map_or(message, |(_, words)| words).to_owned()
}

/// The list in the text: line of `repos:`, the lines of its entries, their indentation.
struct Block {
    header: usize,
    /// First line of each entry.
    items: Vec<usize>,
    /// The line after the last one that belongs to the list.
    end: usize,
    indent: usize,
}

fn block(lines: &[&str]) -> Option<Block> {
    let header = lines.iter().position(|line| {
        ["repos:", "\"repos\":", "'repos':"].iter().any(|key| {
            line.strip_prefix(key).is_some_and(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t', '\r']))
        })
    })?;
    let mut block = Block { header, items: Vec::new(), end: header + 1, indent: 0 };
    for (number, line) in lines.iter().enumerate().skip(header + 1) {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let is_item = text.starts_with("- ") || text.trim_end() == "-";
        if block.items.is_empty() {
            if !is_item {
                break;
            }
            block.indent = indent;
        }
        match indent.cmp(&block.indent) {
            std::cmp::Ordering::Less => break,
            std::cmp::Ordering::Equal if is_item => block.items.push(number),
            std::cmp::Ordering::Equal => break,
            std::cmp::Ordering::Greater => {}
        }
        block.end = number + 1;
    }
    Some(block)
}

/// What stands behind `repos:`, without a comment.
fn rest_of_header(line: &str) -> &str {
    let rest = line.split_once(':').map_or("", |(_, rest)| rest);
    rest.split(" #").next().unwrap_or("").trim()
}

fn with_entry(text: &str, new: &NewRepository) -> Option<String> {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<&str> = text.lines().collect();
    let Some(block) = block(&lines) else {
        if lines.iter().any(|line| line.starts_with('{') || line.starts_with("---") || line.starts_with("...")) {
            return None;
        }
        let entry = entry(new, 2, newline);
        let between = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        return Some(format!("{text}{between}repos:{newline}{entry}"));
    };
    let header = lines[block.header];
    let header_now = match rest_of_header(header) {
        "" => header.to_owned(),
        "[]" | "null" | "~" if block.items.is_empty() => {
            header.replacen(rest_of_header(header), "", 1).trim_end().to_owned()
        }
        _ => return None,
    };
    let indent = if block.items.is_empty() { 2 } else { block.indent };
    let entry = entry(new, indent, newline);
    let entry = entry.trim_end_matches(['\r', '\n']);
    lines[block.header] = &header_now;
    lines.insert(block.end, entry);
    Some(lines.join(newline) + newline)
}

fn entry(new: &NewRepository, indent: usize, newline: &str) -> String {
    let list = |items: &[String]| items.iter().map(|item| scalar(item)).collect::<Vec<_>>().join(", ");
    let mut fields = vec![format!("name: {}", scalar(&new.name)), format!("path: {}", scalar(&new.path))];
    fields.extend(new.nickname.iter().map(|nickname| format!("nickname: {}", scalar(nickname))));
    fields.push(format!("role: {}", scalar(&new.role)));
    if !new.tags.is_empty() {
        fields.push(format!("tags: [{}]", list(&new.tags)));
    }
    if !new.description.is_empty() {
        fields.push(format!("description: {}", scalar(&new.description)));
    }
    if !new.depends_on.is_empty() {
        fields.push(format!("depends_on: [{}]", list(&new.depends_on)));
    }
    let space = " ".repeat(indent);
    let lines = fields.iter().enumerate().map(|(n, field)| match n {
        0 => format!("{space}- {field}{newline}"),
        _ => format!("{space}  {field}{newline}"),
    });
    lines.collect()
}

/// A text as YAML: plain when that is the same text for every reader, else in double quotes as JSON has them.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '+'))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    let home = text
        .strip_prefix("~/")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.+".contains(c)));
    if plain || home { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn without_entry(text: &str, line: usize) -> Option<String> {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.lines().collect();
    let block = block(&lines)?;
    let position = block.items.iter().rposition(|start| *start < line)?;
    let start = block.items[position];
    let mut end = block.items.get(position + 1).copied().unwrap_or(block.end);
    // Comments and empty lines before the next entry belong to that one.
    while end > start + 1 && (lines[end - 1].trim().is_empty() || lines[end - 1].trim_start().starts_with('#')) {
        end -= 1;
    }
    let header = if block.items.len() == 1 && rest_of_header(lines[block.header]).is_empty() {
        lines[block.header].replacen(':', ": []", 1)
    } else {
        lines[block.header].to_owned()
    };
    let kept = lines.iter().enumerate().filter(|(n, _)| !(start..end).contains(n));
    let kept = kept.map(|(n, line)| if n == block.header { header.as_str() } else { line });
    Some(kept.collect::<Vec<_>>().join(newline) + newline)
}

/// The line (from 1) of a repository's name.
fn line_of(text: &str, name: &str) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Names {
        repos: Vec<Name>,
    }
    #[derive(serde::Deserialize)]
    struct Name {
        name: Spanned<String>,
    }
    let names: Names = serde_saphyr::from_str(text).ok()?;
    let found = names.repos.into_iter().find(|repo| repo.name.value == name)?;
    usize::try_from(found.name.referenced.line()).ok()
}

#[cfg(test)]
mod tests;
