//! Writes `docs/reference/` from what the programs say of themselves, so that it cannot disagree with them.

mod commands;
mod http_api;
mod metrics;
mod settings;
mod tools;

use std::path::Path;

use crate::program::{Built, Sandbox, target};
use crate::{Result, workspace};

/// First line of every page.
const NOTE: &str = "<!-- Written by `cargo xtask docs`; change the program, not this page. -->\n\n";

/// The words that start each program's server.
const SERVERS: [(&str, &[&str]); 2] =
    [("session-buddy", &["start", "--mode=standard"]), ("mahavishnu", &["mcp", "start"])];

/// A reference page.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    name: &'static str,
    text: String,
}

/// Writes the pages, or with `--check` compares them with the committed ones.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("docs takes --check and nothing else".into()),
    };
    let root = workspace::root();
    let built = Built::build(&root, false, &[])?;
    let pages = pages(&built)?;
    let folder = root.join("docs/reference");
    if check {
        return Ok(compare(&folder, &pages));
    }
    std::fs::create_dir_all(&folder)?;
    for page in &pages {
        std::fs::write(folder.join(page.name), format!("{NOTE}{}", page.text))?;
        println!("docs/reference/{}", page.name);
    }
    Ok(true)
}

fn pages(built: &Built) -> Result<Vec<Page>> {
    let sandbox = Sandbox::fresh(target()?.join("docs-home"))?;
    Ok(vec![
        Page { name: "commands.md", text: commands::page(built, &sandbox)? },
        Page { name: "settings.md", text: settings::page(built, &sandbox)? },
        Page { name: "mcp-tools.md", text: tools::page(built, &sandbox)? },
        Page { name: "http-api.md", text: http_api::page(built, &sandbox)? },
        Page { name: "metrics.md", text: metrics::page(built, &sandbox)? },
    ])
}

/// Compares the pages with the files in `folder`; says which line differs first.
fn compare(folder: &Path, pages: &[Page]) -> bool {
    let mut same = true;
    for page in pages {
        let committed = std::fs::read_to_string(folder.join(page.name)).unwrap_or_default();
        let wanted = format!("{NOTE}{}", page.text);
        if let Some(line) = first_difference(&committed, &wanted) {
            println!("docs/reference/{}:{line}: out of date; run 'cargo xtask docs' and commit", page.name);
            same = false;
        }
    }
    if same {
        println!("docs: all pages are current");
    }
    same
}

/// Number of the first line that differs.
fn first_difference(a: &str, b: &str) -> Option<usize> {
    if a == b {
        return None;
    }
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

/// Text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

/// Text as inline code for a cell; nothing stays nothing.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_differs_is_out_of_date() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        let folder = std::env::temp_dir().join(format!("xtask-docs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pages = [Page { name: "x.md", text: "# X\n".into() }];
        assert!(!compare(&folder, &pages), "a page that is missing");
        std::fs::write(folder.join("x.md"), format!("{NOTE}# X\n")).unwrap();
        assert!(compare(&folder, &pages));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn cells_cannot_break_their_table() {
        assert_eq!(cell("a | b\n  <c>"), "a \\| b &lt;c>");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code(""), "");
    }
}
