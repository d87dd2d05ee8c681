//! `workflow schedule`: sweeps and plans that are asked for again and again.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use oneiric::clock::Timestamp;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::schedules::{LATE, Misfire, Overlap, Schedule};
use serde_json::json;

use super::super::format::Format;
use super::super::sweep::Sweep;
use crate::drive;
use crate::schedules::{self, Recurring, Wanted, local, schedules};
use crate::shell::short;
use crate::who;
use crate::world::World;

#[derive(Subcommand, Debug)]
pub(super) enum ScheduleAction {
    /// Add a schedule
    #[command(after_help = "\
Times: minute, hour, day of the month, month, day of the week ('30 3 * * mon-fri', '0 0 L * *', '0 9 * * mon#1', @daily).
A time that the clock leaps over counts at the end of the leap; one that it shows twice counts once.
What follows -- is a sweep as the command line takes it: -- --tag rust --retries 2 -- cargo test")]
    Add {
        /// One word
        name: String,
        /// When it is due
        #[arg(long)]
        cron: String,
        /// Time zone of these times: UTC, local or a name such as Europe/Zurich
        #[arg(long, value_name = "ZONE", default_value = "local")]
        tz: String,
        /// What becomes of runs that were missed because no server ran
        #[arg(long, value_enum, default_value = "latest")]
        misfire: MisfireName,
        /// What becomes of a run that is due while an earlier one has not ended [default: skip; queue with --misfire all]
        #[arg(long, value_enum)]
        overlap: Option<OverlapName>,
        /// Run this plan, as `workflow run FILE` does
        #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
        plan: Option<PathBuf>,
        /// Options of a sweep, --, and its command
        #[arg(last = true, value_name = "SWEEP", required_unless_present = "plan", allow_hyphen_values = true)]
        sweep: Vec<String>,
    },
    /// List schedules
    List {
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show a schedule with its latest runs
    Show {
        /// Its name
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Say when it is due next, and what would happen to runs that were missed
    Preview {
        /// Its name
        name: String,
        /// How many times
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Let it rest
    Pause {
        /// Its name
        name: String,
    },
    /// Let it go on; what was due meanwhile is left out
    Resume {
        /// Its name
        name: String,
    },
    /// Remove it; workflows that it began go on
    Remove {
        /// Its name
        name: String,
    },
}

/// What becomes of missed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MisfireName {
    /// They are left out
    Skip,
    /// The latest of them runs, once
    Latest,
    /// All of them run
    All,
}

/// What becomes of a run that is due while an earlier one has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OverlapName {
    /// It is left out
    Skip,
    /// It begins when the earlier ones have ended
    Queue,
    /// The earlier ones are cancelled, and it begins when they have stopped
    Replace,
    /// It begins all the same
    Allow,
}

/// The words after `--`.
#[derive(Parser, Debug)]
#[command(name = "sweep", no_binary_name = true)]
struct SweepLine {
    #[command(flatten)]
    sweep: Sweep,
}

impl ScheduleAction {
    /// Whether it may change something.
    pub(super) const fn changes(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::Pause { .. } | Self::Resume { .. } | Self::Remove { .. })
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let table = schedules(world);
        let now = world.clock.now();
        match self {
            Self::Add { name, cron, tz, misfire, overlap, plan, sweep } => {
                let misfire = match misfire {
                    MisfireName::Skip => Misfire::Skip,
                    MisfireName::Latest => Misfire::Latest,
                    MisfireName::All => Misfire::All,
                };
                let overlap = overlap.map(|overlap| match overlap {
                    OverlapName::Skip => Overlap::Skip,
                    OverlapName::Queue => Overlap::Queue,
                    OverlapName::Replace => Overlap::Replace,
                    OverlapName::Allow => Overlap::Allow,
                });
                let work = recurring(world, plan.as_deref(), sweep)?;
                let wanted =
                    Wanted { name: name.clone(), cron: cron.clone(), zone: tz.clone(), misfire, overlap, work };
                let schedule = schedules::add(world, wanted, who::username(&world.surroundings))?;
                let next = schedule.next.map(|next| local(next, &schedule)).unwrap_or_default();
                output.line(&format!("Schedule {name} is next due {next} ({}).", schedule.zone));
                if !drive::server_runs(world) {
                    output.error_line("No server runs: 'mahavishnu start' starts the one that drives schedules.");
                }
                Ok(0)
            }
            Self::List { format } => {
                let rows = table.list()?;
                format.print(
                    &rows,
                    &list(&rows, now),
                    "No schedules; 'mahavishnu workflow schedule add' makes one.",
                    output,
                )?;
                if *format == Format::Table
                    && rows.iter().any(|schedule| !schedule.paused)
                    && !drive::server_runs(world)
                {
                    output.error_line("No server runs: nothing begins until 'mahavishnu start'.");
                }
                Ok(0)
            }
            Self::Show { name, format } => show(world, &table.get(name)?, *format, output).map(|()| 0),
            Self::Preview { name, count, format } => {
                preview(world, &table.get(name)?, *count as usize, *format, output).map(|()| 0)
            }
            Self::Pause { name } => {
                table.pause(name, true, now)?;
                output.line(&format!("Schedule {name} rests."));
                Ok(0)
            }
            Self::Resume { name } => {
                let schedule = table.pause(name, false, now)?;
                let next = schedule.next.map(|next| local(next, &schedule)).unwrap_or_default();
                output.line(&format!("Schedule {name} is next due {next} ({}).", schedule.zone));
                Ok(0)
            }
            Self::Remove { name } => {
                table.remove(name)?;
                output.line(&format!("Schedule {name} is removed."));
                Ok(0)
            }
        }
    }
}

