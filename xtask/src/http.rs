//! HTTP/1.1 over one kept-open connection, as lean as can be, so that a measurement measures the server.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer than this; a server that hangs ends the task instead of hanging it.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection to a server.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) event_stream: bool,
    pub(crate) body: String,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), host: address.to_owned() })
    }

    /// Asks for `path`.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut self.stream)
    }

    /// Posts JSON. Head and body leave in one write.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut request = Vec::with_capacity(body.len() + 512);
        write!(request, "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", self.host)?;
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n")?;
        }
        write!(request, "Content-Length: {}\r\n\r\n", body.len())?;
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        read_answer(&mut self.stream)
    }
}

fn read_answer(stream: &mut impl BufRead) -> io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status line"))?;
    let (mut length, mut chunked, mut event_stream) = (0, false, false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("the head ended early"));
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| broken("a length that is no number"))?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        event_stream |= header.starts_with("content-type:") && header.contains("text/event-stream");
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(stream, &mut body)?;
    } else {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    }
    let body = String::from_utf8(body).map_err(|_| broken("a body that is not UTF-8"))?;
    Ok(Answer { status, event_stream, body })
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16)
            .map_err(|_| broken("a chunk without size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        line.clear();
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(text: &str) -> io::Result<Answer> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read_alike() {
        let plain = answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n";
        assert_eq!(plain, Answer { status: 200, event_stream: false, body: "hello".into() });
        assert_eq!(answer(chunked).unwrap(), plain);
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        for text in ["", "nonsense\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1 200 OK\r\n"] {
            assert!(answer(text).is_err(), "{text:?}");
        }
    }
}
