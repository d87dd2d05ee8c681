//! `sweep`: one command in many repositories.

use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_shell::output::Output;
use oneiric_shell::terminal::printable;
use orchestrator::workflows::{NewWorkflow, Submitted, Workflow};
use serde_json::{Map, Value};

use super::format::Format;
use super::workflow::{end_of, steps_value};
use super::{Needs, Token};
use crate::drive::{self, Followed};
use crate::sweeps::{SweepRequest, Unknown};
use crate::who;
use crate::world::World;

/// Run a command in many repositories, in the order of their dependencies
#[derive(clap::Args, Debug)]
#[command(after_help = "Exit code: 0 when every step ended well, 1 when one did not, 130 when it was cancelled.")]
pub(super) struct Sweep {
    /// Only repositories with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only repositories with this role
    #[arg(long)]
    role: Option<String>,
    /// Only these repositories, by name or nickname; may be repeated
    #[arg(long = "repo", value_name = "NAME")]
    repos: Vec<String>,
    /// Hand the work to this engine: prefect, agno or llamaindex
    #[arg(long, value_name = "NAME", requires = "target")]
    adapter: Option<String>,
    /// What that engine is to run: a deployment as FLOW/DEPLOYMENT, an agent, team or workflow; `adapters verify` lists them
    #[arg(long, alias = "deployment", value_name = "TARGET", requires = "adapter")]
    target: Option<String>,
    /// What it is given, as a JSON object; repo, path and command are added
    #[arg(long, value_name = "JSON", requires = "adapter")]
    parameters: Option<String>,
    /// Most repositories at the same time
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    parallel: Option<u32>,
    /// How often a failed step is tried again
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
    /// Wait before the first retry, doubled for each further one
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    backoff: Duration,
    /// Longest time of a step, more than 0; its whole process group is ended then
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Duration>,
    /// Time between asking a step to end and killing it
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    grace: Duration,
    /// What becomes of a step that may or may not have finished because the engine was killed
    #[arg(long, value_enum, default_value = "ask")]
    on_unknown: Unknown,
    /// Begin nothing more after the first failure
    #[arg(long)]
    fail_fast: bool,
    /// Let others work in the same repository meanwhile
    #[arg(long)]
    no_lock: bool,
    /// Ask a person before it begins
    #[arg(long, value_name = "QUESTION")]
    approve: Option<String>,
    /// Give it to the workers of this pool, or of this profile; the command is a prompt when they are agents
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Give it a worktree of its own in each repository
    #[arg(long)]
    worktree: bool,
    /// Asking twice with one key makes one workflow
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Return at once; `workflow list` shows how far it is
    #[arg(long)]
    detach: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    token: Token,
    /// Program and arguments; one word with spaces is a shell's command line. An engine gets it as the parameter command
    #[arg(last = true, required_unless_present = "adapter", value_name = "COMMAND")]
    command: Vec<String>,
}

/// `90`, `1.5s`, `10m`, `2h`.
pub(super) fn span(text: &str) -> std::result::Result<Duration, String> {
    orchestrator::workflows::file::parse_span(text)
}

impl Sweep {
    pub(super) fn needs(&self) -> Needs<'_> {
        self.token.needs("sweep", Scope::Write)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let new = NewWorkflow {
            plan: self.request()?.plan(world)?,
            key: self.key.clone(),
            asked_by: who::username(&world.surroundings),
            schedule: None,
        };
        let submitted = drive::submit(world, &new)?;
        say_known(&submitted, self.key.as_deref(), output);
        if self.detach {
            drive::detach(world, &submitted.id)?;
            match self.format {
                Format::Json => output.line(&super::format::json(&serde_json::json!({ "workflow_id": submitted.id }))?),
                Format::Table | Format::Csv => output.line(&submitted.id),
            }
            return Ok(0);
        }
        follow(world, &submitted, self.format, output)
    }

    pub(super) fn request(&self) -> Result<SweepRequest> {
        Ok(SweepRequest {
            adapter: self.adapter.clone(),
            target: self.target.clone(),
            parameters: self.parameters()?,
            command: self.command.clone(),
            tag: self.tag.clone(),
            role: self.role.clone(),
            repos: self.repos.clone(),
            parallel: self.parallel,
            retries: self.retries,
            backoff: Some(self.backoff.as_secs_f64()),
            timeout: self.timeout.map(|timeout| timeout.as_secs_f64()),
            grace: Some(self.grace.as_secs_f64()),
            on_unknown: self.on_unknown,
            fail_fast: self.fail_fast,
            no_lock: self.no_lock,
            approve: self.approve.clone(),
            pool: self.pool.clone(),
            worktree: self.worktree,
            key: self.key.clone(),
        })
    }

    /// What an engine is given on purpose.
    fn parameters(&self) -> Result<Map<String, Value>> {
        serde_json::from_str(self.parameters.as_deref().unwrap_or("{}")).map_err(|error| {
            Fault::user(format!("the parameters are no JSON object: {error}")).hint("write '{\"name\": \"value\"}'")
        })
    }
}

