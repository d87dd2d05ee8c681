//! `workflow run FILE`: a plan with several tasks.

use std::path::PathBuf;

use oneiric::fault::Result;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::workflows::NewWorkflow;
use orchestrator::workflows::file::PlanFile;
use orchestrator::workflows::plan::Plan;
use serde_json::json;

use super::super::format::Format;
use super::super::sweep::{follow, say_known};
use crate::drive;
use crate::world::World;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
name: release
repos: {tag: rust}            # or role, or names
tasks:
  - {name: test, run: cargo test, retries: 1, timeout: 20m}
  - {name: gate, approve: Publish?, after: [test]}
  - {name: publish, run: cargo publish, after: [gate], on_unknown: ask}
  - {name: announce, run: ./announce.sh, once: true, after: [publish]}

Exit code: 0 when every step ended well, 1 when one did not, 130 when it was cancelled.")]
pub(super) struct RunPlan {
    /// The plan (YAML)
    file: PathBuf,
    /// Show the steps in their order and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Asking twice with one key makes one workflow
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Return at once; `workflow list` shows how far it is
    #[arg(long)]
    detach: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl RunPlan {
    pub(super) fn run(&self, world: &World, by: String, output: &Output) -> Result<i32> {
        let file = PlanFile::read(&world.surroundings.cwd.join(&self.file))?;
        let plan = file.plan(&world.manifest()?)?;
        if self.dry_run {
            return order(&plan, self.format, output).map(|()| 0);
        }
        let new = NewWorkflow { plan, key: self.key.clone(), asked_by: by, schedule: None };
        let submitted = drive::submit_as(world, &new, &file.title())?;
        say_known(&submitted, self.key.as_deref(), output);
        if self.detach {
            drive::detach(world, &submitted.id)?;
            match self.format {
                Format::Json => {
                    output.line(&super::super::format::json(&json!({ "workflow_id": submitted.id }))?);
                }
                Format::Table | Format::Csv => output.line(&submitted.id),
            }
            return Ok(0);
        }
        follow(world, &submitted, self.format, output)
    }
}

/// The steps, each with the round in which it can begin: one after all that it waits for.
fn order(plan: &Plan, format: Format, output: &Output) -> Result<()> {
    let graph = plan.graph()?;
    let mut round = vec![1_usize; graph.cells.len()];
    let mut open: Vec<usize> = graph.needs.iter().map(Vec::len).collect();
    let mut free: std::collections::VecDeque<usize> = (0..open.len()).filter(|step| open[*step] == 0).collect();
    while let Some(step) = free.pop_front() {
        for dependent in graph.dependents[step].iter().map(|dependent| *dependent as usize) {
            round[dependent] = round[dependent].max(round[step] + 1);
            open[dependent] -= 1;
            if open[dependent] == 0 {
                free.push_back(dependent);
            }
        }
    }
    let mut steps: Vec<usize> = (0..round.len()).collect();
    steps.sort_by_key(|step| round[*step]);
    let mut table = Table::new(["Round", "Step", "Task", "Repository", "What"]).numeric(0).numeric(1).optional([1]);
    let mut rows = Vec::new();
    for step in steps {
        let cell = &graph.cells[step];
        let (task, place) = (plan.task(cell), plan.place(cell));
        let repo = place.map(|place| place.name.clone());
        table.row([
            round[step].to_string(),
            step.to_string(),
            task.name.clone(),
            repo.clone().unwrap_or_default(),
            task.work.title(),
        ]);
        rows.push(json!({
            "round": round[step],
            "step": step,
            "task": task.name,
            "repo": repo,
            "what": task.work.title(),
            "after": graph.needs[step],
        }));
    }
    format.print(&rows, &table, "No steps.", output)
}
