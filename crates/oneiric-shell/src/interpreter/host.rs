//! Functions of the program that the shell's code can call.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use oneiric::fault::{Fault, Result};
use serde_json::{Map, Value as Json};
use starlark::__derive_refs::components::NativeCallableComponents;
use starlark::__derive_refs::param_spec::NativeCallableParamSpec;
use starlark::environment::GlobalsBuilder;
use starlark::eval::{Evaluator, ParametersSpec};
use starlark::typing::Ty;
use starlark::values::structs::AllocStruct;
use starlark::values::{FrozenValue, Value};

use super::objects::Object;
use super::rewrite::{ALL, AT};
use crate::table::Table;
use crate::terminal::Terminal;

/// A parameter of a [`Function`].
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its default as JSON; a parameter without one must be given.
    pub default: Option<Json>,
}

/// Arguments of a call, bound to the parameters' names.
#[derive(Clone, Debug, Default)]
pub struct Arguments(Map<String, Json>);

impl Arguments {
    /// A whole number.
    ///
    /// # Errors
    /// When it is none, or below `least`.
    pub fn number(&self, name: &str, least: i64) -> Result<i64> {
        let given = self.0.get(name).unwrap_or(&Json::Null);
        given
            .as_i64()
            .filter(|&number| number >= least)
            .ok_or_else(|| Fault::user(format!("{name} must be a whole number of at least {least}, not {given}")))
    }

    /// Text; `None` for Starlark's `None`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(Fault::user(format!("{name} must be text, not {other}"))),
        }
    }
}

/// How a reply is shown when it is an entry's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shown {
    /// As any other value.
    #[default]
    Value,
    /// As these lines.
    Text(String),
    /// As this table.
    Table(Table),
    /// As a picture that is drawn again until it is over.
    Live(Live),
}

/// One picture of what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its lines, for the terminal that was given.
    pub text: String,
    /// Whether nothing changes any more.
    pub over: bool,
}

type Draw = dyn Fn(Terminal) -> Result<Frame> + Send + Sync;

/// What is drawn again and again on a terminal, and once elsewhere.
#[derive(Clone)]
pub struct Live(Arc<Draw>);

impl Live {
    /// Something that `draw` draws as it is now.
    pub fn new(draw: impl Fn(Terminal) -> Result<Frame> + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// It as it is now.
    ///
    /// # Errors
    /// What the program says.
    pub fn draw(&self, terminal: Terminal) -> Result<Frame> {
        (self.0)(terminal)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What a [`Function`] returns: a value for code, and how people see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The value.
    pub value: Json,
    /// Its form on the screen.
    pub shown: Shown,
}

type Call = dyn Fn(&Arguments) -> Result<Reply> + Send + Sync;

/// A function of the program.
pub struct Function {
    name: &'static str,
    parameters: Vec<Parameter>,
    doc: &'static str,
    call: Arc<Call>,
}

impl Function {
    /// A function without parameters.
    pub fn new(
        name: &'static str,
        doc: &'static str,
        call: impl Fn(&Arguments) -> Result<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self { name, parameters: Vec::new(), doc, call: Arc::new(call) }
    }

    /// Adds a parameter with a default.
    #[must_use]
    pub fn optional(mut self, name: &'static str, default: impl Into<Json>) -> Self {
        self.parameters.push(Parameter { name, default: Some(default.into()) });
        self
    }

    /// Adds a parameter that must be given.
    #[must_use]
    pub fn required(mut self, name: &'static str) -> Self {
        self.parameters.push(Parameter { name, default: None });
        self
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it does, in one sentence.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// `errors(n=10)`.
    #[must_use]
    pub fn signature(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|parameter| match &parameter.default {
                None => parameter.name.to_owned(),
                Some(Json::Null) => format!("{}=None", parameter.name),
                Some(default) => format!("{}={default}", parameter.name),
            })
            .collect();
        format!("{}({})", self.name, parameters.join(", "))
    }

    fn bind(&self, positional: Vec<Json>, named: Vec<(String, Json)>) -> Result<Arguments> {
        let usage = || format!("call it as {}", self.signature());
        if positional.len() > self.parameters.len() {
            let message = format!("{} takes {} arguments, not {}", self.name, self.parameters.len(), positional.len());
            return Err(Fault::user(message).hint(usage()));
        }
        let mut bound = Map::new();
        for (parameter, value) in self.parameters.iter().zip(positional) {
            bound.insert(parameter.name.to_owned(), value);
        }
        for (name, value) in named {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                return Err(Fault::user(format!("{} has no parameter {name}", self.name)).hint(usage()));
            }
            if bound.insert(name.clone(), value).is_some() {
                return Err(Fault::user(format!("{} was given {name} twice", self.name)).hint(usage()));
            }
        }
        for parameter in &self.parameters {
            if bound.contains_key(parameter.name) {
                continue;
            }
            match &parameter.default {
                Some(default) => bound.insert(parameter.name.to_owned(), default.clone()),
                None => return Err(Fault::user(format!("{} needs {}", self.name, parameter.name)).hint(usage())),
            };
        }
        Ok(Arguments(bound))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signature())
    }
}

