//! What `Idempotency-Key`s were sent with: a key that comes again with another request is a mistake of its sender, who would
//! take the first answer for one to the second request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Problem;
use crate::mcp::WAIT;

/// Keys that are remembered, newest first.
const MOST: usize = 10_000;

/// Longest key in bytes.
const MAX_KEY_BYTES: usize = 200;

type Hash = [u8; 32];

/// The `Idempotency-Key` of a request, if it has one.
///
/// # Errors
/// 400 when it cannot be used. To go on without it would do twice what is asked for once.
pub(super) fn given(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(first) = values.next() else { return Ok(None) };
    let wrong = |why: &str| Err(Problem::parameter("Idempotency-Key", why));
    match first.to_str() {
        _ if values.next().is_some() => wrong("it is given twice"),
        Ok(key) if key.trim().is_empty() => wrong("it is empty"),
        Ok(key) if key.len() > MAX_KEY_BYTES => wrong(&format!("it is longer than {MAX_KEY_BYTES} bytes")),
        Ok(key) => Ok(Some(key)),
        Err(_) => wrong("it has to be made of visible ASCII characters"),
    }
}

/// Keys of this process. What they made is known by the tools, which outlives it.
#[derive(Default)]
pub(super) struct Keys(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    requests: HashMap<Hash, Hash>,
    order: VecDeque<Hash>,
}

/// A key that came for the first time.
pub(super) struct Fresh<'a> {
    keys: &'a Keys,
    key: Hash,
}

impl Keys {
    /// Remembers that the `key` of a caller came with this request.
    ///
    /// # Errors
    /// 422 when it came with another before.
    pub(super) fn claim(
        &self,
        (subject, key): (&str, &str),
        method: &str,
        path: &str,
        body: &Map<String, Value>,
    ) -> Result<Option<Fresh<'_>>, Problem> {
        // How long the caller waits for the end does not change what is asked for.
        let body: Vec<(&String, &Value)> = body.iter().filter(|(name, _)| *name != WAIT).collect();
        let request = hash(&[method, path, &serde_json::to_string(&body).unwrap_or_default()]);
        let key = hash(&[subject, key]);
        let mut kept = self.kept();
        match kept.requests.get(&key) {
            Some(known) if *known == request => Ok(None),
            Some(_) => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this Idempotency-Key came with another request before",
            )
            .with("hint", "send the request as it was, or with a new key")),
            None => {
                if kept.order.len() >= MOST
                    && let Some(oldest) = kept.order.pop_front()
                {
                    kept.requests.remove(&oldest);
                }
                kept.requests.insert(key, request);
                kept.order.push_back(key);
                Ok(Some(Fresh { keys: self, key }))
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fresh<'_> {
    /// Its request was refused: the key is still unused.
    pub(super) fn forget(self) {
        let mut kept = self.keys.kept();
        kept.requests.remove(&self.key);
        kept.order.retain(|key| *key != self.key);
    }
}

/// Of parts, so that none can pass for two.
fn hash(parts: &[&str]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim<'a>(keys: &'a Keys, key: &str, path: &str, body: &Value) -> Result<Option<Fresh<'a>>, Problem> {
        keys.claim(("ada", key), "POST", path, body.as_object().unwrap())
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused() {
        let said = |keys: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append("idempotency-key", axum::http::HeaderValue::from_bytes(key).unwrap());
            }
            given(&headers).map(|key| key.map(str::to_owned))
        };
        assert_eq!(said(&[]).unwrap(), None);
        assert_eq!(said(&[b"\"order 17\""]).unwrap().as_deref(), Some("\"order 17\""));
        for wrong in [&[b"".as_slice()][..], &[b" "], &["clé".as_bytes()], &[&[b'x'; 201]], &[b"a", b"b"]] {
            assert!(said(wrong).is_err_and(|problem| problem.code() == "invalid_arguments"), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_is_good_for_one_request() {
        let keys = Keys::default();
        let body = json!({ "a": 1, "b": { "c": [1, 2] } });
        assert!(claim(&keys, "k", "/x", &body).unwrap().is_some());
        assert!(claim(&keys, "k", "/x", &body).unwrap().is_none());
        assert!(claim(&keys, "k", "/x", &json!({ "a": 1, "b": { "c": [1, 2] }, "wait": 9 })).unwrap().is_none());
        for (path, other) in [("/y", &body), ("/x", &json!({ "a": 2, "b": { "c": [1, 2] } })), ("/x", &json!({}))] {
            assert!(claim(&keys, "k", path, other).is_err_and(|problem| problem.code() == "idempotency_key_reused"));
        }
        assert!(claim(&keys, "other", "/y", &body).unwrap().is_some());
        let other = json!({});
        assert!(keys.claim(("grace", "k"), "POST", "/z", other.as_object().unwrap()).unwrap().is_some());
    }

    #[test]
    fn a_refused_request_leaves_its_key_unused_and_keys_are_bounded() {
        let keys = Keys::default();
        claim(&keys, "k", "/x", &json!({})).unwrap().unwrap().forget();
        assert!(claim(&keys, "k", "/y", &json!({})).unwrap().is_some());
        for number in 0..MOST {
            claim(&keys, &number.to_string(), "/x", &json!({})).unwrap();
        }
        let counts = |kept: MutexGuard<'_, Kept>| (kept.order.len(), kept.requests.len());
        assert_eq!(counts(keys.kept()), (MOST, MOST));
        assert!(claim(&keys, "k", "/z", &json!({})).unwrap().is_some(), "the oldest is forgotten");
    }
}
