//! A sweep as any door asks for it: one piece of work over selected repositories.

use std::collections::BTreeMap;

use oneiric::fault::{Fault, Result};
use orchestrator::repos::Manifest;
use orchestrator::workflows::plan::{OnUnknown, Plan, Policy, Work, command_line};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engines;
use crate::world::World;

/// What is asked for. Times are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepRequest {
    /// Program and arguments; one word with spaces is a shell's command line
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Only repositories with this tag
    #[serde(default)]
    pub(crate) tag: Option<String>,
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// Only these, by name or nickname
    #[serde(default)]
    pub(crate) repos: Vec<String>,
    /// Most repositories at the same time
    #[serde(default)]
    pub(crate) parallel: Option<u32>,
    #[serde(default)]
    pub(crate) retries: u32,
    /// Seconds before the first retry
    #[serde(default)]
    pub(crate) backoff: Option<f64>,
    /// Seconds that a step may take
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    /// Seconds between asking to end and killing
    #[serde(default)]
    pub(crate) grace: Option<f64>,
    /// What becomes of a step that may or may not have finished
    #[serde(default)]
    pub(crate) on_unknown: Unknown,
    #[serde(default)]
    pub(crate) fail_fast: bool,
    /// Let others work in the same repository meanwhile
    #[serde(default)]
    pub(crate) no_lock: bool,
    /// A question for a person, before anything begins
    #[serde(default)]
    pub(crate) approve: Option<String>,
    /// Give it to this pool's workers, or to those of this profile; a prompt for agents
    #[serde(default)]
    pub(crate) pool: Option<String>,
    /// In a worktree of its own for each repository
    #[serde(default)]
    pub(crate) worktree: bool,
    /// Asking twice with one key makes one workflow
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Hand it to prefect, agno or llamaindex
    #[serde(default)]
    pub(crate) adapter: Option<String>,
    /// What that engine runs: a deployment as FLOW/DEPLOYMENT, an agent, a workflow
    #[serde(default)]
    pub(crate) target: Option<String>,
    /// What it is given beside repo, path and command
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
}

/// What becomes of a step that may or may not have finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unknown {
    /// Show it and wait for a decision
    #[default]
    Ask,
    /// Run it again
    Retry,
    /// Count it as failed
    Fail,
}

impl From<Unknown> for OnUnknown {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Ask => Self::Ask,
            Unknown::Retry => Self::Retry,
            Unknown::Fail => Self::Fail,
        }
    }
}

impl SweepRequest {
    /// The plan over the repositories that the manifest has now.
    ///
    /// # Errors
    /// User; not found, when nothing is selected; config, when the manifest is wrong.
    pub(crate) fn plan(&self, world: &World) -> Result<Plan> {
        self.plan_over(&world.manifest()?, world)
    }

    /// The plan over this manifest's repositories.
    ///
    /// # Errors
    /// As [`SweepRequest::plan`].
    pub(crate) fn plan_over(&self, manifest: &Manifest, world: &World) -> Result<Plan> {
        if self.timeout.is_some_and(|timeout| timeout <= 0.0 || !timeout.is_finite()) {
            return Err(Fault::user("a time limit of nothing ends every step at once")
                .hint("give more than 0 seconds, or no time limit"));
        }
        let work = self.work(world)?;
        let selected = self.select(manifest, world)?;
        let defaults = Policy::default();
        let policy = Policy {
            attempts: self.retries.min(100) + 1,
            backoff: self.backoff.unwrap_or(defaults.backoff),
            timeout: self.timeout,
            grace: self.grace.unwrap_or(defaults.grace),
            on_unknown: self.on_unknown.into(),
            exclusive: !self.no_lock,
            ..defaults
        };
        let parallel = self.parallel.unwrap_or(u32::MAX);
        let mut plan = Plan::sweep(manifest, &selected, work, policy, parallel);
        plan.fail_fast = self.fail_fast;
        if let Some(question) = &self.approve {
            plan.ask_first(question);
        }
        Ok(plan)
    }

    fn work(&self, world: &World) -> Result<Work> {
        if self.command.iter().any(|word| word.contains('\0')) {
            return Err(Fault::user("the command has a NUL character"));
        }
        match (&self.adapter, &self.target) {
            (None, None) => {}
            (Some(_), _) if self.pool.is_some() || self.worktree => {
                return Err(Fault::user("work is given to an engine or to a pool, not to both"));
            }
            (Some(adapter), Some(target)) => {
                let parameters = self.given()?;
                let adapter = engines::check(world, adapter, target)?.to_string();
                return Ok(Work::Adapter { adapter, target: target.clone(), parameters });
            }
            _ => return Err(Fault::user("adapter and target go together")),
        }
        let argv = match self.command.as_slice() {
            [] => return Err(Fault::user("there is no command")),
            [first, ..] if first.trim().is_empty() => {
                return Err(Fault::user("the command is empty").hint("give a program, or a shell's command line"));
            }
            [line] if line.contains(char::is_whitespace) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            words => words.to_vec(),
        };
        if self.pool.is_some() || self.worktree {
            let pool = self.pool.as_deref().unwrap_or("shell");
            orchestrator::pools::check(world.settings.home(), pool)?;
            let prompt = match self.command.as_slice() {
                [one] => one.clone(),
                words => command_line(words),
            };
            return Ok(Work::Worker { pool: pool.to_owned(), prompt, worktree: self.worktree });
        }
        Ok(Work::Command { argv, env: BTreeMap::new() })
    }

    /// What an engine is given on purpose.
    fn given(&self) -> Result<Value> {
        let mut parameters = self.parameters.clone();
        let command = match self.command.as_slice() {
            [] => return Ok(Value::Object(parameters)),
            [line] => line.clone(),
            words => command_line(words),
        };
        if parameters.insert("command".to_owned(), command.into()).is_some() {
            return Err(Fault::user("the command is given twice").hint("give it after -- or as a parameter"));
        }
        Ok(Value::Object(parameters))
    }

    fn select<'m>(&self, manifest: &'m Manifest, world: &World) -> Result<Vec<&'m orchestrator::repos::Repository>> {
        if manifest.repos.is_empty() {
            return Err(Fault::not_found("there are no repositories").hint(Manifest::how_to_list(&world.places())));
        }
        let mut selected = manifest.select(self.tag.as_deref(), self.role.as_deref())?;
        if !self.repos.is_empty() {
            for name in &self.repos {
                manifest.find(name)?;
            }
            selected.retain(|repo| self.repos.iter().any(|name| repo.is_called(name)));
        }
        if selected.is_empty() {
            return Err(Fault::not_found("no repository is selected").hint("'mahavishnu list-repos' shows them"));
        }
        Ok(selected)
    }
}
