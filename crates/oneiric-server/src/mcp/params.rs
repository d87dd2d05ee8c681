//! What is wrong with the parameters of a request that the protocol library cannot read.
//!
//! It takes a method whose parameters it does not understand for one that it does not know, or the message for none at all, and
//! passes over members of the wrong kind that need not be there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What a member has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Object,
}

use Kind::{Object, Text};

/// A member's name and kind, and whether it has to be there.
type Member = (&'static str, Kind, bool);

/// What every list takes. A cursor that is ignored would be answered with the first page for ever.
const PAGE: &[Member] = &[("cursor", Text, false)];

/// Methods that are served, with what their parameters have to hold.
const METHODS: &[(&str, &[Member])] = &[
    ("initialize", &[("protocolVersion", Text, true), ("capabilities", Object, true), ("clientInfo", Object, true)]),
    ("ping", &[]),
    ("server/discover", &[]),
    ("tools/list", PAGE),
    (
        "tools/call",
        &[
            ("name", Text, true),
            ("arguments", Object, false),
            ("inputResponses", Object, false),
            ("requestState", Text, false),
        ],
    ),
    ("prompts/list", PAGE),
    ("prompts/get", &[("name", Text, true), ("arguments", Object, false)]),
    ("resources/list", PAGE),
    ("resources/templates/list", PAGE),
    ("resources/read", &[("uri", Text, true)]),
    ("completion/complete", &[("ref", Object, true), ("argument", Object, true), ("context", Object, false)]),
];

/// Why `params` are not what `method` takes; `None` when nothing can be said, or the method is not served.
pub(super) fn fault(method: &str, params: Option<&RawValue>) -> Option<String> {
    let (_, members) = METHODS.iter().find(|(name, _)| *name == method)?;
    let params = params.map(RawValue::get).filter(|params| *params != "null");
    let needed = members.iter().any(|(_, _, needed)| *needed);
    let Some(params) = params else {
        return needed.then(|| format!("{method}: params are missing"));
    };
    if !params.starts_with('{') {
        return Some(format!("{method}: params must be an object"));
    }
    let given: BTreeMap<Cow<'_, str>, &RawValue> = match serde_json::from_str(params) {
        Ok(given) => given,
        Err(error) => return Some(format!("{method}: {error}")),
    };
    members.iter().chain(&[("_meta", Object, false)]).find_map(|(name, kind, needed)| {
        let value = given.get(*name).map_or("null", |value| value.get());
        let (begin, what) = match kind {
            Text => ('"', "a string"),
            Object => ('{', "an object"),
        };
        match value {
            "null" if *needed => Some(format!("{method}: params.{name} is missing; it must be {what}")),
            "null" => None,
            value if value.starts_with(begin) => None,
            _ => Some(format!("{method}: params.{name} must be {what}")),
        }
    })
}

/// What to say of parameters of `method` that the library did not understand; `None` when the method is not served.
pub(super) fn refused(method: &str, params: Option<&RawValue>) -> Option<String> {
    METHODS.iter().any(|(name, _)| *name == method).then(|| {
        fault(method, params).unwrap_or_else(|| format!("{method}: params do not have the form that the method takes"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(method: &str, params: Option<&str>) -> Option<String> {
        let params = params.map(|params| RawValue::from_string(params.to_owned()).unwrap());
        fault(method, params.as_deref())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (params, expected) in [
            (None, "tools/call: params are missing"),
            (Some("null"), "tools/call: params are missing"),
            (Some("[1]"), "tools/call: params must be an object"),
            (Some("{}"), "tools/call: params.name is missing; it must be a string"),
            (Some(r#"{"name":7}"#), "tools/call: params.name must be a string"),
            (Some(r#"{"name":"x","arguments":[]}"#), "tools/call: params.arguments must be an object"),
            (Some(r#"{"name":"x","_meta":[1]}"#), "tools/call: params._meta must be an object"),
            (Some(r#"{"name":"x","requestState":{}}"#), "tools/call: params.requestState must be a string"),
        ] {
            assert_eq!(said("tools/call", params).as_deref(), Some(expected));
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_right_or_not_served() {
        for params in [r#"{"name":"x"}"#, r#"{"name":"x","arguments":null,"more":1}"#] {
            assert_eq!(said("tools/call", Some(params)), None);
        }
        assert_eq!(said("tools/list", None), None);
        assert_eq!(said("nope", Some("[1]")), None);
        assert_eq!(refused("nope", None), None);
        assert!(refused("tools/list", None).is_some());
    }
}
