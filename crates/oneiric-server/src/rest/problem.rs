//! Problem details (RFC 9457): what every error of the REST door looks like.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use oneiric::fault::FaultKind;
use serde_json::{Map, Value, json};

use crate::http::Refused;
use crate::mcp::{ToolError, json as json_response};

/// An error as the caller reads it: `type`, `title`, `status`, `detail`, `code`, and what more is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    /// For programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// `code` is for programs, `detail` for people.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into(), more: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, FaultKind::NotFound.code(), "there is no such route")
            .with("hint", "GET /api/v1/openapi.json lists them")
    }

    pub(super) fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this route has no such method")
            .with("hint", "the header Allow lists its methods")
    }

    pub(super) fn not_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body has to be JSON")
            .with("hint", "send Content-Type: application/json")
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body exceeds {limit} bytes"))
            .with("hint", "send smaller batches")
    }

    pub(super) fn bad_body(error: &serde_json::Error) -> Self {
        let detail = if error.is_data() {
            "the body has to be a JSON object".to_owned()
        } else {
            format!("the body is no JSON: {error}")
        };
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", detail)
    }

    pub(super) fn bad_path() -> Self {
        Self::new(StatusCode::BAD_REQUEST, FaultKind::User.code(), "the path is no UTF-8")
    }

    /// A wrong parameter, by its name.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        Self::new(StatusCode::BAD_REQUEST, "invalid_arguments", format!("{name}: {why}")).with("field", name)
    }

    /// What a tool says of a member of an argument, when the argument's members are parameters of their own.
    pub(super) fn of_parameters(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            let member = |text: &str| text.strip_prefix(argument)?.strip_prefix('.').map(str::to_owned);
            if let Some(field) = self.more.get("field").and_then(Value::as_str).and_then(member) {
                self.more.insert("field".into(), field.into());
                self.detail = member(&self.detail).unwrap_or(self.detail);
            }
        }
        self
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let mut body = self.more;
        let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
        // The code says which error it is; there is no page about each.
        set("type", "about:blank".into());
        set("title", self.status.canonical_reason().unwrap_or("Error").into());
        set("status", self.status.as_u16().into());
        set("code", self.code.into());
        set("detail", self.detail.into());
        let mut response = json_response(self.status, Value::Object(body).to_string());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<ToolError> for Problem {
    fn from(error: ToolError) -> Self {
        let kind = FaultKind::from_code(error.code());
        let status = match kind {
            // Who calls is known by now: it is the act that is not allowed.
            FaultKind::Denied => StatusCode::FORBIDDEN,
            kind => StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let mut problem = Self::new(status, error.code(), error.message());
        if let Value::Object(more) = error.to_value() {
            let said = ["code", "message", "status", "error", "type", "title", "detail"];
            problem.more = more.into_iter().filter(|(key, _)| !said.contains(&key.as_str())).collect();
        }
        problem
    }
}

/// The answer to somebody who may not call.
pub(super) fn refusal(refused: &Refused) -> Response<Body> {
    let code = match refused {
        Refused::Missing | Refused::Invalid(_) => "unauthorized",
        Refused::Scope(_) => "forbidden",
    };
    let mut problem = Problem::new(refused.status(), code, refused.message());
    if let Refused::Scope(needed) = refused {
        problem = problem.with("scope", needed.as_str());
    }
    refused.mark(problem.into_response())
}

/// Its schema.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What happened, to what" },
            "code": { "type": "string", "description": "Which error it is, for programs" },
            "hint": { "type": "string", "description": "What to do" },
            "field": { "type": "string", "description": "Which parameter is wrong" }
        },
        "required": ["type", "title", "status", "detail", "code"]
    })
}
