//! `pool`: workers that tasks are given to. They belong to the running server.

mod task;

use std::time::Duration;

use clap::Subcommand;
use oneiric::fault::{Fault, Result};
use oneiric::token::Scope;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use oneiric_shell::terminal::printable;
use orchestrator::pools::{PoolRequest, PoolSpec, Pools, Selector};
use serde_json::Value;

use super::format::Format;
use super::sweep::span;
use super::{Needs, Token};
use crate::pools;
use crate::world::World;

/// Make and use pools of workers
#[derive(clap::Args, Debug)]
pub(super) struct PoolCommand {
    #[command(flatten)]
    token: Token,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table", global = true)]
    format: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a pool
    Spawn(Spawn),
    /// List pools
    List,
    /// Do a task in a pool; without a server it is done once, by this process
    Execute {
        /// The pool, or a profile for a pool that is made when it is needed
        pool: String,
        #[command(flatten)]
        task: task::TaskArgs,
    },
    /// Do a task in the pool that a selector chooses; a command line, unless pools or a profile are named
    Route {
        /// How the pool is chosen: round_robin, least_loaded, random or affinity
        #[arg(long, value_parser = selector, default_value = "least_loaded")]
        selector: Selector,
        /// Only among these pools; may be repeated
        #[arg(long = "pool", value_name = "NAME")]
        pools: Vec<String>,
        /// Only among pools whose workers are of this profile, which may take prompts
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
        #[command(flatten)]
        task: task::TaskArgs,
    },
    /// Change how many workers a pool has
    Scale {
        /// The pool
        pool: String,
        /// Workers that are there even without work
        #[arg(long, value_name = "N")]
        min: Option<u32>,
        /// Most workers
        #[arg(long, value_name = "N")]
        max: Option<u32>,
    },
    /// Show how pools and their workers are
    Health {
        /// Only this pool
        pool: Option<String>,
    },
    /// Close a pool when what it has is done
    Close {
        /// The pool
        pool: String,
        /// Stop what it does
        #[arg(long)]
        now: bool,
    },
    /// Close all pools
    CloseAll {
        /// Stop what they do
        #[arg(long)]
        now: bool,
    },
    /// Show which kinds of workers there are
    Profiles,
    /// List the newest tasks
    Tasks {
        /// Only of this pool
        #[arg(long, value_name = "NAME")]
        pool: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a task and its answer
    Task {
        /// Its number
        task: u64,
    },
    /// Stop a task
    Cancel {
        /// Its number
        task: u64,
    },
}

#[derive(clap::Args, Debug)]
struct Spawn {
    /// Its name: letters, digits, - and _
    name: String,
    /// Kind of its workers; `pool profiles` shows them
    #[arg(long, default_value = "shell")]
    profile: String,
    /// The engine whose work pool does its tasks: prefect
    #[arg(long, requires = "target", conflicts_with = "profile")]
    engine: Option<String>,
    /// What of that engine does them: FLOW/DEPLOYMENT
    #[arg(long, requires = "engine")]
    target: Option<String>,
    /// Workers that are there even without work
    #[arg(long, value_name = "N", default_value_t = 0)]
    min: u32,
    /// Most workers
    #[arg(long, value_name = "N", default_value_t = 4)]
    max: u32,
    /// Most tasks that wait
    #[arg(long, value_name = "N", default_value_t = 1000)]
    queue: usize,
    /// Which worker a task goes to: round_robin, least_loaded, random or affinity
    #[arg(long, value_parser = selector, default_value = "least_loaded")]
    selector: Selector,
    /// How long a worker that is not needed may be idle
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "60s")]
    idle: Duration,
    /// Longest time of a task
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Duration>,
    /// Most that one task may cost, in US dollars
    #[arg(long, value_name = "USD")]
    task_usd: Option<f64>,
    /// Most tokens of one task
    #[arg(long, value_name = "N")]
    task_tokens: Option<u64>,
    /// Most that all tasks together may cost, in US dollars
    #[arg(long, value_name = "USD")]
    max_usd: Option<f64>,
    /// Most tokens of all tasks together
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
}

