//! Whose hand writes when a message is added by a person or a client: the user of this process.

use oneiric::process::{hostname, platform, username};
use oneiric::settings::Surroundings;
use session_store::remember::Hand;

/// The user that this process runs as.
#[must_use]
pub fn of_process(surroundings: &Surroundings) -> Hand {
    Hand {
        username: username(&surroundings.vars),
        home: surroundings.user_home.to_string_lossy().into_owned(),
        hostname: hostname(),
        platform: platform(),
    }
}
