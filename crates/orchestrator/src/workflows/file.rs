//! Plans that people write: YAML with tasks, over repositories that the manifest names. Whatever is wrong is told with
//! its line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::plan::{OnUnknown, Plan, Policy, Task, Work};
use crate::repos::{Manifest, Repository};

/// Largest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;
/// Most tasks.
const MAX_TASKS: usize = 1000;

/// A plan's file, read and checked as far as that goes without a manifest.
#[derive(Debug)]
pub struct PlanFile {
    file: PathBuf,
    raw: Raw,
    /// Tasks (by position) that come before each one.
    after: Vec<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    repos: Option<RawSelection>,
    parallel: Option<Spanned<u32>>,
    #[serde(default)]
    fail_fast: bool,
    time_limit: Option<Spanned<Span>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    tasks: Vec<RawTask>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSelection {
    tag: Option<Spanned<String>>,
    role: Option<Spanned<String>>,
    #[serde(default)]
    names: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    name: Spanned<String>,
    run: Option<Command>,
    approve: Option<String>,
    adapter: Option<String>,
    target: Option<String>,
    parameters: Option<Value>,
    pool: Option<String>,
    prompt: Option<String>,
    #[serde(default)]
    worktree: bool,
    #[serde(default)]
    once: bool,
    #[serde(default)]
    after: Names,
    #[serde(default)]
    env: BTreeMap<String, String>,
    retries: Option<Spanned<u32>>,
    backoff: Option<Span>,
    timeout: Option<Span>,
    grace: Option<Span>,
    #[serde(default)]
    on_unknown: OnUnknown,
    lock: Option<bool>,
}

/// A shell's command line, or a program with its arguments.
#[derive(Debug)]
enum Command {
    Line(String),
    Words(Vec<String>),
}

/// One name or several.
#[derive(Debug, Default)]
struct Names(Vec<Spanned<String>>);

/// `90`, `1.5s`, `10m`, `2h`.
#[derive(Clone, Copy, Debug)]
struct Span(Duration);

/// Reads a time span: a number of seconds, or one with a unit (`ms`, `s`, `m`, `h`, `d`).
///
/// # Errors
/// What is wrong, in words.
pub fn parse_span(text: &str) -> std::result::Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("'{unit}' is no unit of time; there are ms, s, m, h, d")),
    };
    let seconds = number.trim_end().parse::<f64>().ok().map(|number| number * factor);
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.ok_or_else(|| format!("'{text}' is no time; write 90, 1.5s, 10m or 2h"))
}

