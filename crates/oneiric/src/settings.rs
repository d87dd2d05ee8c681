//! Settings: one declared catalog a program, filled from layers, each value knowing where it came from.
//!
//! Layers, lowest first: defaults, `settings/<product>.yaml` below the working directory, `<home>/config.yaml`,
//! `.env` in the working directory, the environment, the command line. A program declares its [`Catalog`] as a
//! `static`; there is no other list of settings, so the reference page, `config` and the variables cannot disagree.

mod dotenv;
mod layers;
mod names;
mod oneiric;
pub mod rows;
mod surroundings;
mod trust;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::oneiric::ONEIRIC;
pub use self::surroundings::Surroundings;
pub use self::trust::read_trusted;
use self::value::Value;
pub use self::value::without_password;
use crate::fault::Result;
use crate::paths::{self, Home};
use crate::secret::Secret;
pub use crate::secret::check_secret_strength;

/// What a setting may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; variables may also say `1 0 yes no on off`.
    Bool,
    /// A whole number within bounds, both included.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A number from 0 to 1; read by [`Settings::text`].
    Fraction,
    /// Any text.
    Text,
    /// One of these words; case does not matter, the declared spelling is kept.
    Choice(&'static [&'static str]),
    /// A path; `~` is the user's home. A relative default lies in the product's home, a relative configured path in
    /// the working directory.
    Path,
    /// An absolute URL.
    Url,
    /// Text that is never shown.
    Secret,
    /// Texts: a YAML list, or one text with commas.
    TextList,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Where it stands in YAML: `auth.enabled`. With `_` for `.` it is the flat name.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Its value when no layer has one, as text of its kind; `""` is unset.
    pub default: &'static str,
    /// Further variables with exactly these names.
    pub env: &'static [&'static str],
    /// Other paths in YAML that mean the same.
    pub aliases: &'static [&'static str],
    /// What it does, in one line.
    pub doc: &'static str,
}

/// All settings of one program.
#[derive(Clone, Copy, Debug)]
pub struct Catalog {
    /// Names the settings file and the home: `settings/<product>.yaml`, `~/.<product>`.
    pub product: &'static str,
    /// What the program's variables begin with, without the last underscore.
    pub env_prefix: &'static str,
    /// The settings, in the order in which they are shown.
    pub specs: &'static [Spec],
}

/// One line of a `config` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `auth_enabled`.
    pub flat: String,
    /// `auth.enabled`.
    pub path: &'static str,
    /// The value; secrets are masked.
    pub shown: String,
    /// Which layer gave it.
    pub source: String,
    /// What it may hold, in words.
    pub allowed: String,
    /// Its value when no layer gives one; empty is unset.
    pub default: &'static str,
    /// Variables that give it, the most exact first.
    pub variables: Vec<String>,
    /// What the setting does.
    pub doc: &'static str,
}

impl Row {
    /// What `config --format json` tells of the setting.
    #[must_use]
    pub fn facts(&self) -> serde_json::Value {
        serde_json::json!({
            "path": self.path, "value": self.shown, "source": self.source, "allowed": self.allowed,
            "default": self.default, "variables": self.variables, "doc": self.doc,
        })
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    source: Option<String>,
}

/// The settings of one program, loaded.
#[derive(Clone)]
pub struct Settings {
    catalog: &'static Catalog,
    home: Home,
    user_home: PathBuf,
    cwd: PathBuf,
    vars: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

impl Settings {
    /// Reads every layer.
    ///
    /// # Errors
    /// [`crate::fault::FaultKind::Config`] that names layer, key and the allowed values.
    pub fn load(catalog: &'static Catalog, from: &Surroundings) -> Result<Self> {
        layers::load(catalog, from)
    }

    /// The program's home directory.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A boolean setting; unset is `false`.
    #[must_use]
    pub fn bool(&self, path: &str) -> bool {
        matches!(self.value(path), Value::Bool(true))
    }

    /// A number; unset is 0.
    #[must_use]
    pub fn int(&self, path: &str) -> i64 {
        match self.value(path) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    /// A text, choice or URL; unset is `""`.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.opt_text(path).unwrap_or_default()
    }

    /// A text, choice or URL.
    #[must_use]
    pub fn opt_text(&self, path: &str) -> Option<&str> {
        match self.value(path) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A path, absolute; unset is the empty path.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.opt_path(path).unwrap_or_default()
    }

    /// A path, absolute.
    #[must_use]
    pub fn opt_path(&self, path: &str) -> Option<PathBuf> {
        let text = self.opt_text(path)?;
        let base = if self.is_given(path) { self.cwd.as_path() } else { self.home.root() };
        Some(base.join(paths::expand_home(text, &self.user_home)))
    }

    /// A secret.
    #[must_use]
    pub fn secret(&self, path: &str) -> Option<&Secret> {
        match self.value(path) {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// A list; unset is empty.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.value(path) {
            Value::List(items) => items.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether a layer above the defaults gave this setting.
    #[must_use]
    pub fn is_given(&self, path: &str) -> bool {
        self.index(path).is_some_and(|index| self.entries[index].source.is_some())
    }

    /// Which layer gave this setting: `default`, `settings/x.yaml`, `environment X`, `command line`.
    #[must_use]
    pub fn source(&self, path: &str) -> &str {
        self.index(path).and_then(|index| self.entries[index].source.as_deref()).unwrap_or("default")
    }

    /// Every setting with its value and source, in the catalog's order.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |(spec, entry): (&'static Spec, &Entry)| Row {
            flat: names::flat(spec.path),
            path: spec.path,
            shown: entry.value.shown(),
            source: entry.source.clone().unwrap_or_else(|| "default".to_owned()),
            allowed: spec.kind.allowed(),
            default: spec.default,
            variables: self.catalog.variables(spec),
            doc: spec.doc,
        };
        self.catalog.specs.iter().zip(&self.entries).map(row).collect()
    }

    /// [`Settings::rows`] followed by those of `other`.
    #[must_use]
    pub fn rows_with(&self, other: &Self) -> Vec<Row> {
        let mut rows = self.rows();
        rows.extend(other.rows());
        rows
    }

    /// A variable with this program's prefix, or one that a setting names, from the environment or else `.env`: for
    /// what is no setting, such as a token. Empty is absent.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    fn index(&self, path: &str) -> Option<usize> {
        let found = self.catalog.specs.iter().position(|spec| spec.path == path);
        debug_assert!(found.is_some(), "{} declares no setting '{path}'", self.catalog.product);
        found
    }

    /// An undeclared name is a defect of the caller: tests stop at it, a release behaves as if it were unset.
    fn value(&self, path: &str) -> &Value {
        self.index(path).map_or(&Value::Unset, |index| &self.entries[index].value)
    }
}

impl std::fmt::Debug for Settings {
    /// As `config` shows them: secrets are masked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.rows().into_iter().map(|row| (row.flat, row.shown))).finish()
    }
}

#[cfg(test)]
mod tests;
