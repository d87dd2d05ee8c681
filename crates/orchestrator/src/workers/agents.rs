//! The agents' programs that every installation knows: their command lines without questions, and how they answer.
//!
//! Prompts go in by standard input: an argument would be seen by every user of the machine, be bounded in length, and be
//! taken for an option when it begins with a dash. Where a program asks whether a folder is trusted, it is told so: which
//! folders are worked in is said by the manifest. What an agent may do there without being asked is left to its own settings.

use super::answer::AnswerSpec;
use super::profile::{Profile, PromptBy};

/// Their profiles.
pub(super) fn agents() -> impl Iterator<Item = (&'static str, Profile)> {
    [("claude", claude()), ("codex", codex()), ("gemini", gemini()), ("qwen", qwen())].into_iter()
}

fn agent(about: &str, command: &[&str], answer: AnswerSpec) -> Profile {
    Profile {
        about: about.to_owned(),
        command: words(command),
        prompt: PromptBy::Stdin,
        answer,
        timeout: Some(3600.0),
        ..Profile::default()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Tells tokens with each message and the cost at the end; keeps to a budget in dollars itself. Tokens from its cache are
/// apart from those that it read anew.
fn claude() -> Profile {
    let answer = AnswerSpec {
        json: true,
        when: Some("type=result".into()),
        text: "result".into(),
        failed: Some("is_error".into()),
        reason: words(&["result", "errors.0", "subtype"]),
        cost: Some("total_cost_usd".into()),
        tokens: words(&[
            "usage.input_tokens",
            "usage.cache_creation_input_tokens",
            "usage.cache_read_input_tokens",
            "usage.output_tokens",
        ]),
        running_tokens: words(&[
            "message.usage.input_tokens",
            "message.usage.cache_creation_input_tokens",
            "message.usage.cache_read_input_tokens",
            "message.usage.output_tokens",
        ]),
        message: Some("message.id".into()),
        ..AnswerSpec::default()
    };
    Profile {
        budget: words(&["--max-budget-usd", "{usd}"]),
        ..agent(
            "Claude Code, without questions",
            &["claude", "-p", "--output-format", "stream-json", "--verbose"],
            answer,
        )
    }
}

/// Tells tokens when a turn is over, and no cost.
fn codex() -> Profile {
    let answer = AnswerSpec {
        json: true,
        when: Some("item.type=agent_message".into()),
        text: "item.text".into(),
        failed: Some("error".into()),
        failed_when: Some("type=turn.failed".into()),
        tokens: words(&["usage.input_tokens", "usage.output_tokens"]),
        ..AnswerSpec::default()
    };
    agent("Codex, without questions", &["codex", "exec", "--json", "--skip-git-repo-check", "-"], answer)
}

/// Tells tokens at its end, and no cost.
fn gemini() -> Profile {
    let answer = AnswerSpec {
        json: true,
        when: Some("role=assistant".into()),
        text: "content".into(),
        pieces: true,
        failed: Some("error".into()),
        failed_when: Some("type=result".into()),
        tokens: words(&["stats.total_tokens"]),
        ..AnswerSpec::default()
    };
    let mut profile = agent("Gemini CLI, without questions", &["gemini", "--output-format", "stream-json"], answer);
    // As a variable, since versions that do not know the option refuse it.
    profile.env.insert("GEMINI_CLI_TRUST_WORKSPACE".into(), "true".into());
    profile
}

/// Tells tokens with each message, and no cost.
fn qwen() -> Profile {
    let answer = AnswerSpec {
        json: true,
        when: Some("type=result".into()),
        text: "result".into(),
        failed: Some("is_error".into()),
        reason: words(&["error.message", "result", "subtype"]),
        cost: Some("total_cost_usd".into()),
        tokens: words(&["usage.input_tokens", "usage.output_tokens"]),
        running_tokens: words(&["message.usage.input_tokens", "message.usage.output_tokens"]),
        message: Some("message.id".into()),
        ..AnswerSpec::default()
    };
    agent("Qwen Code, without questions", &["qwen", "--output-format", "stream-json"], answer)
}
