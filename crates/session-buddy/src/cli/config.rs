//! `config`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use oneiric::fault::Result;
use oneiric::settings::{ONEIRIC, Row, Settings, Surroundings};
use serde_json::{Map, Value, json};

use super::output;
use crate::server::launch;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: ConfigFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ConfigFormat {
    /// name = value   (source)
    #[default]
    Text,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// Runs `config`.
pub(super) fn run(args: &ConfigArgs, surroundings: &Surroundings) -> Result<ExitCode> {
    let settings = launch::load(surroundings)?;
    // Arguments are settings of this program alone.
    let without_args = Surroundings { args: Vec::new(), ..surroundings.clone() };
    let mut rows = settings.rows_with(&Settings::load(&ONEIRIC, &without_args)?);
    // A secret alone turns auth on.
    if !settings.is_given("auth.enabled")
        && settings.secret("auth.secret").is_some()
        && let Some(row) = rows.iter_mut().find(|row| row.path == "auth.enabled")
    {
        row.shown = "true".into();
        row.source = "there is a secret".into();
    }
    match args.format {
        ConfigFormat::Text => output::emit(&as_text(&rows)),
        ConfigFormat::Json => {
            let entry = |row: &Row| (row.flat.clone(), row.facts());
            output::emit_json(&Value::Object(rows.iter().map(entry).collect::<Map<_, _>>()))
        }
        ConfigFormat::Yaml => output::emit(&as_yaml(&rows)),
    }
}

fn as_text(rows: &[Row]) -> String {
    let width =
        rows.iter().map(|row| row.flat.len() + 3 + row.shown.chars().count()).filter(|width| *width <= 60).max();
    let line = |row: &Row| {
        let setting = format!("{} = {}", row.flat, row.shown);
        format!("{setting:<width$}   ({})\n", row.source, width = width.unwrap_or(0))
    };
    rows.iter().map(line).collect()
}

fn as_yaml(rows: &[Row]) -> String {
    // A JSON string is a YAML string; nothing else would be safe for every value.
    rows.iter().map(|row| format!("{}: {}  # {}\n", row.flat, json!(row.shown), row.source)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn surroundings(vars: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            vars: vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cwd: "/nonexistent".into(),
            user_home: "/nonexistent/home".into(),
            args: Vec::new(),
        }
    }

    #[test]
    fn every_name_that_the_guides_grep_for_has_its_line_and_secrets_are_masked() {
        let secret = "an-example-of-a-long-enough-value-0123456789";
        let settings = launch::load(&surroundings(&[("SESSION_BUDDY_SECRET", secret)])).unwrap();
        let text = as_text(&settings.rows());
        for wanted in [
            "akosha_enabled = false",
            "auth_secret = ********",
            "database_sslmode = verify-full",
            "semantic_search_enabled = true",
            "session_tracking_auto_init = true",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        assert!(!text.contains(secret));
    }

    #[test]
    fn a_wrong_rule_of_retention_is_named_with_its_place() {
        for (name, value) in [
            ("SESSION_BUDDY_RETENTION_EVENTS", "command=-5"),
            ("SESSION_BUDDY_RETENTION_EVENTS", "No Type=3"),
            ("SESSION_BUDDY_RETENTION_PROJECTS", "x=keep,y=0"),
        ] {
            let fault = launch::load(&surroundings(&[(name, value)])).unwrap_err();
            assert_eq!(fault.kind(), oneiric::fault::FaultKind::Config, "{fault}");
            let wrong = value.rsplit(',').next().unwrap_or_default();
            let named = fault.message().contains(name) || fault.message().contains("SESSION_BUDDY_RETENTION__");
            assert!(named && fault.message().contains(wrong.split('=').next().unwrap()), "{fault}");
        }
        assert!(launch::load(&surroundings(&[("SESSION_BUDDY_RETENTION_EVENTS", "command=5")])).is_ok());
    }

    #[test]
    fn variables_of_the_guides_work_under_exactly_their_names() {
        let settings = launch::load(&surroundings(&[
            ("SESSION_BUDDY_HOST", "::1"),
            ("SESSION_BUDDY_PORT", "8679"),
            ("SESSION_BUDDY_DB_PATH", "/data/s.db"),
            ("SESSION_BUDDY_DB_SSLMODE", "require"),
            ("SESSION_BUDDY_SEMANTIC_SEARCH", "true"),
            ("SESSION_BUDDY_EMBEDDING_MODEL", "all-MiniLM-L6-v2"),
            ("SESSION_BUDDY_CACHE_SIZE", "10000"),
            ("SESSION_BUDDY_LOG_LEVEL", "DEBUG"),
            ("SESSION_BUDDY_AKOSHA_ENABLED", "true"),
            ("SESSION_BUDDY_AKOSHA_URL", "http://localhost:8682/mcp"),
            ("SESSION_BUDDY_AUTH_ENABLED", "true"),
        ]))
        .unwrap();
        assert_eq!(settings.int("server.port"), 8679);
        assert_eq!(settings.path("database.path"), std::path::Path::new("/data/s.db"));
        assert!(
            settings.bool("semantic_search.enabled")
                && settings.bool("akosha.enabled")
                && settings.bool("auth.enabled")
        );
        assert_eq!((settings.int("cache.size"), settings.text("log.level")), (10_000, "DEBUG"));
    }
}
