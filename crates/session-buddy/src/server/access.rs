//! Who may call: the secret that signs tokens, whose tokens are good, and the token of this program's own commands.

use std::sync::Arc;
use std::time::Duration;

use oneiric::audit::AuditLog;
use oneiric::clock::{Clock, Timestamp};
use oneiric::fault::{Fault, Result};
use oneiric::secret::{Secret, check_secret_strength};
use oneiric::settings::Settings;
use oneiric::token::{self, Algorithm, Claims, Scope};
use oneiric_server::http::{Auth, Caller, TokenJudge};

use crate::PRODUCT;

/// Programs that make tokens for each other: who may issue one, and whom one may be for.
pub const PROGRAMS: [&str; 4] = ["session-buddy", "mahavishnu", "akosha", "crackerjack"];

/// Life of a token that a command makes for one call.
const OWN_TOKEN: Duration = Duration::from_secs(60);

/// Auth that is on.
#[derive(Clone, Debug)]
pub struct Access {
    secret: Secret,
    algorithm: Algorithm,
}

impl Access {
    /// Decides from the settings whether callers need a token. A secret alone turns auth on.
    ///
    /// # Errors
    /// Configuration: auth is on without a secret, or with a weak one.
    pub fn from_settings(settings: &Settings) -> Result<Option<Self>> {
        let secret = settings.secret("auth.secret");
        let on = if settings.is_given("auth.enabled") { settings.bool("auth.enabled") } else { secret.is_some() };
        if !on {
            return Ok(None);
        }
        if secret.is_none() {
            return Err(Fault::config("auth is on (auth_enabled = true) and there is no secret")
                .hint("set SESSION_BUDDY_SECRET to at least 32 random characters, or turn auth off with --no-auth"));
        }
        Self::for_signing(settings).map(Some)
    }

    /// The secret to sign tokens with, also where auth is off.
    ///
    /// # Errors
    /// Configuration: there is no secret, or a weak one.
    pub fn for_signing(settings: &Settings) -> Result<Self> {
        let Some(secret) = settings.secret("auth.secret") else {
            return Err(Fault::config("there is no secret to sign tokens with")
                .hint("set SESSION_BUDDY_SECRET to at least 32 random characters, as for the server"));
        };
        check_secret_strength(secret.expose()).map_err(|why| {
            Fault::config(format!("the secret in auth.secret ({}) {why}", settings.source("auth.secret")))
                .hint("make one with: openssl rand -base64 32")
        })?;
        let algorithm = Algorithm::parse(settings.text("auth.algorithm")).unwrap_or_default();
        Ok(Self { secret: secret.clone(), algorithm })
    }

    /// A token for `subject`.
    ///
    /// # Errors
    /// Internal: it cannot be signed.
    pub fn token(
        &self,
        subject: &str,
        audience: &str,
        scopes: &[Scope],
        now: Timestamp,
        life: Duration,
    ) -> Result<String> {
        let claims = Claims::new(subject, PRODUCT, audience, scopes);
        token::mint_with(self.algorithm, &self.secret, &claims, now, life)
    }

    /// Auth as the server has it, for a command that reads the database itself.
    #[must_use]
    pub fn door(&self, clock: Arc<dyn Clock>, audit: AuditLog) -> Auth {
        Auth::required(Arc::new(self.judge(clock)), Arc::new(audit))
    }

    /// Judges callers' tokens by `clock`.
    #[must_use]
    pub fn judge(&self, clock: Arc<dyn Clock>) -> impl TokenJudge + use<> {
        Judge { secret: self.secret.clone(), clock }
    }

    /// A token for a command of this program.
    #[must_use]
    pub fn own_token(&self, clock: &dyn Clock) -> Option<String> {
        // Who has the secret could make a token with any right.
        self.token(PRODUCT, PRODUCT, &Scope::ALL, clock.now(), OWN_TOKEN).ok()
    }
}

struct Judge {
    secret: Secret,
    clock: Arc<dyn Clock>,
}

impl TokenJudge for Judge {
    fn judge(&self, token: &str) -> std::result::Result<Caller, String> {
        token::verify(token, &self.secret, PRODUCT, &PROGRAMS, self.clock.now())
            .map(|claims| Caller { subject: claims.sub, token_id: claims.jti, scopes: claims.scopes })
            .map_err(|error| error.to_string())
    }
}
