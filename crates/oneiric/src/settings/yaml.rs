//! A settings file as a list of keys with values, each with its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::Catalog;

/// A YAML value of any shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not a whole one, or too large.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// What it is, to go on after "not". Never the value of a text: it may be a secret in the wrong place.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(yes) => yes.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(_) => "a text".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a section".to_owned(),
        }
    }
}

/// A setting that a file gives.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub index: usize,
    /// As written in the file.
    pub path: String,
    pub node: Node,
    pub line: u64,
}

/// What is wrong with a file, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub line: Option<u64>,
    pub what: String,
    pub advice: Option<String>,
}

/// Reads a file's settings.
pub(super) fn parse(text: &str, catalog: &Catalog) -> Result<Vec<Given>, Wrong> {
    let options = serde_saphyr::options! {
        // A section header without indented keys, and a key of the same name below it, are told apart in `Walk`.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---") {
        return Ok(Vec::new());
    }
    let top: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let what = error.without_snippet().to_string();
        let what = what.lines().next().unwrap_or("it is not YAML").to_owned();
        Wrong { line: error.location().map(|at| at.line()).filter(|line| *line > 0), what, advice: None }
    })?;
    let mut walk = Walk { catalog, given: Vec::new(), flat_section: None };
    match top {
        Node::Null => {}
        Node::Map(entries) => walk.section("", entries)?,
        other => {
            let what = format!("must hold keys and values, not {}", other.described());
            return Err(Wrong { line: Some(1), what, advice: None });
        }
    }
    Ok(walk.given)
}

struct Walk<'c> {
    catalog: &'c Catalog,
    given: Vec<Given>,
    /// The top-level section header that was met last with nothing indented below it: the keys that follow may be
    /// its own, written without their indentation.
    flat_section: Option<String>,
}

impl Walk<'_> {
    fn section(&mut self, prefix: &str, entries: Vec<(Spanned<String>, Spanned<Node>)>) -> Result<(), Wrong> {
        for (key, node) in entries {
            let path = if prefix.is_empty() { key.value } else { format!("{prefix}.{}", key.value) };
            self.key(path, key.referenced.line(), node.value)?;
        }
        Ok(())
    }

    fn key(&mut self, path: String, line: u64, node: Node) -> Result<(), Wrong> {
        let top = !path.contains('.');
        if let Some(index) = self.catalog.resolve(&path) {
            return self.give(index, path, line, node);
        }
        let flat = self.flat_section.as_ref().filter(|_| top).map(|section| format!("{section}.{path}"));
        if self.catalog.is_section(&path) {
            match node {
                Node::Map(entries) => {
                    self.flat_section = self.flat_section.take().filter(|_| !top);
                    return self.section(&path, entries);
                }
                Node::Null => {
                    self.flat_section = if top { Some(path) } else { self.flat_section.take() };
                    return Ok(());
                }
                _ => {}
            }
        }
        match flat.as_deref().and_then(|path| self.catalog.resolve(path)) {
            Some(index) => self.give(index, flat.unwrap_or(path), line, node),
            None if self.catalog.is_section(&path) => Err(Wrong {
                line: Some(line),
                what: format!("'{path}' must be a section with keys below it, not {}", node.described()),
                advice: None,
            }),
            None => Err(Wrong {
                line: Some(line),
                what: format!("unknown key '{path}'"),
                advice: Some(self.catalog.advice(&path)),
            }),
        }
    }

    fn give(&mut self, index: usize, path: String, line: u64, node: Node) -> Result<(), Wrong> {
        if let Some(earlier) = self.given.iter().find(|one| one.index == index) {
            let what = if earlier.path == path {
                format!("'{path}' stands here a second time; the first is in line {}", earlier.line)
            } else {
                format!("'{path}' is the same setting as '{}' in line {}", earlier.path, earlier.line)
            };
            return Err(Wrong { line: Some(line), what, advice: Some("keep one of them".to_owned()) });
        }
        self.given.push(Given { index, path, node, line });
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;
        impl<'de> Visitor<'de> for AnyNode {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }
            fn visit_unit<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_none<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }
            fn visit_bool<E: Error>(self, yes: bool) -> Result<Node, E> {
                Ok(Node::Bool(yes))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
                Ok(Node::Int(number))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
                #[allow(clippy::cast_precision_loss, reason = "the number is only shown as being out of range")]
                Ok(i64::try_from(number).map_or(Node::Number(number as f64), Node::Int))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
                Ok(Node::Number(number))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Node::Map(map))
            }
        }
        deserializer.deserialize_any(AnyNode)
    }
}
