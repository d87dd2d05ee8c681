//! The shell's language: Starlark, a hermetic and bounded dialect of Python.
//!
//! The interpreter lives on a thread of its own, with a stack that deep recursion cannot exhaust, and is given one
//! top-level statement at a time. Variables stay from statement to statement. A statement that neither ends nor
//! listens is abandoned together with its thread, and the shell goes on with a new one.

mod bounds;
mod host;
mod machine;
mod objects;
mod rewrite;
mod show;
mod trouble;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;

pub use host::{Arguments, Frame, Function, Live, Parameter, Reply, Shown};
pub use objects::Object;
pub use show::Echo;
pub use trouble::{Place, Trouble, TroubleKind};

use crate::output::Output;
use machine::{Machine, Request};

/// Bounds of one statement.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest run time; `None` leaves it to Ctrl-C.
    pub time: Option<Duration>,
    /// Deepest nesting of calls.
    pub depth: usize,
    /// Largest heap in bytes; while something large is made, twice as much is taken.
    pub heap: usize,
    /// How long a statement that was told to stop may take to do so.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Some(Duration::from_secs(300)), depth: 500, heap: 256 << 20, grace: Duration::from_secs(2) }
    }
}

/// One top-level statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its source text.
    pub text: String,
    /// Line of the entry where it begins, from 0.
    pub line: usize,
    /// Column in that line, from 0.
    pub column: usize,
    /// Whether it is an expression, whose value is shown and becomes `_`.
    pub is_expression: bool,
}

/// The interpreter.
pub struct Interpreter {
    functions: Arc<Vec<Function>>,
    objects: Arc<Vec<Object>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    names: Arc<Mutex<BTreeSet<String>>>,
    /// Started with the first statement: a shell that runs none pays nothing for it.
    machine: Option<mpsc::Sender<Request>>,
    statements: usize,
}

impl Interpreter {
    /// An interpreter whose statements can call `functions`.
    #[must_use]
    pub fn new(functions: Vec<Function>, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            functions: Arc::new(functions),
            objects: Arc::default(),
            limits,
            clock,
            names: Arc::default(),
            machine: None,
            statements: 0,
        }
    }

    /// The same with objects that code can name.
    #[must_use]
    pub fn with_objects(mut self, objects: Vec<Object>) -> Self {
        self.objects = Arc::new(objects);
        self
    }

    /// The objects of the program.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The functions of the program.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Names of the variables and functions that statements have made.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same names, kept up to date, for a completer.
    #[must_use]
    pub(crate) fn shared_variables(&self) -> Arc<Mutex<BTreeSet<String>>> {
        Arc::clone(&self.names)
    }

    /// Takes code apart into its top-level statements; `line` and `column` say where it begins in its entry.
    ///
    /// # Errors
    /// [`TroubleKind::Syntax`].
    pub fn split(&mut self, code: &str, line: usize, column: usize) -> Result<Vec<Statement>, Trouble> {
        trouble::check_size(code)?;
        let (reply, answer) = mpsc::channel();
        self.send(Request::Split { code: code.to_owned(), line, column, reply })?;
        answer.recv().unwrap_or_else(|_| Err(self.lost()))
    }

    /// Runs a statement. Returns its value as it is to be shown.
    ///
    /// `interrupt` stops it when it becomes true.
    ///
    /// # Errors
    /// What went wrong, with its place.
    pub fn run(
        &mut self,
        statement: &Statement,
        output: &Output,
        interrupt: &AtomicBool,
    ) -> Result<Option<Echo>, Trouble> {
        let (reply, answer) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let branch = output.branch();
        self.statements += 1;
        let started = self.clock.monotonic();
        self.send(Request::Run {
            statement: statement.clone(),
            number: self.statements,
            branch: branch.clone(),
            stop: Arc::clone(&stop),
            reply,
        })?;
        let mut told = None;
        loop {
            match answer.recv_timeout(Duration::from_millis(20)) {
                Ok(result) => {
                    return match told {
                        // Stopped by us: the interpreter's own words for it say less.
                        Some((_, kind)) if result.is_err() => Err(self.stopped(kind)),
                        _ => result,
                    };
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.clock.monotonic();
            match told {
                None => {
                    let late = self.limits.time.is_some_and(|limit| now.saturating_sub(started) >= limit);
                    let kind = match (interrupt.load(Ordering::Acquire), late) {
                        (true, _) => TroubleKind::Interrupted,
                        (false, true) => TroubleKind::TimeLimit,
                        (false, false) => continue,
                    };
                    stop.store(true, Ordering::Release);
                    told = Some((now, kind));
                }
                Some((since, kind)) if now.saturating_sub(since) >= self.limits.grace => {
                    branch.cut();
                    self.forget();
                    return Err(self.stopped(kind).with_help(
                        "it could not be stopped in an orderly way, so the shell began anew: its variables are gone",
                    ));
                }
                Some(_) => {}
            }
        }
    }

    fn stopped(&self, kind: TroubleKind) -> Trouble {
        match kind {
            TroubleKind::TimeLimit => {
                let seconds = self.limits.time.unwrap_or_default().as_secs_f64();
                Trouble::new(kind, format!("stopped after {seconds} s, the time limit of one statement"))
            }
            _ => Trouble::new(kind, "interrupted"),
        }
    }

    fn send(&mut self, request: Request) -> Result<(), Trouble> {
        let machine = match &self.machine {
            Some(machine) => machine,
            None => {
                let (functions, objects) = (Arc::clone(&self.functions), Arc::clone(&self.objects));
                let started = Machine::start(functions, objects, self.limits, Arc::clone(&self.names));
                self.machine.insert(started.map_err(|error| {
                    Trouble::new(TroubleKind::Failed, format!("cannot start the interpreter: {error}"))
                })?)
            }
        };
        machine.send(request).map_err(|_| self.lost())
    }

    /// The machine's thread ended on its own: a defect, but not the shell's end.
    fn lost(&mut self) -> Trouble {
        self.forget();
        Trouble::new(TroubleKind::Failed, "the interpreter failed and began anew: its variables are gone")
    }

    fn forget(&mut self) {
        self.machine = None;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests;
