//! Who may ask: the token that commands want when auth is on.

use oneiric::fault::{Fault, Result};
use oneiric::secret::Secret;
use oneiric::settings::{Settings, check_secret_strength};
use oneiric::token::{Scope, verify};

use crate::world::World;

/// Audience of tokens for this program.
pub(crate) const AUDIENCE: &str = "mahavishnu";
/// Programs that make tokens for each other: who may issue one, and whom one may be for.
pub(crate) const PROGRAMS: [&str; 4] = ["session-buddy", "mahavishnu", "akosha", "crackerjack"];

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
    let claims = verify(token.trim(), secret, AUDIENCE, &PROGRAMS, world.clock.now())
        .map_err(|error| Fault::denied(format!("401 Unauthorized: {error}")).hint(hint))?;
    if claims.allows(Scope::Read) {
        return Ok(());
    }
    Err(Fault::denied("403 Forbidden: the token lacks the scope read").hint(hint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use oneiric::fault::FaultKind;
    use oneiric::settings::Surroundings;
    use oneiric::token::{Claims, mint};

    use super::*;

    const SECRET: &str = "q7Zr1vN0xJ4mK9tWc2Lp8Hs5Yb3Df6Ga";

    fn world(vars: &[(&str, &str)]) -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut all: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.insert("MAHAVISHNU_HOME".into(), dir.path().join("home").display().to_string());
        let surroundings =
            Surroundings { vars: all, cwd: dir.path().into(), user_home: dir.path().into(), ..Surroundings::default() };
        World::new(surroundings).unwrap()
    }

    fn token(audience: &str, issuer: &str, scopes: &[Scope], world: &World) -> String {
        let claims = Claims::new("ada", issuer, audience, scopes);
        mint(&Secret::new(SECRET), &claims, world.clock.now(), Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn without_auth_nobody_is_asked() {
        assert!(check(&world(&[]), None).is_ok());
    }

    #[test]
    fn with_auth_only_a_good_token_passes() {
        let on = [("MAHAVISHNU_AUTH_ENABLED", "true"), ("MAHAVISHNU_AUTH_SECRET", SECRET)];
        let world = world(&on);
        let good = token("mahavishnu", "mahavishnu", &[Scope::Read], &world);
        assert!(check(&world, Some(&good)).is_ok());
        let wrong = [
            None,
            Some("invalid".to_owned()),
            Some(token("session-buddy", "mahavishnu", &[Scope::Read], &world)),
            Some(token("mahavishnu", "somebody", &[Scope::Read], &world)),
            Some(format!("{good}x")),
        ];
        for token in wrong {
            let fault = check(&world, token.as_deref()).unwrap_err();
            assert!(fault.message().starts_with("401 Unauthorized"), "{fault}");
            assert_eq!(fault.kind().exit_code(), 1);
        }
        let none = token("mahavishnu", "mahavishnu", &[], &world);
        assert!(check(&world, Some(&none)).unwrap_err().message().starts_with("403 Forbidden"));
    }

    #[test]
    fn the_token_may_come_from_the_environment() {
        let first = world(&[]);
        let good = token("mahavishnu", "crackerjack", &[Scope::Admin], &first);
        let on = [
            ("MAHAVISHNU_AUTH_ENABLED", "true"),
            ("MAHAVISHNU_AUTH_SECRET", SECRET),
            ("MAHAVISHNU_TOKEN", good.as_str()),
        ];
        assert!(check(&world(&on), None).is_ok());
    }

    #[test]
    fn auth_with_a_weak_secret_is_a_fault_of_the_settings() {
        for secret in ["change-me-in-production", "short"] {
            let on = [("MAHAVISHNU_AUTH_ENABLED", "true"), ("MAHAVISHNU_AUTH_SECRET", secret)];
            let world = world(&on);
            assert_eq!(check(&world, Some("x")).unwrap_err().kind(), FaultKind::Config, "{secret}");
        }
    }
}
