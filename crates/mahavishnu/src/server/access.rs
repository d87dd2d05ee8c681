//! Who may call the server: tokens that are signed with the shared secret and made out to this program.

use oneiric::fault::Result;
use oneiric::secret::Secret;
use oneiric::settings::Settings;

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
