//! Which repository a directory belongs to: its common git directory, worktree, branch, commit and dirty flag.
//!
//! Git answers by its own program: it knows every repository format that the user's git knows. Two short processes
//! run side by side, one for identity and one for the state of the tree, because this is on the way to a prompt.

mod ask;

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Identity and state of a git working tree.
///
/// Two worktrees of one repository have the same `common_dir` and different `worktree`s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryIdentity {
    /// Absolute, resolved path of the git directory that all worktrees share.
    pub common_dir: String,
    /// Absolute, resolved path of the working tree; the git directory itself for a bare repository.
    pub worktree: String,
    /// Branch; absent when the head is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commit; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether tracked files changed or untracked ones exist; absent when git did not answer in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
}

/// The name people use for a repository: the folder of its main working tree, the same for all its worktrees.
#[must_use]
pub fn project_name(identity: &RepositoryIdentity) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let common = Path::new(&identity.common_dir);
    let own = name(common).unwrap_or_default();
    let named = if own == ".git" { common.parent().and_then(name) } else { None };
    named.unwrap_or_else(|| own.strip_suffix(".git").filter(|stem| !stem.is_empty()).unwrap_or(&own).to_owned())
}

/// Asks git about `dir`, for at most `limit`.
///
/// `None` when `dir` is in no repository, when there is no git, or when git did not even name the repository in time.
/// When only the state of the tree took too long, the identity comes without `dirty`.
#[must_use]
pub fn probe(dir: &Path, limit: Duration) -> Option<RepositoryIdentity> {
    let answers = ask::both(dir, limit);
    let mut identity = identity_of(dir, &answers.identity)?;
    if let Some(state) = answers.state.as_deref().map(TreeState::parse) {
        identity.dirty = state.dirty;
        // A branch without a commit is known to `status` alone.
        identity.branch = identity.branch.or(state.branch);
        identity.commit = identity.commit.or(state.commit);
    }
    Some(identity)
}

/// Reads what `rev-parse` printed: common directory, whether inside a working tree, the way up to its top (no line at
/// all when outside), commit, full name of the head.
///
/// `None` when the lines do not add up: then a folder's name holds a line feed, and its first part alone may be that of many.
fn identity_of(dir: &Path, printed: &[u8]) -> Option<RepositoryIdentity> {
    let mut lines = printed
        .strip_suffix(b"\n")
        .unwrap_or(printed)
        .split(|byte| *byte == b'\n')
        .map(path_of)
        .filter(|line| !line.as_os_str().as_encoded_bytes().starts_with(b"--"));
    let common_dir = resolve(dir, &lines.next().filter(|line| !line.as_os_str().is_empty())?);
    let inside = match lines.next()?.to_str()? {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    let worktree = if inside {
        resolve(dir, &lines.next()?)
    } else {
        // In the git directory itself, or in a bare repository.
        let main = common_dir.parent().filter(|_| common_dir.ends_with(".git"));
        main.unwrap_or(&common_dir).to_path_buf()
    };
    let (commit, head) = (lines.next(), lines.next());
    // Before the first commit, the first of them says `HEAD`.
    let adds_up = lines.next().is_none()
        && commit.as_ref().is_none_or(|line| line.as_os_str() == "HEAD" || line.to_str().and_then(commit_of).is_some());
    if !adds_up || !common_dir.join("HEAD").exists() {
        return None;
    }
    let commit = commit.and_then(|line| commit_of(line.to_str()?));
    let branch = head.and_then(|line| Some(line.to_str()?.strip_prefix("refs/heads/")?.to_owned()));
    Some(RepositoryIdentity {
        common_dir: common_dir.to_string_lossy().into_owned(),
        worktree: worktree.to_string_lossy().into_owned(),
        branch,
        commit,
        dirty: None,
    })
}

fn commit_of(text: &str) -> Option<String> {
    let hash = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hash.then(|| text.to_owned())
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Absolute and without symbolic links; git's answers are relative to `dir` in old versions.
fn resolve(dir: &Path, answer: &Path) -> PathBuf {
    let joined = dir.join(answer);
    std::fs::canonicalize(&joined).unwrap_or(joined)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct TreeState {
    branch: Option<String>,
    commit: Option<String>,
    dirty: Option<bool>,
}

impl TreeState {
    /// Reads `status --porcelain=v2 --branch`: headers begin with `#`, and any other line is a change.
    fn parse(printed: &[u8]) -> Self {
        let mut state = Self { dirty: Some(false), ..Self::default() };
        for line in printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = String::from_utf8_lossy(line);
            if let Some(oid) = text.strip_prefix("# branch.oid ") {
                state.commit = commit_of(oid);
            } else if let Some(head) = text.strip_prefix("# branch.head ") {
                state.branch = (head != "(detached)").then(|| head.to_owned());
            } else if !text.starts_with('#') {
                state.dirty = Some(true);
                break;
            }
        }
        state
    }
}

#[cfg(test)]
mod tests;
