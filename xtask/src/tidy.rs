//! Checks that the compiler cannot make. Each is a function from text to findings, so that it can fail and is tested.

mod crates;
mod documents;
mod sources;

use std::fmt;
use std::path::Path;

use crate::Result;
use crate::workspace;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// File or crate, and line when there is one.
    pub(crate) place: String,
    /// Which rule, and what to do.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    pub(crate) fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", line + 1), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A file of the workspace; a file that is not text has none.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn ends_with(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }
}

/// Runs all checks; answers whether all is well.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("tidy takes no argument, got '{unknown}'").into());
    }
    let root = workspace::root();
    let findings = check(&root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: all rules hold"),
        1 => println!("tidy: 1 finding"),
        many => println!("tidy: {many} findings"),
    }
    Ok(findings.is_empty())
}

fn check(root: &Path) -> Result<Vec<Finding>> {
    let packages = workspace::packages(root)?;
    let read = |path: String| {
        let text = std::fs::read(root.join(&path)).unwrap_or_default();
        File { text: String::from_utf8(text).unwrap_or_default(), path }
    };
    let files: Vec<File> = workspace::files(root)?.into_iter().map(read).collect();
    let mut findings = crates::dependencies(&packages);
    findings.extend(crates::unused(&packages, &files));
    findings.extend(crates::manifests(&packages, &files));
    findings.extend(sources::check(&files, &local_paths(root)));
    findings.extend(documents::crate_table(&files, &packages));
    let exists = |path: &str| root.join(path).exists();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        findings.extend(documents::paths(file, &exists));
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// What no committed file may name: this checkout and this user's registry of crates.
fn local_paths(root: &Path) -> Vec<String> {
    // `/src` alone stands in many a text.
    let checkout = (root.components().count() > 2).then(|| root.to_string_lossy().into_owned());
    let registry = std::env::var("HOME").ok().map(|home| format!("{home}/.cargo/registry"));
    checkout.into_iter().chain(registry).collect()
}
