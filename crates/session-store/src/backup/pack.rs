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
    let read = transfer(&mut MultiGzDecoder::new(BufReader::new(file)), |part| {
        sha.update(part);
        Ok(())
    });
    read.is_ok_and(|bytes| bytes == label.bytes) && label.sha256 == hex(&sha.finalize())
}

/// Unpacks `file` into the new file `to`, or copies it when it is not packed. Its content is checked by its label.
pub(super) fn unpack(file: &Path, to: &Path, shown: &str) -> Result<Form> {
    let unreadable = |error: std::io::Error| failed("read", file, &error);
    let packed = is_gzip(file).map_err(unreadable)?;
    let label = label(file);
    let source = BufReader::new(File::open(file).map_err(unreadable)?);
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
    let done = if packed {
        transfer(&mut MultiGzDecoder::new(source), &mut take)
    } else {
        transfer(&mut { source }, &mut take)
    };
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
