//! REST over the same tools: `/api/v1`.
//!
//! A route names a tool; path, query and body become its arguments, and its result is the answer. What a tool takes and gives
//! is therefore the same by every door, and the description (OpenAPI 3.1) is made from the same types.
//! Errors are problem details (RFC 9457). Order of judgement: token and scope, path and method, size, kind, then the call.

mod arguments;
pub(crate) mod bulk;
mod document;
mod keys;
mod problem;
mod route;

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::on;
use axum::{RequestPartsExt, Router};
use oneiric::clock::Clock;
use oneiric::token::Scope;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::http::body::{ReadBody, read_body};
use crate::http::{Auth, Caller, Ending, Visit, address};
use crate::mcp::{Arguments, MAX_BODY_BYTES, ServerCard, ToolDescription, ToolSet, call, json as json_response};

pub use bulk::{Bulk, Show};
pub use problem::Problem;
pub use route::{Asker, Fill, Lines, Route, Verb};

/// Where all routes are.
pub const BASE: &str = "/api/v1";

/// The REST door of a program; cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
    /// The end of the server, beyond which no request waits for lasting work.
    end: CancellationToken,
}

struct Inner {
    card: ServerCard,
    tools: Arc<dyn ToolSet>,
    routes: &'static [Route],
    auth: Auth,
    clock: Arc<dyn Clock>,
    /// Made when somebody asks for it: a start does not wait for it.
    document: OnceLock<String>,
    bulk: Option<Bulky>,
    keys: keys::Keys,
}

/// Routes of lines, and what is behind them.
struct Bulky {
    behind: Arc<dyn Bulk>,
    tools: Vec<ToolDescription>,
    room: Arc<Semaphore>,
}

impl Api {
    /// `routes` over `tools`. A route whose tool does not exist is left out.
    #[must_use]
    pub fn new(
        card: ServerCard,
        tools: Arc<dyn ToolSet>,
        routes: &'static [Route],
        auth: Auth,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::of(card, tools, routes, auth, clock, None)
    }

    /// The same, with routes of lines: `described` are what they take and answer, `behind` does it.
    #[must_use]
    pub fn with_bulk(self, described: Vec<ToolDescription>, behind: Arc<dyn Bulk>) -> Self {
        let Inner { card, tools, routes, auth, clock, .. } = self.inner.as_ref();
        let bulk = Bulky { behind, tools: described, room: Arc::new(Semaphore::new(bulk::AT_ONCE)) };
        Self::of(card.clone(), Arc::clone(tools), routes, auth.clone(), Arc::clone(clock), Some(bulk))
    }

    /// Lets no request wait for lasting work beyond `end`: it is answered with how the work stands then.
    #[must_use]
    pub fn until(self, end: CancellationToken) -> Self {
        Self { end, ..self }
    }

    fn of(
        card: ServerCard,
        tools: Arc<dyn ToolSet>,
        routes: &'static [Route],
        auth: Auth,
        clock: Arc<dyn Clock>,
        bulk: Option<Bulky>,
    ) -> Self {
        let (document, keys) = (OnceLock::new(), keys::Keys::default());
        let inner = Arc::new(Inner { card, tools, routes, auth, clock, document, bulk, keys });
        Self { inner, end: CancellationToken::new() }
    }

    /// Whether requests of this kind may take longer than others.
    pub(crate) fn is_slow(&self, request: &Request) -> bool {
        let path = request.uri().path().strip_prefix(BASE);
        self.inner.routes.iter().any(|route| (route.slow || route.lines.is_some()) && Some(route.path) == path)
    }

    /// Whether the body of this request is lines of any length.
    pub(crate) fn takes_lines(&self, request: &Request) -> bool {
        let path = request.uri().path().strip_prefix(BASE);
        self.inner.routes.iter().any(|route| route.lines == Some(Lines::Taken) && Some(route.path) == path)
    }

    /// The description as OpenAPI 3.1.
    #[must_use]
    pub fn openapi(&self) -> &str {
        let Inner { card, tools, routes, bulk, document, .. } = self.inner.as_ref();
        let find = |route: &Route| find(tools.as_ref(), bulk.as_ref(), route);
        document.get_or_init(|| document::openapi(card, &find, routes).to_string())
    }

