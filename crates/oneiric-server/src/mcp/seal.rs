//! What a client is given to give back, so that it can neither be changed nor used by somebody else or for something else.

use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::id::EventId;
use oneiric::secret::Secret;
use rmcp::model::{ErrorData, RequestStateCodec, SealOptions};

/// Time for which a state is good: people may take their time.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Seals states (HMAC-SHA-256). They are signed and not encrypted, so they hold nothing secret.
#[derive(Clone)]
pub(super) struct Seal(RequestStateCodec);

impl Seal {
    /// One whose states are good for as long as `secret` stays the same.
    pub(super) fn of(secret: &Secret) -> Self {
        Self(RequestStateCodec::new_unchecked(secret.expose()))
    }

    /// One whose states are good for as long as this process lives.
    pub(super) fn fresh() -> Self {
        let part = || EventId::generate(SystemClock.now()).to_string();
        Self::of(&Secret::new([part(), part()].concat()))
    }

    /// Seals `state` for requests that `about` is the same for.
    pub(super) fn seal(&self, state: &str, about: &str) -> String {
        self.0.seal_with(state.as_bytes(), &SealOptions::new().associated_data(about.as_bytes()).ttl(LIFE))
    }

    /// What was sealed.
    ///
    /// # Errors
    /// Invalid parameters: it is not as it was given, or not for this, or too old.
    pub(super) fn open(&self, sealed: &str, about: &str) -> Result<String, ErrorData> {
        let refused = |why: String| ErrorData::invalid_params(format!("requestState cannot be taken: {why}"), None);
        let bytes = self.0.open_with(sealed, about.as_bytes()).map_err(|error| refused(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| refused(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_taken_back_only_as_it_was_and_for_what_it_was_given() {
        let seal = Seal::fresh();
        let sealed = seal.seal("step 2", "ada sweep");
        assert_eq!(seal.open(&sealed, "ada sweep").unwrap(), "step 2");
        assert!(seal.open(&sealed, "bob sweep").is_err());
        assert!(Seal::fresh().open(&sealed, "ada sweep").is_err());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert!(seal.open(&String::from_utf8(changed).unwrap(), "ada sweep").is_err(), "{place}");
        }
    }
}
