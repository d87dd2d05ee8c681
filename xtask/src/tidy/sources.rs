//! Sources: sizes, names, and words that must not be committed.

use super::{File, Finding};

/// Longest source file, in lines.
const MAX_LINES: usize = 500;

/// Names that say nothing about what is inside.
const FORBIDDEN_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];

/// Unfinished work and tests that do not run. Split so that this file passes its own check.
const UNFINISHED: [&str; 6] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
    concat!("db", "g!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

/// Products, which the ground does not name.
const PRODUCTS: [&str; 6] = ["mahavishnu", "session-buddy", "session_buddy", "sessionbuddy", "akosha", "crackerjack"];

/// Where crates come from; a lock file with another source does not build elsewhere.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Runs the checks of this file over all files; `local` are paths of this machine alone.
pub(crate) fn check(files: &[File], local: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(name(file));
        findings.extend(words(file, local));
        if file.ends_with(".rs") {
            findings.extend(length(file));
            findings.extend(opening(file));
            findings.extend(products(file));
        }
        if file.ends_with("Cargo.lock") {
            findings.extend(registries(file));
        }
    }
    findings
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (file.path.contains("/src/") && lines > MAX_LINES)
        .then(|| Finding::new(&file.path, format!("{lines} lines; look for a seam, {MAX_LINES} is the most")))
}

fn name(file: &File) -> Option<Finding> {
    let source = file.path.starts_with("crates/") || file.path.starts_with("xtask/");
    let word = file.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let bad = word.into_iter().find(|word| FORBIDDEN_NAMES.contains(word)).filter(|_| source)?;
    Some(Finding::new(&file.path, format!("'{bad}' says nothing about what is inside")))
}

fn words(file: &File, local: &[String]) -> Vec<Finding> {
    let checked =
        [".rs", ".md", ".sh", ".toml", ".yaml", ".yml", ".json", ".html"].iter().any(|end| file.ends_with(end));
    let script = file.path.starts_with("scripts/") || file.path.starts_with(".ci/");
    if !checked && !script {
        return Vec::new();
    }
    let words: Vec<&str> = UNFINISHED.iter().copied().chain(local.iter().map(String::as_str)).collect();
    let bad = |line: &&str| words.iter().find(|word| line.contains(**word)).copied();
    let finding = |(number, line): (usize, &str)| {
        bad(&line).map(|word| Finding::at(&file.path, number, format!("holds '{word}'")))
    };
    file.text.lines().enumerate().filter_map(finding).collect()
}

/// Modules open with what they are for.
fn opening(file: &File) -> Option<Finding> {
    let test = file.path.contains("/tests/") || file.ends_with("/tests.rs") || !file.path.contains("/src/");
    let opened = file.text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
    (!test && !opened.is_some_and(|line| line.starts_with("//!")))
        .then(|| Finding::new(&file.path, "does not open with what it is for ('//! …')"))
}

/// The ground names no product. Comments and tests may, where an example needs one.
fn products(file: &File) -> Vec<Finding> {
    let ground = file.path.starts_with("crates/oneiric") && file.path.contains("/src/") && !file.ends_with("/tests.rs");
    if !ground {
        return Vec::new();
    }
    let shipped = file.text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    let code = shipped.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let named = |(number, line): (usize, &str)| {
        let lower = line.to_lowercase();
        let product = PRODUCTS.iter().find(|product| lower.contains(**product))?;
        Some(Finding::at(&file.path, number, format!("the ground names the product {product}; make it an argument")))
    };
    code.filter_map(named).collect()
}

fn registries(file: &File) -> Vec<Finding> {
    let foreign = |line: &str| line.starts_with("source = ") && !line.contains(CRATES_IO);
    let lines = file.text.lines().enumerate().filter(|(_, line)| foreign(line));
    lines.map(|(number, line)| Finding::at(&file.path, number, format!("{line}: crates come from crates.io"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        check(&[file], &["/home/me/checkout".to_owned()]).into_iter().map(|finding| format!("{finding}")).collect()
    }

    #[test]
    fn a_long_file_is_found_and_one_at_the_limit_is_not() {
        let text = |lines: usize| format!("//! What.\n{}", "x\n".repeat(lines - 1));
        assert!(found("crates/a/src/lib.rs", &text(500)).is_empty());
        assert_eq!(found("crates/a/src/lib.rs", &text(501)).len(), 1);
        assert!(found("crates/a/tests/long.rs", &text(501)).is_empty());
    }

    #[test]
    fn drawers_are_found_as_files_and_as_folders() {
        assert_eq!(found("crates/a/src/utils.rs", "//! x").len(), 1);
        assert_eq!(found("crates/a/src/common/x.rs", "//! x").len(), 1);
        assert!(found("crates/a/src/commons.rs", "//! x").is_empty());
    }

    #[test]
    fn unfinished_work_and_tests_that_do_not_run_are_found() {
        for word in UNFINISHED {
            let text = format!("//! x\n    {word}");
            assert_eq!(found("crates/a/src/x.rs", &text), [format!("crates/a/src/x.rs:2: holds '{word}'")]);
        }
    }

    #[test]
    fn paths_of_one_machine_are_found_in_scripts_too() {
        assert_eq!(found("scripts/test", "cd /home/me/checkout/crates").len(), 1);
        assert!(found("scripts/test", "cd /srv/billing").is_empty());
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(found("crates/a/src/x.rs", "use std::fmt;").len(), 1);
        assert!(found("crates/a/src/x.rs", "#![allow(dead_code)]\n\n//! What.").is_empty());
        assert!(found("crates/a/src/x/tests.rs", "use super::*;").is_empty());
    }

    #[test]
    fn the_ground_names_no_product_outside_comments_and_tests() {
        let path = "crates/oneiric-server/src/x.rs";
        assert_eq!(found(path, "//! x\nlet a = \"Mahavishnu\";").len(), 1);
        assert!(found(path, "//! as mahavishnu does\n#[cfg(test)]\nlet a = \"mahavishnu\";").is_empty());
        assert!(found("crates/mahavishnu/src/x.rs", "//! x\nlet a = \"mahavishnu\";").is_empty());
    }

    #[test]
    fn a_lock_file_names_no_other_registry() {
        let line = |source: &str| format!("[[package]]\nsource = \"{source}\"\n");
        assert!(found("Cargo.lock", &line(CRATES_IO)).is_empty());
        assert_eq!(found("Cargo.lock", &line("sparse+https://mirror.example/index/")).len(), 1);
    }
}
