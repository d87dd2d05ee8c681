//! Programs that end, as by `kill -9`, at a chosen point of their writing to a database.
//!
//! The programs are those that are shipped: what ends them is a small library that is loaded into them (`crash/points.c`)
//! and sees what they write. So every bound of a transaction can be tried, and nothing in the programs knows of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::program::{Finished, Program};

const SOURCE: &str = include_str!("crash/points.c");

/// What counts as a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// The bounds of transactions: before the first write, in the middle of the last one, and right after it.
    Transactions,
    /// Before every single write.
    Writes,
}

impl Program {
    /// Lets the program end at the `at`-th point (the first is 1) of its writing to this database.
    ///
    /// # Panics
    /// When the library cannot be made: `cc` makes it, which the workspace needs anyway.
    #[must_use]
    pub fn crashing(self, database: &Path, points: Points, at: u64) -> Self {
        let points = match points {
            Points::Transactions => "transactions",
            Points::Writes => "writes",
        };
        self.var("LD_PRELOAD", library().to_string_lossy())
            .var("CRASH_FILE", database.to_string_lossy())
            .var("CRASH_POINTS", points)
            .var("CRASH_AT", at.to_string())
    }
}

impl Finished {
    /// Whether a signal ended it.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.code.is_none()
    }
}

fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        // Below the folder of the programs, so that it goes with them; under a name of its own, since tests run side by side.
        let folder = crate::binaries::folder();
        let (made, final_place) =
            (folder.join(format!("crash-points.{}.so", std::process::id())), folder.join("crash-points.so"));
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"])
            .arg(&made)
            .stdin(Stdio::piped())
            .spawn()
            .expect("'cc' is needed to make the library that ends programs");
        let mut input = compiler.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, SOURCE.as_bytes()).expect("the compiler reads");
        drop(input);
        assert!(compiler.wait().expect("the compiler ends").success(), "crash/points.c cannot be compiled");
        std::fs::rename(&made, &final_place).expect("the library's place");
        final_place
    })
}
