//! Who may depend on whom: invariants 1 and 2 of `ARCHITECTURE.md`.

use super::{File, Finding};
use crate::workspace::Package;

/// Crates that are tools of development: they may use what they need and nothing that ships may use them.
const TOOLS: [&str; 2] = ["testkit", "xtask"];

/// Workspace crates that each layer may use; arrows point down only.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("oneiric", &[]),
    ("oneiric-client", &["oneiric"]),
    ("oneiric-server", &["oneiric"]),
    ("oneiric-shell", &["oneiric"]),
    ("orchestrator", &["oneiric"]),
    ("session-store", &["oneiric"]),
    ("semantic", &["oneiric", "session-store"]),
    ("session-buddy", &["oneiric", "oneiric-client", "oneiric-server", "semantic", "session-store"]),
    ("mahavishnu", &["oneiric", "oneiric-client", "oneiric-server", "oneiric-shell", "orchestrator"]),
];

/// Heavy dependencies and their homes.
const HOMES: [(&str, &[&str]); 9] = [
    ("rusqlite", &["session-store", "orchestrator"]),
    ("rmcp", &["oneiric-server", "session-buddy", "mahavishnu"]),
    ("axum", &["oneiric-server", "session-buddy", "mahavishnu"]),
    ("starlark", &["oneiric-shell"]),
    ("starlark_syntax", &["oneiric-shell"]),
    ("reedline", &["oneiric-shell"]),
    ("ureq", &["oneiric-client", "orchestrator", "semantic"]),
    ("jsonwebtoken", &["oneiric"]),
    ("tungstenite", &["orchestrator"]),
];

/// What domains never see.
const NOT_IN_DOMAINS: [&str; 3] = ["clap", "axum", "rmcp"];
const DOMAINS: [&str; 3] = ["orchestrator", "semantic", "session-store"];

/// Checks every dependency of shipped code.
pub(crate) fn dependencies(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let member = |name: &str| packages.iter().find(|package| package.name == name);
    for package in packages.iter().filter(|package| !TOOLS.contains(&package.name.as_str())) {
        let place = format!("{}/Cargo.toml", package.folder);
        let allowed = MAY_USE.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed);
        if allowed.is_none() {
            findings.push(Finding::new(&place, "the crate has no place among the layers of xtask/src/tidy/crates.rs"));
        }
        for used in package.shipped() {
            if member(used).is_some_and(|other| other.program) {
                findings
                    .push(Finding::new(&place, format!("depends on the program {used}; programs meet over the wire")));
            } else if member(used).is_some() && !allowed.unwrap_or_default().contains(&used) {
                findings.push(Finding::new(&place, format!("depends on {used}, which is not below it")));
            }
            let homes = HOMES.iter().find(|(name, _)| *name == used).map(|(_, homes)| *homes);
            if homes.is_some_and(|homes| !homes.contains(&package.name.as_str())) {
                findings.push(Finding::new(
                    &place,
                    format!("depends on {used}, whose home is {}", homes.unwrap_or_default().join(", ")),
                ));
            }
            if DOMAINS.contains(&package.name.as_str()) && NOT_IN_DOMAINS.contains(&used) {
                findings.push(Finding::new(&place, format!("a domain depends on {used}, which belongs to doors")));
            }
        }
    }
    findings
}

/// Finds dependencies that no source of their crate names.
pub(crate) fn unused(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let below = format!("{}/", package.folder);
        let sources: Vec<&File> =
            files.iter().filter(|file| file.path.starts_with(&below) && file.ends_with(".rs")).collect();
        for dependency in &package.dependencies {
            let name = dependency.name.replace('-', "_");
            if !sources.iter().any(|file| names(&file.text, &name)) {
                let place = format!("{}/Cargo.toml", package.folder);
                findings
                    .push(Finding::new(place, format!("{} is not named in any source of the crate", dependency.name)));
            }
        }
    }
    findings
}

/// Every member takes the workspace's lints.
pub(crate) fn manifests(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let manifest = |package: &Package| {
        let path = format!("{}/Cargo.toml", package.folder);
        files.iter().find(|file| file.path == path)
    };
    packages
        .iter()
        .filter_map(manifest)
        .filter(|file| !file.text.replace(' ', "").contains("[lints]\nworkspace=true"))
        .map(|file| Finding::new(&file.path, "lacks '[lints] workspace = true'"))
        .collect()
}

/// Whether `name` stands in `text` as a whole word.
fn names(text: &str, name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(inner) && !text[at + name.len()..].starts_with(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, program: bool, uses: &[&str]) -> Package {
        let dependencies = uses.iter().map(|name| Dependency { name: (*name).to_owned(), for_tests: false }).collect();
        Package { name: name.into(), program, folder: format!("crates/{name}"), dependencies }
    }

    fn problems(packages: &[Package]) -> Vec<String> {
        dependencies(packages).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn programs_do_not_import_programs() {
        let found = problems(&[package("mahavishnu", true, &["session-buddy"]), package("session-buddy", true, &[])]);
        assert_eq!(found, ["depends on the program session-buddy; programs meet over the wire"]);
    }

    #[test]
    fn arrows_point_down_only() {
        let found =
            problems(&[package("oneiric", false, &["session-store"]), package("session-store", false, &["oneiric"])]);
        assert_eq!(found, ["depends on session-store, which is not below it"]);
    }

    #[test]
    fn heavy_dependencies_have_one_home_and_domains_see_no_door() {
        assert_eq!(problems(&[package("mahavishnu", true, &["rusqlite"])]).len(), 1);
        assert_eq!(problems(&[package("orchestrator", false, &["rusqlite", "clap"])]).len(), 1);
        assert_eq!(problems(&[package("session-store", false, &["axum"])]).len(), 2);
        assert!(problems(&[package("testkit", false, &["ureq"])]).is_empty());
    }

    #[test]
    fn tests_may_use_what_shipped_code_may_not() {
        let mut checked = package("mahavishnu", true, &[]);
        checked.dependencies.push(Dependency { name: "rusqlite".into(), for_tests: true });
        assert!(problems(&[checked]).is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(problems(&[package("akosha", true, &[])]).len(), 1);
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let package = package("keeper", false, &["serde-saphyr", "jiff"]);
        let file =
            File { path: "crates/keeper/src/lib.rs".into(), text: "use serde_saphyr::from_str; // jiffy".into() };
        let found = unused(&[package], &[file]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "jiff is not named in any source of the crate");
    }

    #[test]
    fn a_member_without_the_workspaces_lints_is_found() {
        let member = package("keeper", false, &[]);
        let file = |text: &str| [File { path: "crates/keeper/Cargo.toml".into(), text: text.into() }];
        assert_eq!(manifests(std::slice::from_ref(&member), &file("[package]\n")).len(), 1);
        assert_eq!(manifests(&[member], &file("[lints]\nworkspace = true\n")).len(), 0);
    }
}
