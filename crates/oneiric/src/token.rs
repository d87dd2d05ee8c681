//! Tokens: who is calling, for which program, with which rights, until when. JWT with HMAC only.
//!
//! Time is an argument, so the library's own time checks are off and done here.

mod presented;

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::fault::{Fault, Result};
use crate::id::EventId;
use crate::secret::Secret;
use presented::Presented;

/// The longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far two machines' clocks may be apart, in seconds.
pub const LEEWAY_SECONDS: i64 = 30;

/// How a token is signed. There is no other way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// The names that a setting may choose from.
    pub const NAMES: &'static [&'static str] = &["HS256", "HS384", "HS512"];

    /// From its JWT name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            _ => None,
        }
    }

    const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

/// A right. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at things.
    Read,
    /// Change things.
    Write,
    /// Change who may.
    Admin,
}

impl Scope {
    /// Every right, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Their names, the least first.
    pub const NAMES: [&str; 3] = [Self::Read.as_str(), Self::Write.as_str(), Self::Admin.as_str()];

    /// Each of the rights that `names` hold once, the least first; other words are passed over.
    pub fn named<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Vec<Self> {
        let mut scopes: Vec<Self> = names.into_iter().filter_map(|name| Self::parse(name.as_ref())).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// From its name in a token.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// Its name in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a token says. `mint` fills in times and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who is calling.
    pub sub: String,
    /// Which program made the token.
    pub iss: String,
    /// Which program it is for.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Names this token, so that one can be revoked.
    pub jti: String,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
}

impl Claims {
    /// A template for [`mint`].
    pub fn new(
        subject: impl Into<String>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
        scopes: &[Scope],
    ) -> Self {
        Self {
            sub: subject.into(),
            iss: issuer.into(),
            aud: audience.into(),
            iat: 0,
            exp: 0,
            jti: String::new(),
            scopes: scopes.to_vec(),
        }
    }

    /// Whether the caller has `scope`, or one that includes it.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|has| *has >= scope)
    }
}

/// Why a token was refused. Its text is short and holds nothing of the token: it goes to the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("token is too long")]
    TooLong,
    /// Not three parts of base64url JSON, or a claim of the wrong type.
    #[error("token is malformed")]
    Malformed,
    /// `none`, RSA or whatever else is not HMAC.
    #[error("token algorithm is not allowed")]
    Algorithm,
    /// Signed by somebody else, or changed since.
    #[error("token signature is wrong")]
    Signature,
    /// A claim that must be there is not.
    #[error("token has no claim '{0}'")]
    Missing(&'static str),
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// Made in the future, or not valid yet.
    #[error("token is not valid yet")]
    NotYet,
    /// Made for another program.
    #[error("token is for another audience")]
    Audience,
    /// Made by a program that is not trusted here.
    #[error("token issuer is not trusted")]
    Issuer,
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::denied(error.to_string()).hint("make a new one with generate-token")
    }
}

/// Signs a token that begins at `now` and ends after `lifetime`, with HS256.
///
/// # Errors
/// [`crate::fault::FaultKind::Internal`] when signing fails.
pub fn mint(secret: &Secret, claims: &Claims, now: Timestamp, lifetime: Duration) -> Result<String> {
    mint_with(Algorithm::Hs256, secret, claims, now, lifetime)
}

/// [`mint`] with another algorithm.
///
/// # Errors
/// The same.
pub fn mint_with(
    algorithm: Algorithm,
    secret: &Secret,
    claims: &Claims,
    now: Timestamp,
    lifetime: Duration,
) -> Result<String> {
    let iat = seconds(now);
    let claims = Claims {
        iat,
        exp: iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        jti: EventId::generate(now).to_string(),
        ..claims.clone()
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm.library()), &claims, &key)
        .map_err(|error| Fault::internal(format!("cannot sign a token: {error}")))
}

