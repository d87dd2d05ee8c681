//! What a workflow is to do: tasks over repositories, in which order, and what happens when a step fails.
//!
//! A plan is a grid: every task runs once in every repository, or once at all. A cell of the grid is a step. The plan is
//! what is stored; the [`Graph`] of its steps is made from it whenever it is needed and never changes.

mod places;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::repos::{Manifest, Repository};

/// Most steps that one workflow may have.
pub const MAX_STEPS: usize = 100_000;

/// Number of a step within its workflow.
pub type StepIndex = u32;

/// Everything that is known before a workflow begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order in which they were given.
    pub tasks: Vec<Task>,
    /// The repositories; empty when every task runs once.
    pub repos: Vec<Place>,
    /// Most steps of this workflow that run at the same time.
    pub parallel: u32,
    /// Whether the first failure ends what has not begun.
    #[serde(default)]
    pub fail_fast: bool,
    /// Longest time from the first step to the last, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<f64>,
}

/// A repository of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its name in the manifest.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Places of this plan (by position) whose steps come before those of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique within the plan.
    pub name: String,
    /// What it takes.
    pub work: Work,
    /// Whether it runs once at all, not once a repository.
    #[serde(default)]
    pub once: bool,
    /// Tasks (by position) that come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
    /// How it is run.
    #[serde(default)]
    pub policy: Policy,
}

/// What a step takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Work {
    /// A program with its arguments.
    Command {
        /// Program first.
        argv: Vec<String>,
        /// Variables beside the inherited ones.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// Something that another engine runs.
    Adapter {
        /// `prefect`, `agno` or `llamaindex`.
        adapter: String,
        /// What of that engine: a deployment, an agent, a workflow.
        target: String,
        /// What it is given.
        #[serde(default)]
        parameters: Value,
    },
    /// Something that a worker of a pool does.
    Worker {
        /// Name of the pool.
        pool: String,
        /// A command line or a prompt, as the pool's workers take it.
        prompt: String,
        /// Whether the worker gets a worktree of its own.
        #[serde(default)]
        worktree: bool,
    },
    /// A person says that it may go on.
    Approval {
        /// What they are asked.
        question: String,
    },
}

impl Work {
    /// Whether its end can be learned by whoever asks later. A local process that outlived its engine cannot be asked.
    #[must_use]
    pub const fn can_be_attached(&self) -> bool {
        matches!(self, Self::Adapter { .. })
    }

    /// Whether it works in the repository's own folder on this machine, so that others may have to keep out of it.
    #[must_use]
    pub const fn is_in_folder(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Worker { worktree: false, .. })
    }

    /// In a few words.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            // What was typed, when a shell's command line was.
            Self::Command { argv, .. } => match argv.as_slice() {
                [sh, option, line] if sh == "sh" && option == "-c" => line.clone(),
                argv => command_line(argv),
            },
            Self::Adapter { adapter, target, .. } => format!("{adapter}: {target}"),
            Self::Worker { pool, prompt, .. } => format!("{pool}: {prompt}"),
            Self::Approval { question } => question.clone(),
        }
    }
}

/// What happens to a step of which nobody knows whether it finished, since its engine was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It is shown as unknown until someone decides.
    #[default]
    Ask,
    /// It runs again: the task does no harm when it is done twice.
    Retry,
    /// It counts as failed.
    Fail,
}

/// How a task is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How often it is tried in all.
    pub attempts: u32,
    /// Seconds before the second attempt; doubled for each further one, with jitter.
    pub backoff: f64,
    /// Longest time between attempts, in seconds.
    pub backoff_limit: f64,
    /// Longest time of an attempt, in seconds.
    pub timeout: Option<f64>,
    /// Seconds between asking a process group to end and killing it.
    pub grace: f64,
    /// What becomes of a step that may or may not have finished.
    pub on_unknown: OnUnknown,
    /// Whether no other step may be at work in the same repository meanwhile.
    pub exclusive: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 1,
            backoff: 1.0,
            backoff_limit: 300.0,
            timeout: None,
            grace: 5.0,
            on_unknown: OnUnknown::Ask,
            exclusive: true,
        }
    }
}

impl Policy {
    /// Wait before the attempt after `attempt`: between half of the doubled backoff and all of it, as `chance` (0 to 1)
    /// says, so that what failed together is not tried again together.
    #[must_use]
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let doubled =
            self.backoff.max(0.0) * 2_f64.powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(64).min(64));
        seconds(doubled.min(self.backoff_limit.max(0.0)) * (0.5 + 0.5 * chance.clamp(0.0, 1.0)))
    }

    /// Longest time of an attempt.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.timeout.map(seconds)
    }

    /// Time between asking and killing.
    #[must_use]
    pub fn grace(&self) -> Duration {
        seconds(self.grace)
    }
}

