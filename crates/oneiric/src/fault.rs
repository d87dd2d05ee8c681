//! What can go wrong, told once: a [`Fault`] has a kind that every door maps (exit code, HTTP status,
//! MCP error) and a hint that says what to do.

use std::fmt;

/// What a caller can do about a fault. A door maps each kind once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request is wrong: the caller changes it and tries again.
    User,
    /// A setting or a settings file is wrong.
    Config,
    /// What was named does not exist.
    NotFound,
    /// Something else holds what was asked for (a port, a name, a lock).
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A part is down, full or unreachable: the same request may work later.
    Unavailable,
    /// A defect of this program.
    Internal,
}

impl FaultKind {
    const ALL: [Self; 7] =
        [Self::User, Self::Config, Self::NotFound, Self::Conflict, Self::Denied, Self::Unavailable, Self::Internal];

    /// The kind whose [`FaultKind::code`] a peer sent (`invalid_arguments` is a wrong request of a tool); a code that
    /// nobody here knows is the peer's defect.
    #[must_use]
    pub fn from_code(code: &str) -> Self {
        if code == "invalid_arguments" {
            return Self::User;
        }
        Self::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Internal)
    }

    /// Process exit code. Documented in `docs/exit-codes.md`; stable.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::User => 2,
            Self::Config => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::Unavailable => 6,
            Self::Internal => 70,
        }
    }

    /// HTTP status code.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::User => 400,
            Self::Denied => 401,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Config | Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Machine-readable code for MCP tool errors and JSON output.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::User => "invalid_request",
            Self::Config => "invalid_configuration",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// A failure a person reads: what happened, to what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    message: String,
    hint: Option<String>,
}

/// Result of anything that fails towards a person.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault of `kind`; `message` says what happened to what, in one line without a full stop.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// A wrong request.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(FaultKind::User, message)
    }

    /// A wrong setting.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Config, message)
    }

    /// A name that nothing has.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// Something else holds it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Conflict, message)
    }

    /// Not allowed.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Denied, message)
    }

    /// Down, full or unreachable.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }

    /// A defect of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, message)
    }

    /// Adds what to do, as an imperative clause.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What happened, without the hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do, when something can be done.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
