//! Changes one value in a JSON file that people edit by hand: comments, order and everything else stay as they are.

use std::ops::Range;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A value with its place in the text.
#[derive(Debug)]
struct Value {
    span: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Object(Vec<Member>),
    Array(Vec<Value>),
    /// Text, a number, or one of the three words.
    Plain,
}

impl Value {
    fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The value itself, without what only people read.
    fn json(&self, text: &str) -> Option<serde_json::Value> {
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
struct Member {
    key: String,
    /// Where the key begins.
    start: usize,
    value: Value,
}

/// Sets the value at `path` to `json`, making objects on the way.
///
/// # Errors
/// The line and what is wrong there, when the text is no JSON (comments and trailing commas allowed) or something on the
/// path is no object.
pub(super) fn set(text: &str, path: &[&str], json: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        let nested = path.iter().rev().fold(json.to_owned(), |inner, key| format!("{{\n{}: {inner}\n}}", quoted(key)));
        let value: serde_json::Value = serde_json::from_str(&nested).map_err(|error| error.to_string())?;
        return serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(|error| error.to_string());
    }
    let json = &json.replace('\n', line_end(text));
    let root = Reader { text, at: 0 }.document()?;
    let mut value = &root;
    for (depth, key) in path.iter().enumerate() {
        let Some(members) = value.members() else {
            return Err(format!("line {}: this is no object", line_of(text, value.span.start)));
        };
        // The last of several equal keys is the one that counts.
        match members.iter().rev().find(|member| member.key == **key) {
            Some(member) => value = &member.value,
            None => return insert(text, value, members, &path[depth..], json),
        }
    }
    let mut changed = text.to_owned();
    let new = parsed(json);
    if value.json(text) == new {
        return Ok(changed);
    }
    match (&value.kind, new) {
        // What is the same in an array stays as it was written, with the comments beside it.
        (Kind::Array(items), Some(serde_json::Value::Array(new))) if items.len() == new.len() => {
            for (item, new) in items.iter().zip(&new).rev() {
                if item.json(text).as_ref() != Some(new) {
                    changed.replace_range(item.span.clone(), &new.to_string());
                }
            }
        }
        _ => {
            let indent = indent_of(text, value.span.start);
            changed.replace_range(value.span.clone(), &shifted(json, &indent));
        }
    }
    Ok(changed)
}

/// How lines end in this text, by its first one.
pub(super) fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

fn parsed(json: &str) -> Option<serde_json::Value> {
    serde_json::from_str(json).ok()
}

/// Names of the members of the object at `path`; `None` when nothing or something else is there.
///
/// # Errors
/// As [`set`].
pub(super) fn members(text: &str, path: &[&str]) -> Result<Option<Vec<String>>, String> {
    let root = read(text)?;
    let found = root.as_ref().and_then(|root| at(root, path)).and_then(Value::members);
    Ok(found.map(|members| members.iter().map(|member| member.key.clone()).collect()))
}

/// The value at `path`; `None` when nothing is there.
///
/// # Errors
/// As [`set`].
pub(super) fn value(text: &str, path: &[&str]) -> Result<Option<serde_json::Value>, String> {
    let root = read(text)?;
    Ok(root.as_ref().and_then(|root| at(root, path)).and_then(|value| value.json(text)))
}

/// Takes the member at `path` away, and comments between it and the next one.
///
/// # Errors
/// As [`set`].
pub(super) fn remove(text: &str, path: &[&str]) -> Result<String, String> {
    let Some((name, outer)) = path.split_last() else { return Ok(text.to_owned()) };
    let root = read(text)?;
    let object = root.as_ref().and_then(|root| at(root, outer));
    let Some(members) = object.and_then(Value::members) else { return Ok(text.to_owned()) };
    let Some(place) = members.iter().rposition(|member| member.key == *name) else { return Ok(text.to_owned()) };
    let member = &members[place];
    let range = match (members.get(place + 1), place.checked_sub(1).map(|before| &members[before])) {
        (Some(next), _) => member.start..next.start,
        (None, Some(before)) => before.value.span.end..member.value.span.end,
        (None, None) => {
            let end = member.value.span.end;
            member.start..comma(&text[end..]).map_or(end, |at| end + at + 1)
        }
    };
    let mut changed = text.to_owned();
    changed.replace_range(range, "");
    Ok(changed)
}

fn read(text: &str) -> Result<Option<Value>, String> {
    if text.trim().is_empty() { Ok(None) } else { Reader { text, at: 0 }.document().map(Some) }
}

/// The last of several equal keys is the one that counts.
fn at<'v>(root: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, key| {
        value.members()?.iter().rev().find(|member| member.key == **key).map(|member| &member.value)
    })
}

