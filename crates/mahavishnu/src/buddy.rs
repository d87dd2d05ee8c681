//! Session-Buddy as a peer: where it is, the token it wants, and what is asked of it.

use std::sync::Mutex;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock, Timestamp};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::paths::Home;
use oneiric::run_file;
use oneiric::secret::Secret;
use oneiric::settings::{Settings, check_secret_strength};
use oneiric::token::{Algorithm, Claims, Scope, mint_with};
use oneiric_client::{Peer, PeerError, TokenSource};
use serde_json::{Map, Value};

use crate::world::World;

/// What Session-Buddy calls itself.
pub(crate) const PRODUCT: &str = "session-buddy";

/// Where it listens unless told otherwise.
const USUAL_PORT: i64 = 8678;

/// Issuer of tokens made here.
pub(crate) const ISSUER: &str = "mahavishnu";

/// The address: the url that is set, else host and port that are set, else where its server runs, else the usual port.
fn address(settings: &Settings) -> String {
    if let Some(url) = settings.opt_text("session_buddy.url") {
        return url.to_owned();
    }
    // 0 tells the server to take any free port, which only its run file knows.
    let port = settings.int("session_buddy.port");
    let given = port != 0 && (settings.is_given("session_buddy.host") || settings.is_given("session_buddy.port"));
    if !given {
        let home = Home::at(settings.path("session_buddy.home"));
        if let Some(server) = run_file::running(&home, PRODUCT) {
            return format!("http://{}", server.address);
        }
    }
    let host = match settings.text("session_buddy.host") {
        // What a server listens on everywhere is reached here.
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("http://{host}:{}", if port == 0 { USUAL_PORT } else { port })
}

/// The secret that both sides share, when one is set.
pub(crate) fn secret(world: &World) -> Option<&Secret> {
    let settings = &world.settings;
    settings.secret("session_buddy.secret").or_else(|| settings.secret("auth.secret"))
}

pub(crate) fn peer(world: &World) -> Peer {
    let token = secret(world).filter(|secret| check_secret_strength(secret.expose()).is_ok()).map(|secret| {
        let lifetime = Duration::from_secs(60 * world.settings.int("auth.expire_minutes").unsigned_abs());
        let algorithm = Algorithm::parse(world.settings.text("auth.algorithm")).unwrap_or_default();
        token_source(secret.clone(), algorithm, crate::who::username(&world.surroundings), lifetime)
    });
    let settings = world.settings.clone();
    Peer::new(&address(&settings), token).with_locator(Box::new(move || address(&settings)))
}

/// Makes a token for Session-Buddy when one is needed, and again when it is about to end.
fn token_source(secret: Secret, algorithm: Algorithm, subject: String, lifetime: Duration) -> TokenSource {
    let last: Mutex<Option<(Timestamp, String)>> = Mutex::new(None);
    Box::new(move || {
        let now = SystemClock.now();
        let mut last = last.lock().ok()?;
        if let Some((made, token)) = &*last
            && now.since(*made) < lifetime / 2
        {
            return Some(token.clone());
        }
        let claims = Claims::new(subject.as_str(), ISSUER, PRODUCT, &[Scope::Read, Scope::Write]);
        let token = mint_with(algorithm, &secret, &claims, now, lifetime).ok()?;
        *last = Some((now, token.clone()));
        Some(token)
    })
}

/// What to do about a failed call.
pub(crate) fn advice(error: &PeerError) -> &'static str {
    match error {
        PeerError::Unreachable(_) => "start it with 'session-buddy mcp start'; nothing is lost meanwhile",
        PeerError::TimedOut(_) => "look at it with 'session-buddy health'; nothing is lost meanwhile",
        PeerError::Denied(_) => "set MAHAVISHNU_AUTH_SECRET to the secret that Session-Buddy has",
        PeerError::Protocol(_) => "check session_buddy_url, SESSION_BUDDY_HOST and SESSION_BUDDY_PORT",
        PeerError::Tool { .. } => "look at 'session-buddy logs'",
    }
}

/// A failed call as a person reads it, with what to do.
pub(crate) fn explain(error: PeerError) -> Fault {
    if matches!(error, PeerError::Tool { .. }) {
        return error.into();
    }
    let hint = advice(&error);
    let kind = if matches!(error, PeerError::Denied(_)) { FaultKind::Denied } else { FaultKind::Unavailable };
    Fault::new(kind, format!("Session-Buddy: {error}")).hint(hint)
}

/// The newest sessions, of every program when `component` is `*`.
pub(crate) fn sessions(world: &World, limit: i64, component: &str) -> Result<Vec<Value>> {
    let arguments =
        Map::from_iter([("limit".to_owned(), Value::from(limit)), ("component".to_owned(), Value::from(component))]);
    let answer = world.peer().call_tool("list_sessions", arguments, world.patience()).map_err(explain)?;
    rows(answer, "sessions")
}

/// The list in an answer: bare, or under `name`.
pub(crate) fn rows(answer: Value, name: &str) -> Result<Vec<Value>> {
    let list = match answer {
        Value::Object(mut fields) => fields.remove(name).or_else(|| fields.remove("result")).unwrap_or(Value::Null),
        other => other,
    };
    match list {
        Value::Array(rows) => Ok(rows),
        _ => Err(Fault::unavailable(format!("Session-Buddy answered without {name}"))
            .hint("check that both programs have the same version")),
    }
}
