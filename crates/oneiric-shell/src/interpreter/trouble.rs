//! What went wrong in a statement: the words, the place with a caret, and what to do.

use oneiric::fault::Fault;
use starlark::ErrorKind;
use starlark::codemap::FileSpan;

use super::host::ExitRequest;
use super::rewrite::{Change, typed_column};
use crate::entry::{MAX_BYTES, MAX_NESTING};
use crate::terminal::{Terminal, printable_lines};

/// Kind of a [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The code is no code of this language.
    Syntax,
    /// The statement failed.
    Failed,
    /// Its user stopped it.
    Interrupted,
    /// It ran longer than permitted.
    TimeLimit,
    /// It asks the shell to end with this code.
    Exit(i32),
}

/// A place in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line of the entry, from 1.
    pub line: usize,
    /// Column (in characters) of that line, from 1.
    pub column: usize,
    /// The source line, from the statement's beginning on.
    pub source: String,
    /// Characters of `source` before the fault.
    pub offset: usize,
    /// Characters that are at fault, at least 1.
    pub length: usize,
}

/// Why a statement did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    kind: TroubleKind,
    message: String,
    place: Option<Box<Place>>,
    calls: Vec<String>,
    help: Option<String>,
}

impl Trouble {
    pub(crate) fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None, calls: Vec::new(), help: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> TroubleKind {
        self.kind
    }

    /// What happened, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where, when it has a place.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// Message and place in one line, as it is recorded.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.place {
            Some(place) => format!("{} (at {}:{})", self.message, place.line, place.column),
            None => self.message.clone(),
        }
    }

    /// The message, the source line with a caret, the calls that led there, and help.
    #[must_use]
    pub fn render(&self, terminal: Terminal) -> String {
        let mut text = format!("{} {}", terminal.error("error:"), plain(&self.message));
        if let Some(place) = &self.place {
            let carets = "^".repeat(place.length.min(place.source.chars().count().saturating_sub(place.offset)).max(1));
            text.push_str(&format!("\n  at {}:{}\n    {}\n    ", place.line, place.column, plain(&place.source)));
            text.push_str(&" ".repeat(place.offset));
            text.push_str(&terminal.error(&carets));
        }
        for call in &self.calls {
            text.push_str(&format!("\n  {call}"));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("\n{} {help}", terminal.strong("help:")));
        }
        text
    }
}

/// What was typed, control characters included: each keeps its place, so that a caret points at what it means.
fn plain(text: &str) -> String {
    let seen = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    printable_lines(&text.chars().map(seen).collect::<String>())
}

/// Where a statement came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// Line of the entry where it began, from 0.
    pub(super) line: usize,
    /// Column in that line, from 0.
    pub(super) column: usize,
    /// Its text as typed and what was put in, when what ran is not what was typed.
    pub(super) rewritten: Option<(String, Vec<Change>)>,
}

/// Refuses what would exhaust the parser.
pub(super) fn check_size(code: &str) -> Result<(), Trouble> {
    if code.len() > MAX_BYTES {
        let message = format!("an entry holds at most {} KiB, not {}", MAX_BYTES / 1024, code.len() / 1024);
        return Err(Trouble::new(TroubleKind::Syntax, message));
    }
    if crate::entry::nesting(code) > MAX_NESTING {
        return Err(Trouble::new(TroubleKind::Syntax, format!("brackets are nested deeper than {MAX_NESTING} levels")));
    }
    Ok(())
}

