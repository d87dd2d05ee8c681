//! What was typed, taken apart: one text holds code, magics, command lines and system commands, and each is a
//! [`Piece`].
//!
//! Line feeds and semicolons outside quotes and brackets separate pieces. Neighbouring code stays together, because
//! an indented block spans lines; the interpreter takes it apart into statements.

mod scan;
mod words;

pub use scan::{Completeness, completeness};
pub(crate) use scan::{examine, nesting, only_closed};
pub use words::words;

use scan::{Stop, code_end, line_end, plain_end};

/// Deepest nesting of brackets that an entry may have.
pub const MAX_NESTING: usize = 100;

/// Longest entry in bytes.
pub const MAX_BYTES: usize = 128 * 1024;

/// What one piece of an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Starlark: one statement or several.
    Code,
    /// `%name arguments`.
    Magic {
        /// Without the percent sign.
        name: String,
        /// The rest of the piece.
        arguments: String,
    },
    /// A command of the program's own command line.
    Command,
    /// `!command` for the system's shell; `!!command` gets the terminal itself and no capture.
    System {
        /// The command line.
        command: String,
        /// Whether its output goes past the shell.
        direct: bool,
    },
    /// `?`, `?name` or `name?`.
    Help {
        /// What to explain; nothing for an overview.
        about: Option<String>,
    },
    /// `exit`, `quit`, `exit()` or `exit(3)`.
    Exit {
        /// Exit code.
        code: i32,
    },
}

/// One piece of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Its text as typed.
    pub text: String,
    /// Line of the entry where it begins, from 0.
    pub line: usize,
    /// Column (in characters) where it begins, from 0.
    pub column: usize,
}

/// The names that decide what a word means.
pub trait Vocabulary {
    /// Whether `word` is a command of the program's command line.
    fn is_command(&self, word: &str) -> bool;
    /// Whether the user has given `word` a value.
    fn is_variable(&self, word: &str) -> bool;
}

/// Takes an entry apart.
#[must_use]
pub fn split(entry: &str, vocabulary: &dyn Vocabulary) -> Vec<Piece> {
    let text = dedent(entry);
    let mut pieces: Vec<(PieceKind, usize, usize)> = Vec::new();
    let mut at = 0;
    // Whether the previous piece is code that this segment may continue.
    let mut code_open = false;
    while at < text.len() {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
        let at_line_start = at == 0 || text.as_bytes()[at - 1] == b'\n';
        let start = at + blank;
        match text[start..].chars().next() {
            None => break,
            Some('\n' | ';') => {
                at = start + 1;
                continue;
            }
            Some('#') => {
                at = line_end(&text, start);
                continue;
            }
            _ => {}
        }
        let continues_block = at_line_start && blank > 0 && code_open;
        let special = if continues_block { None } else { special(&text, start, vocabulary) };
        let (kind, end) = special.unwrap_or_else(|| (PieceKind::Code, code_segment_end(&text, start)));
        match (&kind, pieces.last_mut()) {
            (PieceKind::Code, Some((PieceKind::Code, _, last_end))) => *last_end = end,
            _ => pieces.push((kind.clone(), start, end)),
        }
        code_open = kind == PieceKind::Code;
        at = end.max(at + 1);
    }
    let (mut seen, mut line, mut column) = (0, 0, 0);
    pieces
        .into_iter()
        .map(|(kind, start, end)| {
            for c in text[seen..start].chars() {
                (line, column) = if c == '\n' { (line + 1, 0) } else { (line, column + 1) };
            }
            seen = start;
            Piece { kind, text: text[start..end].trim_end().to_owned(), line, column }
        })
        .collect()
}

