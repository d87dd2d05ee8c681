//! JSON Schemas of tools, as small as they can be said: a client pays for every word of them in every conversation.

use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value};

/// Schema of what a tool takes.
#[must_use]
pub fn input_schema<T: JsonSchema>() -> Map<String, Value> {
    schema::<T>(Contract::Deserialize)
}

/// Schema of what a tool answers. Descriptions are left out: names and types say enough about a result.
#[must_use]
pub fn output_schema<T: JsonSchema>() -> Map<String, Value> {
    schema::<T>(Contract::Serialize)
}

fn schema<T: JsonSchema>(contract: Contract) -> Map<String, Value> {
    let output = matches!(contract, Contract::Serialize);
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        settings.contract = contract;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.remove("description");
    }
    shrink(&mut schema, output);
    match schema {
        Value::Object(mut map) => {
            // Clients require an object at the root, also for a tool without arguments.
            map.entry("type").or_insert_with(|| "object".into());
            map
        }
        _ => Map::new(),
    }
}

/// The same schema for a tool list, where it is paid for again and again: what a call must not have is said when it has it,
/// and what an answer always has is seen in it.
pub(crate) fn for_list(schema: &Map<String, Value>, output: bool) -> Map<String, Value> {
    let mut map = schema.clone();
    if output {
        map.remove("required");
    }
    if map.get("additionalProperties") == Some(&Value::Bool(false)) {
        map.remove("additionalProperties");
    }
    // The words of a choice and the fields of an object say what their type's description would.
    if map.contains_key("enum") || map.contains_key("properties") {
        map.remove("description");
    }
    for (key, value) in &mut map {
        match value {
            Value::Object(properties) if key == "properties" => {
                for property in properties.values_mut() {
                    if let Value::Object(inner) = property {
                        *inner = for_list(inner, output);
                    }
                }
            }
            Value::Object(inner) if key == "items" => *inner = for_list(inner, output),
            _ => {}
        }
    }
    map
}

/// Removes what a reader of the schema does not need: titles, number formats, defaults that say nothing.
fn shrink(schema: &mut Value, output: bool) {
    let Value::Object(map) = schema else { return };
    for key in ["title", "$schema", "writeOnly"] {
        map.remove(key);
    }
    if map.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
        map.remove("default");
    }
    if map.get("format").and_then(Value::as_str).is_some_and(|format| format != "date-time") {
        map.remove("format");
        if map.get("minimum") == Some(&Value::from(0)) {
            map.remove("minimum");
        }
    }
    if output {
        map.remove("description");
        map.remove("format");
    }
    // The comment of a type says nothing beside the field's name.
    if map.contains_key("enum") || map.contains_key("oneOf") || map.get("type").is_some_and(|kind| kind == "object") {
        map.remove("description");
    }
    if map.get("default") == Some(&Value::Bool(false)) {
        map.remove("default");
    }
    // Objects are open unless they say otherwise.
    if map.get("additionalProperties") == Some(&Value::Bool(true)) {
        map.remove("additionalProperties");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(key) {
            shrink(below, output);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(|property| shrink(property, output));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(options)) = map.get_mut(key) {
            options.iter_mut().for_each(|option| shrink(option, output));
        }
    }
    words(map);
    optional(map);
    let required: Vec<Value> = map.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (name, property) in properties {
            if !required.iter().any(|required| required == name) {
                without_null(property);
            }
        }
    }
}

/// `oneOf` with a constant each becomes `enum`.
fn words(map: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = map.get("oneOf") else { return };
    let constants: Option<Vec<Value>> =
        options.iter().map(|option| option.get("const").filter(|word| word.is_string()).cloned()).collect();
    if let Some(constants) = constants {
        map.remove("oneOf");
        map.insert("type".into(), "string".into());
        map.insert("enum".into(), constants.into());
    }
}

/// `anyOf` a schema or null becomes the schema: what may be null may also be left out.
fn optional(map: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = map.get("anyOf") else { return };
    let is_null = |option: &Value| option.get("type").is_some_and(|kind| kind == "null");
    if let [Value::Object(inner), null] = options.as_slice()
        && is_null(null)
    {
        let inner = inner.clone();
        map.remove("anyOf");
        for (key, value) in inner {
            map.entry(key).or_insert(value);
        }
    }
}

/// A property that may be left out need not be null, unless null differs from its default.
fn without_null(property: &mut Value) {
    let Value::Object(map) = property else { return };
    if map.contains_key("default") {
        return;
    }
    if let Some(Value::Array(kinds)) = map.get("type")
        && let [kind, null] = kinds.as_slice()
        && null == "null"
    {
        let kind = kind.clone();
        map.insert("type".into(), kind);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    /// Says nothing.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Sample {
        /// How many.
        #[serde(default)]
        limit: Option<u32>,
        inner: Vec<Inner>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Inner {
        name: String,
        kind: Option<Kind>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Kind {
        /// One.
        One,
        /// Two.
        Two,
    }

    #[test]
    fn schemas_are_inline_and_carry_no_noise() {
        let input = Value::Object(input_schema::<Sample>());
        assert_eq!(
            input,
            json!({
                "type": "object",
                "properties": {
                    "limit": { "description": "How many.", "type": "integer" },
                    "inner": { "type": "array", "items": {
                        "type": "object", "properties": {
                            "name": { "type": "string" }, "kind": { "type": "string", "enum": ["One", "Two"] }
                        }, "required": ["name"] } }
                },
                "required": ["inner"]
            })
        );
        let output = Value::Object(output_schema::<Sample>()).to_string();
        assert!(!output.contains("How many"), "{output}");
    }
}
