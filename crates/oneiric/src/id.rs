//! Ids: sortable by time, unique across machines (UUID version 7, RFC 9562), and kept as given when a caller brings its own.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;

/// Longest id that is accepted, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// An id that cannot be used, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{shown}' is not a usable id: 1 to {MAX_ID_BYTES} characters of A-Z a-z 0-9 . _ : -, starting with a letter or digit"
)]
pub struct InvalidId {
    shown: String,
}

fn check(text: &str) -> Result<(), InvalidId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    let ok = (1..=MAX_ID_BYTES).contains(&text.len())
        && text.bytes().all(allowed)
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if ok {
        return Ok(());
    }
    let shown = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Err(InvalidId { shown })
}

/// Whether a text is an id that everything can name.
#[must_use]
pub fn is_usable(text: &str) -> bool {
    check(text).is_ok()
}

fn uuid_v7(now: Timestamp) -> String {
    let micros = now.as_micros().max(0).unsigned_abs();
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
    let at = uuid::Timestamp::from_unix_time(micros / 1_000_000, nanos, 0, 0);
    uuid::Uuid::new_v7(at).hyphenated().to_string()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(String);

        impl $name {
            /// A new id; ids made later sort later.
            #[must_use]
            pub fn generate(now: Timestamp) -> Self {
                Self(uuid_v7(now))
            }

            /// Takes a caller's own id.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long or holds other characters than file names and URLs carry safely.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text).map(|()| Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// Names a session. Accepted by every door wherever it is unambiguous by prefix.
    SessionId
);
id!(
    /// Names an event, and is its idempotency key: sent twice, stored once.
    EventId
);

impl EventId {
    /// The id of what these words name together: the same each time.
    #[must_use]
    pub fn derived(words: &[&str]) -> Self {
        let mut text = Vec::new();
        for word in words {
            text.extend_from_slice(&word.len().to_le_bytes());
            text.extend_from_slice(word.as_bytes());
        }
        Self(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &text).hyphenated().to_string())
    }
}

impl SessionId {
    /// The id of the session that `event` started at `at`, when its sender names none: sortable like any other, and the
    /// same each time, so that a start that is sent again starts nothing new.
    #[must_use]
    pub fn derived(at: Timestamp, event: &EventId) -> Self {
        let millis = (at.as_micros().max(0) / 1_000).unsigned_abs();
        let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, event.as_str().as_bytes());
        let mut entropy = [0; 10];
        entropy.copy_from_slice(&digest.as_bytes()[..10]);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid().hyphenated().to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_later() {
        let first = SessionId::generate(Timestamp::from_micros(1_000_000_000));
        let second = SessionId::generate(Timestamp::from_micros(1_000_002_000));
        assert!(first < second);
    }

    #[test]
    fn a_derived_id_sorts_by_time_and_is_the_same_each_time() {
        let (early, late) = (Timestamp::from_micros(1_000_000_000), Timestamp::from_micros(1_000_001_000));
        let event = |text: &str| EventId::parse(text).unwrap();
        assert_eq!(SessionId::derived(early, &event("a")), SessionId::derived(early, &event("a")));
        assert_ne!(SessionId::derived(early, &event("a")), SessionId::derived(early, &event("b")));
        assert!(SessionId::derived(early, &event("b")) < SessionId::derived(late, &event("a")));
    }

    #[test]
    fn words_name_one_event_whatever_they_are_made_of() {
        assert_eq!(EventId::derived(&["ada", "order 17"]), EventId::derived(&["ada", "order 17"]));
        assert_ne!(EventId::derived(&["ada", "b"]), EventId::derived(&["ad", "ab"]));
        assert!(EventId::parse(EventId::derived(&["", "clé"]).as_str()).is_ok());
    }

    #[test]
    fn ids_that_could_leave_a_folder_or_a_line_are_refused() {
        for text in ["", ".", "../x", "a/b", "a b", "-rf", "a\nb", "ä", &"x".repeat(129)] {
            assert!(SessionId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(SessionId::parse("abc123").unwrap().as_str(), "abc123");
    }
}
