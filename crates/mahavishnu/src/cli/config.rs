//! `config`: every setting, its value and where the value came from.

use clap::ValueEnum;
use oneiric::fault::Result;
use oneiric_shell::output::Output;
use serde_json::{Map, Value, json};

use super::format;
use crate::world::World;

/// End of the text of settings that are read and have no effect yet.
const NOT_DONE: &str = "(not done by this version)";

/// Show every setting
#[derive(clap::Args, Debug)]
pub(super) struct Config {
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: ConfigFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConfigFormat {
    Text,
    Json,
    Yaml,
}

impl Config {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let rows = world.settings.rows_with(&world.shared);
        match self.format {
            ConfigFormat::Text => {
                for row in rows {
                    let note = if row.doc.ends_with(NOT_DONE) { "; not done by this version" } else { "" };
                    output.line(&format!("{} = {}   ({}{note})", row.flat, row.shown, row.source));
                }
            }
            ConfigFormat::Json => {
                let fields: Map<String, Value> = rows.into_iter().map(|row| (row.flat.clone(), row.facts())).collect();
                output.line(&format::json(&fields)?);
            }
            ConfigFormat::Yaml => {
                for row in rows {
                    output.line(&format!("{}: {}  # {}", row.flat, json!(row.shown), row.source));
                }
            }
        }
        Ok(())
    }
}
