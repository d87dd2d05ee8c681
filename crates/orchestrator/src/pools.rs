//! Pools of workers, which belong to whoever made this object: the running server, or a command for as long as it takes.
//!
//! What can be asked of them is a [`PoolRequest`], and [`Pools::answer`] answers it; steps of workflows come by
//! [`PoolRunner`]. How a pool behaves is decided by a state machine that does nothing itself; threads do what it says. A
//! server's pools are written down, so that the next server has the same ones, and so are the tasks and what was spent.

mod answers;
mod ledger;
mod machine;
mod perform;
mod pool;
mod request;
mod runner;
mod saved;
mod selector;
mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;

use self::ledger::{Ledger, Past};
use self::machine::{TaskId, Word};
use self::pool::Pool;
use self::saved::Instance;
use self::selector::{Choice, Chooser};
use self::task::{Ask, Order, Reply, Reports};
use crate::engine::Runner;
use crate::run::Stop;
use crate::workers::{Profile, Profiles, Workshop};
use crate::worktrees::{Bounds, Worktrees};

pub use self::request::{Execute, MAX_QUEUE, MAX_WORKERS, PoolRequest, PoolSpec, Route};
pub use self::runner::PoolRunner;
pub use self::selector::Selector;
pub use self::task::{TaskReport, TaskState};

/// Most pools.
const MAX_POOLS: usize = 64;
/// Time between two looks at what time brings about.
const TICK: Duration = Duration::from_millis(250);
/// How long a pool that is closed now may take.
const CLOSING: Duration = Duration::from_secs(15);

/// Gives name and folder of a repository by its name or nickname.
pub type FindRepository = dyn Fn(&str) -> Result<(String, PathBuf)> + Send + Sync;

/// What pools are made with.
#[derive(Clone)]
pub struct PoolsConfig {
    /// Where outputs, worktrees and the list of pools are.
    pub home: Home,
    /// What workers share.
    pub shop: Workshop,
    /// How much worktrees may take.
    pub bounds: Bounds,
    /// Finds repositories.
    pub repositories: Arc<FindRepository>,
    /// Runs what another engine's work pools do.
    pub remote: Option<Arc<dyn Runner>>,
    /// Whether these are the pools of a server: they are started at once, and changes to them are written down.
    pub serves: bool,
}

/// The pools of a server, or of a command. Dropping it stops what they do.
pub struct Pools {
    inner: Arc<Inner>,
}

struct Inner {
    config: PoolsConfig,
    shop: Arc<Workshop>,
    worktrees: Worktrees,
    instance: Instance,
    pools: Mutex<BTreeMap<String, Arc<Pool>>>,
    /// Chooses among pools, and remembers which did the last task with a key.
    routes: Mutex<(Chooser, BTreeMap<String, u64>)>,
    next_pool: AtomicU64,
    reports: Reports,
    ledger: Ledger,
    /// Whether this process lets its pools go.
    ending: AtomicBool,
    /// Held by whoever changes the list of pools, until it is written.
    changing: Mutex<()>,
}

/// Where a pool comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Someone makes it: nothing is spent, and the next server has it, too.
    Made,
    /// It was written down, and what it had spent still counts.
    Known,
    /// It is made for the tasks at hand, by the name of a profile.
    Passing,
}

/// A task that was given to a pool.
struct Ticket {
    task: TaskId,
    pool: Arc<Pool>,
    ended: Receiver<Reply>,
}