/// Puts `path` with `json` behind the last member of `object`.
fn insert(text: &str, object: &Value, members: &[Member], path: &[&str], json: &str) -> Result<String, String> {
    let outer = indent_of(text, object.span.start);
    let indent = match members.first() {
        Some(first) if text[object.span.start..first.start].contains('\n') => indent_of(text, first.start),
        _ => format!("{outer}  "),
    };
    let nested = path[1..].iter().rev().fold(json.to_owned(), |inner, key| format!("{{{}:{inner}}}", quoted(key)));
    let value: serde_json::Value = serde_json::from_str(&nested).map_err(|error| error.to_string())?;
    let end_of_line = line_end(text);
    let pretty = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?.replace('\n', end_of_line);
    let member = format!("{end_of_line}{indent}{}: {}", quoted(path[0]), shifted(&pretty, &indent));
    let mut changed = text.to_owned();
    match members.last() {
        Some(last) => {
            let end = last.value.span.end;
            let rest = &text[end..object.span.end - 1];
            match comma(rest) {
                // Behind a trailing comma there has to be none again.
                Some(at) => changed.insert_str(end + at + 1, &member),
                None => changed.insert_str(end, &format!(",{member}")),
            }
            if !rest.contains('\n') {
                let close = changed.len() - (text.len() - object.span.end) - 1;
                changed.insert_str(close, &format!("{end_of_line}{outer}"));
            }
        }
        None => {
            let close = object.span.end - 1;
            let kept = text[object.span.start + 1..close].trim_end().len();
            changed.replace_range(object.span.start + 1 + kept..close, &format!("{member}{end_of_line}{outer}"));
        }
    }
    Ok(changed)
}

/// Place of the comma in what follows a value, outside comments.
fn comma(rest: &str) -> Option<usize> {
    let mut reader = Reader { text: rest, at: 0 };
    reader.space().ok()?;
    (reader.peek() == Some(b',')).then_some(reader.at)
}

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

/// Lines after the first get `indent` in front.
fn shifted(json: &str, indent: &str) -> String {
    json.replace('\n', &format!("\n{indent}"))
}

