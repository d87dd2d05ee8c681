//! Keeps web pages of other origins out.
//!
//! A page in a person's browser can make their browser call a server on their own machine, and by DNS rebinding even read
//! the answer: it then sends a `Host` that is not ours, or an `Origin`, or says by `Sec-Fetch-Site` that another site's page
//! asks. All are judged on every path.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};

/// Names under which this server may be addressed.
#[derive(Clone, Debug)]
pub struct Gate {
    names: Arc<[String]>,
    any_address: bool,
}

/// Why a request may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptOut {
    /// It does not say, or not clearly, whom it addresses.
    Unclear(&'static str),
    /// It addresses another host, or a page of another origin sent it.
    Foreign {
        /// What is foreign.
        reason: String,
        /// The host that would have to be allowed.
        host: Option<String>,
    },
}

impl Gate {
    /// Loopback names, `bound` (the host that was asked for) and `more`; of what they hold, only the host counts, as in
    /// `box.lan:8678` or `[fd00::1]`.
    ///
    /// A server that listens beyond loopback also answers to any literal address: those cannot be rebound.
    #[must_use]
    pub fn new(bound: &str, beyond_loopback: bool, more: &[String]) -> Self {
        let names = std::iter::once(bound).chain(more.iter().map(String::as_str)).map(named);
        let names = std::iter::once("localhost".to_owned()).chain(names).collect();
        Self { names, any_address: beyond_loopback }
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), KeptOut> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next().map(|host| host.to_str().ok().and_then(host_of)), hosts.next()) {
            (Some(Some(host)), None) => host,
            (Some(None), None) => return Err(KeptOut::Unclear("the Host header is not readable")),
            (None, _) => return Err(KeptOut::Unclear("a request needs a Host header")),
            (_, Some(_)) => return Err(KeptOut::Unclear("a request has one Host header")),
        };
        // A target may name a host too, which goes before the header.
        let target = uri.authority().map(|target| host_of(target.as_str()).unwrap_or_default());
        if let Some(foreign) = std::iter::once(&host).chain(&target).find(|host| !self.knows(host, self.any_address)) {
            let reason = format!("Host '{}' is not this server", shown(foreign));
            return Err(KeptOut::Foreign { reason, host: Some(shown(foreign)) });
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).and_then(host_of);
            // An address says nothing about who is behind it, so a page is no better for having one.
            if !page.as_ref().is_some_and(|page| *page == host || self.knows(page, false)) {
                let reason = format!("Origin '{}' is not this server's", shown(origin));
                return Err(KeptOut::Foreign { reason, host: page.as_deref().map(shown) });
            }
        } else if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") && !opens(method, uri, headers)
        {
            // Pictures and scripts of a page come without an Origin.
            let reason = "Sec-Fetch-Site: a page of another site sent it".to_owned();
            return Err(KeptOut::Foreign { reason, host: None });
        }
        Ok(())
    }

    fn knows(&self, host: &str, any_address: bool) -> bool {
        let address = host.parse::<IpAddr>().ok();
        address.is_some_and(|address| any_address || address.to_canonical().is_loopback())
            || self.names.iter().any(|name| name == host)
    }
}

/// Whether a person follows a link to something that may be looked at.
fn opens(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name: &str, wanted: &str| headers.get(name).is_some_and(|value| value == wanted);
    let acts = ["/api", "/mcp"].iter().any(|below| uri.path().starts_with(below));
    method == Method::GET && says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document") && !acts
}

