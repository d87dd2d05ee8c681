//! A value of a setting, read from text or YAML by the setting's kind.

use super::Kind;
use super::yaml::Node;
use crate::secret::{MASK, Secret};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Unset,
    Bool(bool),
    Int(i64),
    Text(String),
    Secret(Secret),
    List(Vec<String>),
}

impl Value {
    /// Reads text as it stands in a variable, an argument or a default. An error says what is allowed, after "is not".
    pub(super) fn from_text(kind: &Kind, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Unset);
        }
        match kind {
            Kind::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(Self::Bool(true)),
                "false" | "0" | "no" | "off" => Ok(Self::Bool(false)),
                _ => Err(kind.allowed()),
            },
            Kind::Int { min, max } => match text.trim().parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Self::Int(number)),
                _ => Err(kind.allowed()),
            },
            Kind::Fraction => match text.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(Self::Text(number.to_string())),
                _ => Err(kind.allowed()),
            },
            Kind::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text.trim())) {
                Some(word) => Ok(Self::Text((*word).to_owned())),
                None => Err(kind.allowed()),
            },
            Kind::Url if !is_url(text) => Err(kind.allowed()),
            Kind::Path if text.contains('\0') => Err(kind.allowed()),
            Kind::Text | Kind::Path | Kind::Url => Ok(Self::Text(text.to_owned())),
            Kind::Secret => Ok(Self::Secret(Secret::new(text))),
            Kind::TextList => list_of(text).map(Self::List).ok_or_else(|| kind.allowed()),
        }
    }

    /// Reads a YAML value; nothing is unset. An error says what is allowed.
    pub(super) fn from_node(kind: &Kind, node: &Node) -> Result<Self, String> {
        let refused = || Err(kind.allowed());
        match (kind, node) {
            (_, Node::Null) => Ok(Self::Unset),
            (Kind::Bool, Node::Bool(yes)) => Ok(Self::Bool(*yes)),
            // YAML 1.1 wrote booleans as yes and no, on and off.
            (Kind::Bool, Node::Text(text)) => Self::from_text(kind, text),
            (Kind::Int { min, max }, Node::Int(number)) if (min..=max).contains(&number) => Ok(Self::Int(*number)),
            (Kind::Fraction, Node::Number(number)) => Self::from_text(kind, &number.to_string()),
            (Kind::Fraction, Node::Int(number)) => Self::from_text(kind, &number.to_string()),
            (Kind::Bool | Kind::Int { .. } | Kind::Fraction, _) => refused(),
            (Kind::TextList, Node::List(items)) => {
                let item = |node: &Node| match node {
                    Node::Text(text) => Ok(text.clone()),
                    Node::Int(number) => Ok(number.to_string()),
                    _ => Err(kind.allowed()),
                };
                items.iter().map(item).collect::<Result<_, _>>().map(Self::List)
            }
            (_, Node::Text(text)) => Self::from_text(kind, text),
            (Kind::Text | Kind::Secret, Node::Int(number)) => Self::from_text(kind, &number.to_string()),
            (Kind::Text | Kind::Secret, Node::Bool(_) | Node::Number(_)) => {
                Err(format!("{} in quotes", kind.allowed()))
            }
            _ => refused(),
        }
    }

    /// As `config` shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Unset => String::new(),
            Self::Bool(yes) => yes.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => without_password(text),
            Self::Secret(_) => MASK.to_owned(),
            Self::List(items) => items.join(", "),
        }
    }
}

impl Kind {
    /// What the kind allows, to go on after "must be".
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int { min, max } if *max == i64::MAX => format!("a whole number from {min}"),
            Self::Int { min, max } => format!("a whole number from {min} to {max}"),
            Self::Fraction => "a number from 0 to 1".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Path => "a path".to_owned(),
            Self::Url => "a URL such as http://127.0.0.1:8678/mcp".to_owned(),
            Self::Secret => "text".to_owned(),
            Self::TextList => "a list of texts".to_owned(),
        }
    }
}

/// `scheme://host…` without blanks.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    scheme_ok && !host.is_empty() && !host.starts_with(':') && !text.contains(blank)
}

/// A JSON array of texts, or texts with commas between them.
fn list_of(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

/// The URL `text` as it may be shown: its password is a secret even when the URL is not.
#[must_use]
pub fn without_password(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, host) = rest[..end].rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:{MASK}@{host}{}", &rest[end..]))
    };
    masked().unwrap_or_else(|| text.to_owned())
}
