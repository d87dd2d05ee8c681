//! Session-Buddy's server, started for a test and gone with it.

use std::time::Duration;

use rustix::process::Signal;

use crate::home::TestHome;
use crate::http::{self, Answer};
use crate::mcp::{self, Revision};
use crate::running::Running;
use crate::wait::{eventually, soon};

/// Time from start to the first answer of `/health` on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Time from SIGTERM to the end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A server that answers. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    process: Running,
    port: u16,
}

impl Server {
    /// `session-buddy start` on the home's port; returns when `/health` answers.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(home: &TestHome) -> Self {
        Self::start_with(home, &["start"])
    }

    /// The same with other arguments.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(home: &TestHome, args: &[&str]) -> Self {
        let mut process = home.session_buddy(args).spawn_without_input();
        let port = home.port();
        eventually(START_LIMIT, &format!("/health on port {port}"), || {
            if process.has_ended() {
                let (stdout, stderr) = process.rest();
                panic!("session-buddy {} ended at once\n--- stdout\n{stdout}\n--- stderr\n{stderr}", args.join(" "));
            }
            http::get(port, "/health").filter(|answer| answer.status == 200)
        });
        Self { process, port }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// `GET path`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.port, path).unwrap_or_else(|| panic!("GET {path} on port {} was not answered", self.port))
    }

    /// The server still runs and says that it is well.
    ///
    /// # Panics
    /// When not.
    pub fn expect_healthy(&mut self, after: &str) {
        assert!(!self.process.has_ended(), "the server ended after {after}");
        let answer = http::get(self.port, "/health").unwrap_or_else(|| panic!("no answer by /health after {after}"));
        assert_eq!(answer.status, 200, "after {after}: {}", answer.body);
        assert_eq!(answer.json()["status"], "healthy", "after {after}");
    }

    /// Calls a tool by a stateless request and gives its result.
    ///
    /// # Panics
    /// When the answer is no result.
    #[must_use]
    pub fn tool(&self, name: &str, arguments: serde_json::Value) -> serde_json::Value {
        call_tool(self.port, name, arguments)
    }

    /// SIGTERM, and a clean end.
    ///
    /// # Panics
    /// When it does not end, or not with code 0.
    pub fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait(STOP_LIMIT);
        assert!(status.success(), "a stopped server ended with {status}: {:?}", self.process.rest());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Kills it and gives what it wrote to its standard output and error.
    #[must_use]
    pub fn kill_and_read(mut self) -> (String, String) {
        self.process.kill();
        self.process.rest()
    }

    /// Waits until the spool of `home` is empty: everything accepted is acknowledged.
    pub fn expect_all_delivered(&self, home: &TestHome) {
        soon("all spool files to be delivered", || home.waiting_spools().is_empty());
    }
}

/// Calls a tool of the server on `port` by a stateless request and gives its result.
///
/// # Panics
/// When the answer is no result.
#[must_use]
pub fn call_tool(port: u16, name: &str, arguments: serde_json::Value) -> serde_json::Value {
    let call = mcp::tool_call(Revision::V2026_07_28, 1, name, arguments);
    let answer = mcp::post(port, Revision::V2026_07_28, &call);
    answer.message().get("result").cloned().unwrap_or_else(|| panic!("{name} gave no result: {answer:?}"))
}
