//! Who may call the server: tokens that are signed with the shared secret and made out to this program.

use std::sync::Arc;

use oneiric::clock::Clock;
use oneiric::fault::Result;
use oneiric::secret::Secret;
use oneiric::settings::Settings;
use oneiric::token::verify;
use oneiric_server::http::{Caller, TokenJudge};

use crate::access::{AUDIENCE, PROGRAMS};

/// The secret, when callers need a token. A secret alone turns auth on.
///
/// # Errors
/// Configuration: auth is on without a secret, or with a weak one.
pub(super) fn secret(settings: &Settings) -> Result<Option<Secret>> {
    let given = settings.secret("auth.secret").is_some();
    let on = if settings.is_given("auth.enabled") { settings.bool("auth.enabled") } else { given };
    if !on {
        return Ok(None);
    }
    crate::access::secret(settings).map(|secret| Some(secret.clone()))
}

/// Judges callers' tokens by `clock`.
pub(super) fn judge(secret: Secret, clock: Arc<dyn Clock>) -> impl TokenJudge {
    Judge { secret, clock }
}

struct Judge {
    secret: Secret,
    clock: Arc<dyn Clock>,
}

impl TokenJudge for Judge {
    fn judge(&self, token: &str) -> std::result::Result<Caller, String> {
        verify(token, &self.secret, AUDIENCE, &PROGRAMS, self.clock.now())
            .map(|claims| Caller { subject: claims.sub, token_id: claims.jti, scopes: claims.scopes })
            .map_err(|error| error.to_string())
    }
}
