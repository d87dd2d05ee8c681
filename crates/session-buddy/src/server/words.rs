//! The thread that learns words of new events, so that parts of words and slips find them: out of the way of everything.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use oneiric_server::lifecycle::Lifecycle;

use crate::desk::Desk;

/// Time between looks for new events, and before what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Pause between two steps, and while events arrive.
const BREATH: Duration = Duration::from_millis(20);
const YIELD: Duration = Duration::from_millis(500);
/// Events that wait before a look is worth it: a search reads so few by itself.
const WORTH: i64 = 200;
/// Looks after which one is worth it however few wait: events may have been deleted, and their words with them.
const ANYWAY: u32 = 300;
/// The least favourable priority.
const NICE: i32 = 19;

/// Starts the thread; it ends with the process's life.
pub(crate) fn start(lifecycle: &Lifecycle, desk: &Arc<Desk>) {
    let (ending, ended) = sync_channel::<()>(1);
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let desk = Arc::clone(desk);
    let thread = std::thread::Builder::new().name("words".to_owned()).spawn(move || {
        let _done = done;
        // Of nobody in particular means, to Linux, of the calling thread.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the thread that learns words keeps its priority");
        }
        run(&desk, &ended);
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread to learn words");
        return;
    }
    let token = lifecycle.token();
    lifecycle.spawn(async move {
        token.cancelled().await;
        // The receiver sees that the sender is gone.
        drop(ending);
        let _ = finished.await;
    });
}

fn run(desk: &Desk, ended: &Receiver<()>) {
    let (mut pause, mut learnt, mut stored, mut looks) = (LOOK_EVERY, 0_i64, 0, 0);
    while matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
        pause = LOOK_EVERY;
        let Ok(store) = desk.store() else { continue };
        // While nothing is learnt, the newest number tells whether anything is there to learn.
        looks += 1;
        match store.newest_seq() {
            Ok(newest) if newest - learnt >= WORTH || looks >= ANYWAY => {}
            _ => continue,
        }
        match store.learn_words() {
            Ok(0) => {
                learnt = store.newest_seq().unwrap_or(learnt);
                looks = 0;
            }
            Ok(_) => {
                let count = desk.meters().ingest.count();
                pause = if count == stored { BREATH } else { YIELD };
                stored = count;
            }
            Err(fault) => tracing::debug!(%fault, "words are not learnt"),
        }
    }
}
