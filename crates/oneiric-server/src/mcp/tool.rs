//! What a program says about its tools, and how they are called.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use oneiric::fault::Fault;
use oneiric::settings::rows::spec;
use oneiric::settings::{Kind, Spec};
use oneiric::token::Scope;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::follow::{WAIT, wait_schema};
use super::lasting::{Lasting, Works};
use super::schema::{input_schema, output_schema};

/// What a tool does to the world, as far as a client should know before it calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Adds something; the same call again adds nothing more.
    AddsOnce,
    /// Adds something; the same call again adds it again.
    Adds,
    /// Deletes something; the same call again deletes nothing more.
    Deletes,
}

/// How much of the tools a client gets to see: every listed tool costs it words in every conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// What nobody wants to miss.
    Minimal,
    /// What most work needs.
    #[default]
    Standard,
    /// Everything.
    Full,
}

impl Profile {
    /// The names, smallest first.
    pub const NAMES: &'static [&'static str] = &["minimal", "standard", "full"];

    /// The setting that chooses one.
    pub const SETTING: Spec = spec(
        "mcp.tool_profile",
        Kind::Choice(Self::NAMES),
        "standard",
        "Tools in the list that MCP clients see; every tool can be called whatever is listed",
    );

    /// The profile of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Minimal, Self::Standard, Self::Full]
            .into_iter()
            .zip(Self::NAMES)
            .find(|(_, known)| **known == name)
            .map(|found| found.0)
    }
}

/// A tool as clients see it in `tools/list`.
#[derive(Clone, Debug)]
pub struct ToolDescription {
    /// Name by which it is called.
    pub name: &'static str,
    /// One or two sentences for a language model.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub input: Arc<Map<String, Value>>,
    /// JSON Schema of its result.
    pub output: Arc<Map<String, Value>>,
    /// What it does to the world.
    pub effect: Effect,
    /// The smallest profile that lists it.
    pub profile: Profile,
    /// The right that a token must carry to call it.
    pub scope: Scope,
    /// What it has to do with work that outlives the call.
    pub lasting: Option<Lasting>,
}

impl ToolDescription {
    /// A tool that takes an `I` and answers with an `O`.
    #[must_use]
    pub fn of<I: JsonSchema, O: JsonSchema>(name: &'static str, description: &'static str, effect: Effect) -> Self {
        let (input, output) = (Arc::new(input_schema::<I>()), Arc::new(output_schema::<O>()));
        let scope = match effect {
            Effect::Reads => Scope::Read,
            Effect::AddsOnce | Effect::Adds | Effect::Deletes => Scope::Write,
        };
        Self { name, description, input, output, effect, profile: Profile::Standard, scope, lasting: None }
    }

    /// The same, listed from `profile` on. Whether it is listed or not, it can be called.
    #[must_use]
    pub fn in_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The same, with an argument that a client may leave out, because its [`super::Guest`] knows what it means then.
    #[must_use]
    pub fn filling(mut self, argument: &str) -> Self {
        if let Some(Value::Array(names)) = Arc::make_mut(&mut self.input).get_mut("required") {
            names.retain(|name| name != argument);
        }
        self
    }

    /// The same, about work that outlives the call. Whoever may wait for its end says so by an argument.
    #[must_use]
    pub fn lasting(mut self, lasting: Lasting) -> Self {
        if lasting != Lasting::Ends
            && let Some(Value::Object(properties)) = Arc::make_mut(&mut self.input).get_mut("properties")
        {
            properties.insert(WAIT.into(), wait_schema());
        }
        Self { lasting: Some(lasting), ..self }
    }

    /// The same, for callers whose token carries `scope`.
    #[must_use]
    pub fn needing(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }
}

/// Arguments of a call, not yet checked against the tool's types.
#[derive(Debug)]
pub enum Arguments<'a> {
    /// As parsed by the protocol library.
    Parsed(Map<String, Value>),
    /// As text; large batches are parsed once, straight into the tool's types.
    Raw(&'a RawValue),
}

impl Arguments<'_> {
    /// Reads the arguments as `T`.
    ///
    /// # Errors
    /// A [`ToolError`] with code `invalid_arguments` that names the field.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, ToolError> {
        match self {
            Self::Parsed(map) => serde_path_to_error::deserialize(Value::Object(map)).map_err(|error| invalid(&error)),
            Self::Raw(raw) => {
                if let Ok(value) = serde_json::from_str(raw.get()) {
                    return Ok(value);
                }
                // Only what is wrong is read again with the path in mind: keeping it costs time. It is read as the
                // library would have read it, so that both ways say the same.
                match serde_json::from_str(raw.get()) {
                    Ok(map) => Self::Parsed(map).parse(),
                    Err(error) => Err(ToolError::new("invalid_arguments", error.to_string())),
                }
            }
        }
    }
}

