//! `--format`: a table for people, JSON and CSV for programs.

use clap::ValueEnum;
use oneiric::fault::{Fault, Result};
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use serde::Serialize;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

impl Format {
    /// Prints rows; `none` is said in place of an empty table.
    pub(super) fn print(self, rows: &impl Serialize, table: &Table, none: &str, output: &Output) -> Result<()> {
        match self {
            Self::Table if table.is_empty() => output.line(none),
            Self::Table => output.line(&table.render(output.terminal())),
            Self::Csv => output.line(&table.csv()),
            Self::Json => output.line(&json(rows)?),
        }
        Ok(())
    }
}

/// Indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Fault::internal(format!("cannot write JSON: {error}")))
}
