//! Requests that a client has not been answered yet. The protocol library knows them by their ids alone: of two with the same id,
//! one would get no answer.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{ErrorData, JsonRpcError, RequestId};
use tokio::sync::Notify;

use super::envelope::refusal;

/// Requests under way by what tells them apart. Cheap to clone; clones are of the same requests.
pub(super) struct UnderWay<K>(Arc<Requests<K>>);

struct Requests<K> {
    keys: Mutex<HashSet<K>>,
    /// One is over.
    over: Notify,
}

/// A request under way, until this is dropped.
pub(super) struct Begun<K: Eq + Hash>(UnderWay<K>, K);

impl<K> Default for UnderWay<K> {
    fn default() -> Self {
        Self(Arc::new(Requests { keys: Mutex::default(), over: Notify::new() }))
    }
}

impl<K> Clone for UnderWay<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash> UnderWay<K> {
    /// A request begins. `false` when it is under way already.
    pub(super) fn begin(&self, key: K) -> bool {
        self.keys().insert(key)
    }

    /// A request is over.
    pub(super) fn end(&self, key: &K) {
        self.keys().remove(key);
        self.0.over.notify_waiters();
    }

    /// Waits until fewer than `most` are under way.
    pub(super) async fn fewer_than(&self, most: usize) {
        loop {
            // Made before the look, so that no end after it is missed.
            let over = self.0.over.notified();
            if self.keys().len() < most {
                return;
            }
            over.await;
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<K>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> UnderWay<K> {
    /// The same as [`UnderWay::begin`]; it is over when what comes back is dropped.
    pub(super) fn hold(&self, key: K) -> Option<Begun<K>> {
        self.begin(key.clone()).then(|| Begun(self.clone(), key))
    }
}

impl<K: Eq + Hash> Drop for Begun<K> {
    fn drop(&mut self) {
        self.0.end(&self.1);
    }
}

/// What a request is told whose id another one has that is under way.
pub(super) fn taken(id: RequestId) -> Box<JsonRpcError> {
    let message = "Invalid request: another request with this id is under way; give each its own";
    refusal(Some(id), ErrorData::invalid_request(message, None))
}
