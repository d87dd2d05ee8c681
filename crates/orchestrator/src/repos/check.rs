//! What a manifest must be beyond its syntax: unique names, known roles, an order without circles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oneiric::fault::{Fault, Result};
use serde_saphyr::Spanned;

use super::{RawManifest, Repository};

/// A fault at a line of the manifest; line 0 is unknown.
pub(super) fn wrong(file: &Path, line: u64, what: &str) -> Fault {
    let place = if line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) };
    Fault::config(format!("{place}: {what}"))
}

pub(super) fn check(raw: &RawManifest, file: &Path) -> Result<()> {
    let at = |name: &Spanned<String>, what: String| wrong(file, name.referenced.line(), &what);
    let mut roles = BTreeSet::new();
    for role in &raw.roles {
        named(&role.name, "a role", file)?;
        if !roles.insert(role.name.value.as_str()) {
            return Err(at(&role.name, format!("role '{}' is listed twice", role.name.value)));
        }
    }
    // Of each name: whose it is, as a nickname or not, and on which line.
    let mut names: BTreeMap<&str, (usize, bool, u64)> = BTreeMap::new();
    for (number, repo) in raw.repos.iter().enumerate() {
        let nickname = repo.nickname.iter().map(|name| (name, true));
        for (name, is_nickname) in std::iter::once((&repo.name, false)).chain(nickname) {
            named(name, "a repository", file)?;
            let known = names.insert(&name.value, (number, is_nickname, name.referenced.line()));
            let Some((other, was_nickname, line)) = known.filter(|(other, ..)| *other != number) else { continue };
            let (own, other) = (&repo.name.value, &raw.repos[other].name.value);
            let what = match (is_nickname, was_nickname) {
                (false, false) => format!("repository '{own}' is listed twice, first on line {line}"),
                (true, false) => {
                    format!("the nickname '{}' of repository '{own}' is the name of one on line {line}", name.value)
                }
                (false, true) => format!("the name '{own}' is the nickname of repository '{other}' on line {line}"),
                (true, true) => {
                    format!(
                        "the nickname '{}' of repository '{own}' is that of '{other}' on line {line}, too",
                        name.value
                    )
                }
            };
            let hint = if is_nickname || was_nickname {
                "give one of them another nickname"
            } else {
                "give one of them another name"
            };
            return Err(at(name, what).hint(hint));
        }
        if repo.path.value.trim().is_empty() {
            return Err(at(&repo.path, format!("the path of repository '{}' is empty", repo.name.value)));
        }
        if repo.role.value.trim().is_empty() {
            return Err(at(&repo.role, format!("the role of repository '{}' is empty", repo.name.value)));
        }
        if !roles.is_empty() && !roles.contains(repo.role.value.as_str()) {
            let known: Vec<&str> = roles.iter().copied().collect();
            let what = format!("repository '{}' has the unknown role '{}'", repo.name.value, repo.role.value);
            return Err(at(&repo.role, what).hint(format!("use one of {}, or add it to roles", known.join(", "))));
        }
        for tag in &repo.tags {
            named(tag, "a tag", file)?;
        }
    }
    order(raw, file)
}

/// No folder is listed under two names.
pub(super) fn folders(repos: &[Repository], lines: &[u64], file: &Path) -> Result<()> {
    let mut known: BTreeMap<&Path, usize> = BTreeMap::new();
    for (number, repo) in repos.iter().enumerate() {
        let Some(first) = known.insert(&repo.path, number) else { continue };
        let line = |number: usize| lines.get(number).copied().unwrap_or(0);
        let (name, other, path) = (&repo.name, &repos[first].name, repo.path.display());
        let what = format!("repository '{name}' has the path of '{other}' on line {}: {path}", line(first));
        return Err(wrong(file, line(number), &what).hint("list a folder once; 'nickname' gives it a second name"));
    }
    Ok(())
}

/// Names are one word: they stand on command lines and in tables.
fn named(name: &Spanned<String>, what: &str, file: &Path) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '@');
    if !name.value.is_empty()
        && name.value.len() <= 100
        && name.value.chars().all(allowed)
        && !name.value.starts_with('-')
    {
        return Ok(());
    }
    let what = format!("'{}' is no name of {what}", name.value.escape_debug());
    Err(wrong(file, name.referenced.line(), &what).hint("use letters, digits and - _ . / + @, without blanks"))
}

/// Every dependency exists, and none leads back to where it began.
fn order(raw: &RawManifest, file: &Path) -> Result<()> {
    let index: BTreeMap<&str, usize> =
        raw.repos.iter().enumerate().map(|(index, repo)| (repo.name.value.as_str(), index)).collect();
    for repo in &raw.repos {
        for needed in &repo.depends_on {
            if !index.contains_key(needed.value.as_str()) {
                let what =
                    format!("repository '{}' depends on '{}', which is not listed", repo.name.value, needed.value);
                return Err(wrong(file, needed.referenced.line(), &what).hint("list it, or remove the dependency"));
            }
        }
    }
    // 0: not seen; 1: on the path from the start; 2: seen, leads to no circle.
    let mut state = vec![0_u8; raw.repos.len()];
    for start in 0..raw.repos.len() {
        let mut path = vec![(start, 0)];
        while let Some(top) = path.last_mut() {
            let (repo, next) = *top;
            state[repo] = 1;
            let Some(needed) = raw.repos[repo].depends_on.get(next) else {
                state[repo] = 2;
                path.pop();
                continue;
            };
            top.1 += 1;
            let needed_index = index[needed.value.as_str()];
            match state[needed_index] {
                0 => path.push((needed_index, 0)),
                1 => {
                    let circle = path.iter().skip_while(|(repo, _)| *repo != needed_index).map(|(repo, _)| *repo);
                    let mut circle: Vec<&str> = circle.map(|repo| raw.repos[repo].name.value.as_str()).collect();
                    circle.push(&needed.value);
                    let what = format!("depends_on goes in a circle: {}", circle.join(" → "));
                    return Err(wrong(file, needed.referenced.line(), &what).hint("remove one of these dependencies"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
