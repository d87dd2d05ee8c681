//! Who may call: bearer tokens and scopes.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use oneiric::token::Scope;
use serde_json::json;

use crate::mcp::json as json_response;

/// Judges a token: the scopes it grants, or why it is none.
pub trait TokenJudge: Send + Sync + 'static {
    /// # Errors
    /// A short reason, such as "expired".
    fn judge(&self, token: &str) -> Result<Vec<Scope>, String>;
}

/// Whether callers need a token. Cheap to clone.
#[derive(Clone, Default)]
pub struct Auth(Option<Arc<dyn TokenJudge>>);

/// Why a caller is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No token came.
    Missing,
    /// The token is not good, with the reason.
    Invalid(String),
    /// The token is good, but not for this.
    Scope(Scope),
}

impl Auth {
    /// Everyone who reaches the listener may call.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Callers need a token that `judge` accepts.
    #[must_use]
    pub fn required(judge: Arc<dyn TokenJudge>) -> Self {
        Self(Some(judge))
    }

    /// Whether callers need a token.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Admits a caller whose `Authorization` header, or else `argument`, carries a token with `needed`.
    ///
    /// # Errors
    /// [`Refused`], ready to be sent.
    pub fn admit(
        &self,
        headers: &HeaderMap,
        argument: impl FnOnce() -> Option<String>,
        needed: Scope,
    ) -> Result<(), Refused> {
        let Some(judge) = &self.0 else { return Ok(()) };
        let token = match bearer(headers) {
            Some(token) => token,
            None => argument().ok_or(Refused::Missing)?,
        };
        let scopes = judge.judge(token.trim()).map_err(Refused::Invalid)?;
        if scopes.iter().any(|scope| *scope >= needed) { Ok(()) } else { Err(Refused::Scope(needed)) }
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.to_owned())
}

impl Refused {
    /// The HTTP answer: 401 with `WWW-Authenticate`, or 403 for a missing scope.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let (status, challenge, message) = match self {
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                "Bearer".to_owned(),
                "401 Unauthorized: no token; send Authorization: Bearer <token>".to_owned(),
            ),
            Self::Invalid(reason) => (
                StatusCode::UNAUTHORIZED,
                "Bearer error=\"invalid_token\"".to_owned(),
                format!("401 Unauthorized: Invalid token: {reason}"),
            ),
            Self::Scope(needed) => (
                StatusCode::FORBIDDEN,
                format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", needed.as_str()),
                format!("403 Forbidden: the token lacks the scope '{}'", needed.as_str()),
            ),
        };
        tracing::warn!(status = status.as_u16(), reason = %message, "caller refused");
        let mut response = json_response(status, json!({ "error": message }).to_string());
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
