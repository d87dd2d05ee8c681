//! Mahavishnu's server, started for a test and gone with it.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::git::repository;
use crate::home::TestHome;
use crate::http::{self, Answer};
use crate::mcp::{self, Revision};
use crate::running::Running;

/// Time from start to readiness on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server that answers. Dropping it kills it.
#[derive(Debug)]
pub struct Orchestrator {
    process: Running,
    port: u16,
}

impl Orchestrator {
    /// A home whose manifest names these git repositories.
    #[must_use]
    pub fn home(repositories: &[&str]) -> TestHome {
        let home = TestHome::new();
        for name in repositories {
            let _ = repository(&home, name);
            home.mahavishnu(["repos", "add", name]).run().expect_success();
        }
        home
    }

    /// `mahavishnu mcp start` on a free port.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(home: &TestHome) -> Self {
        let mut process = home.mahavishnu(["mcp", "start", "--port", "0", "--transport", "http"]).spawn_without_input();
        let mut port = None;
        loop {
            let Some(line) = process.next_line(START_LIMIT) else {
                let (stdout, stderr) = process.rest();
                panic!("mahavishnu mcp start ended at once\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
            };
            port = port.or_else(|| line.trim().rsplit_once("server on 127.0.0.1:")?.1.parse().ok());
            if let (Some(port), true) = (port, line.contains("Ready to accept connections")) {
                return Self { process, port };
            }
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a signal to the server alone.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// A request of a client of revision 2026-07-28 with these capabilities and, when auth is on, this token.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn ask(&self, capabilities: &Value, token: Option<&str>, method: &str, params: Value) -> Answer {
        let revision = Revision::V2026_07_28;
        let message = mcp::request_as(revision, capabilities.clone(), 1, method, params);
        let mut owned = mcp::headers(revision, &message);
        owned.extend(token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
        let headers: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        http::post(self.port, "/mcp", &headers, message.to_string().as_bytes()).expect("the server answers")
    }
}
