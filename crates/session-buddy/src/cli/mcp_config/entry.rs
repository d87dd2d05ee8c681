//! Puts the entry of this server into a client's file. What somebody added to an entry that is there already stays: only what
//! says how the server is reached is set.

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, TableLike};

use super::clients::ARGUMENTS;
use super::jsonc;
use crate::PRODUCT;

/// Members that say how a server is reached, in any client's words: of another way, they are taken away.
const WAYS: [&str; 8] = ["type", "command", "args", "url", "httpUrl", "serverUrl", "bearer_token_env_var", "headers"];
/// Members that are left as somebody set them.
const LEFT: [&str; 1] = ["enabled"];

/// Sets the entry in a JSON file, comments allowed.
///
/// # Errors
/// The line and what is wrong there.
pub(super) fn set_json(text: &str, key: &str, entry: &Value) -> Result<String, String> {
    let Some(there) = jsonc::members(text, &[key, PRODUCT])? else {
        return jsonc::set(text, &[key, PRODUCT], &pretty(entry));
    };
    let mut text = text.to_owned();
    for name in there.iter().filter(|name| WAYS.contains(&name.as_str()) && entry.get(name.as_str()).is_none()) {
        text = jsonc::remove(&text, &[key, PRODUCT, name])?;
    }
    for (name, value) in entry.as_object().into_iter().flatten() {
        let place = [key, PRODUCT, name];
        if LEFT.contains(&name.as_str()) && there.contains(name) {
            continue;
        }
        if let (Value::Object(inner), Some(_)) = (value, jsonc::members(&text, &place)?) {
            for (inside, value) in inner {
                text = jsonc::set(&text, &[key, PRODUCT, name, inside], &pretty(value))?;
            }
            continue;
        }
        let known = jsonc::value(&text, &place)?;
        text = jsonc::set(&text, &place, &pretty(&with_arguments(value, known.as_ref())))?;
    }
    Ok(text)
}

/// Sets the table of this server in a TOML file.
///
/// # Errors
/// The line and what is wrong there.
pub(super) fn set_toml(text: &str, key: &str, entry: &Value) -> Result<String, String> {
    // The parser takes a byte order mark away, and every line end for a line feed.
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |rest| ("\u{feff}", rest));
    let changed = set_table(text, key, entry)?.replace("\r\n", "\n");
    Ok(format!("{mark}{}", changed.replace('\n', jsonc::line_end(text))))
}

fn set_table(text: &str, key: &str, entry: &Value) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| one_line(text, &error))?;
    let servers = document.entry(key).or_insert_with(|| {
        let mut table = toml_edit::Table::new();
        table.set_implicit(true);
        table.into()
    });
    let servers = servers.as_table_like_mut().ok_or_else(|| format!("'{key}' is no table"))?;
    if servers.get(PRODUCT).is_none_or(|there| there.as_table_like().is_none()) {
        servers.insert(PRODUCT, toml_edit::Table::new().into());
    }
    let Some(there) = servers.get_mut(PRODUCT).and_then(Item::as_table_like_mut) else {
        return Err(format!("'{key}.{PRODUCT}' is no table"));
    };
    for name in WAYS.iter().filter(|name| entry.get(**name).is_none()) {
        there.remove(name);
    }
    for (name, value) in entry.as_object().into_iter().flatten() {
        match (value, there.get_mut(name).and_then(Item::as_table_like_mut)) {
            (Value::Object(inner), Some(table)) => {
                for (inside, value) in inner {
                    put(table, inside, value);
                }
            }
            _ => {
                let known = there.get(name).and_then(Item::as_value).and_then(as_json);
                put(there, name, &with_arguments(value, known.as_ref()));
            }
        }
    }
    Ok(document.to_string())
}

/// Sets one value; what stands around it stays, and so does the same value as it was written.
fn put(table: &mut dyn TableLike, name: &str, value: &Value) {
    let new = toml_value(value);
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(known) if as_json(known).as_ref() == Some(value) => {}
        Some(known) => {
            let around = known.decor().clone();
            *known = new;
            *known.decor_mut() = around;
        }
        None => drop(table.insert(name, toml_edit::value(new))),
    }
}

/// `value`, with the arguments of `known` when these start this server as well: somebody chose a port, or a mode.
fn with_arguments(value: &Value, known: Option<&Value>) -> Value {
    let (Some(new), Some(known)) = (value.as_array(), known.and_then(Value::as_array)) else { return value.clone() };
    let start = new.iter().position(|one| one == ARGUMENTS[0]).unwrap_or(new.len());
    let starts = known.get(start).is_some_and(|one| one == ARGUMENTS[0]);
    if starts { new[..start].iter().chain(&known[start..]).cloned().collect() } else { value.clone() }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The line of a mistake, and what it is, without the picture that its own text draws.
fn one_line(text: &str, error: &toml_edit::TomlError) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', ", "))
}

