//! Secrets in data that other fields and items tell of: `{"field": "password", "value": "…"}`,
//! `{"program": "mysql", "args": […]}`, the manifests of Kubernetes, the lines of a key.

use serde_json::{Map, Value};

use super::names::{self, Class};
use super::{Redactor, mark, prose};

/// What a field of an object says of the value in another one.
#[derive(Clone, Copy)]
pub(super) struct Named {
    class: Class,
    /// Whether it is there for that. What stands beside an id or a label must look made up.
    sure: bool,
}

impl Named {
    /// What the fields of `map` say, as in `{"name": "DB_PASSWORD", "value": "…"}`.
    pub(super) fn of(map: &Map<String, Value>) -> Option<Self> {
        let is = |key: &str, words: &[&str]| words.iter().any(|word| key.eq_ignore_ascii_case(word));
        let said = map.iter().filter_map(|(key, name)| {
            let name = name.as_str()?;
            if is(key, &["name", "key", "field", "variable", "parameterkey"]) {
                return Some(Self { class: names::classify_any(name)?, sure: true });
            }
            if is(key, &["type"]) && name == "SecureString" {
                return Some(Self { class: Class::Secret, sure: true });
            }
            // `#password`, `input[name="password"]`
            let name = match is(key, &["selector"]) {
                true => {
                    name.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').find(|w| !w.is_empty())?
                }
                false if is(key, &["id", "label", "ref"]) => name,
                false => return None,
            };
            Some(Self { class: names::classify_any(name)?, sure: false })
        });
        said.max_by_key(|named| named.sure)
    }

    /// The class of `value` under `key`, when what is said is said of it.
    pub(super) fn given(self, key: &str, value: &Value) -> Option<Class> {
        let shaped = || value.as_str().is_some_and(|text| prose::is_shaped(text.as_bytes()));
        let given = is_value(key) || key.eq_ignore_ascii_case("parametervalue");
        let likely = if given { self.sure || shaped() } else { key.eq_ignore_ascii_case("text") && shaped() };
        likely.then_some(self.class)
    }
}

pub(super) fn is_value(key: &str) -> bool {
    key.eq_ignore_ascii_case("value")
}

/// Whether an object is a secret of Kubernetes: all of its data is, whatever it is called.
pub(super) fn is_manifest(map: &Map<String, Value>) -> bool {
    map.get("kind").and_then(Value::as_str) == Some("Secret")
}

/// Whether `key` is where the data of a manifest stands.
pub(super) fn is_data(key: &str) -> bool {
    matches!(key, "data" | "stringData")
}

/// Takes out the secrets among the arguments that stand beside their program.
pub(super) fn arguments(redactor: Redactor, map: &mut Map<String, Value>) -> usize {
    let program = ["program", "command", "cmd", "executable"].iter().find_map(|key| map.get(*key)?.as_str());
    let Some(program) = program.filter(|program| program.len() <= 128).map(str::to_owned) else { return 0 };
    for key in ["args", "arguments", "argv"] {
        if let Some(Value::Array(items)) = map.get_mut(key) {
            let mut words = vec![Value::String(program)];
            words.append(items);
            let count = redactor.command(&mut words);
            *items = words.split_off(1);
            return count;
        }
    }
    0
}

/// Takes out the lines of private keys that are items of a list.
pub(super) fn key_lines(items: &mut [Value]) -> usize {
    let label = |item: &Value, word: &str| {
        let label = item.as_str().filter(|text| text.len() <= 80).map(str::trim);
        label.is_some_and(|text| text.starts_with(word) && text.contains("PRIVATE KEY"))
    };
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let of_key = |item: &Value| {
        let line = item.as_str().filter(|line| line.len() <= 128).map(str::trim);
        line.is_some_and(|line| line.as_bytes().iter().all(base64) || line.contains(": "))
    };
    let (mut count, mut at) = (0, 0);
    while let Some(begin) = items.iter().skip(at).position(|item| label(item, "-----BEGIN")) {
        let body = at + begin + 1;
        let mut end = body + items[body..].iter().take_while(|item| of_key(item)).count();
        let filled = items[body..end].iter().any(|item| item.as_str().is_some_and(|line| line.len() >= 16));
        end += usize::from(items.get(end).is_some_and(|item| label(item, "-----END")));
        if filled {
            items[body - 1..end].fill(Value::String(mark("private-key")));
            count += 1;
        }
        at = end;
    }
    count
}
