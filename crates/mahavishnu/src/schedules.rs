//! What a schedule asks for, as it is kept: a sweep or a plan's file, and the folder where it was asked for.

use std::path::PathBuf;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::zone::Zone;
use orchestrator::schedules::{Misfire, NewSchedule, Overlap, Schedule, Schedules};
use orchestrator::workflows::file::PlanFile;
use orchestrator::workflows::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::drive;
use crate::sweeps::SweepRequest;
use crate::world::World;

/// A sweep or a plan that comes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recurring {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<SweepRequest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PathBuf>,
    /// Where the manifest is looked for: the server stands elsewhere.
    pub(crate) dir: PathBuf,
    /// The manifest that it had when it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<PathBuf>,
}

impl Recurring {
    /// The plan over the repositories that the manifest has now, and its title.
    ///
    /// # Errors
    /// As those of sweeps and plans.
    pub(crate) fn plan(&self, world: &World) -> Result<(Plan, String)> {
        let manifest = world.manifest_from(&self.dir)?;
        // Where another one would be found now, the work would go to other repositories.
        if let Some(gone) =
            self.manifest.as_ref().filter(|file| manifest.source.as_ref() != Some(file) && !file.exists())
        {
            return Err(Fault::config(format!(
                "the manifest of this schedule is not there any more: {}",
                gone.display()
            ))
            .hint("put it back, or remove the schedule and add it again where its manifest is"));
        }
        match (&self.sweep, &self.plan) {
            (Some(sweep), None) => {
                let plan = sweep.plan_over(&manifest, world)?;
                let title = plan.title();
                Ok((plan, title))
            }
            (None, Some(file)) => {
                let file = PlanFile::read(file)?;
                Ok((file.plan(&manifest)?, file.title()))
            }
            _ => Err(Fault::config("the schedule holds neither a sweep nor a plan").hint("remove it and add it again")),
        }
    }
}

/// The schedules of this home.
pub(crate) fn schedules(world: &World) -> Schedules {
    Schedules::at(world.workflows().path())
}

/// A schedule that somebody wants.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) cron: String,
    /// `local` for that of this machine.
    pub(crate) zone: String,
    pub(crate) misfire: Misfire,
    /// The usual one when nothing is said.
    pub(crate) overlap: Option<Overlap>,
    pub(crate) work: Recurring,
}

/// Adds a schedule. What cannot run today is refused today.
///
/// # Errors
/// As those of sweeps and plans, and of [`Schedules::add`].
pub(crate) fn add(world: &World, wanted: Wanted, asked_by: String) -> Result<Schedule> {
    let Wanted { name, cron, zone, misfire, overlap, mut work } = wanted;
    let overlap = overlap.unwrap_or(Overlap::usual(misfire));
    if work.sweep.as_ref().is_some_and(|sweep| sweep.key.is_some()) {
        return Err(Fault::user("a schedule gives its runs keys of its own").hint("leave the key away"));
    }
    let (first, title) = work.plan(world)?;
    drive::refuse_secrets(world, &first)?;
    work.manifest = world.manifest_from(&work.dir)?.source;
    let zone = match zone.as_str() {
        "local" => Zone::local_name(world.surroundings.vars.get("TZ").map(String::as_str)),
        _ => zone,
    };
    let work = serde_json::to_value(&work).map_err(|error| Fault::internal(error.to_string()))?;
    schedules(world).add(&NewSchedule { name, cron, zone, misfire, overlap, work, title, asked_by }, world.clock.now())
}

/// A moment as the schedule's zone shows it.
pub(crate) fn local(at: Timestamp, schedule: &Schedule) -> String {
    Zone::parse(&schedule.zone).map_or_else(|_| at.to_string(), |zone| zone.shown(at))
}

/// What a server does with a schedule that is due.
///
/// # Errors
/// As [`Recurring::plan`].
pub(crate) fn plan_of(world: &World, schedule: &Schedule) -> Result<(Plan, String)> {
    let recurring: Recurring = serde_json::from_value(schedule.work.clone())
        .map_err(|error| Fault::config(format!("what the schedule asks for cannot be understood: {error}")))?;
    let (plan, title) = recurring.plan(world)?;
    drive::refuse_secrets(world, &plan)?;
    Ok((plan, title))
}