/// Text, flags and arrays of these.
fn as_json(value: &toml_edit::Value) -> Option<Value> {
    match value {
        toml_edit::Value::String(text) => Some(text.value().as_str().into()),
        toml_edit::Value::Boolean(flag) => Some((*flag.value()).into()),
        toml_edit::Value::Array(items) => items.iter().map(as_json).collect::<Option<Vec<_>>>().map(Value::from),
        _ => None,
    }
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Array(items) => items.iter().map(toml_value).collect::<toml_edit::Array>().into(),
        Value::Object(map) => {
            let mut table = toml_edit::InlineTable::new();
            for (name, value) in map {
                table.insert(name, toml_value(value));
            }
            table.into()
        }
        Value::String(text) => text.as_str().into(),
        other => json!(other).to_string().into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_toml_file_keeps_its_comments_and_gets_one_table() {
        let entry = json!({ "command": "x", "args": ["start"], "env": { "A": "b" } });
        let text = "# mine\nmodel = \"m\" # kept\n\n[mcp_servers.other]\nurl = \"u\"\n";
        let changed = set_toml(text, "mcp_servers", &entry).unwrap();
        assert_eq!(
            changed,
            format!(
                "{text}\n[mcp_servers.session-buddy]\nargs = [\"start\"]\ncommand = \"x\"\nenv = {{ A = \"b\" }}\n"
            )
        );
        assert_eq!(set_toml(&changed, "mcp_servers", &entry).unwrap(), changed, "the same again changes nothing");
        assert!(set_toml("a = ", "mcp_servers", &entry).unwrap_err().contains("line 1"));
        assert!(set_toml("mcp_servers = 7", "mcp_servers", &entry).is_err());
    }

    #[test]
    fn what_somebody_added_to_the_entry_stays_in_toml() {
        let text = "[mcp_servers.session-buddy]\ncommand = \"old\" # here\nargs = [\"start\", \"--port\", \"8679\"]\nstartup_timeout_sec = 20\n\n[mcp_servers.session-buddy.env]\nB = \"keep\" # mine\n";
        let entry = json!({ "command": "new", "args": ["start", "--mcp"], "env": { "A": "b" } });
        let changed = set_toml(text, "mcp_servers", &entry).unwrap();
        assert_eq!(changed, text.replace("\"old\"", "\"new\"") + "A = \"b\"\n");
        let called = set_toml(&changed, "mcp_servers", &json!({ "url": "u" })).unwrap();
        assert!(called.contains("url = \"u\"") && called.contains("B = \"keep\" # mine"), "{called}");
        assert!(called.contains("startup_timeout_sec = 20") && !called.contains("command"), "{called}");
    }

    #[test]
    fn a_toml_file_keeps_its_line_ends_and_its_byte_order_mark() {
        let entry = json!({ "command": "x", "args": ["start"] });
        let text = "# mine\nmodel = \"m\"\nlong = \"\"\"\none\ntwo\"\"\"\n";
        for (mark, end) in [("", "\n"), ("", "\r\n"), ("\u{feff}", "\n"), ("\u{feff}", "\r\n")] {
            let written = |text: &str| format!("{mark}{}", text.replace('\n', end));
            let changed = set_toml(&written(text), "mcp_servers", &entry).unwrap();
            assert_eq!(changed, written(&set_toml(text, "mcp_servers", &entry).unwrap()), "{mark:?} {end:?}");
            assert!(changed.starts_with(&written(text)), "{changed}");
            assert_eq!(set_toml(&changed, "mcp_servers", &entry).unwrap(), changed, "the same again changes nothing");
        }
    }

    #[test]
    fn a_port_stays_through_comments_and_trailing_commas() {
        let entry = json!({ "command": "new", "args": ["start", "--mode=standard", "--mcp"] });
        for args in [
            "[\"start\", \"--mode=standard\", \"--mcp\", \"--port\", \"8679\", // my port\n  ]",
            "[\"start\", \"--mcp\", \"--port\", \"8679\",]",
            "[/* as it was */ \"start\", \"--port\", \"8679\"]",
        ] {
            let text =
                format!("{{ \"mcpServers\": {{ \"session-buddy\": {{ \"command\": \"old\", \"args\": {args} }} }} }}");
            assert_eq!(set_json(&text, "mcpServers", &entry).unwrap(), text.replace("\"old\"", "\"new\""));
        }
        // One client has program and arguments in one list.
        let entry = json!({ "type": "local", "command": ["new", "start", "--mcp"] });
        let text = "{\"mcp\": {\"session-buddy\": {\"type\": \"local\", \"command\": [\"old\", \"start\", \"--port\", \"1\", // mine\n ]}}}";
        assert_eq!(set_json(text, "mcp", &entry).unwrap(), text.replace("\"old\"", "\"new\""));
    }

    #[test]
    fn what_somebody_added_to_the_entry_stays_in_json() {
        let text = r#"{
  "mcpServers": {
    "session-buddy": {
      "command": "old", // here
      "args": ["start", "--port", "8679"],
      "env": { "B": "keep" },
      "disabled": true
    },
    "other": {}
  }
}
"#;
        let entry = json!({ "command": "new", "args": ["start", "--mcp"], "env": { "B": "keep" } });
        let changed = set_json(text, "mcpServers", &entry).unwrap();
        assert_eq!(changed, text.replace("\"old\"", "\"new\""));
        let called = set_json(&changed, "mcpServers", &json!({ "type": "http", "url": "u" })).unwrap();
        let value: Value = serde_json::from_str(&called).unwrap();
        let expected = json!({ "env": { "B": "keep" }, "disabled": true, "type": "http", "url": "u" });
        assert_eq!(value["mcpServers"], json!({ "session-buddy": expected, "other": {} }), "{called}");
        let foreign = r#"{"mcpServers":{"session-buddy":{"command":"uvx","args":["session-buddy"]}}}"#;
        let value: Value = serde_json::from_str(&set_json(foreign, "mcpServers", &entry).unwrap()).unwrap();
        assert_eq!(value["mcpServers"]["session-buddy"], entry);
        let opencode = json!({ "type": "local", "command": ["new", "start", "--mcp"], "enabled": true });
        let text = r#"{"mcp":{"session-buddy":{"type":"local","command":["old","start","--x"],"enabled":false}}}"#;
        let value: Value = serde_json::from_str(&set_json(text, "mcp", &opencode).unwrap()).unwrap();
        let expected = json!({ "type": "local", "command": ["new", "start", "--x"], "enabled": false });
        assert_eq!(value["mcp"]["session-buddy"], expected);
    }
}
