//! A database as a gzip file, with what it holds and its digest in the header, and back.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::bufread::{GzDecoder, MultiGzDecoder};
use flate2::{Compression, GzBuilder};
use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::paths::{plain, private_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sqlite::snapshot::Content;

/// Beginning of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A good part of the smallest size in a third of its time.
const LEVEL: u32 = 4;

/// Bytes at the beginning of a database that say what it is.
const HEADER: u64 = 100;

/// How the database lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Packed by gzip.
    Packed,
    /// As it is.
    Plain,
}

/// What a backup says of itself, in the comment of its gzip header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// When the copy was made.
    pub created_at: Timestamp,
    /// Version of its schema.
    pub schema: u32,
    /// Sessions, archived ones among them.
    pub sessions: u64,
    /// Events, archived ones among them.
    pub events: u64,
    /// Size of the database, unpacked.
    pub bytes: u64,
    /// SHA-256 of the database, unpacked, in hexadecimal digits.
    pub sha256: String,
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot {what} {}: {}", path.display(), plain(error)))
        .hint("check the folder's rights and its free space")
}

/// Packs the database at `from` into the new file `to`; it is on disk when this returns.
pub(super) fn pack(from: &Path, to: &Path, content: &Content, now: Timestamp) -> Result<()> {
    let unreadable = |error: std::io::Error| failed("read", from, &error);
    let unwritable = |error: std::io::Error| failed("write", to, &error);
    let mut source = File::open(from).map_err(unreadable)?;
    let mut sha = Sha256::new();
    let bytes = transfer(&mut source, |part| {
        sha.update(part);
        Ok(())
    })
    .map_err(unreadable)?;
    let label = Label {
        created_at: now,
        schema: content.schema,
        sessions: content.sessions,
        events: content.events,
        bytes,
        sha256: hex(&sha.finalize()),
    };
    let comment = serde_json::to_vec(&label).map_err(|error| Fault::internal(format!("label: {error}")))?;
    let file = private_file().write(true).create_new(true).open(to).map_err(unwritable)?;
    let builder = GzBuilder::new().filename("sessions.db").comment(comment);
    let mut out = builder.write(BufWriter::new(file), Compression::new(LEVEL));
    let mut source = File::open(from).map_err(unreadable)?;
    transfer(&mut source, |part| out.write_all(part)).map_err(unwritable)?;
    let file = out.finish().and_then(|out| out.into_inner().map_err(std::io::IntoInnerError::into_error));
    file.and_then(|file| file.sync_all()).map_err(unwritable)
}

fn transfer(source: &mut impl Read, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                take(&buffer[..count])?;
                bytes += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_gzip(path: &Path) -> std::io::Result<bool> {
    let mut start = [0; 2];
    match File::open(path)?.read_exact(&mut start) {
        Ok(()) => Ok(start == MAGIC),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the file says of itself.
pub(super) fn label(path: &Path) -> Option<Label> {
    if !is_gzip(path).ok()? {
        return None;
    }
    // The header alone is read; a hostile one is bounded by this.
    let mut decoder = GzDecoder::new(BufReader::new(File::open(path).ok()?.take(64 * 1024)));
    // What is behind the header need not be whole to read it.
    let _ = decoder.read(&mut [0]);
    serde_json::from_slice(decoder.header()?.comment()?).ok()
}

/// Whether the last bytes of a packed file say the size that it was made with, as its label does: cheap, and enough to know one
/// that was cut off.
pub(super) fn has_end(path: &Path, label: &Label) -> bool {
    let mut size = [0; 4];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut size)
    });
    // gzip keeps the lower 32 bits.
    read.is_ok() && u64::from(u32::from_le_bytes(size)) == label.bytes & u64::from(u32::MAX)
}

/// Whether a packed file holds what its label says, found without room for it.
pub(super) fn is_intact(path: &Path, label: &Label) -> bool {
    let mut sha = Sha256::new();
    let Ok(file) = File::open(path) else { return false };
    let read = transfer(&mut MultiGzDecoder::new(BufReader::new(file)).take(label.bytes.saturating_add(1)), |part| {
        sha.update(part);
        Ok(())
    });
    read.is_ok_and(|bytes| bytes == label.bytes) && label.sha256 == hex(&sha.finalize())
}

