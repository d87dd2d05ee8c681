//! The shell itself: takes entries apart, runs their pieces, and tells the journal of each.

mod help;
mod lines;
mod magics;
mod watch;

use std::io::BufRead;
use std::sync::Arc;

use oneiric::clock::Clock;

use crate::entry::{self, Piece, PieceKind, Vocabulary};
use crate::interpreter::{Echo, Interpreter, Limits, Statement, Trouble, TroubleKind};
use crate::interrupt::Interrupts;
use crate::nearest::nearest;
use crate::output::Output;
use crate::pager::Pager;
use crate::program::{CommandKind, Finished, Journal, Program};
use crate::reader::{Read, Reader};
use crate::system::{self, Plan};
use lines::Told;
pub(crate) use magics::MAGICS;

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `exit`, `eof`, `error` or the name of a signal.
    pub reason: &'static str,
    /// Exit code of the program.
    pub exit_code: i32,
}

/// What the shell does after a piece.
enum Next {
    /// Go on. Whether the piece worked.
    Go(Finished),
    /// End, with this exit code.
    Exit(i32),
}

/// Entries that `%history` knows.
const MAX_PAST: usize = 10_000;

/// Bytes of an entry that is too long that are recorded.
const SHOWN_OF_TOO_LONG: usize = 200;

/// One command of a piece, not yet run.
type Step = Box<dyn FnOnce(&mut Shell) -> Next>;

/// A shell over a program.
pub struct Shell {
    program: Arc<dyn Program>,
    journal: Arc<dyn Journal>,
    interpreter: Interpreter,
    output: Output,
    interrupts: Interrupts,
    clock: Arc<dyn Clock>,
    /// Entries of this session, and those of earlier ones when a person types; the newest last.
    past: Vec<String>,
    /// Whether system commands read what the shell reads.
    shares_input: bool,
}

struct Names<'a> {
    program: &'a dyn Program,
    variables: std::collections::BTreeSet<String>,
}

impl Vocabulary for Names<'_> {
    fn is_command(&self, word: &str) -> bool {
        self.program.commands().iter().any(|command| command.name == word)
    }

    fn is_variable(&self, word: &str) -> bool {
        self.variables.contains(word)
    }
}

impl Shell {
    /// A shell; nothing runs yet.
    #[must_use]
    pub fn new(
        program: Arc<dyn Program>,
        journal: Arc<dyn Journal>,
        limits: Limits,
        clock: Arc<dyn Clock>,
        output: Output,
        interrupts: Interrupts,
    ) -> Self {
        let interpreter =
            Interpreter::new(program.functions(), limits, Arc::clone(&clock)).with_objects(program.objects());
        output.heed(&interrupts);
        Self { program, journal, interpreter, output, interrupts, clock, past: Vec::new(), shares_input: true }
    }

    /// Runs a text as a script: what fails ends it.
    pub fn run_code(&mut self, code: &str) -> Ending {
        match self.entry(code, true) {
            Ok(finished) => {
                let exit_code = finished.map_or(0, |finished| finished.exit_code);
                if self.output.is_broken() && exit_code == 130 {
                    // Nobody reads any more, which ended the work and is no failure of it.
                    return Ending { reason: "eof", exit_code: 0 };
                }
                let reason = if exit_code == 0 { "exit" } else { "error" };
                Ending { reason: if exit_code == 130 { "SIGINT" } else { reason }, exit_code }
            }
            Err(exit_code) => Ending { reason: "exit", exit_code },
        }
    }

    /// Reads entries from something that is no terminal. What fails is told, and the next entry runs.
    pub fn run_lines(&mut self, mut input: impl BufRead) -> Ending {
        self.shares_input = false;
        let mut ahead = None;
        let mut exit_code = 0;
        loop {
            if self.output.is_broken() {
                return Ending { reason: "eof", exit_code: 0 };
            }
            let entry = match lines::next_entry(&mut input, &mut ahead) {
                Ok(Told::Entry(entry)) => entry,
                Ok(Told::End) => return Ending { reason: "eof", exit_code },
                Ok(Told::Endless) => {
                    // Where it ends is not known, and what is within it must not run.
                    self.too_long(None);
                    return Ending { reason: "error", exit_code: 1 };
                }
                Err(error) => {
                    self.output.error_line(&format!("error: cannot read standard input: {error}"));
                    return Ending { reason: "error", exit_code: 1 };
                }
            };
            match self.entry(&entry, false) {
                Ok(Some(finished)) if finished.exit_code == 130 && self.interrupts.is_raised() => {
                    return Ending { reason: "SIGINT", exit_code: 130 };
                }
                Ok(Some(finished)) => exit_code = finished.exit_code,
                Ok(None) => {}
                Err(exit_code) => return Ending { reason: "exit", exit_code },
            }
        }
    }

