//! `generate-token`.

use std::time::Duration;

use clap::ValueEnum;
use oneiric::fault::{Fault, Result};
use oneiric::settings::check_secret_strength;
use oneiric::token::{Algorithm, Claims, Scope, mint_with};
use oneiric_shell::output::Output;

use crate::access;
use crate::buddy::{self, ISSUER};
use crate::who;
use crate::world::World;

/// Make a token
#[derive(clap::Args, Debug)]
pub(super) struct GenerateToken {
    /// Program that the token is for
    #[arg(long, value_enum, default_value = "mahavishnu")]
    audience: Audience,
    /// What its bearer may do; may be given several times
    #[arg(long = "scope", value_enum, default_values = ["read", "write"])]
    scopes: Vec<ScopeName>,
    /// Who its bearer is; by default the user
    #[arg(long)]
    subject: Option<String>,
    /// Minutes that it lives; by default auth_expire_minutes
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=525_600))]
    expire_minutes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audience {
    Mahavishnu,
    SessionBuddy,
    Akosha,
    Crackerjack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScopeName {
    Read,
    Write,
    Admin,
}

impl GenerateToken {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let secret = match (self.audience, buddy::secret(world)) {
            (Audience::SessionBuddy, Some(secret)) => {
                check_secret_strength(secret.expose()).map_err(|why| {
                    Fault::config(format!("session_buddy_secret {why}"))
                        .hint("set SESSION_BUDDY_SECRET to at least 32 random characters")
                })?;
                secret
            }
            _ => access::secret(&world.settings)?,
        };
        let audience = match self.audience {
            Audience::Mahavishnu => access::AUDIENCE,
            Audience::SessionBuddy => "session-buddy",
            Audience::Akosha => "akosha",
            Audience::Crackerjack => "crackerjack",
        };
        let scopes: Vec<Scope> = self
            .scopes
            .iter()
            .map(|scope| match scope {
                ScopeName::Read => Scope::Read,
                ScopeName::Write => Scope::Write,
                ScopeName::Admin => Scope::Admin,
            })
            .collect();
        let subject = self.subject.clone().unwrap_or_else(|| who::username(&world.surroundings));
        let minutes = self.expire_minutes.unwrap_or_else(|| world.settings.int("auth.expire_minutes").unsigned_abs());
        let algorithm = Algorithm::parse(world.settings.text("auth.algorithm")).unwrap_or_default();
        let claims = Claims::new(subject, ISSUER, audience, &scopes);
        let token = mint_with(algorithm, secret, &claims, world.clock.now(), Duration::from_secs(60 * minutes))?;
        output.line(&token);
        Ok(())
    }
}
