//! What the Tab key offers: functions, magics, commands, variables, and what a command or a magic takes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{Completer, CompletionResult, Span, Suggestion};

use crate::interpreter::{Interpreter, Object};
use crate::program::{Magic, Program};

/// Words of the language and its functions that are worth completing.
const LANGUAGE: [&str; 34] = [
    "all(",
    "any(",
    "bool(",
    "break",
    "continue",
    "def ",
    "dict(",
    "dir(",
    "elif ",
    "else:",
    "enumerate(",
    "False",
    "fail(",
    "filter(",
    "float(",
    "for ",
    "hasattr(",
    "if ",
    "int(",
    "json.",
    "lambda ",
    "len(",
    "list(",
    "map(",
    "max(",
    "min(",
    "None",
    "print(",
    "range(",
    "reversed(",
    "sorted(",
    "str(",
    "struct(",
    "True",
];

/// The names to complete.
pub(super) struct Names {
    program: Arc<dyn Program>,
    functions: Vec<(String, String)>,
    objects: Vec<Object>,
    magics: Vec<(String, String)>,
    variables: Arc<Mutex<BTreeSet<String>>>,
}

impl Names {
    pub(super) fn new(program: Arc<dyn Program>, magics: &[Magic], interpreter: &Interpreter) -> Self {
        let functions = interpreter.functions().iter();
        let functions =
            functions.map(|function| (format!("{}(", function.name()), function.doc().to_owned())).collect();
        let magics = program.magics().iter().chain(magics);
        let magics = magics.map(|magic| (format!("%{}", magic.name), magic.doc.to_owned())).collect();
        let objects = interpreter.objects().to_vec();
        Self { program, functions, objects, magics, variables: interpreter.shared_variables() }
    }

    /// What may stand at `pos`: the start of the word there, and the words with their explanations.
    fn at(&self, line: &str, pos: usize) -> (usize, Vec<(String, String)>) {
        let before = &line[..pos];
        let piece_start = before.rfind(['\n', ';']).map_or(0, |at| at + 1);
        let piece = &before[piece_start..];
        let lead = piece.len() - piece.trim_start().len();
        let piece = &piece[lead..];
        let word_start = piece.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (earlier, word) = piece.split_at(word_start);
        let earlier: Vec<&str> = earlier.split_whitespace().collect();
        let start = piece_start + lead + word_start;
        let first = earlier.first().copied().unwrap_or_default();
        let is_command = self.program.commands().iter().any(|command| command.name == first);
        if first.starts_with('%') || is_command {
            let words = self.program.complete(&earlier);
            return (start, matching(word, words.into_iter().map(|word| (word, String::new()))));
        }
        if first.starts_with('!') || word.starts_with('!') {
            return (start, Vec::new());
        }
        if earlier.is_empty() && word.starts_with('%') {
            return (start, matching(word, self.magics.iter().cloned()));
        }
        if let Some((from, found)) = self.in_object(piece) {
            return (piece_start + lead + from, found);
        }
        // Inside an expression only the last name counts: `len(re|`.
        let name_start = word.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).map_or(0, |at| at + 1);
        let name = &word[name_start..];
        let commands = self.program.commands().iter().map(|command| (command.name.clone(), command.doc.clone()));
        let mut known: Vec<(String, String)> = self.functions.clone();
        known.extend(self.objects.iter().map(|object| (object.name().to_owned(), object.doc().to_owned())));
        if earlier.is_empty() && name_start == 0 {
            known.extend(commands);
            known.push(("exit".to_owned(), "End the session".to_owned()));
            if name.is_empty() {
                known.extend(self.magics.iter().cloned());
            }
        }
        let variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(variables.iter().filter(|name| *name != "_").map(|name| (name.clone(), "variable".to_owned())));
        if !name.is_empty() {
            known.extend(LANGUAGE.iter().map(|word| ((*word).to_owned(), String::new())));
        }
        (start + name_start, matching(name, known))
    }

    /// What may stand after `app.`, `repos[`, `repos['` and `repos['shop'].`: where it begins in `piece`, and the words.
    fn in_object(&self, piece: &str) -> Option<(usize, Vec<(String, String)>)> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let named = |text: &str| {
            let start = text.rfind(|c: char| !is_name(c)).map_or(0, |at| at + 1);
            self.objects.iter().find(|object| object.name() == &text[start..])
        };
        if let Some(dot) = piece.rfind('.').filter(|dot| piece[dot + 1..].chars().all(is_name)) {
            let before = &piece[..dot];
            let object = match before.strip_suffix(']') {
                Some(index) => named(&index[..index.rfind('[')?]).filter(|object| object.is_list()),
                None => named(before).filter(|object| !object.is_list()),
            }?;
            let fields = object.fields().iter().map(|field| ((*field).to_owned(), String::new()));
            return Some((dot + 1, matching(&piece[dot + 1..], fields)));
        }
        if let Some(object) = piece.strip_suffix('[').and_then(named).filter(|object| object.is_list()) {
            let keys = object.keys().into_iter().map(|key| (format!("'{key}']"), String::new()));
            return Some((piece.len(), matching("", keys)));
        }
        let quote = piece.rfind(['\'', '"'])?;
        let object = named(piece[..quote].strip_suffix('[')?)?;
        let close = &piece[quote..=quote];
        let keys = object.keys().into_iter().map(|key| (format!("{key}{close}]"), String::new()));
        Some((quote + 1, matching(&piece[quote + 1..], keys)))
    }
}

