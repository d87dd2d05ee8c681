//! Puts the entry of this server into a client's file. Of an entry that is there already, only what says how the server is
//! reached changes; what somebody added stays, unless it belongs to the other way of reaching alone.

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, TableLike};

use super::clients::ARGUMENTS;
use super::jsonc;
use crate::PRODUCT;

/// Members that an entry says itself, in any client's words: where it has none, an earlier one's is taken away.
const SAID: [&str; 7] = ["type", "command", "args", "url", "httpUrl", "serverUrl", "bearer_token_env_var"];
/// Members of a server that the client starts. Beside one that it calls they have no meaning, and some clients then refuse
/// their whole file.
const OF_STARTING: [&str; 9] =
    ["command", "args", "env", "environment", "env_vars", "envFile", "cwd", "dev", "sandboxEnabled"];
/// Members of a server that the client calls, likewise.
const OF_CALLING: [&str; 15] = [
    "url",
    "httpUrl",
    "serverUrl",
    "headers",
    "headersHelper",
    "http_headers",
    "http_headers_helper",
    "env_http_headers",
    "bearer_token",
    "bearer_token_env_var",
    "oauth",
    "oauth_resource",
    "scopes",
    "auth",
    "authProviderType",
];
/// The header that holds the token.
const TOKEN: [&str; 2] = ["headers", "Authorization"];
/// Members that are left as somebody set them.
const LEFT: [&str; 1] = ["enabled"];

