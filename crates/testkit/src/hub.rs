//! A hub that models are pulled from, good or bad, on a port of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How it answers for weights; everything else it answers well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Well,
    /// A piece of so many bytes every ten milliseconds.
    Slowly(usize),
    /// Promises all, and ends every answer after so many bytes.
    EndsAfter(usize),
    /// Ends after so many bytes and then sends nothing more, with the connection open.
    SilentAfter(usize),
    /// Says that there is less than it has.
    SaysLess,
    /// Takes no notice of `Range`.
    WithoutRange(usize),
}

/// What was asked for: a file's name, and the byte that `Range` begins with.
pub type Asked = (String, Option<usize>);

/// The hub; it ends when it is dropped.
#[derive(Debug)]
pub struct Hub {
    port: u16,
    ending: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    manner: Arc<Mutex<Manner>>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// Serves these files below any repository.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn of(files: BTreeMap<String, Vec<u8>>, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let ending = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(Mutex::new(manner));
        let files = Arc::new(files);
        let thread = {
            let (ending, asked, manner) = (Arc::clone(&ending), Arc::clone(&asked), Arc::clone(&manner));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if ending.load(Ordering::SeqCst) {
                        break;
                    }
                    let (files, asked, ending) = (Arc::clone(&files), Arc::clone(&asked), Arc::clone(&ending));
                    let manner = *manner.lock().unwrap_or_else(PoisonError::into_inner);
                    // A client that leaves early is what some tests are about.
                    std::thread::spawn(move || drop(answer(stream, &files, &asked, manner, &ending)));
                }
            })
        };
        Self { port, ending, asked, manner, thread: Some(thread) }
    }

    /// Its address, for `models.hub_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it answers so.
    pub fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// What it was asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(
    stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    asked: &Mutex<Vec<Asked>>,
    manner: Manner,
    ending: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut range = None;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(from) = header.trim().to_lowercase().strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), range));
    let Some(bytes) = files.get(&name).filter(|_| path.contains("/resolve/main/")) else {
        return out.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    let manner = if name.ends_with(".safetensors") { manner } else { Manner::Well };
    let range = range.filter(|_| !matches!(manner, Manner::WithoutRange(_)));
    let all = bytes.len();
    let from = range.unwrap_or(0);
    if from >= all {
        let head =
            format!("HTTP/1.1 416 X\r\ncontent-range: bytes */{all}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return out.write_all(head.as_bytes());
    }
    let body = &bytes[from..];
    let promised = if manner == Manner::SaysLess { body.len() / 2 } else { body.len() };
    let status = match range {
        Some(_) => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{all}", all - 1),
        None => "200 OK".to_owned(),
    };
    write!(out, "HTTP/1.1 {status}\r\ncontent-length: {promised}\r\nconnection: close\r\n\r\n")?;
    match manner {
        Manner::Well | Manner::SaysLess => out.write_all(body),
        Manner::Slowly(piece) | Manner::WithoutRange(piece) => {
            for part in body.chunks(piece) {
                out.write_all(part)?;
                // Not a wait for something: slowness is what is asked for.
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Manner::EndsAfter(bytes) => out.write_all(&body[..bytes.min(body.len())]),
        Manner::SilentAfter(bytes) => {
            out.write_all(&body[..bytes.min(body.len())])?;
            while !ending.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            out.shutdown(Shutdown::Both)
        }
    }
}
