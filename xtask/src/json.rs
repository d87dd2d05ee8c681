//! Small readers for JSON that programs answer; what is absent reads as empty.

use serde_json::Value;

/// The text of `value`.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The items of `value`.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One text for any value: text as it is, lists with commas, nothing for null.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_read_as_empty() {
        let value = serde_json::json!({ "a": "x", "b": [1, "y", null] });
        assert_eq!(text(&value["a"]), "x");
        assert_eq!(text(&value["nothing"]), "");
        assert_eq!(items(&value["nothing"]).len(), 0);
        assert_eq!(shown(&value["b"]), "1, y, ");
    }
}
