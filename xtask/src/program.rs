//! The real programs, each run in a home of its own, with nothing of the caller's environment.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};

use crate::Result;
use crate::http::Connection;

/// The programs that are built, measured and documented.
pub(crate) const PROGRAMS: [&str; 2] = ["session-buddy", "mahavishnu"];

/// Longest wait for a server to answer or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest wait for what a server does by itself: after a start over a large database it learns the words of all events.
const UPKEEP: Duration = Duration::from_secs(600);

/// Time within which a server that has nothing to do uses less than a fiftieth of a processor.
const LOOK: Duration = Duration::from_secs(4);

/// Folder of built programs.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    folder: PathBuf,
}

impl Built {
    /// Builds the programs; `release` as they ship, else as tests use them.
    pub(crate) fn build(root: &Path, release: bool, extra: &[&str]) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.arg("build").current_dir(root);
        if release {
            command.arg("--release");
            for package in PROGRAMS.iter().chain(extra) {
                command.args(["--package", package]);
            }
        } else {
            // As tests build them: a part of the workspace has other features, and its dependencies are compiled again.
            command.arg("--workspace");
        }
        if !command.status()?.success() {
            return Err("the programs do not build".into());
        }
        Ok(Self { folder: target()?.join(if release { "release" } else { "debug" }) })
    }

    /// What was built for release before.
    pub(crate) fn release() -> Result<Self> {
        Ok(Self { folder: target()?.join("release") })
    }

    /// Path of a program.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Cargo's target folder: this program lies in one of its profiles' folders.
pub(crate) fn target() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).ok_or("cannot tell the target folder")?;
    Ok(target.to_owned())
}

/// A person's home folder with everything the programs keep below it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    kept: bool,
}

impl Sandbox {
    /// An empty one at `root`, removed at the end.
    pub(crate) fn fresh(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        Ok(Self { root, kept: false })
    }

    /// The one at `root`, which stays.
    pub(crate) fn kept(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root, kept: true })
    }

    /// The person's home folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The home of a product.
    pub(crate) fn home(&self, product: &str) -> PathBuf {
        self.root.join(format!(".{product}"))
    }

    /// A program that sees this home and nothing else of the machine's settings.
    pub(crate) fn command(&self, built: &Built, program: &str) -> Command {
        let mut command = Command::new(built.path(program));
        command.env_clear().env("HOME", &self.root).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LANG", "C.UTF-8").env("USER", "measurer").env("NO_COLOR", "1");
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// From start to the first answer of `/health`.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts a Session-Buddy on a free port and waits for its first `/health`.
    pub(crate) fn start(built: &Built, sandbox: &Sandbox) -> Result<Self> {
        Self::start_with(built, sandbox, &[])
    }

    /// The same with some settings in its environment.
    pub(crate) fn start_with(built: &Built, sandbox: &Sandbox, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_program(built, sandbox, "session-buddy", &["start", "--mode=standard"], settings)
    }

    /// The same of any program, by the words that start its server.
    pub(crate) fn start_program(
        built: &Built,
        sandbox: &Sandbox,
        program: &str,
        words: &[&str],
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let log = fs::File::create(sandbox.root().join("server.err"))?;
        let mut command = sandbox.command(built, program);
        command.args(words).args(["--transport", "http", "--port", &port.to_string()]).envs(settings.iter().copied());
        command.stdout(Stdio::null()).stderr(log);
        let begin = SystemClock.monotonic();
        let mut server = Self { child: command.spawn()?, address, started_in: Duration::ZERO };
        loop {
            let healthy = Connection::open(&server.address).and_then(|mut connection| connection.get("/health"));
            let waited = SystemClock.monotonic().saturating_sub(begin);
            match healthy {
                Ok(answer) if answer.status == 200 => {
                    server.started_in = waited;
                    return Ok(server);
                }
                Ok(answer) => return Err(format!("/health answers {}: {}", answer.status, answer.body).into()),
                Err(_) if waited < PATIENCE => {}
                Err(error) => return Err(format!("no server within {PATIENCE:?}: {error}").into()),
            }
            if let Some(status) = server.child.try_wait()? {
                let said = fs::read_to_string(sandbox.root().join("server.err")).unwrap_or_default();
                return Err(format!("the server ended ({status}): {said}").into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Opens a connection to it.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(&self.address)?)
    }

    /// Memory that it holds now (`VmRSS`), in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        resident(&status).ok_or_else(|| "the kernel does not tell VmRSS".into())
    }

    /// Processor time that its living threads have used so far; that of threads which ended is not in it. Unlike elapsed time it tells little of what else the machine does.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let spent = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += spent.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Waits until it does nothing by itself any more.
    pub(crate) fn settle(&self) -> Result {
        let begin = SystemClock.monotonic();
        // What is done in the background begins a second after the start.
        std::thread::sleep(Duration::from_secs(2));
        while SystemClock.monotonic().saturating_sub(begin) < UPKEEP {
            let before = self.processor_time()?;
            std::thread::sleep(LOOK);
            if self.processor_time()?.saturating_sub(before) < LOOK / 50 {
                return Ok(());
            }
        }
        Err(format!("the server is busy after {UPKEEP:?}").into())
    }

    /// Ends it as a crash would, without a chance to do anything.
    pub(crate) fn kill(mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it in the orderly way.
    pub(crate) fn stop(mut self) -> Result {
        self.terminate();
        Ok(())
    }

    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success());
        let begin = SystemClock.monotonic();
        while asked && SystemClock.monotonic().saturating_sub(begin) < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_status() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nThreads: 1\n"), Some(12_345 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
