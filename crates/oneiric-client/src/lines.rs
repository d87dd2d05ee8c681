//! A peer's routes whose answer or body is lines of JSON of any length.

use std::fmt::Write;
use std::io::Read;
use std::time::Duration;

use serde_json::Value;

use crate::peer::{Peer, PeerError, explain};

/// Longest wait for the first word of an answer, and for the answer to a body that has come whole.
const FIRST_WORD: Duration = Duration::from_secs(30);
const AFTER_BODY: Duration = Duration::from_secs(3_600);
/// An answer that explains a refusal is no longer than this.
const MAX_PROBLEM_BYTES: u64 = 64 * 1024;

impl Peer {
    /// The lines that `GET path` answers with; `query` is not encoded yet. An answer that breaks off is an error of the reader.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn read_lines(&self, path: &str, query: &[(&str, String)]) -> Result<impl Read + Send + use<>, PeerError> {
        let base = self.base();
        let mut url = format!("{base}{path}");
        for (at, (name, value)) in query.iter().enumerate() {
            let _ = write!(url, "{}{name}={}", if at == 0 { '?' } else { '&' }, encoded(value));
        }
        let request = self.agent().get(url).config().timeout_recv_response(Some(FIRST_WORD)).build();
        let request = match self.authorization() {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        let response = request.call().map_err(|error| explain(&base, error, FIRST_WORD))?;
        Ok(accepted(&base, response)?.into_body().into_reader())
    }

    /// Sends lines to `POST path`, and gives the answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn send_lines(&self, path: &str, mut lines: impl Read) -> Result<Value, PeerError> {
        let base = self.base();
        let request =
            self.agent().post(format!("{base}{path}")).config().timeout_recv_response(Some(AFTER_BODY)).build();
        let request = request.header("Content-Type", "application/x-ndjson");
        let request = match self.authorization() {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        let body = ureq::SendBody::from_reader(&mut lines);
        let response = request.send(body).map_err(|error| explain(&base, error, AFTER_BODY))?;
        let text = accepted(&base, response)?.body_mut().read_to_string();
        let text = text.map_err(|error| explain(&base, error, AFTER_BODY))?;
        serde_json::from_str(&text).map_err(|_| foreign(&base, 200))
    }
}

fn accepted(
    base: &str,
    mut response: ureq::http::Response<ureq::Body>,
) -> Result<ureq::http::Response<ureq::Body>, PeerError> {
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response);
    }
    let text = response.body_mut().with_config().limit(MAX_PROBLEM_BYTES).read_to_string().unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let told = |name: &str| problem.get(name).and_then(Value::as_str);
    match (told("code"), told("detail")) {
        (_, Some(detail)) if matches!(status, 401 | 403) => Err(PeerError::Denied(detail.to_owned())),
        (Some(code), Some(detail)) => Err(PeerError::Tool { code: code.to_owned(), message: detail.to_owned() }),
        _ => Err(foreign(base, status)),
    }
}

fn foreign(base: &str, status: u16) -> PeerError {
    PeerError::Protocol(format!(
        "{base} answered HTTP {status} and nothing that is understood: is it of another version?"
    ))
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_of_a_query_cannot_leave_it() {
        assert_eq!(super::encoded("a b&c=ä/7"), "a%20b%26c%3D%C3%A4%2F7");
    }
}
