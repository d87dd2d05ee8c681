//! What a program offers beside its tools: prompts to start from, and resources to read.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

use super::ToolError;

/// A prompt as clients see it in `prompts/list`.
#[derive(Clone, Copy, Debug)]
pub struct PromptDescription {
    /// Name by which it is asked for.
    pub name: &'static str,
    /// One sentence for a person who picks it from a menu.
    pub description: &'static str,
    /// What it takes.
    pub arguments: &'static [PromptParameter],
}

/// An argument of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct PromptParameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub description: &'static str,
    /// Whether the prompt cannot be made without it.
    pub required: bool,
}

/// A family of resources, by a URI template (RFC 6570, level 1).
#[derive(Clone, Copy, Debug)]
pub struct TemplateDescription {
    /// Such as `session://{id}`.
    pub uri_template: &'static str,
    /// Short name.
    pub name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Type of what is read.
    pub mime_type: &'static str,
}

/// A resource in a list.
#[derive(Clone, Debug)]
pub struct ResourceLine {
    /// Its address.
    pub uri: String,
    /// What a person would call it.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Type of what is read.
    pub mime_type: &'static str,
}

/// A page of resources.
#[derive(Clone, Debug, Default)]
pub struct ResourcePage {
    /// The resources.
    pub resources: Vec<ResourceLine>,
    /// Gives the next page; `None` after the last.
    pub next: Option<String>,
}

/// A resource that was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Type of the text.
    pub mime_type: &'static str,
    /// Its text.
    pub text: String,
}

/// What an argument that is being typed belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Typing<'a> {
    /// An argument of the prompt of this name.
    Prompt(&'a str),
    /// A variable of this URI template.
    Template(&'a str),
}

/// How an argument could go on.
#[derive(Clone, Debug, Default)]
pub struct Suggestions {
    /// Whole values, the likeliest first; clients see no more than 100.
    pub values: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// An answer under way.
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, ToolError>> + Send + 'a>>;

/// The prompts and resources of a program. All of it only reads.
///
/// Errors keep their meaning on the wire: code `not_found` says that there is no such resource, `invalid_request` and
/// `invalid_arguments` that the request is wrong.
pub trait Library: Send + Sync + 'static {
    /// All prompts.
    fn prompts(&self) -> &[PromptDescription];

    /// The text of a prompt that is in `prompts`, spoken by the user.
    fn prompt<'a>(&'a self, name: &'a str, arguments: Map<String, Value>) -> Reading<'a, String>;

    /// All templates.
    fn templates(&self) -> &[TemplateDescription];

    /// Resources from `cursor` on, or from the first.
    fn resources<'a>(&'a self, cursor: Option<&'a str>) -> Reading<'a, ResourcePage>;

    /// The resource at `uri`.
    fn read<'a>(&'a self, uri: &'a str) -> Reading<'a, Document>;

    /// How `typed`, the beginning of `argument`, could go on.
    fn suggest<'a>(&'a self, of: Typing<'a>, argument: &'a str, typed: &'a str) -> Reading<'a, Suggestions>;
}
