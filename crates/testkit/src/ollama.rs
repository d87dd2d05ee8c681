//! An Ollama on a port of its own, good or bad. Its vectors are made of the words' first letters, so texts that share words
//! are near.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::home::TestHome;

/// Name of its model.
pub const MODEL: &str = "fake";

/// How it answers.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The model's digest; another one is another model.
    pub digest: &'static str,
    /// Every request with a text that holds this word is refused.
    pub refuses: Option<&'static str>,
    /// Requests are taken and never answered.
    pub silent: bool,
}

impl Manner {
    /// As it should, with a model of this digest.
    #[must_use]
    pub const fn well(digest: &'static str) -> Self {
        Self { digest, refuses: None, silent: false }
    }
}

/// The peer; it ends when it is dropped.
#[derive(Debug)]
pub struct Ollama {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    manner: Mutex<Manner>,
    ending: AtomicBool,
    asked: AtomicUsize,
}

impl Shared {
    fn manner(&self) -> Manner {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ollama {
    /// Serves on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (manner, ending, asked) = (Mutex::new(manner), AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new(Shared { manner, ending, asked });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ending.load(Ordering::SeqCst) {
                    break;
                }
                serving.asked.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&serving);
                // A client that leaves early is what some tests are about.
                std::thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// A home whose programs use it.
    #[must_use]
    pub fn home(&self) -> TestHome {
        TestHome::new()
            .with_var("SESSION_BUDDY_INTELLIGENCE__ENABLED", "true")
            .with_var("SESSION_BUDDY_INTELLIGENCE__EMBEDDING_MODEL", MODEL)
            .with_var("SESSION_BUDDY_INTELLIGENCE__OLLAMA_BASE_URL", format!("http://127.0.0.1:{}", self.port))
    }

    /// From now on it answers so.
    pub fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(told) = line.trim().to_lowercase().strip_prefix("content-length: ") {
            length = told.parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let manner = shared.manner();
    if manner.silent {
        while !shared.ending.load(Ordering::SeqCst) && shared.manner().silent {
            std::thread::sleep(Duration::from_millis(20));
        }
        return out.shutdown(Shutdown::Both);
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let texts: Vec<&str> = asked["input"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (status, told) = match manner.refuses {
        _ if length == 0 => (200, json!({ "models": [{ "name": MODEL, "digest": manner.digest }] })),
        Some(word) if texts.iter().any(|text| text.contains(word)) => {
            (500, json!({ "error": "failed to encode response: json: unsupported value: NaN" }))
        }
        _ => (200, json!({ "embeddings": texts.iter().map(|text| vector(text, manner.digest)).collect::<Vec<_>>() })),
    };
    let told = told.to_string();
    write!(
        out,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{told}",
        told.len()
    )
}

fn vector(text: &str, digest: &str) -> Vec<f64> {
    let mut vector = vec![0.05; 64];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let letters = digest.chars().chain(word.chars().take(4));
        let hash = letters.fold(0x811c_9dc5_u32, |hash, letter| (hash ^ letter as u32).wrapping_mul(0x0100_0193));
        vector[(hash >> 8) as usize % 64] += 1.0;
    }
    vector
}
