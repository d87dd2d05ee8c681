//! Secrets in data: what stands under a key, beside a name, or behind an option in a list of words.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::assign::Join;
use super::beside::{self, is_value};
use super::judge::Quoted;
use super::names::{self, Class};
use super::{MARK, Redactor, command, effort, judge, mark, prose, scan, structure};

/// Words of one command are looked at together up to so many bytes.
const MAX_COMMAND: usize = 64 * 1024;

impl Redactor {
    /// Redacts every text in `value`: by what it holds, and by the key that it stands under. Says how many secrets were
    /// taken out.
    pub fn value(&self, value: &mut Value) -> usize {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) => self.list(items),
            Value::Object(map) => self.map(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }

    /// [`Redactor::value`] for the fields of an object.
    pub fn map(&self, map: &mut Map<String, Value>) -> usize {
        let mut count = beside::arguments(*self, map);
        let (named, manifest) = (beside::Named::of(map), beside::is_manifest(map));
        for (key, value) in map.iter_mut() {
            // The kind of a secret that was taken out of a key says nothing of the value.
            let own = names::classify_any(key).filter(|_| !key.contains(MARK));
            let class = own.or_else(|| named?.given(key, value));
            count += match (class, &value) {
                (_, Value::Object(_)) if manifest && beside::is_data(key) => {
                    let data = value.as_object_mut().into_iter().flat_map(Map::values_mut);
                    data.map(|value| self.whole(Class::Secret, value)).sum()
                }
                (Some(class), Value::Object(_)) => self.under(class, is_several(key), value),
                (Some(class), Value::Array(_)) => self.items(class, is_several(key), value),
                // The rules of texts leave the scheme.
                (Some(Class::Authorization | Class::Cookie), Value::String(_)) if self.without_texts => 0,
                (Some(class), _) => self.whole(class, value),
                // As Docker keeps it.
                (None, Value::String(text)) if key == "auth" && structure::is_basic(text.as_bytes()) => {
                    *value = Value::String(mark("basic-auth"));
                    1
                }
                (None, _) => self.value(value),
            };
        }
        count + self.keys(map)
    }

    pub(super) fn string(&self, text: &mut String) -> usize {
        if self.without_texts {
            return 0;
        }
        let (clean, count) = self.counted(text);
        if let Cow::Owned(clean) = clean {
            *text = clean;
        }
        count
    }

    /// Whether a text under the name of a secret is one. Data that stands in a text may be an example in a program or a page.
    fn is_secret(&self, class: Class, text: &str) -> bool {
        let quoted = Quoted::Verbatim;
        let sentence = class == Class::Credential && text.contains(' ');
        judge::is_literal(class, text)
            && (!self.without_texts || !sentence && judge::is_secret(class, text.as_bytes(), quoted, Join::Colon, true))
    }

    /// A value under a name that says it is secret.
    fn whole(&self, class: Class, value: &mut Value) -> usize {
        match value {
            Value::String(text) if self.is_secret(class, text) => {
                *text = mark(class.kind());
                1
            }
            Value::Number(number) if is_secret_number(class, number) => {
                *value = Value::String(mark(class.kind()));
                1
            }
            Value::Array(_) => self.items(class, false, value),
            Value::Object(_) => self.under(class, false, value),
            other => self.value(other),
        }
    }

    /// A list under a name that says that one or `several` secrets are in it.
    fn items(&self, class: Class, several: bool, value: &mut Value) -> usize {
        let Value::Array(items) = value else { return 0 };
        let harmless = |item: &&mut Value| item.as_str().is_some_and(|text| !self.is_likely(class, several, text));
        items.iter_mut().filter(|item| !harmless(item)).map(|item| self.whole(class, item)).sum()
    }

    /// Whether one of the texts under a name is a secret as far as its looks go. In texts stand lists of names as well.
    fn is_likely(&self, class: Class, several: bool, text: &str) -> bool {
        let has = |test: fn(&u8) -> bool| text.bytes().any(|byte| test(&byte));
        let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !text.contains(char::is_whitespace);
        !self.without_texts
            || (several && class == Class::Password)
            || (mixed && text.len() >= 8)
            || prose::is_shaped(text.as_bytes())
    }

    /// An object under a name that says it is secret: its value, and all that it names when the name is that of `several`.
    fn under(&self, class: Class, several: bool, value: &mut Value) -> usize {
        let Value::Object(map) = value else { return 0 };
        let mut count = 0;
        for (key, value) in map.iter_mut() {
            let Value::String(text) = value else {
                if is_value(key) && !value.is_object() {
                    count += self.whole(class, value);
                }
                continue;
            };
            let secret = if is_value(key) {
                class != Class::MaybeToken || is_shaped(text)
            } else {
                several && is_named(key, text) && self.is_likely(class, several, text)
            };
            if secret && self.is_secret(class, text) {
                *text = mark(class.kind());
                count += 1;
            }
        }
        count + self.map(map)
    }

