//! The interpreter's thread: one module whose variables stay, and an evaluator for each statement.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use starlark::PrintHandler;
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::{BeforeStmtFunc, Evaluator};
use starlark::syntax::{AstModule, Dialect, DialectTypes};
use starlark_syntax::syntax::ast::StmtP;
use starlark_syntax::syntax::top_level_stmts::top_level_stmts;

use super::bounds;
use super::host::{self, Function};
use super::objects::Object;
use super::rewrite::rewrite;
use super::show::{self, Echo};
use super::trouble::{self, Origin, Trouble};
use super::{Limits, Statement};
use crate::output::Branch;

/// Address space for the interpreter's stack; pages are used only as recursion needs them. The largest permitted
/// entry made of nothing but nested operators must fit.
const STACK: usize = 512 << 20;

/// What the language has beyond its standard.
const LIBRARY: [LibraryExtension; 8] = [
    LibraryExtension::StructType,
    LibraryExtension::SetType,
    LibraryExtension::Map,
    LibraryExtension::Filter,
    LibraryExtension::Partial,
    LibraryExtension::Print,
    LibraryExtension::Pprint,
    LibraryExtension::Json,
];

/// What the interpreter's thread is asked to do.
pub(super) enum Request {
    Split {
        code: String,
        line: usize,
        column: usize,
        reply: Sender<Result<Vec<Statement>, Trouble>>,
    },
    Run {
        statement: Statement,
        number: usize,
        branch: Branch,
        stop: Arc<AtomicBool>,
        reply: Sender<Result<Option<Echo>, Trouble>>,
    },
}

pub(super) struct Machine {
    globals: Globals,
    limits: Limits,
    names: Arc<Mutex<BTreeSet<String>>>,
    objects: Arc<Vec<Object>>,
    /// Where each statement came from, for errors in functions that were defined earlier.
    places: Vec<Origin>,
}

impl Machine {
    pub(super) fn start(
        functions: Arc<Vec<Function>>,
        objects: Arc<Vec<Object>>,
        limits: Limits,
        names: Arc<Mutex<BTreeSet<String>>>,
    ) -> io::Result<Sender<Request>> {
        let (sender, requests) = mpsc::channel();
        let requests = Arc::new(Mutex::new(requests));
        let spawn = |stack: usize| {
            let (functions, names, requests) = (Arc::clone(&functions), Arc::clone(&names), Arc::clone(&requests));
            let objects = Arc::clone(&objects);
            std::thread::Builder::new().name("interpreter".into()).stack_size(stack).spawn(move || {
                let requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
                Self::new(&functions, objects, limits, names).serve(&requests);
            })
        };
        // A limit on address space (`ulimit -v`) may forbid the large stack.
        spawn(STACK).or_else(|_| spawn(STACK / 16))?;
        Ok(sender)
    }

    fn new(
        functions: &Arc<Vec<Function>>,
        objects: Arc<Vec<Object>>,
        limits: Limits,
        names: Arc<Mutex<BTreeSet<String>>>,
    ) -> Self {
        let mut builder = GlobalsBuilder::extended_by(&LIBRARY);
        host::register(&mut builder, functions, &objects);
        bounds::register(&mut builder, Globals::extended_by(&LIBRARY), limits.heap);
        Self { globals: builder.build(), limits, names, objects, places: Vec::new() }
    }

    fn serve(mut self, requests: &Receiver<Request>) {
        Module::with_temp_heap(|module| {
            while let Ok(request) = requests.recv() {
                match request {
                    Request::Split { code, line, column, reply } => {
                        let _ = reply.send(split(&code, line, column));
                    }
                    Request::Run { statement, number, branch, stop, reply } => {
                        let result = self.run(&module, &statement, number, &branch, &stop);
                        let visible = module.names().map(|name| name.as_str().to_owned());
                        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = visible.collect();
                        let _ = reply.send(result);
                    }
                }
            }
        });
    }

