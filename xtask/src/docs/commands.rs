//! Commands, from the programs' own `--help`.

use std::fmt::Write;

use crate::Result;
use crate::program::{Built, PROGRAMS, Sandbox};
use crate::workspace::stdout;

/// The page.
pub(crate) fn page(built: &Built, sandbox: &Sandbox) -> Result<String> {
    let mut text = String::from("# Commands\n\nWhat `--help` of each program and command prints.\n");
    for program in PROGRAMS {
        describe(built, sandbox, program, &mut Vec::new(), &mut text)?;
    }
    Ok(text)
}

fn describe(built: &Built, sandbox: &Sandbox, program: &str, path: &mut Vec<String>, text: &mut String) -> Result {
    let help = stdout(sandbox.command(built, program).args(&*path).arg("--help"))?;
    let name = [program].into_iter().chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let level = "#".repeat((2 + path.len()).min(4));
    let body: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    writeln!(text, "\n{level} {name}\n\n```text\n{}\n```", body.join("\n"))?;
    for command in subcommands(&help) {
        path.push(command);
        describe(built, sandbox, program, path, text)?;
        path.pop();
    }
    Ok(())
}

/// Names below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let below = help.lines().skip_while(|line| line.trim() != "Commands:").skip(1);
    let rows = below.take_while(|line| line.is_empty() || line.starts_with("  "));
    // A description that goes on in the next line is indented further.
    let named = rows.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let name = |line: &str| line.split_whitespace().next().map(|name| name.trim_end_matches(',').to_owned());
    named.filter_map(name).filter(|name| name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_help() {
        let help = "Keeps things\n\nUsage: keeper <COMMAND>\n\nCommands:\n  start   Start the server, which takes\n          \
                    two lines to say\n  list-x  List\n  help    Print this\n\nOptions:\n  -h, --help  Print help\n";
        assert_eq!(subcommands(help), ["start", "list-x"]);
        assert!(subcommands("Usage: keeper\n\nOptions:\n  -h  Help\n").is_empty());
    }
}
