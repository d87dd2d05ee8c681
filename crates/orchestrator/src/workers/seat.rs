//! A seat: where a worker does its tasks, one after the other.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::redact::Redactor;

use super::answer::{Answer, Meter, Spent};
use super::profile::{Profile, PromptBy, find_program};
use crate::run::{Around, CommandJob, Stop, Tmux, read_output, run_command_around, run_in_tmux};
use crate::workflows::fact::{Ending, Outcome};

/// Which terminals are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalKind {
    /// tmux when it is there, else a terminal of this process's own.
    Auto,
    /// tmux or nothing.
    Tmux,
    /// One of this process's own, which nobody can look into.
    Pty,
}

/// Terminals for workers.
#[derive(Clone, Debug)]
pub struct Terminals {
    /// Why there are none.
    pub refused: Option<String>,
    /// Which.
    pub kind: TerminalKind,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Where the socket of our tmux is.
    pub socket: PathBuf,
}

/// What all seats share.
#[derive(Clone)]
pub struct Workshop {
    /// What processes inherit.
    pub environment: BTreeMap<OsString, OsString>,
    /// Terminals.
    pub terminals: Terminals,
    /// What hides secrets in outputs and answers.
    pub redactor: Arc<Redactor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A task at a seat.
#[derive(Clone, Debug)]
pub struct Errand {
    /// A command line or a prompt.
    pub prompt: String,
    /// Where it is done.
    pub dir: PathBuf,
    /// Variables beside those of the profile.
    pub env: BTreeMap<String, String>,
    /// What marks its processes.
    pub mark: String,
    /// Where its output is kept.
    pub output: PathBuf,
    /// Longest time.
    pub limit: Option<Duration>,
    /// Time between asking it to end and killing it.
    pub grace: Duration,
    /// Most that it may cost, in US dollars.
    pub max_usd: Option<f64>,
    /// Most tokens.
    pub max_tokens: Option<u64>,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// How it ended.
    pub ending: Ending,
    /// The answer.
    pub answer: Answer,
}

impl Done {
    /// It did not even begin, or its worker broke.
    #[must_use]
    pub fn crashed(why: impl Into<String>) -> Self {
        Self { ending: Ending::because(Outcome::Crashed, why), answer: Answer::default() }
    }
}

/// Where a worker does its tasks.
pub struct Seat {
    profile: Profile,
    name: String,
    shop: Arc<Workshop>,
    tmux: Option<Tmux>,
}

impl Workshop {
    /// What a process of ours searches for programs.
    #[must_use]
    pub fn search_path(&self) -> &OsStr {
        self.environment.get(OsStr::new("PATH")).map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), OsString::as_os_str)
    }

    /// Whether workers of a profile can be had here.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn check(&self, profile: &Profile) -> Result<(), String> {
        profile.program(self.search_path())?;
        if profile.terminal {
            if let Some(why) = &self.terminals.refused {
                return Err(why.clone());
            }
            self.tmux()?;
        }
        Ok(())
    }

    /// Our tmux; `None` when terminals are made without.
    ///
    /// # Errors
    /// When it has to be tmux and there is none, or nothing gives a process its terminal.
    pub fn tmux(&self) -> Result<Option<Tmux>, String> {
        let without = || match find_program("setsid", self.search_path()) {
            Some(_) => Ok(None),
            None => Err("no program tmux, and no setsid to do without".to_owned()),
        };
        let with = || {
            let program = find_program("tmux", self.search_path()).ok_or("no program tmux")?;
            Tmux::new(program, self.terminals.socket.clone(), self.environment.clone())
        };
        match (self.terminals.kind, with()) {
            (TerminalKind::Pty, _) | (TerminalKind::Auto, Err(_)) => without(),
            (_, tmux) => tmux.map(Some),
        }
    }
}