/// Sets the entry in a JSON file, comments allowed.
///
/// # Errors
/// The line and what is wrong there.
pub(super) fn set_json(text: &str, key: &str, entry: &Value) -> Result<String, String> {
    let mut text = moved_up(text, key)?;
    let Some(there) = jsonc::members(&text, &[key, PRODUCT])? else {
        return jsonc::set(&text, &[key, PRODUCT], &pretty(entry));
    };
    for name in there.iter().filter(|name| goes(name, entry)) {
        text = jsonc::remove(&text, &[key, PRODUCT, name])?;
    }
    if entry.get(TOKEN[0]).is_none() {
        text = jsonc::remove(&text, &[key, PRODUCT, TOKEN[0], TOKEN[1]])?;
        if jsonc::members(&text, &[key, PRODUCT, TOKEN[0]])?.is_some_and(|left| left.is_empty()) {
            text = jsonc::remove(&text, &[key, PRODUCT, TOKEN[0]])?;
        }
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

/// Whether a member of an earlier entry goes when `entry` is set.
fn goes(name: &str, entry: &Value) -> bool {
    let other: &[&str] = if entry.get("command").is_some() { &OF_CALLING } else { &OF_STARTING };
    entry.get(name).is_none() && (SAID.contains(&name) || other.contains(&name))
}

/// Zed once had program, arguments and variables in an object `command`. All but the program moves beside it, so that it
/// stays when the program is set.
fn moved_up(text: &str, key: &str) -> Result<String, String> {
    let mut changed = text.to_owned();
    let there = jsonc::members(text, &[key, PRODUCT])?.unwrap_or_default();
    let command = jsonc::value(text, &[key, PRODUCT, "command"])?;
    for (name, value) in command.iter().filter_map(Value::as_object).flatten() {
        if name != "path" && !there.contains(name) {
            changed = jsonc::set(&changed, &[key, PRODUCT, name], &pretty(value))?;
        }
    }
    Ok(changed)
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
    let gone: Vec<String> = there.iter().map(|(name, _)| name.to_owned()).filter(|name| goes(name, entry)).collect();
    for name in gone {
        there.remove(&name);
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
        assert_eq!(called, "[mcp_servers.session-buddy]\nstartup_timeout_sec = 20\nurl = \"u\"\n");
    }

    /// Codex refuses its whole file when an entry holds something of the other way.
    #[test]
    fn what_belongs_to_the_other_way_of_reaching_goes_with_it() {
        let shared = "startup_timeout_sec = 20\nenabled = false\n";
        let starting = "command = \"old\"\nargs = []\nenv = { A = \"b\" }\nenv_vars = [\"C\"]\ncwd = \"/w\"\n";
        let calling = "url = \"old\"\nbearer_token_env_var = \"V\"\nhttp_headers = { X = \"y\" }\nhttp_headers_helper = \"h\"\nenv_http_headers = { Z = \"V\" }\noauth_resource = \"r\"\nscopes = [\"s\"]\nauth = \"oauth\"\n[mcp_servers.session-buddy.oauth]\nclient_id = \"i\"\n";
        let text = |members: &str| format!("[mcp_servers.session-buddy]\n{shared}{members}");
        let called = set_toml(&text(starting), "mcp_servers", &json!({ "url": "u" })).unwrap();
        assert_eq!(called, text("url = \"u\"\n"));
        let started = set_toml(&text(calling), "mcp_servers", &json!({ "command": "c" })).unwrap();
        assert_eq!(started, text("command = \"c\"\n"));
        // Of this way, only what the entry itself says changes.
        let again = set_toml(&text(starting), "mcp_servers", &json!({ "command": "new" })).unwrap();
        assert_eq!(again, text(starting).replace("\"old\"", "\"new\"").replace("args = []\n", ""));
        let again = set_toml(&text(calling), "mcp_servers", &json!({ "url": "new" })).unwrap();
        assert_eq!(again, text(calling).replace("\"old\"", "\"new\"").replace("bearer_token_env_var = \"V\"\n", ""));
        for (entry, gone, kept) in [
            (
                json!({ "type": "remote", "url": "u" }),
                json!({ "environment": { "A": "b" }, "envFile": "f" }),
                "timeout",
            ),
            (json!({ "type": "local", "command": ["c"] }), json!({ "headers": { "X": "y" }, "oauth": {} }), "timeout"),
        ] {
            let mut there = gone.clone();
            there[kept] = json!(5000);
            let text = json!({ "mcp": { "session-buddy": there } }).to_string();
            let mut expected = entry.clone();
            expected[kept] = json!(5000);
            let value: Value = serde_json::from_str(&set_json(&text, "mcp", &entry).unwrap()).unwrap();
            assert_eq!(value["mcp"]["session-buddy"], expected);
        }
    }

    #[test]
    fn a_token_that_is_no_longer_asked_for_goes_and_other_headers_stay() {
        let entry = json!({ "url": "u" });
        let set = |headers: Value| {
            let text = json!({ "mcpServers": { "session-buddy": { "url": "u", "headers": headers } } }).to_string();
            let changed = set_json(&text, "mcpServers", &entry).unwrap();
            serde_json::from_str::<Value>(&changed).unwrap()["mcpServers"]["session-buddy"].clone()
        };
        assert_eq!(set(json!({ "Authorization": "Bearer ${V}" })), entry);
        let others = json!({ "url": "u", "headers": { "X-Mine": "y" } });
        assert_eq!(set(json!({ "X-Mine": "y", "Authorization": "Bearer ${V}" })), others);
        assert_eq!(set(json!({ "X-Mine": "y" })), others);
    }

    #[test]
    fn what_an_object_holds_beside_the_program_moves_up() {
        let text = r#"{"context_servers":{"session-buddy":{"source":"custom","command":{"path":"old","args":["start","--port","8679"],"env":{"A":"b"},"timeout":9},"settings":{}}}}"#;
        let entry = json!({ "command": "new", "args": ["start", "--mcp"], "env": { "H": "h" } });
        let value =
            |text: &str| serde_json::from_str::<Value>(text).unwrap()["context_servers"]["session-buddy"].clone();
        let changed = set_json(text, "context_servers", &entry).unwrap();
        let expected = json!({ "source": "custom", "command": "new", "settings": {}, "args": ["start", "--port", "8679"],
            "env": { "A": "b", "H": "h" }, "timeout": 9 });
        assert_eq!(value(&changed), expected, "{changed}");
        let called = set_json(text, "context_servers", &json!({ "url": "u" })).unwrap();
        assert_eq!(value(&called), json!({ "source": "custom", "settings": {}, "timeout": 9, "url": "u" }), "{called}");
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
        let expected = json!({ "disabled": true, "type": "http", "url": "u" });
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
