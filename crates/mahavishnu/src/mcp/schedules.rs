//! Tools about schedules.

use std::path::PathBuf;

use oneiric::fault::Fault;
use oneiric_server::mcp::{Arguments, ToolError};
use orchestrator::schedules::{Misfire, Overlap, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::rows::rows;
use crate::schedules::{self, Recurring, Wanted, schedules};
use crate::world::World;

/// Due times and runs of a schedule that are told when nothing is said.
const ROWS: u32 = 5;

/// Arguments of `list_schedules`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSchedules {
    /// One schedule, with its next times and latest runs
    #[serde(default)]
    name: Option<String>,
    /// How many of those, 1 to 1000, default 5
    #[serde(default)]
    count: Option<u32>,
}

/// Answer of tools about schedules.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ScheduleList {
    /// name, cron, zone, next, paused, misfire, left_out, title, error; of one also due, runs, missed
    pub(crate) schedules: Vec<Map<String, Value>>,
}

impl ListSchedules {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let Some(name) = &self.name else {
            return Ok(json!({ "schedules": schedules(world).list()? }));
        };
        let count = rows("count", self.count, ROWS)?;
        let schedule = schedules(world).get(name)?;
        let now = world.clock.now();
        let due = schedule.preview(now, count)?;
        let missed = schedule.due(now)?;
        let mut told = shape(&schedule)?;
        told["due"] = due
            .iter()
            .map(|at| json!({ "due": at, "local": schedules::local(*at, &schedule) }))
            .collect::<Vec<_>>()
            .into();
        told["missed"] = json!({ "run": missed.fire.len(), "left_out": missed.left_out });
        told["runs"] = json!(schedules(world).runs(&schedule, count)?);
        Ok(json!({ "schedules": [told] }))
    }
}

/// Arguments of `schedule`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleCall {
    action: Action,
    /// One word
    name: String,
    /// add: minute, hour, day, month, day of the week: `30 3 * * mon-fri`
    #[serde(default)]
    cron: Option<String>,
    /// add: UTC, local or a name such as Europe/Zurich; default local
    #[serde(default)]
    zone: Option<String>,
    /// add: which missed runs are made up for, default latest
    #[serde(default)]
    misfire: Option<Missed>,
    /// add: what becomes of a run that is due while an earlier one has not ended, default skip
    #[serde(default)]
    overlap: Option<Overlapping>,
    /// add: what sweep takes, without key
    #[serde(default)]
    sweep: Option<Map<String, Value>>,
    /// add: or the file of a plan
    #[serde(default)]
    plan: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Add,
    Pause,
    Resume,
    Remove,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Missed {
    Skip,
    Latest,
    All,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Overlapping {
    Skip,
    Queue,
    Replace,
    Allow,
}

impl ScheduleCall {
    pub(crate) fn run(self, world: &World, by: String) -> Result<Value, ToolError> {
        let (table, now) = (schedules(world), world.clock.now());
        let asked = self.cron.is_some()
            || self.zone.is_some()
            || self.misfire.is_some()
            || self.overlap.is_some()
            || self.sweep.is_some()
            || self.plan.is_some();
        if asked && !matches!(self.action, Action::Add) {
            return Err(Fault::user("cron, zone, misfire, overlap, sweep and plan belong to the action add").into());
        }
        let schedule = match self.action {
            Action::Add => self.add(world, by)?,
            Action::Pause => table.pause(&self.name, true, now)?,
            Action::Resume => table.pause(&self.name, false, now)?,
            Action::Remove => {
                let gone = table.get(&self.name)?;
                table.remove(&self.name)?;
                gone
            }
        };
        Ok(json!({ "schedules": [shape(&schedule)?] }))
    }

    fn add(self, world: &World, by: String) -> Result<Schedule, ToolError> {
        let missing = |field: &str| ToolError::new("invalid_arguments", format!("missing field `{field}`"));
        let cron = self.cron.ok_or_else(|| missing("cron").with("field", "cron"))?;
        let sweep = self.sweep.map(|sweep| Arguments::Parsed(sweep).parse()).transpose()?;
        let dir = world.surroundings.cwd.clone();
        let plan = self.plan.map(|plan| dir.join(plan));
        if sweep.is_some() == plan.is_some() {
            return Err(missing("sweep").with("field", "sweep").with("hint", "give sweep or plan"));
        }
        let wanted = Wanted {
            name: self.name,
            cron,
            zone: self.zone.unwrap_or_else(|| "local".into()),
            misfire: match self.misfire {
                Some(Missed::Skip) => Misfire::Skip,
                Some(Missed::All) => Misfire::All,
                Some(Missed::Latest) | None => Misfire::Latest,
            },
            overlap: self.overlap.map(|overlap| match overlap {
                Overlapping::Skip => Overlap::Skip,
                Overlapping::Queue => Overlap::Queue,
                Overlapping::Replace => Overlap::Replace,
                Overlapping::Allow => Overlap::Allow,
            }),
            work: Recurring { sweep, plan, dir, manifest: None },
        };
        Ok(schedules::add(world, wanted, by)?)
    }
}

fn shape(schedule: &Schedule) -> Result<Value, ToolError> {
    serde_json::to_value(schedule).map_err(|error| Fault::internal(error.to_string()).into())
}
