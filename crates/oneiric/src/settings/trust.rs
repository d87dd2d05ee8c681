//! Reads a settings file only when nobody but its user (or root) could have written it.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::fault::{Fault, Result};
use crate::paths::plain;

/// The largest settings file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file's text, and why it must not be believed if it must not.
pub(super) struct Opened {
    pub text: String,
    pub distrust: Option<Fault>,
}

/// A file's text; `None` when there is no such file. `shown` is how messages name it.
///
/// # Errors
/// Configuration, when it cannot be read, is larger than 1 MiB or no UTF-8 text, or when others could have written it.
pub fn read_trusted(path: &Path, shown: &str) -> Result<Option<String>> {
    match open(path, shown)? {
        Some(Opened { distrust: Some(fault), .. }) => Err(fault),
        opened => Ok(opened.map(|opened| opened.text)),
    }
}

/// Opens `path`; `None` when there is no such file. `shown` is how messages name it.
pub(super) fn open(path: &Path, shown: &str) -> Result<Option<Opened>> {
    let unreadable = |why: String| Fault::config(format!("cannot read {shown}: {why}"));
    // Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => {
            return Err(unreadable(plain(&error)).hint(format!("make it readable: chmod u+r {}", quoted(path))));
        }
    };
    let meta = file.metadata().map_err(|error| unreadable(plain(&error)))?;
    if !meta.is_file() {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    if meta.len() > MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} KiB", MAX_BYTES / 1024)));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| unreadable(plain(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text".to_owned()))?;
    let me = rustix::process::geteuid().as_raw();
    Ok(Some(Opened { text, distrust: distrust(&meta, me, path, shown) }))
}

fn distrust(meta: &Metadata, me: u32, path: &Path, shown: &str) -> Option<Fault> {
    let (owner, group, mode) = (meta.uid(), meta.gid(), meta.mode());
    if owner != me && owner != 0 {
        return Some(
            Fault::config(format!("{shown} belongs to another user (uid {owner}) and is not read"))
                .hint(format!("if you trust it, run: sudo chown {me} {}", quoted(path))),
        );
    }
    // Where every user has a group of their own with the same number, the group is the user again, and a umask of
    // 002 is usual.
    let own_group = group == owner && owner != 0;
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && !own_group) {
        let who = if mode & 0o002 != 0 { "anyone" } else { "its group" };
        return Some(
            Fault::config(format!("{shown} may be written by {who} and is not read"))
                .hint(format!("run: chmod go-w {}", quoted(path))),
        );
    }
    None
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',');
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_another_user_is_not_believed_and_one_of_root_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x y.yaml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert!(distrust(&meta, meta.uid(), &path, "x").is_none());
        let seen_by_other = distrust(&meta, meta.uid() + 1, &path, "x");
        match meta.uid() {
            0 => assert_eq!(seen_by_other, None),
            _ => {
                let fault = seen_by_other.unwrap().to_string();
                assert!(fault.contains("belongs to another user") && fault.contains("chown"), "{fault}");
            }
        }
    }

    #[test]
    fn a_file_that_anyone_may_write_is_not_believed_and_the_mending_command_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it's.yaml");
        fs::write(&path, "a: 1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        let fault = open(&path, "it's.yaml").unwrap().unwrap().distrust.unwrap().to_string();
        assert!(fault.contains("written by anyone"), "{fault}");
        assert!(fault.contains(r"chmod go-w '") && fault.contains(r"it'\''s.yaml'"), "{fault}");
    }

    #[test]
    fn what_is_no_readable_text_file_is_an_error_and_what_is_absent_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(&dir.path().join("absent"), "absent").unwrap().is_none());
        let file = dir.path().join("file");
        fs::write(&file, b"\xff\xfe").unwrap();
        assert!(open(&file, "f").is_err());
        assert!(open(&file.join("below"), "f").unwrap().is_none());
        assert!(open(dir.path(), "d").is_err());
        fs::write(&file, vec![b'a'; 1_100_000]).unwrap();
        assert!(open(&file, "f").is_err());
    }
}
