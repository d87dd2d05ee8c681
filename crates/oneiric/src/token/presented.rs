//! Claims of a token that somebody brings.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Claims, LEEWAY_SECONDS, Scope, TokenError};

/// Claims as they come in: nothing is certain yet.
#[derive(Deserialize)]
pub(super) struct Presented {
    sub: Option<String>,
    iss: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Option<Vec<String>>,
    #[serde(default, deserialize_with = "seconds_of_date")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "seconds_of_date")]
    exp: Option<i64>,
    #[serde(default, deserialize_with = "seconds_of_date")]
    nbf: Option<i64>,
    jti: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Presented {
    /// The claims, when they hold for `audience` at `now` and one of `issuers` made them.
    pub(super) fn check(self, audience: &str, issuers: &[&str], now: i64) -> Result<Claims, TokenError> {
        let sub = self.sub.filter(|sub| !sub.is_empty()).ok_or(TokenError::Missing("sub"))?;
        let iss = self.iss.ok_or(TokenError::Missing("iss"))?;
        let aud = self.aud.ok_or(TokenError::Missing("aud"))?;
        let iat = self.iat.ok_or(TokenError::Missing("iat"))?;
        let exp = self.exp.ok_or(TokenError::Missing("exp"))?;
        if !aud.iter().any(|one| one == audience) {
            return Err(TokenError::Audience);
        }
        if !issuers.contains(&iss.as_str()) {
            return Err(TokenError::Issuer);
        }
        // What has not begun has not ended either, whatever its end says.
        let horizon = now.saturating_add(LEEWAY_SECONDS);
        if iat > horizon || self.nbf.is_some_and(|nbf| nbf > horizon) {
            return Err(TokenError::NotYet);
        }
        if now >= exp.saturating_add(LEEWAY_SECONDS) || exp <= iat {
            return Err(TokenError::Expired);
        }
        // A scope that this version does not know gives no right, and is no reason to refuse the others.
        let scopes = self.scopes.iter().filter_map(|name| Scope::parse(name)).collect();
        Ok(Claims { sub, iss, aud: audience.to_owned(), iat, exp, jti: self.jti.unwrap_or_default(), scopes })
    }
}

/// A NumericDate (RFC 7519, section 2), which may have a fraction.
fn seconds_of_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    // What is beyond all time is cut to its ends.
    let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64));
    seconds.map(Some).ok_or_else(|| D::Error::custom("no date"))
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Audience>::deserialize(deserializer)?.map(|audience| match audience {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    }))
}