fn recurring(world: &World, plan: Option<&std::path::Path>, words: &[String]) -> Result<Recurring> {
    let dir = world.surroundings.cwd.clone();
    if let Some(file) = plan {
        return Ok(Recurring { sweep: None, plan: Some(world.surroundings.cwd.join(file)), dir, manifest: None });
    }
    let words = match words {
        [first, rest @ ..] if first == "sweep" => rest,
        words => words,
    };
    // A command alone is a sweep without options.
    let bare = !words.iter().any(|word| word == "--") && words.first().is_some_and(|word| !word.starts_with('-'));
    let line = bare.then(|| "--".to_owned()).into_iter().chain(words.iter().cloned());
    let parsed = SweepLine::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or("it is no sweep").trim_start_matches("error: ").to_owned();
        Fault::user(format!("what follows -- is no sweep: {first}"))
            .hint("write it as sweep takes it: … -- --tag rust -- cargo test")
    })?;
    let request = parsed.sweep.request()?;
    Ok(Recurring { sweep: Some(request), plan: None, dir, manifest: None })
}

fn list(rows: &[Schedule], now: Timestamp) -> Table {
    let mut table = Table::new(["Name", "Times", "Zone", "Next", "Missed", "Skipped", "Last run", "Work"])
        .numeric(4)
        .numeric(5)
        .optional([4, 5, 2, 6]);
    for schedule in rows {
        // What was missed and not dealt with yet, since no server runs.
        let due = schedule.due(now).ok().filter(|_| !schedule.paused);
        let missed = due.map_or(0, |due| due.left_out + due.fire.iter().filter(|at| now.since(**at) > LATE).count());
        let next = match schedule.next.filter(|next| *next > now || missed == 0) {
            None if missed > 0 => schedule.preview(now, 1).ok().and_then(|times| times.first().copied()),
            next => next,
        };
        let next = match (schedule.paused, next) {
            (true, _) => "paused".to_owned(),
            (false, Some(next)) => local(next, schedule),
            (false, None) => "never".to_owned(),
        };
        let last = match (&schedule.error, skipped_last(schedule), schedule.last_due) {
            (Some(error), ..) => format!("could not begin: {error}"),
            (None, Some(skipped), _) => skipped,
            (None, None, Some(at)) => local(at, schedule),
            (None, None, None) => String::new(),
        };
        let count = |count: u64| if count > 0 { count.to_string() } else { String::new() };
        table.row([
            schedule.name.clone(),
            schedule.cron.clone(),
            schedule.zone.clone(),
            next,
            count(schedule.left_out + missed as u64),
            count(schedule.skipped),
            last,
            schedule.title.clone(),
        ]);
    }
    table
}