/// Words for an error of the interpreter. `number` is the statement that ran; `places` says where each statement began.
pub(super) fn from_error(error: &starlark::Error, number: usize, places: &[Origin]) -> Trouble {
    let message = first_line(&error.without_diagnostic().to_string());
    let mut trouble = match error.kind() {
        ErrorKind::Native(cause) => {
            if let Some(exit) = cause.downcast_ref::<ExitRequest>() {
                return Trouble::new(TroubleKind::Exit(exit.0), exit.to_string());
            }
            match cause.downcast_ref::<Fault>() {
                Some(fault) => {
                    let trouble = Trouble::new(TroubleKind::Failed, fault.message());
                    // A fault of the program is not one of this line, unless the line asked for it wrongly.
                    return match fault.advice() {
                        Some(advice) => trouble.with_help(advice),
                        None => trouble,
                    };
                }
                None => Trouble::new(TroubleKind::Failed, message),
            }
        }
        ErrorKind::Parser(_) => Trouble::new(TroubleKind::Syntax, plain_syntax(&message)),
        ErrorKind::Fail(_) => Trouble::new(TroubleKind::Failed, message.replacen("fail:", "", 1).trim().to_owned()),
        _ => Trouble::new(TroubleKind::Failed, message),
    };
    if trouble.message.starts_with("Error unpacking value") {
        // What is wrong with it stands below.
        let cause = match error.kind() {
            ErrorKind::Native(cause) | ErrorKind::Other(cause) | ErrorKind::Value(cause) => Some(cause),
            ErrorKind::Function(cause) => Some(cause),
            _ => None,
        };
        if let Some(cause) = cause {
            trouble.message = first_line(&cause.root_cause().to_string());
        }
    }
    if let Some(told) = too_large(&trouble.message) {
        trouble.message = told;
    }
    if trouble.message.starts_with("Evaluation cancelled") {
        trouble.kind = TroubleKind::Interrupted;
    }
    trouble.place = error.span().map(|span| Box::new(place(span, places)));
    trouble.calls = error
        .call_stack()
        .frames
        .iter()
        .rev()
        .filter(|frame| !super::bounds::stands_in(&frame.name))
        .filter_map(|frame| {
            let location = frame.location.as_ref()?;
            let place = place(location, places);
            let earlier = if location.filename() == number.to_string() { "" } else { " of an earlier entry" };
            Some(format!("in {}, called at {}:{}{earlier}", frame.name, place.line, place.column))
        })
        .take(5)
        .collect();
    let source = error.span().map(|span| span.file.source().to_owned()).unwrap_or_default();
    trouble.help = help(&trouble, &source);
    trouble
}

/// Numbers are of any size, but for arguments of some functions.
fn too_large(message: &str) -> Option<String> {
    let (kind, value) = message.strip_prefix("Integer value is too big to fit in ")?.split_once(": ")?;
    let (least, most) = match kind {
        "i32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        "i64" => (i64::MIN, i64::MAX),
        _ => return None,
    };
    Some(format!("a number from {least} to {most} is wanted here, not {value}"))
}

fn place(span: &FileSpan, places: &[Origin]) -> Place {
    let resolved = span.resolve_span();
    let unknown = Origin::default();
    let origin = span.filename().parse::<usize>().ok().and_then(|number| places.get(number)).unwrap_or(&unknown);
    let line = resolved.begin.line;
    let typed = |column| match &origin.rewritten {
        Some((_, changes)) => typed_column(changes, line, column),
        None => column,
    };
    let source = match &origin.rewritten {
        Some((text, _)) => text.lines().nth(line).unwrap_or_default().to_owned(),
        None => span.file.source_line(line).to_owned(),
    };
    let begin = typed(resolved.begin.column);
    let one_line = resolved.end.line == line;
    let length = if one_line { typed(resolved.end.column).saturating_sub(begin) } else { usize::MAX };
    Place {
        line: origin.line + line + 1,
        column: begin + 1 + if line == 0 { origin.column } else { 0 },
        source,
        offset: begin,
        length: length.max(1),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn plain_syntax(message: &str) -> String {
    let message = message.strip_prefix("Parse error: ").unwrap_or(message);
    format!("syntax error: {message}")
}

/// What to do about the faults that people used to Python meet first.
fn help(trouble: &Trouble, source: &str) -> Option<String> {
    let word = |name: &str| source.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name);
    let text = match trouble.kind {
        TroubleKind::Syntax if word("while") => "there is no while; use `for i in range(1000):` and `break`",
        TroubleKind::Syntax if word("import") => "there are no imports; what exists is listed by `?`",
        TroubleKind::Syntax if word("class") => "there are no classes; use struct(name = value) or a dictionary",
        TroubleKind::Syntax if word("try") || word("except") => "there are no exceptions; an error ends its statement",
        TroubleKind::Syntax if word("with") || word("async") || word("yield") => {
            "the language is Starlark, a small dialect of Python; `?` shows what exists"
        }
        TroubleKind::Failed if trouble.message.contains("did you mean") => return None,
        TroubleKind::Failed if trouble.message.contains("not found") && trouble.message.contains("Variable") => {
            "`?` lists the functions; variables come into being by assignment"
        }
        TroubleKind::Failed if trouble.message.contains("recursion") || trouble.message.contains("stack overflow") => {
            "use a loop, or give the recursion an end"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
