//! Reads entries from a person: editing, history, completion, several lines, a prompt.

mod complete;
mod history;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use oneiric::redact::Redactor;
use reedline::{
    Color, ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, Highlighter, History, HistoryItem,
    KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Signal, StyledText, ValidationResult, Validator, default_emacs_keybindings,
};

use crate::entry::{Completeness, completeness};
use crate::interpreter::Interpreter;
use crate::program::{Magic, Program};
use crate::terminal::Terminal;
use complete::Names;
use history::HistoryFile;

/// Entries that the history keeps.
const HISTORY: usize = 5_000;

/// What a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// An entry.
    Entry(String),
    /// Ctrl-C: the line was given up.
    Cancelled,
    /// Ctrl-D on an empty line.
    End,
}

/// Reads entries from a terminal.
pub struct Reader {
    editor: Option<Reedline>,
    prompt: ShellPrompt,
    history: HistoryFile,
    colour: bool,
}

impl Reader {
    /// A reader with a prompt. Entries go to `history` redacted; without a file the history lasts as long as the shell.
    #[must_use]
    pub fn new(
        name: &str,
        branch: Option<&str>,
        history: Option<PathBuf>,
        redactor: Arc<Redactor>,
        terminal: Terminal,
    ) -> Self {
        let left = match branch {
            Some(branch) => format!("{name} ({branch})> "),
            None => format!("{name}> "),
        };
        Self {
            editor: None,
            prompt: ShellPrompt { left },
            history: HistoryFile::new(history, redactor),
            colour: terminal.colour,
        }
    }

    /// Tells the reader which names there are to complete. Gives earlier entries, the newest last.
    pub(crate) fn attach(
        &mut self,
        program: &Arc<dyn Program>,
        magics: &[Magic],
        interpreter: &Interpreter,
    ) -> Vec<String> {
        let names = Names::new(Arc::clone(program), magics, interpreter);
        let mut keys = default_emacs_keybindings();
        keys.add_binding(
            KeyModifiers::NONE,
            KeyCode::Tab,
            ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu("completion".to_owned()), ReedlineEvent::MenuNext]),
        );
        keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
        keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
        let menu =
            ColumnarMenu::default().with_name("completion").with_columns(4).with_column_padding(2).with_marker("");
        let mut editor = Reedline::create()
            .with_ansi_colors(self.colour)
            .with_completer(Box::new(names))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_validator(Box::new(Blocks))
            .with_highlighter(Box::new(Plain))
            .use_bracketed_paste(true);
        if self.colour {
            let style = Color::DarkGray.normal();
            editor = editor.with_hinter(Box::new(DefaultHinter::default().with_style(style)));
        } else {
            editor = editor.disable_hints();
        }
        let earlier = self.history.load(HISTORY);
        if let Ok(mut memory) = FileBackedHistory::new(HISTORY) {
            for entry in &earlier {
                let _ = memory.save(HistoryItem::from_command_line(entry.as_str()));
            }
            editor = editor.with_history(Box::new(memory));
        }
        self.editor = Some(editor);
        earlier
    }

    /// Waits for an entry.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let Some(editor) = &mut self.editor else {
            return Err(io::Error::other("the reader is not attached to a shell"));
        };
        match editor.read_line(&self.prompt) {
            Ok(Signal::Success(entry)) => Ok(Read::Entry(entry)),
            Ok(Signal::CtrlD) => Ok(Read::End),
            Ok(_) => Ok(Read::Cancelled),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    /// Keeps an entry in the history file.
    pub(crate) fn remember(&mut self, entry: &str) {
        self.history.append(entry);
    }
}

struct ShellPrompt {
    left: String,
}

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.left)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Owned(format!("{:>width$} ", "...", width = self.left.chars().count().saturating_sub(1)))
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(history: {}) ", search.term))
    }

    fn get_prompt_color(&self) -> Color {
        Color::Cyan
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::DarkGray
    }
}

/// Enter runs a complete entry and continues an open one.
struct Blocks;

impl Validator for Blocks {
    fn validate(&self, entry: &str) -> ValidationResult {
        // A blank line at the end of a block ends it; inside a bracket it does not.
        match completeness(entry) {
            Completeness::Complete => ValidationResult::Complete,
            Completeness::Block | Completeness::Open => ValidationResult::Incomplete,
        }
    }
}

/// What is typed looks as it was typed.
struct Plain;

impl Highlighter for Plain {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut text = StyledText::new();
        text.push((Color::Default.normal(), line.to_owned()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_runs_what_is_complete_and_continues_what_is_not() {
        let complete = |entry: &str| matches!(Blocks.validate(entry), ValidationResult::Complete);
        assert!(complete("ps()"));
        assert!(!complete("for x in y:"));
        assert!(!complete("for x in y:\n    print(x)"));
        assert!(complete("for x in y:\n    print(x)\n"));
        assert!(!complete("ps("));
    }

    #[test]
    fn continuation_lines_stand_below_the_first() {
        let prompt = ShellPrompt { left: "mahavishnu (main)> ".into() };
        assert_eq!(prompt.render_prompt_multiline_indicator().chars().count(), prompt.left.chars().count());
    }
}
