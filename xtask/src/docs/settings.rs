//! Settings and variables, from the programs' own `config --format json`.

use std::fmt::Write;

use serde_json::Value;

use super::{cell, code};
use crate::Result;
use crate::json::{items, shown, text};
use crate::program::{Built, PROGRAMS, Sandbox};
use crate::workspace::stdout;

/// The page.
pub(crate) fn page(built: &Built, sandbox: &Sandbox) -> Result<String> {
    let mut page = String::from(
        "# Settings\n\nLayers, lowest first: defaults, `settings/<product>.yaml` below the working directory, \
         `<home>/config.yaml`, `.env` in the working directory, the environment, the command line. \
         `config` of each program shows the values in force and where each came from.\n",
    );
    for program in PROGRAMS {
        let printed = stdout(sandbox.command(built, program).args(["config", "--format", "json"]))?;
        let printed: Value = serde_json::from_str(&printed)?;
        let rows: Vec<&Value> = printed.as_object().into_iter().flat_map(|rows| rows.values()).collect();
        if rows.is_empty() {
            return Err(format!("{program} config lists no setting").into());
        }
        table(program, &rows, &mut page)?;
    }
    Ok(page)
}

fn table(program: &str, rows: &[&Value], page: &mut String) -> Result {
    writeln!(page, "\n## {program}\n\n| Setting | Holds | Default | Variables | What |\n|---|---|---|---|---|")?;
    for row in rows {
        let mut variables: Vec<String> = Vec::new();
        for name in items(&row["variables"]).iter().map(|name| code(&text(name))) {
            if !variables.contains(&name) {
                variables.push(name);
            }
        }
        let columns = [
            code(&text(&row["path"])),
            cell(&text(&row["allowed"])),
            code(&shown(&row["default"])),
            variables.join(" "),
            cell(&text(&row["doc"])),
        ];
        if columns[0].is_empty() || columns[3].is_empty() {
            return Err(format!("{program} config --format json lacks path or variables: {row}").into());
        }
        writeln!(page, "| {} |", columns.join(" | "))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_names_its_variables_and_one_without_them_is_an_error() {
        let row = json!({ "path": "auth.enabled", "allowed": "true or false", "default": "false",
                          "variables": ["X_AUTH__ENABLED", "X_AUTH_ENABLED"], "doc": "Ask | for tokens" });
        let mut page = String::new();
        table("x", &[&row], &mut page).unwrap();
        assert!(page.contains(
            "| `auth.enabled` | true or false | `false` | `X_AUTH__ENABLED` `X_AUTH_ENABLED` | Ask \\| for tokens |"
        ));
        assert!(table("x", &[&json!({ "path": "a" })], &mut page).is_err());
    }
}