    /// Reads entries from a person at a terminal.
    ///
    /// `pager` is the command line that shows what does not fit the screen; the built-in one does when there is none.
    pub fn run_interactive(&mut self, reader: &mut Reader, pager: Option<String>) -> Ending {
        self.past = reader.attach(&self.program, &MAGICS, &self.interpreter);
        self.output.page_by(Pager { command: pager, interrupts: self.interrupts.clone() });
        loop {
            self.say_warnings();
            self.interrupts.clear();
            match reader.read() {
                Ok(Read::Entry(entry)) => {
                    self.interrupts.clear();
                    reader.remember(&entry);
                    if let Err(exit_code) = self.entry(&entry, false) {
                        return Ending { reason: "exit", exit_code };
                    }
                }
                Ok(Read::Cancelled) => {}
                Ok(Read::End) => return Ending { reason: "eof", exit_code: 0 },
                Err(error) => {
                    self.output.error_line(&format!("error: cannot read from the terminal: {error}"));
                    return Ending { reason: "error", exit_code: 1 };
                }
            }
        }
    }

    /// Runs an entry's pieces until one fails. `Err` is a request to exit.
    fn entry(&mut self, text: &str, clear: bool) -> Result<Option<Finished>, i32> {
        if clear {
            self.interrupts.clear();
        }
        if text.len() > entry::MAX_BYTES {
            let length = text.len();
            let begin = format!("{}… ({length} bytes)", &text[..text.floor_char_boundary(SHOWN_OF_TOO_LONG)]);
            return match self.record(&begin, CommandKind::Statement, |shell| shell.too_long(Some(length))) {
                Next::Go(finished) => Ok(Some(finished)),
                Next::Exit(code) => Err(code),
            };
        }
        if !text.trim().is_empty() {
            self.past.push(text.trim_end().to_owned());
            if self.past.len() > MAX_PAST {
                self.past.drain(..MAX_PAST / 2);
            }
        }
        let pieces = {
            let names = Names { program: &*self.program, variables: self.interpreter.variables() };
            entry::split(text, &names)
        };
        let mut last = None;
        for piece in pieces {
            for step in self.steps(piece) {
                self.interrupts.work_begins();
                let next = step(self);
                self.interrupts.work_is_over();
                self.say_warnings();
                match next {
                    Next::Exit(code) => return Err(code),
                    Next::Go(finished) => {
                        let failed = finished.exit_code != 0;
                        last = Some(finished);
                        if failed {
                            return Ok(last);
                        }
                    }
                }
            }
        }
        Ok(last)
    }

    /// Refuses an entry for its length; without one, for not ending.
    fn too_long(&self, length: Option<usize>) -> Finished {
        let most = entry::MAX_BYTES / 1024;
        let message = match length {
            Some(length) => format!("an entry holds at most {most} KiB, not {}", length.div_ceil(1024)),
            None => format!("an entry holds at most {most} KiB, and this one goes on: nothing more is read"),
        };
        self.complain(&message, Some("keep data in files, and let commands read them"))
    }

    /// The commands of a piece: one for each top-level statement of code, one for anything else.
    fn steps(&mut self, piece: Piece) -> Vec<Step> {
        match piece.kind.clone() {
            PieceKind::Exit { code } => vec![Box::new(move |_| Next::Exit(code))],
            PieceKind::Code => match self.interpreter.split(&piece.text, piece.line, piece.column) {
                Ok(statements) => statements
                    .into_iter()
                    .map(|statement| Box::new(move |shell: &mut Self| shell.statement(&statement)) as _)
                    .collect(),
                Err(trouble) => vec![Box::new(move |shell| {
                    shell.record(&piece.text, CommandKind::Statement, |shell| shell.failed(&trouble))
                })],
            },
            PieceKind::Magic { name, arguments } => vec![Box::new(move |shell| {
                shell.record(&piece.text, CommandKind::Magic, |shell| shell.magic(&name, &arguments))
            })],
            PieceKind::Help { about } => vec![Box::new(move |shell| {
                shell.record(&piece.text, CommandKind::Magic, |shell| shell.help(about.as_deref()))
            })],
            PieceKind::Command => vec![Box::new(move |shell| {
                shell.record(&piece.text, CommandKind::Cli, |shell| shell.command(&piece.text))
            })],
            PieceKind::System { command, direct } => vec![Box::new(move |shell| {
                shell.record(&piece.text, CommandKind::System, |shell| shell.system(&command, direct))
            })],
        }
    }

    fn statement(&mut self, statement: &Statement) -> Next {
        let kind = if statement.is_expression { CommandKind::Expression } else { CommandKind::Statement };
        let mut exit = None;
        let next = self.record(&statement.text, kind, |shell| {
            match shell.interpreter.run(statement, &shell.output, shell.interrupts.flag()) {
                Ok(None) => completed(),
                Ok(Some(Echo::Text(text))) => {
                    shell.output.page(&text);
                    completed()
                }
                Ok(Some(Echo::Live(live))) => shell.watch(&live),
                Err(trouble) => match trouble.kind() {
                    TroubleKind::Exit(code) => {
                        exit = Some(code);
                        completed()
                    }
                    _ => shell.failed(&trouble),
                },
            }
        });
        exit.map_or(next, Next::Exit)
    }

