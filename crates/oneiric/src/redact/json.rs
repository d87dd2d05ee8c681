//! JSON in texts: whole, a line each, or cut off. What stands in it is judged as data is, by the keys and the names around it,
//! and its strings by what their escapes stand for.

use serde_json::{Map, Value};

use super::view::View;
use super::{MARK, Redactor, Span, effort};

/// Lists and objects in each other are followed so deep.
const MAX_DEPTH: usize = 64;

/// The secrets in the JSON in `text`; `find` finds those in a text of its own.
pub(super) fn secrets(text: &str, find: &dyn Fn(&str) -> Vec<Span>) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut reader = Reader { text, at: 0, broken: false, find, spans: Vec::new() };
    loop {
        reader.blanks();
        match bytes.get(reader.at) {
            Some(b'{' | b'[') => {
                let from = reader.at;
                reader.broken = false;
                if let Some((node, mut value)) = reader.value(0) {
                    let count = Redactor::without_texts().value(&mut value);
                    if count > 0 {
                        reader.compare(&node, &value);
                    }
                }
                effort::spend(reader.at - from);
                // What is none is not read again.
                reader.at = reader.at.max(from + 1);
            }
            Some(_) => match bytes[reader.at..].windows(2).position(begins) {
                Some(length) => reader.at += length + usize::from(bytes[reader.at + length] == b'\n'),
                None => return reader.spans,
            },
            None => return reader.spans,
        }
    }
}

/// Whether JSON may begin here: an object behind other words, or anything on the next line.
fn begins(two: &[u8]) -> bool {
    matches!(two, [b'\n', _] | b"{\"")
}

/// The kind of the secret whose mark ends a text.
fn kind(rest: &str) -> Option<&'static str> {
    const KINDS: [&str; 9] = [
        "password",
        "secret",
        "api-key",
        "token",
        "credential",
        "authorization",
        "cookie",
        "basic-auth",
        "private-key",
    ];
    let found = rest.strip_suffix(']')?;
    KINDS.into_iter().find(|kind| *kind == found)
}

/// Where a value stands in the text.
enum Node {
    /// A string without its quotes, or a number.
    Scalar(usize, usize),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    Other,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Whether what was read is no JSON from here on, or is cut off; what stands before counts all the same.
    broken: bool,
    find: &'t dyn Fn(&str) -> Vec<Span>,
    spans: Vec<Span>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn value(&mut self, depth: usize) -> Option<(Node, Value)> {
        self.blanks();
        match self.peek()? {
            b'"' => {
                let (from, to) = self.string()?;
                let text = self.content(from, to);
                Some((Node::Scalar(from, to), Value::String(text)))
            }
            b'{' | b'[' if self.is_mark() => self.scalar(),
            b'{' if depth < MAX_DEPTH => Some(self.object(depth)),
            b'[' if depth < MAX_DEPTH => Some(self.list(depth)),
            _ => self.scalar(),
        }
    }

    fn is_mark(&self) -> bool {
        self.text.as_bytes()[self.at..].starts_with(MARK.as_bytes())
    }

    fn object(&mut self, depth: usize) -> (Node, Value) {
        let (mut nodes, mut map) = (Vec::new(), Map::new());
        self.at += 1;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b'"') => {}
                _ => {
                    self.broken = true;
                    break;
                }
            }
            let Some((from, to)) = self.string() else { break };
            let key = View::unescaped(self.text, from, to).text;
            self.blanks();
            if self.peek() != Some(b':') {
                self.broken = true;
                break;
            }
            self.at += 1;
            let Some((node, value)) = self.value(depth + 1) else {
                self.broken = true;
                break;
            };
            nodes.push((key.clone(), node));
            map.insert(key, value);
            if !self.goes_on(b'}') {
                break;
            }
        }
        (Node::Object(nodes), Value::Object(map))
    }

    fn list(&mut self, depth: usize) -> (Node, Value) {
        let (mut nodes, mut items) = (Vec::new(), Vec::new());
        self.at += 1;
        loop {
            self.blanks();
            if self.peek() == Some(b']') {
                self.at += 1;
                break;
            }
            let Some((node, value)) = self.value(depth + 1) else {
                self.broken = true;
                break;
            };
            nodes.push(node);
            items.push(value);
            if !self.goes_on(b']') {
                break;
            }
        }
        (Node::List(nodes), Value::Array(items))
    }

    /// Whether a comma and more follow, and not the end of a list or an object.
    fn goes_on(&mut self, close: u8) -> bool {
        if self.broken {
            return false;
        }
        self.blanks();
        let next = self.peek();
        self.broken = next != Some(b',') && next != Some(close);
        self.at += usize::from(!self.broken);
        next == Some(b',')
    }

    /// Where the string at the quote here begins and ends; it may be cut off with the text.
    fn string(&mut self) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut at = from;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Some((from, at));
                }
                Some(b'\\') => at += 2,
                Some(b'\n') => {
                    self.broken = true;
                    self.at = at;
                    return None;
                }
                Some(_) => at += 1,
                None => {
                    self.broken = true;
                    self.at = bytes.len();
                    return Some((from, bytes.len()));
                }
            }
        }
    }

    /// What a string stands for. Where that is more than what the text itself shows, its secrets are found here.
    fn content(&mut self, from: usize, to: usize) -> String {
        let raw = &self.text[from..to];
        if raw.contains('\\') {
            let view = View::unescaped(self.text, from, to);
            let found = (self.find)(&view.text);
            self.spans.extend(found.into_iter().filter_map(|span| view.original(span)));
            return view.text;
        }
        if raw.contains(' ') {
            let found = (self.find)(raw);
            self.spans.extend(found.into_iter().map(|span| Span {
                start: from + span.start,
                end: from + span.end,
                ..span
            }));
        }
        raw.to_owned()
    }

    /// A number, a word, or the mark of a secret that was taken out.
    fn scalar(&mut self) -> Option<(Node, Value)> {
        let rest = &self.text.as_bytes()[self.at..];
        if self.is_mark() {
            self.at += MARK.len();
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().take(32).position(|byte| *byte == b']')? + 1;
            return Some((Node::Other, Value::Null));
        }
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = rest.iter().take(32).take_while(|byte| word(byte)).count();
        let from = self.at;
        let value: Value = serde_json::from_slice(&rest[..length]).ok()?;
        self.at += length;
        Some((Node::Scalar(from, self.at), value))
    }

    /// Finds what the rules of data took out of `value`, which stood at `node`.
    fn compare(&mut self, node: &Node, value: &Value) {
        match (node, value) {
            (Node::Scalar(from, to), Value::String(clean)) => {
                // Whatever was taken out goes to the end of its string.
                let Some(at) = clean.rfind(MARK) else { return };
                let Some(kind) = kind(&clean[at + MARK.len()..]) else { return };
                let view = View::unescaped(self.text, *from, *to);
                if view.text != *clean && view.text.get(..at) == clean.get(..at) {
                    let span = view.original(Span { start: at, end: view.text.len(), kind });
                    self.spans.extend(span);
                }
            }
            (Node::List(nodes), Value::Array(items)) => {
                nodes.iter().zip(items).for_each(|(node, value)| self.compare(node, value));
            }
            (Node::Object(nodes), Value::Object(map)) => {
                for (key, node) in nodes {
                    if let Some(value) = map.get(key) {
                        self.compare(node, value);
                    }
                }
            }
            _ => {}
        }
    }
}
