//! Takes secrets out of text before it reaches a disk. What is found becomes `[redacted:<kind>]`.
//!
//! Three ways lead to a secret: its own shape (`ghp_…`, a key block), the name that it is given (`password=`,
//! `Authorization:`, `curl -u`), and its randomness. One pass of a prefilter over the text says which rules have to
//! look; text that none of them concerns costs that pass and nothing more.
//!
//! Rules lean towards taking out too much: a lost word of output is a nuisance, a kept password is a breach.

mod assign;
mod block;
mod command;
mod effort;
mod entropy;
mod judge;
mod names;
mod prefix;
mod scan;
mod stdin;
mod structure;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use self::names::Class;

/// Finds secrets and takes them out. Costs nothing to make or to copy: the rules are built once a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redactor;

/// A stretch of text that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    kind: &'static str,
}

/// What stands in front of the kind of a redaction.
pub const MARK: &str = "[redacted:";

/// Taking one secret out can lay open the next one; more often than this it cannot.
const MAX_PASSES: usize = 4;

impl Redactor {
    /// The rules that every program uses.
    #[must_use]
    pub fn standard() -> Self {
        Self
    }

    /// `text` without its secrets; borrowed, and nothing allocated, when there are none.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.counted(text).0
    }

    /// [`Redactor::text`], and how many secrets were taken out.
    #[must_use]
    pub fn counted<'t>(&self, text: &'t str) -> (Cow<'t, str>, usize) {
        let mut text = Cow::Borrowed(text);
        let mut count = 0;
        for _ in 0..MAX_PASSES {
            let spans = scan::find(&text);
            if spans.is_empty() {
                break;
            }
            count += spans.len();
            text = Cow::Owned(replace(&text, &spans));
        }
        (text, count)
    }

    /// Redacts every text in `value`: by what it holds, and by the key that it stands under. Says how many secrets were
    /// taken out.
    pub fn value(&self, value: &mut Value) -> usize {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) => items.iter_mut().map(|item| self.value(item)).sum(),
            Value::Object(map) => self.map(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }

    /// [`Redactor::value`] for the fields of an object.
    pub fn map(&self, map: &mut Map<String, Value>) -> usize {
        let mut count = 0;
        // `{"name": "DB_PASSWORD", "value": "…"}` gives a name and its value side by side.
        let named = ["name", "key"].iter().find_map(|field| names::classify_any(map.get(*field)?.as_str()?));
        for (key, value) in map.iter_mut() {
            // The kind of a secret that was taken out of a key says nothing of the value.
            let own = names::classify_any(key).filter(|_| !key.contains(MARK));
            let class = own.or(named.filter(|_| key == "value"));
            count += match class {
                Some(class) => self.whole(class, value),
                None => self.value(value),
            };
        }
        count + self.keys(map)
    }

    fn string(&self, text: &mut String) -> usize {
        let (clean, count) = self.counted(text);
        if let Cow::Owned(clean) = clean {
            *text = clean;
        }
        count
    }

    /// A value under a name that says it is secret.
    fn whole(&self, class: Class, value: &mut Value) -> usize {
        match value {
            Value::String(text) if judge::is_literal(class, text) => {
                *text = mark(class.kind());
                1
            }
            Value::Number(_) if class == Class::Password => {
                *value = Value::String(mark(class.kind()));
                1
            }
            Value::Array(items) => items.iter_mut().map(|item| self.whole(class, item)).sum(),
            other => self.value(other),
        }
    }

    /// Keys that hold secrets themselves.
    fn keys(&self, map: &mut Map<String, Value>) -> usize {
        let mut count = 0;
        let dirty: Vec<String> = map.keys().filter(|key| !scan::find(key).is_empty()).cloned().collect();
        // How often each clean name was given already: many keys may differ in their secrets alone.
        let mut given: HashMap<String, usize> = HashMap::new();
        for key in dirty {
            let (clean, found) = self.counted(&key);
            count += found;
            let clean = clean.into_owned();
            let times = given.entry(clean.clone()).or_default();
            let mut name = clean;
            let length = name.len();
            while map.contains_key(&name) {
                effort::spend(name.len());
                *times += 1;
                name.truncate(length);
                name.push('\'');
                name.push_str(&times.to_string());
            }
            if let Some(value) = map.remove(&key) {
                map.insert(name, value);
            }
        }
        count
    }
}

fn mark(kind: &str) -> String {
    format!("{MARK}{kind}]")
}

fn replace(text: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for span in spans {
        out.push_str(&text[from..span.start]);
        out.push_str(MARK);
        out.push_str(span.kind);
        out.push(']');
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests;
