//! Who may ask, by every door: the token that is wanted when auth is on, and the audit log.

use std::sync::Arc;
use std::time::Duration;

use oneiric::audit::AuditLog;
use oneiric::clock::Clock;
use oneiric::fault::{Fault, Result};
use oneiric::secret::Secret;
use oneiric::settings::{Settings, check_secret_strength};
use oneiric::token::{Claims, Scope, mint, verify};
use oneiric_client::TokenSource;
use oneiric_server::http::{Auth, Caller, Ending, Refused, TokenJudge, Visit};

use crate::who;
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

/// Judges callers' tokens: those that are signed with the shared secret and made out to this program.
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

/// What lets callers in, with a secret for those with a good token only. Who is turned away, and who changes something, has
/// lines in the home's audit log.
pub(crate) fn auth(world: &World, secret: Option<&Secret>) -> Auth {
    let clock = Arc::clone(&world.clock);
    let audit = Arc::new(AuditLog::in_dir(world.settings.home().logs(), Arc::clone(&clock)));
    match secret {
        Some(secret) => Auth::required(Arc::new(Judge { secret: secret.clone(), clock }), audit),
        None => Auth::open(audit),
    }
}

/// Life of a token that a command makes for one call.
const OWN_TOKEN: Duration = Duration::from_secs(60);

/// Makes tokens for what this program's own user asks of this program, when there is a secret: whoever can read that may.
pub(crate) fn own_tokens(world: &World) -> Option<TokenSource> {
    let secret = secret(&world.settings).ok()?.clone();
    let (clock, subject) = (Arc::clone(&world.clock), who::username(&world.surroundings));
    Some(Box::new(move || {
        let claims = Claims::new(subject.as_str(), AUDIENCE, AUDIENCE, &Scope::ALL);
        mint(&secret, &claims, clock.now(), OWN_TOKEN).ok()
    }))
}

/// Who gives a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Giver<'a> {
    /// A process of its own, with the token that it was given.
    Process(Option<&'a str>),
    /// The shell, with the token that the command was given, or the shell when it was opened.
    Shell(Option<&'a str>),
}

/// Lets the command `what` pass when auth is off or its token is good for it. What may change something leaves a line, and
/// another by its [`Ending`].
///
/// # Errors
/// `401 Unauthorized`, `403 Forbidden`; configuration.
pub(crate) fn permit(world: &World, giver: Giver<'_>, what: &str, needed: Scope) -> Result<Ending> {
    let secret = if world.settings.bool("auth.enabled") { Some(secret(&world.settings)?) } else { None };
    let auth = auth(world, secret);
    let (door, token) = match giver {
        Giver::Process(token) => ("cli", token),
        Giver::Shell(token) => ("shell", token),
    };
    let visit = Visit { door, from: "local", what };
    let caller = if auth.is_on() {
        auth.by_argument(visit, token.or_else(|| world.settings.secret("token").map(Secret::expose)))
    } else {
        Ok(Caller { subject: who::username(&world.surroundings), scopes: Scope::ALL.to_vec(), ..Caller::default() })
    };
    caller.and_then(|caller| auth.permit(visit, &caller, needed)).map_err(|refused| {
        let message = match &refused {
            Refused::Missing => "401 Unauthorized: a token is needed".to_owned(),
            other => other.message(),
        };
        Fault::denied(message).hint("give one by --token or MAHAVISHNU_TOKEN; 'mahavishnu generate-token' makes it")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oneiric::fault::FaultKind;
    use oneiric::settings::Surroundings;

    use super::*;

    const SECRET: &str = "q7Zr1vN0xJ4mK9tWc2Lp8Hs5Yb3Df6Ga";

    fn check(world: &World, token: Option<&str>, needed: Scope) -> Result<()> {
        permit(world, Giver::Process(token), "sweep", needed).map(|ending| ending.tell(None))
    }

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
        assert!(check(&world(&[]), None, Scope::Admin).is_ok());
    }

    #[test]
    fn with_auth_only_a_good_token_passes() {
        let on = [("MAHAVISHNU_AUTH_ENABLED", "true"), ("MAHAVISHNU_AUTH_SECRET", SECRET)];
        let world = world(&on);
        let good = token("mahavishnu", "mahavishnu", &[Scope::Read], &world);
        assert!(check(&world, Some(&good), Scope::Read).is_ok());
        let more = check(&world, Some(&good), Scope::Write).unwrap_err();
        assert!(more.message().starts_with("403 Forbidden"), "{more}");
        let wrong = [
            None,
            Some("invalid".to_owned()),
            Some(token("session-buddy", "mahavishnu", &[Scope::Read], &world)),
            Some(token("mahavishnu", "somebody", &[Scope::Read], &world)),
            Some(format!("{good}x")),
        ];
        for token in wrong {
            let fault = check(&world, token.as_deref(), Scope::Read).unwrap_err();
            assert!(fault.message().starts_with("401 Unauthorized"), "{fault}");
            assert_eq!(fault.kind().exit_code(), 1);
            let inside = permit(&world, Giver::Shell(token.as_deref()), "sweep", Scope::Read).map(drop).unwrap_err();
            assert_eq!(inside.message(), fault.message());
        }
        let none = token("mahavishnu", "mahavishnu", &[], &world);
        assert!(check(&world, Some(&none), Scope::Read).unwrap_err().message().starts_with("403 Forbidden"));
    }

    #[test]
    fn what_changes_something_leaves_two_lines_and_what_reads_none() {
        let world = world(&[]);
        let log = world.settings.home().logs().join("audit.log");
        check(&world, None, Scope::Read).unwrap();
        assert!(!log.exists());
        check(&world, None, Scope::Write).unwrap();
        drop(permit(&world, Giver::Shell(None), "repos add", Scope::Write).unwrap());
        let text = std::fs::read_to_string(log).unwrap();
        let told: Vec<[bool; 3]> = ["cli", "cli", "shell", "shell"]
            .iter()
            .zip(text.lines())
            .map(|(door, line)| {
                [line.contains(&format!("door={door}")), line.contains("from=local"), line.contains("who=")]
            })
            .collect();
        assert_eq!(told, [[true; 3]; 4], "{text}");
        let outcomes: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("outcome=")?.1.split(' ').next()).collect();
        assert_eq!(outcomes, ["allowed", "done", "allowed", "unknown"]);
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
        assert!(check(&world(&on), None, Scope::Admin).is_ok());
    }

    #[test]
    fn auth_with_a_weak_secret_is_a_fault_of_the_settings() {
        for secret in ["change-me-in-production", "short"] {
            let on = [("MAHAVISHNU_AUTH_ENABLED", "true"), ("MAHAVISHNU_AUTH_SECRET", secret)];
            let world = world(&on);
            assert_eq!(check(&world, Some("x"), Scope::Read).unwrap_err().kind(), FaultKind::Config, "{secret}");
        }
    }
}
