//! `?`: what exists, in words that fit the terminal.

use crate::interpreter::Interpreter;
use crate::nearest::nearest;
use crate::program::Program;
use crate::shell::MAGICS;
use crate::table::Table;
use crate::terminal::Terminal;

/// What the language itself offers, in a few lines.
const LANGUAGE: [(&str, &str); 6] = [
    ("x = ps(); len(x)", "Variables stay; `;` and line feeds separate statements"),
    ("for r in repos: print(r)", "Loops, if, def and comprehensions, as in Python (the dialect is Starlark)"),
    ("f\"{x} rows\"", "Format strings"),
    ("_", "The last value"),
    ("!cmd  !!cmd", "Run a command of the system; with !! it gets the terminal itself and nothing is captured"),
    ("exit", "End the session (or Ctrl-D); Ctrl-C stops what runs"),
];

/// Help on everything or on one name. `Err` holds the nearest names.
pub(super) fn text(
    program: &dyn Program,
    interpreter: &Interpreter,
    about: Option<&str>,
    terminal: Terminal,
) -> Result<String, Vec<String>> {
    match about {
        None => Ok(overview(program, interpreter, terminal)),
        Some(name) => one(program, interpreter, name.trim()),
    }
}

fn overview(program: &dyn Program, interpreter: &Interpreter, terminal: Terminal) -> String {
    let mut sections = Vec::new();
    let mut section = |title: &str, rows: Vec<(String, String)>| {
        let mut table = Table::new([title, "What it does"]);
        for (left, right) in rows {
            table.row([left, right]);
        }
        sections.push(table.render(terminal));
    };
    let functions = interpreter.functions();
    section("Function", functions.iter().map(|function| (function.signature(), function.doc().to_owned())).collect());
    let objects = interpreter.objects();
    if !objects.is_empty() {
        section("Object", objects.iter().map(|object| (example(object), object.doc().to_owned())).collect());
    }
    let magic = |magic: &crate::program::Magic| {
        (format!("%{} {}", magic.name, magic.arguments).trim_end().to_owned(), magic.doc.to_owned())
    };
    section("Magic", program.magics().iter().chain(&MAGICS).map(magic).collect());
    let command = |command: &crate::program::CommandDoc| (command.name.clone(), command.doc.clone());
    section("Command", program.commands().iter().map(command).collect());
    section("Language", LANGUAGE.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect());
    sections.push("name? explains one of them.".to_owned());
    sections.join("\n")
}

fn one(program: &dyn Program, interpreter: &Interpreter, name: &str) -> Result<String, Vec<String>> {
    let bare = name.trim_end_matches("()");
    let functions = interpreter.functions();
    let function = functions.iter().find(|function| function.name() == bare);
    let function = function.map(|function| format!("{}\n  {}", function.signature(), function.doc()));
    let object = interpreter.objects().iter().find(|object| object.name() == name);
    let object = object
        .map(|object| format!("{}\n  {}\n  Fields: {}", example(object), object.doc(), object.fields().join(", ")));
    if function.is_some() || object.is_some() {
        return Ok([object, function].into_iter().flatten().collect::<Vec<_>>().join("\n"));
    }
    let magics = || program.magics().iter().chain(&MAGICS);
    if let Some(magic) = magics().find(|magic| magic.name == name.trim_start_matches('%')) {
        return Ok(format!("{}\n  {}", format!("%{} {}", magic.name, magic.arguments).trim_end(), magic.doc));
    }
    let first = name.split_whitespace().next().unwrap_or_default();
    if let Some(command) = program.commands().iter().find(|command| command.name == first) {
        return Ok(format!("{}\n  {}\n  `{} --help` lists its options.", command.name, command.doc, name));
    }
    let known: Vec<String> = functions
        .iter()
        .map(|function| function.name().to_owned())
        .chain(interpreter.objects().iter().map(|object| object.name().to_owned()))
        .chain(magics().map(|magic| format!("%{}", magic.name)))
        .chain(program.commands().iter().map(|command| command.name.clone()))
        .collect();
    Err(nearest(name, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect())
}

/// How an object is written.
fn example(object: &crate::interpreter::Object) -> String {
    let field = object.fields().first().copied().unwrap_or("…");
    if object.is_list() { format!("{}['…'].{field}", object.name()) } else { format!("{}.{field}", object.name()) }
}