/// End of a run of code that begins at `start`: a simple statement ends at `;` or the line's end, a compound one's first
/// line only at the line's end.
fn code_segment_end(text: &str, start: usize) -> usize {
    let word: String = text[start..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let compound = matches!(word.as_str(), "for" | "if" | "elif" | "else" | "def" | "while" | "with" | "class" | "try");
    code_end(text, start, if compound { Stop::Line } else { Stop::LineOrSemicolon })
}

/// What a segment is when it is not code, and where it ends.
fn special(text: &str, start: usize, vocabulary: &dyn Vocabulary) -> Option<(PieceKind, usize)> {
    let rest = &text[start..];
    if rest.starts_with('!') {
        let end = line_end(text, start);
        let command = &text[start + 1..end];
        let (direct, command) = command.strip_prefix('!').map_or((false, command), |command| (true, command));
        return Some((PieceKind::System { command: command.trim().to_owned(), direct }, end));
    }
    let (content, end) = plain_end(text, start);
    let segment = text[start..content].trim_end();
    if let Some(magic) = segment.strip_prefix('%') {
        let (name, arguments) = magic.split_once(char::is_whitespace).unwrap_or((magic, ""));
        if let Some(name) = name.strip_suffix('?') {
            return Some((PieceKind::Help { about: Some(format!("%{name}")) }, end));
        }
        return Some((PieceKind::Magic { name: name.to_owned(), arguments: arguments.trim().to_owned() }, end));
    }
    if let Some(about) = segment.strip_prefix('?') {
        let about = about.trim();
        return Some((PieceKind::Help { about: (!about.is_empty()).then(|| about.to_owned()) }, end));
    }
    if let Some(about) = segment.strip_suffix('?').map(str::trim_end)
        && !about.is_empty()
        && about.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))
    {
        return Some((PieceKind::Help { about: Some(about.trim_end_matches('?').to_owned()) }, end));
    }
    if let Some(code) = exit_code(segment) {
        return Some((PieceKind::Exit { code }, end));
    }
    is_command_line(segment, vocabulary).then_some((PieceKind::Command, end))
}

fn exit_code(segment: &str) -> Option<i32> {
    let rest = segment.strip_prefix("exit").or_else(|| segment.strip_prefix("quit"))?.trim();
    if rest.is_empty() {
        return Some(0);
    }
    let inside = rest.strip_prefix('(')?.strip_suffix(')')?.trim();
    if inside.is_empty() { Some(0) } else { inside.parse::<u8>().ok().map(i32::from) }
}

/// Whether a segment is a command line of the program rather than code that happens to begin with the same word.
fn is_command_line(segment: &str, vocabulary: &dyn Vocabulary) -> bool {
    let length = segment.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(segment.len());
    let (word, rest) = segment.split_at(length);
    if !vocabulary.is_command(word) {
        return false;
    }
    if rest.is_empty() {
        return !vocabulary.is_variable(word);
    }
    if !rest.starts_with(char::is_whitespace) {
        return false;
    }
    let rest = rest.trim_start();
    let next: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
    if matches!(next.as_str(), "in" | "not" | "and" | "or" | "if" | "for" | "is" | "-" | "=") {
        return false;
    }
    rest.chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '"' | '\'' | '.' | '/' | '~' | '{'))
        && !next.starts_with("-=")
}

