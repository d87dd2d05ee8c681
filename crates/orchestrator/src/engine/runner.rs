//! What runs steps: processes here, and whatever else a program adds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use oneiric::clock::Clock;
use oneiric::fault::Fault;
use oneiric::redact::Redactor;

use crate::repos::status::trouble;
use crate::run::{CommandJob, Stop, run_command};
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::plan::{Policy, Work};

/// An attempt of a step, ready to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Id of its workflow.
    pub workflow: String,
    /// Number of the step.
    pub step: u32,
    /// Which attempt.
    pub attempt: u32,
    /// What it takes.
    pub work: Work,
    /// Name of its repository; empty for a task that runs once.
    pub repo: String,
    /// Where it runs.
    pub dir: Option<PathBuf>,
    /// How it is run.
    pub policy: Policy,
    /// What marks its processes.
    pub mark: String,
    /// Where its output is kept.
    pub output: PathBuf,
    /// The other engine's id, when this attempt was begun by an engine that is gone.
    pub run: Option<String>,
}

impl Job {
    /// The same for the same attempt, whoever makes it: what other engines get as their idempotency key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.workflow, self.step, self.attempt)
    }
}

/// Runs steps. Called on a thread of its own, which it may block.
pub trait Runner: Send + Sync {
    /// Runs an attempt to its end, or until `stop` is raised and it has ended. `bound` is told the id that another engine
    /// gave it, and returns when that is written down.
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending;

    /// Whether work can be handed to another engine now.
    ///
    /// # Errors
    /// Why not, in words.
    fn reaches(&self, engine: &str) -> Result<(), String> {
        let _ = engine;
        Ok(())
    }

    /// Whether another engine has something that it is to run. Gives why runs of that wait and do not begin, if that is so now.
    ///
    /// # Errors
    /// Not found, with what there is; unavailable when the engine is not there to be asked; denied.
    fn offers(&self, engine: &str, target: &str) -> Result<Option<String>, Fault> {
        let _ = (engine, target);
        Ok(None)
    }
}

/// Runs commands as processes of this machine.
pub struct CommandRunner {
    /// What processes inherit.
    pub environment: BTreeMap<OsString, OsString>,
    /// What hides secrets in their output.
    pub redactor: Arc<Redactor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl CommandRunner {
    /// Variables of this process without those that carry our own secrets.
    #[must_use]
    pub fn inherited(vars: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
        let own = |name: &str| {
            ["MAHAVISHNU_", "SESSION_BUDDY_", "ONEIRIC_", "CROSS_PROJECT_", "AKOSHA_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                && ["SECRET", "TOKEN", "PASSWORD", "API_KEY"].iter().any(|word| name.contains(word))
        };
        vars.into_iter().filter(|(name, _)| !name.to_str().is_some_and(own)).collect()
    }
}

impl Runner for CommandRunner {
    fn run(&self, job: &Job, stop: &Stop, _: &dyn Fn(&str)) -> Ending {
        let Work::Command { argv, env } = &job.work else {
            return Ending::because(Outcome::Crashed, "this engine runs commands only");
        };
        let mut variables = self.environment.clone();
        variables.extend(env.iter().map(|(name, value)| (name.into(), value.into())));
        for (name, value) in [("MAHAVISHNU_WORKFLOW_ID", &job.workflow), ("MAHAVISHNU_REPO", &job.repo)] {
            variables.insert(name.into(), value.into());
        }
        variables.insert("MAHAVISHNU_ATTEMPT".into(), job.attempt.to_string().into());
        let command = CommandJob {
            argv: argv.clone(),
            env: variables,
            dir: job.dir.clone().unwrap_or_else(|| PathBuf::from("/")),
            limit: job.policy.limit(),
            grace: job.policy.grace(),
            mark: job.mark.clone(),
            output: job.output.clone(),
        };
        let mut ending = run_command(&command, stop, &self.redactor, self.clock.as_ref());
        // Often the repository is what is wrong, and not the command.
        if ending.outcome == Outcome::Failed
            && let Some(trouble) = job.dir.as_deref().and_then(trouble)
        {
            let said = ending.note.filter(|_| ending.exit_code != Some(127));
            ending.note = Some(said.map_or_else(|| trouble.clone(), |said| format!("{trouble}; {said}")));
        }
        ending
    }
}
