//! One logged event as a line.

use std::fmt::{Debug, Write};

use serde_json::{Map, Value};
use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::clock::Timestamp;
use crate::redact::Redactor;

/// Message and fields of an event or a span.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Takes in the fields of a span around the event.
    pub(super) fn extend(&mut self, outer: &Self) {
        for (name, value) in &outer.fields {
            self.set(name, value.clone());
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        if name == "message" {
            self.message = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            return;
        }
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Takes secrets out of message and fields, by what they hold and by the fields' names.
    pub(super) fn redact(&mut self, redactor: &Redactor) {
        if let std::borrow::Cow::Owned(clean) = redactor.text(&self.message) {
            self.message = clean;
        }
        for (name, value) in &mut self.fields {
            let mut one = Map::new();
            one.insert((*name).to_owned(), std::mem::take(value));
            redactor.map(&mut one);
            *value = one.into_iter().next().map(|(_, value)| value).unwrap_or_default();
        }
    }

    pub(super) fn logfmt(&self, now: Timestamp, meta: &Metadata<'_>) -> String {
        let mut line = format!("time={now} level={} target={} msg=", meta.level(), meta.target());
        push_value(&mut line, &self.message, true);
        self.push_fields(&mut line);
        line.push('\n');
        line
    }

    pub(super) fn json(&self, now: Timestamp, meta: &Metadata<'_>) -> String {
        let mut object = Map::new();
        for (name, value) in &self.fields {
            object.insert((*name).to_owned(), value.clone());
        }
        object.insert("time".to_owned(), now.to_string().into());
        object.insert("level".to_owned(), meta.level().as_str().into());
        object.insert("target".to_owned(), meta.target().into());
        object.insert("msg".to_owned(), self.message.as_str().into());
        format!("{}\n", Value::Object(object))
    }

    /// `[INFO] message key=value`.
    pub(super) fn readable(&self, meta: &Metadata<'_>) -> String {
        let mut line = format!("[{}] ", meta.level());
        for c in self.message.chars() {
            // A message must not steer the terminal.
            if c == '\n' || c == '\t' || !c.is_control() { line.push(c) } else { line.push('\u{fffd}') }
        }
        self.push_fields(&mut line);
        line.push('\n');
        line
    }

    fn push_fields(&self, line: &mut String) {
        for (name, value) in &self.fields {
            line.push(' ');
            line.extend(
                name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' }),
            );
            line.push('=');
            match value {
                Value::String(text) => push_value(line, text, false),
                other => push_value(line, &other.to_string(), false),
            }
        }
    }
}

/// A value as logfmt has it: in quotes when it must be, on one line always.
pub(crate) fn push_value(line: &mut String, text: &str, always_quoted: bool) {
    let plain = |c: char| {
        c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@' | '+' | ',' | '%' | '[' | ']' | '~')
    };
    if !always_quoted && !text.is_empty() && text.chars().all(plain) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::String(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field.name(), Value::String(value.to_string()));
    }
}
