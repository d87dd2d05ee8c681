//! Mahavishnu as its shell sees it: magics, commands without prefix, and what the Tab key offers.

use std::sync::Arc;

use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::secret::Secret;
use oneiric_shell::interpreter::{Function, Object};
use oneiric_shell::output::Output;
use oneiric_shell::program::{CommandDoc, Magic, Program};
use oneiric_shell::table::Table;

use super::{functions, objects};
use crate::cli;
use crate::journal::SessionJournal;
use crate::world::World;

const MAGICS: [Magic; 3] = [
    Magic { name: "repos", arguments: "[tag]", doc: "List repositories, all or those with a tag" },
    Magic { name: "status", arguments: "", doc: "Show this session, the spool and Session-Buddy" },
    Magic {
        name: "workflow",
        arguments: "ID",
        doc: "Show one workflow, its steps and the end of what they printed; the beginning of its id is enough",
    },
];

/// The program behind the shell.
pub(super) struct ShellProgram {
    world: Arc<World>,
    journal: Arc<SessionJournal>,
    commands: Vec<CommandDoc>,
    /// What its commands prove themselves with, when auth is on and they are given nothing else.
    token: Option<Secret>,
}

impl ShellProgram {
    pub(super) fn new(world: Arc<World>, journal: Arc<SessionJournal>, token: Option<Secret>) -> Self {
        let commands = cli::COMMANDS.iter().map(|(name, doc)| CommandDoc { name: (*name).into(), doc: (*doc).into() });
        Self { world, journal, commands: commands.collect(), token }
    }

    fn status(&self, output: &Output) {
        let stats = self.journal.stats();
        let count = |name: &str| stats[name].to_string();
        let depth = oneiric::spool::depth(&self.world.settings.home().spool());
        let buddy = match self.world.peer().health(self.world.patience()) {
            Ok(health) => health["status"].as_str().unwrap_or("answers without a status").to_owned(),
            Err(error) => error.to_string(),
        };
        let active = self.world.workflows().list(orchestrator::workflows::Which::Active, 1_000);
        let repositories = self.world.manifest();
        let mut table = Table::new(["What", "State"]);
        let recorded = stats["recorded"].as_bool() == Some(true);
        table.row(["Session", if recorded { self.journal.session() } else { "not recorded" }]);
        table.row(["Commands", &count("commands")]);
        table.row([
            "Events",
            &format!("{} delivered, {} waiting, {} dropped", count("delivered"), count("pending"), count("dropped")),
        ]);
        table.row(["Spool", &format!("{}, {} bytes", counted(depth.files, "file", "files"), depth.bytes)]);
        table.row(["Session-Buddy", &format!("{} ({buddy})", self.world.peer().base())]);
        table.row([
            "Active workflows",
            &active.map_or_else(|fault| fault.to_string(), |active| active.len().to_string()),
        ]);
        let repositories =
            repositories.map_or_else(|fault| fault.to_string(), |manifest| manifest.repos.len().to_string());
        table.row(["Repositories", &repositories]);
        output.line(&table.render(output.terminal()));
    }
}

impl Program for ShellProgram {
    fn name(&self) -> &str {
        "mahavishnu"
    }

    fn functions(&self) -> Vec<Function> {
        functions::all(&self.world, &self.journal)
    }

    fn objects(&self) -> Vec<Object> {
        objects::all(&self.world, &self.journal)
    }

    fn only_shows(&self, words: &[String]) -> bool {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["workflow", "logs", rest @ ..] => !rest.iter().any(|word| matches!(*word, "-f" | "--follow")),
            ["workflow", second, ..] => matches!(*second, "list" | "show" | "explain"),
            [first, ..] => {
                matches!(
                    *first,
                    "list-repos" | "list-roles" | "show-role" | "sessions" | "config" | "logs" | "metrics" | "help"
                )
            }
            [] => false,
        }
    }

    fn magics(&self) -> &[Magic] {
        &MAGICS
    }

    fn magic(&self, name: &str, arguments: &[String], output: &Output) -> Result<()> {
        match (name, arguments) {
            ("repos", []) => cli::repos::show(&self.world, None, None, output),
            ("repos", [tag]) => cli::repos::show(&self.world, Some(tag), None, output),
            ("status", []) => {
                self.status(output);
                Ok(())
            }
            ("workflow", [id]) => super::live::workflow(&self.world, &self.world.workflows().get(id)?, output),
            _ => {
                let usage = MAGICS.iter().find(|magic| magic.name == name).map_or("", |magic| magic.arguments);
                Err(Fault::user(format!("%{name} does not take {} arguments", arguments.len()))
                    .hint(format!("write {}", format!("%{name} {usage}").trim_end())))
            }
        }
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn command(&self, words: &[String], output: &Output) -> i32 {
        cli::run_in_shell(&self.world, words, self.token.as_ref(), output)
    }

    fn complete(&self, words: &[&str]) -> Vec<String> {
        let manifest = || self.world.manifest().unwrap_or_default();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        match words {
            ["%repos"] | [.., "--tag"] => owned(manifest().tags()),
            [.., "--role"] | ["show-role"] => owned(manifest().role_names()),
            ["%workflow"] => {
                let found = self.world.workflows().list(orchestrator::workflows::Which::All, 20).unwrap_or_default();
                found.into_iter().map(|workflow| workflow.id).collect()
            }
            [first, ..] if first.starts_with('%') => Vec::new(),
            words => cli::complete(words),
        }
    }
}