/// The white space at the beginning of the line that holds `at`.
fn indent_of(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("line {}: {what}", line_of(self.text, self.at)))
    }

    fn document(mut self) -> Result<Value, String> {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        self.space()?;
        let value = self.value(0)?;
        self.space()?;
        if self.at < self.text.len() { self.wrong("something follows the end") } else { Ok(value) }
    }

    /// Passes white space and comments.
    fn space(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'/') => {
                    let rest = &self.text[self.at..];
                    let end = if rest.starts_with("//") {
                        rest.find('\n').unwrap_or(rest.len())
                    } else if rest.starts_with("/*") {
                        match rest.find("*/") {
                            Some(end) => end + 2,
                            None => return self.wrong("a comment has no end"),
                        }
                    } else {
                        return self.wrong("a lone '/'");
                    };
                    self.at += end;
                }
                _ => return Ok(()),
            }
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const PATH: [&str; 2] = ["mcpServers", "session-buddy"];
    const ENTRY: &str = "{\n  \"command\": \"x\"\n}";

    #[test]
    fn an_empty_file_becomes_an_object() {
        let expected = "{\n  \"mcpServers\": {\n    \"session-buddy\": {\n      \"command\": \"x\"\n    }\n  }\n}\n";
        assert_eq!(set("", &PATH, ENTRY).unwrap(), expected);
        assert_eq!(set("{}\n", &PATH, ENTRY).unwrap(), expected);
    }

    #[test]
    fn what_else_is_in_the_file_stays_to_the_letter() {
        let text = "// mine\n{\n\t\"a\": [1, 2,], // kept\n\t\"mcpServers\": {\n\t\t\"other\": { \"url\": \"http://x//y\" }, /* last */\n\t},\n}\n";
        let changed = set(text, &PATH, ENTRY).unwrap();
        assert_eq!(
            changed,
            "// mine\n{\n\t\"a\": [1, 2,], // kept\n\t\"mcpServers\": {\n\t\t\"other\": { \"url\": \"http://x//y\" },\n\t\t\"session-buddy\": {\n\t\t  \"command\": \"x\"\n\t\t} /* last */\n\t},\n}\n"
        );
        let again = set(&changed, &PATH, "{\n  \"command\": \"y\"\n}").unwrap();
        assert_eq!(again, changed.replace("\"x\"\n", "\"y\"\n"));
        assert_eq!(set(&again, &PATH, "{\n  \"command\": \"y\"\n}").unwrap(), again, "the same again changes nothing");
    }

    #[test]
    fn values_are_read_through_comments_and_trailing_commas() {
        let text =
            "{ \"a\": { \"args\": [\"start\", \"--port\", \"8679\", // my port\n /* and no more */ ], \"n\": 1e3, }, }";
        assert_eq!(value(text, &["a", "args"]).unwrap(), Some(serde_json::json!(["start", "--port", "8679"])));
        assert_eq!(value(text, &["a"]).unwrap().unwrap()["n"], 1e3);
        assert_eq!(set(text, &["a", "args"], "[\n\"start\",\n\"--port\",\n\"8679\"\n]").unwrap(), text);
        let other = set(text, &["a", "args"], "[\"start\", \"--port\", \"9000\"]").unwrap();
        assert_eq!(other, text.replace("8679", "9000"), "comments stay");
    }

    #[test]
    fn lines_that_end_as_on_other_systems_stay_so() {
        for text in ["{\n  \"a\": 1\n}\n", "{\n  \"mcpServers\": {}\n}\n", "{\n}\n", "\u{feff}{\n\"a\": {}}\n"] {
            let crlf = text.replace('\n', "\r\n");
            let changed = set(&crlf, &PATH, ENTRY).unwrap();
            assert_eq!(changed, set(text, &PATH, ENTRY).unwrap().replace('\n', "\r\n"));
            let again = set(&changed, &PATH, "{\n  \"command\": \"y\"\n}").unwrap();
            assert_eq!(again, changed.replace("\"x\"", "\"y\""));
        }
    }

    #[test]
    fn a_file_on_one_line_stays_json() {
        for text in ["{\"a\":1}", "{ \"mcpServers\": {} }", "{\"mcpServers\":{\"o\":{}}}", "\u{feff}{\"a\": \"\\\"}\"}"]
        {
            let changed = set(text, &PATH, ENTRY).unwrap();
            let value: serde_json::Value = serde_json::from_str(changed.trim_start_matches('\u{feff}')).unwrap();
            assert_eq!(value["mcpServers"]["session-buddy"]["command"], "x", "{changed}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for (text, line) in [
            ("{\n\"a\": }", "line 2"),
            ("{\n\n\"a\" 1}", "line 3"),
            ("[]", "line 1: this is no object"),
            ("{\"mcpServers\": 7}", "line 1: this is no object"),
            ("{} {}", "line 1"),
            ("{\"a\": \"", "line 1"),
            ("{\"a\": \"\\", "line 1"),
            ("{ /* ", "line 1"),
            ("{\"a\": nul}", "line 1"),
        ] {
            let error = set(text, &PATH, ENTRY).unwrap_err();
            assert!(error.contains(line), "{text}: {error}");
        }
        assert!(set(&"[".repeat(1_000_000), &PATH, ENTRY).is_err());
    }
}