fn selector(name: &str) -> std::result::Result<Selector, String> {
    Selector::parse(name).ok_or_else(|| format!("there are: {}", Selector::NAMES.join(", ")))
}

impl Spawn {
    fn spec(&self) -> PoolSpec {
        PoolSpec {
            engine: self.engine.clone(),
            target: self.target.clone(),
            min: self.min,
            max: self.max,
            queue: self.queue,
            selector: self.selector,
            idle_seconds: self.idle.as_secs_f64(),
            timeout_seconds: self.timeout.map(|timeout| timeout.as_secs_f64()),
            task_usd: self.task_usd,
            task_tokens: self.task_tokens,
            max_usd: self.max_usd,
            max_tokens: self.max_tokens,
            ..PoolSpec::new(&self.name, &self.profile)
        }
    }
}

impl PoolCommand {
    pub(super) fn needs(&self) -> Needs<'_> {
        let (what, scope) = match &self.action {
            Action::List | Action::Health { .. } | Action::Profiles | Action::Tasks { .. } | Action::Task { .. } => {
                ("pool", Scope::Read)
            }
            Action::Spawn(_) => ("pool spawn", Scope::Write),
            Action::Execute { .. } => ("pool execute", Scope::Write),
            Action::Route { .. } => ("pool route", Scope::Write),
            Action::Scale { .. } => ("pool scale", Scope::Write),
            Action::Close { .. } => ("pool close", Scope::Write),
            Action::CloseAll { .. } => ("pool close-all", Scope::Write),
            Action::Cancel { .. } => ("pool cancel", Scope::Write),
        };
        self.token.needs(what, scope)
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let ask = |request: PoolRequest| pools::ask(world, &request);
        match &self.action {
            Action::Spawn(spawn) => {
                let pool = ask(PoolRequest::Spawn(Box::new(spawn.spec())))?;
                if let Some(warning) = pool["warning"].as_str() {
                    output.error_line(&format!("warning: {}", printable(warning)));
                }
                self.print(&[pool], output)
            }
            Action::List => self.print(&rows(ask(PoolRequest::List)?, "pools")?, output),
            Action::Execute { pool, task } => {
                let request = PoolRequest::Execute(task.request(Some(pool.clone()))?);
                if crate::drive::server_runs(world) {
                    return task.follow(&ask, request, self.format, output);
                }
                output.error_line("no server runs: the task is done once, by this process");
                let own = Pools::open(pools::config(world, false))?;
                task.follow(&|request| own.answer(request), request, self.format, output)
            }
            Action::Route { selector, pools, profile, task } => task.follow(
                &ask,
                PoolRequest::Route(orchestrator::pools::Route {
                    task: task.request(None)?,
                    selector: Some(*selector),
                    pools: pools.clone(),
                    profile: profile.clone(),
                }),
                self.format,
                output,
            ),
            Action::Scale { pool, min, max } => {
                if min.is_none() && max.is_none() {
                    return Err(Fault::user("scale to what?").hint("give --min, --max or both"));
                }
                let request = PoolRequest::Scale { pool: pool.clone(), min: *min, max: *max };
                self.print(&[ask(request)?], output)
            }
            Action::Health { pool } => self.health(ask(PoolRequest::Health { pool: pool.clone() })?, output),
            Action::Close { pool, now } => {
                self.print(&[ask(PoolRequest::Close { pool: pool.clone(), now: *now })?], output)
            }
            Action::CloseAll { now } => self.print(&rows(ask(PoolRequest::CloseAll { now: *now })?, "pools")?, output),
            Action::Profiles => {
                let answer = match crate::drive::server_runs(world) {
                    true => ask(PoolRequest::Profiles)?,
                    false => Pools::open(pools::config(world, false))?.answer(PoolRequest::Profiles)?,
                };
                self.profiles(answer, output)
            }
            Action::Tasks { pool, limit } => {
                let limit = usize::from(*limit);
                let rows = if crate::drive::server_runs(world) {
                    rows(ask(PoolRequest::Tasks { pool: pool.clone(), limit })?, "tasks")?
                } else {
                    let wanted = |row: &Value| pool.as_ref().is_none_or(|pool| row["pool"] == pool.as_str());
                    task::written(world)?.into_iter().filter(wanted).take(limit).collect()
                };
                task::list(&rows, self.format, output)
            }
            Action::Task { task } => {
                let report = if crate::drive::server_runs(world) {
                    ask(PoolRequest::Task { task: *task })?
                } else {
                    task::find(task::written(world)?, *task)?
                };
                task::show(&report, self.format, output)
            }
            Action::Cancel { task } => task::cancel(&ask, *task, self.format, output),
        }
    }

    fn print(&self, rows: &[Value], output: &Output) -> Result<i32> {
        let mut table =
            Table::new(["Pool", "Workers are", "State", "Workers", "Busy", "Waiting", "Done", "Refused", "Cost"])
                .numeric(4)
                .numeric(5)
                .numeric(6)
                .numeric(7)
                .optional([8, 7]);
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let number = |key: &str| row[key].as_u64().unwrap_or_default().to_string();
            let kind = match row["kind"].as_str() {
                Some("local") | None => text("workers_are"),
                Some(engine) => format!("{engine}: {}", text("workers_are")),
            };
            let workers = format!("{} of {} to {}", number("workers"), number("min"), number("max"));
            table.row([
                text("pool"),
                kind,
                text("state"),
                workers,
                number("busy"),
                number("waiting"),
                number("done"),
                number("refused"),
                task::cost(row),
            ]);
        }
        self.format.print(&rows, &table, "There are no pools; 'mahavishnu pool spawn NAME' makes one.", output)?;
        Ok(0)
    }

    fn health(&self, answer: Value, output: &Output) -> Result<i32> {
        let pools = rows(answer, "pools")?;
        let sick = pools.iter().any(|pool| pool["healthy"] == false);
        if self.format == Format::Json {
            output.line(&super::format::json(&pools)?);
            return Ok(i32::from(sick));
        }
        let mut table = Table::new(["Pool", "Worker", "State", "Task", "Done", "Crashed", "Look in"])
            .numeric(3)
            .numeric(4)
            .numeric(5)
            .optional([6]);
        for pool in &pools {
            let name = pool["pool"].as_str().unwrap_or_default();
            let said = pool["trouble"].as_str().unwrap_or("healthy");
            table.row([name, "", said]);
            for worker in pool["workers"].as_array().into_iter().flatten() {
                let text = |key: &str| worker[key].as_str().unwrap_or_default().to_owned();
                let number = |key: &str| worker[key].as_u64().map(|number| number.to_string()).unwrap_or_default();
                table.row([
                    String::new(),
                    text("worker"),
                    text("state"),
                    number("task"),
                    number("done"),
                    number("crashed"),
                    text("look_in"),
                ]);
            }
        }
        self.format.print(&pools, &table, "There are no pools; 'mahavishnu pool spawn NAME' makes one.", output)?;
        Ok(i32::from(sick))
    }

    fn profiles(&self, answer: Value, output: &Output) -> Result<i32> {
        let file = answer["file"].as_str().unwrap_or_default().to_owned();
        let rows = rows(answer, "profiles")?;
        let mut table = Table::new(["Profile", "State", "About", "Command"]).optional([3]);
        for row in &rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let words = row["command"].as_array().into_iter().flatten().filter_map(|word| word.as_str());
            table.row([text("profile"), text("state"), text("about"), words.collect::<Vec<_>>().join(" ")]);
        }
        self.format.print(&rows, &table, "There are no profiles.", output)?;
        if self.format == Format::Table {
            output.line(&format!("Your own are written in {file}"));
        }
        Ok(0)
    }
}

fn rows(mut answer: Value, name: &str) -> Result<Vec<Value>> {
    match answer[name].take() {
        Value::Array(rows) => Ok(rows),
        _ => Err(Fault::unavailable(format!("the server answered without {name}"))
            .hint("check that it has the same version: 'mahavishnu mcp restart'")),
    }
}
