//! Who may call: bearer tokens and scopes. Whoever is turned away leaves a line in the audit log, and so does everyone who
//! is let through to change something.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, header};
use oneiric::audit::{Act, AuditLog, Outcome};
use oneiric::token::Scope;
use serde_json::json;

use super::ending::Ending;
use super::knocks::Knocks;
use crate::mcp::json as json_response;

/// Who a good token stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Name; empty while no token is asked for.
    pub subject: String,
    /// Id of the token.
    pub token_id: String,
    /// Rights.
    pub scopes: Vec<Scope>,
}

/// Judges a token: whom it stands for, or why it is none.
pub trait TokenJudge: Send + Sync + 'static {
    /// # Errors
    /// A short reason, such as "expired", that holds nothing of the token.
    fn judge(&self, token: &str) -> Result<Caller, String>;
}

/// Whether callers need a token. Cheap to clone.
#[derive(Clone, Default)]
pub struct Auth(Option<Arc<Guarded>>);

struct Guarded {
    /// Nobody where no token is asked for.
    judge: Option<Arc<dyn TokenJudge>>,
    audit: Arc<AuditLog>,
    /// Whether what may change something leaves lines.
    changes: bool,
    /// Requests of foreign pages.
    foreign: Knocks,
    /// Callers turned away whom nobody knows.
    strangers: Knocks,
    /// Callers turned away, for the program's own log.
    turned_away: Knocks,
}

/// What somebody asks for, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The way they came: `mcp`, `rest`, `metrics`, `http` for other paths, `cli`, `shell`.
    pub door: &'static str,
    /// Their address, by [`address`].
    pub from: &'a str,
    /// Tool or route.
    pub what: &'a str,
}

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
    pub fn required(judge: Arc<dyn TokenJudge>, audit: Arc<AuditLog>) -> Self {
        Self::guarded(Some(judge), audit, true)
    }

    /// Everyone who reaches the listener may call, and what may change something leaves its lines in `audit`.
    #[must_use]
    pub fn open(audit: Arc<AuditLog>) -> Self {
        Self::guarded(None, audit, true)
    }

    /// Everyone who reaches the listener may call; only pages of foreign hosts and origins leave lines in `audit`.
    #[must_use]
    pub fn quiet(audit: Arc<AuditLog>) -> Self {
        Self::guarded(None, audit, false)
    }

    fn guarded(judge: Option<Arc<dyn TokenJudge>>, audit: Arc<AuditLog>, changes: bool) -> Self {
        Self(Some(Arc::new(Guarded {
            judge,
            audit,
            changes,
            foreign: Knocks::by_the_minute(),
            strangers: Knocks::by_the_hour(),
            turned_away: Knocks::by_the_minute(),
        })))
    }

    /// Whether callers need a token.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_some_and(|guarded| guarded.judge.is_some())
    }

    /// Whether callers leave lines in an audit log.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.0.as_ref().is_some_and(|guarded| guarded.changes)
    }

    /// A line in the audit log about a request from a foreign page, and one in the program's own, within a bound.
    pub(super) fn kept_out(&self, visit: Visit<'_>, why: &str) {
        let Some(guarded) = &self.0 else { return };
        if let Some(untold) = guarded.turn_away(&guarded.foreign, "requests of foreign pages", visit, why) {
            tracing::warn!(reason = why, untold, "request refused");
        }
    }

    /// Both, where callers need a token.
    fn judging(&self) -> Option<(&Guarded, &dyn TokenJudge)> {
        let guarded = self.0.as_deref()?;
        Some((guarded, guarded.judge.as_deref()?))
    }

    /// Whether `headers` carry a token with `needed`. Leaves no line: nobody is turned away for it.
    #[must_use]
    pub fn trusts(&self, headers: &HeaderMap, needed: Scope) -> bool {
        let Some((_, judge)) = self.judging() else { return true };
        let token = bearer(headers).ok().flatten();
        token.and_then(|token| judge.judge(token).ok()).is_some_and(|caller| caller.may(needed))
    }

    /// Who the `Authorization` header stands for; `None` when there is no header.
    ///
    /// # Errors
    /// [`Refused::Invalid`], and a line in the audit log.
    pub fn by_header(&self, visit: Visit<'_>, headers: &HeaderMap) -> Result<Option<Caller>, Refused> {
        let Some((guarded, judge)) = self.judging() else { return Ok(Some(Caller::default())) };
        match bearer(headers) {
            Ok(None) => Ok(None),
            Ok(Some(token)) => guarded.judged(judge, visit, token).map(Some),
            Err(reason) => Err(guarded.refuse(visit, &Caller::default(), Refused::Invalid(reason.into()))),
        }
    }

    /// Who a token in a tool's arguments stands for.
    ///
    /// # Errors
    /// [`Refused::Missing`], [`Refused::Invalid`], and a line in the audit log.
    pub fn by_argument(&self, visit: Visit<'_>, token: Option<&str>) -> Result<Caller, Refused> {
        let Some((guarded, judge)) = self.judging() else { return Ok(Caller::default()) };
        match token {
            Some(token) => guarded.judged(judge, visit, token),
            None => Err(guarded.refuse(visit, &Caller::default(), Refused::Missing)),
        }
    }

    /// Whether `caller` may do what takes `needed`. What may change something leaves a line, and another by its [`Ending`].
    ///
    /// # Errors
    /// [`Refused::Scope`], and a line in the audit log.
    pub fn permit(&self, visit: Visit<'_>, caller: &Caller, needed: Scope) -> Result<Ending, Refused> {
        let Some(guarded) = &self.0 else { return Ok(Ending::default()) };
        if guarded.judge.is_some() && !caller.may(needed) {
            return Err(guarded.refuse(visit, caller, Refused::Scope(needed)));
        }
        if needed == Scope::Read || !guarded.changes {
            return Ok(Ending::default());
        }
        let act = Guarded::act(visit, caller, Outcome::Allowed, "");
        guarded.audit.record(&act);
        Ok(Ending::of(&guarded.audit, &act, visit.door))
    }

    /// The header alone, and the scope: for doors without arguments.
    ///
    /// # Errors
    /// [`Refused`], and a line in the audit log.
    pub fn admit(&self, visit: Visit<'_>, headers: &HeaderMap, needed: Scope) -> Result<(Caller, Ending), Refused> {
        let caller = match self.by_header(visit, headers)? {
            Some(caller) => caller,
            None => self.by_argument(visit, None)?,
        };
        let ending = self.permit(visit, &caller, needed)?;
        Ok((caller, ending))
    }
}

