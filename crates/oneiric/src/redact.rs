//! Takes secrets out of text before it reaches a disk. What is found becomes `[redacted:<kind>]`.
//!
//! Three ways lead to a secret: its own shape (`ghp_…`, a key block), the name that it is given (`password=`,
//! `Authorization:`, `curl -u`), and its randomness. One pass of a prefilter over the text says which rules have to
//! look; text that none of them concerns costs that pass and nothing more.
//!
//! Rules lean towards taking out too much: a lost word of output is a nuisance, a kept password is a breach.

mod assign;
mod beside;
mod block;
mod code;
mod command;
mod data;
mod dsn;
mod effort;
mod entropy;
mod extent;
mod fields;
mod header;
mod json;
mod judge;
mod languages;
mod manifest;
mod names;
mod pairs;
mod prefix;
mod prose;
mod public;
mod rows;
mod scan;
mod several;
mod stand_in;
mod statement;
mod stdin;
mod structure;
mod view;
mod wrapped;

use std::borrow::Cow;

/// Finds secrets and takes them out. Costs nothing to make or to copy: the rules are built once a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redactor {
    /// Data is judged by its keys and the order of its items alone, and the texts in it are left as they are.
    without_texts: bool,
}

/// A stretch of text that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    kind: &'static str,
}

/// What stands in front of the kind of a redaction.
pub const MARK: &str = "[redacted:";

/// Taking one secret out can lay open the next one; more often than this it cannot.
const MAX_PASSES: usize = 4;

impl Redactor {
    /// The rules that every program uses.
    #[must_use]
    pub fn standard() -> Self {
        Self { without_texts: false }
    }

    const fn without_texts() -> Self {
        Self { without_texts: true }
    }

    /// `text` without its secrets; borrowed, and nothing allocated, when there are none.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.counted(text).0
    }

    /// [`Redactor::text`], and how many secrets were taken out.
    #[must_use]
    pub fn counted<'t>(&self, text: &'t str) -> (Cow<'t, str>, usize) {
        let mut text = Cow::Borrowed(text);
        let mut count = 0;
        for _ in 0..MAX_PASSES {
            let spans = scan::find(&text);
            if spans.is_empty() {
                break;
            }
            count += spans.len();
            text = Cow::Owned(replace(&text, &spans));
        }
        (text, count)
    }
}

impl Redactor {
    /// Whether a text that must be kept as it is, such as an id, holds a token of a known shape. Its randomness says
    /// nothing here, and neither do names.
    #[must_use]
    pub fn holds_token(&self, text: &str) -> bool {
        scan::holds_token(text)
    }
}

fn mark(kind: &str) -> String {
    format!("{MARK}{kind}]")
}

fn replace(text: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for span in spans {
        out.push_str(&text[from..span.start]);
        out.push_str(MARK);
        out.push_str(span.kind);
        out.push(']');
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests;
