//! The workspace as cargo and git see it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;
use crate::json::{items, text};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A member of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Whether it builds a program.
    pub(crate) program: bool,
    /// Folder, relative to the root.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a member depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// For its tests alone.
    pub(crate) for_tests: bool,
}

impl Package {
    /// Names of what its shipped code depends on.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|dependency| !dependency.for_tests).map(|dependency| dependency.name.as_str())
    }
}

/// Reads the members by `cargo metadata`.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root);
    let metadata: Value = serde_json::from_str(&stdout(&mut command)?)?;
    Ok(members(&metadata, root))
}

/// The members in cargo's metadata.
pub(crate) fn members(metadata: &Value, root: &Path) -> Vec<Package> {
    let is_program = |package: &Value| {
        items(&package["targets"]).iter().any(|target| items(&target["kind"]).iter().any(|kind| kind == "bin"))
    };
    let dependency = |value: &Value| Dependency { name: text(&value["name"]), for_tests: value["kind"] == "dev" };
    let member = |package: &Value| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest.parent().unwrap_or(root);
        Package {
            name: text(&package["name"]),
            program: is_program(package),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned(),
            dependencies: items(&package["dependencies"]).iter().map(dependency).collect(),
        }
    };
    let mut members: Vec<Package> = items(&metadata["packages"]).iter().map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

/// Paths of all files that are or would be committed, relative to the root.
pub(crate) fn files(root: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let mut files: Vec<String> =
        stdout(&mut command)?.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    files.retain(|path| root.join(path).is_file());
    Ok(files)
}

/// Runs a command and gives what it printed, or what it said was wrong.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_cargos_metadata() {
        let metadata = serde_json::json!({ "packages": [{
            "name": "keeper",
            "manifest_path": "/x/crates/keeper/Cargo.toml",
            "targets": [{ "kind": ["lib"] }, { "kind": ["bin"] }],
            "dependencies": [{ "name": "clap", "kind": null }, { "name": "insta", "kind": "dev" }],
        }]});
        let members = members(&metadata, Path::new("/x"));
        assert_eq!(members.len(), 1);
        assert!(members[0].program);
        assert_eq!(members[0].folder, "crates/keeper");
        assert_eq!(members[0].shipped().collect::<Vec<_>>(), ["clap"]);
    }
}
