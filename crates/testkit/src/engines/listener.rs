//! A port on this machine, each of whose connections gets a thread of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// It listens no more when it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on a free port and gives each connection to `answer`.
    ///
    /// # Panics
    /// When there is no port.
    pub(super) fn start(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let ending = Arc::new(AtomicBool::new(false));
        let thread = {
            let (ending, answer) = (Arc::clone(&ending), Arc::new(answer));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if ending.load(Ordering::SeqCst) {
                        break;
                    }
                    let answer = Arc::clone(&answer);
                    std::thread::spawn(move || answer(stream));
                }
            })
        };
        Self { port, ending, thread: Some(thread) }
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