    fn failed(&self, trouble: &Trouble) -> Finished {
        if !(self.output.is_broken() && trouble.kind() == TroubleKind::Interrupted) {
            self.output.after_key(trouble.kind() == TroubleKind::Interrupted);
            self.output.error_line(&trouble.render(self.output.terminal()));
        }
        if trouble.kind() == TroubleKind::Interrupted {
            return Finished { exit_code: 130, outcome: "interrupted", ..failure(trouble.summary()) };
        }
        failure(trouble.summary())
    }

    fn magic(&mut self, name: &str, arguments: &str) -> Finished {
        if name == "timeit" {
            return self.timeit(arguments);
        }
        let words = match entry::words(arguments) {
            Ok(words) => words,
            Err(why) => return self.complain(&format!("%{name}: {why}"), None),
        };
        match name {
            "help_shell" => return self.help(words.first().map(String::as_str)),
            "who" => return self.who(),
            "history" => return self.history(&words),
            _ => {}
        }
        let magics = self.program.magics();
        if !magics.iter().any(|magic| magic.name == name) {
            let known = magics.iter().chain(&MAGICS).map(|magic| magic.name);
            let near: Vec<String> = nearest(name, known).iter().map(|name| format!("%{name}")).collect();
            let help = match near.is_empty() {
                true => "%help_shell lists the magics".to_owned(),
                false => format!("did you mean {}?", near.join(" or ")),
            };
            return self.complain(&format!("no magic %{name}"), Some(&help));
        }
        self.output.hold();
        let done = self.program.magic(name, &words, &self.output);
        self.output.release();
        match done {
            Ok(()) => completed(),
            Err(fault) => self.complain(fault.message(), fault.advice()),
        }
    }

    fn help(&self, about: Option<&str>) -> Finished {
        match help::text(&*self.program, &self.interpreter, about, self.output.terminal()) {
            Ok(text) => {
                self.output.page(&text);
                completed()
            }
            Err(near) => {
                let help = (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or ")));
                self.complain(&format!("nothing is known of '{}'", about.unwrap_or_default()), help.as_deref())
            }
        }
    }

    fn command(&self, line: &str) -> Finished {
        let words = match entry::words(line) {
            Ok(words) => words,
            Err(why) => return self.complain(&why, None),
        };
        if self.program.only_shows(&words) {
            self.output.hold();
        }
        let exit_code = self.program.command(&words, &self.output);
        self.output.release();
        if exit_code == 0 {
            return completed();
        }
        if exit_code == 130 {
            return Finished { exit_code, outcome: "interrupted", ..failure("interrupted".to_owned()) };
        }
        Finished { exit_code, ..failure(format!("exit code {exit_code}")) }
    }

    fn system(&self, command: &str, direct: bool) -> Finished {
        if command.is_empty() {
            return self.complain("! needs a command", Some("for instance: !git status"));
        }
        let plan = Plan { shares_input: self.shares_input, direct };
        match system::run(command, plan, &self.output, &self.interrupts) {
            Ok(ended) => {
                if let Some(note) = &ended.note {
                    self.output.after_key(ended.stopped);
                    self.output.error_line(&format!("note: {note}"));
                }
                match (ended.exit_code, ended.interrupted) {
                    (0, _) => completed(),
                    (exit_code, true) => {
                        Finished { exit_code, outcome: "interrupted", ..failure("interrupted".to_owned()) }
                    }
                    (exit_code, false) => {
                        let error = ended.note.unwrap_or_else(|| format!("exit code {exit_code}"));
                        Finished { exit_code, ..failure(error) }
                    }
                }
            }
            Err(error) => self.complain(&format!("cannot start /bin/sh: {error}"), None),
        }
    }

    fn complain(&self, message: &str, help: Option<&str>) -> Finished {
        let terminal = self.output.terminal();
        self.output.error_line(&format!("{} {message}", terminal.error("error:")));
        if let Some(help) = help {
            self.output.error_line(&format!("{} {help}", terminal.strong("help:")));
        }
        failure(message.to_owned())
    }

    fn record(&mut self, text: &str, kind: CommandKind, work: impl FnOnce(&mut Self) -> Finished) -> Next {
        let journal = Arc::clone(&self.journal);
        let mut work = Some(work);
        Next::Go(journal.record(text, kind, &mut || {
            self.output.begin_capture(journal.excerpt());
            let finished = work.take().map_or_else(completed, |work| work(self));
            Finished { output: self.output.end_capture(), ..finished }
        }))
    }

    fn say_warnings(&self) {
        for warning in self.journal.warnings() {
            self.output.error_line(&format!("{} {warning}", self.output.terminal().strong("warning:")));
        }
    }
}

fn completed() -> Finished {
    Finished { exit_code: 0, outcome: "completed", error: None, output: crate::output::Excerpt::default() }
}

fn failure(error: String) -> Finished {
    Finished { exit_code: 1, outcome: "failed", error: Some(error), output: crate::output::Excerpt::default() }
}

#[cfg(test)]
mod tests;