    /// The items of a list, of which one may be the name or the option that the next one is given to.
    fn list(&self, items: &mut [Value]) -> usize {
        let mut count = self.command(items) + beside::key_lines(items);
        for at in 1..items.len() {
            let (before, rest) = items.split_at_mut(at);
            let (Some(Value::String(name)), Some(Value::String(value))) = (before.last(), rest.first()) else {
                continue;
            };
            if let Some(class) = given_to(name, value, at == 1 && rest.len() == 1) {
                count += self.whole(class, &mut rest[0]);
            }
        }
        count + items.iter_mut().map(|item| self.value(item)).sum::<usize>()
    }

    /// The words of a command, of which its rules say which are secret.
    pub(super) fn command(&self, items: &mut [Value]) -> usize {
        let is_program = |item: &Value| {
            let word = item.as_str().filter(|word| word.len() <= 128).unwrap_or_default();
            let word = word.rsplit('/').next().unwrap_or_default();
            !word.is_empty() && command::RULES.iter().any(|rule| word.starts_with(rule.program))
        };
        let Some(program) = items.iter().position(is_program) else { return 0 };
        // One line of words, each as long as it is; what would end a word or a command inside of one is nothing here.
        let mut line = String::new();
        let mut begins = Vec::new();
        for item in &items[program..] {
            let Some(word) = item.as_str().filter(|word| line.len() + word.len() < MAX_COMMAND) else { break };
            begins.push(line.len());
            let plain =
                |c: char| matches!(c, '"' | '\'' | '\\' | '`' | ';' | '|' | '&' | '(' | ')') || c.is_ascii_whitespace();
            line.extend(word.chars().map(|c| if plain(c) { '_' } else { c }));
            // An empty word is one, too.
            line.push_str(if word.is_empty() { "_ " } else { " " });
        }
        let (mut count, mut done) = (0, 0);
        for span in scan::commands(&line) {
            let index = begins.partition_point(|begin| *begin <= span.start).saturating_sub(1);
            let from = span.start - begins[index];
            let Some(Value::String(word)) = items.get_mut(program + index) else { continue };
            // What is secret goes to the end of its word.
            if index >= done
                && from < word.len()
                && !structure::is_reference(&word.as_bytes()[from..])
                && !word[from..].starts_with(MARK)
            {
                word.truncate(from);
                word.push_str(&mark(span.kind));
                count += 1;
                done = index + 1;
            }
        }
        count
    }

    /// Keys that hold secrets themselves.
    fn keys(&self, map: &mut Map<String, Value>) -> usize {
        if self.without_texts {
            return 0;
        }
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

/// Whether a key names several secrets, as `passwords` does.
fn is_several(key: &str) -> bool {
    let single = key.strip_suffix(['s', 'S']).and_then(names::classify);
    matches!(single, Some(Class::Password | Class::Secret | Class::Key))
}

/// Whether what stands under a key of an object of secrets is one: not what describes them, and no sentence.
fn is_named(key: &str, text: &str) -> bool {
    const DESCRIBES: &[&str] = &[
        "name",
        "type",
        "kind",
        "file",
        "path",
        "source",
        "namespace",
        "provider",
        "store",
        "backend",
        "engine",
        "id",
        "description",
        "environment",
        "version",
        "policy",
        "status",
        "mode",
        "format",
        "title",
        "shape",
    ];
    !DESCRIBES.iter().any(|word| key.eq_ignore_ascii_case(word)) && !text.contains(char::is_whitespace)
}

/// Whether a text looks like a token, and not like what a parser calls one.
fn is_shaped(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.bytes().any(|byte| test(&byte));
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    !text.contains(char::is_whitespace) && ((text.len() >= 8 && mixed) || text.len() >= 16)
}

/// Whether a number is a secret and not an amount.
fn is_secret_number(class: Class, number: &serde_json::Number) -> bool {
    match class {
        Class::Password => true,
        Class::MaybePassword | Class::Secret => number.as_u64().is_some_and(|number| number >= 100_000),
        _ => false,
    }
}

/// Whether a text is itself the name of a secret, as `token2` is.
fn is_name(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    text.bytes().all(letters) && names::classify_any(text).is_some()
}

/// What `name`, an option or the name of a header, promises of `value`, which follows it in a list; `pair` says that the
/// list holds nothing else.
fn given_to(name: &str, value: &str, pair: bool) -> Option<Class> {
    // The kind of a secret that was taken out of an option says nothing of the next word.
    if name.len() > 64
        || name.contains(MARK)
        || value.starts_with("--")
        || (value.starts_with('-') && value.len() == 2)
        || name.contains(|c: char| c == '=' || c.is_whitespace())
    {
        return None;
    }
    if name.starts_with('-') {
        return names::classify_any(name).filter(|_| !name.starts_with("--no-"));
    }
    // Names stand in lists of names as well, and `pass` is a program.
    let class = names::classify_any(name).filter(|class| !matches!(class, Class::MaybePassword | Class::MaybeToken))?;
    let header = name.contains('-') || matches!(class, Class::Authorization | Class::Cookie);
    let shaped = match class {
        Class::Authorization => value.contains(' ') || is_shaped(value),
        Class::Cookie => value.contains('='),
        _ => value.bytes().any(|byte| byte.is_ascii_digit()) && !is_name(value),
    };
    ((header || pair) && shaped).then_some(class)
}