    pub(crate) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let mut router = Router::new();
        for route in self.inner.routes {
            let found = find(self.inner.tools.as_ref(), self.inner.bulk.as_ref(), route);
            let Some(tool) = found.cloned() else { continue };
            let api = self.clone();
            let handler = move |request: Request| {
                let (api, tool) = (api.clone(), tool.clone());
                async move { api.handle(route, &tool, request).await }
            };
            router = router.route(&format!("{BASE}{}", route.path), on(route.verb.filter(), handler));
        }
        let fixed = |path: &'static str, body: fn(&Self) -> String| {
            let api = self.clone();
            let handler = move |request: Request| {
                let api = api.clone();
                async move {
                    match api.admit(&request, path, Scope::Read) {
                        Ok(_) => json_response(StatusCode::OK, body(&api)),
                        Err(refusal) => *refusal,
                    }
                }
            };
            (path, on(Verb::Get.filter(), handler))
        };
        let version = |api: &Self| {
            json!({ "name": api.inner.card.name, "version": api.inner.card.version, "api": "v1" }).to_string()
        };
        for (path, method) in
            [fixed("/api/v1/openapi.json", |api| api.openapi().to_owned()), fixed("/api/v1/version", version)]
        {
            router = router.route(path, method);
        }
        // Which routes and methods there are is for those who may read.
        let refusing = |api: Self, problem: fn() -> Problem| {
            move |request: Request| async move {
                match api.admit(&request, "/api", Scope::Read) {
                    Ok(_) => problem().into_response(),
                    Err(refusal) => *refusal,
                }
            }
        };
        router
            .route("/api", axum::routing::any(refusing(self.clone(), Problem::no_route)))
            .route("/api/", axum::routing::any(refusing(self.clone(), Problem::no_route)))
            .route("/api/{*rest}", axum::routing::any(refusing(self.clone(), Problem::no_route)))
            .method_not_allowed_fallback(refusing(self.clone(), Problem::no_method))
    }

    /// Judges the token in the header.
    fn admit(&self, request: &Request, what: &str, needed: Scope) -> Result<(Caller, Ending), Box<Response<Body>>> {
        let from = address(request.extensions());
        let visit = Visit { door: "rest", from: &from, what };
        self.inner.auth.admit(visit, request.headers(), needed).map_err(|refused| Box::new(problem::refusal(&refused)))
    }

    async fn handle(&self, route: &'static Route, tool: &ToolDescription, request: Request) -> Response<Body> {
        let what = format!("{} {BASE}{}", route.verb.as_str(), route.path);
        let (caller, ending) = match self.admit(&request, &what, tool.scope) {
            Ok(admitted) => admitted,
            Err(refusal) => return *refusal,
        };
        match self.answer(route, tool, &caller, request).await {
            Ok(response) => {
                ending.tell(None);
                response
            }
            Err(problem) => {
                ending.tell(Some(problem.code()));
                problem.into_response()
            }
        }
    }

    async fn answer(
        &self,
        route: &'static Route,
        tool: &ToolDescription,
        caller: &Caller,
        request: Request,
    ) -> Result<Response<Body>, Problem> {
        let (mut parts, body) = request.into_parts();
        if let (Some(lines), Some(bulk)) = (route.lines, &self.inner.bulk) {
            return bulk.answer(lines, route, tool, &parts, body).await;
        }
        let path: RawPathParams = parts.extract().await.map_err(|_| Problem::bad_path())?;
        let body = match route.verb {
            Verb::Get => Map::new(),
            Verb::Post => read_object(&parts.headers, body).await?,
        };
        let key = match route.fill.is_some() && route.verb == Verb::Post {
            true => keys::given(&parts.headers)?,
            false => None,
        };
        let fresh = match key {
            Some(key) => self.inner.keys.claim((&caller.subject, key), route.verb.as_str(), parts.uri.path(), &body)?,
            None => None,
        };
        let done = self.called(route, tool, caller, path, &parts, body, key).await;
        if let (Some(fresh), Err(_)) = (fresh, &done) {
            fresh.forget();
        }
        done
    }

    /// The answer of the tool.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request, each read once")]
    async fn called(
        &self,
        route: &'static Route,
        tool: &ToolDescription,
        caller: &Caller,
        path: RawPathParams,
        parts: &Parts,
        body: Map<String, Value>,
        key: Option<&str>,
    ) -> Result<Response<Body>, Problem> {
        let mut given = arguments::gather(route, tool, path.iter(), &parts.uri, body)?;
        let asker = Asker { subject: &caller.subject, idempotency_key: key, now: self.inner.clock.now() };
        route.complete(&mut given, &asker);
        let tools = self.inner.tools.as_ref();
        let answer = call(tools, tool, Arguments::Parsed(given), &caller.subject, &self.end).await;
        let mut answer = answer.map_err(|error| match route.verb {
            Verb::Get => Problem::from(error).of_parameters(&arguments::spread(route, tool)),
            Verb::Post => error.into(),
        })?;
        let next = answer.get("next_cursor").and_then(Value::as_str).map(|cursor| arguments::next(&parts.uri, cursor));
        if let (Some(next), Value::Object(map)) = (&next, &mut answer) {
            map.insert("next".into(), next.as_str().into());
        }
        let mut response = json_response(route.status(), answer.to_string());
        if let Some(link) = next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        if let Some(place) = route.location(&answer).and_then(|place| HeaderValue::from_str(&place).ok()) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }
}

impl Bulky {
    async fn answer(
        &self,
        lines: Lines,
        route: &'static Route,
        tool: &ToolDescription,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        let given = arguments::gather(route, tool, std::iter::empty(), &parts.uri, Map::new())?;
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "others are under way")
                .with("hint", "try again when they are done"));
        };
        let behind = Arc::clone(&self.behind);
        match lines {
            Lines::Given => bulk::give(behind, route.tool, given, permit).await,
            Lines::Taken => bulk::take(behind, route.tool, &parts.headers, body, permit).await,
        }
    }
}

/// What a route is described by.
fn find<'a>(tools: &'a dyn ToolSet, bulk: Option<&'a Bulky>, route: &Route) -> Option<&'a ToolDescription> {
    match route.lines {
        None => tools.find(route.tool),
        Some(_) => bulk?.tools.iter().find(|tool| tool.name == route.tool),
    }
}

/// Reads a JSON object; no body at all is an empty one.
async fn read_object(headers: &axum::http::HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    let json = essence.as_deref() == Some("application/json") && plain;
    if (essence.is_some() && !json) || !plain {
        return Err(Problem::not_json());
    }
    match read_body(body, MAX_BODY_BYTES).await {
        ReadBody::Complete(bytes) if bytes.is_empty() => Ok(Map::new()),
        ReadBody::Complete(_) if !json => Err(Problem::not_json()),
        ReadBody::Complete(bytes) => serde_json::from_slice(&bytes).map_err(|error| Problem::bad_body(&error)),
        ReadBody::TooLarge => Err(Problem::too_large(MAX_BODY_BYTES)),
        ReadBody::Broken => Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_body", "the body ended early")),
    }
}
