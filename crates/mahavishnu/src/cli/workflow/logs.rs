//! `workflow logs`: what the steps printed.

use std::collections::BTreeMap;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;
use oneiric_shell::output::Output;
use oneiric_shell::terminal::{printable, printable_lines};
use orchestrator::engine::output_path;
use orchestrator::run::read_output;
use orchestrator::workflows::Workflow;

use super::{machine, status_words};
use crate::drive;
use crate::world::World;

/// Time between two looks while it is followed.
const LOOK: Duration = Duration::from_millis(100);

/// Looks in a row that find nobody who drives it: a server that is started anew goes on by itself.
const ALONE: u32 = 30;

/// Print what its steps printed
#[derive(clap::Args, Debug)]
pub(super) struct Logs {
    /// Its id, or the end or the beginning of it
    id: String,
    /// Only this step, by its number
    #[arg(long)]
    step: Option<u32>,
    /// Only this repository
    #[arg(long)]
    repo: Option<String>,
    /// Go on printing until it ends
    #[arg(long, short = 'f')]
    follow: bool,
}

impl Logs {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let mut workflow = world.workflows().get(&self.id)?;
        let mut seen: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let mut last = None;
        let mut alone = 0;
        loop {
            // Read before the output, so that what came just before the end is printed too.
            workflow = world.workflows().get(&workflow.id)?;
            self.print(world, &workflow, &mut seen, &mut last, output)?;
            if !self.follow || workflow.status.is_final() || output.is_broken() {
                break;
            }
            if output.is_interrupted() {
                return Ok(130);
            }
            alone = if drive::is_driven(world, &workflow) { 0 } else { alone + 1 };
            if alone >= ALONE {
                let (id, words) = (&workflow.id, status_words(&workflow, world));
                let how = if workflow.stuck { "show" } else { "resume" };
                output.error_line(&format!(
                    "nobody drives workflow {id}, which is {words}: 'mahavishnu workflow {how} {id}' goes on from here"
                ));
                return Ok(1);
            }
            std::thread::sleep(LOOK);
        }
        if seen.is_empty() {
            output.error_line("no step has printed anything");
        }
        Ok(0)
    }

    fn print(
        &self,
        world: &World,
        workflow: &Workflow,
        seen: &mut BTreeMap<(u32, u32), u64>,
        last: &mut Option<(u32, u32)>,
        output: &Output,
    ) -> Result<()> {
        let machine = machine(world, workflow)?;
        let count = u32::try_from(machine.steps().len()).unwrap_or(u32::MAX);
        if let Some(step) = self.step.filter(|step| *step >= count) {
            return Err(Fault::not_found(format!("workflow {} has no step {step}", workflow.id))
                .hint(format!("its steps are 0 to {}", count.saturating_sub(1))));
        }
        let places = &machine.plan().repos;
        if let Some(repo) = self.repo.as_deref().filter(|repo| places.iter().all(|place| place.name != **repo)) {
            let names: Vec<&str> = places.iter().take(10).map(|place| place.name.as_str()).collect();
            return Err(Fault::not_found(format!("workflow {} has no repository '{repo}'", workflow.id))
                .hint(format!("it works in: {}", names.join(", "))));
        }
        for (number, step) in (0_u32..).zip(machine.steps()) {
            let place = machine.plan().place(&machine.graph().cells[number as usize]);
            let wanted = self.step.is_none_or(|wanted| wanted == number)
                && self.repo.as_deref().is_none_or(|repo| place.is_some_and(|place| place.name == repo));
            for attempt in 1..=step.attempt {
                if !wanted {
                    continue;
                }
                let from = seen.get(&(number, attempt)).copied().unwrap_or(0);
                let path = output_path(world.settings.home(), &workflow.id, number, attempt);
                let (text, end) = read_output(&path, from).map_err(|error| {
                    Fault::unavailable(format!("cannot read {}: {}", path.display(), plain(&error)))
                })?;
                if text.is_empty() {
                    continue;
                }
                if *last != Some((number, attempt)) {
                    let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                    output.line(&output.terminal().strong(&format!("── {}{again}", printable(&machine.label(number)))));
                    *last = Some((number, attempt));
                }
                output.bytes(printable_lines(&text).as_bytes(), false);
                if !text.ends_with('\n') {
                    output.bytes(b"\n", false);
                }
                seen.insert((number, attempt), end);
            }
        }
        Ok(())
    }
}
