//! Which setting a key or a variable means, and which one it was probably meant to be.

use super::{Catalog, Spec};

impl Catalog {
    /// The setting whose path, or one of whose aliases, is `path`.
    pub(super) fn resolve(&self, path: &str) -> Option<usize> {
        self.specs.iter().position(|spec| spec.path == path || spec.aliases.contains(&path))
    }

    /// The setting that an argument names, by path or flat name.
    pub(super) fn resolve_flat(&self, name: &str) -> Option<usize> {
        self.resolve(name).or_else(|| self.specs.iter().position(|spec| spec.paths().any(|path| flat(path) == name)))
    }

    /// Whether `path` is a section: something that other keys stand below.
    pub(super) fn is_section(&self, path: &str) -> bool {
        self.all_paths().any(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    fn all_paths(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.specs.iter().flat_map(Spec::paths)
    }

    /// What to write instead of the unknown key `path`.
    pub(super) fn advice(&self, path: &str) -> String {
        let sections = self.all_paths().filter_map(|known| known.split_once('.').map(|(section, _)| section));
        if let Some(near) = nearest(path, self.all_paths().chain(sections)) {
            return format!("did you mean '{near}'?");
        }
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        let mut keys: Vec<&str> = self
            .all_paths()
            .filter_map(
                |known| if section.is_empty() { Some(known) } else { known.strip_prefix(section)?.strip_prefix('.') },
            )
            .map(|rest| rest.split('.').next().unwrap_or(rest))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        match (keys.is_empty(), section) {
            (true, _) => "remove it".to_owned(),
            (false, "") => format!("remove it; known are {}", keys.join(", ")),
            (false, _) => format!("remove it; known in '{section}' are {}", keys.join(", ")),
        }
    }

    /// The variables that give `spec`, the most exact first.
    pub(super) fn variables(&self, spec: &Spec) -> Vec<String> {
        let with = |separator: &str| {
            let prefix = self.env_prefix;
            let name = move |path: &str| format!("{prefix}_{}", path.replace('.', separator).to_ascii_uppercase());
            spec.paths().map(name).collect::<Vec<_>>()
        };
        let mut names = with("__");
        names.extend(with("_"));
        names.extend(spec.env.iter().map(|name| (*name).to_owned()));
        names.dedup();
        names
    }

    /// Whether `.env` may give a variable of this name to this program.
    pub(super) fn owns(&self, variable: &str) -> bool {
        let prefixed = variable.strip_prefix(self.env_prefix).is_some_and(|rest| rest.starts_with('_'));
        prefixed || self.specs.iter().any(|spec| spec.env.contains(&variable))
    }
}

impl Spec {
    /// Its path, then its aliases.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.path).chain(self.aliases.iter().copied())
    }
}

/// `auth.enabled` as `auth_enabled`.
pub(super) fn flat(path: &str) -> String {
    path.replace('.', "_")
}

/// The candidate that `name` was probably meant to be.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = flat(&name.to_ascii_lowercase().replace('-', "_"));
    let last = wanted.as_str();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let whole = flat(candidate);
        let own = candidate.rsplit('.').next().unwrap_or(candidate);
        let cost = if own == last { 1 } else { distance(&wanted, &whole) };
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, candidate));
        }
    }
    best.filter(|(cost, _)| *cost <= (wanted.chars().count() / 4).max(1)).map(|(_, candidate)| candidate)
}

/// Edits that turn one text into the other: a letter put in, left out, changed, or two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().take(80).collect(), right.chars().take(80).collect());
    let width = right.len() + 1;
    let mut table = vec![0_usize; (left.len() + 1) * width];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            let at = |i: usize, j: usize| table[i * width + j];
            table[i * width + j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let change = at(i - 1, j - 1) + usize::from(left[i - 1] != right[j - 1]);
                    let edit = change.min(at(i - 1, j) + 1).min(at(i, j - 1) + 1);
                    let swapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                    if swapped { edit.min(at(i - 2, j - 2) + 1) } else { edit }
                }
            };
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["session.enabled", "session.checkpoint_interval", "auth.enabled", "auth.secret", "port"];
        for (slip, meant) in [
            ("session.checkpont_interval", Some("session.checkpoint_interval")),
            ("checkpoint_interval", Some("session.checkpoint_interval")),
            ("session.checkpoint-interval", Some("session.checkpoint_interval")),
            ("auth_enabled", Some("auth.enabled")),
            ("Auth.Secert", Some("auth.secret")),
            ("prot", Some("port")),
            ("database.type", None),
            ("x", None),
        ] {
            assert_eq!(nearest(slip, known.into_iter()), meant, "{slip}");
        }
    }
}
