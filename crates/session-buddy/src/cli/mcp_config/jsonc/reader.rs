//! Reads JSON as people write it, with comments and trailing commas: each value with its place in the text.

use std::ops::Range;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A value with its place in the text.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Object(Vec<Member>),
    Array(Vec<Value>),
    /// Text, a number, or one of the three words.
    Plain,
}

impl Value {
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The value itself, without what only people read.
    pub(super) fn json(&self, text: &str) -> Option<serde_json::Value> {
        match &self.kind {
            Kind::Object(members) => {
                members.iter().map(|member| Some((member.key.clone(), member.value.json(text)?))).collect()
            }
            Kind::Array(items) => items.iter().map(|item| item.json(text)).collect(),
            Kind::Plain => parsed(&text[self.span.clone()]),
        }
    }
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    /// Where the key begins.
    pub(super) start: usize,
    pub(super) value: Value,
}

pub(super) fn parsed(json: &str) -> Option<serde_json::Value> {
    serde_json::from_str(json).ok()
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Reader<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("line {}: {what}", line_of(self.text, self.at)))
    }

    pub(super) fn document(mut self) -> Result<Value, String> {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        self.space()?;
        let value = self.value(0)?;
        self.space()?;
        if self.at < self.text.len() { self.wrong("something follows the end") } else { Ok(value) }
    }

    /// Passes white space and comments.
    pub(super) fn space(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                _ if self.comment()? => {}
                _ => return Ok(()),
            }
        }
    }

    /// Passes a comment. Gives whether there is one; the end of its line is no part of it.
    pub(super) fn comment(&mut self) -> Result<bool, String> {
        let rest = &self.text[self.at..];
        if rest.starts_with("//") {
            let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
            self.at += line.strip_suffix('\r').unwrap_or(line).len();
        } else if let Some(inner) = rest.strip_prefix("/*") {
            match inner.find("*/") {
                Some(end) => self.at += end + 4,
                None => return self.wrong("a comment has no end"),
            }
        } else if rest.starts_with('/') {
            return self.wrong("a lone '/'");
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return self.wrong("nested too deeply");
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.members(depth)?),
            Some(b'[') => Kind::Array(self.items(depth)?),
            Some(b'"') => {
                self.string()?;
                Kind::Plain
            }
            _ => {
                self.word()?;
                Kind::Plain
            }
        };
        Ok(Value { span: start..self.at, kind })
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member>, String> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.space()?;
            match self.peek() {
                Some(b'}') => break,
                Some(b'"') => {}
                _ => return self.wrong("a key in quotation marks, or '}', is missing"),
            }
            let start = self.at;
            let key = self.string()?;
            self.space()?;
            if self.peek() != Some(b':') {
                return self.wrong("':' is missing");
            }
            self.at += 1;
            self.space()?;
            let value = self.value(depth + 1)?;
            members.push(Member { key, start, value });
            self.space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.wrong("',' or '}' is missing"),
            }
        }
        self.at += 1;
        Ok(members)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.space()?;
            if self.peek() == Some(b']') {
                break;
            }
            items.push(self.value(depth + 1)?);
            self.space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.wrong("',' or ']' is missing"),
            }
        }
        self.at += 1;
        Ok(items)
    }

    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(b'\n') | None => return self.wrong("a string has no end"),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(raw).or_else(|_| self.wrong("a string is not well formed"))
    }

    /// A number or one of the three words.
    fn word(&mut self) -> Result<(), String> {
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))).unwrap_or(rest.len());
        if end == 0 || serde_json::from_str::<serde_json::Value>(&rest[..end]).is_err() {
            return self.wrong("a value is missing or not well formed");
        }
        self.at += end;
        Ok(())
    }
}
