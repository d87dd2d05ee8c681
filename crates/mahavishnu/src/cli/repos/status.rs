//! `repos status`: how the repositories stand.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::repos::Manifest;
use orchestrator::repos::status::{Asking, RepoStatus, Standing, status};

use super::super::format::Format;
use crate::world::World;

#[derive(clap::Args, Debug)]
pub(super) struct Status {
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those with this role
    #[arg(long)]
    role: Option<String>,
    /// Only those with changes, unpushed or unfetched commits, stashes or something wrong
    #[arg(long)]
    changed: bool,
    /// Ask the remotes first
    #[arg(long)]
    fetch: bool,
    /// Longest time for a repository; asking its remote may take six times that
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::super::sweep::span)]
    timeout: Duration,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Status {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<i32> {
        let manifest = world.manifest()?;
        let repos = manifest.select(self.tag.as_deref(), self.role.as_deref())?;
        let asking = asking(self.timeout, self.fetch);
        let shown = std::io::stderr().is_terminal();
        let begun = world.clock.monotonic();
        let tell = |done: usize| {
            if shown && world.clock.monotonic().saturating_sub(begun) > Duration::from_secs(1) {
                let all = counted(repos.len(), "repository", "repositories");
                let _ = write!(std::io::stderr(), "\r\x1b[K{done} of {all}");
            }
        };
        let mut found = status(&repos, asking, &tell);
        if shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        say_where(&manifest, &mut found);
        let wrong = found.iter().any(|repo| !matches!(repo.standing, Standing::Clean | Standing::Changed));
        let asked = found.len();
        if self.changed {
            found.retain(|repo| !repo.is_quiet());
        }
        let none = match asked {
            0 => Manifest::how_to_begin(&world.places()),
            1 => "The one repository is clean and in step with what it follows.".to_owned(),
            count => format!("All {count} repositories are clean and in step with what they follow."),
        };
        self.format.print(&found, &table(&found, world.clock.now()), &none, output)?;
        Ok(i32::from(wrong))
    }
}

/// Says of folders that are not there where they are listed.
pub(crate) fn say_where(manifest: &Manifest, found: &mut [RepoStatus]) {
    for status in found.iter_mut().filter(|status| status.standing == Standing::Missing) {
        let listed = manifest.repos.iter().find(|repo| repo.name == status.name);
        status.note = listed.and_then(|repo| manifest.missing(repo));
    }
}

/// How many repositories are asked at once, and for how long each: asking a remote is mostly waiting.
pub(crate) fn asking(limit: Duration, fetch: bool) -> Asking {
    Asking {
        limit,
        fetch: fetch.then(|| limit.saturating_mul(6)),
        parallel: std::thread::available_parallelism().map_or(2, usize::from) * if fetch { 8 } else { 2 },
    }
}

fn table(found: &[RepoStatus], now: Timestamp) -> Table {
    let mut table = Table::new(["Name", "Branch", "Remote", "State", "Last commit", "Note"]).optional([5, 4]);
    for repo in found {
        let commit = repo.commit.as_ref().map(|commit| format!("{} {}", age(now, commit.at), commit.subject));
        let note: Vec<&str> = repo.under_way.iter().chain(&repo.note).map(String::as_str).collect();
        table.row([
            repo.name.clone(),
            branch(repo),
            distance(repo),
            state(repo),
            commit.unwrap_or_default(),
            note.join("; "),
        ]);
    }
    table
}

fn branch(repo: &RepoStatus) -> String {
    match (&repo.branch, &repo.commit, repo.standing) {
        (Some(branch), ..) => branch.clone(),
        (None, Some(commit), Standing::Clean | Standing::Changed) => {
            format!("({})", commit.id.chars().take(8).collect::<String>())
        }
        _ => String::new(),
    }
}

fn distance(repo: &RepoStatus) -> String {
    match (&repo.upstream, repo.ahead, repo.behind) {
        (None, ..) => String::new(),
        (Some(_), Some(0), Some(0)) => "=".into(),
        (Some(_), Some(ahead), Some(0)) => format!("↑{ahead}"),
        (Some(_), Some(0), Some(behind)) => format!("↓{behind}"),
        (Some(_), Some(ahead), Some(behind)) => format!("↑{ahead} ↓{behind}"),
        (Some(_), ..) => "gone".into(),
    }
}

fn state(repo: &RepoStatus) -> String {
    let word = match repo.standing {
        Standing::Missing => "missing",
        Standing::NoRepository => "no repository",
        Standing::Late => "no answer",
        Standing::Failed => "failed",
        Standing::Clean => "clean",
        Standing::Changed => "",
    };
    let counts = [
        (repo.conflicts, "in conflict"),
        (repo.staged, "staged"),
        (repo.changed, "changed"),
        (repo.untracked, "new"),
        (repo.stashes, "stashed"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let words = Some(word.to_owned()).filter(|word| !word.is_empty());
    words.into_iter().chain(counts).collect::<Vec<_>>().join(", ")
}

/// How long ago, in one unit.
fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..63_072_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}
