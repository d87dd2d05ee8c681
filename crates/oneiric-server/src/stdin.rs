//! Standard input: whether a client is on the other end, and what it sends.

use std::io::Read;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use tokio::sync::mpsc;

/// Whether both standard input and output are pipes or sockets, as an MCP client makes them.
#[must_use]
pub fn client_may_be_there() -> bool {
    is_channel(std::io::stdin()) && is_channel(std::io::stdout())
}

fn is_channel(stream: impl AsFd) -> bool {
    fstat(stream).is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket))
}

/// Whether nobody is left who could write to it.
fn is_hung_up(stream: impl AsFd) -> bool {
    let mut looked = [PollFd::new(&stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut looked, Some(&now)).is_ok() && looked[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP)
}

/// Pieces of an input as they come.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    put_back: Option<Vec<u8>>,
    /// Whether it is this process's standard input.
    standard: bool,
}

impl Pieces {
    /// The next piece; `None` at the end. May be given up and asked again.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        match self.put_back.take() {
            Some(piece) => Some(piece),
            None => self.receiver.recv().await,
        }
    }

    /// Whether all of it has come, though some may not be taken yet.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.receiver.is_closed() || self.standard && is_hung_up(std::io::stdin())
    }

    /// Makes `piece` the next one again.
    pub fn put_back(&mut self, piece: Vec<u8>) {
        self.put_back = Some(piece);
    }
}

impl From<mpsc::Receiver<Vec<u8>>> for Pieces {
    fn from(receiver: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { receiver, put_back: None, standard: false }
    }
}

/// Pieces that may wait before the sender is made to wait.
const WAITING: usize = 8;

/// Reads standard input on a thread of its own.
///
/// A blocked read cannot be given up, so the thread is never waited for: it ends with the input or with the process.
#[must_use]
pub fn pieces() -> Pieces {
    let (sender, receiver) = mpsc::channel(WAITING);
    let reading = std::thread::Builder::new().name("stdin".into()).stack_size(128 * 1024).spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    if let Err(error) = reading {
        tracing::error!(%error, "cannot read standard input");
    }
    Pieces { standard: true, ..receiver.into() }
}
