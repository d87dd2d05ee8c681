//! Drives workflows: takes them from the journal, runs their steps, writes what happened before acting on it.
//!
//! An engine is one thread that owns its machines and its connection, and a few that run steps. It works in turns: what has
//! come in since the last one (ends of steps, wishes of people, new workflows, time) becomes facts, the facts become one
//! transaction, and only then something is started or stopped. Killed at any moment, it leaves a journal from which the
//! next engine goes on.

mod alive;
mod driver;
mod remote;
mod runner;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::paths::Home;

use crate::workflows::Number;

pub use self::alive::{is_alive, process_of};
pub use self::remote::{AdapterRunner, Runners};
pub use self::runner::{CommandRunner, Job, Runner};
pub use self::trouble::Trouble;

use self::alive::EngineLock;
use self::driver::{Driver, Input};

/// Which workflows an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All that nobody drives: a server.
    All,
    /// The ones that it was made for: a command.
    Only(Number),
    /// None until it is told.
    Nothing,
}

/// What an engine is made with.
#[derive(Clone)]
pub struct EngineConfig {
    /// Where the database, the outputs and the engines' locks are.
    pub home: Home,
    /// Most local processes at the same time.
    pub capacity: usize,
    /// Most steps at the same time that other engines or workers run.
    pub remote_capacity: usize,
    /// Which workflows it takes.
    pub takes: Takes,
    /// Runs steps.
    pub runner: Arc<dyn Runner>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A running engine. Dropping it lets it end without waiting.
pub struct Engine {
    id: String,
    inbox: Sender<Input>,
    trouble: Trouble,
    thread: Option<JoinHandle<()>>,
}

impl EngineConfig {
    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.home.root().join("mahavishnu.db")
    }
}

/// Where the output of an attempt is kept.
#[must_use]
pub fn output_path(home: &Home, workflow: &str, step: u32, attempt: u32) -> PathBuf {
    home.root().join("workflows").join(workflow).join(format!("{step}-{attempt}.log"))
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// When the home cannot be written or the database cannot be used.
    pub fn start(config: EngineConfig) -> Result<Self> {
        let id = EventId::generate(config.clock.now()).as_str().to_owned();
        let lock = EngineLock::claim(&config.home, &id)?;
        let (inbox, outbox) = channel();
        let driver = Driver::open(config, id.clone(), lock, inbox.clone(), outbox)?;
        let trouble = driver.trouble();
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || driver.run())
            .map_err(|error| Fault::unavailable(format!("no thread for the engine: {error}")))?;
        Ok(Self { id, inbox, trouble, thread: Some(thread) })
    }

    /// Its id, under which workflows are its own.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What keeps it from writing its journal.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Looks at the journal now instead of at the next look.
    pub fn wake(&self) {
        let _ = self.inbox.send(Input::Look);
    }

    /// Takes a workflow that nobody drives.
    pub fn take(&self, number: Number) {
        let _ = self.inbox.send(Input::Take(number));
    }

    /// Ends it: nothing new begins; what runs may finish within `patience` and is ended then. What was ended so has not
    /// finished and runs again with the next engine. With no patience at all steps are killed soon after they are asked.
    pub fn end(mut self, patience: Duration) {
        let _ = self.inbox.send(Input::End(patience));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.inbox.send(Input::End(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests;
