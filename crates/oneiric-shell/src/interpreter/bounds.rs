//! How much memory code may take. The interpreter looks at its heap only now and then, and one operation can ask for more
//! than the machine has, which would end the whole process. So what can grow by leaps is asked here first: operators, and
//! functions that gather what they are given. What grows step by step is seen before each statement.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use oneiric::fault::Fault;
use starlark::codemap::FileSpanRef;
use starlark::environment::{Globals, GlobalsBuilder};
use starlark::eval::{Arguments, BeforeStmtFuncDyn, Evaluator, ParametersSpec};
use starlark::values::list::ListRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{FrozenValue, Heap, Value};

use super::host;

/// After the name of a function that gathers.
pub(super) const GATHER: &str = "__of";
/// Functions that make something out of all elements of what they are given.
pub(super) const GATHERERS: [&str; 8] = ["list", "tuple", "set", "sorted", "reversed", "enumerate", "zip", "dict"];
/// After the name of a method of texts that makes a longer one.
pub(super) const MAKE: &str = "__by";
/// Methods of texts that can make much of little.
pub(super) const MAKERS: [&str; 3] = ["join", "replace", "format"];
/// Operators, and the functions that stand in for them.
const OPERATORS: [(&str, &str); 3] = [("+", "sum__"), ("*", "product__"), ("%", "rest__")];
/// Bytes that a statement may add to a heap that is full already, so that it can be made empty.
const LAST: usize = 1 << 20;
/// Bytes of an element of a list, twice: a list is gathered before it is kept.
const ELEMENT: usize = 16;

/// The language without the functions that stand in, and those that gather.
type Plain = (Globals, Vec<(&'static str, FrozenValue)>);

thread_local! {
    /// Most bytes of the heap of this thread's interpreter.
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    /// The functions that gather, as the language has them.
    static PLAIN: RefCell<Option<Plain>> = const { RefCell::new(None) };
}

/// What [`starlark::syntax::AstModule::replace_binary_operators`] wants.
pub(super) fn operators() -> HashMap<String, String> {
    OPERATORS.iter().map(|(operator, function)| ((*operator).to_owned(), (*function).to_owned())).collect()
}

/// Whether a function is one of those that stand in for something that was typed.
pub(super) fn stands_in(name: &str) -> bool {
    OPERATORS.iter().any(|(_, function)| *function == name) || name.ends_with(GATHER) || name.ends_with(MAKE)
}

/// Adds the functions to the names of this thread's code, whose heap holds at most so many bytes. `plain` is the language
/// without them.
pub(super) fn register(builder: &mut GlobalsBuilder, plain: Globals, most: usize) {
    MOST.set(most);
    let known = |name: &str| plain.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let functions: Vec<(&'static str, FrozenValue)> =
        GATHERERS.into_iter().filter_map(|name| Some((name, known(name)?))).collect();
    for (name, _) in &functions {
        host::set(builder, &format!("{name}{GATHER}"), gather);
    }
    PLAIN.set(Some((plain, functions)));
    for name in MAKERS {
        host::set(builder, &format!("{name}{MAKE}"), make);
    }
    host::set(builder, OPERATORS[0].1, sum);
    host::set(builder, OPERATORS[1].1, product);
    host::set(builder, OPERATORS[2].1, rest);
}

/// Looks at the heap before each statement.
pub(super) struct Watch {
    /// Bytes of the heap when it began.
    pub(super) begun: usize,
}

impl<'e> BeforeStmtFuncDyn<'e> for Watch {
    fn call<'v>(&mut self, _: FileSpanRef, _: bool, eval: &mut Evaluator<'v, '_, 'e>) -> starlark::Result<()> {
        let now = eval.heap().allocated_bytes();
        if is_over(now, self.begun) { Err(too_much()) } else { Ok(()) }
    }
}

/// Whether a heap that had `begun` bytes when the statement began holds too much now.
pub(super) fn is_over(now: usize, begun: usize) -> bool {
    now > MOST.get() && now > begun.saturating_add(LAST)
}

/// The words for it.
pub(super) fn too_much() -> starlark::Error {
    let most = MOST.get() >> 20;
    starlark::Error::new_native(
        Fault::user(format!("this takes more memory than code may have, which is {most} MiB"))
            .hint("work on less at once; %who lists the variables, and `name = None` gives up what one holds"),
    )
}

/// Refuses what would need so many bytes more.
fn check(heap: Heap<'_>, more: usize) -> starlark::Result<()> {
    // What is small is left to the look before the next statement, which lets a full heap be made empty.
    let over = more > LAST && heap.allocated_bytes().saturating_add(more) > MOST.get();
    if over { Err(too_much()) } else { Ok(()) }
}

fn sum<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    _: &ParametersSpec<FrozenValue>,
    args: &Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let [left, right] = both(args, eval)?;
    check(eval.heap(), content(left).unwrap_or(0).saturating_add(content(right).unwrap_or(0)))?;
    left.add(right, eval.heap())
}

fn product<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    _: &ParametersSpec<FrozenValue>,
    args: &Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let [left, right] = both(args, eval)?;
    for (of, times) in [(left, right), (right, left)] {
        if let (Some(bytes), Some(times)) = (content(of), times.unpack_i32()) {
            check(eval.heap(), bytes.saturating_mul(usize::try_from(times).unwrap_or(0)))?;
        }
    }
    left.mul(right, eval.heap())
}