fn invalid(error: &serde_path_to_error::Error<serde_json::Error>) -> ToolError {
    let path = error.path().to_string();
    let text = error.inner().to_string();
    let reason = plainly(text.split(" at line ").next().unwrap_or(&text));
    let message = if path == "." { reason.clone() } else { format!("{path}: {reason}") };
    let error = ToolError::new("invalid_arguments", message);
    // What is missing or unknown is said of the object that it belongs to.
    let begins = ["missing field `", "unknown field `"];
    let member = begins.iter().find_map(|begin| reason.strip_prefix(begin)?.split('`').next());
    match (path.as_str(), member) {
        (".", None) => error,
        (".", Some(name)) => error.with("field", name),
        (path, Some(name)) if !path.ends_with(name) => error.with("field", format!("{path}.{name}")),
        (path, _) => error.with("field", path),
    }
}

/// What is wrong with a value, without the names of types of this program.
fn plainly(reason: &str) -> String {
    if reason == "invalid number" {
        return "it has to be a whole number that is not out of range".to_owned();
    }
    let Some((found, expected)) = reason.rsplit_once(", expected ") else { return reason.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "string or map" | "str" => "a string",
        text if text.starts_with("struct ") || text == "a map" => "an object",
        _ => return reason.to_owned(),
    };
    format!("{found}, expected {expected}")
}

/// A failure that the caller should read: it reaches the client as a tool result with `isError`.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolError {
    body: Map<String, Value>,
}

impl ToolError {
    /// A failure with a machine-readable `code` and a sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("code".into(), code.into());
        body.insert("message".into(), message.into().into());
        Self { body }
    }

    /// Adds a fact, such as the nearest ids.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        self.body.insert(key.to_owned(), json!(value));
        self
    }

    /// The machine-readable code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole as JSON: `{code, message, …}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.body.clone())
    }
}

impl From<Fault> for ToolError {
    fn from(fault: Fault) -> Self {
        let error = Self::new(fault.kind().code(), fault.message());
        match fault.advice() {
            Some(hint) => error.with("hint", hint),
            None => error,
        }
    }
}

/// A call under way.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send + 'a>>;

/// Does what may block (a database, a process) where that is allowed; the protocol must not wait behind it.
///
/// # Errors
/// As `work`; code `internal` when it broke off, of which the log says more.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a tool failed unexpectedly");
        Err(ToolError::new("internal", "the tool failed unexpectedly; the server's log says more"))
    })
}

/// The tools of a program.
///
/// The set is fixed for the life of the process; `call` gets only names that are in `tools`.
pub trait ToolSet: Send + Sync + 'static {
    /// All tools, in the order in which clients should see them.
    fn tools(&self) -> &[ToolDescription];

    /// Which of them clients get to see.
    fn profile(&self) -> Profile {
        Profile::Full
    }

    /// The work that tools begin and follow, if there is any.
    fn works(&self) -> Option<&dyn Works> {
        None
    }

    /// Runs a tool in the name of `who`, the subject of the caller's token (empty while nobody is asked for one). The result is
    /// a JSON object.
    fn call<'a>(&'a self, name: &'a str, arguments: Arguments<'a>, who: &'a str) -> ToolFuture<'a>;

    /// The tool of that name.
    fn find(&self, name: &str) -> Option<&ToolDescription> {
        self.tools().iter().find(|tool| tool.name == name)
    }
}

/// The protocol error for a name that no tool has, with the names that exist.
pub(crate) fn unknown_tool(tools: &dyn ToolSet, name: &str) -> (Cow<'static, str>, Value) {
    let known: Vec<&str> = tools.tools().iter().map(|tool| tool.name).collect();
    let shown: String = name.chars().take(64).collect();
    (format!("Unknown tool: {shown}").into(), json!({ "tools": known }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only what serde says of it is looked at")]
    struct Batch {
        events: Vec<Item>,
    }

    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only what serde says of it is looked at")]
    struct Item {
        count: u8,
    }

    #[test]
    fn a_wrong_argument_is_named_by_its_path_however_it_came() {
        let text = r#"{"events":[{"count":1},{"count":"two"}]}"#;
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        let map: Map<String, Value> = serde_json::from_str(text).unwrap();
        for arguments in [Arguments::Raw(&raw), Arguments::Parsed(map)] {
            let error = arguments.parse::<Batch>().unwrap_err();
            assert_eq!(error.code(), "invalid_arguments");
            assert_eq!(error.message(), "events[1].count: invalid type: string \"two\", expected a whole number");
            assert_eq!(error.to_value()["field"], "events[1].count");
        }
    }

    #[test]
    fn a_missing_argument_is_named() {
        let error = Arguments::Parsed(Map::new()).parse::<Batch>().unwrap_err();
        assert_eq!(error.message(), "missing field `events`");
        assert_eq!(error.to_value()["field"], "events");
    }

    #[test]
    fn what_is_wrong_with_a_value_is_said_in_plain_words() {
        for (events, message) in [
            (json!("x"), "events: invalid type: string \"x\", expected a sequence"),
            (json!(["x"]), "events[0]: invalid type: string \"x\", expected an object"),
            (json!([{}]), "events[0]: missing field `count`"),
        ] {
            let map = Map::from_iter([("events".to_owned(), events)]);
            assert_eq!(Arguments::Parsed(map).parse::<Batch>().unwrap_err().message(), message);
        }
        assert_eq!(
            plainly("invalid value: integer `-1`, expected u8"),
            "invalid value: integer `-1`, expected a whole number"
        );
        assert!(plainly("invalid number").contains("whole number"));
    }
}