/// Says that a key was used before: what is shown is that earlier workflow.
pub(super) fn say_known(submitted: &Submitted, key: Option<&str>, output: &Output) {
    if submitted.existing {
        let (key, id) = (printable(key.unwrap_or_default()), &submitted.id);
        output.error_line(&format!("note: key '{key}' was used before: this is the run of then, workflow {id}"));
    }
}

/// Follows a workflow that was asked for and reports its end. As JSON its id comes at once, the rest at its end.
pub(super) fn follow(world: &World, submitted: &Submitted, format: Format, output: &Output) -> Result<i32> {
    if format != Format::Json {
        let (workflow, followed) = drive::follow(world, &submitted.id, true, output)?;
        return report(world, &workflow, followed, format, output);
    }
    output.line(&json_head(&submitted.id));
    let followed = drive::follow(world, &submitted.id, true, output)
        .and_then(|(workflow, followed)| Ok((json_rest(world, &workflow)?, workflow, followed)));
    match followed {
        Ok((rest, workflow, followed)) => {
            output.line(&rest);
            Ok(conclude(&workflow, followed, output))
        }
        Err(fault) => {
            output.line(&rest_of(&serde_json::json!({ "failure": fault.message() }))?);
            Err(fault)
        }
    }
}

/// The beginning of a report as JSON.
fn json_head(id: &str) -> String {
    format!("{{\n  \"workflow_id\": \"{id}\",")
}

/// The rest of it.
fn json_rest(world: &World, workflow: &Workflow) -> Result<String> {
    let mut value = serde_json::to_value(workflow).map_err(|error| Fault::internal(error.to_string()))?;
    if let Some(value) = value.as_object_mut() {
        value.remove("id");
        value.insert("steps".into(), steps_value(world, workflow)?.into());
    }
    rest_of(&value)
}

fn rest_of(value: &Value) -> Result<String> {
    let text = super::format::json(value)?;
    Ok(text.strip_prefix("{\n").unwrap_or(&text).to_owned())
}

/// Prints how a workflow ended and gives the exit code.
pub(super) fn report(
    world: &World,
    workflow: &Workflow,
    followed: Followed,
    format: Format,
    output: &Output,
) -> Result<i32> {
    match format {
        Format::Json => {
            output.line(&json_head(&workflow.id));
            output.line(&json_rest(world, workflow)?);
        }
        Format::Csv => super::workflow::print_steps(world, workflow, format, output)?,
        Format::Table => {
            super::workflow::print_steps(world, workflow, format, output)?;
            output.line(&end_of(workflow, output.terminal()));
        }
    }
    Ok(conclude(workflow, followed, output))
}

fn conclude(workflow: &Workflow, followed: Followed, output: &Output) -> i32 {
    if followed != Followed::Ended && !workflow.status.is_final() {
        output.error_line(&format!(
            "workflow {} has not ended: 'mahavishnu workflow show {}' says what it waits for",
            workflow.id, workflow.id
        ));
    }
    followed.exit_code(workflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_read_with_their_unit() {
        assert_eq!(span("90"), Ok(Duration::from_secs(90)));
        assert_eq!(span("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(span("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "s", "-1s", "5 parsecs", "1e400", "NaN"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
