//! What a program gives to its shell, and what it is told.

use oneiric::fault::Result;

use crate::interpreter::{Function, Object};
use crate::output::{Excerpt, Output};

/// `%name`, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Magic {
    /// Without the percent sign.
    pub name: &'static str,
    /// Its arguments, as in `[tag]`; empty when it has none.
    pub arguments: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// A command of the program's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandDoc {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub doc: String,
}

/// The program behind a shell.
pub trait Program: Send + Sync {
    /// Name in the prompt.
    fn name(&self) -> &str;
    /// Functions that code can call.
    fn functions(&self) -> Vec<Function>;
    /// Objects that code can name.
    fn objects(&self) -> Vec<Object> {
        Vec::new()
    }
    /// Whether this command line only reads and shows, so that a long answer may be shown page by page.
    fn only_shows(&self, _words: &[String]) -> bool {
        false
    }
    /// Magics besides those that every shell has.
    fn magics(&self) -> &[Magic];
    /// Runs a magic. `name` is one of [`Program::magics`].
    ///
    /// # Errors
    /// What went wrong; the shell prints it.
    fn magic(&self, name: &str, arguments: &[String], output: &Output) -> Result<()>;
    /// Commands of the command line that need no prefix.
    fn commands(&self) -> &[CommandDoc];
    /// Runs a command line in this process and gives its exit code. It prints what went wrong itself.
    fn command(&self, words: &[String], output: &Output) -> i32;
    /// What may follow `words` (complete words, the first a command or a magic with its percent sign).
    fn complete(&self, words: &[&str]) -> Vec<String>;
}

/// What kind of command an entry's piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Code that has a value.
    Expression,
    /// Other code.
    Statement,
    /// `%…` and `?`.
    Magic,
    /// A command of the program.
    Cli,
    /// `!…`.
    System,
}

impl CommandKind {
    /// The kind's name in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::Statement => "statement",
            Self::Magic => "magic",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit code; 0 when it worked.
    pub exit_code: i32,
    /// `completed`, `failed` or `interrupted`.
    pub outcome: &'static str,
    /// The error's text.
    pub error: Option<String>,
    /// Beginning of what it printed.
    pub output: Excerpt,
}

/// Told of every command, before it runs and after.
pub trait Journal: Send + Sync {
    /// Bytes of output that it wants to see.
    fn excerpt(&self) -> usize;
    /// Runs `work` as the command with this text.
    fn record(&self, text: &str, kind: CommandKind, work: &mut dyn FnMut() -> Finished) -> Finished;
    /// Lines for the person at the shell, since the last call.
    fn warnings(&self) -> Vec<String>;
}
