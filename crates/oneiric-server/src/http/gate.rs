//! Keeps web pages of other origins out.
//!
//! A page in a person's browser can make their browser call a server on their own machine, and by DNS rebinding even read
//! the answer: it then sends a `Host` that is not ours, or an `Origin`. Both are judged on every path.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Uri, header};

/// Names under which this server may be addressed.
#[derive(Clone, Debug)]
pub struct Gate {
    names: Arc<[String]>,
    any_address: bool,
}

impl Gate {
    /// Loopback names, `bound` (the host that was asked for) and `more`.
    ///
    /// A server that listens beyond loopback also answers to any literal address: those cannot be rebound.
    #[must_use]
    pub fn new(bound: &str, beyond_loopback: bool, more: &[String]) -> Self {
        let mut names = vec!["localhost".to_owned(), bound.to_ascii_lowercase()];
        names.extend(more.iter().map(|name| name.to_ascii_lowercase()));
        Self { names: names.into(), any_address: beyond_loopback }
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        let host = match headers.get(header::HOST) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => uri.authority().map(axum::http::uri::Authority::as_str).unwrap_or_default(),
        };
        if headers.get_all(header::HOST).iter().count() > 1 || !self.knows(host) {
            return Err(format!("Host '{}' is not this server", shown(host)));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if !authority.is_some_and(|authority| self.knows(authority)) {
                return Err(format!("Origin '{}' is not this server's", shown(origin)));
            }
        }
        Ok(())
    }

    fn knows(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || self.any_address || self.names.contains(&host),
            Err(_) => self.names.contains(&host),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn passes(gate: &Gate, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        gate.check(&Uri::from_static("/mcp"), &headers).is_ok()
    }

    #[test]
    fn only_this_machines_names_pass_on_loopback() {
        let gate = Gate::new("127.0.0.1", false, &[]);
        for host in ["localhost", "LOCALHOST:8678", "127.0.0.1:8678", "[::1]:8678", "127.0.0.2"] {
            assert!(passes(&gate, host, None), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example:8678", "a@localhost"]
        {
            assert!(!passes(&gate, host, None), "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_do_not_pass() {
        let gate = Gate::new("127.0.0.1", false, &["box.lan".into()]);
        assert!(passes(&gate, "localhost", Some("http://localhost:3000")));
        assert!(passes(&gate, "localhost", Some("https://box.lan")));
        for origin in ["null", "https://evil.example", "file://", "http://localhost.evil.example"] {
            assert!(!passes(&gate, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_server_beyond_loopback_answers_to_addresses_but_not_to_foreign_names() {
        let gate = Gate::new("0.0.0.0", true, &[]);
        assert!(passes(&gate, "10.1.2.3:8678", None));
        assert!(!passes(&gate, "evil.example", None));
    }
}
