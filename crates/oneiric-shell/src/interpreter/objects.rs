//! Objects of the program: names that stand for what there is now, as in `repos['shop'].path` and `workflows[0].status`.
//!
//! The interpreter's values are its own, so an object is two functions, `name__all()` and `name__at(key)`; the statement
//! is rewritten before it runs ([`super::rewrite`]). Within one statement an object is asked for once.

use std::fmt;
use std::sync::Arc;

use oneiric::fault::{Fault, Result};
use serde_json::Value as Json;

use super::host::Reply;
use crate::nearest::nearest;

type All = dyn Fn() -> Result<Reply> + Send + Sync;
type Find = dyn Fn(&str, &[Json]) -> Result<Json> + Send + Sync;

/// A name that stands for what there is now.
#[derive(Clone)]
pub struct Object {
    name: &'static str,
    doc: &'static str,
    fields: &'static [&'static str],
    all: Arc<All>,
    find: Option<Arc<Find>>,
    key: &'static str,
}

impl Object {
    /// An object whose value is `all`: one JSON object, or a list of them. `fields` are those that completion offers.
    pub fn new(
        name: &'static str,
        doc: &'static str,
        fields: &'static [&'static str],
        all: impl Fn() -> Result<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self { name, doc, fields, all: Arc::new(all), find: None, key: "" }
    }

    /// How `object['text']` is found: `key` is the field that tells the entries apart, for completion; `find` is given the
    /// text and all entries.
    #[must_use]
    pub fn found_by(
        mut self,
        key: &'static str,
        find: impl Fn(&str, &[Json]) -> Result<Json> + Send + Sync + 'static,
    ) -> Self {
        self.key = key;
        self.find = Some(Arc::new(find));
        self
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in one sentence.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// Fields of the object, or of its entries.
    #[must_use]
    pub const fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// Whether it is a list of entries.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        self.find.is_some()
    }

    /// The words between the brackets of `object['…']` now; none when they cannot be told.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let Ok(Reply { value: Json::Array(rows), .. }) = self.all() else { return Vec::new() };
        rows.iter().filter_map(|row| row.get(self.key)?.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn all(&self) -> Result<Reply> {
        (self.all)()
    }

    /// The entry at a number (from the end when negative) or under a text.
    pub(super) fn at(&self, key: &Json, all: &Json) -> Result<Json> {
        let Json::Array(rows) = all else {
            return field(self.name, key, all);
        };
        match (key, &self.find) {
            (Json::String(text), Some(find)) => find(text, rows),
            _ => {
                let Some(number) = key.as_i64() else {
                    return Err(Fault::user(format!("{}[…] takes a number or text, not {key}", self.name)));
                };
                let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                let index = if number < 0 { number.saturating_add(count) } else { number };
                usize::try_from(index).ok().and_then(|index| rows.get(index)).cloned().ok_or_else(|| {
                    Fault::not_found(format!("{}[{number}] does not exist: there are {count}", self.name))
                        .hint("they are numbered from 0; -1 is the last")
                })
            }
        }
    }
}

fn field(name: &str, key: &Json, all: &Json) -> Result<Json> {
    let text = key.as_str().unwrap_or_default();
    all.get(text).cloned().ok_or_else(|| {
        let known = all.as_object().map(|fields| fields.keys().map(String::as_str).collect::<Vec<_>>());
        let known = known.unwrap_or_default();
        let near = nearest(text, known.iter().copied());
        let named = if near.is_empty() { known } else { near };
        Fault::not_found(format!("{name} has no field {key}")).hint(format!("there are {}", named.join(", ")))
    })
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
