//! Work that outlives the call that asked for it.
//!
//! A program says which of its tools begin or follow such work ([`super::ToolDescription::lasting`]) and how the work stands
//! ([`Works`]). How a client hears of it is the protocol's affair: as a task, as progress, as a question, or when it asks again.

use oneiric::clock::Timestamp;
use oneiric::token::Scope;
use serde_json::{Map, Value};

use super::tool::ToolError;
use super::visit::Told;

/// What a tool has to do with lasting work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It begins work. Its argument `wait` lets the caller wait for the end.
    Begins,
    /// It tells of work. Its argument `wait` lets the caller wait for the end.
    Tells,
    /// It ends work, and answers when that has ended.
    Ends,
}

/// What a client is to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Unique over the life of the work.
    pub key: String,
    /// What is asked.
    pub message: String,
    /// The fields of the answer, by JSON Schema; all of them are required.
    pub fields: Map<String, Value>,
}

/// What a client said to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The fields of its answer.
    Given(Map<String, Value>),
    /// It says no.
    Declined,
}

/// How work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It goes on.
    AtWork,
    /// It rests until somebody has answered.
    Rests,
    /// It ended well.
    Done,
    /// It ended badly.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl Stage {
    /// Whether nothing more happens.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::AtWork | Self::Rests)
    }
}

/// What is known of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub stage: Stage,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When something happened to it last.
    pub updated_at: Timestamp,
    /// When it is forgotten; unknown before its end.
    pub kept_until: Option<Timestamp>,
    /// Steps that are over.
    pub done: u32,
    /// All steps.
    pub total: u32,
    /// How far it is, in a line.
    pub message: String,
    /// What waits for somebody's answer.
    pub questions: Vec<Question>,
    /// What answers about it tell.
    pub told: Map<String, Value>,
}

/// The lasting work of a program.
pub trait Works: Send + Sync + 'static {
    /// The member of a tool's answer that names the work.
    fn named(&self) -> &'static str;

    /// The right to answer questions.
    fn answering(&self) -> Scope;

    /// The right to stop work.
    fn stopping(&self) -> Scope;

    /// How work stands.
    ///
    /// # Errors
    /// Code `not_found` for an id that nothing has; whole ids only.
    fn look<'a>(&'a self, id: &'a str) -> Told<'a, Result<Standing, ToolError>>;

    /// Answers a question in the name of `who` (empty while nobody is asked for a token). An answer to what is no question any
    /// more changes nothing.
    ///
    /// # Errors
    /// Code `invalid_arguments` when the answer's fields are wrong.
    fn answer<'a>(&'a self, id: &'a str, key: &'a str, reply: Reply, who: &'a str) -> Told<'a, Result<(), ToolError>>;

    /// Asks work to stop in the name of `who`. Work that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Works::look`].
    fn stop<'a>(&'a self, id: &'a str, who: &'a str) -> Told<'a, Result<(), ToolError>>;
}
