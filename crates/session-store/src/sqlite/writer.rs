//! One thread a process writes. It takes what waits, up to a bound, into one transaction, and answers all of it after
//! the commit: many callers share one sync of the disk.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::event::BatchReceipt;
use oneiric::fault::{Fault, Result};
use oneiric::id::SessionId;
use rusqlite::{Connection, TransactionBehavior};

use super::Options;
use super::connection::Place;
use super::failure::Failure;
use super::ingest::{Ingest, answer};
use super::met::Met;
use super::prepare::Batch;
use super::stray;
use crate::store::Unknown;

/// Calls that may wait; more wait at the door.
const QUEUE: usize = 64;
/// Events after which a transaction takes no further calls, so that other processes get their turn.
const GROUP_EVENTS: usize = 10_000;
/// Time without a call after which the memory of the cache is given back.
const IDLE: Duration = Duration::from_secs(2);

enum Work {
    Ingest {
        batches: Vec<Batch>,
        unknown: Unknown,
        reply: Reply<Vec<BatchReceipt>>,
    },
    Stale {
        ids: Vec<(String, Timestamp)>,
        reply: Reply<Vec<String>>,
    },
    /// A transaction of its own.
    Job {
        job: Job,
        reply: Reply<Box<dyn Any + Send>>,
    },
}

/// What a job does within its transaction; the text is the time now.
type Job = Box<dyn FnOnce(&Connection, &str) -> Result<Box<dyn Any + Send>, Failure> + Send>;

type Reply<T> = SyncSender<Result<T>>;

impl Work {
    fn events(&self) -> usize {
        match self {
            Self::Ingest { batches, .. } => batches.iter().map(|batch| batch.events.len()).sum(),
            Self::Stale { ids, .. } => ids.len(),
            Self::Job { .. } => 0,
        }
    }

    fn refuse(self, fault: Fault) {
        // A caller that went away needs no answer.
        match self {
            Self::Ingest { reply, .. } => drop(reply.send(Err(fault))),
            Self::Stale { reply, .. } => drop(reply.send(Err(fault))),
            Self::Job { reply, .. } => drop(reply.send(Err(fault))),
        }
    }
}

/// The thread; ends, after what waits is done, when it is dropped.
pub(super) struct Writer {
    sender: Option<SyncSender<Work>>,
    depth: Arc<AtomicUsize>,
    commits: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Where callers hand work in.
pub(super) struct Door {
    sender: SyncSender<Work>,
    depth: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn start(place: Arc<Place>, options: &Options, met: Arc<Met>) -> Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let depth = Arc::new(AtomicUsize::new(0));
        let commits = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            place,
            clock: Arc::clone(&options.clock),
            max_bytes: options.max_bytes,
            connection: None,
            receiver,
            depth: Arc::clone(&depth),
            commits: Arc::clone(&commits),
            met,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| Fault::unavailable(format!("cannot start the writer of the store: {error}")))?;
        Ok(Self { sender: Some(sender), depth, commits, thread: Some(thread) })
    }

    pub(super) fn door(&self) -> Door {
        // The sender is there until drop.
        let sender = self.sender.clone().unwrap_or_else(|| sync_channel(1).0);
        Door { sender, depth: Arc::clone(&self.depth) }
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Door {
    pub(super) fn ingest(&self, batches: Vec<Batch>, unknown: Unknown) -> Result<Vec<BatchReceipt>> {
        self.ask(|reply| Work::Ingest { batches, unknown, reply })
    }

    /// Sessions whose process is gone, each with the latest time that it may have ended.
    pub(super) fn mark_stale(&self, ids: Vec<(String, Timestamp)>) -> Result<Vec<SessionId>> {
        let changed = self.ask(|reply| Work::Stale { ids, reply })?;
        Ok(changed.into_iter().filter_map(|id| SessionId::parse(id).ok()).collect())
    }

    /// Runs `job` in a transaction of its own, after what waits; it is rolled back when the job fails.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let job: Job = Box::new(move |connection, now| Ok(Box::new(job(connection, now)?) as Box<dyn Any + Send>));
        let done = self.ask(|reply| Work::Job { job, reply })?;
        match done.downcast::<T>() {
            Ok(done) => Ok(*done),
            Err(_) => Err(Fault::internal("the writer of the store mixed its answers up")),
        }
    }

    fn ask<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        let gone = || Fault::internal("the writer of the store ended");
        self.depth.fetch_add(1, Ordering::Relaxed);
        let sent = self.sender.send(work(reply));
        let answered = sent.map_err(|_| gone()).and_then(|()| answer.recv().map_err(|_| gone()));
        self.depth.fetch_sub(1, Ordering::Relaxed);
        answered?
    }
}

