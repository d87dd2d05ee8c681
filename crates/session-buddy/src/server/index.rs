//! The thread that looks after the search index, out of the way of everything: it learns words of new events, so that parts
//! of words and slips find them, and merges what small writes left apart.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use oneiric::fault::Result;
use oneiric_server::lifecycle::Lifecycle;
use session_store::Store;

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
/// Looks after which memory is given back: what is fetched again costs a search or two a millisecond.
const REST_AFTER: u32 = 5;

/// Starts the thread; it ends with the process's life.
pub(crate) fn start(lifecycle: &Lifecycle, desk: &Arc<Desk>) {
    let desk = Arc::clone(desk);
    lifecycle.aside("index", move |ended| run(&desk, ended));
}

fn run(desk: &Desk, ended: &Receiver<()>) {
    let (mut pause, mut done, mut stored, mut looks) = (LOOK_EVERY, 0_i64, 0, 0);
    while matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
        pause = LOOK_EVERY;
        let Ok(store) = desk.store() else { continue };
        // While nothing is done, the newest number tells whether there is anything to do.
        looks += 1;
        if looks % REST_AFTER == 1 {
            store.rest();
            desk.semantics().rest();
        }
        match store.newest_seq() {
            Ok(newest) if newest - done >= WORTH || looks >= ANYWAY => {}
            _ => continue,
        }
        let count = desk.meters().ingest.count();
        let quiet = count == stored;
        stored = count;
        match step(store.as_ref(), done) {
            Ok(Step::Learnt) => pause = if quiet { BREATH } else { YIELD },
            // The writer does this: while events arrive, they wait for it now and then only.
            Ok(Step::Merged) => pause = if quiet { BREATH } else { LOOK_EVERY },
            Ok(Step::Nothing { newest }) => (done, looks) = (newest, 0),
            Err(fault) => tracing::debug!(%fault, "the search index is left as it is"),
        }
    }
}

enum Step {
    Learnt,
    Merged,
    Nothing { newest: i64 },
}

/// Up to `done`, nothing is left to be done about events that were added.
fn step(store: &dyn Store, done: i64) -> Result<Step> {
    let newest = store.newest_seq()?;
    if store.learn_words()? > 0 {
        return Ok(Step::Learnt);
    }
    // Looking for something to merge is a write.
    Ok(if newest != done && store.merge_index()? { Step::Merged } else { Step::Nothing { newest } })
}
