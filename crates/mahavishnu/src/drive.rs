//! Who drives a workflow: the server when one runs, else this process, for as long as it takes.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oneiric::count::counted;
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::paths::plain;
use oneiric::run_file;
use oneiric_shell::interrupt::is_ignored;
use oneiric_shell::output::Output;
use oneiric_shell::terminal::printable;
use orchestrator::engine::{CommandRunner, Engine, EngineConfig, Runners, Takes, is_alive};
use orchestrator::workflows::fact::StepState;
use orchestrator::workflows::plan::Plan;
use orchestrator::workflows::{NewWorkflow, Request, Status, Submitted, Workflow, is_disk_full};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::workflow::{machine, notes};
use crate::who;
use crate::world::World;

/// Time between two looks at a workflow that is followed.
const LOOK: Duration = Duration::from_millis(20);
/// How long an engine that was asked to cancel may take before it is ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at whether somebody still drives it, and looks in a row that find nobody before it is driven here:
/// a server that is started anew goes on by itself.
const ALONE: Duration = Duration::from_secs(1);
const ALONE_LOOKS: u32 = 3;

/// Most questions that are put at once.
const QUESTIONS: usize = 5;
/// How long nothing may happen before it is said why.
const STILL: Duration = Duration::from_secs(2);

/// The name under which the server's run file is found.
pub(crate) const PRODUCT: &str = "mahavishnu";

/// How the following of a workflow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// It has ended.
    Ended,
    /// It waits for a person, and nobody else drives it.
    Waits,
    /// The terminal is gone. What was driven here was cancelled; what somebody else drives goes on there.
    HungUp,
}

impl Followed {
    /// The exit code for a workflow that was followed so.
    pub(crate) fn exit_code(self, workflow: &Workflow) -> i32 {
        match (self, workflow.status) {
            (Self::HungUp, _) => 128 + SIGHUP,
            (_, Status::Completed) => 0,
            (_, Status::Cancelled) => 130,
            (_, Status::Pending | Status::Running | Status::Failed | Status::Timeout) => 1,
        }
    }
}

/// An engine's configuration in this world.
pub(crate) fn engine_config(world: &World, takes: Takes) -> EngineConfig {
    let capacity = usize::try_from(world.settings.int("workflows.parallel")).unwrap_or(0);
    let capacity =
        if capacity == 0 { 2 * std::thread::available_parallelism().map_or(2, usize::from) } else { capacity };
    let commands = CommandRunner {
        environment: CommandRunner::inherited(std::env::vars_os()),
        redactor: world.redactor(),
        clock: Arc::clone(&world.clock),
    };
    let runner = Runners {
        commands: Arc::new(commands),
        adapters: Some(Arc::new(crate::engines::runner(world))),
        workers: Some(crate::pools::runner(world)),
    };
    EngineConfig {
        home: world.settings.home().clone(),
        capacity,
        remote_capacity: 64,
        takes,
        runner: Arc::new(runner),
        clock: Arc::clone(&world.clock),
    }
}

/// Whether a server takes what is asked for.
pub(crate) fn server_runs(world: &World) -> bool {
    run_file::running(world.settings.home(), PRODUCT).is_some()
}

/// Whether someone drives a workflow now.
pub(crate) fn is_driven(world: &World, workflow: &Workflow) -> bool {
    match &workflow.engine {
        Some(engine) => is_alive(world.settings.home(), engine),
        None => server_runs(world),
    }
}

/// Asks for a workflow.
///
/// # Errors
/// User, when the plan holds what looks like a secret; as [`orchestrator::workflows::Workflows::submit`].
pub(crate) fn submit(world: &World, new: &NewWorkflow) -> Result<Submitted> {
    submit_as(world, new, &new.plan.title())
}

/// Asks for a workflow under a title.
///
/// # Errors
/// As [`submit`].
pub(crate) fn submit_as(world: &World, new: &NewWorkflow, title: &str) -> Result<Submitted> {
    refuse_secrets(world, &new.plan)?;
    world.workflows().submit(new, title, None, world.clock.now())
}

