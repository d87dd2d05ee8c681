//! Who works here and where: the beginning of a session.

use std::collections::BTreeMap;

use oneiric::event::{EVENT_VERSION, Environment, SessionStart, UserIdentity};
use oneiric::process::{self, ProcessIdentity, hostname, platform};
use oneiric::redact::Redactor;
use oneiric::repository::{RepositoryIdentity, project_name};
use oneiric::settings::Surroundings;
use serde_json::{Map, Value};

/// Variables whose values say something about the work and hold no secret.
const ENV_VALUES: [&str; 6] = ["SHELL", "TERM", "LANG", "EDITOR", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV"];
/// Variables of which only the presence is told.
const ENV_PRESENCE: [&str; 3] = ["TMUX", "SSH_CONNECTION", "CI"];

/// Longest value of a variable that is kept.
const MAX_VALUE: usize = 256;

/// Login name of the user that this process runs as.
pub(crate) fn username(surroundings: &Surroundings) -> String {
    process::username(&surroundings.vars)
}

/// Who asks for something by a door that knows `subject` of the caller's token, which is empty where nobody needs one.
pub(crate) fn asker(surroundings: &Surroundings, subject: &str) -> String {
    if subject.is_empty() { username(surroundings) } else { subject.to_owned() }
}

/// The start of an admin-shell session. `mode` says how it is worked with: `interactive`, `code` or `script`.
pub(crate) fn session_start(
    surroundings: &Surroundings,
    repository: Option<RepositoryIdentity>,
    redactor: &Redactor,
    mode: &str,
) -> SessionStart {
    let cwd = surroundings.cwd.to_string_lossy().into_owned();
    let mut metadata = Map::new();
    metadata.insert("env".into(), Value::Object(environment(&surroundings.vars, redactor)));
    metadata.insert("cwd".into(), cwd.clone().into());
    metadata.insert("mode".into(), mode.into());
    metadata.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    let git = repository.as_ref();
    metadata.insert("git_branch".into(), git.and_then(|git| git.branch.clone()).into());
    metadata.insert("git_commit".into(), git.and_then(|git| git.commit.clone()).into());
    metadata.insert("git_dirty".into(), git.and_then(|git| git.dirty).into());
    SessionStart {
        event_version: EVENT_VERSION.into(),
        component_name: "mahavishnu".into(),
        session_type: "admin_shell".into(),
        shell_type: Some("MahavishnuShell".into()),
        pid: std::process::id(),
        process: ProcessIdentity::current(),
        user: UserIdentity {
            username: username(surroundings),
            home: surroundings.user_home.to_string_lossy().into_owned(),
        },
        hostname: hostname(),
        environment: Environment { platform: platform(), cwd, python_version: None },
        project: repository.as_ref().map(project_name),
        repository,
        metadata,
    }
}

/// The variables that are told. A value that looks like a secret is left out, whatever its name promises.
fn environment(vars: &BTreeMap<String, String>, redactor: &Redactor) -> Map<String, Value> {
    let mut told = Map::new();
    for name in ENV_VALUES {
        if let Some(value) = vars.get(name).filter(|value| !value.is_empty() && value.len() <= MAX_VALUE)
            && redactor.text(value) == value.as_str()
        {
            told.insert(name.to_owned(), value.clone().into());
        }
    }
    for name in ENV_PRESENCE {
        if vars.contains_key(name) {
            told.insert(name.to_owned(), true.into());
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_are_told_and_some_only_by_presence() {
        let vars = BTreeMap::from(
            [
                ("SHELL", "/bin/sh"),
                ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                ("SSH_CONNECTION", "10.0.0.1 22 10.0.0.2 22"),
                ("LANG", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let told = environment(&vars, &Redactor::standard());
        assert_eq!(Value::Object(told), serde_json::json!({"SHELL": "/bin/sh", "SSH_CONNECTION": true}));
    }

    #[test]
    fn a_session_outside_a_repository_says_so() {
        let surroundings =
            Surroundings { cwd: "/tmp".into(), user_home: "/home/ada".into(), ..Surroundings::default() };
        let start = session_start(&surroundings, None, &Redactor::standard(), "code");
        assert_eq!((start.component_name.as_str(), start.session_type.as_str()), ("mahavishnu", "admin_shell"));
        assert_eq!(start.metadata["git_branch"], Value::Null);
        assert_eq!(start.project, None);
    }
}