impl PlanFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Not found; user, naming file and line.
    pub fn read(file: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot read {}: {}", file.display(), oneiric::paths::plain(&error));
            match error.kind() {
                std::io::ErrorKind::NotFound => Fault::not_found(message),
                _ => Fault::user(message),
            }
        };
        let meta = std::fs::metadata(file).map_err(unreadable)?;
        if !meta.is_file() || meta.len() > MAX_BYTES {
            return Err(Fault::user(format!("{} is no plan: it is no file of at most 1 MiB", file.display())));
        }
        Self::parse(&std::fs::read_to_string(file).map_err(unreadable)?, file)
    }

    /// Reads a plan's text. `file` is named in errors, and its folder is where tasks run that run once.
    ///
    /// # Errors
    /// User, naming file and line.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let raw: Raw = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let what = error.without_snippet().to_string();
            wrong(file, line, what.lines().next().unwrap_or("it is no YAML")).hint(
                "a plan has name, repos {tag, role, names}, parallel, fail_fast, time_limit, env and tasks[]; a task has \
                 name, run (or approve, or adapter and target, or pool and prompt), once, after, env, retries, backoff, timeout, \
                 grace, on_unknown, lock",
            )
        })?;
        let mut plan = Self { file: file.to_path_buf(), raw, after: Vec::new() };
        plan.check()?;
        Ok(plan)
    }

    /// Its name, or that of its file.
    #[must_use]
    pub fn title(&self) -> String {
        let of_file = || self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        self.raw.name.clone().unwrap_or_else(of_file)
    }

    /// The plan over this manifest's repositories.
    ///
    /// # Errors
    /// User, naming the line of a repository, tag or role that there is not; not found when nothing is selected.
    pub fn plan(&self, manifest: &Manifest) -> Result<Plan> {
        let everywhere = self.raw.tasks.iter().any(|task| !task.once && task.approve.is_none());
        let selected = if everywhere { self.select(manifest)? } else { Vec::new() };
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let tasks = self.raw.tasks.iter().zip(&self.after).map(|(task, after)| Task {
            name: task.name.value.clone(),
            work: self.work(task, folder),
            once: task.once || task.approve.is_some(),
            after: after.clone(),
            policy: policy(task),
        });
        let parallel = self.raw.parallel.as_ref().map_or(u32::MAX, |parallel| parallel.value);
        let none = Work::Approval { question: String::new() };
        let mut plan = Plan::sweep(manifest, &selected, none, Policy::default(), parallel);
        plan.tasks = tasks.collect();
        plan.fail_fast = self.raw.fail_fast;
        plan.time_limit = self.raw.time_limit.as_ref().map(|limit| limit.value.0.as_secs_f64());
        plan.graph()?;
        Ok(plan)
    }

    fn select<'m>(&self, manifest: &'m Manifest) -> Result<Vec<&'m Repository>> {
        let nothing = RawSelection::default();
        let wanted = self.raw.repos.as_ref().unwrap_or(&nothing);
        let placed = |line: u64, fault: Fault| {
            let told = wrong(&self.file, line, fault.message());
            match fault.advice() {
                Some(advice) => told.hint(advice),
                None => told,
            }
        };
        if let Some(tag) = &wanted.tag {
            manifest.select(Some(&tag.value), None).map_err(|fault| placed(tag.referenced.line(), fault))?;
        }
        if let Some(role) = &wanted.role {
            manifest.select(None, Some(&role.value)).map_err(|fault| placed(role.referenced.line(), fault))?;
        }
        let text = |name: &'_ Option<Spanned<String>>| name.as_ref().map(|name| name.value.clone());
        let mut selected = manifest.select(text(&wanted.tag).as_deref(), text(&wanted.role).as_deref())?;
        if !wanted.names.is_empty() {
            for name in &wanted.names {
                manifest.find(&name.value).map_err(|fault| placed(name.referenced.line(), fault))?;
            }
            selected.retain(|repo| wanted.names.iter().any(|name| repo.is_called(&name.value)));
        }
        if selected.is_empty() {
            return Err(Fault::not_found("no repository is selected").hint("'mahavishnu list-repos' shows them"));
        }
        Ok(selected)
    }

    fn work(&self, task: &RawTask, folder: &Path) -> Work {
        if let Some(question) = &task.approve {
            return Work::Approval { question: question.clone() };
        }
        if let (Some(adapter), Some(target)) = (&task.adapter, &task.target) {
            let parameters = task.parameters.clone().unwrap_or_default();
            return Work::Adapter { adapter: adapter.clone(), target: target.clone(), parameters };
        }
        if let (Some(pool), Some(prompt)) = (&task.pool, &task.prompt) {
            return Work::Worker { pool: pool.clone(), prompt: prompt.clone(), worktree: task.worktree };
        }
        let argv = match &task.run {
            Some(Command::Words(words)) => words.clone(),
            // With -e, since only the last line's end would count without.
            Some(Command::Line(line)) => vec!["sh".into(), "-ec".into(), line.clone()],
            None => Vec::new(),
        };
        let argv = if task.once { in_folder(folder, argv) } else { argv };
        let env = self.raw.env.iter().chain(&task.env).map(|(name, value)| (name.clone(), value.clone())).collect();
        Work::Command { argv, env }
    }

    fn check(&mut self) -> Result<()> {
        let file = &self.file;
        let tasks = &self.raw.tasks;
        if tasks.is_empty() || tasks.len() > MAX_TASKS {
            return Err(wrong(file, 0, "it has no tasks, or more than 1000").hint("list them in tasks"));
        }
        if let Some(parallel) = self.raw.parallel.as_ref().filter(|parallel| parallel.value == 0) {
            return Err(wrong(file, parallel.referenced.line(), "parallel is at least 1"));
        }
        if let Some(limit) = self.raw.time_limit.as_ref().filter(|limit| limit.value.0.is_zero()) {
            let what = "a time_limit of 0 ends the workflow before its first step";
            return Err(wrong(file, limit.referenced.line(), what).hint("give more, or none"));
        }
        let mut position: BTreeMap<&str, u32> = BTreeMap::new();
        for (number, task) in (0_u32..).zip(tasks) {
            let (name, line) = (&task.name.value, task.name.referenced.line());
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name.len() > 100 || name.starts_with('-') || !name.chars().all(plain) {
                return Err(wrong(file, line, &format!("'{}' is no name of a task", name.escape_debug()))
                    .hint("use letters, digits and - _ ."));
            }
            if position.insert(name, number).is_some() {
                return Err(wrong(file, line, &format!("task '{name}' is listed twice")));
            }
            let kinds = [
                task.run.is_some(),
                task.approve.is_some(),
                task.adapter.is_some() && task.target.is_some(),
                task.pool.is_some() && task.prompt.is_some(),
            ];
            if kinds.iter().filter(|kind| **kind).count() != 1 {
                return Err(wrong(
                    file,
                    line,
                    &format!("task '{name}' needs one of run, approve, adapter and target, pool and prompt"),
                ));
            }
            let empty = match &task.run {
                Some(Command::Line(line)) => line.trim().is_empty(),
                Some(Command::Words(words)) => words.first().is_none_or(String::is_empty),
                None => false,
            };
            let words = match &task.run {
                Some(Command::Line(line)) => std::slice::from_ref(line),
                Some(Command::Words(words)) => words.as_slice(),
                None => &[],
            };
            if let Some(Span(span)) = task.timeout.filter(|span| span.0.is_zero()) {
                let what = format!("task '{name}' has a timeout of {} s, which ends it at once", span.as_secs());
                return Err(wrong(file, line, &what).hint("give more, or none"));
            }
            if empty || words.iter().any(|word| word.contains('\0')) {
                return Err(wrong(
                    file,
                    line,
                    &format!("task '{name}' has an empty command, or one with a NUL character"),
                ));
            }
            if let Some(retries) = task.retries.as_ref().filter(|retries| retries.value > 100) {
                return Err(wrong(file, retries.referenced.line(), "retries are at most 100"));
            }
        }
        let mut after = Vec::new();
        for task in tasks {
            let mut of_task = Vec::new();
            for name in &task.after.0 {
                let Some(number) = position.get(name.value.as_str()) else {
                    let names: Vec<&str> = position.keys().copied().collect();
                    let what = format!("task '{}' comes after '{}', which there is not", task.name.value, name.value);
                    return Err(
                        wrong(file, name.referenced.line(), &what).hint(format!("there are: {}", names.join(", ")))
                    );
                };
                of_task.push(*number);
            }
            after.push(of_task);
        }
        self.after = after;
        self.refuse_circles()
    }

    fn refuse_circles(&self) -> Result<()> {
        // 0: not seen; 1: on the path from the start; 2: seen, leads to no circle.
        let mut state = vec![0_u8; self.after.len()];
        for start in 0..self.after.len() {
            let mut path = vec![(start, 0)];
            while let Some(top) = path.last_mut() {
                let (task, next) = *top;
                state[task] = 1;
                let Some(&before) = self.after[task].get(next) else {
                    state[task] = 2;
                    path.pop();
                    continue;
                };
                top.1 += 1;
                let before = before as usize;
                match state[before] {
                    0 => path.push((before, 0)),
                    1 => {
                        let name = |task: usize| self.raw.tasks[task].name.value.as_str();
                        let circle = path.iter().skip_while(|(task, _)| *task != before).map(|(task, _)| name(*task));
                        let circle: Vec<&str> = circle.chain([name(before)]).collect();
                        let line = self.raw.tasks[task].after.0[next].referenced.line();
                        let what = format!("after goes in a circle: {}", circle.join(" → "));
                        return Err(wrong(&self.file, line, &what).hint("remove one of them"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// A task that runs once runs where its plan is.
fn in_folder(folder: &Path, argv: Vec<String>) -> Vec<String> {
    let enter = ["sh", "-c", r#"cd "$0" && exec "$@""#].map(str::to_owned);
    enter.into_iter().chain([folder.to_string_lossy().into_owned()]).chain(argv).collect()
}

fn policy(task: &RawTask) -> Policy {
    let defaults = Policy::default();
    let seconds = |span: &Option<Span>| span.map(|span| span.0.as_secs_f64());
    Policy {
        attempts: task.retries.as_ref().map_or(0, |retries| retries.value) + 1,
        backoff: seconds(&task.backoff).unwrap_or(defaults.backoff),
        timeout: seconds(&task.timeout),
        grace: seconds(&task.grace).unwrap_or(defaults.grace),
        on_unknown: task.on_unknown,
        exclusive: task.lock.unwrap_or(defaults.exclusive),
        ..defaults
    }
}

fn wrong(file: &Path, line: u64, what: &str) -> Fault {
    let place = if line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) };
    Fault::user(format!("{place}: {what}"))
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct OfCommand;
        impl<'de> Visitor<'de> for OfCommand {
            type Value = Command;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command line, or a list of a program and its arguments")
            }
            fn visit_str<E>(self, line: &str) -> std::result::Result<Command, E> {
                Ok(Command::Line(line.to_owned()))
            }
            // `run: true` is the command of that name.
            fn visit_bool<E>(self, value: bool) -> std::result::Result<Command, E> {
                Ok(Command::Line(value.to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> std::result::Result<Command, A::Error> {
                let mut found = Vec::new();
                while let Some(word) = words.next_element()? {
                    found.push(word);
                }
                Ok(Command::Words(found))
            }
        }
        deserializer.deserialize_any(OfCommand)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Vec::<Spanned<String>>::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