struct Worker {
    place: Arc<Place>,
    clock: Arc<dyn Clock>,
    max_bytes: Option<u64>,
    connection: Option<Connection>,
    receiver: Receiver<Work>,
    depth: Arc<AtomicUsize>,
    commits: Arc<AtomicU64>,
    met: Arc<Met>,
}

/// Answers that are due after the commit.
type Answers = Vec<Box<dyn FnOnce()>>;

impl Worker {
    fn run(mut self) {
        let mut held: Option<Work> = None;
        while let Some(first) = held.take().or_else(|| self.next()) {
            let first = match first {
                Work::Job { job, reply } => {
                    drop(reply.send(self.job(job)));
                    continue;
                }
                other => other,
            };
            let mut group = vec![first];
            let mut events = group[0].events();
            while events < GROUP_EVENTS {
                let Ok(next) = self.receiver.try_recv() else { break };
                if matches!(next, Work::Job { .. }) {
                    held = Some(next);
                    break;
                }
                events += next.events();
                group.push(next);
            }
            tracing::trace!(calls = group.len(), events, waiting = self.depth.load(Ordering::Relaxed), "commit");
            self.commit(group);
        }
    }

    /// The next call, however long that takes; `None` when nobody can call any more.
    fn next(&self) -> Option<Work> {
        match self.receiver.recv_timeout(IDLE) {
            Ok(work) => return Some(work),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(connection) = &self.connection {
            // What it keeps of the file costs a later call little; a server that idles is to be small.
            let _ = connection.execute_batch("PRAGMA shrink_memory");
        }
        self.receiver.recv().ok()
    }

    fn job(&mut self, job: Job) -> Result<Box<dyn Any + Send>> {
        let done = (|| {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                None => self.connection.insert(self.place.writer(self.max_bytes)?),
            };
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = transaction.total_changes();
            let done = job(&transaction, &self.clock.now().to_string())?;
            stray::advance_since(&transaction, before)?;
            transaction.commit()?;
            self.commits.fetch_add(1, Ordering::Relaxed);
            Ok(done)
        })();
        done.map_err(|failure: Failure| {
            if !failure.is_fault() {
                // Whoever asked is told; no events wait for it.
                self.met.look(&failure, self.connection.as_ref(), false);
                self.connection = None;
            }
            failure.tell(&self.place)
        })
    }

    fn commit(&mut self, mut group: Vec<Work>) {
        match self.try_commit(&mut group) {
            Ok(answers) => answers.into_iter().for_each(|answer| answer()),
            Err(failure) => {
                self.met.look(&failure, self.connection.as_ref(), true);
                // Whatever state the connection is in: the next transaction begins with a new one.
                self.connection = None;
                let fault = failure.tell(&self.place);
                tracing::warn!(%fault, "nothing of a transaction was stored");
                group.into_iter().for_each(|work| work.refuse(fault.clone()));
            }
        }
    }

    fn try_commit(&mut self, group: &mut Vec<Work>) -> Result<Answers, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.place.writer(self.max_bytes)?),
        };
        // Waits for other processes; the busy handler gives up after about a minute.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = transaction.total_changes();
        let now = self.clock.now().to_string();
        let mut ingest = Ingest::begin(&transaction, &now)?;
        let mut results: Vec<Done> = Vec::with_capacity(group.len());
        for work in group.iter() {
            results.push(match work {
                Work::Ingest { batches, unknown, .. } => Done::Ingest(answer(ingest.call(batches, *unknown))?),
                Work::Stale { ids, .. } => Done::Stale(answer(ingest.abandon(ids))?),
                // Never part of a group.
                Work::Job { .. } => Done::Stale(Ok(Vec::new())),
            });
        }
        let stored = ingest.finish()?;
        stray::advance_since(&transaction, before)?;
        transaction.commit()?;
        if stored {
            self.met.stored();
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(std::mem::take(group).into_iter().zip(results).map(|(work, done)| reply(work, done)).collect())
    }
}

enum Done {
    Ingest(Result<Vec<BatchReceipt>>),
    Stale(Result<Vec<String>>),
}

fn reply(work: Work, done: Done) -> Box<dyn FnOnce()> {
    match (work, done) {
        (Work::Ingest { reply, .. }, Done::Ingest(result)) => Box::new(move || drop(reply.send(result))),
        (Work::Stale { reply, .. }, Done::Stale(result)) => Box::new(move || drop(reply.send(result))),
        (work, _) => Box::new(move || work.refuse(Fault::internal("the writer of the store mixed its answers up"))),
    }
}
