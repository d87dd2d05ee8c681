//! `sessions`: those that Session-Buddy keeps; while it does not answer, those that wait on the spool.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric::spool::{self, Line};
use oneiric_shell::output::Output;
use serde_json::{Value, json};

use super::Token;
use super::format::Format;
use crate::buddy;
use crate::shell::session_table;
use crate::world::World;

/// List sessions
#[derive(clap::Args, Debug)]
pub(super) struct Sessions {
    /// At most so many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Program that they belong to; * for every one
    #[arg(long, default_value = "mahavishnu")]
    component: String,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    pub(super) token: Token,
}

impl Sessions {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let rows = match buddy::sessions(world, self.limit, &self.component) {
            Ok(rows) => rows,
            Err(fault) => {
                let waiting = on_spool(&world.settings.home().spool());
                output.error_line(&format!("note: {fault}"));
                output.error_line(&format!(
                    "note: {} on the spool of this machine",
                    counted(waiting.len(), "session waits", "sessions wait")
                ));
                waiting
            }
        };
        self.format.print(&rows, &session_table(&rows), "No sessions.", output)
    }
}

/// The sessions whose events wait, newest first, from the first line of each spool file.
fn on_spool(dir: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut rows: Vec<Value> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let session = path.file_stem()?.to_str()?.to_owned();
            if path.extension()?.to_str()? != spool::EXTENSION {
                return None;
            }
            let mut lines = BufReader::new(File::open(&path).ok()?).split(b'\n');
            let Line::Entry(first) = spool::decode(&lines.next()?.ok()?) else { return None };
            let events = 1 + lines.map_while(std::result::Result::ok).filter(|line| !line.is_empty()).count();
            let data = &first.event.data;
            Some(json!({
                "session_id": session,
                "component": data.get("component_name"),
                "session_type": data.get("session_type"),
                "status": "waiting",
                "project": data.get("project"),
                "start_time": first.event.timestamp,
                "event_count": events,
            }))
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row["start_time"].as_str().map(str::to_owned)));
    rows
}