/// What to read where the last run would stand, when it was skipped.
fn skipped_last(schedule: &Schedule) -> Option<String> {
    let due = schedule.skipped_due.filter(|due| schedule.last_due.is_none_or(|last| *due > last))?;
    let workflow = short(schedule.skipped_for.as_deref().unwrap_or_default());
    Some(format!("{} skipped: {workflow} had not ended", local(due, schedule)))
}

fn show(world: &World, schedule: &Schedule, format: Format, output: &Output) -> Result<()> {
    let runs = schedules(world).runs(schedule, 10)?;
    if format == Format::Json {
        let mut value = serde_json::to_value(schedule).map_err(|error| Fault::internal(error.to_string()))?;
        value["runs"] = serde_json::to_value(&runs).map_err(|error| Fault::internal(error.to_string()))?;
        output.line(&super::super::format::json(&value)?);
        return Ok(());
    }
    if format == Format::Table {
        output.line(&format!("{}  {}", output.terminal().strong(&schedule.name), schedule.title));
        let next = schedule.next.map_or_else(|| "paused".to_owned(), |next| format!("next {}", local(next, schedule)));
        output.line(&format!("{} in {}; {next}", schedule.cron, schedule.zone));
        output.line(&format!(
            "asked for by {}; missed runs: {}, {} left out so far",
            schedule.asked_by,
            schedule.misfire.as_str(),
            schedule.left_out
        ));
        output.line(&format!(
            "while an earlier run has not ended: {}; skipped so far: {}{}",
            schedule.overlap.as_str(),
            schedule.skipped,
            skipped_last(schedule).map(|last| format!(", last {last}")).unwrap_or_default()
        ));
        if let Some(error) = &schedule.error {
            output.line(&format!("{} the last run could not begin: {error}", output.terminal().error("✗")));
        }
    }
    format.print(&runs, &super::table(&runs, world, format == Format::Csv), "No runs yet.", output)
}

/// What would become of a run that is due now, when an earlier one has not ended.
fn in_the_way(world: &World, schedule: &Schedule) -> Result<Option<String>> {
    let open = schedules(world).open_runs(schedule)?;
    let (Some(first), false) = (open.first(), schedule.overlap == Overlap::Allow) else { return Ok(None) };
    let since = first.started_at.unwrap_or(first.created_at);
    let what = match schedule.overlap {
        Overlap::Queue if open.len() > 1 => format!("would begin after it and {} more", open.len() - 1),
        Overlap::Queue => "would begin after it".to_owned(),
        Overlap::Replace => "would take its place".to_owned(),
        Overlap::Skip | Overlap::Allow => "would be skipped".to_owned(),
    };
    Ok(Some(format!(
        "Workflow {} of it is {} since {}: by the policy '{}' a run that is due now {what}.",
        short(&first.id),
        super::status_words(first, world),
        local(since, schedule),
        schedule.overlap.as_str()
    )))
}

fn preview(world: &World, schedule: &Schedule, count: usize, format: Format, output: &Output) -> Result<()> {
    let now = world.clock.now();
    let times = schedule.preview(now, count)?;
    let mut table = Table::new(["Due", "UTC"]);
    for at in &times {
        table.row([local(*at, schedule), at.to_string()]);
    }
    let rows: Vec<_> = times.iter().map(|at| json!({ "due": at, "local": local(*at, schedule) })).collect();
    if format == Format::Table {
        let missed = schedule.due(now)?;
        if schedule.paused {
            output.line("It rests: 'workflow schedule resume' lets it go on. These would be its times:");
        } else if missed.left_out > 0 || missed.fire.iter().any(|at| now.since(*at) > LATE) {
            output.line(&format!(
                "Missed so far: {}. By the policy '{}' {} when a server starts, {} left out.",
                counted(missed.left_out + missed.fire.len(), "run", "runs"),
                schedule.misfire.as_str(),
                counted(missed.fire.len(), "of them runs", "of them run"),
                counted(missed.left_out, "is", "are")
            ));
        }
        if let Some(line) = in_the_way(world, schedule)? {
            output.line(&line);
        }
    }
    format.print(&rows, &table, "It is never due.", output)
}
