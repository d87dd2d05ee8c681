//! What a log holds of the first page, read the way SQLite reads it: up to the last whole transaction.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

/// Bytes of the log's header and of a frame's.
const HEADER: usize = 32;
const FRAME: usize = 24;
/// Places on the first page.
const WRITE_VERSION: usize = 18;
const SCHEMA_COOKIE: usize = 40;
const APPLICATION: usize = 68;

/// The first page of a database, as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstPage<'b> {
    pub(super) bytes: &'b [u8],
}

impl<'b> FirstPage<'b> {
    /// `None` when these are not the first bytes of a database.
    pub(super) fn of(bytes: &'b [u8]) -> Option<Self> {
        if !bytes.starts_with(b"SQLite format 3\0") || bytes.len() < 100 {
            return None;
        }
        let size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        (size >= 512 && bytes.len() >= size).then(|| Self { bytes: &bytes[..size] })
    }

    fn mark(&self) -> Mark {
        Mark::of(self.bytes)
    }

    /// Whether the file says of itself that it may have a log.
    fn has_log(&self) -> bool {
        self.bytes[WRITE_VERSION] == 2
    }
}

/// What changes on the first page with the transactions of this program, and with those of others that change tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    number: u32,
    cookie: u32,
}

impl Mark {
    fn of(page: &[u8]) -> Self {
        Self { number: word(page, APPLICATION), cookie: word(page, SCHEMA_COOKIE) }
    }
}

/// The whole transactions of a log.
#[derive(Debug)]
pub(super) struct Frames {
    page_size: usize,
    /// The first page as it is written first.
    first: Option<Mark>,
    /// Whether one of its writings is what the file holds.
    copied: bool,
}

impl Frames {
    /// Reads the log; `None` when it holds no whole transaction. `main` is the database's first page.
    pub(super) fn read(path: &Path, main: Option<&[u8]>) -> std::io::Result<Option<Self>> {
        let mut input = BufReader::with_capacity(256 * 1024, File::open(path)?);
        let mut header = [0; HEADER];
        if !filled(&mut input, &mut header)? {
            return Ok(None);
        }
        let big = match word(&header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Ok(None),
        };
        let page_size = word(&header, 8) as usize;
        if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
            return Ok(None);
        }
        let mut sum = Sum { big, at: (0, 0) };
        sum.add(&header[..24]);
        if sum.at != (word(&header, 24), word(&header, 28)) {
            return Ok(None);
        }
        let mut found = Self { page_size, first: None, copied: false };
        let (mut first, mut copied, mut whole) = (None, false, false);
        let (mut head, mut page) = ([0; FRAME], vec![0; page_size]);
        while filled(&mut input, &mut head)? && filled(&mut input, &mut page)? {
            // Frames of an earlier round stand behind those of this one.
            if head[8..16] != header[16..24] {
                break;
            }
            sum.add(&head[..8]);
            sum.add(&page);
            if sum.at != (word(&head, 16), word(&head, 20)) {
                break;
            }
            if word(&head, 0) == 1 {
                first.get_or_insert(Mark::of(&page));
                copied |= main == Some(page.as_slice());
            }
            if word(&head, 4) != 0 {
                (found.first, found.copied, whole) = (first, copied, true);
            }
        }
        Ok(whole.then_some(found))
    }

    /// Whether this log can be that of the database with this first page. In doubt it can.
    ///
    /// The file holds what a checkpoint copied from this very log, or it is where the log began: then the first writing of
    /// the first page counts one up from it (a transaction of this program), or has the same number (of another program, a
    /// restore or a new schema, which may also have changed tables).
    pub(super) fn fit(&self, main: &FirstPage<'_>) -> bool {
        if !main.has_log() || main.bytes.len() != self.page_size {
            return false;
        }
        let Some(first) = self.first.filter(|_| !self.copied) else { return true };
        let mark = main.mark();
        // A database that was just made: all that there is stands in its log.
        if mark == (Mark { number: 0, cookie: 0 }) {
            return true;
        }
        let next = first.number == mark.number.wrapping_add(1) && first.cookie == mark.cookie;
        let same = first.number == mark.number && first.cookie >= mark.cookie;
        next || same
    }
}

/// The log's checksum, which goes on from frame to frame.
struct Sum {
    big: bool,
    at: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let (mut one, mut two) = self.at;
        for pair in bytes.chunks_exact(8) {
            let value = |at: usize| {
                let four = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
            };
            one = one.wrapping_add(value(0)).wrapping_add(two);
            two = two.wrapping_add(value(4)).wrapping_add(one);
        }
        self.at = (one, two);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// Whether `into` could be filled; a shorter rest is none.
fn filled(input: &mut impl Read, into: &mut [u8]) -> std::io::Result<bool> {
    match input.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