fn matching(word: &str, known: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut found: Vec<_> = known.into_iter().filter(|(name, _)| name.starts_with(word)).collect();
    found.sort();
    found.dedup_by(|left, right| left.0 == right.0);
    found
}

impl Completer for Names {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let pos = line.floor_char_boundary(pos);
        let (start, found) = self.at(line, pos);
        let suggestions: Vec<Suggestion> = found
            .into_iter()
            .map(|(value, doc)| Suggestion {
                append_whitespace: !value.ends_with(['(', '.', ' ', ':', ']']),
                description: (!doc.is_empty()).then_some(doc),
                value,
                span: Span::new(start, pos),
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::{Function, Limits, Reply};
    use crate::output::Output;
    use crate::program::CommandDoc;

    struct Sample(Vec<CommandDoc>);

    impl Program for Sample {
        fn name(&self) -> &str {
            "sample"
        }
        fn functions(&self) -> Vec<Function> {
            vec![
                Function::new("ps", "Shows.", |_| Ok(Reply::default())),
                Function::new("sessions", "Lists.", |_| Ok(Reply::default())),
            ]
        }
        fn magics(&self) -> &[Magic] {
            &[Magic { name: "repos", arguments: "[tag]", doc: "Lists repositories" }]
        }
        fn magic(&self, _: &str, _: &[String], _: &Output) -> oneiric::fault::Result<()> {
            Ok(())
        }
        fn commands(&self) -> &[CommandDoc] {
            &self.0
        }
        fn command(&self, _: &[String], _: &Output) -> i32 {
            0
        }
        fn complete(&self, words: &[&str]) -> Vec<String> {
            match words {
                ["%repos"] => vec!["rust".into(), "python".into()],
                ["list-repos"] => vec!["--tag".into(), "--role".into()],
                _ => Vec::new(),
            }
        }
    }

    fn offered(line: &str) -> Vec<String> {
        let commands = vec![CommandDoc { name: "list-repos".into(), doc: "Lists".into() }];
        let program: Arc<dyn Program> = Arc::new(Sample(commands));
        let clock = Arc::new(oneiric::clock::SystemClock);
        let things = Object::new("things", "Things.", &["name"], || {
            let value = serde_json::json!([{"name": "saw"}, {"name": "axe"}]);
            Ok(Reply { value, ..Reply::default() })
        });
        let things = things.found_by("name", |_, _| Ok(serde_json::Value::Null));
        let interpreter = Interpreter::new(program.functions(), Limits::default(), clock).with_objects(vec![things]);
        let names = Names::new(program, &[], &interpreter);
        names.at(line, line.len()).1.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn words_are_offered_where_they_make_sense() {
        assert_eq!(offered("p"), ["print(", "ps("]);
        assert_eq!(offered("len(se"), ["sessions("]);
        assert_eq!(offered("li"), ["list(", "list-repos"]);
        assert_eq!(offered("x = li"), ["list("]);
        assert_eq!(offered("%r"), ["%repos"]);
        assert_eq!(offered("%repos r"), ["rust"]);
        assert_eq!(offered("ps(); list-repos --t"), ["--tag"]);
        assert_eq!(offered("!l"), Vec::<String>::new());
        assert!(offered("").contains(&"%repos".to_owned()));
        assert_eq!(offered("things["), ["'axe']", "'saw']"]);
        assert_eq!(offered("x = things['s"), ["saw']"]);
        assert_eq!(offered("things['saw'].n"), ["name"]);
    }
}