/// The shell's end, asked for by code.
#[derive(Debug)]
pub(super) struct ExitRequest(pub(super) i32);

impl fmt::Display for ExitRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit({})", self.0)
    }
}

impl std::error::Error for ExitRequest {}

/// What calls of the interpreter's thread need; each interpreter has a thread of its own.
#[derive(Default)]
struct Host {
    functions: Arc<Vec<Function>>,
    objects: Arc<Vec<Object>>,
    /// What objects were during the statement that runs.
    seen: Vec<(String, Arc<Reply>)>,
    /// The reply that was given last, so that a value that is still the same is shown in the reply's own form.
    last: Option<Arc<Reply>>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// The reply that a function gave last on this thread.
pub(super) fn last_reply() -> Option<Arc<Reply>> {
    HOST.with_borrow(|host| host.last.clone())
}

/// Forgets what objects were: a statement begins.
pub(super) fn begin() {
    HOST.with_borrow_mut(|host| host.seen.clear());
}

/// Call and purpose of a function that this thread's code knows.
pub(super) fn describe(name: &str) -> Option<String> {
    HOST.with_borrow(|host| {
        let function = host.functions.iter().find(|function| function.name == name)?;
        Some(format!("{}: {}", function.signature(), function.doc))
    })
}

/// Adds `functions` and `exit` to the names that code on this thread knows.
pub(super) fn register(builder: &mut GlobalsBuilder, functions: &Arc<Vec<Function>>, objects: &Arc<Vec<Object>>) {
    HOST.with_borrow_mut(|host| {
        host.functions = Arc::clone(functions);
        host.objects = Arc::clone(objects);
    });
    for object in objects.iter() {
        set(builder, &format!("{}{ALL}", object.name()), object_call);
        set(builder, &format!("{}{AT}", object.name()), object_call);
    }
    for function in functions.iter() {
        set(builder, function.name, call);
    }
    for name in ["exit", "quit"] {
        set(builder, name, exit);
    }
}

type Native = for<'v> fn(
    &mut Evaluator<'v, '_, '_>,
    &ParametersSpec<FrozenValue>,
    &starlark::eval::Arguments<'v, '_>,
) -> starlark::Result<Value<'v>>;

/// Sets a native function without the crate's macro, which wants every function to be known when this is compiled.
pub(super) fn set(builder: &mut GlobalsBuilder, name: &str, native: Native) {
    let components = NativeCallableComponents {
        speculative_exec_safe: false,
        rust_docstring: None,
        param_spec: NativeCallableParamSpec {
            pos_only: Vec::new(),
            pos_or_named: Vec::new(),
            args: None,
            named_only: Vec::new(),
            kwargs: None,
        },
        return_type: Ty::any(),
    };
    let parameters = ParametersSpec::new_parts(name, [], [], true, [], true);
    builder.set_function(name, components, parameters, None, Some(Ty::any()), None, native);
}

