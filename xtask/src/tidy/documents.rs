//! Documents: what they name exists.

use std::collections::BTreeSet;

use super::{File, Finding};
use crate::workspace::Package;

/// Folders of the repository whose paths a document may name. (`settings/` is left out: users have one of their own.)
const FOLDERS: [&str; 9] = ["crates", "docs", "scripts", "xtask", "deploy", "benches", "fuzz", ".ci", ".cargo"];

/// Checks paths in inline code, scripts in code blocks, and targets of relative links.
pub(crate) fn paths(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let candidates: Vec<String> = if fenced { scripts(line) } else { code_spans(line).collect() };
        for candidate in candidates.iter().filter_map(|candidate| repository_path(candidate)) {
            if !exists(&candidate) {
                findings.push(Finding::at(&file.path, number, format!("names {candidate}, which does not exist")));
            }
        }
        if !fenced {
            for target in links(line) {
                let path = beside(&file.path, target);
                if !exists(&path) {
                    findings.push(Finding::at(&file.path, number, format!("links to {path}, which does not exist")));
                }
            }
        }
    }
    findings
}

/// Contents of inline code in a line.
fn code_spans(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// Words of a code block that call a script of the repository.
fn scripts(line: &str) -> Vec<String> {
    let word = |word: &str| word.trim_start_matches("./").to_owned();
    line.split_whitespace().map(word).filter(|word| word.starts_with("scripts/") || word.starts_with(".ci/")).collect()
}

/// The path in `code`, when it is one of the repository and holds no placeholder.
fn repository_path(code: &str) -> Option<String> {
    let word = code.split_whitespace().next()?.trim_start_matches("./");
    let (first, _) = word.split_once('/')?;
    if !FOLDERS.contains(&first) || word.contains(['<', '{', '$', '…', '(', '|']) {
        return None;
    }
    // `docs/reference/*.md`: the folder must exist.
    let fixed = match word.find('*') {
        Some(star) => &word[..word[..star].rfind('/')?],
        None => word,
    };
    let end = fixed.find(".rs:").map_or(fixed.len(), |at| at + 3);
    let path = fixed[..end].trim_end_matches(['/', ',', ';', ':', '.']);
    Some(path.to_owned())
}

/// Targets of a line's links that are files of the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#', ' ']).next()?;
        let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!elsewhere).then_some(target)
    })
}

/// The path that `target` means in a document at `document`.
fn beside(document: &str, target: &str) -> String {
    let folder = document.rfind('/').map_or("", |at| &document[..at]);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The table of crates in `ARCHITECTURE.md` lists exactly the members.
pub(crate) fn crate_table(files: &[File], packages: &[Package]) -> Vec<Finding> {
    let Some(page) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec![Finding::new("ARCHITECTURE.md", "is missing")];
    };
    let rows = page.text.lines().skip_while(|line| !line.starts_with("| Crate ")).skip(2);
    let listed: BTreeSet<&str> =
        rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('`').nth(1)).collect();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let missing = members.difference(&listed).map(|name| format!("the table of crates lacks {name}"));
    let foreign = listed.difference(&members).map(|name| format!("the table of crates lists {name}, which is none"));
    missing.chain(foreign).map(|what| Finding::new("ARCHITECTURE.md", what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        let exists =
            |path: &str| ["crates/a/src/lib.rs", "docs", "scripts/test", "docs/a.md", "README.md"].contains(&path);
        paths(&file, &exists).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_path_that_does_not_exist_is_found_with_its_line() {
        assert_eq!(
            found("X.md", "a\n`crates/a/src/gone.rs`"),
            ["X.md:2: names crates/a/src/gone.rs, which does not exist"]
        );
        assert!(found("X.md", "`crates/a/src/lib.rs:12` and `crates/a/src/lib.rs`.").is_empty());
    }

    #[test]
    fn placeholders_patterns_and_other_code_are_left_alone() {
        assert!(found("X.md", "`crates/<name>/src` `docs/*.md` `a/b` `cargo test` `settings/mine.yaml`").is_empty());
        assert_eq!(found("X.md", "`scripts/*.sh`").len(), 1, "its folder does not exist here");
    }

    #[test]
    fn scripts_in_code_blocks_exist() {
        assert_eq!(
            found("X.md", "```\nscripts/test && ./scripts/gone\n```"),
            ["X.md:2: names scripts/gone, which does not exist"]
        );
    }

    #[test]
    fn relative_links_exist_beside_their_document() {
        assert!(found("docs/x.md", "[a](a.md) [r](../README.md#use) [w](https://example.org/x)").is_empty());
        assert_eq!(found("docs/x.md", "[a](b.md)"), ["docs/x.md:1: links to docs/b.md, which does not exist"]);
    }

    #[test]
    fn the_table_of_crates_is_exact() {
        let page = File {
            path: "ARCHITECTURE.md".into(),
            text: "| Crate | For |\n|---|---|\n| `a` | x |\n| `b` | y |\n\n| `c` |".into(),
        };
        let member = |name: &str| Package { name: name.into(), ..Package::default() };
        let found = crate_table(&[page], &[member("a"), member("d")]);
        let what: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(what, ["the table of crates lacks d", "the table of crates lists b, which is none"]);
    }
}
