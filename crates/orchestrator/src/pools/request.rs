//! What can be asked of pools, as every door writes it: `{"action": "spawn", "name": …}`.

use std::time::Duration;

use oneiric::fault::{Fault, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::selector::Selector;
use crate::workflows::plan::seconds;

/// Most workers of one pool.
pub const MAX_WORKERS: u32 = 256;
/// Most tasks that may wait for one pool.
pub const MAX_QUEUE: usize = 100_000;

/// How long the end of a task is waited for when the caller does not say: less than what clients wait for an answer.
pub(super) const TASK_WAIT: Duration = Duration::from_secs(45);

/// What a pool is made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Unique among the pools: letters, digits, `-` and `_`.
    pub name: String,
    /// Kind of its workers: the name of a profile. Not for pools of another engine.
    #[serde(default = "shell")]
    pub profile: String,
    /// The engine whose work pool does its tasks; `prefect`. Without one they are done here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What of that engine does them: a deployment, `flow/deployment`. It gets the parameters `prompt`, `repo`, `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Workers that are there even without work.
    #[serde(default)]
    pub min: u32,
    /// Most workers.
    #[serde(default = "four")]
    pub max: u32,
    /// Most tasks that wait.
    #[serde(default = "thousand")]
    pub queue: usize,
    /// Which worker a task goes to.
    #[serde(default)]
    pub selector: Selector,
    /// Seconds that a worker beyond `min` may be idle.
    #[serde(default = "minute")]
    pub idle_seconds: f64,
    /// Longest time of a task in seconds, when it does not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// Most that one task may cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_usd: Option<f64>,
    /// Most tokens of one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_tokens: Option<u64>,
    /// Most that all tasks together may cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_usd: Option<f64>,
    /// Most tokens of all tasks together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

fn shell() -> String {
    "shell".to_owned()
}

const fn four() -> u32 {
    4
}

const fn thousand() -> usize {
    1000
}

const fn minute() -> f64 {
    60.0
}

impl PoolSpec {
    /// A pool of this name with workers of this profile, and the usual bounds.
    #[must_use]
    pub fn new(name: &str, profile: &str) -> Self {
        Self {
            name: name.to_owned(),
            profile: profile.to_owned(),
            engine: None,
            target: None,
            min: 0,
            max: four(),
            queue: thousand(),
            selector: Selector::default(),
            idle_seconds: minute(),
            timeout_seconds: None,
            task_usd: None,
            task_tokens: None,
            max_usd: None,
            max_tokens: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.chars().all(plain) {
            return Err(Fault::user(format!("'{}' is no name of a pool", self.name.escape_debug()))
                .hint("use up to 40 letters, digits, - and _"));
        }
        if self.max == 0 || self.max > MAX_WORKERS || self.min > self.max {
            return Err(Fault::user(format!("a pool cannot have {} to {} workers", self.min, self.max))
                .hint(format!("min is at most max, and max is 1 to {MAX_WORKERS}")));
        }
        if self.queue == 0 || self.queue > MAX_QUEUE {
            return Err(Fault::user(format!("a pool cannot let {} tasks wait", self.queue))
                .hint(format!("queue is 1 to {MAX_QUEUE}")));
        }
        let amounts = [Some(self.idle_seconds), self.timeout_seconds, self.task_usd, self.max_usd];
        if amounts.into_iter().flatten().any(|amount| !amount.is_finite() || amount < 0.0) {
            return Err(Fault::user("times and budgets are numbers that are not negative"));
        }
        match (self.engine.as_deref(), &self.target) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Fault::user("a target needs an engine").hint("add the engine: prefect")),
            (Some("prefect"), Some(_)) => Ok(()),
            (Some("prefect"), None) => {
                Err(Fault::user("a pool of Prefect needs a target").hint("name a deployment: flow/deployment"))
            }
            (Some(other), _) => Err(Fault::user(format!("there are no pools of '{}'", other.escape_debug()))
                .hint("the engine is prefect, or none")),
        }
    }
}

/// A task for a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Execute {
    /// The pool; a profile's name stands for a pool of such workers that is made when it is needed. Not for `route`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A command line or a prompt, as its workers take it.
    pub prompt: String,
    /// The repository in which it is done, by name or nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Else the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<std::path::PathBuf>,
    /// Whether it gets a worktree of its own.
    pub worktree: bool,
    /// Longest time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// What tasks have in common that the same worker or pool should do; by default the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Most that it may cost, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_usd: Option<f64>,
    /// Most tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// How long its end is waited for, in seconds; afterwards `task` tells how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<f64>,
}

