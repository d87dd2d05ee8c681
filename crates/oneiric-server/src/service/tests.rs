#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use oneiric::clock::SystemClock;

use super::*;
use crate::health::Report;
use crate::mcp::{Arguments, ServerCard, ToolDescription, ToolFuture, ToolSet};

/// A program without tools, which says farewell once it may.
struct Stub {
    home: Home,
    said: Mutex<Vec<(&'static str, bool)>>,
    /// Waited for when it is there.
    may_go: Mutex<Option<Receiver<()>>>,
}

struct Nothing;

impl ToolSet for Nothing {
    fn tools(&self) -> &[ToolDescription] {
        &[]
    }

    fn call<'a>(&'a self, _: &'a str, _: Arguments<'a>, _: &'a str) -> ToolFuture<'a> {
        Box::pin(async { Err(Fault::not_found("no such tool").into()) })
    }
}

impl HealthSource for Nothing {
    fn check(&self) -> Pin<Box<dyn Future<Output = Report> + Send + '_>> {
        Box::pin(async { Report::over("stub", "1.0", Vec::new()) })
    }
}

impl MetricsSource for Nothing {
    fn render(&self) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        Box::pin(async { Ok(String::new()) })
    }
}

impl Program for Stub {
    fn handler(&self) -> Handler {
        Handler::new(ServerCard { name: "stub", version: "1.0", instructions: "" }, Arc::new(Nothing))
    }

    fn api(&self, _: &Auth) -> Option<Api> {
        None
    }

    fn health(&self) -> Arc<dyn HealthSource> {
        Arc::new(Nothing)
    }

    fn metrics(&self) -> Arc<dyn MetricsSource> {
        Arc::new(Nothing)
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn begin(&self, _: &Lifecycle) {}

    fn serving(&self, _: &str) {}

    fn farewell(&self, reason: &'static str) {
        let may_go = self.may_go.lock().unwrap().take();
        if let Some(may_go) = may_go {
            let _ = may_go.recv();
        }
        let held = run_file::running(&self.home, "stub").is_some();
        self.said.lock().unwrap().push((reason, held));
    }
}

struct Serving {
    _dir: tempfile::TempDir,
    stub: Arc<Stub>,
    server: Server,
}

impl Serving {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let stub = Arc::new(Stub { home: home.clone(), said: Mutex::default(), may_go: Mutex::default() });
        let service = Service {
            product: "stub",
            title: "Stub",
            version: "1.0",
            home,
            transport: Transport::Auto,
            host: "127.0.0.1".into(),
            port: 0,
            allowed_hosts: Vec::new(),
            allow_insecure_bind: false,
            auth: Auth::off(),
            authenticated: false,
            mcp: true,
            fixture: false,
            mode: "standard".into(),
            database: String::new(),
            ready: Vec::new(),
            arguments: Vec::new(),
            clock: Arc::new(SystemClock),
        };
        let (program, lifecycle) = (Arc::clone(&stub), Lifecycle::new());
        let server = Server { service, program, lifecycle, parent: Parent::now(), limit: Duration::from_secs(60) };
        Self { _dir: dir, stub, server }
    }

    /// Makes the farewell wait for a word.
    fn hold(&self) -> Sender<()> {
        let (sender, receiver) = channel();
        *self.stub.may_go.lock().unwrap() = Some(receiver);
        sender
    }
}

#[tokio::test]
async fn a_server_whose_input_ends_before_a_client_came_lets_everybody_go() {
    let serving = Serving::new();
    let (sender, input) = tokio::sync::mpsc::channel(1);
    drop(sender);
    let ending = serving.server.either(input.into(), Signals::listen()).await.unwrap();
    assert!(serving.server.end(ending).await.is_none());
    assert_eq!(*serving.stub.said.lock().unwrap(), [("end of input", true)], "while the home is still its own");
    assert!(run_file::running(&serving.stub.home, "stub").is_none());
    assert!(serving.server.lifecycle.finished(Duration::from_secs(60)).await);
}

#[tokio::test]
async fn a_farewell_that_waits_for_others_does_not_keep_the_server() {
    let mut serving = Serving::new();
    serving.server.limit = Duration::from_millis(200);
    let may_go = serving.hold();
    let token = serving.server.lifecycle.token();
    let (sender, input) = tokio::sync::mpsc::channel(1);
    drop(sender);
    let ending = serving.server.either(input.into(), Signals::listen()).await.unwrap();
    let (ended, told) = tokio::sync::oneshot::channel();
    serving.server.lifecycle.spawn(async move {
        token.cancelled().await;
        let _ = ended.send(());
    });
    let held = serving.server.end(ending).await;
    assert!(serving.stub.said.lock().unwrap().is_empty());
    told.await.unwrap();
    assert!(held.is_some() && run_file::running(&serving.stub.home, "stub").is_some(), "it is not over");
    drop(may_go);
}

#[tokio::test]
async fn a_farewell_in_time_is_waited_for_before_tasks_end() {
    let serving = Serving::new();
    let may_go = serving.hold();
    let (token, stub) = (serving.server.lifecycle.token(), Arc::clone(&serving.stub));
    let looking = serving.server.lifecycle.spawn(async move {
        token.cancelled().await;
        stub.said.lock().unwrap().len()
    });
    let end = serving.server.end(Ending { reason: "SIGINT", run_file: None });
    let word = async {
        tokio::task::yield_now().await;
        may_go.send(()).unwrap();
    };
    tokio::join!(end, word);
    assert_eq!(looking.await.unwrap(), 1);
}