impl Pools {
    /// Pools as they were written down; those of a server start their workers now. What an earlier owner that was killed left
    /// running is ended.
    ///
    /// # Errors
    /// When the home cannot be written, or the file of profiles is wrong.
    pub fn open(config: PoolsConfig) -> Result<Self> {
        let instance = Instance::claim(&config.home, &config.shop)?;
        Profiles::load(&config.home)?;
        let mut shop = config.shop.clone();
        shop.terminals.socket = instance.socket();
        let seed = config.shop.clock.now().as_micros().unsigned_abs();
        let inner = Arc::new(Inner {
            shop: Arc::new(shop),
            worktrees: Worktrees::at(&config.home, config.bounds),
            instance,
            pools: Mutex::default(),
            routes: Mutex::new((Chooser::new(seed), BTreeMap::new())),
            next_pool: AtomicU64::new(1),
            reports: Reports::default(),
            ledger: Ledger::at(&config.home),
            ending: AtomicBool::new(false),
            changing: Mutex::default(),
            config,
        });
        if inner.config.serves {
            inner.remember()?;
            let saved = saved::read(&inner.config.home)?;
            inner.ledger.keep_only(&saved.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>())?;
            for spec in saved {
                let name = spec.name.clone();
                if let Err(fault) = inner.add(spec, Origin::Known) {
                    tracing::warn!(pool = name, %fault, "a pool could not be made again");
                }
            }
        }
        let weak = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("pools".into())
            .spawn(move || keep_time(&weak))
            .map_err(|error| Fault::unavailable(format!("no thread for the pools: {error}")))?;
        Ok(Self { inner })
    }

    /// Ends what the pools do and waits for it, at most so long. The list of a server's pools stays.
    pub fn end(&self, patience: Duration) {
        self.inner.ending.store(true, Ordering::Relaxed);
        let pools = self.inner.all();
        for pool in &pools {
            pool.word(&self.inner, Word::Close { now: true });
        }
        for pool in &pools {
            pool.await_closed(patience);
        }
        self.inner.instance.end(&self.inner.shop);
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.end(CLOSING);
    }
}

/// Whether a pool of this name was written down, or is the name of a profile: whether a step can be given to it.
///
/// # Errors
/// Not found, with what there is; configuration, when a file is wrong.
pub fn check(home: &Home, pool: &str) -> Result<()> {
    let saved = saved::read(home)?;
    let profiles = Profiles::load(home)?;
    if saved.iter().any(|spec| spec.name == pool) || profiles.find(pool).is_ok() {
        return Ok(());
    }
    let names = saved.iter().map(|spec| spec.name.as_str()).chain(profiles.iter().map(|(name, ..)| name));
    let names: Vec<&str> = names.collect();
    Err(Fault::not_found(format!("no pool '{}'", pool.escape_debug())).hint(format!("there are: {}", names.join(", "))))
}

/// The newest tasks of all pools, newest first, as they were written down: for when no server can be asked.
///
/// # Errors
/// When the database cannot be read.
pub fn written_tasks(home: &Home) -> Result<Vec<TaskReport>> {
    let kept = Ledger::at(home).tasks(&|owner| saved::lives(home, owner))?;
    Ok(kept.into_iter().rev().map(|kept| kept.report).collect())
}

