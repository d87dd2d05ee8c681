//! `workflow`: what runs, what ran, and word to it.

mod explain;
mod logs;
mod run;
mod schedule;
mod waits;

use clap::{Subcommand, ValueEnum};
use oneiric::clock::clock_time;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use oneiric_shell::terminal::{Terminal, printable};
use orchestrator::workflows::fact::{Decision, StepState};
use orchestrator::workflows::machine::Machine;
use orchestrator::workflows::{Request, Status, Which, Workflow};
use serde_json::{Value, json};

use super::format::Format;
use super::sweep::report;
use super::{Needs, Token};
use crate::drive;
use crate::shell::short;
use crate::who;
use crate::world::World;

/// Show and steer workflows
#[derive(clap::Args, Debug)]
pub(super) struct WorkflowCommand {
    #[command(flatten)]
    token: Token,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List workflows, newest first
    List {
        /// Only those that are pending or running
        #[arg(long, conflicts_with = "failed")]
        active: bool,
        /// Only those that failed or ran out of time
        #[arg(long)]
        failed: bool,
        /// Most rows
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show a workflow and its steps
    Show {
        /// Its id, or the end or the beginning of it
        id: String,
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Print what its steps printed
    Logs(logs::Logs),
    /// Run a plan from a file
    Run(run::RunPlan),
    /// Work that is asked for again and again
    Schedule {
        #[command(subcommand)]
        action: schedule::ScheduleAction,
    },
    /// Stop it; ends when the work has stopped
    Cancel {
        /// Its id, or the end or the beginning of it
        id: String,
    },
    /// Run again what did not end well
    Retry {
        /// Its id, or the end or the beginning of it
        id: String,
        /// Return at once
        #[arg(long)]
        detach: bool,
        /// How to print the result
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Go on with a workflow whose process is gone, and decide about steps that may or may not have finished
    Resume {
        /// Its id, or the end or the beginning of it
        id: String,
        /// What is to be done with steps that may or may not have finished
        #[arg(long, value_enum)]
        unknown: Option<Unknown>,
        /// Run without a terminal until it has ended
        #[arg(long, hide = true)]
        background: bool,
        /// How to print the result
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Say why it is as it is: its journal in words
    Explain {
        /// Its id, or the end or the beginning of it
        id: String,
    },
    /// Answer a workflow that asks
    Approve {
        /// Its id, or the end or the beginning of it
        id: String,
        /// Say no
        #[arg(long)]
        refuse: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unknown {
    /// Run them again
    Retry,
    /// They are done
    Done,
    /// They failed
    Failed,
}

impl WorkflowCommand {
    pub(super) fn needs(&self) -> Needs<'_> {
        let (what, scope) = match &self.action {
            Action::List { .. } | Action::Show { .. } | Action::Logs(_) | Action::Explain { .. } => {
                ("workflow", Scope::Read)
            }
            Action::Run(_) => ("workflow run", Scope::Write),
            Action::Schedule { action } if action.changes() => ("workflow schedule", Scope::Write),
            Action::Schedule { .. } => ("workflow schedule", Scope::Read),
            Action::Cancel { .. } => ("workflow cancel", Scope::Write),
            Action::Retry { .. } => ("workflow retry", Scope::Write),
            // To decide takes more than to go on, as with the tool decide_workflow.
            Action::Resume { unknown: Some(_), .. } => ("workflow resume", Scope::Admin),
            Action::Resume { .. } => ("workflow resume", Scope::Write),
            Action::Approve { .. } => ("workflow approve", Scope::Admin),
        };
        self.token.needs(what, scope)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let by = who::username(&world.surroundings);
        match &self.action {
            Action::List { active, failed, limit, format } => {
                let which = match (active, failed) {
                    (true, _) => Which::Active,
                    (_, true) => Which::Failed,
                    _ => Which::All,
                };
                list(world, which, *limit as usize, *format, output).map(|()| 0)
            }
            Action::Show { id, format } => show(world, &world.workflows().get(id)?, *format, output).map(|()| 0),
            Action::Logs(logs) => logs.run(world, output),
            Action::Run(plan) => plan.run(world, by, output),
            Action::Schedule { action } => action.run(world, output),
            Action::Cancel { id } => {
                let workflow = world.workflows().get(id)?;
                let request = Request::Cancel { by };
                let (workflow, _) = tell(world, &workflow, &request, output)?;
                output.line(&end_of(&workflow, output.terminal()));
                Ok(if workflow.status.is_final() { 0 } else { 1 })
            }
            Action::Retry { id, detach, format } => {
                let workflow = world.workflows().get(id)?;
                world.workflows().retry(&workflow, world.clock.now())?;
                go_on(world, &workflow, *detach, *format, output)
            }
            Action::Resume { id, unknown, background, format } => {
                let workflow = world.workflows().get(id)?;
                if workflow.status.is_final() {
                    return Err(Fault::conflict(format!("workflow {} is {} already", workflow.id, workflow.status))
                        .hint("'mahavishnu workflow retry' runs again what did not end well"));
                }
                if *background {
                    // A session of its own: it outlives the terminal that it came from.
                    let _ = rustix::process::setsid();
                }
                if let Some(unknown) = unknown {
                    let decision = match unknown {
                        Unknown::Retry => Decision::Retry,
                        Unknown::Done => Decision::Done,
                        Unknown::Failed => Decision::Failed,
                    };
                    let request = Request::Settle { step: None, decision, by };
                    world.workflows().ask(&workflow, &request, world.clock.now())?;
                }
                go_on(world, &workflow, false, *format, output)
            }
            Action::Explain { id } => explain::explain(world, &world.workflows().get(id)?, output).map(|()| 0),
            Action::Approve { id, refuse } => {
                let workflow = world.workflows().get(id)?;
                if workflow.waiting_for_someone == 0 {
                    return Err(Fault::conflict(format!("workflow {} does not ask", workflow.id)));
                }
                let request = Request::Answer { step: None, yes: !refuse, by };
                let number = world.workflows().ask(&workflow, &request, world.clock.now())?;
                if drive::is_driven(world, &workflow) && drive::await_answer(world, &workflow, number)? {
                    output.line(if *refuse { "Refused." } else { "Approved." });
                    return Ok(0);
                }
                go_on(world, &workflow, false, Format::Table, output)
            }
        }
    }
}

/// Leaves word for a workflow and follows it to its end.
fn tell(world: &World, workflow: &Workflow, request: &Request, output: &Output) -> Result<(Workflow, drive::Followed)> {
    world.workflows().ask(workflow, request, world.clock.now())?;
    drive::follow(world, &workflow.id, true, output)
}

fn go_on(world: &World, workflow: &Workflow, detach: bool, format: Format, output: &Output) -> Result<i32> {
    if detach {
        drive::detach(world, &workflow.id)?;
        output.line(&workflow.id);
        return Ok(0);
    }
    let (workflow, followed) = drive::follow(world, &workflow.id, true, output)?;
    report(world, &workflow, followed, format, output)
}

/// Workflows as a table for people, or with `whole` ids for programs.
pub(crate) fn table(workflows: &[Workflow], world: &World, whole: bool) -> Table {
    let now = world.clock.now();
    let mut table = Table::new(["ID", "Task", "Repository", "Status", "Progress", "Time", "Exit"])
        .numeric(4)
        .numeric(6)
        .optional([6, 5])
        .brief([1]);
    for workflow in workflows {
        let time = workflow.started_at.map(|start| clock_time(workflow.ended_at.unwrap_or(now).since(start)));
        table.row([
            if whole { workflow.id.clone() } else { short(&workflow.id).to_owned() },
            workflow.task.clone(),
            workflow.repo.clone(),
            status_words(workflow, world),
            format!("{:.0} %", workflow.progress * 100.0),
            time.unwrap_or_default(),
            workflow.exit_code.map(|code| code.to_string()).unwrap_or_default(),
        ]);
    }
    table
}

/// A workflow's state, and what the bare state would hide.
pub(crate) fn status_words(workflow: &Workflow, world: &World) -> String {
    let status = workflow.status;
    if status.is_final() {
        return status.to_string();
    }
    // Whoever drives it may go while it waits for a person; who answers goes on with it.
    if workflow.engine.is_some() && !workflow.stuck && !drive::is_driven(world, workflow) {
        return format!("{status} (interrupted)");
    }
    match () {
        () if workflow.queued => format!("{status} (after the run before it)"),
        () if workflow.cancel_requested => format!("{status} (cancelling)"),
        () if workflow.stuck => format!("{status} (waits for you)"),
        () if workflow.waiting_for_someone > 0 => format!("{status} ({} for you)", workflow.waiting_for_someone),
        () => status.to_string(),
    }
}

fn list(world: &World, which: Which, limit: usize, format: Format, output: &Output) -> Result<()> {
    let found = world.workflows().list(which, limit)?;
    let none = match which {
        Which::All => "No workflows yet; 'mahavishnu sweep -- COMMAND' makes one.",
        Which::Active => "No active workflows.",
        Which::Failed => "No failed workflows.",
    };
    format.print(&found, &table(&found, world, format == Format::Csv), none, output)
}

fn show(world: &World, workflow: &Workflow, format: Format, output: &Output) -> Result<()> {
    if format == Format::Json {
        output.line(&super::format::json(&whole_value(world, workflow)?)?);
        return Ok(());
    }
    if format == Format::Table {
        output.line(&format!("{}  {}", output.terminal().strong(&workflow.id), printable(&workflow.task)));
        let asked = workflow.asked_by.as_deref().map(|by| format!(", asked for by {by}")).unwrap_or_default();
        let stopped =
            world.workflows().cancelled_by(workflow)?.map(|by| format!(", cancelled by {by}")).unwrap_or_default();
        let line =
            format!("{}; created {}{asked}{stopped}", status_words(workflow, world), workflow.created_at.local());
        output.line(&printable(&line));
    }
    match print_steps(world, workflow, format, output) {
        // What is known of the whole is worth reading, also when nobody can read the steps any more.
        Err(fault) if format == Format::Table => output.error_line(&format!("note: {fault}")),
        printed => printed?,
    }
    if format == Format::Table {
        output.line(&end_of(workflow, output.terminal()));
        if workflow.waiting_for_someone > 0 {
            output.line(&format!("{} for you:", counted(workflow.waiting_for_someone, "step waits", "steps wait")));
            output.line(&format!("  mahavishnu workflow approve {0}            when they ask\n  mahavishnu workflow resume {0} --unknown …  when they may or may not have finished", short(&workflow.id)));
        } else if workflow.engine.is_some() && !workflow.status.is_final() && !drive::is_driven(world, workflow) {
            output.line(&format!("Its process is gone: 'mahavishnu workflow resume {}' goes on.", short(&workflow.id)));
        }
    }
    Ok(())
}

/// A workflow and its steps for programs.
pub(crate) fn whole_value(world: &World, workflow: &Workflow) -> Result<Value> {
    let mut value = serde_json::to_value(workflow).map_err(|error| Fault::internal(error.to_string()))?;
    if let Some(by) = world.workflows().cancelled_by(workflow)? {
        value["cancelled_by"] = by.into();
    }
    value["steps"] = steps_value(world, workflow)?.into();
    Ok(value)
}

/// A workflow and its steps for people.
pub(crate) fn show_table(world: &World, workflow: &Workflow, output: &Output) -> Result<()> {
    show(world, workflow, Format::Table, output)
}

/// The steps of a workflow, all of them, also those that have not begun.
pub(crate) fn machine(world: &World, workflow: &Workflow) -> Result<Machine> {
    let (plan, rows) = world.workflows().steps(workflow)?;
    let standing = orchestrator::workflows::machine::Standing {
        status: workflow.status,
        started_at: workflow.started_at,
        cancel: workflow.cancel_requested,
        out_of_time: false,
    };
    Machine::restore(plan, 0, rows, standing)
}

pub(crate) use self::waits::notes;

/// Steps as rows for programs.
pub(super) fn steps_value(world: &World, workflow: &Workflow) -> Result<Vec<Value>> {
    let Ok(machine) = machine(world, workflow) else { return Ok(Vec::new()) };
    let notes = notes(world, workflow, &machine);
    let rows = (0_u32..).zip(machine.steps()).map(|(number, step)| {
        let cell = &machine.graph().cells[number as usize];
        let ending = step.ending.as_ref();
        json!({
            "step": number,
            "task": machine.plan().task(cell).name,
            "repo": machine.plan().place(cell).map(|place| &place.name),
            "state": step.state,
            "outcome": ending.map(|ending| ending.outcome),
            "attempt": step.attempt,
            "started_at": step.started_at,
            "ended_at": step.ended_at,
            "retry_at": step.until,
            "exit_code": ending.and_then(|ending| ending.exit_code),
            "note": notes.get(&number).cloned().or_else(|| ending?.note.clone()),
            "output_bytes": ending.map(|ending| ending.output_bytes),
            "result": ending.and_then(|ending| ending.result.clone()),
            "run": step.run,
        })
    });
    Ok(rows.collect())
}

/// Steps as a table.
pub(super) fn print_steps(world: &World, workflow: &Workflow, format: Format, output: &Output) -> Result<()> {
    let machine = machine(world, workflow)?;
    let now = world.clock.now();
    let notes = notes(world, workflow, &machine);
    let mut table = Table::new(["Step", "Task", "Repository", "State", "Try", "Time", "Exit", "Note"])
        .numeric(0)
        .numeric(4)
        .numeric(6)
        .optional([0, 4, 1]);
    for (number, step) in (0_u32..).zip(machine.steps()) {
        let cell = &machine.graph().cells[number as usize];
        let ending = step.ending.as_ref();
        let time = step.started_at.filter(|_| step.attempt > 0).map(|start| {
            let span = step.ended_at.filter(|_| step.state != StepState::Running).unwrap_or(now).since(start);
            if span.as_secs() < 60 { format!("{:.1} s", span.as_secs_f64()) } else { clock_time(span) }
        });
        table.row([
            number.to_string(),
            machine.plan().task(cell).name.clone(),
            machine.plan().place(cell).map(|place| place.name.clone()).unwrap_or_default(),
            step.state.to_string(),
            if step.attempt > 0 { step.attempt.to_string() } else { String::new() },
            time.unwrap_or_default(),
            ending.and_then(|ending| ending.exit_code).map(|code| code.to_string()).unwrap_or_default(),
            notes.get(&number).cloned().or_else(|| ending?.note.clone()).unwrap_or_default(),
        ]);
    }
    format.print(&steps_value(world, workflow)?, &table, "No steps.", output)
}

/// One line that says how a workflow ended, or how far it is.
pub(super) fn end_of(workflow: &Workflow, terminal: Terminal) -> String {
    let took = workflow.started_at.and_then(|start| Some(workflow.ended_at?.since(start)));
    let took = took.map(|took| format!(" in {:.1} s", took.as_secs_f64())).unwrap_or_default();
    let count = format!("{} of {}", workflow.completed, counted(workflow.steps, "step", "steps"));
    match workflow.status {
        Status::Completed => format!("{} {count} completed{took}", terminal.good("✓")),
        Status::Pending | Status::Running => format!("… {} ({count} completed)", workflow.status),
        status => {
            let error = printable(workflow.error.as_deref().unwrap_or_default());
            format!("{} {status}{took}: {error}", terminal.error("✗"))
        }
    }
}
