//! Measures the real programs, in release builds, over real files, and prints each figure beside its limit.
//!
//! Machines differ and are noisy, so medians and ratios count: what is compared is measured in turns, and ingestion is
//! compared with SQLite itself in the same run. `docs/performance.md` says what each line means.

mod big;
mod capture;
mod chunks;
mod corpus;
mod database;
mod embed;
mod figures;
mod hybrid;
mod ingest;
mod list;
mod pace;
mod raw;
mod reports;
mod search;
mod server;
mod shell;
mod size;
mod slips;
mod store;
mod upkeep;
mod vectors;
mod workflows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use serde_json::json;

use crate::program::{Built, target};
use crate::{Result, workspace};
use corpus::Corpus;
use figures::{Figure, Spread, Unit, table};

/// Groups of figures, in the order in which they run.
const GROUPS: [&str; 14] = [
    "size",
    "server",
    "shell",
    "list",
    "search",
    "hybrid",
    "reports",
    "ingest",
    "store",
    "capture",
    "upkeep",
    "embed",
    "vectors",
    "workflows",
];

/// Set for the optimised copy of this program, which does the measuring.
const OPTIMISED: &str = "XTASK_BENCH_OPTIMISED";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    quick: bool,
    big: bool,
    clean: bool,
    only: Vec<String>,
    json: Option<PathBuf>,
}

/// What every measurement needs.
pub(crate) struct Bench {
    pub(crate) built: Built,
    /// Below cargo's target folder, so on a real disk.
    pub(crate) folder: PathBuf,
    pub(crate) corpus: Corpus,
    /// Fewer runs over less data, to see that everything works.
    pub(crate) quick: bool,
    pub(crate) big: bool,
}

impl Bench {
    /// `full`, or `quick` when that was asked for.
    pub(crate) fn runs(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let wanted = parse(arguments)?;
    let folder = target()?.join("bench");
    if wanted.clean {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        println!("removed {}", folder.display());
        return Ok(true);
    }
    let root = workspace::root();
    if std::env::var_os(OPTIMISED).is_none() {
        // Generating and sending are part of the work, so this program has to be optimised too.
        let built = Built::build(&root, true, &["xtask"])?;
        let status = Command::new(built.path("xtask")).arg("bench").args(arguments).env(OPTIMISED, "1").status()?;
        return Ok(status.success());
    }
    std::fs::create_dir_all(&folder)?;
    let built = Built::release()?;
    let bench = Bench { built, folder, corpus: Corpus::new(), quick: wanted.quick, big: wanted.big };
    measure(&bench, &wanted, &root)
}

fn measure(bench: &Bench, wanted: &Wanted, root: &Path) -> Result<bool> {
    let mut figures = Vec::new();
    for group in GROUPS.iter().filter(|group| wanted.only.is_empty() || wanted.only.iter().any(|only| only == *group)) {
        eprintln!("bench: {group} …");
        let measured = match *group {
            "size" => size::measure(bench),
            "server" => server::measure(bench),
            "shell" => shell::measure(bench),
            "list" => list::measure(bench),
            "search" => search::measure(bench),
            "hybrid" => hybrid::measure(bench),
            "capture" => capture::measure(bench),
            "reports" => reports::measure(bench),
            "upkeep" => upkeep::measure(bench),
            "ingest" => ingest::measure(bench),
            "embed" => embed::measure(bench),
            "vectors" => vectors::measure(bench),
            "workflows" => workflows::measure(bench),
            _ => store::measure(bench),
        };
        match measured {
            Ok(measured) => {
                eprint!("{}", table(&measured));
                figures.extend(measured);
            }
            Err(error) => figures
                .push(Figure::new(*group, "", Unit::Times, Spread::default()).failed_if(true, || error.to_string())),
        }
    }
    println!("{}", table(&figures));
    let failed = figures.iter().filter(|figure| figure.ok() == Some(false)).count();
    let path = wanted.json.clone().unwrap_or_else(|| bench.folder.join("report.json"));
    let report = json!({
        "commit": workspace::stdout(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root)).unwrap_or_default().trim(),
        "measured_at": SystemClock.now(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "quick": bench.quick,
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    });
    std::fs::write(&path, format!("{report:#}\n"))?;
    println!("{} figures, {failed} outside their limit; written to {}", figures.len(), path.display());
    Ok(failed == 0)
}

fn parse(arguments: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => wanted.quick = true,
            "--clean" => wanted.clean = true,
            "--json" => wanted.json = Some(value()?.into()),
            "--scale" => match value()?.as_str() {
                "big" => wanted.big = true,
                other => return Err(format!("no scale '{other}'; there is big").into()),
            },
            "--only" => {
                let name = value()?;
                if !GROUPS.contains(&name.as_str()) {
                    return Err(format!("no figures '{name}'; there are {}", GROUPS.join(", ")).into());
                }
                wanted.only.push(name.clone());
            }
            other => return Err(format!("bench does not know '{other}'").into()),
        }
    }
    Ok(wanted)
}

/// Time that only goes forward.
pub(crate) fn now() -> Duration {
    SystemClock.monotonic()
}

/// Runs `work` and gives the time it took with what it gave.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = SystemClock.monotonic();
    let done = work();
    (SystemClock.monotonic().saturating_sub(begin), done)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Wanted> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_understood_or_refused_by_name() {
        let wanted = parsed("--quick --only shell --only size --json out.json --scale big").unwrap();
        assert!(wanted.quick && wanted.big && !wanted.clean);
        assert_eq!(wanted.only, ["shell", "size"]);
        assert_eq!(wanted.json, Some("out.json".into()));
        for (line, said) in
            [("--only x", "no figures 'x'"), ("--json", "--json needs"), ("x", "know 'x'"), ("--scale x", "no scale")]
        {
            assert!(parsed(line).unwrap_err().to_string().contains(said), "{line}");
        }
    }
}