/// Lets no plan pass that holds what may not be kept.
///
/// # Errors
/// User.
pub(crate) fn refuse_secrets(world: &World, plan: &Plan) -> Result<()> {
    let mut plan = serde_json::to_value(plan).map_err(|error| Fault::internal(error.to_string()))?;
    // The plan must be kept as it is, or it could not be run again; so it must not hold what may not be kept: neither in
    // the text that is kept nor in its parts, of which the words of a command are read as one.
    let redactor = world.redactor();
    if redactor.counted(&plan.to_string()).1 > 0 || redactor.value(&mut plan) > 0 {
        return Err(Fault::user("the command holds what looks like a secret, and would be kept with it").hint(
            "put it into a variable of the environment and let the command read it: sh -c 'deploy --token \"$TOKEN\"'",
        ));
    }
    Ok(())
}

/// Lets a workflow be driven: by the server, or by a process in the background when this one does not stay.
///
/// # Errors
/// When the process cannot be started.
pub(crate) fn detach(world: &World, id: &str) -> Result<()> {
    if server_runs(world) {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("mahavishnu"));
    // Who asked has been let in; the process that goes on for them has no token of theirs.
    let token = crate::access::own_tokens(world).and_then(|make| make()).map(|token| ("MAHAVISHNU_TOKEN", token));
    let started = Command::new(&program)
        .args(["workflow", "resume", id, "--background"])
        .envs(token)
        .env("MAHAVISHNU_HOME", world.settings.home().root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.map(drop).map_err(|error| {
        Fault::unavailable(format!("cannot start {}: {}", program.display(), plain(&error)))
            .hint(format!("workflow {id} waits: 'mahavishnu workflow resume {id}'"))
    })
}

/// Follows a workflow to its end, driving it when nobody else does. Ctrl-C cancels it; a second one does not wait. When
/// the terminal is closed, work that is driven here is cancelled, since nothing of it may outlive this process unseen.
///
/// # Errors
/// When the database cannot be used.
pub(crate) fn follow(world: &World, id: &str, progress: bool, output: &Output) -> Result<(Workflow, Followed)> {
    let heard = Heard::default();
    let listening = heard.listen();
    let mut engine = None;
    let followed = watch(world, id, progress, output, &heard, &mut engine);
    // However that went: nothing of it goes on without this process.
    if let Some(engine) = engine {
        let id = engine.id().to_owned();
        let patience = if followed.is_err() || heard.interrupts() > 1 { Duration::ZERO } else { PATIENCE };
        engine.end(patience);
        world.drives(&id, false);
    }
    drop(listening);
    let (workflow, followed) = followed?;
    Ok((workflow, if heard.hung_up() { Followed::HungUp } else { followed }))
}

fn watch(
    world: &World,
    id: &str,
    progress: bool,
    output: &Output,
    heard: &Heard,
    engine: &mut Option<Engine>,
) -> Result<(Workflow, Followed)> {
    let table = world.workflows();
    let mut workflow = table.get(id)?;
    if !workflow.status.is_final() && !is_driven(world, &workflow) {
        *engine = Some(drive_here(world, &workflow)?);
    }
    let mut line = Progress { shown: progress && std::io::stderr().is_terminal(), output, last: String::new() };
    let mut cancelled = false;
    let mut blind_since: Option<Duration> = None;
    let mut alone = (world.clock.monotonic(), 0);
    let mut still = Still::new(world);
    let followed = loop {
        // Asked in this order: what was answered in between shows in the workflow.
        let found = table.is_asked(workflow.number).and_then(|asked| Ok((table.get(id)?, asked)));
        let asked = match found {
            Ok((found, asked)) => {
                (workflow, blind_since) = (found, None);
                asked
            }
            // A full disk keeps even readers out. The work goes on meanwhile, and is written as soon as there is room.
            Err(fault) if fault.kind() == FaultKind::Unavailable => {
                let now = world.clock.monotonic();
                if blind_since.is_none() {
                    line.say(&format!("note: {}; trying again", fault.message()));
                }
                let since = *blind_since.get_or_insert(now);
                if heard.interrupts() > 1 || (engine.is_none() && now > since + PATIENCE) {
                    return Err(fault);
                }
                std::thread::sleep(LOOK);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        line.show(&workflow);
        for said in still.look(world, &workflow, engine.as_ref()) {
            line.say(&said);
        }
        if workflow.status.is_final() {
            break Followed::Ended;
        }
        if workflow.waiting_for_someone > 0 {
            for said in still.questions(world, &workflow) {
                line.say(&said);
            }
        }
        let taken = engine.as_ref().is_some_and(|engine| workflow.engine.as_deref() == Some(engine.id()));
        if workflow.stuck && taken && !asked {
            break Followed::Waits;
        }
        // Whoever drove it may have been killed since.
        let now = world.clock.monotonic();
        if engine.is_none() && now >= alone.0 + ALONE {
            alone = (now, if is_driven(world, &workflow) { 0 } else { alone.1 + 1 });
            if alone.1 >= ALONE_LOOKS {
                line.say("note: whoever drove it is gone; it goes on here");
                *engine = Some(drive_here(world, &workflow)?);
            }
        }
        match heard.interrupts() {
            0 => {}
            // Nobody asked to cancel what goes on elsewhere.
            1 if heard.hung_up() && engine.is_none() => break Followed::HungUp,
            1 if !cancelled => {
                let by = who::username(&world.surroundings);
                if table.ask(&workflow, &Request::Cancel { by }, world.clock.now()).is_ok() {
                    cancelled = true;
                    line.say("cancelling; Ctrl-C again does not wait");
                }
            }
            1 => {}
            _ => break Followed::Waits,
        }
        std::thread::sleep(LOOK);
    };
    line.clear();
    Ok((workflow, followed))
}

fn drive_here(world: &World, workflow: &Workflow) -> Result<Engine> {
    let engine = Engine::start(engine_config(world, Takes::Only(workflow.number)))?;
    world.drives(engine.id(), true);
    engine.wake();
    Ok(engine)
}

/// Says why nothing happens, each thing once.
struct Still {
    /// How far the workflow was, and since when.
    seen: Option<(u32, u32, u32)>,
    since: Duration,
    looked: Duration,
    said: BTreeSet<String>,
    full: bool,
    /// How many steps waited for a person.
    asked: u32,
}

impl Still {
    fn new(world: &World) -> Self {
        let now = world.clock.monotonic();
        Self { seen: None, since: now, looked: now, said: BTreeSet::new(), full: false, asked: 0 }
    }

    /// What a person is asked, and how they answer.
    fn questions(&mut self, world: &World, workflow: &Workflow) -> Vec<String> {
        if self.asked == workflow.waiting_for_someone {
            return Vec::new();
        }
        self.asked = workflow.waiting_for_someone;
        let Ok(machine) = machine(world, workflow) else { return Vec::new() };
        let (id, notes) = (&workflow.id, notes(world, workflow, &machine));
        let words = (0_u32..).zip(machine.steps()).filter_map(|(number, step)| match step.state {
            StepState::Asking => {
                let question = printable(notes.get(&number).map_or("", String::as_str));
                Some(format!("{question} 'mahavishnu workflow approve {id}' says yes, with --refuse no"))
            }
            StepState::Unknown => Some(format!(
                "{} may or may not have finished: 'mahavishnu workflow resume {id} --unknown retry' runs it again; done and \
                 failed say how it counts",
                printable(&machine.label(number))
            )),
            _ => None,
        });
        words.filter(|words| self.said.insert(words.clone())).take(QUESTIONS).collect()
    }

    fn look(&mut self, world: &World, workflow: &Workflow, engine: Option<&Engine>) -> Vec<String> {
        let now = world.clock.monotonic();
        let seen = Some((workflow.completed, workflow.failed, workflow.running));
        if self.seen != seen {
            (self.seen, self.since) = (seen, now);
        }
        if workflow.status.is_final() || now < self.since + STILL || now < self.looked + ALONE {
            return Vec::new();
        }
        self.looked = now;
        let mut said = Vec::new();
        let path = world.workflows().path().to_path_buf();
        let trouble = engine.and_then(|engine| engine.trouble().now()).map(|(_, why)| why);
        let trouble =
            trouble.or_else(|| is_disk_full(&path).then(|| format!("the disk of {} is full", path.display())));
        match (trouble, self.full) {
            (Some(why), false) => {
                said.push(format!("note: {why}; what ends meanwhile is written as soon as there is room"));
                self.full = true;
            }
            (None, true) => {
                said.push("note: the journal can be written again".to_owned());
                self.full = false;
            }
            _ => {}
        }
        if workflow.running == 0
            && let Ok(machine) = machine(world, workflow)
        {
            for (step, note) in notes(world, workflow, &machine) {
                if machine.steps()[step as usize].state == StepState::Waiting && self.said.insert(note.clone()) {
                    said.push(format!("note: {} {note}", printable(&machine.label(step))));
                }
            }
        }
        said
    }
}

/// Waits until the engine that drives a workflow has answered a request, as long as somebody drives it: an engine may be
/// killed first. Gives whether it has answered.
///
/// # Errors
/// Conflict, with what the engine says; unavailable when it does not answer.
pub(crate) fn await_answer(world: &World, workflow: &Workflow, request: i64) -> Result<bool> {
    let limit = world.clock.monotonic() + PATIENCE;
    loop {
        // Looked at before the answer: the last thing that an engine did may have been to give it.
        let driven = is_driven(world, &world.workflows().get(&workflow.id)?);
        match world.workflows().answer(request)? {
            Some(Ok(())) => return Ok(true),
            Some(Err(why)) => return Err(Fault::conflict(why)),
            None if !driven => return Ok(false),
            None if world.clock.monotonic() > limit => {
                return Err(Fault::unavailable("the engine that drives it does not answer").hint("try again"));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// What signals wanted so far.
#[derive(Default)]
struct Heard {
    interrupts: Arc<AtomicUsize>,
    hung_up: Arc<AtomicBool>,
}

impl Heard {
    /// Listens as long as the handle lives. Who started this process may want it to outlive its terminal (`nohup`).
    fn listen(&self) -> Option<Listening> {
        let hangup = (!is_ignored(SIGHUP)).then(|| Arc::clone(&self.hung_up));
        listen_to(&self.interrupts, hangup)
    }

    /// How often it was interrupted. A terminal that closes counts once, however many tell of it.
    fn interrupts(&self) -> usize {
        self.interrupts.load(Ordering::Relaxed) + usize::from(self.hung_up())
    }

    fn hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Relaxed)
    }
}

/// Counts Ctrl-C instead of dying of it, as long as the handle lives.
pub(crate) fn listen(count: &Arc<AtomicUsize>) -> Option<Listening> {
    listen_to(count, None)
}

fn listen_to(count: &Arc<AtomicUsize>, hangup: Option<Arc<AtomicBool>>) -> Option<Listening> {
    let count = Arc::clone(count);
    let wanted = [SIGINT, SIGTERM].into_iter().chain(hangup.as_ref().map(|_| SIGHUP));
    let mut signals = signal_hook::iterator::Signals::new(wanted).ok()?;
    let handle = signals.handle();
    std::thread::Builder::new()
        .name("interrupts".into())
        .spawn(move || {
            for signal in signals.forever() {
                match &hangup {
                    Some(hung_up) if signal == SIGHUP => hung_up.store(true, Ordering::Relaxed),
                    _ => drop(count.fetch_add(1, Ordering::Relaxed)),
                }
            }
        })
        .ok()?;
    Some(Listening(handle))
}

pub(crate) struct Listening(signal_hook::iterator::Handle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One line on the terminal that says how far it is.
struct Progress<'o> {
    shown: bool,
    output: &'o Output,
    last: String,
}

impl Progress<'_> {
    fn show(&mut self, workflow: &Workflow) {
        let over = workflow.progress * f64::from(workflow.steps);
        let part = |count: u32, word: &str| if count > 0 { format!(", {count} {word}") } else { String::new() };
        let line = format!(
            "{over:.0} of {}{}{}{}",
            counted(workflow.steps, "step", "steps"),
            part(workflow.running, "running"),
            part(workflow.failed, "failed"),
            part(workflow.waiting_for_someone, "waiting for someone"),
        );
        if self.shown && line != self.last {
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
            self.last = line;
        }
    }

    fn say(&mut self, text: &str) {
        self.clear();
        self.output.error_line(text);
    }

    fn clear(&mut self) {
        if self.shown && !self.last.is_empty() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            self.last.clear();
        }
    }
}

#[cfg(test)]
mod tests;