/// A time span from untrusted seconds.
pub(crate) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.clamp(0.0, 1e9)).unwrap_or_default()
}

/// A cell of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Position of its task.
    pub task: u32,
    /// Position of its repository; `None` for a task that runs once.
    pub place: Option<u32>,
}

/// Steps and what they wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The steps.
    pub cells: Vec<Cell>,
    /// For each step, those that must have succeeded before it.
    pub needs: Vec<Vec<StepIndex>>,
    /// For each step, those that wait for it.
    pub dependents: Vec<Vec<StepIndex>>,
}

impl Plan {
    /// One command in every selected repository, in the order that `depends_on` gives, also where that leads over
    /// repositories that are not selected.
    #[must_use]
    pub fn sweep(manifest: &Manifest, selected: &[&Repository], work: Work, policy: Policy, parallel: u32) -> Self {
        let name = match &work {
            Work::Command { argv, .. } => {
                argv.first().map_or("run", |program| program.rsplit('/').next().unwrap_or("run"))
            }
            Work::Adapter { adapter, .. } => adapter,
            Work::Worker { pool, .. } => pool,
            Work::Approval { .. } => "approval",
        };
        let task = Task { name: name.to_owned(), work, once: false, after: Vec::new(), policy };
        Self {
            tasks: vec![task],
            repos: self::places::places(manifest, selected),
            parallel,
            fail_fast: false,
            time_limit: None,
        }
    }

    /// A person is asked before anything of it begins.
    pub fn ask_first(&mut self, question: &str) {
        let approval = Task {
            name: "approval".into(),
            work: Work::Approval { question: question.to_owned() },
            once: true,
            after: Vec::new(),
            policy: Policy::default(),
        };
        for task in &mut self.tasks {
            task.after.iter_mut().for_each(|before| *before += 1);
            task.after.push(0);
        }
        self.tasks.insert(0, approval);
    }

    /// The steps of this plan.
    ///
    /// # Errors
    /// When a position points nowhere, the order goes in circles, or there are too many steps.
    pub fn graph(&self) -> Result<Graph> {
        let (mut cells, mut first) = (Vec::new(), Vec::new());
        for (number, task) in (0_u32..).zip(&self.tasks) {
            first.push(cells.len());
            if task.once {
                cells.push(Cell { task: number, place: None });
            } else {
                cells.extend((0_u32..).zip(&self.repos).map(|(place, _)| Cell { task: number, place: Some(place) }));
            }
            if cells.len() > MAX_STEPS {
                return Err(Fault::user(format!("a workflow has at most {MAX_STEPS} steps")).hint("make several of it"));
            }
        }
        let wrong = || Fault::user("the plan names a task or repository that it does not have");
        let size = |task: &Task| if task.once { 1 } else { self.repos.len() };
        let mut needs: Vec<Vec<StepIndex>> = Vec::with_capacity(cells.len());
        for cell in &cells {
            let task = self.tasks.get(cell.task as usize).ok_or_else(wrong)?;
            let mut of_cell = Vec::new();
            for &before in &task.after {
                let other = self.tasks.get(before as usize).ok_or_else(wrong)?;
                let start = *first.get(before as usize).ok_or_else(wrong)?;
                match (cell.place, other.once) {
                    (Some(place), false) => of_cell.push(index(start + place as usize)),
                    (_, true) => of_cell.push(index(start)),
                    (None, false) => of_cell.extend((start..start + size(other)).map(index)),
                }
            }
            if let Some(place) = cell.place {
                for &before in &self.repos.get(place as usize).ok_or_else(wrong)?.after {
                    if before as usize >= self.repos.len() {
                        return Err(wrong());
                    }
                    of_cell.push(index(first[cell.task as usize] + before as usize));
                }
            }
            of_cell.sort_unstable();
            of_cell.dedup();
            needs.push(of_cell);
        }
        let mut dependents = vec![Vec::new(); cells.len()];
        for (step, of_step) in (0_u32..).zip(&needs) {
            for &need in of_step {
                dependents[need as usize].push(step);
            }
        }
        let graph = Graph { cells, needs, dependents };
        if graph.has_cycle() {
            return Err(Fault::user("the plan's order goes in circles").hint("remove one of the dependencies"));
        }
        Ok(graph)
    }

    /// The task of a cell.
    #[must_use]
    pub fn task(&self, cell: &Cell) -> &Task {
        &self.tasks[cell.task as usize]
    }

