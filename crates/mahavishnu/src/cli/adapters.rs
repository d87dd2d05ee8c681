//! `adapters list` and `adapters verify`: the other engines that work can be handed to.

use clap::Subcommand;
use oneiric::fault::{FaultKind, Result};
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::adapters::{AdapterSettings, Adapters, State};
use serde_json::{Value, json};

use super::Token;
use super::format::Format;
use crate::engines::PROBE;
use crate::world::World;

/// Show the engines that work can be handed to
#[derive(clap::Args, Debug)]
pub(super) struct AdaptersCommand {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    pub(super) token: Token,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the adapters with their state
    List {
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Ask engines whether they are there, and what they can run
    #[command(after_help = "Exit code: 0 when all that were asked answer, 6 when one does not.")]
    Verify {
        /// Only this one, also when it is disabled; by default all that are enabled
        name: Option<String>,
        /// How to print what was found
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

impl AdaptersCommand {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let adapters = world.adapters();
        match &self.command {
            Command::List { format } => list(&adapters, *format, output).map(|()| 0),
            Command::Verify { name, format } => verify(&adapters, name.as_deref(), *format, output),
        }
    }
}

fn list(adapters: &Adapters, format: Format, output: &Output) -> Result<()> {
    let mut table = Table::new(["Adapter", "State", "Address", "Version", "Why"]).optional([3]);
    let mut rows = Vec::new();
    for ((_, state), settings) in adapters.states(PROBE).iter().zip(adapters.settings()) {
        let (version, why) = match state {
            State::Active(found) => (found.version.clone(), found.notes.join("; ")),
            State::Disabled => (String::new(), format!("adapters.{}_enabled = false", settings.kind)),
            State::Unreachable(trouble, since) => {
                (String::new(), format!("{}, since {}", trouble.text(), since.local()))
            }
        };
        table.row([settings.kind.to_string(), state.word().to_owned(), settings.url.clone(), version, why]);
        rows.push(facts(settings, state));
    }
    format.print(&rows, &table, "There are no adapters.", output)
}

fn facts(settings: &AdapterSettings, state: &State) -> Value {
    let mut facts = json!({ "name": settings.kind, "state": state.word(), "url": settings.url });
    match state {
        State::Active(found) => {
            facts["version"] = found.version.clone().into();
            facts["notes"] = found.notes.clone().into();
        }
        State::Disabled => {}
        State::Unreachable(trouble, since) => {
            facts["why"] = trouble.text().into();
            facts["since"] = since.to_string().into();
        }
    }
    facts
}

fn verify(adapters: &Adapters, name: Option<&str>, format: Format, output: &Output) -> Result<i32> {
    let asked: Vec<&AdapterSettings> = match name {
        Some(name) => vec![adapters.get(name)?.0],
        None => adapters.settings().filter(|settings| settings.enabled).collect(),
    };
    if asked.is_empty() {
        output.error_line("No adapter is enabled; 'mahavishnu adapters verify NAME' asks one nevertheless.");
    }
    let mut table = Table::new(["Adapter", "Target", "State", "Parameters"]);
    let (mut rows, mut code) = (Vec::new(), 0);
    for settings in asked {
        let kind = settings.kind;
        let state = adapters.state(kind.as_str(), PROBE)?;
        let mut facts = facts(settings, &state);
        facts["enabled"] = settings.enabled.into();
        let targets = match &state {
            State::Active(_) => adapters.get(kind.as_str())?.1.targets(),
            State::Unreachable(trouble, _) => Err(trouble.clone()),
            State::Disabled => Ok(Vec::new()),
        };
        if format == Format::Table {
            output.error_line(&line(settings, &state));
        }
        match targets {
            Ok(targets) => {
                for target in &targets {
                    table.row([
                        kind.to_string(),
                        target.name.clone(),
                        target.state.clone(),
                        target.parameters.join(", "),
                    ]);
                }
                facts["targets"] = serde_json::to_value(targets).unwrap_or_default();
            }
            Err(trouble) => {
                code = i32::from(FaultKind::Unavailable.exit_code());
                if let State::Active(_) = state {
                    output.error_line(&format!("its {} cannot be listed: {}", kind.targets(), trouble.text()));
                }
                facts["why"] = trouble.text().into();
            }
        }
        rows.push(facts);
    }
    if format != Format::Table || !table.is_empty() {
        format.print(&rows, &table, "", output)?;
    }
    Ok(code)
}

/// What was found, as a sentence.
fn line(settings: &AdapterSettings, state: &State) -> String {
    let AdapterSettings { kind, url, .. } = settings;
    let mut line = match state {
        State::Active(found) => {
            let version = if found.version.is_empty() { String::new() } else { format!(" {}", found.version) };
            let notes: String = found.notes.iter().map(|note| format!("; {note}")).collect();
            format!("✓ {kind}{version} answers at {url}{notes}")
        }
        State::Disabled => format!("- {kind}: disabled"),
        State::Unreachable(trouble, since) => {
            format!("✗ {kind}: unreachable ({}, since {})", trouble.text(), since.local())
        }
    };
    if !settings.enabled {
        line.push_str(&format!("; disabled: set adapters.{kind}_enabled to hand work to it"));
    }
    line
}
