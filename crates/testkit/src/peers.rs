//! Listeners that behave badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Accepts connections on a port and never answers.
#[derive(Debug)]
pub struct Silent(Acceptor);

impl Silent {
    /// Listens on `port`.
    ///
    /// # Panics
    /// When the port is taken.
    #[must_use]
    pub fn on(port: u16) -> Self {
        Self(Acceptor::on(port, Vec::push))
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }
}

/// Passes everything on to another port, each piece of an answer after a delay.
#[derive(Debug)]
pub struct Slow {
    /// Ends the acceptor when dropped.
    _acceptor: Acceptor,
}

impl Slow {
    /// Listens on `port` in front of `behind`.
    ///
    /// # Panics
    /// When the port is taken.
    #[must_use]
    pub fn on(port: u16, behind: u16, delay: Duration) -> Self {
        let acceptor = Acceptor::on(port, move |open, near| {
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)) else { return };
            let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
            if let Ok(kept) = near.try_clone() {
                open.push(kept);
            }
            std::thread::spawn(move || pass(near, far, Duration::ZERO));
            std::thread::spawn(move || pass(far_too, near_too, delay));
        });
        Self { _acceptor: acceptor }
    }
}

/// Answers every request with a web page, as something else on a port does.
#[derive(Debug)]
pub struct Foreign {
    /// Ends the acceptor when dropped.
    _acceptor: Acceptor,
}

impl Foreign {
    /// Listens on `port`.
    ///
    /// # Panics
    /// When the port is taken.
    #[must_use]
    pub fn on(port: u16) -> Self {
        let page = "<html>It works!</html>";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            page.len()
        );
        let acceptor = Acceptor::on(port, move |_, mut stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            // A request that is left unread would turn the end into a reset.
            let _ = stream.read(&mut [0; 64 * 1024]);
            let _ = stream.write_all(answer.as_bytes());
        });
        Self { _acceptor: acceptor }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // Not a wait for something: slowness is what this listener is for.
        std::thread::sleep(delay);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[derive(Debug)]
struct Acceptor {
    port: u16,
    ending: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    fn on(port: u16, mut each: impl FnMut(&mut Vec<TcpStream>, TcpStream) + Send + 'static) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap_or_else(|error| panic!("port {port}: {error}"));
        let ending = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let (stop, counter) = (Arc::clone(&ending), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                each(&mut open, stream);
            }
            for stream in open {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Self { port, ending, count, thread: Some(thread) }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