    fn run(
        &mut self,
        module: &Module<'_>,
        statement: &Statement,
        number: usize,
        branch: &Branch,
        stop: &AtomicBool,
    ) -> Result<Option<Echo>, Trouble> {
        self.places.resize(number + 1, Origin::default());
        self.places[number] = Origin { line: statement.line, column: statement.column, ..Origin::default() };
        host::begin();
        let parse = |text: String| AstModule::parse(&number.to_string(), text, &dialect());
        let mut ast = parse(statement.text.clone())
            .map_err(|error: starlark::Error| trouble::from_error(&error, number, &self.places))?;
        // A name that the user has made is the user's.
        let used = |name: &str| statement.text.contains(name) && module.get(name).is_none();
        let objects: Vec<&str> = self.objects.iter().map(Object::name).filter(|name| used(name)).collect();
        let gatherers: Vec<&str> = bounds::GATHERERS.into_iter().filter(|name| used(name)).collect();
        let has = |part: &str| statement.text.contains(part);
        let modified = has("*=") || has("%=") || bounds::MAKERS.into_iter().any(has);
        let named = modified || !(objects.is_empty() && gatherers.is_empty());
        if let Some((text, changes)) = named.then(|| rewrite(&statement.text, &ast, &objects, &gatherers)).flatten()
            && let Ok(rewritten) = parse(text)
        {
            ast = rewritten;
            self.places[number].rewritten = Some((statement.text.clone(), changes));
        }
        ast.replace_binary_operators(&bounds::operators());
        let failed = |error: starlark::Error| trouble::from_error(&error, number, &self.places);
        let printer = Printer(branch);
        let (heap, begun) = (module.heap(), module.heap().allocated_bytes());
        let over = Cell::new(false);
        let mut evaluator = Evaluator::new(module);
        evaluator.set_print_handler(&printer);
        evaluator.set_check_cancelled(Box::new(|| {
            // Comprehensions have no statements to look before.
            over.set(bounds::is_over(heap.allocated_bytes(), begun));
            over.get() || stop.load(Ordering::Acquire) || branch.is_broken()
        }));
        evaluator.before_stmt_for_dap(BeforeStmtFunc::from_dyn(Box::new(bounds::Watch { begun })));
        let limited = evaluator.set_max_callstack_size(self.limits.depth);
        debug_assert!(limited.is_ok(), "limits are above zero and set once");
        let value = evaluator
            .eval_module(ast, &self.globals)
            .map_err(|error| failed(if over.get() { bounds::too_much() } else { error }))?;
        drop(evaluator);
        if !statement.is_expression || value.is_none() {
            return Ok(None);
        }
        module.set("_", value);
        Ok(Some(show::echo(value, host::last_reply().as_deref(), branch.terminal())))
    }
}

struct Printer<'a>(&'a Branch);

impl PrintHandler for Printer<'_> {
    fn println(&self, text: &str) -> starlark::Result<()> {
        self.0.line(&crate::terminal::printable_lines(text));
        Ok(())
    }
}

fn dialect() -> Dialect {
    Dialect {
        enable_def: true,
        enable_lambda: true,
        // There are no files to load from.
        enable_load: false,
        enable_load_reexport: false,
        enable_keyword_only_arguments: true,
        enable_positional_only_arguments: true,
        enable_types: DialectTypes::Enable,
        enable_top_level_stmt: true,
        enable_f_strings: true,
        ..Dialect::Standard
    }
}

fn split(code: &str, line: usize, column: usize) -> Result<Vec<Statement>, Trouble> {
    let ast = AstModule::parse("0", code.to_owned(), &dialect())
        .map_err(|error| trouble::from_error(&error, 0, &[Origin { line, column, ..Origin::default() }]))?;
    let statements = top_level_stmts(ast.statement());
    Ok(statements
        .into_iter()
        .map(|statement| {
            let place = ast.file_span(statement.span);
            let begin = place.resolve_span().begin;
            Statement {
                text: place.source_span().trim_end().to_owned(),
                line: line + begin.line,
                column: if begin.line == 0 { column + begin.column } else { begin.column },
                is_expression: matches!(statement.node, StmtP::Expression(_)),
            }
        })
        .filter(|statement| !statement.text.is_empty())
        .collect())
}