/// `%` of numbers and of texts with places to fill.
fn rest<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    _: &ParametersSpec<FrozenValue>,
    args: &Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let [left, right] = both(args, eval)?;
    if let Some(text) = left.unpack_str() {
        let largest = match TupleRef::from_value(right) {
            Some(parts) => parts.content().iter().filter_map(|part| content(*part)).max().unwrap_or(0),
            None => content(right).unwrap_or(0),
        };
        let places = text.bytes().filter(|byte| *byte == b'%').count();
        check(eval.heap(), largest.saturating_mul(places).saturating_add(text.len()))?;
    }
    left.percent(right, eval.heap())
}

/// `list__of(…)` and so on: the function itself, when what it is given is not too long.
fn gather<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    parameters: &ParametersSpec<FrozenValue>,
    args: &Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let signature = parameters.signature();
    let name = signature.strip_suffix(GATHER).unwrap_or_default();
    let positional: Vec<Value<'v>> = args.positions(eval.heap())?.collect();
    for value in &positional {
        let count = usize::try_from(value.length().unwrap_or(0)).unwrap_or(0);
        check(eval.heap(), count.saturating_mul(ELEMENT))?;
    }
    let named = args.names_map()?;
    let named: Vec<(&str, Value<'v>)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let function = PLAIN.with_borrow(|plain| {
        let (_, functions) = plain.as_ref()?;
        functions.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    });
    let function =
        function.ok_or_else(|| starlark::Error::new_native(Fault::internal(format!("no function {name}"))))?;
    eval.eval_function(function.to_value(), &positional, &named)
}

/// `join__by(text, …)` and so on: the method itself, when what it would make is not too long.
fn make<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    parameters: &ParametersSpec<FrozenValue>,
    args: &Arguments<'v, '_>,
) -> starlark::Result<Value<'v>> {
    let signature = parameters.signature();
    let name = signature.strip_suffix(MAKE).unwrap_or_default();
    let heap = eval.heap();
    let positional: Vec<Value<'v>> = args.positions(heap)?.collect();
    let named = args.names_map()?;
    let named: Vec<(&str, Value<'v>)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let [of, given @ ..] = positional.as_slice() else {
        return Err(starlark::Error::new_native(Fault::internal(format!("{name} of nothing"))));
    };
    if let Some(text) = of.unpack_str() {
        let all = given.iter().chain(named.iter().map(|(_, value)| value));
        check(heap, made(name, text, given, all.copied()))?;
    }
    let method = of.get_attr_error(name, heap)?;
    eval.eval_function(method, given, &named)
}

/// About as many bytes as a method makes out of a text.
fn made<'v>(name: &str, text: &str, given: &[Value<'v>], all: impl Iterator<Item = Value<'v>>) -> usize {
    let times = |places: usize, each: usize| text.len().saturating_add(places.saturating_mul(each));
    match (name, given) {
        ("join", [parts, ..]) => {
            let list = ListRef::from_value(*parts).map(|list| list.content());
            let parts = list.or_else(|| TupleRef::from_value(*parts).map(|tuple| tuple.content())).unwrap_or_default();
            parts.iter().fold(0, |sum, part| sum.saturating_add(times(1, content(*part).unwrap_or(0))))
        }
        ("replace", [old, new, ..]) => match (old.unpack_str(), new.unpack_str()) {
            (Some(old), Some(new)) => times(text.matches(old).count(), new.len()),
            _ => 0,
        },
        ("format", _) => times(text.matches('{').count(), all.filter_map(content).max().unwrap_or(0)),
        _ => 0,
    }
}

fn both<'v>(args: &Arguments<'v, '_>, eval: &Evaluator<'v, '_, '_>) -> starlark::Result<[Value<'v>; 2]> {
    let both: Vec<Value<'v>> = args.positions(eval.heap())?.collect();
    both.try_into().map_err(|_| starlark::Error::new_native(Fault::user("an operator takes two values")))
}

/// Bytes that a text or a list holds.
fn content(value: Value<'_>) -> Option<usize> {
    if let Some(text) = value.unpack_str() {
        return Some(text.len());
    }
    let elements = ListRef::from_value(value).map(|list| list.len());
    let elements = elements.or_else(|| TupleRef::from_value(value).map(|tuple| tuple.len()));
    elements.map(|count| count.saturating_mul(ELEMENT))
}