/// Tells the pools that time has passed, as long as they are there.
fn keep_time(pools: &Weak<Inner>) {
    loop {
        std::thread::sleep(TICK);
        let Some(inner) = pools.upgrade() else { break };
        inner.ledger.settle();
        for pool in inner.all() {
            if pool.is_due(inner.shop.clock.monotonic()) {
                pool.word(&inner, Word::Tick);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.pools).values().cloned().collect()
    }

    /// Takes over what earlier owners wrote down of their tasks.
    fn remember(&self) -> Result<()> {
        let kept = self.ledger.tasks(&|owner| saved::lives(&self.config.home, owner))?;
        for settled in kept.iter().filter(|kept| kept.settled) {
            self.ledger.put(&settled.report, None);
        }
        self.reports.begin_with(kept.into_iter().map(|kept| kept.report));
        Ok(())
    }

    /// Makes a pool.
    fn add(self: &Arc<Self>, spec: PoolSpec, origin: Origin) -> Result<Arc<Pool>> {
        spec.check()?;
        let profile = match spec.engine {
            None => {
                let profile = Profiles::load(&self.config.home)?.find(&spec.profile)?.clone();
                self.shop.check(&profile).map_err(|why| {
                    Fault::unavailable(format!("workers of profile {} are unavailable: {why}", spec.profile))
                        .hint("'mahavishnu pool profiles' shows which there are")
                })?;
                Some(profile)
            }
            Some(_) if self.config.remote.is_none() => {
                return Err(Fault::unavailable("the adapter of Prefect is not active")
                    .hint("set adapters.prefect_enabled, and see 'mahavishnu adapters verify prefect'"));
            }
            Some(_) => None,
        };
        let mut pools = lock(&self.pools);
        if pools.contains_key(&spec.name) {
            return Err(Fault::conflict(format!("there is a pool {} already", spec.name))
                .hint("close it first, or take another name"));
        }
        if pools.len() >= MAX_POOLS {
            return Err(Fault::unavailable(format!("there are {MAX_POOLS} pools already")).hint("close one of them"));
        }
        let number = self.next_pool.fetch_add(1, Ordering::Relaxed);
        let past = match origin {
            Origin::Made => self.ledger.begin(&spec.name).map(|()| Past::default())?,
            Origin::Known => self.ledger.past(&spec.name)?,
            Origin::Passing => Past::default(),
        };
        let pool = Arc::new(Pool::new(spec, profile, number, origin, past));
        pools.insert(pool.name().to_owned(), Arc::clone(&pool));
        drop(pools);
        pool.word(self, Word::Tick);
        Ok(pool)
    }

    fn forget(&self, pool: &Pool) {
        let mut pools = lock(&self.pools);
        if pools.get(pool.name()).is_some_and(|known| known.number == pool.number) {
            pools.remove(pool.name());
        }
    }

    /// The pool of this name.
    fn find(&self, name: &str) -> Result<Arc<Pool>> {
        let pools = lock(&self.pools);
        pools.get(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = pools.keys().map(String::as_str).collect();
            Fault::not_found(format!("no pool '{}'", name.escape_debug())).hint(match names.is_empty() {
                true => format!("make one: 'mahavishnu pool spawn {name} --profile shell'"),
                false => format!("there are: {}", names.join(", ")),
            })
        })
    }

    /// The pool of this name, made if it was written down or is the name of a profile.
    fn find_or_make(self: &Arc<Self>, name: &str) -> Result<Arc<Pool>> {
        let missing = match self.find(name) {
            Ok(pool) => return Ok(pool),
            Err(missing) => missing,
        };
        let saved = if self.config.serves { Vec::new() } else { saved::read(&self.config.home)? };
        let (spec, origin) = match saved.into_iter().find(|spec| spec.name == name) {
            Some(spec) => (PoolSpec { min: 0, ..spec }, Origin::Known),
            None if Profiles::load(&self.config.home)?.find(name).is_ok() => {
                let max = std::thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(2));
                let spec = PoolSpec { max: max.saturating_mul(2).clamp(2, 32), ..PoolSpec::new(name, name) };
                (spec, Origin::Passing)
            }
            None => return Err(missing),
        };
        match self.add(spec, origin) {
            // Somebody else was quicker.
            Err(_) if self.find(name).is_ok() => self.find(name),
            made => made,
        }
    }

    /// Gives a pool a task, which is written down first.
    fn submit(self: &Arc<Self>, pool: Arc<Pool>, ask: Ask, stop: Stop) -> Result<Ticket> {
        let prompt = self.shop.redactor.text(&ask.prompt).into_owned();
        let mut report = TaskReport::new(pool.name(), &prompt, &ask.repo, self.shop.clock.now());
        let task = self.ledger.add(self.instance.id(), &report)?;
        report.task = task;
        if let Some(forgotten) = self.reports.add(report)
            && let Some(output) = forgotten.output
            && output.starts_with(self.instance.outputs())
        {
            let _ = std::fs::remove_file(output);
        }
        let (reply, ended) = channel();
        let order = Order { task, ask, stop, reply };
        pool.submit(self, order);
        Ok(Ticket { task, pool, ended })
    }

    /// What is said of tasks that end because this process lets its pools go.
    fn ended_with_it(&self) -> Option<&'static str> {
        let serves = if self.config.serves { "its server was stopped" } else { "the command that did it ended" };
        self.ending.load(Ordering::Relaxed).then_some(serves)
    }

    /// The pools among which one is chosen: the named ones, those of a profile, else those that take command lines. A prompt
    /// costs money and a command line does what it says, so neither goes where the other is meant.
    fn among(&self, names: &[String], profile: Option<&str>) -> Result<Vec<Arc<Pool>>> {
        let all = match names {
            [] => self.all(),
            names => names.iter().map(|name| self.find(name)).collect::<Result<_>>()?,
        };
        let fits = |pool: &Arc<Pool>| match profile {
            Some(profile) => pool.profile.is_some() && pool.spec.profile == profile,
            None => !names.is_empty() || pool.profile.as_ref().is_some_and(Profile::takes_command_lines),
        };
        let (fitting, others): (Vec<_>, Vec<_>) = all.into_iter().partition(fits);
        if !fitting.is_empty() || others.is_empty() {
            return Ok(fitting);
        }
        let there: Vec<String> = others.iter().map(|pool| format!("{} ({})", pool.name(), pool.works_as())).collect();
        Err(match profile {
            Some(profile) => Fault::not_found(format!("no pool has workers of profile {}", profile.escape_debug()))
                .hint(format!("there are: {}", there.join(", "))),
            None => Fault::unavailable(format!("no pool takes command lines; there are: {}", there.join(", ")))
                .hint("for a prompt, say which take it: --profile NAME or --pool NAME"),
        })
    }

    /// Chooses a pool for a task.
    fn route(&self, selector: Selector, key: Option<&str>, pools: Vec<Arc<Pool>>) -> Result<Arc<Pool>> {
        let mut routes = lock(&self.routes);
        let last = key.and_then(|key| routes.1.get(key)).copied();
        let open = pools.iter().filter_map(|pool| pool.load().map(|(load, done)| (pool, load, done)));
        let choices: Vec<Choice<'_>> = open
            .map(|(pool, load, done)| Choice {
                id: pool.number,
                load,
                done,
                key: key.filter(|_| last == Some(pool.number)),
            })
            .collect();
        let chosen = routes.0.choose(selector, key, &choices);
        if let (Some(key), Some(chosen)) = (key, chosen) {
            if routes.1.len() >= 10_000 {
                routes.1.clear();
            }
            routes.1.insert(key.to_owned(), chosen);
        }
        pools.into_iter().find(|pool| Some(pool.number) == chosen).ok_or_else(|| {
            Fault::unavailable("no pool takes tasks").hint("make one: 'mahavishnu pool spawn NAME --profile shell'")
        })
    }
}

impl Ticket {
    /// Waits for the end. When `stop` is raised, a task that waits is withdrawn, and one at work is ended.
    fn wait(
        &self,
        inner: &Arc<Inner>,
        stop: &Stop,
        limit: Option<Duration>,
        bound: &dyn Fn(&str),
    ) -> Option<crate::workers::Done> {
        let clock = &inner.shop.clock;
        let deadline = limit.map(|limit| clock.monotonic() + limit);
        let mut withdrawn = false;
        loop {
            let left = deadline.map(|at| at.saturating_sub(clock.monotonic()));
            match self.ended.recv_timeout(left.unwrap_or(TICK).min(Duration::from_millis(50))) {
                Ok(Reply::Ended(done)) => return Some(*done),
                Ok(Reply::Bound(run, written)) => {
                    bound(&run);
                    let _ = written.send(());
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    if stop.is_raised() && !withdrawn {
                        withdrawn = true;
                        self.pool.word(inner, Word::Withdraw { task: self.task });
                    }
                    if left.is_some_and(|left| left.is_zero()) {
                        return None;
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return Some(crate::workers::Done::crashed("its worker went away"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
