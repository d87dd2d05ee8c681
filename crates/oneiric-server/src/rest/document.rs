//! The description of the routes as OpenAPI 3.1, made from the tools' own schemas.

use serde_json::{Map, Value, json};

use super::arguments::{parameters, properties};
use super::bulk::LINES;
use super::{Lines, Route, Verb, problem};
use crate::mcp::{ServerCard, ToolDescription};

/// The whole document.
pub(super) fn openapi<'a>(
    card: &ServerCard,
    find: &dyn Fn(&Route) -> Option<&'a ToolDescription>,
    routes: &[Route],
) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    schemas.insert("Problem".into(), problem::schema());
    for route in routes {
        let Some(tool) = find(route) else { continue };
        if route.lines != Some(Lines::Given) {
            schemas.insert(answer_name(tool), answer_schema(tool));
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.verb.as_str().to_ascii_lowercase()] = operation(route, tool);
    }
    for (path, id, summary, schema) in [
        ("/version", "version", "Name and version of the program", version_schema()),
        ("/openapi.json", "openapi", "This description", json!({ "type": "object" })),
    ] {
        let answers = answers("200", &schema);
        paths.insert(
            path.into(),
            json!({ "get": { "operationId": id, "summary": summary, "x-scope": "read", "responses": answers } }),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": card.name, "version": card.version, "description": card.instructions },
        "servers": [{ "url": super::BASE }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
        // Without auth no token is asked for.
        "security": [{ "token": [] }, {}],
    })
}

fn operation(route: &Route, tool: &ToolDescription) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "x-scope": tool.scope.as_str(),
        "responses": answers(
            route.status().as_str(),
            &json!({ "$ref": format!("#/components/schemas/{}", answer_name(tool)) }),
        ),
    });
    let required = |name: &str| {
        let by_tool = tool.input.get("required").and_then(Value::as_array);
        by_tool.is_some_and(|names| names.iter().any(|one| one == name)) && !is_given(route, name)
    };
    let mut places: Vec<Value> = route
        .in_path()
        .map(|name| {
            let own = properties(tool).find(|(known, _)| *known == name);
            let schema = own.map_or_else(|| json!({ "type": "string" }), |(_, schema)| plain(schema));
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    match route.verb {
        Verb::Get => places.extend(parameters(route, tool).iter().map(|parameter| {
            json!({
                "name": parameter.name,
                "in": "query",
                "required": parameter.within.is_none() && required(parameter.name),
                "explode": false,
                "schema": present(with_default(route, parameter.name, parameter.schema)),
            })
        })),
        Verb::Post if route.lines.is_some() => {
            operation["requestBody"] = json!({ "required": true, "content": lines() });
        }
        Verb::Post => {
            let members: Map<String, Value> = properties(tool)
                .filter(|(name, _)| *name != "token" && !route.says(name))
                .map(|(name, schema)| (name.clone(), with_default(route, name, schema)))
                .collect();
            let needed: Vec<&String> = members.keys().filter(|name| required(name)).collect();
            let mut schema = json!({ "type": "object", "required": needed, "properties": members });
            if !route.open && route.unlisted.is_empty() {
                schema["additionalProperties"] = false.into();
            }
            operation["requestBody"] = json!({
                "required": !needed.is_empty(),
                "content": { "application/json": { "schema": schema } },
            });
            if route.fill.is_some() {
                places.push(json!({
                    "name": "Idempotency-Key", "in": "header", "required": false,
                    "description": "The same key again is the same act", "schema": { "type": "string" },
                }));
            }
        }
    }
    if route.lines == Some(Lines::Given) {
        operation["responses"]["200"]["content"] = lines();
    }
    if !places.is_empty() {
        operation["parameters"] = places.into();
    }
    operation
}

/// A body of lines.
fn lines() -> Value {
    json!({ LINES: { "schema": { "type": "string", "description": "A JSON object a line" } } })
}

fn is_given(route: &Route, name: &str) -> bool {
    route.filled.contains(&name) || route.defaults.iter().any(|(known, _)| *known == name)
}

fn with_default(route: &Route, name: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some((_, default)) = route.defaults.iter().find(|(known, _)| *known == name) {
        schema["default"] = (*default).into();
    }
    schema
}

/// A path parameter is never left out, so it has no default.
fn plain(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(map) = schema.as_object_mut() {
        map.remove("default");
    }
    present(schema)
}

/// What stands in a path or a query is text, which is never null.
fn present(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    schema
}

fn answer_name(tool: &ToolDescription) -> String {
    format!("{}_answer", tool.name)
}

/// A list's answer also has a link to the next page.
fn answer_schema(tool: &ToolDescription) -> Value {
    let mut schema = Value::Object((*tool.output).clone());
    if schema["properties"].get("next_cursor").is_some() {
        schema["properties"]["next"] = json!({ "type": "string", "format": "uri-reference" });
    }
    schema
}

fn version_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": { "name": text, "version": text, "api": text },
        "required": ["name", "version", "api"],
    })
}

fn answers(good: &str, schema: &Value) -> Value {
    let problem = json!({
        "description": "What is wrong",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    json!({
        good: { "description": "Done", "content": { "application/json": { "schema": schema } } },
        "default": problem,
    })
}
