//! What a program finds around it when it starts, as a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables, directories and arguments: everything that settings are read from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// The user's home directory.
    pub user_home: PathBuf,
    /// Settings from the command line: path or flat name, and value. Later ones win.
    pub args: Vec<(String, String)>,
}

impl Surroundings {
    /// Those of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the process's environment")]
    pub fn from_process() -> Self {
        let vars: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let user_home = vars.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            user_home: user_home.or_else(std::env::home_dir).unwrap_or_else(|| PathBuf::from("/")),
            vars,
            args: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Surroundings {
    /// Names only: values of variables may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("cwd", &self.cwd)
            .field("user_home", &self.user_home)
            .field("vars", &self.vars.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
