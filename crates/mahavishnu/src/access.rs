//! Who may ask: the token that commands want when auth is on.

use oneiric::fault::{Fault, Result};
use oneiric::secret::Secret;
use oneiric::settings::{Settings, check_secret_strength};
use oneiric::token::{Scope, verify};

use crate::buddy::ISSUER;
use crate::world::World;

/// Audience of tokens for this program.
pub(crate) const AUDIENCE: &str = "mahavishnu";
/// Programs whose tokens count here.
const ISSUERS: [&str; 4] = ["mahavishnu", "session-buddy", "akosha", "crackerjack"];

/// The secret that signs this program's tokens.
///
/// # Errors
/// Config, when there is none or when it is weak.
pub(crate) fn secret(settings: &Settings) -> Result<&Secret> {
    let Some(secret) = settings.secret("auth.secret") else {
        return Err(
            Fault::config("auth_secret is not set").hint("set MAHAVISHNU_AUTH_SECRET to at least 32 random characters")
        );
    };
    check_secret_strength(secret.expose()).map_err(|why| {
        Fault::config(format!("auth_secret {why}")).hint("set MAHAVISHNU_AUTH_SECRET to at least 32 random characters")
    })?;
    Ok(secret)
}

/// Lets a command pass when auth is off or its token is good for reading.
///
/// # Errors
/// `401 Unauthorized`.
pub(crate) fn check(world: &World, token: Option<&str>) -> Result<()> {
    if !world.settings.bool("auth.enabled") {
        return Ok(());
    }
    let secret = secret(&world.settings)?;
    let hint = "give one by --token or MAHAVISHNU_TOKEN; 'mahavishnu generate-token' makes it";
    let Some(token) = token.or_else(|| world.settings.secret("token").map(Secret::expose)) else {
        return Err(Fault::denied("401 Unauthorized: a token is needed").hint(hint));
    };
    let claims = verify(token.trim(), secret, AUDIENCE, &ISSUERS, world.clock.now())
        .map_err(|error| Fault::denied(format!("401 Unauthorized: {error}")).hint(hint))?;
    debug_assert!(ISSUERS.contains(&ISSUER));
    if claims.allows(Scope::Read) {
        return Ok(());
    }
    Err(Fault::denied("403 Forbidden: the token lacks the scope read").hint(hint))
}
