//! `worktree`: the copies of repositories that tasks work in.

use clap::Subcommand;
use oneiric::fault::Result;
use oneiric::token::Scope;
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;

use super::format::Format;
use super::{Needs, Token};
use crate::pools::worktrees;
use crate::world::World;

/// Show and clear away the worktrees of tasks
#[derive(clap::Args, Debug)]
pub(super) struct WorktreeCommand {
    #[command(flatten)]
    token: Token,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List worktrees: how much they take, and what keeps them
    List {
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Remove those that nobody uses and that hold nothing of their own
    ///
    /// A worktree in which a task is at work, or a process is, is never removed; nor is one with files that are not
    /// committed or with commits that no other branch has.
    Reclaim {
        /// Only say which would go
        #[arg(long)]
        dry_run: bool,
        /// Only those of this repository
        #[arg(long, value_name = "NAME")]
        repo: Option<String>,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

impl WorktreeCommand {
    pub(super) fn needs(&self) -> Needs<'_> {
        match &self.action {
            Action::Reclaim { dry_run: false, .. } => self.token.needs("worktree reclaim", Scope::Write),
            Action::Reclaim { .. } | Action::List { .. } => self.token.needs("worktree", Scope::Read),
        }
    }

    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        match &self.action {
            Action::List { format } => {
                let rows = worktrees(world).list();
                let mut table =
                    Table::new(["Repository", "State", "Size", "Last used", "Why", "Path"]).numeric(2).optional([3, 0]);
                for row in &rows {
                    table.row([
                        row.repository.clone(),
                        row.state.name().to_owned(),
                        bytes(row.bytes),
                        row.used_at.map(|at| at.local()).unwrap_or_default(),
                        row.state.why().to_owned(),
                        row.path.display().to_string(),
                    ]);
                }
                format.print(&rows, &table, "There are no worktrees.", output)
            }
            Action::Reclaim { dry_run, repo, format } => {
                let rows = worktrees(world).reclaim(repo.as_deref(), *dry_run);
                let goes = if *dry_run { "would go" } else { "gone" };
                let mut table = Table::new(["Repository", "", "State", "Size", "Why", "Path"]).numeric(3).optional([0]);
                for row in &rows {
                    table.row([
                        row.repository.clone(),
                        if row.goes { goes } else { "stays" }.to_owned(),
                        row.state.to_owned(),
                        bytes(row.bytes),
                        row.why.clone(),
                        row.path.display().to_string(),
                    ]);
                }
                format.print(&rows, &table, "There are no worktrees.", output)?;
                if *format == Format::Table && !rows.is_empty() {
                    let freed: u64 = rows.iter().filter(|row| row.goes).map(|row| row.bytes).sum();
                    let count = rows.iter().filter(|row| row.goes).count();
                    output.line(&format!("{count} of {} {goes}, {}", rows.len(), bytes(freed)));
                }
                Ok(())
            }
        }
    }
}

/// `12.3 MB`.
fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mut amount = count as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if amount < 1024.0 {
            return if unit == "B" { format!("{amount} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TB")
}
