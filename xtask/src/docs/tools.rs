//! MCP tools, from `tools/list` over standard input and output.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::{SERVERS, cell, code};
use crate::Result;
use crate::json::{items, shown, text};
use crate::program::{Built, Sandbox};

/// The page.
pub(crate) fn page(built: &Built, sandbox: &Sandbox) -> Result<String> {
    let mut page = String::from(
        "# MCP tools\n\nTools of both programs, over HTTP (`/mcp`) and standard input, in revisions 2025-11-25 and 2026-07-28. \
         Clients see those of `mcp.tool_profile` in the list; all can be called.\n",
    );
    for (program, words) in SERVERS {
        writeln!(page, "\n## {program}")?;
        for tool in items(&list(built, sandbox, program, words)?["tools"]) {
            describe(tool, &mut page)?;
        }
    }
    Ok(page)
}

/// Starts a server on standard input and asks for its tools.
fn list(built: &Built, sandbox: &Sandbox, program: &str, words: &[&str]) -> Result<Value> {
    let log = sandbox.root().join("tools.err");
    let mut command = sandbox.command(built, program);
    let all = format!("{}_MCP__TOOL_PROFILE", program.replace('-', "_").to_uppercase());
    command
        .args(words)
        .args(["--transport", "stdio"])
        .env(all, "full")
        .stdin(Stdio::piped())
        .stderr(File::create(&log)?);
    let mut child = command.spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes to the server".into());
    };
    let tools = ask(input, BufReader::new(output));
    let status = child.wait()?;
    tools.map_err(|error| {
        let said = fs::read_to_string(&log).unwrap_or_default();
        format!("{error} ({status}): {}", said.trim()).into()
    })
}

/// Asks for the tools; the input ends with this, and so does the server.
fn ask(mut input: ChildStdin, mut output: BufReader<ChildStdout>) -> Result<Value> {
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "xtask", "version": "1" } } });
    writeln!(input, "{initialize}")?;
    answer(&mut output, 1)?;
    writeln!(input, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
    writeln!(input, "{}", json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }))?;
    answer(&mut output, 2)
}

/// The result of the request `id`.
fn answer(output: &mut BufReader<ChildStdout>, id: u64) -> Result<Value> {
    let mut line = String::new();
    loop {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            return Err("the server ended its output before it answered".into());
        }
        let mut message: Value = serde_json::from_str(&line)?;
        if message["id"] == id {
            let error = message["error"].take();
            return if error.is_null() { Ok(message["result"].take()) } else { Err(error.to_string().into()) };
        }
    }
}

fn describe(tool: &Value, page: &mut String) -> Result {
    writeln!(page, "\n### {}\n\n{}\n", text(&tool["name"]), text(&tool["description"]))?;
    let hints = &tool["annotations"];
    let known = [
        ("readOnlyHint", "reads only"),
        ("destructiveHint", "may destroy"),
        ("idempotentHint", "may be repeated"),
        ("openWorldHint", "reaches beyond this machine"),
    ];
    let said: Vec<&str> = known.iter().filter(|(hint, _)| hints[*hint] == true).map(|(_, words)| *words).collect();
    if !said.is_empty() {
        writeln!(page, "Hints: {}.\n", said.join(", "))?;
    }
    fields("Input", &tool["inputSchema"], page)?;
    fields("Output", &tool["outputSchema"], page)
}

/// A table of the schema's properties, nested ones after their own.
fn fields(title: &str, schema: &Value, page: &mut String) -> Result {
    let mut rows = Vec::new();
    nested("", schema, title == "Input", &mut rows);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(page, "| {title} | Type | Default | What |\n|---|---|---|---|")?;
    for row in rows {
        writeln!(page, "{row}")?;
    }
    writeln!(page)?;
    Ok(())
}

/// Rows of `schema`'s properties; `before` is what their names begin with.
fn nested(before: &str, schema: &Value, input: bool, rows: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = items(&schema["required"]).iter().any(|required| required == name);
        let default = if required && input { "required".to_owned() } else { code(&shown(&property["default"])) };
        let (kind, what) = (cell(&kind(property)), cell(&text(&property["description"])));
        rows.push(format!("| `{before}{name}` | {kind} | {default} | {what} |"));
        nested(&format!("{before}{name}."), property, input, rows);
        nested(&format!("{before}{name}[]."), &property["items"], input, rows);
    }
}

/// The type of a property in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(shown).collect::<Vec<_>>().join(" or ");
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for union in ["anyOf", "oneOf"] {
        if let Some(kinds) = schema[union].as_array() {
            return kinds.iter().map(kind).filter(|kind| kind != "null").collect::<Vec<_>>().join(" or ");
        }
    }
    let one = |name: &Value| match text(name).as_str() {
        "array" => format!("list of {}", kind(&schema["items"])),
        "string" if schema["format"] == "date-time" => "time (RFC 3339)".to_owned(),
        "" => "any".to_owned(),
        name => name.to_owned(),
    };
    match &schema["type"] {
        Value::Array(names) => names.iter().filter(|name| *name != "null").map(one).collect::<Vec<_>>().join(" or "),
        name => one(name),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn types_are_said_in_words() {
        let cases = [
            (json!({ "type": "integer" }), "integer"),
            (json!({ "type": ["string", "null"], "format": "date-time" }), "time (RFC 3339)"),
            (json!({ "type": "array", "items": { "$ref": "#/$defs/Event" } }), "list of Event"),
            (json!({ "anyOf": [{ "$ref": "#/$defs/Status" }, { "type": "null" }] }), "Status"),
            (json!({ "enum": ["text", "hybrid"] }), "text or hybrid"),
            (json!(true), "any"),
        ];
        for (schema, words) in cases {
            assert_eq!(kind(&schema), words, "{schema}");
        }
    }

    #[test]
    fn a_tool_has_its_input_with_what_is_required() {
        let tool = json!({
            "name": "list", "description": "Lists.", "annotations": { "readOnlyHint": true },
            "inputSchema": { "required": ["id"], "properties": {
                "id": { "type": "string", "description": "Which" },
                "limit": { "type": "integer", "default": 100 },
                "rows": { "type": "array", "items": { "type": "object", "properties": { "at": { "type": "number" } } } },
            } },
        });
        let mut page = String::new();
        describe(&tool, &mut page).unwrap();
        assert!(page.contains("Hints: reads only."));
        assert!(page.contains("| `id` | string | required | Which |"));
        assert!(page.contains("| `limit` | integer | `100` |  |"));
        assert!(page.contains("| `rows` | list of object |  |  |\n| `rows[].at` | number |  |  |"));
    }
}
