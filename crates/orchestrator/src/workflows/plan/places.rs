//! The places of a plan, in an order that holds also when not all repositories are selected.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Place;
use crate::repos::{Manifest, Repository};

/// A place for each selected repository. It comes after those that it depends on, and where one of these is not selected,
/// after those that that one depends on.
pub(super) fn places<'m>(manifest: &'m Manifest, selected: &[&'m Repository]) -> Vec<Place> {
    let mut order = Order {
        position: (0_u32..).zip(selected).map(|(n, repo)| (repo.name.as_str(), n)).collect(),
        all: manifest.repos.iter().map(|repo| (repo.name.as_str(), repo)).collect(),
        known: HashMap::new(),
    };
    let mut place = |repo: &'m Repository| {
        let after = order.before(repo).into_iter().collect();
        Place { name: repo.name.clone(), dir: repo.path.clone(), after }
    };
    selected.iter().map(|repo| place(repo)).collect()
}

/// What is known of the order.
struct Order<'m> {
    /// Places of those that are selected.
    position: HashMap<&'m str, u32>,
    all: HashMap<&'m str, &'m Repository>,
    /// What the others come after: each is looked at once, however many depend on it.
    known: HashMap<&'m str, BTreeSet<u32>>,
}

impl<'m> Order<'m> {
    /// The places that a repository comes after.
    fn before(&mut self, repo: &'m Repository) -> BTreeSet<u32> {
        let mut seen = HashSet::new();
        // Depth first; a list of what is open, since chains of repositories may be longer than a stack.
        let mut open = self.unknown(repo);
        while let Some(&name) = open.last() {
            let missing = self.all.get(name).map(|repo| self.unknown(repo)).unwrap_or_default();
            if missing.is_empty() || !seen.insert(name) {
                let before = self.all.get(name).map(|repo| self.gather(repo)).unwrap_or_default();
                self.known.insert(name, before);
                open.pop();
            } else {
                open.extend(missing);
            }
        }
        self.gather(repo)
    }

    /// What a repository depends on that is neither selected nor known.
    fn unknown(&self, repo: &'m Repository) -> Vec<&'m str> {
        let needed = repo.depends_on.iter().map(String::as_str);
        needed.filter(|name| !self.position.contains_key(name) && !self.known.contains_key(name)).collect()
    }

    fn gather(&self, repo: &Repository) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for name in &repo.depends_on {
            match self.position.get(name.as_str()) {
                Some(place) => drop(found.insert(*place)),
                None => found.extend(self.known.get(name.as_str()).into_iter().flatten()),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Repositories with what each depends on.
    fn manifest(repos: &[(String, Vec<String>)]) -> Manifest {
        let mut text = "repos:\n".to_owned();
        for (name, needs) in repos {
            text.push_str(&format!(
                "- {{name: {name}, path: /{name}, role: lib, depends_on: [{}]}}\n",
                needs.join(", ")
            ));
        }
        Manifest::parse(&text, Path::new("/m/repos.yaml"), Path::new("/")).unwrap()
    }

    #[test]
    fn what_is_not_selected_hands_on_what_it_comes_after_once_for_all_that_depend_on_it() {
        // first ← hidden 0 ← … ← hidden 4999 ← each of the last.
        let mut repos = vec![("first".to_owned(), Vec::new())];
        for n in 0..5_000 {
            let needs = if n == 0 { "first".to_owned() } else { format!("hidden{}", n - 1) };
            repos.push((format!("hidden{n}"), vec![needs]));
        }
        repos.extend((0..2_000).map(|n| (format!("last{n}"), vec!["hidden4999".to_owned()])));
        let manifest = manifest(&repos);
        let selected: Vec<&Repository> =
            manifest.repos.iter().filter(|repo| !repo.name.starts_with("hidden")).collect();
        let places = places(&manifest, &selected);
        assert_eq!((places.len(), places[0].after.len()), (2_001, 0));
        assert!(places[1..].iter().all(|place| place.after == [0]));
    }
}