    /// The repository of a cell.
    #[must_use]
    pub fn place(&self, cell: &Cell) -> Option<&Place> {
        cell.place.map(|place| &self.repos[place as usize])
    }

    /// What is done, for a table.
    #[must_use]
    pub fn title(&self) -> String {
        let titles: Vec<String> = self.tasks.iter().map(|task| task.work.title()).collect();
        titles.join(" ; ")
    }

    /// Over what, for a table: the one repository's name, or how many there are.
    #[must_use]
    pub fn over(&self) -> String {
        match self.repos.as_slice() {
            [] => String::new(),
            [one] => one.name.clone(),
            many => format!("{} repositories", many.len()),
        }
    }
}

impl Graph {
    fn has_cycle(&self) -> bool {
        let mut open: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut free: Vec<usize> = (0..open.len()).filter(|&step| open[step] == 0).collect();
        let mut seen = 0;
        while let Some(step) = free.pop() {
            seen += 1;
            for &dependent in &self.dependents[step] {
                open[dependent as usize] -= 1;
                if open[dependent as usize] == 0 {
                    free.push(dependent as usize);
                }
            }
        }
        seen != self.cells.len()
    }
}

fn index(position: usize) -> StepIndex {
    StepIndex::try_from(position).unwrap_or(StepIndex::MAX)
}

/// Words as a shell would take them.
#[must_use]
pub fn command_line(argv: &[String]) -> String {
    let plain = |word: &&String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c))
    };
    let quoted = argv.iter().map(|word| match plain(&word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(word: &str) -> Work {
        Work::Command { argv: vec![word.into()], env: BTreeMap::new() }
    }

    fn task(name: &str, once: bool, after: &[u32]) -> Task {
        Task { name: name.into(), work: command(name), once, after: after.to_vec(), policy: Policy::default() }
    }

    fn place(name: &str, after: &[u32]) -> Place {
        Place { name: name.into(), dir: name.into(), after: after.to_vec() }
    }

    fn plan(tasks: Vec<Task>, repos: Vec<Place>) -> Plan {
        Plan { tasks, repos, parallel: 4, fail_fast: false, time_limit: None }
    }

    #[test]
    fn a_grid_waits_within_a_repository_by_task_and_within_a_task_by_repository() {
        let plan = plan(
            vec![task("build", false, &[]), task("approve", true, &[0]), task("push", false, &[1])],
            vec![place("core", &[]), place("app", &[0])],
        );
        let graph = plan.graph().unwrap();
        assert_eq!(graph.needs, [vec![], vec![0], vec![0, 1], vec![2], vec![2, 3]]);
        assert_eq!(graph.dependents[2], [3, 4]);
    }

    #[test]
    fn circles_and_positions_that_point_nowhere_are_refused() {
        let circle = plan(vec![task("x", false, &[])], vec![place("a", &[1]), place("b", &[0])]);
        assert!(circle.graph().unwrap_err().message().contains("circles"));
        assert!(plan(vec![task("x", false, &[7])], vec![place("a", &[])]).graph().is_err());
        assert!(plan(vec![task("x", false, &[])], vec![place("a", &[9])]).graph().is_err());
    }

    #[test]
    fn order_leads_over_repositories_that_are_not_selected() {
        let text = "repos:\n- {name: a, path: /a, role: r, depends_on: [b]}\n- {name: b, path: /b, role: r, depends_on: [c]}\n- {name: c, path: /c, role: r}\n";
        let manifest = Manifest::parse(text, std::path::Path::new("/m.yaml"), std::path::Path::new("/home")).unwrap();
        let selected = [&manifest.repos[0], &manifest.repos[2]];
        let plan = Plan::sweep(&manifest, &selected, command("true"), Policy::default(), 2);
        assert_eq!(plan.repos[0].after, [1]);
        assert!(plan.repos[1].after.is_empty());
    }

    #[test]
    fn waits_double_up_to_their_limit_and_differ_by_chance() {
        let policy = Policy { backoff: 2.0, backoff_limit: 10.0, ..Policy::default() };
        assert_eq!(policy.delay(1, 1.0), Duration::from_secs(2));
        assert_eq!(policy.delay(2, 1.0), Duration::from_secs(4));
        assert_eq!(policy.delay(9, 1.0), Duration::from_secs(10));
        assert_eq!(policy.delay(9, 0.0), Duration::from_secs(5));
        assert_eq!(policy.delay(u32::MAX, f64::NAN).as_secs() / 11, 0);
    }

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let words = ["git", "commit", "-m", "it's done", ""].map(str::to_owned);
        assert_eq!(command_line(&words), r"git commit -m 'it'\''s done' ''");
    }
}