fn call<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    parameters: &ParametersSpec<FrozenValue>,
    args: &starlark::eval::Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let name = parameters.signature();
    let (positional, named) = unpack(args, eval)?;
    let functions = HOST.with_borrow(|host| Arc::clone(&host.functions));
    let reply = functions
        .iter()
        .find(|function| function.name == name)
        .ok_or_else(|| Fault::internal(format!("no function {name}")))
        .and_then(|function| (function.call)(&function.bind(positional, named)?))
        .map_err(starlark::Error::new_native)?;
    let value = eval.heap().alloc(&reply.value);
    HOST.with_borrow_mut(|host| host.last = Some(Arc::new(reply)));
    Ok(value)
}

/// `name__all()` and `name__at(key)`.
fn object_call<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    parameters: &ParametersSpec<FrozenValue>,
    args: &starlark::eval::Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let signature = parameters.signature();
    let name = signature.strip_suffix(ALL).or_else(|| signature.strip_suffix(AT)).unwrap_or_default();
    let (positional, _) = unpack(args, eval)?;
    let reply = object_value(name, positional.first()).map_err(starlark::Error::new_native)?;
    let value = as_structs(eval, &reply.value);
    HOST.with_borrow_mut(|host| host.last = Some(reply));
    Ok(value)
}

/// An object, or what it has under `key`. What it is may be large, so it is shared and not copied for every entry.
fn object_value(name: &str, key: Option<&Json>) -> Result<Arc<Reply>> {
    let (objects, seen) = HOST.with_borrow(|host| {
        let seen = host.seen.iter().find(|(known, _)| known == name).map(|(_, reply)| Arc::clone(reply));
        (Arc::clone(&host.objects), seen)
    });
    let object = objects.iter().find(|object| object.name() == name);
    let object = object.ok_or_else(|| Fault::internal(format!("no object {name}")))?;
    let all = match seen {
        Some(reply) => reply,
        None => {
            let reply = Arc::new(object.all()?);
            HOST.with_borrow_mut(|host| host.seen.push((name.to_owned(), Arc::clone(&reply))));
            reply
        }
    };
    match key {
        None => Ok(all),
        Some(key) => Ok(Arc::new(Reply { value: object.at(key, &all.value)?, shown: Shown::Value })),
    }
}

/// Objects become structs, so that their fields are reached by a dot.
fn as_structs<'v>(eval: &Evaluator<'v, '_, '_>, value: &Json) -> Value<'v> {
    let heap = eval.heap();
    match value {
        Json::Object(fields) => heap.alloc(AllocStruct(fields.iter().map(|(name, value)| (name.as_str(), value)))),
        Json::Array(rows) => {
            let rows: Vec<Value<'v>> = rows.iter().map(|row| as_structs(eval, row)).collect();
            heap.alloc(rows)
        }
        other => heap.alloc(other),
    }
}

fn exit<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    _parameters: &ParametersSpec<FrozenValue>,
    args: &starlark::eval::Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let (positional, named) = unpack(args, eval)?;
    let code = match (positional.as_slice(), named.is_empty()) {
        ([], true) => Some(0),
        ([code], true) => code.as_u64().and_then(|code| u8::try_from(code).ok()),
        _ => None,
    };
    Err(match code {
        Some(code) => starlark::Error::new_native(ExitRequest(i32::from(code))),
        None => starlark::Error::new_native(Fault::user("exit takes a code from 0 to 255")),
    })
}

type Unpacked = (Vec<Json>, Vec<(String, Json)>);

fn unpack<'v>(args: &starlark::eval::Arguments<'v, '_>, eval: &Evaluator<'v, '_, '_>) -> starlark::Result<Unpacked> {
    let json = |value: Value<'v>| value.to_json_value().map_err(starlark::Error::new_native);
    let positional = args.positions(eval.heap())?.map(json).collect::<starlark::Result<_>>()?;
    let named = args
        .names_map()?
        .into_iter()
        .map(|(name, value)| Ok((name.as_str().to_owned(), json(value)?)))
        .collect::<starlark::Result<_>>()?;
    Ok((positional, named))
}
