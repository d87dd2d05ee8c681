//! `top()` as it is drawn, and a workflow with the end of what it printed.

use std::fmt::Write;

use oneiric::clock::clock_time;
use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric_shell::interpreter::Frame;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use oneiric_shell::terminal::{Terminal, printable, printable_lines};
use orchestrator::engine::output_path;
use orchestrator::run::read_output;
use orchestrator::workflows::fact::StepState;
use orchestrator::workflows::{Which, Workflow};

use crate::cli::workflow::{machine, show_table, status_words};
use crate::shell::short;
use crate::world::World;

/// Cells of a bar.
const BAR: usize = 12;
/// Workflows that are drawn.
const ROWS: usize = 50;
/// Lines of a step's output that `%workflow` shows.
const TAIL: usize = 10;
/// Steps whose output it shows.
const STEPS: usize = 3;

/// The active workflows now.
pub(super) fn top(world: &World, terminal: Terminal) -> Result<Frame> {
    let found = world.workflows().list(Which::Active, ROWS)?;
    if found.is_empty() {
        return Ok(Frame { text: "No active workflows.".to_owned(), over: true });
    }
    let now = world.clock.now();
    let mut table =
        Table::new(["ID", "Task", "Repository", "Status", "Progress", "Steps", "Running", "Failed", "Time"])
            .numeric(6)
            .numeric(7)
            .optional([7, 6, 5, 2])
            .brief([1]);
    for workflow in &found {
        table.row([
            short(&workflow.id).to_owned(),
            workflow.task.clone(),
            workflow.repo.clone(),
            status_words(workflow, world),
            bar(workflow.progress),
            format!("{}/{}", workflow.completed + workflow.failed, workflow.steps),
            workflow.running.to_string(),
            workflow.failed.to_string(),
            workflow.started_at.map(|start| clock_time(now.since(start))).unwrap_or_default(),
        ]);
    }
    let running: u32 = found.iter().map(|workflow| workflow.running).sum();
    let mut text = table.render(terminal);
    let _ = write!(text, "\n{} active, {} running", found.len(), counted(running, "step", "steps"));
    Ok(Frame { text, over: false })
}

/// `██████░░░░░░  50 %`.
fn bar(progress: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let full = (progress.clamp(0.0, 1.0) * BAR as f64).floor() as usize;
    format!("{}{} {:>3.0} %", "█".repeat(full), "░".repeat(BAR - full), progress * 100.0)
}

/// A workflow, its steps, and the end of what the most telling ones printed: failed ones, then running, then the last.
pub(super) fn workflow(world: &World, workflow: &Workflow, output: &Output) -> Result<()> {
    show_table(world, workflow, output)?;
    let Ok(machine) = machine(world, workflow) else { return Ok(()) };
    let mut begun: Vec<(u8, u32, u32)> = (0_u32..)
        .zip(machine.steps())
        .filter(|(_, step)| step.attempt > 0)
        .map(|(number, step)| {
            let rank = match step.state {
                StepState::Failed | StepState::Timeout | StepState::Unknown => 0,
                StepState::Running => 1,
                _ => 2,
            };
            (rank, number, step.attempt)
        })
        .collect();
    begun.sort_by_key(|(rank, number, _)| (*rank, std::cmp::Reverse(*number)));
    let mut shown = 0;
    for (rank, number, attempt) in begun {
        // Of those that ended well one is enough.
        if shown == STEPS || (rank == 2 && shown > 0) {
            break;
        }
        let path = output_path(world.settings.home(), &workflow.id, number, attempt);
        let Ok((text, _)) = read_output(&path, 0) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            continue;
        }
        shown += 1;
        output.line(&output.terminal().strong(&format!("── {}", printable(&machine.label(number)))));
        output.line(&printable_lines(&lines[lines.len().saturating_sub(TAIL)..].join("\n")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_progress() {
        assert_eq!(bar(0.5), "██████░░░░░░  50 %");
        assert_eq!(bar(1.0), "████████████ 100 %");
        assert_eq!(bar(7.0).chars().filter(|c| *c == '█').count(), 12);
    }
}