/// Checks a token and says who is calling.
///
/// # Errors
/// [`TokenError`]; the signature is checked before anything that the token says is believed.
pub fn verify(
    token: &str,
    secret: &Secret,
    audience: &str,
    issuers: &[&str],
    now: Timestamp,
) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.algorithms = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512].map(Algorithm::library).to_vec();
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    let data = jsonwebtoken::decode::<Presented>(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            TokenError::Algorithm
        }
        _ if names_other_algorithm(token) => TokenError::Algorithm,
        _ => TokenError::Malformed,
    })?;
    if data.header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    data.claims.check(audience, issuers, seconds(now))
}

/// Whether the header is JSON that names an algorithm of another kind, such as `none`, which the library cannot read.
fn names_other_algorithm(token: &str) -> bool {
    let header = token.split('.').next().and_then(base64url);
    let header = header.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    header.and_then(|header| Some(Algorithm::parse(header.get("alg")?.as_str()?).is_none())).unwrap_or(false)
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

const fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUERS: &[&str] = &["caller", "keeper"];
    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-22T12:00:00Z").unwrap()
    }

    fn secret() -> Secret {
        Secret::new("fX3dU0p7Q_8mZ-1rT5yB6nC2vK9sLwEhJgAoIqRtYxM")
    }

    fn good() -> Claims {
        Claims::new("ada", "caller", "keeper", &[Scope::Write])
    }

    fn check(token: &str, at: Timestamp) -> Result<Claims, TokenError> {
        verify(token, &secret(), "keeper", ISSUERS, at)
    }

    fn signed(claims: &Value) -> String {
        let key = EncodingKey::from_secret(secret().expose().as_bytes());
        jsonwebtoken::encode(&Header::default(), claims, &key).unwrap()
    }

    fn plain(change: impl Fn(&mut Value)) -> String {
        let mut claims = json!({
            "sub": "ada", "iss": "caller", "aud": "keeper", "iat": seconds(now()), "exp": seconds(now()) + 60,
            "scopes": ["read"],
        });
        change(&mut claims);
        signed(&claims)
    }

    #[test]
    fn rights_are_named_once_and_in_order() {
        assert_eq!(Scope::named(["write", "read", "write", "root"]), [Scope::Read, Scope::Write]);
        assert!(Scope::NAMES.iter().zip(Scope::ALL).all(|(name, scope)| Scope::parse(name) == Some(scope)));
    }

    #[test]
    fn a_minted_token_is_accepted_with_every_allowed_algorithm() {
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            let token = mint_with(algorithm, &secret(), &good(), now(), HOUR).unwrap();
            let claims = check(&token, now().plus(Duration::from_secs(60))).unwrap();
            assert_eq!((claims.sub.as_str(), claims.iss.as_str(), claims.aud.as_str()), ("ada", "caller", "keeper"));
            assert_eq!(claims.exp - claims.iat, 3600);
            assert!(!claims.jti.is_empty());
            assert!(claims.allows(Scope::Read) && claims.allows(Scope::Write) && !claims.allows(Scope::Admin));
        }
    }

    #[test]
    fn times_may_have_a_fraction() {
        let begun = seconds(now());
        let dated = |begins: Value, ends: Value| {
            check(&plain(|claims| (claims["iat"], claims["exp"]) = (begins.clone(), ends.clone())), now())
        };
        let claims = dated(json!(begun as f64 - 0.5), json!(begun as f64 + 60.75)).unwrap();
        assert_eq!((claims.iat, claims.exp), (begun - 1, begun + 60));
        assert_eq!(dated(json!(begun), json!(begun as f64 - 30.5)), Err(TokenError::Expired));
        assert_eq!(dated(json!("now"), json!(begun + 60)), Err(TokenError::Malformed));
    }

    #[test]
    fn no_algorithm_and_public_key_algorithms_are_refused() {
        let body = plain(|_| {}).split('.').nth(1).unwrap().to_owned();
        for header in [
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0",  // {"alg":"none","typ":"JWT"}
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", // {"alg":"RS256","typ":"JWT"}
        ] {
            for signature in ["", "AAAA"] {
                assert_eq!(
                    check(&format!("{header}.{body}.{signature}"), now()),
                    Err(TokenError::Algorithm),
                    "{header}"
                );
            }
        }
    }

    #[test]
    fn a_changed_token_and_another_secret_are_refused() {
        let token = mint(&secret(), &good(), now(), HOUR).unwrap();
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        parts[1] = plain(|claims| claims["scopes"] = json!(["admin"])).split('.').nth(1).unwrap().to_owned();
        assert_eq!(check(&parts.join("."), now()), Err(TokenError::Signature));
        let other = Secret::new("another-secret-another-secret-42");
        assert_eq!(verify(&token, &other, "keeper", ISSUERS, now()), Err(TokenError::Signature));
    }

    #[test]
    fn time_decides_with_a_small_leeway() {
        let token = mint(&secret(), &good(), now(), HOUR).unwrap();
        let at = |seconds: u64| now().plus(Duration::from_secs(seconds));
        assert!(check(&token, at(3600 + 29)).is_ok());
        assert_eq!(check(&token, at(3600 + 30)), Err(TokenError::Expired));
        assert!(check(&token, now().minus(Duration::from_secs(30))).is_ok());
        assert_eq!(check(&token, now().minus(Duration::from_secs(31))), Err(TokenError::NotYet));
        let later = plain(|claims| claims["nbf"] = json!(seconds(now()) + 50));
        assert_eq!(check(&later, now()), Err(TokenError::NotYet));
        // Its end lies before its beginning: the beginning is what keeps it out now.
        let never = plain(|claims| {
            claims["nbf"] = json!(seconds(now()) + 7200);
            claims["exp"] = json!(seconds(now()) - 60);
        });
        assert_eq!(check(&never, now()), Err(TokenError::NotYet));
        // From elsewhere, with an end that has passed: the same leeway.
        let ended = |ago: i64| {
            plain(|claims| {
                claims["iat"] = json!(seconds(now()) - 3600);
                claims["exp"] = json!(seconds(now()) - ago);
            })
        };
        assert!(check(&ended(29), now()).is_ok());
        assert_eq!(check(&ended(30), now()), Err(TokenError::Expired));
        let backwards = plain(|claims| claims["exp"] = json!(seconds(now())));
        assert_eq!(check(&backwards, now()), Err(TokenError::Expired));
    }

    #[test]
    fn audience_and_issuer_must_be_ours() {
        let refused = |claims: Claims| check(&mint(&secret(), &claims, now(), HOUR).unwrap(), now()).unwrap_err();
        assert_eq!(refused(Claims { aud: "other".into(), ..good() }), TokenError::Audience);
        assert_eq!(refused(Claims { iss: "stranger".into(), ..good() }), TokenError::Issuer);
        let many = plain(|claims| claims["aud"] = json!(["other", "keeper"]));
        assert!(check(&many, now()).is_ok());
    }

    #[test]
    fn every_required_claim_is_required() {
        for name in ["sub", "iss", "aud", "iat", "exp"] {
            let token = plain(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
            assert_eq!(check(&token, now()), Err(TokenError::Missing(name)));
        }
        let unknown = plain(|claims| claims["scopes"] = json!(["root", "read"]));
        assert_eq!(check(&unknown, now()).unwrap().scopes, [Scope::Read]);
    }

    #[test]
    fn nonsense_is_malformed_and_size_is_bounded() {
        for token in ["", "invalid", "a.b", "a.b.c", "....", "é.é.é", &plain(|c| c["exp"] = json!("soon"))] {
            assert_eq!(check(token, now()), Err(TokenError::Malformed), "{token}");
        }
        assert_eq!(check(&"a".repeat(MAX_TOKEN_BYTES + 1), now()), Err(TokenError::TooLong));
    }
}