impl Guarded {
    fn judged(&self, judge: &dyn TokenJudge, visit: Visit<'_>, token: &str) -> Result<Caller, Refused> {
        judge.judge(token.trim()).map_err(|reason| self.refuse(visit, &Caller::default(), Refused::Invalid(reason)))
    }

    fn refuse(&self, visit: Visit<'_>, caller: &Caller, refused: Refused) -> Refused {
        if let Some(untold) = self.turned_away.told(self.audit.now()) {
            tracing::warn!(status = refused.status().as_u16(), reason = %refused.message(), untold, "caller refused");
        }
        if caller.subject.is_empty() {
            self.turn_away(&self.strangers, "callers without a good token", visit, &refused.reason());
        } else {
            self.audit.record(&Self::act(visit, caller, Outcome::Denied, &refused.reason()));
        }
        refused
    }

    /// A line about somebody whom nobody knows. Of many such `kind`, those beyond a bound are only counted, as anybody could else
    /// push out what the log holds. Says how many were, unless this is one of them.
    fn turn_away(&self, knocks: &Knocks, kind: &str, visit: Visit<'_>, why: &str) -> Option<u64> {
        let untold = knocks.told(self.audit.now())?;
        let nobody = Caller::default();
        if untold > 0 {
            let why = format!("{untold} more {kind} since the last line about one");
            self.audit.record(&Self::act(visit, &nobody, Outcome::Denied, &why));
        }
        self.audit.record(&Self::act(visit, &nobody, Outcome::Denied, why));
        Some(untold)
    }

    fn act<'a>(visit: Visit<'a>, caller: &'a Caller, outcome: Outcome, why: &'a str) -> Act<'a> {
        let who = if caller.subject.is_empty() { "-" } else { &caller.subject };
        let Visit { door, from, what } = visit;
        Act { outcome, door, from, who, token_id: &caller.token_id, what, why }
    }
}

impl Caller {
    /// Whether the caller has `needed`, or a right that includes it.
    #[must_use]
    pub fn may(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|scope| *scope >= needed)
    }
}

/// The address that a request came from.
#[must_use]
pub fn address(extensions: &Extensions) -> String {
    match extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => address.to_string(),
        None => "unknown".to_owned(),
    }
}

/// The one bearer token, if any.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("more than one Authorization header");
    }
    let text = first.to_str().map_err(|_| "the Authorization header is not plain text")?;
    match text.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token)),
        _ => Err("the Authorization header holds no bearer token"),
    }
}

impl Refused {
    /// Status, as HTTP has it.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid(_) => StatusCode::UNAUTHORIZED,
            Self::Scope(_) => StatusCode::FORBIDDEN,
        }
    }

    /// Why, in a few words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Missing => "no token".to_owned(),
            Self::Invalid(reason) => reason.clone(),
            Self::Scope(needed) => format!("the token lacks the scope '{}'", needed.as_str()),
        }
    }

    /// Why, as a sentence for whoever called.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Missing => "401 Unauthorized: no token; send Authorization: Bearer <token>".to_owned(),
            Self::Invalid(reason) => format!("401 Unauthorized: Invalid token: {reason}"),
            Self::Scope(_) => format!("403 Forbidden: {}", self.reason()),
        }
    }

    /// Marks `response` as the refusal that this is: status and `WWW-Authenticate`.
    #[must_use]
    pub fn mark(&self, mut response: Response<Body>) -> Response<Body> {
        let challenge = match self {
            Self::Missing => "Bearer".to_owned(),
            Self::Invalid(_) => "Bearer error=\"invalid_token\"".to_owned(),
            Self::Scope(needed) => format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", needed.as_str()),
        };
        *response.status_mut() = self.status();
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// The HTTP answer: 401 with `WWW-Authenticate`, or 403 for a missing scope.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        self.mark(json_response(self.status(), json!({ "error": self.message() }).to_string()))
    }
}
