//! REST routes, from the description that a running server gives.

use std::fmt::Write;

use serde_json::Value;

use super::{SERVERS, cell, code};
use crate::Result;
use crate::json::{items, text};
use crate::program::{Built, Sandbox, Server};

/// The page.
pub(crate) fn page(built: &Built, sandbox: &Sandbox) -> Result<String> {
    let mut page = String::from(
        "# HTTP API\n\nRoutes below `/api/v1`. `GET /api/v1/openapi.json` describes them in full (OpenAPI 3.1); \
         [http-api.md](../http-api.md) shows how they are used.\n",
    );
    for (program, words) in SERVERS {
        let server = Server::start_program(built, sandbox, program, words, &[])?;
        let answer = server.connect()?.get("/api/v1/openapi.json")?;
        server.stop()?;
        if answer.status != 200 {
            return Err(format!("/api/v1/openapi.json of {program} answers {}", answer.status).into());
        }
        routes(program, &serde_json::from_str(&answer.body)?, &mut page)?;
    }
    Ok(page)
}

fn routes(program: &str, document: &Value, page: &mut String) -> Result {
    writeln!(page, "\n## {program}\n\n| Route | What | Scope | Parameters |\n|---|---|---|---|")?;
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let route = code(&format!("{} {path}", method.to_uppercase()));
            let what = cell(&text(&operation["summary"]));
            writeln!(page, "| {route} | {what} | {} | {} |", text(&operation["x-scope"]), parameters(operation))?;
        }
    }
    Ok(())
}

/// Names of query parameters and of the body's members, those that are needed in bold.
fn parameters(operation: &Value) -> String {
    let shown = |name: &str, needed: bool| if needed { format!("**{}**", code(name)) } else { code(name) };
    let mut names: Vec<String> = items(&operation["parameters"])
        .iter()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| shown(&text(&parameter["name"]), parameter["required"] == true))
        .collect();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    names.extend(body["properties"].as_object().into_iter().flatten().map(|(name, _)| {
        let needed = items(&body["required"]).iter().any(|one| one == name);
        shown(name, needed)
    }));
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn needed_parameters_stand_out() {
        let operation = json!({
            "parameters": [{ "name": "id", "in": "path", "required": true }, { "name": "q", "in": "query", "required": true }],
            "requestBody": { "content": { "application/json": { "schema": {
                "properties": { "a": {}, "b": {} }, "required": ["b"] } } } },
        });
        assert_eq!(parameters(&operation), "**`q`**, `a`, **`b`**");
    }
}
