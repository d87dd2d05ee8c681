//! `generate-token`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use oneiric::fault::{Fault, Result};
use oneiric::settings::check_secret_strength;
use oneiric::token::{Algorithm, Claims, Scope, mint_with};
use oneiric_shell::output::Output;

use crate::access::{self, PROGRAMS};
use crate::buddy::{self, ISSUER};
use crate::who;
use crate::world::World;

/// Make a token
#[derive(clap::Args, Debug)]
pub(super) struct GenerateToken {
    /// Program that the token is for
    #[arg(long, value_parser = PossibleValuesParser::new(PROGRAMS), default_value = access::AUDIENCE)]
    audience: String,
    /// What its bearer may do; may be given several times
    #[arg(long = "scope", value_parser = PossibleValuesParser::new(Scope::NAMES), default_values = ["read", "write"])]
    scopes: Vec<String>,
    /// Who its bearer is; by default the user
    #[arg(long)]
    subject: Option<String>,
    /// Minutes that it lives; by default auth_expire_minutes
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=525_600))]
    expire_minutes: Option<u64>,
}

impl GenerateToken {
    pub(super) fn run(&self, world: &World, output: &Output) -> Result<()> {
        let secret = match (self.audience.as_str(), buddy::secret(world)) {
            (buddy::PRODUCT, Some(secret)) => {
                check_secret_strength(secret.expose()).map_err(|why| {
                    Fault::config(format!("session_buddy_secret {why}"))
                        .hint("set SESSION_BUDDY_SECRET to at least 32 random characters")
                })?;
                secret
            }
            _ => access::secret(&world.settings)?,
        };
        let subject = self.subject.clone().unwrap_or_else(|| who::username(&world.surroundings));
        let minutes = self.expire_minutes.unwrap_or_else(|| world.settings.int("auth.expire_minutes").unsigned_abs());
        let algorithm = Algorithm::parse(world.settings.text("auth.algorithm")).unwrap_or_default();
        let claims = Claims::new(subject, ISSUER, &self.audience, &Scope::named(&self.scopes));
        let token = mint_with(algorithm, secret, &claims, world.clock.now(), Duration::from_secs(60 * minutes))?;
        output.line(&token);
        Ok(())
    }
}