/// A task for whichever pool the selector chooses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// The task.
    pub task: Execute,
    /// How the pool is chosen.
    pub selector: Option<Selector>,
    /// Among these; when empty, among all whose workers take command lines.
    pub pools: Vec<String>,
    /// Among those whose workers are of this profile.
    pub profile: Option<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolRequest {
    /// Make a pool.
    Spawn(Box<PoolSpec>),
    /// Which pools there are.
    List,
    /// Do a task in a pool.
    Execute(Execute),
    /// Do a task in the pool that is chosen.
    Route(Route),
    /// Other bounds for a pool.
    Scale {
        /// The pool.
        pool: String,
        /// Workers that are there even without work; as before when absent.
        min: Option<u32>,
        /// Most workers; as before when absent.
        max: Option<u32>,
    },
    /// How a pool is, or all of them, with their workers.
    Health {
        /// The pool.
        pool: Option<String>,
    },
    /// Close a pool when what it has is done, or `now`.
    Close {
        /// The pool.
        pool: String,
        /// Whether what it does is stopped.
        now: bool,
    },
    /// Close all.
    CloseAll {
        /// Whether what they do is stopped.
        now: bool,
    },
    /// Which kinds of workers there are.
    Profiles,
    /// How far a task is.
    Task {
        /// Its number.
        task: u64,
    },
    /// The newest tasks.
    Tasks {
        /// Only of this pool.
        pool: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Stop a task.
    Cancel {
        /// Its number.
        task: u64,
        /// How long its end is waited for, in seconds: 20 at most, and when absent.
        wait_seconds: Option<f64>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(default)]
    now: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    pool: String,
    #[serde(default)]
    min: Option<u32>,
    #[serde(default)]
    max: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    task: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stopping {
    task: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait_seconds: Option<f64>,
}

impl PoolRequest {
    /// The same request, answered at once, and how long the end of its task may be waited for: for callers that wait without a
    /// thread. A wait that is no time stays, to be refused.
    #[must_use]
    pub fn without_wait(mut self) -> (Self, Option<Duration>) {
        let task = match &mut self {
            Self::Execute(task) | Self::Route(Route { task, .. }) => task,
            _ => return (self, None),
        };
        let wait = match task.wait_seconds {
            None => TASK_WAIT,
            Some(wait) if wait.is_finite() && wait >= 0.0 => seconds(wait),
            Some(_) => return (self, None),
        };
        task.wait_seconds = Some(0.0);
        (self, Some(wait))
    }

    /// What an action may be.
    pub const ACTIONS: [&str; 12] = [
        "spawn",
        "list",
        "execute",
        "route",
        "scale",
        "health",
        "close",
        "close_all",
        "profiles",
        "task",
        "tasks",
        "cancel",
    ];

    /// Reads a request: an object with `action` and what belongs to it; what is null is taken as absent.
    ///
    /// # Errors
    /// User, with what is wrong.
    pub fn read(value: Value) -> Result<Self> {
        let Value::Object(mut fields) = value else {
            return Err(Fault::user("a request to pools is an object"));
        };
        fields.retain(|_, value| !value.is_null());
        let action = match fields.remove("action") {
            Some(Value::String(action)) => action.replace('-', "_"),
            _ => return Err(Fault::user("a request to pools needs an action").hint(Self::ACTIONS.join(", "))),
        };
        let selector = match action.as_str() {
            "route" => fields.remove("selector"),
            _ => None,
        };
        let pools = if action == "route" { fields.remove("pools") } else { None };
        let profile = if action == "route" { fields.remove("profile") } else { None };
        let rest = Value::Object(fields);
        Ok(match action.as_str() {
            "spawn" => Self::Spawn(Box::new(of(rest)?)),
            "list" => Self::List,
            "execute" => Self::Execute(of(rest)?),
            "route" => Self::Route(Route {
                task: of(rest)?,
                selector: selector.map(of).transpose()?,
                pools: pools.map(of).transpose()?.unwrap_or_default(),
                profile: profile.map(of).transpose()?,
            }),
            "scale" => {
                let Bounds { pool, min, max } = of(rest)?;
                Self::Scale { pool, min, max }
            }
            "health" => Self::Health { pool: of::<Which>(rest)?.pool },
            "close" => {
                let Closing { pool, now } = of(rest)?;
                Self::Close { pool: pool.ok_or_else(|| Fault::user("which pool is to be closed?"))?, now }
            }
            "close_all" => Self::CloseAll { now: of::<Closing>(rest)?.now },
            "profiles" => Self::Profiles,
            "task" => Self::Task { task: of::<One>(rest)?.task },
            "tasks" => {
                let Which { pool, limit } = of(rest)?;
                Self::Tasks { pool, limit: limit.unwrap_or(20).min(1000) }
            }
            "cancel" => {
                let Stopping { task, wait_seconds } = of(rest)?;
                Self::Cancel { task, wait_seconds }
            }
            other => {
                return Err(Fault::user(format!("pools know no action '{}'", other.escape_debug()))
                    .hint(format!("there are: {}", Self::ACTIONS.join(", "))));
            }
        })
    }

    /// The same as a tool's arguments.
    #[must_use]
    pub fn write(&self) -> Value {
        let (action, rest) = match self {
            Self::Spawn(spec) => ("spawn", plain(spec)),
            Self::List => ("list", Value::Null),
            Self::Execute(task) => ("execute", plain(task)),
            Self::Route(route) => {
                let mut rest = plain(&route.task);
                rest["pools"] = plain(&route.pools);
                if let Some(selector) = route.selector {
                    rest["selector"] = plain(&selector);
                }
                if let Some(profile) = &route.profile {
                    rest["profile"] = profile.as_str().into();
                }
                ("route", rest)
            }
            Self::Scale { pool, min, max } => ("scale", plain(&Bounds { pool: pool.clone(), min: *min, max: *max })),
            Self::Health { pool } => ("health", plain(&Which { pool: pool.clone(), limit: None })),
            Self::Close { pool, now } => ("close", plain(&Closing { pool: Some(pool.clone()), now: *now })),
            Self::CloseAll { now } => ("close_all", plain(&Closing { pool: None, now: *now })),
            Self::Profiles => ("profiles", Value::Null),
            Self::Task { task } => ("task", plain(&One { task: *task })),
            Self::Tasks { pool, limit } => ("tasks", plain(&Which { pool: pool.clone(), limit: Some(*limit) })),
            Self::Cancel { task, wait_seconds } => {
                ("cancel", plain(&Stopping { task: *task, wait_seconds: *wait_seconds }))
            }
        };
        let mut whole = match rest {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        whole.insert("action".into(), action.into());
        Value::Object(whole)
    }
}

fn of<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Fault::user(format!("the request to pools is wrong: {error}")))
}

fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_same_after_writing_and_reading() {
        let task = Execute { prompt: "ls".into(), timeout_seconds: Some(1.5), ..Execute::default() };
        let all = [
            PoolRequest::Spawn(Box::new(PoolSpec { max_usd: Some(0.25), ..PoolSpec::new("a", "claude") })),
            PoolRequest::List,
            PoolRequest::Execute(Execute { pool: Some("a".into()), worktree: true, ..task.clone() }),
            PoolRequest::Route(Route {
                task,
                selector: Some(Selector::Affinity),
                pools: vec!["a".into()],
                profile: Some("claude".into()),
            }),
            PoolRequest::Scale { pool: "a".into(), min: None, max: Some(3) },
            PoolRequest::Health { pool: None },
            PoolRequest::Close { pool: "a".into(), now: true },
            PoolRequest::CloseAll { now: false },
            PoolRequest::Profiles,
            PoolRequest::Task { task: 7 },
            PoolRequest::Tasks { pool: None, limit: 3 },
            PoolRequest::Cancel { task: 7, wait_seconds: Some(0.0) },
        ];
        for request in &all {
            let text = request.write().to_string();
            assert_eq!(&PoolRequest::read(serde_json::from_str(&text).unwrap()).unwrap(), request, "{text}");
        }
        assert_eq!(all.len(), PoolRequest::ACTIONS.len());
    }

    #[test]
    fn wrong_requests_say_what_is_wrong() {
        let wrong = |text: &str| {
            let fault = PoolRequest::read(serde_json::from_str(text).unwrap()).unwrap_err();
            format!("{} {}", fault.message(), fault.advice().unwrap_or_default())
        };
        assert!(wrong("[]").contains("object"));
        assert!(wrong("{}").contains("spawn"));
        assert!(wrong(r#"{"action":"fly"}"#).contains("fly"));
        assert!(wrong(r#"{"action":"spawn","name":"a","colour":"red"}"#).contains("colour"));
        let negative = wrong(r#"{"action":"scale","pool":"a","max":-1}"#);
        assert!(negative.contains("the request to pools is wrong"), "{negative}");
    }

    #[test]
    fn bounds_of_pools_are_checked() {
        let good = PoolSpec::new("a-1_B", "shell");
        assert!(good.check().is_ok());
        for wrong in [
            PoolSpec { name: "a b".into(), ..good.clone() },
            PoolSpec { name: "../a".into(), ..good.clone() },
            PoolSpec { min: 5, ..good.clone() },
            PoolSpec { max: 0, ..good.clone() },
            PoolSpec { max: 100_000, ..good.clone() },
            PoolSpec { queue: 0, ..good.clone() },
            PoolSpec { idle_seconds: f64::NAN, ..good.clone() },
            PoolSpec { max_usd: Some(-1.0), ..good.clone() },
            PoolSpec { engine: Some("prefect".into()), ..good.clone() },
            PoolSpec { target: Some("x".into()), ..good.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