/// The text without the indentation of its first line, so that a pasted block runs wherever it was indented.
fn dedent(entry: &str) -> String {
    let Some(first) = entry.lines().find(|line| !line.trim().is_empty()) else { return String::new() };
    let indentation = &first[..first.len() - first.trim_start().len()];
    if indentation.is_empty() {
        return entry.to_owned();
    }
    entry.lines().map(|line| line.strip_prefix(indentation).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;

    impl Vocabulary for Words {
        fn is_command(&self, word: &str) -> bool {
            matches!(word, "list-repos" | "mcp" | "sessions" | "health" | "config" | "logs")
        }
        fn is_variable(&self, word: &str) -> bool {
            word == "config"
        }
    }

    /// `code:` and so on, followed by the text, for each piece.
    fn shape(entry: &str) -> Vec<String> {
        split(entry, &Words)
            .into_iter()
            .map(|piece| {
                let kind = match piece.kind {
                    PieceKind::Code => "code".to_owned(),
                    PieceKind::Magic { name, arguments } => format!("magic {name}({arguments})"),
                    PieceKind::Command => "command".to_owned(),
                    PieceKind::System { command, direct } => {
                        format!("system{} {command}", if direct { "!" } else { "" })
                    }
                    PieceKind::Help { about } => format!("help {about:?}"),
                    PieceKind::Exit { code } => format!("exit {code}"),
                };
                format!("{kind} | {}", piece.text)
            })
            .collect()
    }

    #[track_caller]
    fn check(entry: &str, expected: &[&str]) {
        assert_eq!(shape(entry), expected, "{entry:?}");
    }

    #[test]
    fn code_that_stands_together_stays_together() {
        check("ps(); top(); sync()", &["code | ps(); top(); sync()"]);
        check("ps()\ntop()", &["code | ps()\ntop()"]);
        check(
            "for x in [1, 2]:\n    print(x)\n\n    print(x)\nps()",
            &["code | for x in [1, 2]:\n    print(x)\n\n    print(x)\nps()"],
        );
        check("if a: b(); c()", &["code | if a: b(); c()"]);
    }

    #[test]
    fn semicolons_and_line_feeds_separate_pieces() {
        check("%repos; exit", &["magic repos() | %repos", "exit 0 | exit"]);
        check("ps(); %repos rust; ps()", &["code | ps()", "magic repos(rust) | %repos rust", "code | ps()"]);
        check(
            "ps()\n%status\nlist-repos --tag x\nexit",
            &["code | ps()", "magic status() | %status", "command | list-repos --tag x", "exit 0 | exit"],
        );
        check("", &[]);
        check(" ;; \n # nothing\n", &[]);
    }

    #[test]
    fn quotes_and_brackets_hide_separators() {
        check("print('a;b', \"c\\\";d\")", &["code | print('a;b', \"c\\\";d\")"]);
        check("x = [1,\n  2]; ps()", &["code | x = [1,\n  2]; ps()"]);
        check("s = '''a;\n%repos\n!x'''\nps()", &["code | s = '''a;\n%repos\n!x'''\nps()"]);
        check("%repos 'a;b'; exit", &["magic repos('a;b') | %repos 'a;b'", "exit 0 | exit"]);
        check("ps() # a; comment\ntop()", &["code | ps() # a; comment\ntop()"]);
    }

    #[test]
    fn a_comment_belongs_to_its_line_and_means_nothing() {
        check("%repos rust  # List; all\nps()", &["magic repos(rust) | %repos rust  # List; all", "code | ps()"]);
        check("%repos '# no comment' a#b", &["magic repos('# no comment' a#b) | %repos '# no comment' a#b"]);
        check("sessions  # it's all", &["command | sessions  # it's all"]);
        check("ps?  # what is it", &["help Some(\"ps\") | ps?  # what is it"]);
    }

    #[test]
    fn a_system_command_takes_the_whole_line() {
        check("!echo a; echo b | cat\nps()", &["system echo a; echo b | cat | !echo a; echo b | cat", "code | ps()"]);
        check("!!vim x", &["system! vim x | !!vim x"]);
        check("!echo a \\\n b", &["system echo a \\\n b | !echo a \\\n b"]);
    }

    #[test]
    fn help_has_three_forms() {
        check("?", &["help None | ?"]);
        check("ps?", &["help Some(\"ps\") | ps?"]);
        check("?ps", &["help Some(\"ps\") | ?ps"]);
        check("%repos?", &["help Some(\"%repos\") | %repos?"]);
        check("list-repos?", &["help Some(\"list-repos\") | list-repos?"]);
    }

    #[test]
    fn exit_is_a_word_or_a_call() {
        for text in ["exit", "quit", "exit()", "quit()", " exit "] {
            check(text, &[&format!("exit 0 | {}", text.trim())]);
        }
        check("exit(3)", &["exit 3 | exit(3)"]);
        check("exit  # Exit shell; done", &["exit 0 | exit  # Exit shell; done"]);
        check("exit_code = 3", &["code | exit_code = 3"]);
    }

    #[test]
    fn a_word_is_a_command_only_where_it_cannot_be_code() {
        check("sessions", &["command | sessions"]);
        check("sessions()", &["code | sessions()"]);
        check("sessions = 3", &["code | sessions = 3"]);
        check("sessions - 1", &["code | sessions - 1"]);
        check("sessions --limit 3", &["command | sessions --limit 3"]);
        check("sessions.x", &["code | sessions.x"]);
        check("mcp health", &["command | mcp health"]);
        check("mcp if x else y", &["code | mcp if x else y"]);
        check("config", &["code | config"]);
        check("config --format json", &["command | config --format json"]);
        check("repos - list", &["code | repos - list"]);
        check(
            "mcp call-tool list_sessions '{\"limit\": 5; }'",
            &["command | mcp call-tool list_sessions '{\"limit\": 5; }'"],
        );
    }

    #[test]
    fn a_pasted_block_may_be_indented() {
        check("    ps()\n    for x in y:\n        z()", &["code | ps()\nfor x in y:\n    z()"]);
    }

    #[test]
    fn places_are_those_of_the_entry() {
        let pieces = split("ps(); %repos\n\n  \ntop()", &Words);
        let places: Vec<_> = pieces.iter().map(|piece| (piece.line, piece.column)).collect();
        assert_eq!(places, [(0, 0), (0, 6), (3, 0)]);
    }
}