/// Bytes of a database as its first ones say, so that a small file cannot fill the disk. Of what is no database, these are all
/// that is taken: whoever opens it then says what it is.
fn bytes_by_header(head: &[u8]) -> u64 {
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    if !head.starts_with(b"SQLite format 3\0") {
        return head.len() as u64;
    }
    let page = match head.get(16..18) {
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => u64::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    // Very old programs do not count the pages.
    let counted = number(28) > 0 && number(24) == number(92);
    if counted { page * u64::from(number(28)) } else { u64::MAX }
}

/// Unpacks `file` into the new file `to`, or copies it when it is not packed. Its content is checked by its label. Never more
/// is written than the label says, or without one the database's own first page.
pub(super) fn unpack(file: &Path, to: &Path, shown: &str) -> Result<Form> {
    let unreadable = |error: std::io::Error| failed("read", file, &error);
    let packed = is_gzip(file).map_err(unreadable)?;
    let label = label(file);
    let source = BufReader::new(File::open(file).map_err(unreadable)?);
    let mut source: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
    let mut target =
        private_file().write(true).create_new(true).open(to).map_err(|error| failed("write", to, &error))?;
    let mut sha = Sha256::new();
    let mut refused: Option<std::io::Error> = None;
    let mut take = |part: &[u8]| {
        sha.update(part);
        target.write_all(part).map_err(|error| {
            let kind = error.kind();
            refused = Some(error);
            kind.into()
        })
    };
    let mut head = Vec::new();
    let done = source.by_ref().take(HEADER).read_to_end(&mut head).and_then(|_| {
        let bytes = label.as_ref().map_or_else(|| bytes_by_header(&head), |label| label.bytes);
        // One more, so that a longer one is known as such, and the end of any other is read and checked.
        transfer(&mut head.as_slice().chain(source).take(bytes.saturating_add(1)), &mut take)
    });
    if let Some(error) = refused {
        return Err(failed("write", to, &error));
    }
    let damaged = |detail: &str| {
        Fault::unavailable(format!("{shown} is damaged ({detail})"))
            .hint("use another one: 'session-buddy backup verify --all' says which are whole")
    };
    let bytes = done.map_err(|error| match packed {
        true => damaged("it cannot be unpacked to its end"),
        false => unreadable(error),
    })?;
    match label {
        Some(label) if label.bytes != bytes => Err(damaged("its size is not the one it was made with")),
        Some(label) if label.sha256 != hex(&sha.finalize()) => Err(damaged("its checksum is wrong")),
        _ if packed => Ok(Form::Packed),
        _ => Ok(Form::Plain),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_small_file_is_unpacked_no_further_than_it_says_that_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        rusqlite::Connection::open(path("db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let database = std::fs::read(path("db")).unwrap();
        let content = Content { schema: 1, sessions: 0, events: 0, remarks: Vec::new() };
        pack(&path("db"), &path("label.gz"), &content, Timestamp::from_micros(0)).unwrap();
        let zeros = vec![0; 1024 * 1024];
        let longer = [database.as_slice(), &zeros].concat();
        std::fs::write(path("longer.gz"), [std::fs::read(path("label.gz")).unwrap(), gzip(&zeros)].concat()).unwrap();
        std::fs::write(path("zeros.gz"), gzip(&zeros)).unwrap();
        std::fs::write(path("zeros"), &zeros).unwrap();
        std::fs::write(path("unlabelled.gz"), gzip(&longer)).unwrap();
        std::fs::write(path("cut.gz"), &gzip(&database)[..100]).unwrap();
        for (name, is_taken, most) in [
            ("label.gz", true, database.len()),
            ("longer.gz", false, database.len() + 1),
            ("zeros.gz", true, 101),
            ("zeros", true, 101),
            ("unlabelled.gz", true, database.len() + 1),
            ("cut.gz", false, database.len()),
        ] {
            let to = path(&format!("{name}.db"));
            assert_eq!(unpack(&path(name), &to, name).is_ok(), is_taken, "{name}");
            let bytes = std::fs::metadata(&to).unwrap().len();
            assert!(bytes <= most as u64, "{name}: {bytes}");
        }
    }
}