/// The host that an authority names, without its port and brackets.
fn host_of(authority: &str) -> Option<String> {
    let authority = authority.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// The host that somebody means by `text`: a name, an address with or without brackets, either with a port, or an origin.
fn named(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let text = text.trim_end_matches('/');
    match text.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host_of(text).unwrap_or_else(|| text.to_ascii_lowercase()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn judged(gate: &Gate, method: &Method, uri: &str, headers: &[(&'static str, &str)]) -> Result<(), KeptOut> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().unwrap());
        }
        gate.check(method, &uri.parse().unwrap(), &all)
    }

    fn passes(gate: &Gate, host: &str, origin: Option<&str>) -> bool {
        let headers: Vec<_> = std::iter::once(("host", host)).chain(origin.map(|origin| ("origin", origin))).collect();
        judged(gate, &Method::GET, "/mcp", &headers).is_ok()
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
        for origin in ["null", "https://evil.example", "file://", "http://localhost.evil.example", "http://6.6.6.6"] {
            assert!(!passes(&gate, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_server_beyond_loopback_answers_to_addresses_but_not_to_foreign_names() {
        let gate = Gate::new("0.0.0.0", true, &["192.0.2.1".into()]);
        assert!(passes(&gate, "10.1.2.3:8678", None));
        assert!(!passes(&gate, "evil.example", None));
        for (host, origin, expected) in [
            ("10.1.2.3:8678", "http://6.6.6.6", false),
            ("10.1.2.3:8678", "http://[fd00::6]:80", false),
            ("10.1.2.3:8678", "http://10.1.2.3:8678", true),
            ("[fd00::1]:8678", "https://[fd00::1]", true),
            ("10.1.2.3:8678", "http://127.0.0.1:3000", true),
            ("10.1.2.3:8678", "http://192.0.2.1", true),
        ] {
            assert_eq!(passes(&gate, host, Some(origin)), expected, "{origin} at {host}");
        }
    }

    #[test]
    fn allowed_hosts_are_taken_as_people_write_them() {
        for (written, host) in [
            ("box.lan:8678", "box.lan"),
            (" Box.LAN ", "box.lan:1"),
            ("https://box.lan/", "box.lan"),
            ("[fd00::1]", "[fd00::1]:8678"),
            ("fd00::1", "[fd00::1]"),
            ("[fd00::1]:8678", "[FD00::1]"),
            ("10.0.0.1:8678", "10.0.0.1"),
        ] {
            let gate = Gate::new("127.0.0.1", false, &[written.into()]);
            assert!(passes(&gate, host, None), "{written}");
            assert!(!passes(&gate, "evil.example", None) && !passes(&gate, "10.9.9.9", None), "{written}");
        }
    }

    #[test]
    fn a_request_addresses_one_host_and_its_target_no_other() {
        let gate = Gate::new("127.0.0.1", false, &[]);
        let get = |uri: &str, headers: &[(&'static str, &str)]| judged(&gate, &Method::GET, uri, headers);
        for hosts in [&[][..], &[("host", "localhost"), ("host", "localhost")], &[("host", "a b")], &[("host", "")]] {
            assert!(matches!(get("/health", hosts), Err(KeptOut::Unclear(_))), "{hosts:?}");
        }
        let local = [("host", "localhost:8678")];
        assert!(get("http://localhost:8678/health", &local).is_ok());
        let foreign = get("http://evil.example:80/health", &local).unwrap_err();
        let reason = "Host 'evil.example' is not this server".to_owned();
        assert_eq!(foreign, KeptOut::Foreign { reason, host: Some("evil.example".into()) });
        assert!(get("http://localhost/health", &[("host", "evil.example")]).is_err());
    }

    #[test]
    fn what_a_foreign_page_loads_does_not_pass_and_a_link_to_a_page_does() {
        let gate = Gate::new("127.0.0.1", false, &["box.lan".into()]);
        let site = |site: &'static str| vec![("host", "localhost"), ("sec-fetch-site", site)];
        let with = |more: &[(&'static str, &'static str)]| [site("cross-site"), more.to_vec()].concat();
        let link = with(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]);
        let frame = with(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]);
        let picture = with(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]);
        let (get, post) = (Method::GET, Method::POST);
        for (method, uri, headers, expected) in [
            (&get, "/", &link, true),
            (&get, "/health", &link, true),
            (&get, "/api/v1/search?query=x", &link, false),
            (&post, "/", &link, false),
            (&get, "/", &frame, false),
            (&get, "/health", &picture, false),
            (&get, "/health", &site("same-origin"), true),
            (&get, "/health", &site("none"), true),
            // A page that may call is at another site all the same.
            (&get, "/api/v1/sessions", &with(&[("origin", "https://box.lan")]), true),
            (&get, "/api/v1/sessions", &with(&[("origin", "https://evil.example")]), false),
        ] {
            assert_eq!(judged(&gate, method, uri, headers).is_ok(), expected, "{method} {uri} {headers:?}");
        }
    }
}
