//! From path, query and body to a tool's arguments, by the tool's own schema.

use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Map, Number, Value, json};

use super::{Problem, Route, Verb};
use crate::mcp::ToolDescription;

/// A query parameter: its name, the member of an object argument that it stands for, and its schema.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    /// The argument whose member it is.
    pub(super) within: Option<&'a str>,
    pub(super) schema: &'a Value,
}

/// The argument that holds a token for clients that send no headers. Here there are headers, and a path or query would be
/// logged on its way.
const TOKEN: &str = "token";

/// What may stand in the query of a route that reads: arguments, and the members of arguments that are objects.
pub(super) fn parameters<'a>(route: &Route, tool: &'a ToolDescription) -> Vec<Parameter<'a>> {
    let mut all = Vec::new();
    for (name, schema) in properties(tool) {
        if name == TOKEN || route.says(name) {
            continue;
        }
        match schema.get("properties").and_then(Value::as_object) {
            Some(members) if kind(schema) == "object" => all.extend(members.iter().map(|(member, schema)| Parameter {
                name: member.as_str(),
                within: Some(name.as_str()),
                schema,
            })),
            _ => all.push(Parameter { name: name.as_str(), within: None, schema }),
        }
    }
    all
}

/// Arguments whose members stand in the query each by itself.
pub(super) fn spread<'a>(route: &Route, tool: &'a ToolDescription) -> Vec<&'a str> {
    parameters(route, tool).iter().filter_map(|parameter| parameter.within).collect()
}

/// All arguments.
///
/// # Errors
/// A problem that names the parameter.
pub(super) fn gather<'a>(
    route: &Route,
    tool: &ToolDescription,
    path: impl Iterator<Item = (&'a str, &'a str)>,
    uri: &Uri,
    body: Map<String, Value>,
) -> Result<Map<String, Value>, Problem> {
    let mut given = body;
    if given.contains_key(TOKEN) {
        return Err(Problem::parameter(TOKEN, "send it as Authorization: Bearer <token>"));
    }
    if let Some((name, _)) = route.fixed.iter().find(|(name, _)| given.contains_key(*name)) {
        return Err(Problem::parameter(name, "the route says it already"));
    }
    if let Some(name) = given.keys().find(|name| !route.open && !takes(route, tool, name)) {
        let names: Vec<&String> = properties(tool)
            .map(|(name, _)| name)
            .filter(|name| takes(route, tool, name) && !route.says(name))
            .collect();
        return Err(Problem::parameter(name, "there is no such field").with("fields", json!(names)));
    }
    query(route, tool, uri, &mut given)?;
    for (name, value) in path {
        if given.contains_key(name) {
            return Err(Problem::parameter(name, "it stands in the path already"));
        }
        given.insert(name.to_owned(), value.into());
    }
    Ok(given)
}

/// Whether a body may hold this. What stands in the path or is fixed gets a refusal of its own.
fn takes(route: &Route, tool: &ToolDescription, name: &str) -> bool {
    let known = properties(tool).any(|(known, _)| known == name) || route.unlisted.contains(&name);
    (known && name != TOKEN) || route.in_path().any(|inside| inside == name)
}

fn query(route: &Route, tool: &ToolDescription, uri: &Uri, given: &mut Map<String, Value>) -> Result<(), Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::parameter("query", "it cannot be read as name=value&…"))?;
    let known = if route.verb == Verb::Get { parameters(route, tool) } else { Vec::new() };
    for (name, text) in pairs {
        if name == TOKEN {
            return Err(Problem::parameter(TOKEN, "send it as Authorization: Bearer <token>"));
        }
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
            return Err(Problem::parameter(&name, "there is no such parameter").with("parameters", names));
        };
        let place = match parameter.within {
            None => &mut *given,
            Some(outer) => match given.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(inner) => inner,
                _ => return Err(Problem::parameter(outer, "it is given twice")),
            },
        };
        let value = typed(parameter, &text)?;
        match (place.get_mut(parameter.name), value) {
            (None, value) => {
                place.insert(parameter.name.to_owned(), value);
            }
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            _ => return Err(Problem::parameter(&name, "it is given twice")),
        }
    }
    Ok(())
}

/// `text` as the schema wants it. What a tool says about values (ranges, words) is left to the tool.
fn typed(parameter: &Parameter<'_>, text: &str) -> Result<Value, Problem> {
    let wrong = |wanted: &str| Problem::parameter(parameter.name, format!("it has to be {wanted}"));
    Ok(match kind(parameter.schema) {
        "integer" => match text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)) {
            Ok(number) => Value::Number(number),
            Err(_) => return Err(wrong("a whole number")),
        },
        "number" => match text.parse::<f64>().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => return Err(wrong("a number")),
        },
        "boolean" => Value::Bool(text.parse().map_err(|_| wrong("true or false"))?),
        "array" => text.split(',').filter(|one| !one.is_empty()).map(Value::from).collect(),
        "object" => serde_json::from_str(text).map_err(|_| wrong("a JSON object"))?,
        _ => text.into(),
    })
}

pub(super) fn properties(tool: &ToolDescription) -> impl Iterator<Item = (&String, &Value)> {
    tool.input.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// A schema's type, the first that is not null.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or(""),
        _ => "",
    }
}

/// The same request from `cursor` on. Cursors are made of letters, digits and `-`, `_`, `.`.
pub(super) fn next(uri: &Uri, cursor: &str) -> String {
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != "cursor" && name != "offset"
    });
    let mut next = format!("{}?", uri.path());
    for pair in kept {
        next.push_str(pair);
        next.push('&');
    }
    next + "cursor=" + cursor
}
