//! Fills settings layer by layer, the lowest first, so that the last one to speak wins.

use std::collections::BTreeMap;
use std::path::Path;

use super::names::nearest;
use super::value::Value;
use super::{Catalog, Entry, Kind, Settings, Surroundings, dotenv, trust, yaml};
use crate::fault::{Fault, Result};
use crate::paths::{self, Home};

/// Where a variable came from.
#[derive(Clone, Copy)]
enum Origin {
    DotEnv(usize),
    Environment,
}

impl Origin {
    fn names(self, variable: &str) -> String {
        match self {
            Self::DotEnv(line) => format!(".env line {line}, {variable}"),
            Self::Environment => format!("environment {variable}"),
        }
    }
}

pub(super) fn load(catalog: &'static Catalog, from: &Surroundings) -> Result<Settings> {
    let dot_env = read_dot_env(catalog, from)?;
    let mut vars: BTreeMap<String, String> =
        dot_env.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect();
    for (name, value) in from.vars.iter().filter(|(name, value)| !value.is_empty() && catalog.owns(name)) {
        vars.insert(name.clone(), value.clone());
    }
    let home = home(catalog, from, &vars);
    let mut filling = Filling { catalog, entries: defaults(catalog)? };

    let project = format!("settings/{}.yaml", catalog.product);
    filling.file(&from.cwd.join(&project), &project)?;
    let own = home.config_file();
    filling.file(&own, &shown(&own, &from.user_home))?;
    filling.variables(|name| dot_env.get(name).map(|(value, line)| (value.as_str(), Origin::DotEnv(*line))))?;
    filling.unknown(dot_env.iter().map(|(name, (_, line))| (name.as_str(), Origin::DotEnv(*line))))?;
    let environment = |name: &str| from.vars.get(name).filter(|value| !value.is_empty());
    filling.variables(|name| environment(name).map(|value| (value.as_str(), Origin::Environment)))?;
    filling.unknown(
        vars.keys().filter(|name| environment(name).is_some()).map(|name| (name.as_str(), Origin::Environment)),
    )?;
    filling.arguments(&from.args)?;

    Ok(Settings {
        catalog,
        home,
        user_home: from.user_home.clone(),
        cwd: from.cwd.clone(),
        vars,
        entries: filling.entries,
    })
}

fn home(catalog: &Catalog, from: &Surroundings, vars: &BTreeMap<String, String>) -> Home {
    match vars.get(&format!("{}_HOME", catalog.env_prefix)) {
        Some(path) => Home::at(from.cwd.join(paths::expand_home(path, &from.user_home))),
        None => Home::at(from.user_home.join(format!(".{}", catalog.product))),
    }
}

