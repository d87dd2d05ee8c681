//! Rows of catalogs: how they are written, and those that several programs have.

use super::{Kind, Spec};

/// A row.
#[must_use]
pub const fn spec(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Spec {
    Spec { path, kind, default, env: &[], aliases: &[], doc }
}

/// The same, with further variables of exactly these names.
#[must_use]
pub const fn named(spec: Spec, env: &'static [&'static str]) -> Spec {
    Spec { env, ..spec }
}

/// The same, under these paths, too.
#[must_use]
pub const fn also(spec: Spec, aliases: &'static [&'static str]) -> Spec {
    Spec { aliases, ..spec }
}

/// How much is logged.
pub const LOG_LEVEL: Spec = spec(
    "log.level",
    Kind::Choice(&["ERROR", "WARN", "WARNING", "INFO", "DEBUG", "TRACE"]),
    "INFO",
    "How much is logged",
);

/// How tokens are signed.
pub const TOKEN_ALGORITHM: Spec =
    spec("auth.algorithm", Kind::Choice(&["HS256", "HS384", "HS512"]), "HS256", "How tokens made here are signed");

/// How long tokens live.
pub const TOKEN_LIFE: Spec =
    spec("auth.expire_minutes", Kind::Int { min: 1, max: 525_600 }, "60", "Life of tokens made here, in minutes");

/// By which names a server is called.
pub const ALLOWED_HOSTS: Spec = spec(
    "server.allowed_hosts",
    Kind::TextList,
    "",
    "Further host names under which clients and pages may reach the server",
);

/// Whether a server may be open to others.
pub const ALLOW_INSECURE_BIND: Spec = spec(
    "server.allow_insecure_bind",
    Kind::Bool,
    "false",
    "Listen on addresses that others can reach although callers need no token",
);
