//! Hashes that vectors are kept by.

use session_store::vectors::TextHash;
use sha2::{Digest, Sha256};

/// The hash that a text's vector is found by.
pub(crate) fn text_hash(text: &str) -> TextHash {
    let digest = Sha256::digest(text.as_bytes());
    let mut hash = TextHash::default();
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = from;
    }
    hash
}

/// What tells an event from another that was given its `seq`, after a database was restored.
pub(crate) fn mark(event_id: &str) -> i64 {
    let hash = text_hash(event_id);
    hash.iter().take(8).fold(0, |mark, byte| mark << 8 | i64::from(*byte))
}
