//! A small HTTP client: every call takes a bounded time and reads a bounded answer.

use std::io::{self, Read};
use std::time::Duration;

use oneiric::paths::plain;
use oneiric::secret::Secret;
use serde_json::Value;

use super::{Trouble, short};

/// Answers larger than this are not read.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// Longest wait that an engine may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Credentials as the engine takes them.
#[derive(Clone)]
pub enum Credentials {
    /// None.
    Nothing,
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// `Authorization: Basic`, of `user:password`.
    Basic(Secret),
}

/// A server that is asked over HTTP. Connections are kept open between calls, also by copies.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    name: &'static str,
    base: String,
    credentials: Credentials,
    limit: Duration,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its JSON, or why there is none.
    pub body: Result<Value, String>,
    retry_after: Option<Duration>,
}

/// What is sent along.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// Nothing; the request is a GET.
    None,
    /// JSON; the request is a POST.
    Json(&'a Value),
    /// Fields of a form; the request is a POST.
    Form(&'a [(&'a str, String)]),
}

impl Http {
    /// A client for the server called `name` at `base`. Nothing is connected yet.
    #[must_use]
    pub fn new(name: &'static str, base: &str, credentials: Credentials, limit: Duration) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        // What runs on this machine is never asked through a proxy.
        let config = if is_local(&base) { config.proxy(None) } else { config };
        Self { agent: config.build().into(), name, base, credentials, limit }
    }

    /// The same with another longest wait for an answer.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Its address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether credentials would travel to another machine unencrypted.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !matches!(self.credentials, Credentials::Nothing) && self.base.starts_with("http://") && !is_local(&self.base)
    }

    /// Asks; gives the answer whatever its status.
    ///
    /// # Errors
    /// Unreachable, silent.
    pub fn ask(&self, path: &str, payload: Payload, headers: &[(&str, &str)]) -> Result<Answer, Trouble> {
        let mut response = self.send(path, payload, headers, self.limit)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| self.explain(&error, self.limit))?;
        let body = serde_json::from_slice(&body).map_err(|_| short(&String::from_utf8_lossy(&body)));
        Ok(Answer { status, body, retry_after: retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)) })
    }

    /// Asks; gives the JSON of a good answer.
    ///
    /// # Errors
    /// As [`Http::ask`] and [`Http::good`].
    pub fn json(&self, path: &str, payload: Payload, headers: &[(&str, &str)]) -> Result<Value, Trouble> {
        let answer = self.ask(path, payload, headers)?;
        self.good(answer)
    }

    /// The JSON of a good answer.
    ///
    /// # Errors
    /// [`Trouble`], by the status and what the body says.
    pub fn good(&self, answer: Answer) -> Result<Value, Trouble> {
        let Self { name, .. } = self;
        let status = answer.status;
        if (200..300).contains(&status) {
            return answer.body.map_err(|text| {
                Trouble::Broken(format!("{name} answers with something else than JSON: is it at {}? {text}", self.base))
            });
        }
        let said = answer.body.as_ref().map_or_else(Clone::clone, reason);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(match status {
            401 | 403 => Trouble::Denied(format!("{name} wants other credentials ({status}{said})")),
            404 | 410 => Trouble::NotFound(format!("{name} answers {status}{said}")),
            408 | 425 | 429 | 503 => Trouble::Busy(format!("{name} is busy ({status}{said})"), answer.retry_after),
            300..400 => Trouble::Refused(format!("{name} answers that it is somewhere else ({status}): set its url")),
            400..500 => Trouble::Refused(format!("{name} refuses ({status}{said})")),
            _ => Trouble::Broken(format!("{name} failed ({status}{said})")),
        })
    }

    /// What a stream brings within `limit`, at most `most` bytes, and whether it has ended: engines keep such answers open
    /// while a run goes on.
    ///
    /// # Errors
    /// Unreachable, silent; by the status when it is not a good one.
    pub fn listen(&self, path: &str, limit: Duration, most: u64) -> Result<(Vec<u8>, bool), Trouble> {
        let mut response = self.send(path, Payload::None, &[], limit)?;
        let status = response.status().as_u16();
        if status == 204 {
            return Ok((Vec::new(), true));
        }
        let mut bytes = Vec::new();
        let mut reader = response.body_mut().with_config().reader().take(most);
        let mut buffer = vec![0_u8; 16 * 1024];
        // Its end is a time-out for as long as the run goes on.
        let ended = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break (bytes.len() as u64) < most,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(_) => break false,
            }
        };
        if status == 200 {
            return Ok((bytes, ended));
        }
        let body = serde_json::from_slice(&bytes).map_err(|_| short(&String::from_utf8_lossy(&bytes)));
        self.good(Answer { status, body, retry_after: None }).map(|_| (Vec::new(), false))
    }

    fn send(
        &self,
        path: &str,
        payload: Payload,
        headers: &[(&str, &str)],
        limit: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, Trouble> {
        let url = format!("{}{path}", self.base);
        let authorization = match &self.credentials {
            Credentials::Nothing => None,
            Credentials::Bearer(secret) => Some(format!("Bearer {}", secret.expose())),
            Credentials::Basic(secret) => Some(format!("Basic {}", super::form::base64(secret.expose().as_bytes()))),
        };
        let mut all: Vec<(&str, &str)> = vec![("Accept", "application/json, text/event-stream")];
        all.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        all.extend(headers);
        let sent = match payload {
            Payload::None => {
                let request = self.agent.get(&url).config().timeout_global(Some(limit)).build();
                all.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call()
            }
            Payload::Json(_) | Payload::Form(_) => {
                let request = self.agent.post(&url).config().timeout_global(Some(limit)).build();
                let request = all.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                match payload {
                    Payload::Form(fields) => {
                        request.send_form(fields.iter().map(|(name, value)| (*name, value.as_str())))
                    }
                    Payload::Json(value) => request.header("Content-Type", "application/json").send(value.to_string()),
                    Payload::None => request.send_empty(),
                }
            }
        };
        sent.map_err(|error| self.explain(&error, limit))
    }

    fn explain(&self, error: &ureq::Error, limit: Duration) -> Trouble {
        let Self { name, base, .. } = self;
        let seconds = limit.as_secs_f64();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                Trouble::Unreachable(format!("{name} at {base} does not accept a connection within {seconds} s"))
            }
            ureq::Error::Timeout(_) => Trouble::Silent(format!("no answer from {name} at {base} within {seconds} s")),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Trouble::Unreachable(format!("nobody listens at {base} (connection refused)"))
            }
            ureq::Error::HostNotFound => Trouble::Unreachable(format!("there is no host as in {base}")),
            ureq::Error::Io(error) => Trouble::Silent(format!("the connection to {base} broke: {}", plain(error))),
            ureq::Error::BodyExceedsLimit(_) => Trouble::Broken(format!("{name} answers with too much")),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Trouble::Refused(format!("{base} is no address that can be asked"))
            }
            other => Trouble::Silent(format!("cannot reach {name} at {base}: {other}")),
        }
    }
}