/// A path with `~` for the user's home.
fn shown(path: &Path, user_home: &Path) -> String {
    match path.strip_prefix(user_home) {
        Ok(rest) => format!("~/{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

fn defaults(catalog: &Catalog) -> Result<Vec<Entry>> {
    let default = |spec: &super::Spec| match Value::from_text(&spec.kind, spec.default) {
        Ok(value) => Ok(Entry { value, source: None }),
        Err(allowed) => Err(Fault::internal(format!("the default of {} must be {allowed}", spec.path))),
    };
    catalog.specs.iter().map(default).collect()
}

/// The variables of this catalog in `.env`, each with its line; the last of several assignments counts.
fn read_dot_env(catalog: &Catalog, from: &Surroundings) -> Result<BTreeMap<String, (String, usize)>> {
    let path = from.cwd.join(".env");
    let Some(opened) = trust::open(&path, &path.display().to_string())? else { return Ok(BTreeMap::new()) };
    let variables = |name: &str| match from.vars.get(name) {
        None if name == "HOME" => Some(from.user_home.display().to_string()),
        known => known.cloned(),
    };
    let found = dotenv::parse(&opened.text, |name| catalog.owns(name), variables).map_err(|refusal| {
        Fault::config(format!("{} line {}: {} {}", path.display(), refusal.line, refusal.name, refusal.why))
    })?;
    match opened.distrust {
        // A file that says nothing to us may be anybody's.
        Some(fault) if !found.is_empty() => Err(fault),
        _ => {
            let given = found.into_iter().filter(|one| !one.value.is_empty());
            Ok(given.map(|one| (one.name, (one.value, one.line))).collect())
        }
    }
}

struct Filling {
    catalog: &'static Catalog,
    entries: Vec<Entry>,
}

impl Filling {
    fn set(&mut self, index: usize, value: Value, source: String) {
        self.entries[index] = Entry { value, source: Some(source) };
    }

    fn file(&mut self, path: &Path, shown: &str) -> Result<()> {
        let Some(opened) = trust::open(path, shown)? else { return Ok(()) };
        if let Some(fault) = opened.distrust {
            return Err(fault);
        }
        let given = yaml::parse(&opened.text, self.catalog).map_err(|wrong| {
            let line = wrong.line.map(|line| format!(" line {line}")).unwrap_or_default();
            let fault = Fault::config(format!("{shown}{line}: {}", wrong.what));
            match wrong.advice {
                Some(advice) => fault.hint(advice),
                None => fault,
            }
        })?;
        for one in given {
            let kind = self.catalog.specs[one.index].kind;
            match Value::from_node(&kind, &one.node) {
                Ok(Value::Unset) => {}
                Ok(value) => self.set(one.index, value, shown.to_owned()),
                Err(allowed) => {
                    let got = match (&one.node, kind) {
                        (yaml::Node::Text(text), kind) if kind != Kind::Secret => format!("'{}'", excerpt(text)),
                        (node, _) => node.described(),
                    };
                    let what = format!("{shown} line {}: '{}' must be {allowed}, not {got}", one.line, one.path);
                    return Err(Fault::config(what));
                }
            }
        }
        Ok(())
    }

    fn variables<'v>(&mut self, lookup: impl Fn(&str) -> Option<(&'v str, Origin)>) -> Result<()> {
        for (index, spec) in self.catalog.specs.iter().enumerate() {
            for name in self.catalog.variables(spec) {
                let Some((text, origin)) = lookup(&name) else { continue };
                let value = Value::from_text(&spec.kind, text).map_err(|allowed| {
                    Fault::config(format!("{} must be {allowed}, not '{}'", origin.names(&name), excerpt(text)))
                })?;
                self.set(index, value, origin.names(&name));
                break;
            }
        }
        Ok(())
    }

    /// `PREFIX_SECTION__FIELD` can only be meant for us, so an unknown one is a mistake; with single underscores it
    /// may belong to something else that shares the prefix.
    fn unknown<'v>(&self, names: impl Iterator<Item = (&'v str, Origin)>) -> Result<()> {
        for (name, origin) in names.filter(|(name, _)| name.contains("__")) {
            let known: Vec<String> = self.catalog.specs.iter().flat_map(|spec| self.catalog.variables(spec)).collect();
            if known.iter().any(|one| one == name) {
                continue;
            }
            let wanted = name.to_ascii_lowercase();
            let lower: Vec<String> = known.iter().map(|one| one.to_ascii_lowercase()).collect();
            let fault = Fault::config(format!("{} is no setting of {}", origin.names(name), self.catalog.product));
            return Err(match nearest(&wanted, lower.iter().map(String::as_str)) {
                Some(near) => fault.hint(format!("did you mean {}?", near.to_ascii_uppercase())),
                None => fault.hint("unset it, or see the names that 'config' prints"),
            });
        }
        Ok(())
    }

    fn arguments(&mut self, args: &[(String, String)]) -> Result<()> {
        for (name, text) in args {
            let Some(index) = self.catalog.resolve_flat(name) else {
                return Err(Fault::user(format!("there is no setting '{name}'")).hint(self.catalog.advice(name)));
            };
            let value = Value::from_text(&self.catalog.specs[index].kind, text).map_err(|allowed| {
                Fault::user(format!("{name} on the command line must be {allowed}, not '{}'", excerpt(text)))
            })?;
            self.set(index, value, "command line".to_owned());
        }
        Ok(())
    }
}

/// The beginning of a wrong value, enough to know it again.
fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
