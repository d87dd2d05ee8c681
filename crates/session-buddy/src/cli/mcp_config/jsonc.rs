//! Changes one value in a JSON file that people edit by hand: comments, order and everything else stay as they are.

mod reader;

use reader::{Kind, Member, Reader, Value, line_of, parsed};

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

/// Takes the member at `path` away with the comments behind it on its line; of the last one, with those above it, too.
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
    let (comma, end) = behind(text, member);
    let mut changed = text.to_owned();
    if members.len() > place + 1 {
        let blanks = text[end..].len() - text[end..].trim_start().len();
        changed.replace_range(member.start..end + blanks, "");
    } else if let Some(before) = place.checked_sub(1) {
        let (comma_before, end_before) = behind(text, &members[before]);
        // What follows must not come into the line of a comment.
        let ends = text[end..].trim_start_matches([' ', '\t']).starts_with(['\r', '\n']);
        let kept = if ends || !text[end_before..end].contains('\n') { "" } else { line_end(text) };
        changed.replace_range(end_before..end, kept);
        if let (None, Some(at)) = (comma, comma_before) {
            changed.remove(at);
        }
    } else {
        changed.replace_range(member.start..end, "");
    }
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
            let (comma, end) = behind(text, last);
            let close = object.span.end - 1;
            if !text[end..close].contains('\n') {
                changed.insert_str(close, &format!("{end_of_line}{outer}"));
            }
            changed.insert_str(end, &member);
            // Behind a trailing comma there has to be none again.
            if comma.is_none() {
                changed.insert(last.value.span.end, ',');
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

/// What belongs to `member` behind its value: the place of its comma, and the end of the comments on its line.
fn behind(text: &str, member: &Member) -> (Option<usize>, usize) {
    let mut reader = Reader { text, at: member.value.span.end };
    let comma = reader.space().ok().and_then(|()| (reader.peek() == Some(b',')).then_some(reader.at));
    let mut end = comma.map_or(member.value.span.end, |at| at + 1);
    reader.at = end;
    loop {
        while matches!(reader.peek(), Some(b' ' | b'\t')) {
            reader.at += 1;
        }
        match reader.comment() {
            Ok(true) => end = reader.at,
            _ => return (comma, end),
        }
    }
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
            "// mine\n{\n\t\"a\": [1, 2,], // kept\n\t\"mcpServers\": {\n\t\t\"other\": { \"url\": \"http://x//y\" }, /* last */\n\t\t\"session-buddy\": {\n\t\t  \"command\": \"x\"\n\t\t}\n\t},\n}\n"
        );
        let again = set(&changed, &PATH, "{\n  \"command\": \"y\"\n}").unwrap();
        assert_eq!(again, changed.replace("\"x\"\n", "\"y\"\n"));
        assert_eq!(set(&again, &PATH, "{\n  \"command\": \"y\"\n}").unwrap(), again, "the same again changes nothing");
    }

    #[test]
    fn a_remark_stays_with_what_it_is_about() {
        for (last, expected) in [
            ("1 // one\n}", "1, // one\n  \"b\": 2\n}"),
            ("1 /* one */ // and on\n}", "1, /* one */ // and on\n  \"b\": 2\n}"),
            ("1, // one\n}", "1, // one\n  \"b\": 2\n}"),
            ("1 // one\n  ,\n}", "1 // one\n  ,\n  \"b\": 2\n}"),
            ("1 /* one */ }", "1, /* one */\n  \"b\": 2 \n}"),
            ("1 /* one,\n and on */ }", "1, /* one,\n and on */\n  \"b\": 2 \n}"),
            ("1 // one\n  // two\n}", "1, // one\n  \"b\": 2\n  // two\n}"),
            ("1 /*/*/}", "1, /*/*/\n  \"b\": 2\n}"),
        ] {
            for end in ["\n", "\r\n"] {
                let written = |last: &str| format!("{{\n  // first\n  \"a\": {last}\n").replace('\n', end);
                assert_eq!(set(&written(last), &["b"], "2").unwrap(), written(expected));
            }
        }
    }

    #[test]
    fn what_is_removed_takes_only_its_own_remarks_along() {
        let text = "{\n  \"a\": 1, // one\n  // mine\n  \"b\": 2, // two\n  // third\n  \"c\": 3 // three\n}\n";
        let without = |key: &str| remove(text, &[key]).unwrap();
        assert_eq!(without("a"), "{\n  // mine\n  \"b\": 2, // two\n  // third\n  \"c\": 3 // three\n}\n");
        assert_eq!(without("b"), "{\n  \"a\": 1, // one\n  // mine\n  // third\n  \"c\": 3 // three\n}\n");
        assert_eq!(without("c"), "{\n  \"a\": 1, // one\n  // mine\n  \"b\": 2 // two\n}\n");
        let comma = text.replace("3 //", "3, //");
        assert_eq!(remove(&comma, &["c"]).unwrap(), "{\n  \"a\": 1, // one\n  // mine\n  \"b\": 2, // two\n}\n");
        assert_eq!(remove("{\"a\": 1, \"b\": {} }", &["b"]).unwrap(), "{\"a\": 1 }");
        assert_eq!(remove("{ \"a\": 1, /* one */ }", &["a"]).unwrap(), "{  }");
    }

    #[test]
    fn wherever_comments_stand_the_file_stays_json_and_keeps_them() {
        let gaps = ["", "\n", " // x\n", "/* x */", " /* x\n */ "];
        let all = (0..gaps.len().pow(5)).map(|n| [n, n / 5, n / 25, n / 125, n / 625].map(|n| gaps[n % gaps.len()]));
        for ([open, a, before, b, close], comma) in all.flat_map(|gaps| [(gaps, ""), (gaps, ",")]) {
            let text = format!("{{{open}\"a\": 1{a},{before}\"b\": 2{b}{comma}{close}}}");
            let read =
                |changed: &str| value(changed, &[]).unwrap_or_else(|error| panic!("{text:?}: {changed:?}: {error}"));
            let remarks = |text: &str| text.matches('x').count();
            let more = set(&text, &["c"], "3").unwrap();
            assert_eq!(read(&more), Some(serde_json::json!({ "a": 1, "b": 2, "c": 3 })), "{text:?}: {more:?}");
            assert_eq!(remarks(&more), remarks(&text), "{text:?}: {more:?}");
            for (key, kept) in [("a", serde_json::json!({ "b": 2 })), ("b", serde_json::json!({ "a": 1 }))] {
                let less = remove(&text, &[key]).unwrap();
                assert_eq!(read(&less), Some(kept), "{text:?}: {less:?}");
                assert!(remarks(&less) >= remarks(open), "{text:?}: {less:?}");
            }
        }
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