/// Whether an address is one of this machine.
#[must_use]
pub fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a body of an error says: each server has its own place for it.
fn reason(body: &Value) -> String {
    let text = ["detail", "exception_message", "message", "error"].iter().find_map(|name| match body.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let each = list.iter().map(|one| {
                let place = one.get("loc").and_then(Value::as_array).and_then(|loc| loc.last()).and_then(Value::as_str);
                let text = one.get("msg").and_then(Value::as_str).unwrap_or_default();
                place.map_or_else(|| text.to_owned(), |place| format!("{place}: {text}"))
            });
            Some(each.take(3).collect::<Vec<_>>().join("; "))
        }
        other if !other.is_null() => Some(other.to_string()),
        _ => None,
    });
    short(&text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_are_found_where_each_server_puts_them() {
        assert_eq!(reason(&json!({ "detail": "Agent not found" })), "Agent not found");
        assert_eq!(reason(&json!({ "exception_message": "Unauthorized" })), "Unauthorized");
        let many = json!({ "detail": [{ "loc": ["body", "message"], "msg": "Field required" }] });
        assert_eq!(reason(&many), "message: Field required");
        assert_eq!(reason(&json!([])), "");
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        for url in ["http://127.0.0.1:4200/api", "http://localhost", "http://[::1]:1/x", "http://u:p@127.0.0.9:1"] {
            assert!(is_local(url), "{url}");
        }
        for url in ["https://api.example.org", "http://127.0.0.1.example.org", "http://10.0.0.1:80"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
