//! Where the programs under test are.

use std::path::PathBuf;

/// The folder of the built programs.
///
/// # Panics
/// When it cannot be told.
#[must_use]
pub fn folder() -> PathBuf {
    if let Some(given) = std::env::var_os("TESTKIT_BIN_DIR") {
        return PathBuf::from(given);
    }
    // target/<profile>/deps/<test>-<hash>
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("a test executable lies in target/<profile>/deps");
    folder.to_path_buf()
}

/// The program called `name`.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.is_file(), "{} is not there: run 'cargo build --workspace' first", path.display());
    path
}