impl Seat {
    /// A seat under a name that nobody else has.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn take(shop: Arc<Workshop>, profile: Profile, name: String) -> Result<Self, String> {
        shop.check(&profile)?;
        let tmux = if profile.terminal { shop.tmux()? } else { None };
        Ok(Self { profile, name, shop, tmux })
    }

    /// What a person types to look at what it does.
    #[must_use]
    pub fn attach_line(&self) -> Option<String> {
        self.tmux.as_ref().map(|tmux| tmux.attach_line(&self.name))
    }

    /// Does a task to its end, until `stop` is raised, or until it has cost too much.
    #[must_use]
    pub fn perform(&self, errand: &Errand, stop: &Stop) -> Done {
        let usd = smaller(errand.max_usd, self.profile.max_usd);
        let argv = match self.profile.argv(&errand.prompt, usd) {
            Ok(argv) => argv,
            Err(why) => return Done { ending: Ending::because(Outcome::Failed, why), answer: Answer::default() },
        };
        let mut env = self.shop.environment.clone();
        let given = self.profile.env.iter().chain(&errand.env);
        env.extend(given.map(|(name, value)| (name.into(), value.into())));
        let job = CommandJob {
            argv,
            env,
            dir: errand.dir.clone(),
            limit: errand.limit.or_else(|| self.profile.timeout.map(crate::workflows::plan::seconds)),
            grace: errand.grace,
            mark: errand.mark.clone(),
            output: errand.output.clone(),
        };
        let (redactor, clock) = (&*self.shop.redactor, self.shop.clock.as_ref());
        let mut meter = Meter::new(&self.profile.answer);
        if let Some(tmux) = &self.tmux {
            let size = self.shop.terminals.size;
            let ending = run_in_tmux(tmux, &self.name, size, &job, stop, redactor, clock);
            if let Ok((kept, _)) = read_output(&job.output, 0) {
                meter.take(kept.as_bytes());
            }
            return conclude(ending, meter.close(redactor), None);
        }
        let tokens = errand.max_tokens.into_iter().chain(self.profile.max_tokens).min();
        let broke = AtomicBool::new(false);
        let tap = |bytes: &[u8]| {
            meter.take(bytes);
            if !broke.load(Ordering::Relaxed) && meter.spent().over(usd, tokens).is_some() {
                broke.store(true, Ordering::Relaxed);
                stop.raise();
            }
        };
        let around = Around {
            input: (self.profile.prompt == PromptBy::Stdin).then_some(errand.prompt.as_str()),
            terminal: self.profile.terminal.then_some(self.shop.terminals.size),
            tap: Some(Box::new(tap)),
        };
        let ending = run_command_around(&job, around, stop, redactor, clock);
        let answer = meter.close(redactor);
        let over = answer.spent.over(usd, tokens);
        conclude(ending, answer, over)
    }
}

fn smaller(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::min)
}

/// What the process says and what its answer says, together. Work that was done is not called failed for its price, unless
/// it was stopped for it.
fn conclude(mut ending: Ending, answer: Answer, over: Option<String>) -> Done {
    match (ending.outcome, &over) {
        (Outcome::Cancelled, Some(over)) => {
            ending.outcome = Outcome::Failed;
            ending.note = Some(format!("stopped, since its budget is used up: {over}"));
        }
        (Outcome::Succeeded, _) => {
            if let Some(why) = &answer.failed {
                ending.outcome = Outcome::Failed;
                ending.note = Some(why.clone());
            } else if answer.missing {
                ending.outcome = Outcome::Failed;
                let printed = ending.note.take().map(|last| format!(": {last}")).unwrap_or_default();
                ending.note = Some(format!("it gave no answer, though it ended with exit code 0{printed}"));
            } else if let Some(over) = over {
                ending.note = Some(format!("its budget is used up: {over}"));
            }
        }
        // The program broke off and said why in its own words, which tell more than the last line of its records.
        (Outcome::Failed, over) => {
            let code = ending.exit_code.map(|code| format!("exit code {code}"));
            let said = answer.failed.as_ref().map(|why| format!("{}: {why}", code.as_deref().unwrap_or("failed")));
            let over = over.as_ref().map(|over| format!("its budget is used up: {over}"));
            ending.note = match (over, said) {
                (Some(over), Some(said)) => Some(format!("{over}; {said}")),
                (over, said) => over.or(said).or(ending.note),
            };
        }
        _ => {}
    }
    let Spent { usd, tokens } = answer.spent;
    let mut result = serde_json::json!({ "answer": answer.text });
    if usd > 0.0 {
        result["cost_usd"] = usd.into();
    }
    if tokens > 0 {
        result["tokens"] = tokens.into();
    }
    ending.result = Some(result);
    Done { ending, answer }
}
